//! Times of a query: points that are named, and what they are when the query is asked.

use jiff::{Timestamp as Instant, ToSpan, civil::Date, tz::TimeZone};
use tollbook_exchange::Timestamp;

/// What "now" and "today" are for a query.
#[derive(Clone, Debug)]
pub struct Clock {
    now: Timestamp,
    zone: TimeZone,
}

impl Clock {
    /// The clock that shows this time, and in whose zone days begin.
    pub const fn new(now: Timestamp, zone: TimeZone) -> Self {
        Self { now, zone }
    }

    /// The system's time, with days that begin in UTC.
    pub fn utc() -> Self {
        Self::new(Timestamp::now(), TimeZone::UTC)
    }
}

/// A point in time as a query names it. It stays as it was written, so that a query that is kept
/// means seven days ago whenever it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Moment {
    /// This time.
    At(Timestamp),
    /// The beginning of this day.
    Day(Date),
    /// So many microseconds ago.
    Ago(i64),
}

impl Moment {
    /// The time it is for this clock, in microseconds since 1970.
    pub(crate) fn micros(self, clock: &Clock) -> i64 {
        match self {
            Self::At(time) => time.as_micros(),
            Self::Ago(micros) => clock.now.as_micros().saturating_sub(micros),
            Self::Day(day) => match day.to_zoned(clock.zone.clone()) {
                Ok(begin) => begin.timestamp().as_microsecond(),
                // Days that no zone has, at the ends of time.
                Err(_) if day.year() < 0 => i64::MIN,
                Err(_) => i64::MAX,
            },
        }
    }

    /// The first point after it: after a day, the next one. `None` at the end of time.
    pub(crate) fn after(self) -> Option<Self> {
        match self {
            Self::At(time) => {
                let after = time.as_micros().checked_add(1)?;
                Instant::from_microsecond(after).ok()?;
                Some(Self::At(Timestamp::from_micros(after)))
            }
            Self::Day(day) => Some(Self::Day(day.checked_add(1.day()).ok()?)),
            Self::Ago(micros) => Some(Self::Ago(micros)),
        }
    }

    /// The day before, of a day; anything else as it is.
    pub(crate) fn last_day(self) -> Self {
        match self {
            Self::Day(day) => Self::Day(day.checked_sub(1.day()).unwrap_or(day)),
            other => other,
        }
    }

    /// Reads an RFC 3339 time, a date, or how long ago.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Some(micros) = super::parse::duration(text) {
            return Some(Self::Ago(micros));
        }
        if let Ok(time) = text.parse::<Timestamp>() {
            return Some(Self::At(time));
        }
        // Only the form that is written with hyphens: `20261122` is a number.
        let date = text.contains('-').then(|| text.parse::<Date>().ok())??;
        (date.to_string() == text).then_some(Self::Day(date))
    }
}

impl std::fmt::Display for Moment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::At(time) => write!(f, "{time}"),
            Self::Day(day) => write!(f, "{day}"),
            Self::Ago(micros) => f.write_str(&super::show::duration(*micros)),
        }
    }
}
