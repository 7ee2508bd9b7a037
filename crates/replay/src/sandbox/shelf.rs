//! The recorded requests, and which of them is the one that is asked.

use tollbook_masking::Masker;
use tollbook_wire_messages::{BodyKind, Endpoint};

use super::{Fallback, How, NeverAsked};
use crate::{
    RecordedExchange,
    meaning::{Closeness, Meaning, Print},
};

/// The recorded requests, in the order in which they were asked.
#[derive(Default)]
pub(super) struct Shelf {
    entries: Vec<Entry>,
    left_out: u64,
}

struct Entry {
    id: String,
    endpoint: Endpoint,
    target: String,
    /// None for a request that has no body, or one that is no JSON.
    print: Option<Print>,
    given: bool,
}

/// What is asked.
pub(super) struct Asked<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) target: &'a str,
    pub(super) print: Option<Print>,
}

/// What was found.
pub(super) enum Chosen {
    Found { id: String, how: How },
    Nothing { nearest: Option<String> },
}

impl Shelf {
    pub(super) fn put(&mut self, recorded: &RecordedExchange, masker: &Masker) {
        let endpoint = match recorded.endpoint() {
            // Probes are answered without the book.
            Some(Endpoint::Probe) => return,
            Some(endpoint) => endpoint,
            None => return self.left_out += 1,
        };
        let has_body = endpoint.body() == BodyKind::Json && !recorded.body().is_empty();
        let print = has_body
            .then(|| Meaning::of_recorded(recorded.body(), masker))
            .flatten()
            .map(|meaning| meaning.print());
        // One that was refused before its body was read could be found by nothing.
        let wants_body = matches!(
            endpoint,
            Endpoint::MessagesCreate | Endpoint::MessagesCountTokens | Endpoint::BatchCreate
        );
        // What was erased would be given again as an empty answer.
        if !recorded.is_whole()
            || recorded.status().is_none()
            || recorded.outcome().is_none()
            || (wants_body && print.is_none())
        {
            self.left_out += 1;
            return;
        }
        self.entries.push(Entry {
            id: recorded.id().to_owned(),
            endpoint,
            target: recorded.target().to_owned(),
            print,
            given: false,
        });
    }

    /// Finds the answer to what is asked, and marks it as given.
    pub(super) fn take(
        &mut self,
        asked: &Asked<'_>,
        fallback: Fallback,
        same_setting: bool,
    ) -> Chosen {
        let found = self.find(asked, fallback, same_setting);
        let Some((place, how)) = found else {
            let nearest = self
                .closest(asked, |entry| !entry.given)
                .or_else(|| self.closest(asked, |_| true));
            return Chosen::Nothing {
                nearest: nearest.map(|place| self.entries[place].id.clone()),
            };
        };
        let entry = &mut self.entries[place];
        entry.given = true;
        Chosen::Found {
            id: entry.id.clone(),
            how,
        }
    }

    fn find(
        &self,
        asked: &Asked<'_>,
        fallback: Fallback,
        same_setting: bool,
    ) -> Option<(usize, How)> {
        let is_exact = |entry: &Entry| match (&asked.print, &entry.print) {
            (Some(now), Some(then)) => now.exact == then.exact,
            (None, None) => entry.target == asked.target,
            _ => false,
        };
        let is_alike = |entry: &Entry| match (&asked.print, &entry.print) {
            (Some(now), Some(then)) => !same_setting && now.alike == then.alike,
            _ => false,
        };
        let first = |fits: &dyn Fn(&Entry) -> bool| {
            let mut entries = self.of(asked.endpoint);
            entries
                .find(|(_, entry)| fits(entry))
                .map(|(place, _)| place)
        };
        let last = |fits: &dyn Fn(&Entry) -> bool| {
            let entries = self.of(asked.endpoint);
            entries
                .filter(|(_, entry)| fits(entry))
                .last()
                .map(|(place, _)| place)
        };
        first(&|entry| !entry.given && is_exact(entry))
            .map(|place| (place, How::Exact))
            // The last one: after a row of tries, that is the one that the client was content with.
            .or_else(|| last(&is_exact).map(|place| (place, How::Again)))
            .or_else(|| {
                let place = self.closest(asked, |entry| !entry.given && is_alike(entry))?;
                Some((place, How::Alike))
            })
            .or_else(|| last(&is_alike).map(|place| (place, How::Again)))
            .or_else(|| {
                let can_follow = |entry: &Entry| {
                    let stream = |print: &Option<Print>| print.as_ref().map(|print| print.stream);
                    // Who asks for a stream cannot read a document.
                    !entry.given && stream(&entry.print) == stream(&asked.print)
                };
                let next = fallback == Fallback::Next;
                let place = next.then(|| self.closest(asked, can_follow)).flatten()?;
                Some((place, How::Next))
            })
    }

    /// The entry that is closest to what is asked; of several, the earliest.
    fn closest(&self, asked: &Asked<'_>, fits: impl Fn(&Entry) -> bool) -> Option<usize> {
        let closeness = |entry: &Entry| -> Option<Closeness> {
            let prints = asked.print.as_ref().zip(entry.print.as_ref());
            prints.map(|(now, then)| now.closeness(then))
        };
        let entries = self.of(asked.endpoint).filter(|(_, entry)| fits(entry));
        entries
            .rev()
            .max_by_key(|(_, entry)| closeness(entry))
            .map(|(place, _)| place)
    }

    fn of(&self, endpoint: Endpoint) -> impl DoubleEndedIterator<Item = (usize, &Entry)> {
        let entries = self.entries.iter().enumerate();
        entries.filter(move |(_, entry)| entry.endpoint == endpoint)
    }

    pub(super) const fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) const fn left_out(&self) -> u64 {
        self.left_out
    }

    pub(super) fn never_asked(&self) -> Vec<NeverAsked> {
        let left = self.entries.iter().filter(|entry| !entry.given);
        left.map(|entry| NeverAsked {
            exchange: entry.id.clone(),
            action: entry.endpoint.action().to_owned(),
        })
        .collect()
    }
}
