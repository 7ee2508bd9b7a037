//! Queries that are kept by name.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind, Query};

/// The queries that were kept beside a book, in `searches.json`: each as the text that it has, so
/// that `since:7d` means the last seven days whenever it is asked.
#[derive(Clone, Debug)]
pub struct SavedSearches {
    path: PathBuf,
}

impl SavedSearches {
    /// Those of the book in this folder.
    pub fn of(folder: impl AsRef<Path>) -> Self {
        Self {
            path: folder.as_ref().join("searches.json"),
        }
    }

    /// Keeps a query under a name, in place of the one that went by it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Name`] if the name is not one of up to 64 small letters, digits and hyphens that
    /// begins with a letter, and [`ErrorKind::Saved`] when the file cannot be read or written.
    pub fn keep(&self, name: &str, query: &Query) -> Result<(), Error> {
        let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
        if !begins || name.len() > 64 || !name.chars().all(letter) {
            return Err(ErrorKind::Name.into());
        }
        let mut all = self.all()?;
        all.insert(name.to_owned(), query.to_string());
        self.write(&all)
    }

    /// Keeps it no longer. Whether there was one of this name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Saved`] when the file cannot be read or written.
    pub fn forget(&self, name: &str) -> Result<bool, Error> {
        let mut all = self.all()?;
        let was = all.remove(name).is_some();
        if was {
            self.write(&all)?;
        }
        Ok(was)
    }

    /// All queries, by their names.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Saved`] when the file cannot be read.
    pub fn all(&self) -> Result<BTreeMap<String, String>, Error> {
        match fs::read(&self.path) {
            Ok(text) => serde_json::from_slice(&text)
                .map_err(|error| Error::because(ErrorKind::Saved, error)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
            Err(error) => Err(Error::because(ErrorKind::Saved, error)),
        }
    }

    /// Writes a new file and puts it in the old one's place, so that there is always a whole one.
    fn write(&self, all: &BTreeMap<String, String>) -> Result<(), Error> {
        let write = || {
            let text = serde_json::to_string_pretty(all)?;
            let fresh = self.path.with_extension("json.new");
            let mut options = fs::OpenOptions::new();
            options.write(true).create(true).truncate(true);
            #[cfg(unix)]
            std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
            let mut file = options.open(&fresh)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &self.path)
        };
        write().map_err(|error: io::Error| Error::because(ErrorKind::Saved, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_kept_as_it_means_and_used_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let saved = SavedSearches::of(dir.path());
        assert_eq!(saved.all().unwrap(), BTreeMap::new());
        let query: Query = "since:7d verdict:deny".parse().unwrap();
        saved.keep("denied", &query).unwrap();
        saved.keep("all", &Query::all()).unwrap();
        let all = SavedSearches::of(dir.path()).all().unwrap();
        assert_eq!(all["denied"], "started:>=7d verdict:deny");

        let known = |name: &str| all.get(name).and_then(|text| text.parse().ok());
        let used = Query::parse("@denied tool:Bash", &known).unwrap();
        assert_eq!(used.to_string(), "started:>=7d verdict:deny tool:bash");
        assert_eq!(Query::parse("@all", &known), Ok(Query::all()));
        for (text, told) in [
            ("a @none", "at character 3: there is no saved search `none`"),
            (
                "-@denied",
                "at character 2: a saved search cannot be turned round",
            ),
        ] {
            let error = Query::parse(text, &known).unwrap_err();
            assert_eq!(error.to_string(), told);
        }
        assert!("@denied".parse::<Query>().is_err());
        assert!(Query::parse("\"@denied\"", &known).is_ok());

        assert!(saved.forget("denied").unwrap());
        assert!(!saved.forget("denied").unwrap());
        for name in ["", "Denied", "a b", "1st", &"a".repeat(65)] {
            let error = saved.keep(name, &query).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Name, "{name}");
        }
    }

    #[test]
    fn a_file_that_is_something_else_is_no_empty_list() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("searches.json"), "[]").unwrap();
        let saved = SavedSearches::of(dir.path());
        assert_eq!(saved.all().unwrap_err().kind(), ErrorKind::Saved);
        assert!(saved.keep("a", &Query::all()).is_err());
    }
}
