//! How fast something is replayed.

use std::time::Duration;

/// How much of the recorded waiting is waited again.
///
/// ```
/// use std::time::Duration;
/// use tollbook_replay::Pace;
///
/// let pace = Pace::recorded().max_pause(Duration::from_secs(2)).speed(2.0);
/// assert_eq!(pace.pause(Duration::from_secs(1)), Duration::from_millis(500));
/// assert_eq!(pace.pause(Duration::from_secs(60)), Duration::from_secs(1));
/// assert_eq!(Pace::at_once().pause(Duration::from_secs(60)), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// How many times as fast; infinity is at once.
    speed: f64,
    max_pause: Option<Duration>,
}

impl Pace {
    /// As it was.
    pub const fn recorded() -> Self {
        Self {
            speed: 1.0,
            max_pause: None,
        }
    }

    /// Without any waiting.
    pub const fn at_once() -> Self {
        Self {
            speed: f64::INFINITY,
            max_pause: None,
        }
    }

    /// So many times as fast. What is no positive number is taken for 1.
    #[must_use]
    pub fn speed(mut self, speed: f64) -> Self {
        self.speed = if speed > 0.0 { speed } else { 1.0 };
        self
    }

    /// Takes no recorded pause for longer than this. It is applied before the speed.
    #[must_use]
    pub const fn max_pause(mut self, longest: Duration) -> Self {
        self.max_pause = Some(longest);
        self
    }

    /// How long to wait where this much passed then.
    pub fn pause(&self, recorded: Duration) -> Duration {
        let kept = self
            .max_pause
            .map_or(recorded, |longest| recorded.min(longest));
        // A pause that no clock can measure is none that anybody would wait for.
        Duration::try_from_secs_f64(kept.as_secs_f64() / self.speed).unwrap_or(kept)
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self::recorded()
    }
}
