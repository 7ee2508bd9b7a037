//! How a recorder is set up.

use std::{path::PathBuf, time::Duration};

use crate::{FreeSpace, KeySource};

/// Where a [`Recorder`](crate::Recorder) writes and how much it may hold.
///
/// The memory it can take is at most `queue` and, for each of `exchanges`, `step` and one part.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The folder of the book. Created when it is missing.
    pub folder: PathBuf,
    /// The name of the log: a URL without scheme, unique to this gateway, such as
    /// `audit.corp.example/gw1`. Fixed when the book is created.
    pub origin: String,
    /// Bytes of requests and of response parts that may wait to be written. More has to wait with
    /// its caller. 64 MiB unless told.
    pub queue: usize,
    /// Exchanges that may be under way at once. More have to wait. 8192 unless told.
    pub exchanges: usize,
    /// How long a write may take before it counts as failed. 2 seconds unless told.
    pub deadline: Duration,
    /// Bytes of a response that may gather before they are handed to the journal. 256 KiB unless
    /// told.
    pub step: usize,
    /// How often a heartbeat is written, which shows that the book lives when nothing comes. In
    /// whole seconds, at least one. A minute unless told.
    pub heartbeat: Duration,
    /// How long a session may be without a request before its records are counted and it is
    /// closed; it can go on later. Half an hour unless told.
    pub idle: Duration,
    /// The file that the newest checkpoint is kept in, apart from the book: on another disk or
    /// machine, and in no backup. A book that is older than it is not continued. None unless told.
    pub anchor: Option<PathBuf>,
    /// Free bytes on the disk of the book below which [`Health`](crate::Health) warns. 1 GiB unless
    /// told.
    pub low_space: u64,
    /// Free bytes below which nothing new begins, so that what is open can be recorded to its end.
    /// A file of this size is kept in the folder, where the system can set it aside, and given up
    /// then. 32 MiB unless told; 0 for none.
    pub reserve: u64,
    /// How the free bytes are found out; the system is asked unless told.
    pub free_space: FreeSpace,
    /// The file in which is kept what is not recorded, until the book can tell it: in a place where
    /// the disk of the book does no harm. Beside the anchor unless told, and without one in the
    /// folder.
    pub note: Option<PathBuf>,
    /// How long [`Recorder::close`](crate::Recorder::close) waits for what is to be written. 10
    /// seconds unless told.
    pub farewell: Duration,
    /// Where the top key comes from, which the keys of what is recorded are wrapped under. A file
    /// beside the journal unless told.
    pub keys: KeySource,
    /// Bytes that the journal may grow to, if there is to be a limit. Nothing is recorded, and so
    /// nothing passes, beyond it.
    pub limit: Option<u64>,
}

impl Config {
    /// A recorder in `folder` for the log `origin`, otherwise with the usual limits.
    pub fn new(folder: impl Into<PathBuf>, origin: impl Into<String>) -> Self {
        Self {
            folder: folder.into(),
            origin: origin.into(),
            queue: 64 << 20,
            exchanges: 8192,
            deadline: Duration::from_secs(2),
            step: 256 << 10,
            heartbeat: Duration::from_secs(60),
            idle: Duration::from_secs(30 * 60),
            anchor: None,
            low_space: 1 << 30,
            reserve: 32 << 20,
            free_space: FreeSpace::default(),
            note: None,
            farewell: Duration::from_secs(10),
            keys: KeySource::default(),
            limit: None,
        }
    }

    /// The seconds between heartbeats, as leaves have them.
    pub(crate) fn period(&self) -> u16 {
        let seconds = self.heartbeat.as_millis().div_ceil(1000).max(1);
        u16::try_from(seconds).unwrap_or(u16::MAX)
    }
}
