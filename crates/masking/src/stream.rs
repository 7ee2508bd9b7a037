//! Masking a text that comes in pieces.

use std::{fmt, mem};

use zeroize::Zeroize as _;

use crate::{
    Masker, Match,
    engine::{Counts, HISTORY, HOLD_BACK, Sink, State, Writer},
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
    /// What was emitted last, then what waits. It never outgrows [`WINDOW`], so it is never moved,
    /// and what is wiped is all there is.
    window: Vec<u8>,
    /// Where in the window the waiting bytes begin.
    held: usize,
    counts: Counts,
}

/// So much of a long piece is put behind what waits; from its end on, the piece itself is all that
/// a decision looks at.
const BRIDGE: usize = HISTORY + 2 * HOLD_BACK;
/// What was emitted last, what waits and what comes.
const WINDOW: usize = HISTORY + HOLD_BACK + BRIDGE;

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
        if bytes.len() <= BRIDGE {
            self.take(bytes);
            self.run(false, out);
            return;
        }
        self.take(&bytes[..BRIDGE]);
        self.run(false, out);
        // What waits, and the history before it, now lies within the piece.
        let came = self.window.len() - BRIDGE;
        let Some(from) = self.held.checked_sub(came).filter(|from| *from >= HISTORY) else {
            self.take(&bytes[BRIDGE..]);
            self.run(false, out);
            return;
        };
        self.state.floor = self.state.floor.saturating_sub(came);
        let held = self.run_over(bytes, from, false, out);
        let keep = held.saturating_sub(HISTORY).max(self.state.floor.min(held));
        self.window.clear();
        self.window.extend_from_slice(&bytes[keep..]);
        self.held = held - keep;
        self.state.floor = self.state.floor.saturating_sub(keep);
    }

    /// Takes the last bytes of the text, and appends to `out` all that is left. The next push begins
    /// another text.
    pub fn push_last(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if self.window.is_empty() {
            self.run_over(bytes, 0, true, out);
            self.begin();
        } else {
            self.push(bytes, out);
            self.finish(out);
        }
    }

    /// Ends the text and appends the rest to `out`. The next push begins another text.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.run(true, out);
        self.begin();
    }

    /// Ends a text that was cut off, and tells how many bytes do not come out: those that still
    /// waited and are no match as they are. They may be the beginning of a secret whose end would
    /// have shown it. The next push begins another text.
    pub fn abort(&mut self, out: &mut Vec<u8>) -> usize {
        let (held, mut rest) = (self.held(), Vec::new());
        let window = mem::take(&mut self.window);
        let Masker { engine, profile } = &self.masker;
        let mut sink = Ends {
            writer: Writer {
                engine,
                profile,
                out: &mut rest,
                counts: &mut self.counts,
            },
            last: None,
        };
        engine.run(
            &profile.on,
            &mut self.state,
            &window,
            self.held,
            true,
            &mut sink,
        );
        let last = sink.last;
        self.window = window;
        self.begin();
        let Some(end) = last else { return held };
        // What stands behind the last match is as unsure as it would be without one.
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

    /// Whether a rule has matched of which this is so.
    pub(crate) fn has_matched(&self, is: impl Fn(usize) -> bool) -> bool {
        self.counts.iter().any(|(rule, _)| is(rule))
    }

    /// The counts so far; counting begins anew.
    pub(crate) fn take_counts(&mut self) -> Counts {
        self.counts.take()
    }

    /// Forgets the text and begins another.
    fn begin(&mut self) {
        self.counts.close(&self.masker.engine, &self.masker.profile);
        self.state = State::new(self.state.json);
        self.window.zeroize();
        self.held = 0;
    }

    /// Puts bytes behind what waits, and lets go of history to make room for them.
    fn take(&mut self, bytes: &[u8]) {
        if self.window.capacity() < WINDOW {
            self.window.reserve_exact(WINDOW - self.window.len());
        }
        if self.window.len() + bytes.len() > WINDOW {
            let history = self.held.saturating_sub(HISTORY);
            let keep = history.max(self.state.floor.min(self.held));
            self.window.drain(..keep);
            self.held -= keep;
            self.state.floor = self.state.floor.saturating_sub(keep);
        }
        self.window.extend_from_slice(bytes);
    }

    fn run(&mut self, end: bool, out: &mut Vec<u8>) {
        let window = mem::take(&mut self.window);
        self.held = self.run_over(&window, self.held, end, out);
        self.window = window;
    }

    fn run_over(&mut self, bytes: &[u8], from: usize, end: bool, out: &mut Vec<u8>) -> usize {
        let Masker { engine, profile } = &self.masker;
        let mut sink = Writer {
            engine,
            profile,
            out,
            counts: &mut self.counts,
        };
        engine.run(&profile.on, &mut self.state, bytes, from, end, &mut sink)
    }
}

/// Notes where in the output the last match ends.
struct Ends<'a> {
    writer: Writer<'a>,
    last: Option<usize>,
}

impl Sink for Ends<'_> {
    fn pass(&mut self, bytes: &[u8]) {
        self.writer.pass(bytes);
    }

    fn redact(&mut self, rule: usize, bytes: &[u8]) {
        self.writer.redact(rule, bytes);
        self.last = Some(self.writer.out.len());
    }

    fn swallow(&mut self, rule: usize, bytes: &[u8]) {
        self.writer.swallow(rule, bytes);
        self.last = Some(self.writer.out.len());
    }

    fn close(&mut self) {}
}

impl Drop for MaskStream {
    fn drop(&mut self) {
        self.window.zeroize();
    }
}

impl fmt::Debug for MaskStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MaskStream")
            .field("held", &self.held())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tollbook_exchange::Operator;

    use super::*;
    use crate::{Base, Kind};

    #[test]
    fn a_match_comes_out_of_a_text_that_broke_off_whatever_stands_for_it() {
        let secret = ["ghp_", "c4N4ryc4N4ry"].concat();
        for (operator, expected) in [
            (Operator::Redact, "to [REDACTED:payment-card]"),
            (Operator::Partial, "to ************1111"),
            (Operator::Flag, "to 4111111111111111"),
        ] {
            let profile = Masker::builtin().profile(Base::Default);
            let masker = profile.kind(Kind::Personal, operator).build().unwrap();
            let (mut stream, mut out) = (masker.stream(), Vec::new());
            stream.push(b"to 4111111111111111", &mut out);
            assert_eq!(stream.abort(&mut out), 0);
            assert_eq!(String::from_utf8_lossy(&out), expected);
            // The next text begins anew, and what may be the beginning of a match stays back.
            out.clear();
            stream.push(secret.as_bytes(), &mut out);
            assert_eq!((stream.abort(&mut out), out.len()), (secret.len(), 0));
        }
    }

    #[test]
    fn the_state_of_a_stream_is_small_and_does_not_grow() {
        let mut stream = Masker::builtin().stream();
        let mut out = Vec::new();
        let text = b"password = \"".repeat(500);
        for size in [1, 7, 64, BRIDGE - 1, BRIDGE, BRIDGE + 1, 5000] {
            for piece in text.chunks(size) {
                stream.push(piece, &mut out);
                assert!(size_of_val(&stream) + stream.window.capacity() <= 2 << 10);
                assert!(stream.window.capacity() <= WINDOW);
            }
        }
    }
}
