//! Looking at many short texts together.

use std::ops::Range;

use crate::{
    engine::{Engine, Selection, Span, Spans, State},
    scratch::Scratch,
};

/// In shorter texts there is no match.
pub(crate) const MIN_TEXT: usize = 3;
/// A longer text says itself what it is about, whatever its name.
pub(crate) const MAX_NAMED: usize = 4 << 10;
/// In texts up to this length, one looks for a place where a match may begin first.
const SHORT: usize = 512;
/// So many bytes of texts are looked at together. They fit into the first-level cache.
pub(crate) const FULL: usize = 16 << 10;
/// Stands between two texts. It is in no class and ends every word.
const SEPARATOR: u8 = 0;
/// What stands between a name and its text in the engine's eyes, as if both stood in a document.
pub(crate) const BEHIND_NAME: &[u8] = b"\":\"";

/// Texts that lie beside each other in one scratch memory, each with a tag of the caller's.
///
/// What is found in a text depends on the text and its name only, not on what lies beside it: one
/// pass over all of them tells where a match may begin at all, and only texts with such a place are
/// gone through, each on its own.
pub(crate) struct Batch<T> {
    pub scratch: Scratch,
    entries: Vec<Entry<T>>,
}

struct Entry<T> {
    tag: T,
    /// Where the text's name begins in the scratch memory.
    name: usize,
    text: Range<usize>,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self {
            scratch: Scratch::default(),
            entries: Vec::new(),
        }
    }
}

impl<T> Batch<T> {
    /// Adds the text that begins at `start` and ends the scratch memory.
    pub(crate) fn add(&mut self, tag: T, name: &[u8], start: usize) {
        let bytes = &mut self.scratch.bytes;
        let length = bytes.len() - start;
        if !name.is_empty() {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(BEHIND_NAME);
            bytes[start..].rotate_right(name.len() + BEHIND_NAME.len());
        }
        let text = bytes.len() - length..bytes.len();
        bytes.push(SEPARATOR);
        self.entries.push(Entry {
            tag,
            name: start,
            text,
        });
    }

    /// Whether there is enough to look at.
    pub(crate) const fn is_full(&self) -> bool {
        self.scratch.bytes.len() >= FULL
    }

    /// Looks at all texts. Those with matches are told, in their order.
    pub(crate) fn flush(
        &mut self,
        engine: &Engine,
        on: &Selection,
        mut matched: impl FnMut(T, &[u8], &[Span]),
    ) {
        let bytes = &self.scratch.bytes;
        let mut places = engine.places(bytes);
        let mut place = 0;
        for Entry { tag, name, text } in self.entries.drain(..) {
            if text.len() <= SHORT {
                if place < text.start {
                    place = places.next(text.start);
                }
                if place >= text.end {
                    continue;
                }
            }
            let spans = spans(engine, on, &bytes[name..text.end], text.start - name);
            if !spans.is_empty() {
                matched(tag, &bytes[text], &spans);
            }
        }
        self.scratch.truncate(0);
    }
}

/// Where rules match in a text with a name.
pub(crate) fn spans_named(engine: &Engine, on: &Selection, name: &[u8], text: &[u8]) -> Vec<Span> {
    if name.is_empty() || text.len() > MAX_NAMED {
        return spans(engine, on, text, 0);
    }
    let mut scratch = Scratch::default();
    scratch.reserve(name.len() + BEHIND_NAME.len() + text.len());
    for part in [name, BEHIND_NAME, text] {
        scratch.bytes.extend_from_slice(part);
    }
    let from = scratch.bytes.len() - text.len();
    spans(engine, on, &scratch.bytes, from)
}

/// Where rules match in `bytes` from `from` on, counted from there.
fn spans(engine: &Engine, on: &Selection, bytes: &[u8], from: usize) -> Vec<Span> {
    let mut spans = Spans::default();
    engine.run(on, &mut State::new(false), bytes, from, true, &mut spans);
    spans.spans
}
