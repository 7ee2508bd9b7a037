//! How long to wait before the next try.

use std::time::Duration;

use crate::Clock;

/// Waits grow by the double, to a limit; half of each is up to chance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// The longest that another side may ask to be left alone.
const ASKED: Duration = Duration::from_secs(3_600);

impl Backoff {
    /// The wait after one more failure. `asked` is what the other side wants; it gets no less.
    pub(crate) fn next(&mut self, asked: Option<Duration>, clock: &dyn Clock) -> Duration {
        let doubled = FIRST.saturating_mul(2_u32.saturating_pow(self.failures.min(16)));
        self.failures = self.failures.saturating_add(1);
        let wait = doubled.min(LONGEST);
        let wait = wait.mul_f64(0.5 + 0.5 * clock.chance().clamp(0.0, 1.0));
        wait.max(asked.unwrap_or_default().min(ASKED))
    }

    /// It went well.
    pub(crate) const fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use tollbook_exchange::Timestamp;

    use super::*;

    struct Dice(f64);

    impl Clock for Dice {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(0)
        }

        fn chance(&self) -> f64 {
            self.0
        }
    }

    #[test]
    fn waits_grow_to_a_limit_and_are_spread() {
        let seconds = |dice: f64| {
            let mut backoff = Backoff::default();
            let mut next = || backoff.next(None, &Dice(dice)).as_secs_f64();
            [
                next(),
                next(),
                next(),
                (0..20).map(|_| next()).last().unwrap_or_default(),
            ]
        };
        assert_eq!(seconds(1.0), [1.0, 2.0, 4.0, 300.0]);
        assert_eq!(seconds(0.0), [0.5, 1.0, 2.0, 150.0]);
    }

    #[test]
    fn who_asks_to_be_left_alone_is_for_an_hour_at_most() {
        let mut backoff = Backoff::default();
        let mut next = |asked| backoff.next(Some(Duration::from_secs(asked)), &Dice(1.0));
        assert_eq!(next(90), Duration::from_secs(90));
        assert_eq!(next(1), Duration::from_secs(2));
        assert_eq!(next(1_000_000), Duration::from_secs(3_600));
        backoff.reset();
        assert_eq!(backoff.next(None, &Dice(1.0)), Duration::from_secs(1));
    }
}
