//! Time, as a thing that is handed in.

use std::time::Instant;

use tollbook_exchange::Timestamp;

/// Where this crate gets its time from.
///
/// It has to be the calendar's time, because counters outlive a restart. Time that goes back stands
/// still until it has caught up.
pub trait Clock: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;
}

/// The calendar's time when this was made, and from there on a clock that never goes back: setting
/// the system's clock while the gate runs neither refills a budget nor locks one.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    began: Timestamp,
    origin: Instant,
}

impl SystemClock {
    /// A clock that starts from the system's time now.
    pub fn new() -> Self {
        Self {
            began: Timestamp::now(),
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
    fn now(&self) -> Timestamp {
        let elapsed = u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.began.after_micros(elapsed)
    }
}
