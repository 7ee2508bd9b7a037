//! Time, as a thing that is handed in.

use tollbook_exchange::Timestamp;

/// Where the engine gets the calendar's time from.
///
/// How long a caller waits is counted by tokio's timer, which never goes back; what ends when is
/// judged by this clock alone.
pub trait Clock: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
