//! The files of the state: who may use them, and the key among them.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use zeroize::{Zeroize, Zeroizing};

use crate::{Error, ErrorKind};

/// The folder, claimed for one process until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if it is missing, for its owner alone, and claims the state in it.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(folder)?;

        let lock = owner_only()
            .create(true)
            .truncate(false)
            .open(path.join("state.lock"))
            .map_err(folder)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::WouldBlock) => Err(ErrorKind::InUse.into()),
            Err(TryLockError::Error(error)) => Err(folder(error)),
        }
    }

    /// The path of the database, which exists and is its owner's alone.
    pub(crate) fn database(&self) -> Result<PathBuf, Error> {
        let path = database(&self.path);
        // SQLite gives its other files the mode of this one.
        let file = owner_only()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(folder)?;
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            file.set_permissions(fs::Permissions::from_mode(0o600))
                .map_err(folder)?;
        }
        drop(file);
        Ok(path)
    }

    /// The key that lies in the folder; a fresh one if there is none and the state is `new`.
    pub(crate) fn key(&self, new: bool) -> Result<MasterKey, Error> {
        match File::open(self.path.join(KEY)) {
            Ok(file) => MasterKey::read(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound && new => {
                let key = MasterKey::generate()?;
                self.write(KEY, &key.to_text())?;
                Ok(key)
            }
            Err(error) => Err(Error::because(ErrorKind::Key, error)),
        }
    }

    /// Writes a new file that survives a power cut.
    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        let write = || {
            let mut file = owner_only().create_new(true).open(self.path.join(name))?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(folder)
    }
}

/// The path of the database in a folder.
pub(crate) fn database(folder: &Path) -> PathBuf {
    folder.join("state.db")
}

/// The secret from which all keys are derived. It prints nothing and is wiped.
pub(crate) struct MasterKey(Zeroizing<[u8; 32]>);

impl MasterKey {
    fn generate() -> Result<Self, Error> {
        let mut bytes = Zeroizing::new([0; 32]);
        getrandom::fill(&mut *bytes).map_err(|_| ErrorKind::Random)?;
        Ok(Self(bytes))
    }

    /// The key that lies in a folder.
    pub(crate) fn of(folder: &Path) -> Result<Self, Error> {
        let file = File::open(folder.join(KEY));
        Self::read(file.map_err(|error| Error::because(ErrorKind::Key, error))?)
    }

    /// The key for one purpose: HKDF with SHA-256 (RFC 5869), the purpose as its `info`.
    pub(crate) fn derive(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        let mut key = Zeroizing::new([0; 32]);
        Salt::new(HKDF_SHA256, b"tollbook state 1")
            .extract(&*self.0)
            .expand(&[purpose.as_bytes()], HKDF_SHA256)
            .and_then(|expanded| expanded.fill(&mut *key))
            .map_err(|_| ErrorKind::Key)?;
        Ok(key)
    }

    /// 64 hexadecimal digits and a line feed.
    fn to_text(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(65));
        for byte in self.0.iter() {
            for digit in [byte >> 4, byte & 15] {
                text.push(char::from_digit(digit.into(), 16).unwrap_or_default());
            }
        }
        text.push('\n');
        text
    }

    fn read(file: File) -> Result<Self, Error> {
        let fail = |error| Error::because(ErrorKind::Key, error);
        let metadata = file.metadata().map_err(fail)?;
        #[cfg(unix)]
        if std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o077 != 0 {
            let error = io::Error::other("the file may be read by others than its owner");
            return Err(fail(error));
        }
        if metadata.len() > 66 {
            return Err(fail(io::Error::other("the file does not hold a key")));
        }
        let text = Zeroizing::new(io::read_to_string(file).map_err(fail)?);
        Self::from_text(text.trim_end()).ok_or_else(|| ErrorKind::Key.into())
    }

    fn from_text(text: &str) -> Option<Self> {
        let mut bytes = Zeroizing::new([0; 32]);
        if text.len() != 64 {
            return None;
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |at: usize| char::from(pair[at]).to_digit(16);
            let mut value = digit(0)? << 4 | digit(1)?;
            *byte = u8::try_from(value).ok()?;
            value.zeroize();
        }
        Some(Self(bytes))
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey(..)")
    }
}

fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

fn folder(error: io::Error) -> Error {
    Error::because(ErrorKind::Folder, error)
}

const KEY: &str = "state.key";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_stay_the_same() {
        let key = MasterKey::generate().unwrap();
        let again = MasterKey::from_text(key.to_text().trim_end()).unwrap();
        assert_eq!(key.derive("a").unwrap(), again.derive("a").unwrap());
        assert_ne!(key.derive("a").unwrap(), key.derive("b").unwrap());
        assert_ne!(*key.derive("a").unwrap(), *key.0);
        assert_eq!(format!("{key:?}"), "MasterKey(..)");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64)] {
            assert!(MasterKey::from_text(text).is_none(), "{text}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::claim(dir.path()).unwrap();
        folder.key(true).unwrap();
        assert!(folder.key(false).is_ok());
        let path = dir.path().join(KEY);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(folder.key(false).unwrap_err().kind(), ErrorKind::Key);
    }
}
