//! The folder that evidence is written into.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::{Error, ErrorKind};

/// A folder for evidence, which was empty.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    pub(super) files: u64,
    pub(super) bytes: u64,
}

/// A file of evidence that is being written.
#[derive(Debug)]
pub(super) struct Growing(BufWriter<File>);

impl Folder {
    /// Creates the folder for its owner alone. One that is there must be empty: what lies in it
    /// already would be taken for evidence.
    pub(super) fn create(path: &Path) -> Result<Self, Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(evidence)?;
        if fs::read_dir(path).map_err(evidence)?.next().is_some() {
            return Err(evidence(io::Error::other("the folder is not empty")));
        }
        Ok(Self {
            path: path.to_owned(),
            files: 0,
            bytes: 0,
        })
    }

    /// Writes a file.
    pub(super) fn put(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let mut file = self.begin(name)?;
        file.add(bytes)?;
        self.end(file, bytes.len() as u64)
    }

    /// Begins a file, which [`end`](Self::end) counts.
    pub(super) fn begin(&self, name: &str) -> Result<Growing, Error> {
        let path = self.path.join(name);
        let file = File::create_new(&path).or_else(|error| match path.parent() {
            Some(parent) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(parent)?;
                File::create_new(&path)
            }
            _ => Err(error),
        });
        Ok(Growing(BufWriter::new(file.map_err(evidence)?)))
    }

    pub(super) fn end(&mut self, file: Growing, bytes: u64) -> Result<(), Error> {
        let done = file.0.into_inner();
        done.map_err(|error| evidence(error.into_error()))?;
        self.files += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// Reads files that were written before.
    pub(super) fn reader(&self) -> impl Fn(&str) -> Result<Vec<u8>, Error> + use<> {
        let path = self.path.clone();
        move |name| fs::read(path.join(name)).map_err(evidence)
    }
}

impl Growing {
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.0.write_all(bytes).map_err(evidence)
    }
}

fn evidence(error: io::Error) -> Error {
    Error::because(ErrorKind::Evidence, error)
}
