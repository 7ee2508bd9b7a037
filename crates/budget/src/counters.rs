//! The counters of one budget, of which there are never more than so many.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use tollbook_exchange::SessionId;

use crate::{
    budget::{Kind, Limits},
    window::{Amounts, Grid, Window},
};

/// Whose counter it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Key {
    /// The caller of this identity.
    Principal(String),
    /// The group of this name.
    Group(String),
    /// Everybody whose groups are unknown.
    UnknownGroups,
    /// The session.
    Session(SessionId),
    /// What the caller of this identity does without a session.
    NoSession(String),
}

/// What one key has spent, and what its requests under way hold back.
#[derive(Debug, Default)]
pub(crate) struct Counter {
    pub(crate) window: Window,
    pub(crate) held: Amounts,
    /// Requests under way.
    pub(crate) open: u64,
    /// When it was last used, in microseconds since 1970.
    pub(crate) last: i64,
}

impl Counter {
    /// Whether `need` more of this kind is within the limit; if not, when it may be.
    pub(crate) fn fits(&self, kind: Kind, need: u64, limit: u64, at: At) -> Result<(), i64> {
        // What will never fit may as well come again a window later.
        if need > limit {
            return Err(at.grid.free(at.slot()));
        }
        let of = kind.amount();
        let held = of(&self.held).saturating_add(need);
        if of(&self.window.total()).saturating_add(held) <= limit {
            return Ok(());
        }
        // What is held back comes free when requests end, which nobody knows.
        let soon = at.now.saturating_add(SOON);
        let rest = limit.checked_sub(held).ok_or(soon)?;
        Err(self.window.at_most(rest, of, at.grid).unwrap_or(soon))
    }

    fn is_spent(&self, limits: &Limits) -> bool {
        Kind::ALL.iter().any(|kind| {
            let spent = kind.amount()(&self.window.total());
            kind.limit(limits).is_some_and(|limit| spent >= limit)
        })
    }
}

/// A moment in a budget's time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At {
    /// Microseconds since 1970.
    pub(crate) now: i64,
    pub(crate) grid: Grid,
}

impl At {
    pub(crate) const fn slot(self) -> i64 {
        self.grid.slot(self.now)
    }
}

/// The counters of one budget.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    all: HashMap<Key, Counter>,
}

impl Counters {
    /// The counter of `key`, brought up to date, if there is one.
    pub(crate) fn at(&mut self, key: &Key, at: At) -> Option<&mut Counter> {
        let counter = self.all.get_mut(key)?;
        counter.window.advance(at.slot());
        Some(counter)
    }

    /// The counter of `key`, brought up to date and made if there is none. `None` when there are
    /// `most` already and none that may be forgotten.
    pub(crate) fn make(
        &mut self,
        key: &Key,
        at: At,
        limits: &Limits,
        most: usize,
    ) -> Option<&mut Counter> {
        if !self.all.contains_key(key) {
            if self.all.len() >= most {
                self.make_room(at, limits, most);
            }
            if self.all.len() >= most {
                return None;
            }
            self.all.insert(key.clone(), Counter::default());
        }
        let counter = self.at(key, at)?;
        counter.last = at.now;
        Some(counter)
    }

    pub(crate) fn insert(&mut self, key: Key, counter: Counter) {
        self.all.insert(key, counter);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Key, &Counter)> {
        self.all.iter()
    }

    /// Forgets counters that count nothing any more; if there are none, those that were not used for
    /// the longest time. Never one whose limit is reached, which would refill it, and never one with
    /// requests under way. Many go at once, so that not every new key walks over all.
    fn make_room(&mut self, at: At, limits: &Limits, most: usize) {
        self.all.retain(|_, counter| {
            counter.window.advance(at.slot());
            counter.open > 0 || !counter.window.total().is_zero()
        });
        if self.all.len() < most {
            return;
        }
        let mut idle: Vec<(i64, Key)> = (self.all.iter())
            .filter(|(_, counter)| counter.open == 0 && !counter.is_spent(limits))
            .map(|(key, counter)| (counter.last, key.clone()))
            .collect();
        idle.sort_unstable();
        for (_, key) in idle.into_iter().take((most / 16).max(1)) {
            self.all.remove(&key);
        }
    }
}

/// After how long it is worth a try when requests under way are in the way.
const SOON: i64 = 5_000_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at(seconds: i64) -> At {
        At {
            now: seconds * 1_000_000,
            grid: Grid::of(Duration::from_secs(60)),
        }
    }

    fn spend(counters: &mut Counters, name: &str, requests: u64, at: At) -> bool {
        let limits = Limits {
            requests: Some(10),
            ..Limits::default()
        };
        let key = Key::Principal(name.to_owned());
        let Some(counter) = counters.make(&key, at, &limits, 3) else {
            return false;
        };
        let amounts = Amounts {
            requests,
            ..Amounts::default()
        };
        counter.window.add(at.slot(), amounts);
        true
    }

    fn names(counters: &Counters) -> Vec<String> {
        let mut names: Vec<String> = (counters.iter())
            .map(|(key, _)| format!("{key:?}"))
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_one_idle_for_longest_is_forgotten_and_no_spent_one() {
        let mut counters = Counters::default();
        assert!(spend(&mut counters, "spent", 10, at(0)));
        assert!(spend(&mut counters, "old", 9, at(1)));
        assert!(spend(&mut counters, "recent", 1, at(2)));
        assert!(spend(&mut counters, "new", 1, at(3)));
        let expected = ["new", "recent", "spent"].map(|name| format!("Principal({name:?})"));
        assert_eq!(names(&counters), expected);
    }

    #[test]
    fn a_key_finds_no_room_among_spent_ones_until_their_window_is_over() {
        let mut counters = Counters::default();
        for name in ["a", "b", "c"] {
            assert!(spend(&mut counters, name, 10, at(0)));
        }
        assert!(!spend(&mut counters, "d", 1, at(60)));
        assert!(spend(&mut counters, "d", 1, at(61)));
        assert_eq!(names(&counters), ["Principal(\"d\")"]);
    }

    #[test]
    fn a_request_under_way_keeps_its_counter() {
        let mut counters = Counters::default();
        for name in ["a", "b", "c"] {
            assert!(spend(&mut counters, name, 0, at(0)));
        }
        for counter in counters.all.values_mut() {
            counter.open = 1;
        }
        assert!(!spend(&mut counters, "d", 1, at(500)));
    }
}
