//! Time and chance, as things that are handed in.

use tollbook_exchange::Timestamp;

/// Where sinks get the calendar's time and their dice from. How long they wait is counted by tokio's
/// timer.
pub trait Clock: Send + Sync + 'static {
    /// The time.
    fn now(&self) -> Timestamp;

    /// A number from 0 up to 1, another one each time: so that those who wait for the same server do
    /// not come back all at once.
    fn chance(&self) -> f64;
}

/// The system's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn chance(&self) -> f64 {
        let mut bytes = [0; 4];
        // Without chance all wait for the longest time, which is no fault.
        if getrandom::fill(&mut bytes).is_err() {
            return 1.0;
        }
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}
