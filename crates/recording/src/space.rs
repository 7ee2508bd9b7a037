//! Room on the disk, and whether the journal is still there.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use tollbook_exchange::Timestamp;

use crate::{Config, Error, ErrorKind, database::with_suffix};

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
    /// The files that are written, and what tells each apart.
    files: Vec<(PathBuf, (u64, u64))>,
    /// The two clocks when they were looked at: the one that is set, and the one that is not.
    clocks: (Timestamp, Instant),
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
    /// Watches the journal that was opened and written, and sets the reserve aside.
    pub(crate) fn new(config: &Config, journal: PathBuf) -> Result<Self, Error> {
        // What is committed goes into the write-ahead log first, which is there for as long as
        // somebody has the journal open.
        let files = [with_suffix(&journal, "-wal"), journal].map(|path| {
            let file = identity(&path)?;
            Ok((path, file))
        });
        let files = files.into_iter().collect::<io::Result<_>>();
        let watch = Self {
            folder: config.folder.clone(),
            files: files.map_err(|e| Error::because(ErrorKind::Folder, e))?,
            clocks: (Timestamp::now(), Instant::now()),
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

    /// Whether the name of the journal, or of its log, stands for another file now, or for none: what
    /// is written would go nowhere.
    pub(crate) fn is_gone(&self) -> bool {
        let is_gone = |(path, file): &(PathBuf, _)| identity(path).ok() != Some(*file);
        self.files.iter().any(is_gone)
    }

    /// By how many milliseconds the clock that can be set went another way than the one that cannot,
    /// if it did.
    pub(crate) fn clock_jump(&mut self) -> Option<i64> {
        let (wall, steady) =
            std::mem::replace(&mut self.clocks, (Timestamp::now(), Instant::now()));
        let went = self.clocks.0.as_micros().saturating_sub(wall.as_micros());
        let should = self.clocks.1.duration_since(steady).as_micros();
        let by = went.saturating_sub(i64::try_from(should).unwrap_or(i64::MAX)) / 1000;
        (by.unsigned_abs() >= JUMP_MS).then_some(by)
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
/// More than a clock is usually corrected by at once.
const JUMP_MS: u64 = 1_000;

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
