//! The last good key set, on disk, for a gate that starts while an issuer is down.
//!
//! Who can write the file can make keys that count. So it is the owner's alone, in a folder that
//! nobody else may write to, and anything else is not read.

use std::{
    fs, io,
    io::{Read, Write},
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tollbook_exchange::Timestamp;

use super::load::DOCUMENT_LIMIT;
use crate::digest::{sha256, write_hex};

/// Where the key set of one issuer is saved.
#[derive(Clone)]
pub(super) struct Saved {
    path: PathBuf,
    issuer: String,
    source: String,
}

/// A key set as it was fetched.
#[derive(Debug)]
pub(super) struct Set {
    pub(super) document: Bytes,
    /// How long ago, by the calendar.
    pub(super) age: Duration,
}

/// Why a saved key set is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum SavedFault {
    #[error("cannot be read")]
    Io(#[from] io::Error),
    #[error("is no file of its own")]
    NoFile,
    #[error("can be read or written by others")]
    Exposed,
    #[error("is in a folder that others can write to")]
    ExposedFolder,
    #[error("is too large")]
    TooLarge,
    #[error("is malformed")]
    Malformed,
    #[error("is another issuer's, or from another place")]
    Foreign,
    #[error("was fetched in the future")]
    FromFuture,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    /// The issuer's own name for itself.
    issuer: String,
    /// Where the set is published. An operator who moves it does not want the old one back.
    source: String,
    /// Seconds since 1970.
    fetched: i64,
    /// The key set, byte for byte.
    keys: String,
}

/// The largest file: the largest document, each of whose bytes may need an escape.
const FILE_LIMIT: usize = 2 * DOCUMENT_LIMIT + 8 * 1024;
/// How far the clock may have gone back between two starts.
const MOST_SKEW: i64 = 60;

impl Saved {
    pub(super) fn new(folder: &Path, issuer: &str, source: &str) -> Self {
        let mut name = "jwks-".to_owned();
        // A `String` takes whatever is written to it.
        write_hex(&mut name, &sha256(issuer.as_bytes())[..8]).ok();
        name.push_str(".json");
        Self {
            path: folder.join(name),
            issuer: issuer.to_owned(),
            source: source.to_owned(),
        }
    }

    /// The set, or none if there is no file. Blocks.
    pub(super) fn read(&self, now: Timestamp) -> Result<Option<Set>, SavedFault> {
        let text = match self.text() {
            Err(SavedFault::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(None);
            }
            text => text?,
        };
        let saved: Document = serde_json::from_str(&text).map_err(|_| SavedFault::Malformed)?;
        if saved.issuer != self.issuer || saved.source != self.source {
            return Err(SavedFault::Foreign);
        }
        let age = seconds(now).saturating_sub(saved.fetched);
        if age < -MOST_SKEW {
            return Err(SavedFault::FromFuture);
        }
        Ok(Some(Set {
            document: saved.keys.into(),
            age: Duration::from_secs(age.try_into().unwrap_or(0)),
        }))
    }

    /// Puts a set in the place of the one before, wholly or not at all. Blocks.
    pub(super) fn write(&self, document: &[u8], fetched: Timestamp) -> io::Result<()> {
        let text = serde_json::to_vec(&Document {
            issuer: self.issuer.clone(),
            source: self.source.clone(),
            fetched: seconds(fetched),
            keys: String::from_utf8_lossy(document).into_owned(),
        })?;
        if text.len() > FILE_LIMIT {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        if let Some(folder) = self.path.parent() {
            make_folder(folder)?;
        }
        let temporary = self
            .path
            .with_extension(format!("json.{}", std::process::id()));
        let written =
            write_new(&temporary, &text).and_then(|()| fs::rename(&temporary, &self.path));
        if written.is_err() {
            // What is left of it is of no use; that there is nothing left is no error.
            fs::remove_file(&temporary).ok();
        }
        written
    }

    fn text(&self) -> Result<String, SavedFault> {
        // Not the file behind a link, which may be anybody's.
        if !fs::symlink_metadata(&self.path)?.is_file() {
            return Err(SavedFault::NoFile);
        }
        let file = fs::File::open(&self.path)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            if file.metadata()?.permissions().mode() & 0o077 != 0 {
                return Err(SavedFault::Exposed);
            }
            let folder = self.path.parent().unwrap_or(Path::new("."));
            if fs::metadata(folder)?.permissions().mode() & 0o022 != 0 {
                return Err(SavedFault::ExposedFolder);
            }
        }
        let mut text = Vec::new();
        file.take(FILE_LIMIT as u64 + 1).read_to_end(&mut text)?;
        if text.len() > FILE_LIMIT {
            return Err(SavedFault::TooLarge);
        }
        String::from_utf8(text).map_err(|_| SavedFault::Malformed)
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn write_new(path: &Path, text: &[u8]) -> io::Result<()> {
    // Left by a process of the same id that ended while it wrote.
    fs::remove_file(path).ok();
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(text)?;
    // Otherwise a crash could leave the new name with nothing in it.
    file.sync_all()
}

fn seconds(time: Timestamp) -> i64 {
    time.as_micros().div_euclid(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ISSUER: &str = "https://ci.example";
    const SOURCE: &str = "https://ci.example/jwks";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn what_was_written_is_read_with_its_age() {
        let folder = tempfile::tempdir().unwrap();
        let saved = Saved::new(&folder.path().join("new/keys"), ISSUER, SOURCE);
        assert!(saved.read(at(0)).unwrap().is_none());
        for document in ["first", "{\"keys\": []}\n"] {
            saved.write(document.as_bytes(), at(1000)).unwrap();
            let set = saved.read(at(1090)).unwrap().unwrap();
            assert_eq!(set.document, document);
            assert_eq!(set.age.as_secs(), 90);
        }
        // The clock went back a little, or a lot.
        assert_eq!(saved.read(at(990)).unwrap().unwrap().age, Duration::ZERO);
        assert!(matches!(saved.read(at(900)), Err(SavedFault::FromFuture)));

        let files: Vec<_> = fs::read_dir(saved.path.parent().unwrap())
            .unwrap()
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files.len(), 1);
        assert!(files[0].starts_with("jwks-") && files[0].len() == "jwks-.json".len() + 16);
    }

    #[cfg(unix)]
    #[test]
    fn what_others_could_have_written_or_seen_is_not_read() {
        use std::os::unix::fs::{PermissionsExt, symlink};

        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let saved = Saved::new(&keys, ISSUER, SOURCE);
        saved.write(b"{}", at(0)).unwrap();
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let is = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((is(&saved.path), is(&keys)), (0o600, 0o700));

        mode(&saved.path, 0o640);
        assert!(matches!(saved.read(at(0)), Err(SavedFault::Exposed)));
        mode(&saved.path, 0o600);
        mode(&keys, 0o777);
        assert!(matches!(saved.read(at(0)), Err(SavedFault::ExposedFolder)));
        mode(&keys, 0o700);
        assert!(saved.read(at(0)).is_ok());

        let elsewhere = keys.join("elsewhere");
        fs::rename(&saved.path, &elsewhere).unwrap();
        symlink(&elsewhere, &saved.path).unwrap();
        assert!(matches!(saved.read(at(0)), Err(SavedFault::NoFile)));
    }

    #[test]
    fn other_files_are_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let saved = Saved::new(&keys, ISSUER, SOURCE);
        saved.write(b"{}", at(0)).unwrap();
        let moved = Saved::new(&keys, ISSUER, "https://ci.example/other");
        assert!(matches!(moved.read(at(0)), Err(SavedFault::Foreign)));
        let mut other = Saved::new(&keys, "https://other.example", SOURCE);
        assert!(other.read(at(0)).unwrap().is_none());
        other.path.clone_from(&saved.path);
        assert!(matches!(other.read(at(0)), Err(SavedFault::Foreign)));

        let put = |text: &[u8]| {
            write_new(&saved.path, text).unwrap();
            saved.read(at(0))
        };
        assert!(matches!(put(b""), Err(SavedFault::Malformed)));
        assert!(matches!(put(b"\xff"), Err(SavedFault::Malformed)));
        assert!(matches!(put(b"{\"keys\":[]}"), Err(SavedFault::Malformed)));
        assert!(matches!(
            put(&vec![b' '; FILE_LIMIT + 1]),
            Err(SavedFault::TooLarge)
        ));
    }
}
