//! The files of a witness: its key, and what it knows.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
};

use tollbook_ledger::WitnessSigner;
use zeroize::Zeroizing;

use crate::Error;

/// The key of the witness in a folder, which is made if there is none. The folder then is its
/// owner's alone, as the key is.
///
/// # Errors
///
/// When the folder cannot be used, or its key has another name or may be read by others.
pub fn witness_key(folder: impl AsRef<Path>, name: &str) -> Result<WitnessSigner, Error> {
    let folder = folder.as_ref();
    create(folder)?;
    let path = folder.join("key");
    let key = match File::open(&path) {
        Ok(file) => read(file)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut seed = Zeroizing::new([0; 32]);
            getrandom::fill(&mut *seed).map_err(|_| Error::Random)?;
            let key = WitnessSigner::from_seed(name, &seed).map_err(|_| Error::BadName)?;
            let text = Zeroizing::new(format!("{}\n", *key.to_text()));
            place(&path, &text).map_err(Error::Folder)?;
            // Another process may have been faster: the key is the one that is there.
            read(File::open(&path).map_err(Error::Folder)?)?
        }
        Err(error) => return Err(Error::Folder(error)),
    };
    let found = key.witness_key();
    if found.name() != name {
        return Err(Error::Name(found.name().to_owned()));
    }
    write(&folder.join("vkey"), &format!("{found}\n")).map_err(Error::Folder)?;
    Ok(key)
}

/// Creates the folder if it is missing.
pub(crate) fn create(folder: &Path) -> Result<(), Error> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(Error::Folder)
}

/// Puts a text in a file's place. It survives a power cut when this returns, and no power cut leaves
/// a part of it.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

/// Puts a text where nothing is, whole or not at all. What is there already stays.
fn place(path: &Path, text: &str) -> io::Result<()> {
    let mut name = [0; 8];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let fresh = path.with_extension(format!("{:016x}", u64::from_ne_bytes(name)));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&fresh)?;
    let written = file.write_all(text.as_bytes());
    let placed = written
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::hard_link(&fresh, path));
    fs::remove_file(&fresh)?;
    if let Err(error) = placed
        && error.kind() != io::ErrorKind::AlreadyExists
    {
        return Err(error);
    }
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

fn read(file: File) -> Result<WitnessSigner, Error> {
    #[cfg(unix)]
    {
        let metadata = file.metadata().map_err(Error::Folder)?;
        if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
            return Err(Error::Key);
        }
    }
    let text = Zeroizing::new(io::read_to_string(file).map_err(Error::Folder)?);
    WitnessSigner::from_text(text.trim_end()).map_err(|_| Error::Key)
}
