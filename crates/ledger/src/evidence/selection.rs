//! Which exchanges evidence is about.

use std::collections::{BTreeSet, HashSet};

use crate::{Header, Kind};

/// Which exchanges evidence is about. The default is all of a log.
///
/// It speaks of what stands in leaves and of nothing else, so that whoever has the leaves can see
/// by himself what it takes. An exchange is taken for what the leaf of its intent says, with all
/// its entries. What closes a session goes with the session, and the book's own entries are taken
/// by their time, unless exchanges or a session were asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only these exchanges; if there are none here, any.
    pub exchanges: BTreeSet<[u8; 16]>,
    /// Only those of this session.
    pub session: Option<[u8; 16]>,
    /// Only those whose intent was recorded then or later, in microseconds since
    /// 1970-01-01T00:00:00Z.
    pub since: Option<i64>,
    /// Only those whose intent was recorded before.
    pub until: Option<i64>,
}

/// Goes through a log with a [`Selection`].
///
/// It remembers the exchanges that it took, and of a selection that takes all of them none.
#[derive(Debug)]
pub struct Selector<'a> {
    selection: &'a Selection,
    taken: HashSet<[u8; 16]>,
    intents: u64,
    outcomes: u64,
}

impl Selection {
    /// Whether it takes every exchange.
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it takes all of one session and nothing else.
    pub fn is_session(&self) -> bool {
        let session = Self {
            session: self.session,
            ..Self::default()
        };
        self.session.is_some() && *self == session
    }

    /// Whether it takes the entry for what its own leaf says.
    fn takes(&self, header: &Header) -> bool {
        (self.exchanges.is_empty() || self.exchanges.contains(&header.exchange))
            && self.session.is_none_or(|session| session == header.session)
            && self.since.is_none_or(|since| since <= header.time)
            && self.until.is_none_or(|until| header.time < until)
    }
}

impl<'a> Selector<'a> {
    /// Begins at the beginning of a log.
    pub fn new(selection: &'a Selection) -> Self {
        Self {
            selection,
            taken: HashSet::new(),
            intents: 0,
            outcomes: 0,
        }
    }

    /// Whether the entry belongs to an exchange that is taken. Entries come in the log's order.
    pub fn entry(&mut self, header: &Header) -> bool {
        let all = self.selection.is_all();
        let taken = match header.kind {
            Kind::Outcome => all || self.taken.contains(&header.exchange),
            _ => all || self.selection.takes(header),
        };
        match header.kind {
            Kind::Intent if taken => {
                self.intents += 1;
                if !all {
                    self.taken.insert(header.exchange);
                }
            }
            Kind::Outcome if taken => self.outcomes += 1,
            _ => {}
        }
        taken
    }

    /// The number of exchanges so far.
    pub const fn exchanges(&self) -> u64 {
        self.intents
    }

    /// How many of them have no outcome so far.
    pub const fn open(&self) -> u64 {
        self.intents.saturating_sub(self.outcomes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(kind: Kind, time: i64, exchange: u8, session: u8) -> Header {
        Header {
            kind,
            period: 0,
            sequence: 0,
            time,
            exchange: [exchange; 16],
            session: [session; 16],
            link: crate::Chain::new().next(kind),
            seal: crate::Seal::PLAIN,
        }
    }

    #[test]
    fn an_exchange_is_taken_for_its_intent_and_with_all_its_entries() {
        let log = [
            header(Kind::Intent, 10, 1, 1),
            header(Kind::Intent, 20, 2, 2),
            // The outcome of a session of its own, and after the end of the times.
            header(Kind::Outcome, 50, 1, 9),
            header(Kind::Outcome, 21, 2, 2),
            header(Kind::Intent, 30, 3, 1),
            header(Kind::Close, 25, 0, 1),
            header(Kind::Heartbeat, 26, 0, 0),
        ];
        let taken = |selection: &Selection| -> Vec<usize> {
            let mut selector = Selector::new(selection);
            let entries = log.iter().enumerate();
            let taken = entries.filter(|(_, header)| selector.entry(header));
            taken.map(|(place, _)| place).collect()
        };
        let all = Selection::default();
        assert_eq!(taken(&all), [0, 1, 2, 3, 4, 5, 6]);
        let session = Selection {
            session: Some([1; 16]),
            ..all.clone()
        };
        assert_eq!(taken(&session), [0, 2, 4, 5]);
        let times = Selection {
            since: Some(10),
            until: Some(30),
            ..all.clone()
        };
        assert_eq!(taken(&times), [0, 1, 2, 3, 5, 6]);
        let one = Selection {
            exchanges: [[2; 16]].into(),
            ..all.clone()
        };
        assert_eq!(taken(&one), [1, 3]);
        let none = Selection {
            session: Some([1; 16]),
            ..one
        };
        assert_eq!(taken(&none), [0; 0]);

        let mut selector = Selector::new(&session);
        log.iter().for_each(|header| {
            selector.entry(header);
        });
        assert_eq!((selector.exchanges(), selector.open()), (2, 1));
    }
}
