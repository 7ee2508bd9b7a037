//! When nobody wrote a log, and why.

use std::fmt;

use crate::{BOOK, Header, Kind, evidence::time_to_text};

/// A time in which a log has no sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silence {
    /// The time of the last entry before it, in microseconds since 1970-01-01T00:00:00Z.
    pub from: i64,
    /// The time of the first entry after it.
    pub to: i64,
    /// The index of that entry.
    pub index: u64,
    /// What the log says of it.
    pub why: Why,
}

/// What a log says of a time without entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// The recorder was stopped, and said so before.
    Stopped,
    /// The recorder ended without a word, as in a crash or a power cut.
    Crashed,
    /// The recorder ran on, but a heartbeat is missing: the machine slept, or the disk hung.
    Late,
}

impl Why {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::Crashed => "crashed",
            Self::Late => "late",
        }
    }
}

impl fmt::Display for Silence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, to) = (time_to_text(self.from), time_to_text(self.to));
        let why = match self.why {
            Why::Stopped => "it was stopped",
            Why::Crashed => "it ended without a word",
            Why::Late => "heartbeats are missing",
        };
        write!(f, "{from} to {to}: {why}")
    }
}

/// Looks for silences while one goes through a log.
///
/// While a recorder runs, it writes a heartbeat at the end of each period, whatever else happens.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// Time and period of the last sign of life; no period after a stop.
    last: Option<(i64, Option<u16>)>,
    /// The time of the last entry of any kind.
    newest: i64,
    silences: Vec<Silence>,
    count: u64,
}

impl Pulse {
    /// No entry so far.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes on to the log's next entry.
    pub fn entry(&mut self, header: &Header) {
        let before = self.newest;
        self.newest = header.time;
        if header.session != BOOK {
            return;
        }
        let running = (header.kind != Kind::Stop).then_some(header.period);
        let last = self.last.replace((header.time, running));
        let Some((time, period)) = last else { return };
        let (from, why) = match (header.kind, period) {
            (Kind::Start, None) => (time, Why::Stopped),
            (Kind::Start, Some(_)) => (before, Why::Crashed),
            (_, Some(period)) if header.time.saturating_sub(time) > patience(period) => {
                (time, Why::Late)
            }
            _ => return,
        };
        self.count += 1;
        if self.silences.len() < crate::MAX_FAULTS {
            self.silences.push(Silence {
                from,
                to: header.time,
                index: header.sequence,
                why,
            });
        }
    }

    /// The silences so far, at most [`MAX_FAULTS`](crate::MAX_FAULTS).
    pub fn silences(&self) -> &[Silence] {
        &self.silences
    }

    /// How many there are.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// The time of the last sign of life and whether it was that the recorder stops.
    pub fn last(&self) -> Option<(i64, bool)> {
        self.last.map(|(time, period)| (time, period.is_none()))
    }
}

/// How late a heartbeat may be: another period for a disk that is slow, and a few seconds for a
/// machine that is.
fn patience(period: u16) -> i64 {
    (2 * i64::from(period) + 5) * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Chain;

    #[test]
    fn silences_are_told_apart() {
        let second = 1_000_000;
        let at = |sequence, kind, time: i64| Header {
            kind,
            period: 60,
            sequence,
            time: time * second,
            exchange: [0; 16],
            session: BOOK,
            link: Chain::new().next(kind),
            seal: crate::Seal::PLAIN,
        };
        let asked = Header {
            session: [1; 16],
            ..at(3, Kind::Intent, 100)
        };
        let mut pulse = Pulse::new();
        for header in [
            at(0, Kind::Start, 0),
            at(1, Kind::Heartbeat, 60),
            at(2, Kind::Heartbeat, 99),
            asked,
            at(4, Kind::Start, 900),
            at(5, Kind::Heartbeat, 1030),
            at(6, Kind::Stop, 1031),
            at(7, Kind::Start, 1032),
        ] {
            pulse.entry(&header);
        }
        let found: Vec<_> = pulse.silences().iter().collect();
        let told = |why, from, to, index| Silence {
            from: from * second,
            to: to * second,
            index,
            why,
        };
        assert_eq!(
            found,
            [
                &told(Why::Crashed, 100, 900, 4),
                &told(Why::Late, 900, 1030, 5),
                &told(Why::Stopped, 1031, 1032, 7),
            ]
        );
        assert_eq!(pulse.last(), Some((1032 * second, false)));
    }
}
