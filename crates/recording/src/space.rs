//! Room on the disk, and whether the journal is still there.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{Config, Error, ErrorKind};

/// Finds out how many bytes are free on the disk of a folder.
#[derive(Clone)]
pub struct FreeSpace(Arc<Ask>);

type Ask = dyn Fn(&Path) -> io::Result<u64> + Send + Sync;

/// How much room the disk has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Enough,
    /// Somebody should make room.
    Low,
    /// So little that it is kept for what is open.
    Reserve,
}

/// Looks each second how the disk does.
#[derive(Debug)]
pub(crate) struct Watch {
    folder: PathBuf,
    journal: PathBuf,
    /// What tells the file apart that was opened.
    file: (u64, u64),
    ask: FreeSpace,
    low: u64,
    reserve: u64,
    space: Space,
    next: Instant,
}

impl FreeSpace {
    /// One that asks this.
    pub fn new(ask: impl Fn(&Path) -> io::Result<u64> + Send + Sync + 'static) -> Self {
        Self(Arc::new(ask))
    }
}

/// Asks the system.
impl Default for FreeSpace {
    fn default() -> Self {
        Self::new(|folder| {
            let disk = rustix::fs::statvfs(folder)?;
            Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
        })
    }
}

impl fmt::Debug for FreeSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FreeSpace").finish_non_exhaustive()
    }
}

impl Space {
    /// The name in records.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Enough => "recovered",
            Self::Low => "low_space",
            Self::Reserve => "reserve",
        }
    }

    /// The state with so many free bytes. It gets better only when there is clearly more room, so
    /// that it does not go to and fro.
    fn with(self, free: u64, low: u64, reserve: u64) -> Self {
        // What is given up in the reserve has to be set aside again.
        let above = |bound: u64, margin: u64| free >= bound.saturating_add(margin);
        match self {
            _ if free < reserve => Self::Reserve,
            Self::Reserve if !above(reserve, reserve.saturating_mul(2)) => Self::Reserve,
            _ if free < low => Self::Low,
            Self::Low | Self::Reserve if !above(low, low / 8) => Self::Low,
            _ => Self::Enough,
        }
    }
}

impl Watch {
    /// Watches the journal that was opened, and sets the reserve aside.
    pub(crate) fn new(config: &Config, journal: PathBuf) -> Result<Self, Error> {
        let watch = Self {
            folder: config.folder.clone(),
            file: identity(&journal).map_err(|e| Error::because(ErrorKind::Folder, e))?,
            journal,
            ask: config.free_space.clone(),
            low: config.low_space,
            reserve: config.reserve,
            space: Space::Enough,
            next: Instant::now(),
        };
        watch.enter(Space::Enough);
        Ok(watch)
    }

    /// When to look again.
    pub(crate) const fn next(&self) -> Instant {
        self.next
    }

    /// Whether the journal's name stands for another file now, or for none: what is written would
    /// go nowhere.
    pub(crate) fn is_gone(&self) -> bool {
        identity(&self.journal).ok() != Some(self.file)
    }

    /// The room on the disk, if it can be found out, and its free bytes.
    pub(crate) fn look(&mut self) -> Option<(Space, u64)> {
        self.next = Instant::now() + INTERVAL;
        let free = (self.ask.0)(&self.folder).ok()?;
        self.space = self.space.with(free, self.low, self.reserve);
        Some((self.space, free))
    }

    /// Sets the reserve aside, or gives it up.
    pub(crate) fn enter(&self, space: Space) {
        let path = self.folder.join(BALLAST);
        let done = match space {
            _ if self.reserve == 0 => return,
            Space::Reserve => fs::remove_file(path),
            _ => set_aside(&path, self.reserve),
        };
        if let Err(error) = done {
            // Then there is only what is free.
            tracing::warn!(%error, "the reserve on the disk of the book could not be changed");
        }
    }
}

#[cfg(target_os = "linux")]
fn set_aside(path: &Path, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate};

    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    if file.metadata()?.len() > bytes {
        file.set_len(bytes)?;
    }
    Ok(fallocate(&file, FallocateFlags::empty(), 0, bytes)?)
}

#[cfg(not(target_os = "linux"))]
fn set_aside(_: &Path, _: u64) -> io::Result<()> {
    Ok(())
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    use std::os::unix::fs::MetadataExt;

    let file = fs::metadata(path)?;
    Ok((file.dev(), file.ino()))
}

const BALLAST: &str = "journal.reserve";
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_gets_better_only_when_there_is_clearly_more_room() {
        let mut space = Space::Enough;
        for (free, expected) in [
            (1000, Space::Enough),
            (799, Space::Low),
            (800, Space::Low),
            (899, Space::Low),
            (900, Space::Enough),
            (99, Space::Reserve),
            (100, Space::Reserve),
            (299, Space::Reserve),
            (300, Space::Low),
            (99, Space::Reserve),
            (950, Space::Enough),
        ] {
            space = space.with(free, 800, 100);
            assert_eq!(space, expected, "{free}");
        }
        assert_eq!(Space::Enough.with(0, 0, 0), Space::Enough);
    }

    #[test]
    fn the_system_knows_what_is_free() {
        let dir = tempfile::tempdir().unwrap();
        assert!((FreeSpace::default().0)(dir.path()).unwrap() > 0);
    }
}
