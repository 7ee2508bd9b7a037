//! The events of the Messages API
//! (<https://docs.claude.com/en/docs/build-with-claude/streaming>).
//!
//! A text comes in many deltas, cut anywhere. All deltas of one kind in one content block are one
//! text, and it is masked as one, together with what the block began with.
//!
//! Where a match may have begun at the end of a delta, the event waits for the one that tells: for
//! most words the next delta, and never longer than the text that is not decided has
//! [`HOLD_BACK`](crate::MaskStream::HOLD_BACK) bytes, or the block ends. What comes behind it waits
//! too. An event in which nothing changes passes as the bytes that came, so a stream without
//! matches passes byte for byte.
//!
//! A ping or a comment says that nothing else came for a while, and passes at once: before it, what
//! waits passes as far as it is decided. The rest moves into a later delta, or into one of its own
//! at the end of the block. In a block that is cut off, by an error or by the end of the stream, it
//! does not come at all.

use std::{collections::BTreeMap, fmt, ops::Range};

use tollbook_exchange::Gap;
use tollbook_sse::{Frame, Splitter};

use crate::{
    MaskStream, Masker,
    engine::Counts,
    json::{self, Found, JsonStream, Malformed},
    scratch::Scratch,
    view::{
        ViewError,
        body::Notes,
        head::Head,
        waiting::{Event, Key, Part, Waiting},
    },
};

/// The longest event.
const MAX_EVENT: usize = 16 << 20;
/// Texts under way at once.
const MAX_TEXTS: usize = 256;
/// The longest name of a delta or of its text.
const MAX_NAME: usize = 64;
/// Digits in the number of a content block.
const MAX_INDEX: usize = 9;

#[derive(Debug)]
pub(super) struct Events {
    masker: Masker,
    splitter: Splitter,
    texts: BTreeMap<Key, Open>,
    waiting: Waiting,
}

/// A text under way.
struct Open {
    /// The type of its deltas, such as `input_json_delta`.
    kind: Vec<u8>,
    stream: Stream,
    /// What came and is not decided.
    undecided: Scratch,
    /// How much of that lies in no event that waits.
    behind: usize,
}

/// What the text is.
#[derive(Debug)]
enum Stream {
    Text(Box<MaskStream>),
    /// A document.
    Json(Box<JsonStream>),
}

impl Events {
    pub(super) fn new(masker: &Masker) -> Self {
        Self {
            masker: masker.clone(),
            splitter: Splitter::new(MAX_EVENT),
            texts: BTreeMap::new(),
            waiting: Waiting::default(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), ViewError> {
        self.splitter.push(bytes);
        loop {
            let frame = self.splitter.next_frame();
            let read = match frame.map_err(|_| ViewError::EventTooLong) {
                Ok(None) => return Ok(()),
                Ok(Some(frame)) => self.event(frame, notes),
                Err(error) => Err(error),
            };
            if read.is_err() {
                self.abandon(notes);
                return read;
            }
        }
    }

    pub(super) fn finish(&mut self, notes: &mut Notes<'_>) -> Result<(), ViewError> {
        let rest = Frame::from_bytes(self.splitter.finish());
        if !rest.as_bytes().is_empty() {
            // Without its blank line it is no event yet, but some readers take it for one. If it
            // was cut off, nobody can read it, and it is not kept.
            let length = rest.as_bytes().len() as u64;
            let before = *notes.coverage;
            match self.event(rest, notes) {
                Err(ViewError::MalformedEvent) => {
                    *notes.coverage = before;
                    notes.coverage.skip(Gap::Unreadable, length);
                }
                Err(error) => {
                    self.abandon(notes);
                    return Err(error);
                }
                Ok(()) => {}
            }
        }
        self.abandon(notes);
        Ok(())
    }

    /// The stream broke off: what has not ended does not come out.
    pub(super) fn abort(&mut self, notes: &mut Notes<'_>) {
        notes
            .coverage
            .skip(Gap::CutOff, self.splitter.finish().len() as u64);
        self.abandon(notes);
    }

    /// The number of the last bytes that came and did not come out; `None` where some of those
    /// before did not either, because an event passed without the end of its text.
    pub(super) fn held(&self) -> Option<usize> {
        let whole = self.texts.values().all(|open| open.behind == 0);
        whole.then(|| self.splitter.held() + self.waiting.bytes())
    }

    fn event(&mut self, frame: Frame, notes: &mut Notes<'_>) -> Result<(), ViewError> {
        let data = frame.data();
        let (mut edits, mut parts) = (Vec::new(), Vec::new());
        let mut opaque = 0;
        let mut is_sign_of_life = data.is_empty();
        if !data.is_empty() {
            let head = Head::read(&data).map_err(|Malformed| ViewError::MalformedEvent)?;
            is_sign_of_life = head.kind.clone().is_some_and(|kind| data[kind] == *b"ping");
            let texts = self.prepare(&head, &data, notes)?;
            let skip: Vec<Range<usize>> = texts.iter().map(|(_, at)| at.clone()).collect();
            let scanned = json::scan(&self.masker.engine, &self.masker.profile, &data, &skip)
                .map_err(|Malformed| ViewError::MalformedEvent)?;
            notes.found.merge(scanned.found);
            opaque = scanned.opaque;
            edits = scanned.edits;
            parts = texts;
        }
        notes
            .coverage
            .inspect((frame.as_bytes().len() - opaque) as u64);
        notes.coverage.skip(Gap::Opaque, opaque as u64);
        if is_sign_of_life {
            self.let_go();
        }
        let parts = parts.into_iter();
        let (parts, texts): (Vec<Part>, Vec<Scratch>) =
            parts.map(|(key, at)| Part::new(key, at, &data)).unzip();
        drop(data);
        let keys: Vec<Key> = parts.iter().map(|part| part.key.clone()).collect();
        self.waiting.push(Event::new(frame, edits, parts));
        for (key, text) in keys.iter().zip(&texts) {
            self.delta(key, &text.bytes, notes)?;
        }
        if self.waiting.is_full() {
            self.let_go();
        }
        self.waiting.release(&self.masker, notes);
        Ok(())
    }

    /// Ends the texts that the event ends, and opens those that it goes on with.
    fn prepare(
        &mut self,
        head: &Head,
        data: &[u8],
        notes: &mut Notes<'_>,
    ) -> Result<Vec<(Key, Range<usize>)>, ViewError> {
        let value = |range: &Option<Range<usize>>| range.clone().map(|range| &data[range]);
        match (value(&head.kind), value(&head.index)) {
            (Some(b"content_block_stop"), Some(index)) => {
                self.flush(|key| key.index == index, notes);
            }
            (Some(b"content_block_start"), Some(index)) => {
                self.flush(|key| key.index == index, notes);
                // Deltas go on with the text that the block begins with.
                let texts = head.texts.iter();
                let begun: Vec<_> = texts
                    .filter(|(name, at)| {
                        matches!(&data[name.clone()], b"text" | b"thinking") && !at.is_empty()
                    })
                    .cloned()
                    .collect();
                if let [(name, _)] = &begun[..] {
                    let kind = [&data[name.clone()], b"_delta"].concat();
                    return self.open(index, &kind, &begun, data);
                }
            }
            (Some(b"message_start" | b"message_stop"), _) => self.flush(|_| true, notes),
            (Some(b"error"), _) => self.abandon(notes),
            (Some(b"content_block_delta"), Some(index)) => {
                let kind = value(&head.delta_kind).ok_or(ViewError::MalformedEvent)?;
                return self.open(index, kind, &head.texts, data);
            }
            (Some(b"content_block_delta" | b"content_block_stop"), None) => {
                return Err(ViewError::MalformedEvent);
            }
            _ => {}
        }
        Ok(Vec::new())
    }

    fn open(
        &mut self,
        index: &[u8],
        kind: &[u8],
        texts: &[(Range<usize>, Range<usize>)],
        data: &[u8],
    ) -> Result<Vec<(Key, Range<usize>)>, ViewError> {
        let is_name = |name: &[u8]| {
            name.len() <= MAX_NAME
                && name
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        let is_index = index.len() <= MAX_INDEX && index.iter().all(u8::is_ascii_digit);
        if !is_name(kind) || !is_index {
            return Err(ViewError::MalformedEvent);
        }
        let mut opened = Vec::new();
        for (name, at) in texts {
            let member = &data[name.clone()];
            // A signature is no text. The document scan sees to it that it is nothing else.
            if kind == b"signature_delta" && member == b"signature" {
                continue;
            }
            if !is_name(member) {
                return Err(ViewError::MalformedEvent);
            }
            let key = Key {
                index: index.to_vec(),
                member: member.to_vec(),
            };
            if !self.texts.contains_key(&key) {
                if self.texts.len() == MAX_TEXTS {
                    return Err(ViewError::TooManyTexts);
                }
                let stream = if member == b"partial_json" {
                    Stream::Json(Box::new(JsonStream::new(self.masker.clone())))
                } else {
                    Stream::Text(Box::new(self.masker.stream()))
                };
                self.texts.insert(
                    key.clone(),
                    Open {
                        kind: kind.to_vec(),
                        stream,
                        undecided: Scratch::default(),
                        behind: 0,
                    },
                );
            }
            opened.push((key, at.clone()));
        }
        Ok(opened)
    }

    /// Goes on with a text.
    fn delta(&mut self, key: &Key, came: &[u8], notes: &mut Notes<'_>) -> Result<(), ViewError> {
        let Some(open) = self.texts.get_mut(key) else {
            return Ok(());
        };
        let mut goes = Vec::with_capacity(came.len());
        open.stream.push(came, &mut goes);
        note_matches(key, open, notes.found);
        let undecided = &mut open.undecided;
        undecided.bytes.extend_from_slice(came);
        let bytes = undecided.bytes.len().saturating_sub(open.stream.held());
        let decided = &undecided.bytes[..bytes];
        let left = self.waiting.decide(key, &mut open.behind, decided, &goes);
        debug_assert!(left.is_empty(), "the delta itself waits");
        undecided.forget(bytes);
        if matches!(&open.stream, Stream::Json(stream) if stream.is_too_deep()) {
            return Err(ViewError::TooDeep);
        }
        Ok(())
    }

    /// Lets everything pass that waits, as far as it is decided.
    fn let_go(&mut self) {
        for (key, bytes) in self.waiting.let_go() {
            if let Some(open) = self.texts.get_mut(&key) {
                open.behind += bytes;
            }
        }
    }

    /// Gives up the texts that have not ended. What waits of them may be the beginning of a secret
    /// that was cut off, and stays back.
    fn abandon(&mut self, notes: &mut Notes<'_>) {
        for (key, mut open) in std::mem::take(&mut self.texts) {
            let mut rest = Vec::new();
            let dropped = open.stream.abort(&mut rest);
            notes.dropped(dropped);
            self.rest(&key, open, &rest, notes);
        }
        self.waiting.release(&self.masker, notes);
    }

    /// Ends texts. What was held back of them, and waits in no event, comes in deltas of its own.
    fn flush(&mut self, ends: impl Fn(&Key) -> bool, notes: &mut Notes<'_>) {
        let keys: Vec<Key> = self.texts.keys().filter(|key| ends(key)).cloned().collect();
        for key in keys {
            let Some(mut open) = self.texts.remove(&key) else {
                continue;
            };
            let mut rest = Vec::new();
            open.stream.finish(&mut rest);
            self.rest(&key, open, &rest, notes);
        }
    }

    /// Decides the rest of a text.
    fn rest(&mut self, key: &Key, mut open: Open, rest: &[u8], notes: &mut Notes<'_>) {
        note_matches(key, &mut open, notes.found);
        let Open {
            undecided, behind, ..
        } = &mut open;
        let left = self.waiting.decide(key, behind, &undecided.bytes, rest);
        if !left.is_empty() {
            self.waiting.push(Event::own(delta(key, &open.kind, &left)));
        }
    }
}

impl Stream {
    fn push(&mut self, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Text(stream) => stream.push(text, out),
            Self::Json(stream) => stream.push(text, out),
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        match self {
            Self::Text(stream) => stream.finish(out),
            Self::Json(stream) => stream.finish(out),
        }
    }

    fn abort(&mut self, out: &mut Vec<u8>) -> usize {
        match self {
            Self::Text(stream) => stream.abort(out),
            Self::Json(stream) => stream.abort(out),
        }
    }

    /// How many bytes wait for a decision.
    fn held(&self) -> usize {
        match self {
            Self::Text(stream) => stream.held(),
            Self::Json(stream) => stream.held(),
        }
    }

    fn take_counts(&mut self) -> Counts {
        match self {
            Self::Text(stream) => stream.take_counts(),
            Self::Json(stream) => stream.take_counts(),
        }
    }
}

impl Part {
    /// The part of a text that lies at `at`, and what it says.
    fn new(key: Key, at: Range<usize>, data: &[u8]) -> (Self, Scratch) {
        let mut text = Scratch::default();
        text.reserve(at.len());
        json::decode(&data[at.clone()], &mut text.bytes);
        let part = Self {
            key,
            at,
            left: text.bytes.len(),
            goes: Vec::new(),
            is_changed: false,
        };
        (part, text)
    }
}

/// A delta with this text.
fn delta(key: &Key, kind: &[u8], text: &[u8]) -> Vec<u8> {
    let mut event =
        b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":".to_vec();
    event.extend(&key.index);
    event.extend(b",\"delta\":{\"type\":\"");
    event.extend(kind);
    event.extend(b"\",\"");
    event.extend(&key.member);
    event.extend(b"\":\"");
    json::encode(text, &mut event);
    event.extend(b"\"}}\n\n");
    event
}

fn note_matches(key: &Key, open: &mut Open, found: &mut Found) {
    let counts = open.stream.take_counts();
    if counts.iter().next().is_some() {
        let member = String::from_utf8_lossy(&key.member);
        counts
            .iter()
            .for_each(|(rule, count)| found.add(rule, &format!("delta.{member}"), count));
    }
}

impl fmt::Debug for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Open")
            .field("stream", &self.stream)
            .field("behind", &self.behind)
            .finish_non_exhaustive()
    }
}
