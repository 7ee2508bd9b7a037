//! Masking a text that comes in pieces.

use std::{fmt, mem};

use crate::{
    Masker, Match,
    engine::{Counts, HISTORY, HOLD_BACK, State, Writer},
};

/// Masks one text that comes in pieces.
///
/// What comes out in the end does not depend on how the text was cut. Bytes wait only while a match
/// may have begun with them, and never more than [`MaskStream::HOLD_BACK`] of them; text in which no match can have begun
/// passes at once. What cannot be told apart, such as a secret that is cut off by the end of the
/// text, is decided by [`MaskStream::finish`].
pub struct MaskStream {
    masker: Masker,
    state: State,
    /// What was emitted last, then what waits.
    window: Vec<u8>,
    /// Where in the window the waiting bytes begin.
    held: usize,
    counts: Counts,
}

impl MaskStream {
    /// No more bytes than this wait for a decision.
    pub const HOLD_BACK: usize = HOLD_BACK;

    pub(crate) fn new(masker: Masker, json: bool) -> Self {
        Self {
            masker,
            state: State::new(json),
            window: Vec::new(),
            held: 0,
            counts: Counts::default(),
        }
    }

    /// Takes the next bytes and appends to `out` what is decided.
    pub fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        self.window.extend_from_slice(bytes);
        self.run(false, out);
        let keep = self
            .held
            .saturating_sub(HISTORY)
            .max(self.state.floor.min(self.held));
        self.window.drain(..keep);
        self.held -= keep;
        self.state.floor = self.state.floor.saturating_sub(keep);
    }

    /// Ends the text and appends the rest to `out`. The next push begins another text.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.run(true, out);
        self.state = State::new(self.state.json);
        self.window.clear();
        self.held = 0;
    }

    /// Ends a text that was cut off, and tells how many bytes do not come out: those that still
    /// waited and are no match as they are. They may be the beginning of a secret whose end would
    /// have shown it. The next push begins another text.
    pub fn abort(&mut self, out: &mut Vec<u8>) -> usize {
        let matches = |counts: &Counts| counts.iter().map(|(_, count)| count).sum::<u32>();
        let (held, before) = (self.held(), matches(&self.counts));
        let mut rest = Vec::new();
        self.finish(&mut rest);
        if matches(&self.counts) == before {
            return held;
        }
        // What stands behind the last match is as unsure as it would be without one.
        let end = memchr::memrchr(b']', &rest).map_or(0, |end| end + 1);
        out.extend_from_slice(&rest[..end]);
        rest.len() - end
    }

    /// How many bytes wait for a decision.
    pub fn held(&self) -> usize {
        self.window.len() - self.held
    }

    /// Which rules matched so far, and how often.
    pub fn matches(&self) -> Vec<Match> {
        self.masker.matches(&self.counts)
    }

    /// The counts so far; counting begins anew.
    pub(crate) fn take_counts(&mut self) -> Counts {
        mem::take(&mut self.counts)
    }

    fn run(&mut self, end: bool, out: &mut Vec<u8>) {
        let Self {
            masker,
            state,
            window,
            held,
            counts,
        } = self;
        let mut sink = Writer {
            engine: &masker.engine,
            profile: &masker.profile,
            out,
            counts,
        };
        *held = masker
            .engine
            .run(&masker.profile.on, state, window, *held, end, &mut sink);
    }
}

impl fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskStream")
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}
