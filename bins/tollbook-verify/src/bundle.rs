//! The files of evidence, read as those of a stranger.

use std::{
    error::Error,
    fmt,
    fs::{self, File},
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

/// There is no evidence that could be checked.
#[derive(Debug)]
pub struct NoEvidence {
    pub(crate) folder: PathBuf,
    pub(crate) why: Option<io::Error>,
}

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    path: PathBuf,
}

/// Why a file cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Absent {
    /// It is not there.
    Missing,
    /// It is larger than one of its kind can be.
    Large,
    /// The system does not let it be read.
    Unreadable,
}

impl Bundle {
    pub(crate) fn open(path: &Path) -> Result<Self, NoEvidence> {
        match fs::read_dir(path) {
            Ok(_) => Ok(Self {
                path: path.to_owned(),
            }),
            Err(error) => Err(NoEvidence {
                folder: path.to_owned(),
                why: Some(error),
            }),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file that is at most `limit` bytes long.
    pub(crate) fn read(&self, name: &str, limit: u64) -> Result<Vec<u8>, Absent> {
        let mut bytes = Vec::new();
        let file = self.stream(name)?;
        file.take(limit.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(|_| Absent::Unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(Absent::Large);
        }
        Ok(bytes)
    }

    /// A file of any length.
    pub(crate) fn stream(&self, name: &str) -> Result<BufReader<File>, Absent> {
        match File::open(self.path.join(name)) {
            Ok(file) => Ok(BufReader::with_capacity(64 << 10, file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Absent::Missing),
            // A file where a folder should be.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(Absent::Missing),
            Err(_) => Err(Absent::Unreadable),
        }
    }

    /// Goes through all that is in the folder. Gives the name of each file, and of what is neither
    /// file nor folder, with whether it is a file.
    pub(crate) fn walk(&self, mut found: impl FnMut(&str, bool)) -> io::Result<()> {
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(self.path.join(&folder))? {
                let entry = entry?;
                let name = format!("{folder}{}", entry.file_name().to_string_lossy());
                // The type of the entry itself: a link is not followed out of the folder.
                let kind = entry.file_type()?;
                if kind.is_dir() {
                    folders.push(format!("{name}/"));
                } else {
                    found(&name, kind.is_file());
                }
            }
        }
        Ok(())
    }
}

impl fmt::Display for Absent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Missing => "the file is missing",
            Self::Large => "the file is larger than one of its kind can be",
            Self::Unreadable => "the file cannot be read",
        })
    }
}

impl fmt::Display for NoEvidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let folder = self.folder.display();
        match &self.why {
            Some(why) => write!(f, "cannot read {folder}: {why}"),
            None => write!(f, "there is no evidence in {folder}: it has no MANIFEST"),
        }
    }
}

impl Error for NoEvidence {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.why.as_ref().map(|why| why as _)
    }
}
