//! Where rules match, without a change to the text.

use std::{fmt, sync::Arc};

use tollbook_exchange::Operator;
use zeroize::Zeroizing;

use crate::{
    Confidence, Kind, Masker,
    engine::{HISTORY, Sink, State},
};

/// A place where a rule matched. It does not hold what stands there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Found {
    /// The id of the rule.
    pub rule: Arc<str>,
    /// What the rule finds.
    pub kind: Kind,
    /// How sure the rule is.
    pub confidence: Confidence,
    /// What the profile does with it.
    pub operator: Operator,
    /// The index of its first byte, from the beginning of the whole text.
    pub start: u64,
    /// The index behind its last byte.
    pub end: u64,
}

impl Masker {
    /// Where a whole text has what [`Masker::mask`] would mask, in the order of the text.
    pub fn find(&self, text: &[u8]) -> Vec<Found> {
        let (mut at, mut open, mut found) = (0, None, Vec::new());
        let mut sink = Finds::new(self, &mut at, &mut open, &mut found);
        let mut state = State::new(false);
        self.engine
            .run(&self.profile.on, &mut state, text, 0, true, &mut sink);
        // A match may go on to the end of the text.
        found.extend(open);
        found
    }

    /// Looks through a text that comes in pieces. What is found is that of [`Masker::find`], however
    /// the text is cut.
    pub fn finder(&self) -> FindStream {
        FindStream {
            masker: self.clone(),
            state: State::new(false),
            window: Zeroizing::default(),
            held: 0,
            at: 0,
            open: None,
        }
    }
}

/// Looks through one text that comes in pieces.
pub struct FindStream {
    masker: Masker,
    state: State,
    /// What was decided last, then what waits.
    window: Zeroizing<Vec<u8>>,
    /// Where in the window the waiting bytes begin.
    held: usize,
    /// How much of the text is decided.
    at: u64,
    open: Option<Found>,
}

impl FindStream {
    /// Takes the next bytes and appends to `found` what is decided.
    pub fn push(&mut self, bytes: &[u8], found: &mut Vec<Found>) {
        self.window.extend_from_slice(bytes);
        self.run(false, found);
        let keep = self
            .held
            .saturating_sub(HISTORY)
            .max(self.state.floor.min(self.held));
        self.window.drain(..keep);
        self.held -= keep;
        self.state.floor = self.state.floor.saturating_sub(keep);
    }

    /// Ends the text and appends the rest to `found`. The next push begins another text.
    pub fn finish(&mut self, found: &mut Vec<Found>) {
        self.run(true, found);
        found.extend(self.open.take());
        self.state = State::new(false);
        self.window.clear();
        self.held = 0;
        self.at = 0;
    }

    /// What stands before this index is decided, and told.
    pub fn decided(&self) -> u64 {
        self.open.as_ref().map_or(self.at, |open| open.start)
    }

    fn run(&mut self, end: bool, found: &mut Vec<Found>) {
        let Self {
            masker,
            state,
            window,
            held,
            at,
            open,
        } = self;
        let mut sink = Finds::new(masker, at, open, found);
        *held = masker
            .engine
            .run(&masker.profile.on, state, window, *held, end, &mut sink);
    }
}

impl fmt::Debug for FindStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FindStream")
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Notes the places of matches that have ended.
struct Finds<'a> {
    masker: &'a Masker,
    at: &'a mut u64,
    open: &'a mut Option<Found>,
    found: &'a mut Vec<Found>,
}

impl<'a> Finds<'a> {
    fn new(
        masker: &'a Masker,
        at: &'a mut u64,
        open: &'a mut Option<Found>,
        found: &'a mut Vec<Found>,
    ) -> Self {
        Self {
            masker,
            at,
            open,
            found,
        }
    }
}

impl Sink for Finds<'_> {
    fn pass(&mut self, bytes: &[u8]) {
        *self.at += bytes.len() as u64;
    }

    fn redact(&mut self, rule: usize, bytes: &[u8]) {
        let known = &self.masker.engine.rules[rule];
        let start = *self.at;
        *self.at += bytes.len() as u64;
        *self.open = Some(Found {
            rule: known.id.clone(),
            kind: known.kind,
            confidence: known.confidence,
            operator: self.masker.profile.operator(rule),
            start,
            end: *self.at,
        });
    }

    fn swallow(&mut self, _rule: usize, bytes: &[u8]) {
        *self.at += bytes.len() as u64;
        if let Some(open) = self.open {
            open.end = *self.at;
        }
    }

    fn close(&mut self) {
        self.found.extend(self.open.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_pieces(masker: &Masker, text: &[u8], size: usize) -> Vec<Found> {
        let (mut finder, mut found) = (masker.finder(), Vec::new());
        for piece in text.chunks(size) {
            finder.push(piece, &mut found);
        }
        finder.finish(&mut found);
        found
    }

    #[test]
    fn places_are_those_of_the_whole_text_for_every_chunking() {
        let masker = Masker::builtin();
        let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
        let pem = [
            "-----BEGIN RSA PRIVATE",
            " KEY-----\n",
            &"MIIEpAIBAAKCAQEA1c7mYk2\n".repeat(90),
            "-----END RSA PRIVATE KEY-----\n",
        ]
        .concat();
        let text = format!("{} {key} and\n{pem}end {key}", "x ".repeat(400));
        let found = masker.find(text.as_bytes());
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!((found[0].start, found[0].end), (801, 821));
        assert!(found[1].end - found[1].start > 2_000, "{found:?}");
        for size in [1, 7, 64, 1000, text.len()] {
            assert_eq!(in_pieces(&masker, text.as_bytes(), size), found, "{size}");
        }
    }

    #[test]
    fn a_match_that_goes_on_to_the_end_is_told() {
        let masker = Masker::builtin();
        let text = ["sk-ant-", "api03-", &"Ab3_".repeat(90)].concat();
        let found = masker.find(text.as_bytes());
        assert_eq!((found[0].start, found[0].end), (0, text.len() as u64));
        assert_eq!(in_pieces(&masker, text.as_bytes(), 5), found);
    }

    #[test]
    fn the_next_text_begins_at_its_own_beginning() {
        let masker = Masker::builtin();
        let text = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
        let (mut finder, mut found) = (masker.finder(), Vec::new());
        for _ in 0..2 {
            finder.push(text.as_bytes(), &mut found);
            finder.finish(&mut found);
        }
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], found[1]);
        assert!(!format!("{found:?} {finder:?}").contains("IOSF"));
    }
}
