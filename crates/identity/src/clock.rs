//! Time, as a thing that is handed in.

use std::time::{Duration, Instant};

use tollbook_exchange::Timestamp;

/// Where this crate gets its time from.
pub trait Clock: Send + Sync + 'static {
    /// The calendar's time, against which the times in a token are read.
    fn wall(&self) -> Timestamp;

    /// Time since some fixed moment. It never goes back, so that a corrected system clock cannot
    /// revive keys that were given up or let a flood of loads through.
    fn monotonic(&self) -> Duration;
}

/// The system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// The system's clocks; monotonic time counts from now.
    pub fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }
}
