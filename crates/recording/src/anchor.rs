//! The anchor: the newest checkpoint, kept apart from the book.
//!
//! A book that was restored from a copy is a whole book, only an older one. What tells it is a
//! checkpoint that was not restored with it: so the anchor lies in another place, on another disk or
//! machine, and is part of no backup. It is changed by compare and swap, so that of two recorders
//! that write on under the same name the second is told.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, mpsc::Receiver},
    time::Duration,
};

use crate::{Error, ErrorKind, folder::owner_only, writer::Shared};

/// The newest checkpoint in a file, claimed for one process until this is dropped.
#[derive(Debug)]
pub(crate) struct Anchor {
    path: PathBuf,
    /// What the file holds, as far as this process knows.
    held: Option<String>,
    /// What a write that failed would have put there.
    tried: Option<String>,
    _lock: File,
}

/// Why the anchor was not changed.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It holds another checkpoint than the one that was put there: somebody else writes.
    Moved,
    /// It cannot be read or written just now.
    Unreachable(io::Error),
}

impl From<Refused> for Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Moved => ErrorKind::InUse.into(),
            Refused::Unreachable(error) => unusable(error),
        }
    }
}

impl Anchor {
    /// Claims the anchor and reads it. Its folder must be there: one that is not mounted must not
    /// be taken for one that is empty.
    pub(crate) fn claim(path: &Path) -> Result<Self, Error> {
        let lock = owner_only()
            .create(true)
            .truncate(false)
            .open(beside(path, ".lock"))
            .map_err(unusable)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ErrorKind::InUse.into()),
            Err(TryLockError::Error(error)) => return Err(unusable(error)),
        }
        Ok(Self {
            held: read(path).map_err(unusable)?,
            tried: None,
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The checkpoint that it holds: a signed note.
    pub(crate) fn held(&self) -> Option<&str> {
        self.held.as_deref()
    }

    /// Puts a checkpoint in the place of the one that it holds. Durable when this returns.
    pub(crate) fn swap(&mut self, next: &str) -> Result<(), Refused> {
        let found = read(&self.path).map_err(Refused::Unreachable)?;
        // A write that failed may have come as far as the name.
        let is_own = found == self.held || (self.tried.is_some() && found == self.tried);
        if !is_own {
            return Err(Refused::Moved);
        }
        self.tried = Some(next.to_owned());
        self.write(next).map_err(Refused::Unreachable)?;
        self.held = self.tried.take();
        Ok(())
    }

    fn write(&self, text: &str) -> io::Result<()> {
        let fresh = beside(&self.path, ".new");
        let mut file = owner_only().create(true).truncate(true).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, &self.path)?;
        File::open(parent(&self.path))?.sync_all()
    }
}

/// Keeps the anchor close behind the book until the writer is gone, and level with it then.
pub(crate) fn follow(mut anchor: Anchor, over: &Receiver<()>, shared: &Shared) {
    loop {
        let last = !matches!(
            over.recv_timeout(INTERVAL),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout)
        );
        if let Some(head) = shared.head()
            && anchor.held() != Some(head.note.as_str())
        {
            match anchor.swap(&head.note) {
                Ok(()) => shared.anchored(head),
                Err(Refused::Moved) => {
                    shared.stop(MOVED);
                    tracing::error!(anchor = %anchor.path.display(), "{MOVED}");
                    return;
                }
                Err(Refused::Unreachable(error)) => {
                    // Recording goes on: what the anchor does not have yet is what a copy could
                    // take back unseen, and health says how much that is.
                    tracing::warn!(%error, anchor = %anchor.path.display(), "the anchor cannot be written");
                }
            }
        }
        if last {
            return;
        }
    }
}

/// The end of a log, as it was committed.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
    pub(crate) note: String,
}

/// A shared [`Head`].
pub(crate) type SharedHead = Arc<Head>;

fn read(path: &Path) -> io::Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        // Without its folder it is not empty but unreachable.
        Err(error) if error.kind() == io::ErrorKind::NotFound && parent(path).is_dir() => Ok(None),
        Err(error) => Err(error),
    }
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

fn unusable(error: io::Error) -> Error {
    Error::because(ErrorKind::AnchorUnusable, error)
}

/// How far the anchor may be behind: what was written within it can be taken back unseen.
const INTERVAL: Duration = Duration::from_secs(1);
const MOVED: &str =
    "the anchor was changed by somebody else: another recorder writes under this name";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_anchor_is_changed_only_by_whoever_knows_what_it_holds() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        let mut anchor = Anchor::claim(&path).unwrap();
        assert_eq!(anchor.held(), None);
        anchor.swap("one").unwrap();
        anchor.swap("two").unwrap();
        let second = Anchor::claim(&path).unwrap_err();
        assert_eq!(second.kind(), &ErrorKind::InUse);
        drop(anchor);

        let mut anchor = Anchor::claim(&path).unwrap();
        assert_eq!(anchor.held(), Some("two"));
        fs::write(&path, "other").unwrap();
        assert!(matches!(anchor.swap("three"), Err(Refused::Moved)));
        assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        fs::remove_file(&path).unwrap();
        assert!(matches!(anchor.swap("three"), Err(Refused::Moved)));
    }

    #[test]
    fn a_write_that_failed_when_it_was_done_is_known_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("anchor");
        let mut anchor = Anchor::claim(&path).unwrap();
        anchor.swap("one").unwrap();
        // As when the folder could not be synced behind the new name.
        anchor.tried = Some("two".to_owned());
        fs::write(&path, "two").unwrap();
        anchor.swap("three").unwrap();
        assert_eq!(anchor.held(), Some("three"));
        // What was tried once is not known for ever.
        fs::write(&path, "two").unwrap();
        assert!(matches!(anchor.swap("four"), Err(Refused::Moved)));
    }

    #[test]
    fn a_folder_that_is_not_there_is_not_an_empty_anchor() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Anchor::claim(&dir.path().join("unmounted/anchor")).unwrap_err();
        assert_eq!(missing.kind(), &ErrorKind::AnchorUnusable);
        let folder = dir.path().join("mounted");
        fs::create_dir(&folder).unwrap();
        let mut anchor = Anchor::claim(&folder.join("anchor")).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(matches!(anchor.swap("one"), Err(Refused::Unreachable(_))));
    }
}
