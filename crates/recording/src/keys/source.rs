//! Where the top key comes from, under which all other keys of the book are wrapped.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{KeyCommand, Recipient, key::Key};
use crate::{
    Error, ErrorKind,
    folder::{read_private, sync_folder, write_private},
};

/// Where the keys of a book come from.
///
/// The default is the file `book.key` in the folder of the book, which is made with it. It keeps the
/// book from nobody who has the folder, but lets what is in it be destroyed; keep it elsewhere, or
/// with a key management service, to have copies of the folder that tell nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySource {
    top: Top,
    recipient: Option<Recipient>,
    identity: Option<PathBuf>,
}

/// What has the top key.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Top {
    /// A file, or the one in the folder of the book.
    File(Option<PathBuf>),
    /// Another program.
    Command(KeyCommand),
}

impl KeySource {
    /// A file that its owner alone may read. It is made with the book.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            top: Top::File(Some(path.into())),
            ..Self::default()
        }
    }

    /// Programs that wrap and unwrap.
    pub fn command(command: KeyCommand) -> Self {
        Self {
            top: Top::Command(command),
            ..Self::default()
        }
    }

    /// Seals the keys of new scopes to this recipient: whoever writes the book can read only what is
    /// under way. To read the rest takes the recipient's identity.
    #[must_use]
    pub fn sealed_to(self, recipient: Recipient) -> Self {
        Self {
            recipient: Some(recipient),
            ..self
        }
    }

    /// Reads what was sealed to the recipient whose identity is in this file, as `age-keygen` writes
    /// it.
    #[must_use]
    pub fn with_identity(self, path: impl Into<PathBuf>) -> Self {
        Self {
            identity: Some(path.into()),
            ..self
        }
    }

    pub(super) const fn recipient(&self) -> Option<&Recipient> {
        self.recipient.as_ref()
    }

    pub(super) fn identity(&self) -> Option<&Path> {
        self.identity.as_deref()
    }

    /// What it is, in one word, for those who look for the key.
    pub(super) const fn word(&self) -> &'static str {
        match self.top {
            Top::File(_) => "file",
            Top::Command(_) => "command",
        }
    }

    /// Makes the top key where there is none yet, if it is one to be made here.
    pub(super) fn create(&self, folder: &Path) -> Result<(), Error> {
        match &self.top {
            Top::File(path) => {
                let path = file(folder, path.as_deref());
                match path.try_exists() {
                    Ok(true) => Ok(()),
                    Ok(false) => write(&path, &Key::random()?),
                    Err(error) => Err(unusable(error)),
                }
            }
            Top::Command(_) => Ok(()),
        }
    }

    /// Wraps the tenant key.
    pub(super) fn wrap(&self, folder: &Path, place: &[u8], key: &Key) -> Result<Vec<u8>, Error> {
        match &self.top {
            Top::File(path) => {
                let top = read(&file(folder, path.as_deref()))?;
                Ok(top.wrap(&[TENANT, place], key)?.to_vec())
            }
            Top::Command(command) => {
                let wrapped = command.run(&command.wrap, key.bytes())?;
                // What cannot be unwrapped must not be all that is left of the key.
                let again = command.run(&command.unwrap, &wrapped)?;
                if **again != key.bytes()[..] {
                    let why = "the programs do not give back what they wrapped";
                    return Err(Error::because(ErrorKind::TopKey, why));
                }
                Ok(wrapped.to_vec())
            }
        }
    }

    /// Unwraps the tenant key.
    pub(super) fn unwrap(&self, folder: &Path, place: &[u8], wrapped: &[u8]) -> Result<Key, Error> {
        match &self.top {
            Top::File(path) => {
                let path = file(folder, path.as_deref());
                let open = |path: &Path| {
                    let key = read(path)?.unwrap(&[TENANT, place], wrapped);
                    key.ok_or_else(|| Error::from(ErrorKind::TopKeyWrong))
                };
                // A rotation that was cut off may have left the new one beside the old.
                open(&path).or_else(|error| open(&next(&path)).map_err(|_| error))
            }
            Top::Command(command) => {
                let key = Key::from_bytes(&command.run(&command.unwrap, wrapped)?);
                key.ok_or_else(|| ErrorKind::TopKeyWrong.into())
            }
        }
    }

    /// Makes the top key of a rotation, beside the one that is, if it is one to be made here.
    pub(super) fn create_next(&self, folder: &Path) -> Result<(), Error> {
        match &self.top {
            Top::File(path) => write(&next(&file(folder, path.as_deref())), &Key::random()?),
            Top::Command(_) => Ok(()),
        }
    }

    /// Wraps the tenant key of a rotation.
    pub(super) fn wrap_next(
        &self,
        folder: &Path,
        place: &[u8],
        key: &Key,
    ) -> Result<Vec<u8>, Error> {
        match &self.top {
            Top::File(path) => {
                let top = read(&next(&file(folder, path.as_deref())))?;
                Ok(top.wrap(&[TENANT, place], key)?.to_vec())
            }
            Top::Command(_) => self.wrap(folder, place, key),
        }
    }

    /// Puts the top key of a rotation in the place of the one before, of which nothing is left in
    /// the file.
    pub(super) fn settle_next(&self, folder: &Path) -> Result<(), Error> {
        let Top::File(path) = &self.top else {
            return Ok(());
        };
        let path = file(folder, path.as_deref());
        let settle = || -> io::Result<()> {
            if let Ok(file) = OpenOptions::new().write(true).open(&path) {
                let length = usize::try_from(file.metadata()?.len())
                    .unwrap_or(0)
                    .min(1 << 10);
                (&file).write_all(&vec![0; length])?;
                file.sync_all()?;
            }
            fs::rename(next(&path), &path)?;
            sync_folder(&path)
        };
        settle().map_err(unusable)
    }

    /// Ends a rotation that was cut off. `ring` is what the keys are wrapped under.
    pub(super) fn settle(&self, folder: &Path, place: &[u8], wrapped: &[u8]) -> Result<(), Error> {
        let Top::File(path) = &self.top else {
            return Ok(());
        };
        let path = file(folder, path.as_deref());
        let next = next(&path);
        if !next.exists() {
            return Ok(());
        }
        let opens = |path: &Path| {
            let key = read(path).ok();
            key.is_some_and(|key| key.unwrap(&[TENANT, place], wrapped).is_some())
        };
        match (opens(&path), opens(&next)) {
            (true, _) => fs::remove_file(&next).map_err(unusable),
            (false, true) => self.settle_next(folder),
            (false, false) => Ok(()),
        }
    }
}

impl Default for Top {
    fn default() -> Self {
        Self::File(None)
    }
}

fn file(folder: &Path, path: Option<&Path>) -> PathBuf {
    match path {
        Some(path) => path.to_owned(),
        None => folder.join(BOOK_KEY),
    }
}

/// Where the top key of a rotation lies until the keys are wrapped under it.
fn next(path: &Path) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".next");
    path.into()
}

fn read(path: &Path) -> Result<Key, Error> {
    let text = File::open(path).and_then(read_private).map_err(unusable)?;
    let key = text.trim_end().strip_prefix(PREFIX).and_then(|text| {
        let bytes = Zeroizing::new(STANDARD.decode(text).ok()?);
        Key::from_bytes(&bytes)
    });
    key.ok_or_else(|| Error::because(ErrorKind::TopKey, "the file holds no key of a book"))
}

fn write(path: &Path, key: &Key) -> Result<(), Error> {
    let text = Zeroizing::new(STANDARD.encode(key.bytes()));
    let text = Zeroizing::new(format!("{PREFIX}{}\n", *text));
    write_private(path, &text).map_err(unusable)
}

fn unusable(error: io::Error) -> Error {
    Error::because(ErrorKind::TopKey, error)
}

/// The file in the folder of the book.
pub(crate) const BOOK_KEY: &str = "book.key";
const PREFIX: &str = "tollbook-book-key-v1:";
const TENANT: &[u8] = b"tenant";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_once_and_read_by_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let source = KeySource::default();
        assert!(
            source
                .wrap(dir.path(), b"place", &Key::random().unwrap())
                .is_err()
        );
        source.create(dir.path()).unwrap();
        let path = dir.path().join(BOOK_KEY);
        let text = std::fs::read(&path).unwrap();
        source.create(dir.path()).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), text);

        let key = Key::random().unwrap();
        let wrapped = source.wrap(dir.path(), b"place", &key).unwrap();
        let opened = source.unwrap(dir.path(), b"place", &wrapped).unwrap();
        assert_eq!(opened.bytes(), key.bytes());
        let other = source.unwrap(dir.path(), b"other", &wrapped).unwrap_err();
        assert_eq!(other.kind(), &ErrorKind::TopKeyWrong);

        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
            let open = source.unwrap(dir.path(), b"place", &wrapped).unwrap_err();
            assert_eq!(open.kind(), &ErrorKind::TopKey);
        }
    }

    #[cfg(unix)]
    #[test]
    fn programs_that_lose_the_key_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let run = |script: &str| ["sh", "-c", script].map(str::to_owned).to_vec();
        let key = Key::random().unwrap();
        let source = KeySource::command(KeyCommand::new(run("base64"), run("base64 -d")));
        let wrapped = source.wrap(dir.path(), b"place", &key).unwrap();
        let opened = source.unwrap(dir.path(), b"place", &wrapped).unwrap();
        assert_eq!(opened.bytes(), key.bytes());

        let lossy = KeySource::command(KeyCommand::new(run("base64"), run("head -c 32 /dev/zero")));
        let refused = lossy.wrap(dir.path(), b"place", &key).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::TopKey);
    }
}
