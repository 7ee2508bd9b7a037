//! The folder of the book: who may use it, and the key that lies in it.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use tollbook_ledger::{SigningKey, VerifierKey};
use zeroize::Zeroizing;

use crate::{Error, ErrorKind, keys};

/// The folder, claimed for one recorder until this is dropped.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if it is missing, for its owner alone, and claims it.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.create(path).map_err(folder)?;

        let mut lock = owner_only()
            .create(true)
            .truncate(false)
            .open(path.join("journal.lock"))
            .map_err(folder)?;
        match lock.try_lock() {
            Ok(()) => {
                // Nobody else writes it now. Where it cannot be marked, it is told from no copy.
                if let Some(mark) = mark(&lock) {
                    lock.set_len(0).map_err(folder)?;
                    lock.write_all(mark.as_bytes()).map_err(folder)?;
                }
                Ok(Self {
                    path: path.to_owned(),
                    _lock: lock,
                })
            }
            Err(TryLockError::WouldBlock) => Err(ErrorKind::InUse.into()),
            Err(TryLockError::Error(error)) => Err(folder(error)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of the journal, which exists. Only for whoever opens it next: once SQLite has it
    /// open, this would drop the locks on it.
    pub(crate) fn journal(&self) -> Result<PathBuf, Error> {
        let path = journal(&self.path);
        // SQLite gives its other files the mode of this one.
        owner_only()
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(folder)?;
        Ok(path)
    }

    /// The key of the log: the one in the folder, or a fresh one if the book is `new`.
    pub(crate) fn key(&self, origin: &str, new: bool) -> Result<SigningKey, Error> {
        let path = self.path.join("log.key");
        let key = match File::open(&path) {
            Ok(file) => read_key(file)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound && new => {
                let mut seed = Zeroizing::new([0; 32]);
                getrandom::fill(&mut *seed).map_err(|_| ErrorKind::Random)?;
                let key = SigningKey::from_seed(origin, &seed)
                    .map_err(|error| Error::because(ErrorKind::Origin, error))?;
                self.write("log.key", &Zeroizing::new(format!("{}\n", *key.to_text())))?;
                key
            }
            Err(error) => return Err(Error::because(ErrorKind::Key, error)),
        };
        if epoch(key.name(), origin).is_none() {
            return Err(ErrorKind::Origin.into());
        }
        match verifier_key(&self.path)? {
            Some(public) if public == key.verifier_key() => {}
            Some(_) => return Err(ErrorKind::Key.into()),
            None => self.write("log.vkey", &format!("{}\n", key.verifier_key()))?,
        }
        Ok(key)
    }

    /// Refuses a folder in which a book was put aside in part, or books were and none is there: the newest is lost, or an attempt
    /// to recover was cut off. A book that began anew here would have the name of an older one.
    pub(crate) fn check_epochs(&self, origin: &str) -> Result<(), Error> {
        if self.unfinished()?.is_some() {
            return Err(ErrorKind::EpochLost.into());
        }
        let is_there = |name: &str| self.path.join(name).exists();
        if is_there("log.key") || is_there("journal.db") || self.newest_epoch(origin, None)? <= 1 {
            return Ok(());
        }
        Err(ErrorKind::EpochLost.into())
    }

    /// Puts the book aside, into a folder of its own below this one, with what the anchor held. What
    /// was put aside by an attempt before that was cut off stays there, and nothing is put in the
    /// place of another book. Returns the folder.
    pub(crate) fn put_aside(&self, epoch: u32, anchor: Option<&str>) -> Result<PathBuf, Error> {
        let aside = self.aside(epoch);
        let put = || {
            fs::create_dir_all(&aside)?;
            // Until this is gone the files of the book are in two folders, and neither is one.
            let marker = aside.join(UNFINISHED);
            let goes_on = marker.exists();
            let mut moved = false;
            File::create(&marker)?.sync_all()?;
            File::open(&aside)?.sync_all()?;
            File::open(&self.path)?.sync_all()?;
            if let Some(anchor) = anchor {
                fs::write(aside.join("anchor"), anchor)?;
            }
            // The key last: it tells which epoch is put aside.
            let journal = ["attested", "journal.db-wal", "journal.db-shm", "journal.db"];
            let keys = keys::FILES.into_iter().chain([keys::BOOK_KEY]);
            for name in journal
                .into_iter()
                .chain(keys)
                .chain(["log.vkey", "log.key"])
            {
                let (from, to) = (self.path.join(name), aside.join(name));
                if from.exists() && to.exists() {
                    if !goes_on && !moved {
                        // Nothing was begun.
                        fs::remove_file(&marker)?;
                    }
                    return Err(io::ErrorKind::AlreadyExists.into());
                }
                moved |= from.exists();
                match fs::rename(from, to) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
            File::open(&aside)?.sync_all()?;
            File::open(&self.path)?.sync_all()?;
            fs::remove_file(&marker)?;
            File::open(&aside)?.sync_all()
        };
        put().map_err(folder)?;
        Ok(aside)
    }

    /// The number of the newest epoch that is known of: by the key in the folder, by what the anchor
    /// holds, and by those that were put aside. Where one was put aside with its key, another followed.
    pub(crate) fn newest_epoch(&self, origin: &str, anchor: Option<&str>) -> Result<u32, Error> {
        let key = verifier_key(&self.path).ok().flatten();
        let of_key = key.and_then(|key| epoch(key.name(), origin));
        let of_anchor = anchor.and_then(|note| epoch(note.lines().next()?, origin));
        let mut newest = of_key.max(of_anchor).unwrap_or(0);
        for entry in fs::read_dir(&self.path).map_err(folder)? {
            let entry = entry.map_err(folder)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("epoch-"));
            let number: u32 = number.and_then(|n| n.parse().ok()).unwrap_or(0);
            let followed = number > 0 && entry.path().join("log.key").exists();
            newest = newest.max(number.saturating_add(u32::from(followed)));
        }
        Ok(newest.max(1))
    }

    /// Where an epoch lies that was put aside.
    pub(crate) fn aside(&self, epoch: u32) -> PathBuf {
        self.path.join(format!("epoch-{epoch}"))
    }

    /// The number of the epoch that an attempt before put aside in part, if there is one.
    pub(crate) fn unfinished(&self) -> Result<Option<u32>, Error> {
        for entry in fs::read_dir(&self.path).map_err(folder)? {
            let entry = entry.map_err(folder)?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("epoch-"));
            if let Some(number) = number.and_then(|number| number.parse().ok())
                && entry.path().join(UNFINISHED).exists()
            {
                return Ok(Some(number));
            }
        }
        Ok(None)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), Error> {
        write_private(&self.path.join(name), text).map_err(folder)
    }
}

/// The number of the epoch that a log of this name has in the book with this origin. The first has
/// the origin's own name, and those after it a number in theirs.
pub(crate) fn epoch(name: &str, origin: &str) -> Option<u32> {
    if name == origin {
        return Some(1);
    }
    let number = name.strip_prefix(origin)?.strip_prefix("/e")?;
    let parsed = number.parse().ok().filter(|epoch| *epoch > 1)?;
    (epoch_name(origin, parsed) == name).then_some(parsed)
}

/// The name of the log of an epoch.
pub(crate) fn epoch_name(origin: &str, epoch: u32) -> String {
    match epoch {
        0 | 1 => origin.to_owned(),
        epoch => format!("{origin}/e{epoch}"),
    }
}

/// Whether this folder was copied from the one that a recorder has written into last, or was put
/// back from such a copy. Whoever writes into one lets the book have two ends.
///
/// A recorder marks the lock of its folder with what no copy of that file has in common with it. A
/// folder that is moved stays what it is.
pub fn is_copy(folder: &Path) -> bool {
    let Ok(mut lock) = File::open(folder.join("journal.lock")) else {
        // Without the key nothing can be written, and a book without a lock was never written here.
        return !folder.join("log.key").exists();
    };
    let mut marked = String::new();
    let read = io::Read::read_to_string(&mut lock, &mut marked);
    read.is_err() || (!marked.is_empty() && mark(&lock).is_some_and(|mark| mark != marked))
}

/// What a file has in common with no copy of it: its number in its file system, and when it was made.
fn mark(file: &File) -> Option<String> {
    let metadata = file.metadata().ok()?;
    #[cfg(unix)]
    let number = std::os::unix::fs::MetadataExt::ino(&metadata);
    #[cfg(not(unix))]
    let number = 0;
    let made = metadata.created().ok();
    let made = made.and_then(|made| made.duration_since(std::time::UNIX_EPOCH).ok());
    let made = made.map_or(0, |made| made.as_nanos());
    Some(format!("{number} {made}\n")).filter(|_| number != 0)
}

/// The path of the journal in a folder.
pub(crate) fn journal(folder: &Path) -> PathBuf {
    folder.join("journal.db")
}

/// The public key that lies in a folder, if there is one.
pub(crate) fn verifier_key(path: &Path) -> Result<Option<VerifierKey>, Error> {
    match fs::read_to_string(path.join("log.vkey")) {
        Ok(text) => text
            .trim_end()
            .parse()
            .map(Some)
            .map_err(|error: tollbook_ledger::Error| Error::because(ErrorKind::Key, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::because(ErrorKind::Key, error)),
    }
}

fn read_key(file: File) -> Result<SigningKey, Error> {
    let text = read_private(file).map_err(|error| Error::because(ErrorKind::Key, error))?;
    SigningKey::from_text(text.trim_end()).map_err(|error| Error::because(ErrorKind::Key, error))
}

/// The text of a file that nobody but its owner may read.
pub(crate) fn read_private(file: File) -> io::Result<Zeroizing<String>> {
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&file.metadata()?.permissions());
        if mode & 0o077 != 0 {
            return Err(io::Error::other(
                "the file may be read by others than its owner",
            ));
        }
    }
    io::read_to_string(file).map(Zeroizing::new)
}

/// Writes a new file for its owner alone, which survives a power cut, and of which no power cut
/// leaves a part.
pub(crate) fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    let mut file = owner_only().create(true).truncate(true).open(&fresh)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(fresh, path)?;
    sync_folder(path)
}

/// Makes durable that the file is where it is.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => File::open(".")?.sync_all(),
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

/// How files are opened that nobody but their owner may read.
pub(crate) fn owner_only() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Lies in the folder of an epoch while its files are on their way into it.
const UNFINISHED: &str = "unfinished";

fn folder(error: io::Error) -> Error {
    Error::because(ErrorKind::Folder, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::claim(&dir.path().join("book")).unwrap();
        folder.key("log.example", true).unwrap();
        assert!(folder.key("log.example", false).is_ok());

        let key = folder.path().join("log.key");
        let mode = |path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&key), 0o600);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
        let refused = folder.key("log.example", false).unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Key);
    }

    #[test]
    fn a_book_keeps_its_key_and_its_origin() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::claim(dir.path()).unwrap();
        let lost = folder.key("log.example", false).unwrap_err();
        assert_eq!(lost.kind(), &ErrorKind::Key);

        folder.key("log.example", true).unwrap();
        let other = folder.key("log.example/2", false).unwrap_err();
        assert_eq!(other.kind(), &ErrorKind::Origin);
    }

    #[test]
    fn an_epoch_has_one_name() {
        for number in [1, 2, 17] {
            let name = epoch_name("log.example/gw1", number);
            assert_eq!(epoch(&name, "log.example/gw1"), Some(number));
        }
        for other in ["/e1", "/e02", "/e", "/e2/e3", "1", "/gw"] {
            let name = format!("log.example/gw1{other}");
            assert_eq!(epoch(&name, "log.example/gw1"), None, "{name}");
        }
    }

    #[test]
    fn a_copy_is_told_from_the_folder_that_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let (book, copy) = (dir.path().join("book"), dir.path().join("copy"));
        let folder = Folder::claim(&book).unwrap();
        folder.key("log.example", true).unwrap();
        drop(folder);
        assert!(!is_copy(&book));
        let moved = dir.path().join("moved");
        fs::rename(&book, &moved).unwrap();
        assert!(!is_copy(&moved));

        fs::create_dir(&copy).unwrap();
        for name in ["journal.lock", "log.key", "log.vkey"] {
            fs::copy(moved.join(name), copy.join(name)).unwrap();
        }
        assert!(is_copy(&copy));
        // Whoever records into it has decided that it is the book.
        drop(Folder::claim(&copy).unwrap());
        assert!(!is_copy(&copy));
        fs::remove_file(copy.join("journal.lock")).unwrap();
        assert!(!is_copy(&copy), "a book of an earlier build");
        fs::remove_file(copy.join("log.key")).unwrap();
        assert!(is_copy(&copy));
    }

    #[test]
    fn a_folder_has_one_recorder() {
        let dir = tempfile::tempdir().unwrap();
        let first = Folder::claim(dir.path()).unwrap();
        let second = Folder::claim(dir.path()).unwrap_err();
        assert_eq!(second.kind(), &ErrorKind::InUse);
        drop(first);
        assert!(Folder::claim(dir.path()).is_ok());
    }
}
