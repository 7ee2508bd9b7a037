//! A text within a JSON string, masked while the string still comes.

use tollbook_exchange::Operator;

use crate::{
    Masker,
    engine::{Counts, HISTORY, Sink, Span, Spans, State},
    json::text::{decode, decode_escape, encode},
    scratch::Scratch,
};

/// A text that comes in pieces of the string it is written as. What passes, passes as it was
/// written.
pub(super) struct TextStream {
    state: State,
    /// The text: what was emitted last, then what waits.
    window: Scratch,
    /// Where in the window the waiting bytes begin.
    held: usize,
    waiting: Waiting,
}

/// What waits, as it is written.
#[derive(Default)]
struct Waiting {
    raw: Scratch,
    /// Whether the text is written as it is and not as a string.
    is_plain: bool,
    /// Bytes of the text that were decided with the escape before them.
    ahead: usize,
    /// So many bytes came out before and do not come out again.
    silent: usize,
}

impl TextStream {
    /// The text of a string. What stands before it in the engine's eyes is `context`.
    pub(super) fn string(context: &[u8]) -> Self {
        let mut window = Scratch::default();
        window.bytes.extend_from_slice(context);
        Self {
            state: State::new(false),
            window,
            held: context.len(),
            waiting: Waiting::default(),
        }
    }

    /// A text that is not written as a string, but may be the rest of a document. What came out
    /// right before it may say what it is.
    pub(super) fn plain(emitted: &[u8]) -> Self {
        let mut text = Self {
            state: State::new(true),
            window: Scratch::default(),
            held: 0,
            waiting: Waiting {
                is_plain: true,
                silent: emitted.len(),
                ..Waiting::default()
            },
        };
        text.take(emitted);
        text
    }

    /// Takes more of the string. It does not end within an escape.
    pub(super) fn take(&mut self, raw: &[u8]) {
        if self.waiting.is_plain {
            self.window.bytes.extend_from_slice(raw);
        } else {
            decode(raw, &mut self.window.bytes);
        }
        self.waiting.raw.bytes.extend_from_slice(raw);
    }

    /// The part of the text that is not decided.
    pub(super) fn text(&self) -> &[u8] {
        &self.window.bytes[self.held..]
    }

    /// How many bytes wait, as they are written.
    pub(super) fn held(&self) -> usize {
        self.waiting.raw.bytes.len() - self.waiting.silent
    }

    /// Writes what is decided. With `end` that is everything.
    pub(super) fn run(&mut self, masker: &Masker, end: bool, out: &mut Out<'_>) {
        let mut sink = Writer {
            masker,
            waiting: &mut self.waiting,
            used: 0,
            out,
        };
        let bytes = &self.window.bytes;
        self.held = masker.engine.run(
            &masker.profile.on,
            &mut self.state,
            bytes,
            self.held,
            end,
            &mut sink,
        );
        let used = sink.used;
        self.waiting.forget(used);
        let keep = self
            .held
            .saturating_sub(HISTORY)
            .max(self.state.floor.min(self.held));
        self.window.forget(keep);
        self.held -= keep;
        self.state.floor = self.state.floor.saturating_sub(keep);
    }

    /// Masks all that waits as one match of a rule, unless the engine knows all of it by its looks.
    pub(super) fn whole(&mut self, masker: &Masker, rule: usize, out: &mut Out<'_>) {
        let length = self.text().len();
        let (mut spans, mut state) = (Spans::default(), State::new(false));
        let (engine, on) = (&masker.engine, &masker.profile.on);
        engine.run(
            on,
            &mut state,
            &self.window.bytes,
            self.held,
            true,
            &mut spans,
        );
        let known = match spans.spans[..] {
            [
                Span {
                    start: 0,
                    end,
                    rule,
                },
            ] if end == length => rule,
            _ => rule,
        };
        self.decide(masker, out, |sink, text| sink.redact(known, text));
    }

    /// Masks what waits as the beginning of a match of a rule, which is told by its first bytes.
    pub(super) fn begin(&mut self, masker: &Masker, rule: usize, first: usize, out: &mut Out<'_>) {
        self.decide(masker, out, |sink, text| {
            let (first, rest) = text.split_at(first.min(text.len()));
            sink.redact(rule, first);
            sink.swallow(rule, rest);
        });
    }

    /// Lets all that waits go the way of the match before it.
    pub(super) fn swallow(&mut self, masker: &Masker, rule: usize, out: &mut Out<'_>) {
        self.decide(masker, out, |sink, text| sink.swallow(rule, text));
    }

    fn decide(
        &mut self,
        masker: &Masker,
        out: &mut Out<'_>,
        how: impl FnOnce(&mut Writer<'_, '_>, &[u8]),
    ) {
        let mut sink = Writer {
            masker,
            waiting: &mut self.waiting,
            used: 0,
            out,
        };
        how(&mut sink, &self.window.bytes[self.held..]);
        let used = sink.used;
        self.waiting.forget(used);
        self.window.truncate(self.held);
    }
}

/// Where the output goes, and what is noted of it.
pub(super) struct Out<'a> {
    pub bytes: &'a mut Vec<u8>,
    pub counts: &'a mut Counts,
    /// Where in the output the last match ends.
    pub last: Option<usize>,
}

impl Waiting {
    /// The length, as it is written from `from` on, of so many bytes of the text.
    fn advance(&mut self, from: usize, mut length: usize) -> usize {
        let mut at = from;
        while length > 0 {
            let known = self.ahead.min(length);
            self.ahead -= known;
            length -= known;
            let rest = self.raw.bytes.get(at..).unwrap_or_default();
            if length == 0 || rest.is_empty() {
                break;
            }
            if !self.is_plain && rest[0] == b'\\' {
                let mut unit = Vec::with_capacity(4);
                at += decode_escape(rest, &mut unit);
                self.ahead = unit.len();
                continue;
            }
            let plain = if self.is_plain {
                rest.len()
            } else {
                memchr::memchr(b'\\', rest).unwrap_or(rest.len())
            };
            let step = plain.min(length);
            at += step;
            length -= step;
        }
        at
    }

    fn forget(&mut self, used: usize) {
        self.raw.forget(used);
    }
}

struct Writer<'a, 'b> {
    masker: &'a Masker,
    waiting: &'a mut Waiting,
    /// How much of what waits is decided.
    used: usize,
    out: &'a mut Out<'b>,
}

impl Writer<'_, '_> {
    fn skip(&mut self, length: usize) -> std::ops::Range<usize> {
        let from = self.used;
        self.used = self.waiting.advance(from, length);
        let silent = self.waiting.silent.min(self.used - from);
        self.waiting.silent -= silent;
        from + silent..self.used
    }

    fn copy(&mut self, length: usize) {
        let raw = self.skip(length);
        self.out
            .bytes
            .extend_from_slice(&self.waiting.raw.bytes[raw]);
    }
}

impl Sink for Writer<'_, '_> {
    fn pass(&mut self, bytes: &[u8]) {
        self.close();
        self.copy(bytes.len());
    }

    fn redact(&mut self, rule: usize, bytes: &[u8]) {
        let (engine, profile) = (&self.masker.engine, &self.masker.profile);
        let mut masked = Vec::new();
        profile.replace(&engine.rules[rule], rule, bytes, &mut masked);
        if masked == bytes {
            self.copy(bytes.len());
        } else {
            self.skip(bytes.len());
            if self.waiting.is_plain {
                self.out.bytes.extend_from_slice(&masked);
            } else {
                encode(&masked, self.out.bytes);
            }
        }
        self.out.counts.open(engine, profile, rule, bytes);
        self.out.last = Some(self.out.bytes.len());
    }

    fn swallow(&mut self, rule: usize, bytes: &[u8]) {
        self.out.counts.swallow(bytes);
        if self.masker.profile.operator(rule) == Operator::Flag {
            self.copy(bytes.len());
            self.out.last = Some(self.out.bytes.len());
        } else {
            self.skip(bytes.len());
        }
    }

    fn close(&mut self) {
        let Masker { engine, profile } = self.masker;
        self.out.counts.close(engine, profile);
    }
}
