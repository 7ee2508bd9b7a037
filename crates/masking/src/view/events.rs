//! The events of the Messages API
//! (<https://docs.claude.com/en/docs/build-with-claude/streaming>).
//!
//! A text comes in many deltas, cut anywhere. All deltas of one kind in one content block are one
//! text, and it is masked as one. Where a match may have begun at the end of a delta, its last
//! bytes move into a later one; at the end of the block they come in a delta of their own. In a
//! block that is cut off, by an error or by the end of the stream, they do not come at all. An event
//! in which nothing changes passes as the bytes that came.

use std::{collections::BTreeMap, ops::Range};

use tollbook_exchange::Gap;
use tollbook_sse::{Frame, Splitter};

use crate::{
    MaskStream, Masker,
    engine::Counts,
    json::{self, Edit, Found, JsonStream, Malformed, Token, Tokens},
    masked,
    scratch::Scratch,
    view::{ViewError, body::Notes, frame},
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
}

/// Which text a delta belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    /// The number of the content block as it is written.
    index: Vec<u8>,
    /// The member that holds the text, such as `partial_json`.
    member: Vec<u8>,
}

/// A text under way.
#[derive(Debug)]
struct Open {
    /// The type of its deltas, such as `input_json_delta`.
    kind: Vec<u8>,
    stream: Stream,
}

/// What the text is.
#[derive(Debug)]
enum Stream {
    Text(Box<MaskStream>),
    /// A document.
    Json(Box<JsonStream>),
}

/// What an event says, as far as it decides how the event is masked. All are ranges of its data.
#[derive(Debug, Default)]
struct Head {
    kind: Option<Range<usize>>,
    index: Option<Range<usize>>,
    delta_kind: Option<Range<usize>>,
    /// The names and values of the texts in the delta.
    texts: Vec<(Range<usize>, Range<usize>)>,
}

impl Events {
    pub(super) fn new(masker: &Masker) -> Self {
        Self {
            masker: masker.clone(),
            splitter: Splitter::new(MAX_EVENT),
            texts: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, bytes: &[u8], notes: &mut Notes<'_>) -> Result<(), ViewError> {
        self.splitter.push(bytes);
        while let Some(frame) = self
            .splitter
            .next_frame()
            .map_err(|_| ViewError::EventTooLong)?
        {
            self.event(frame, notes)?;
        }
        Ok(())
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
                result => result?,
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

    fn event(&mut self, frame: Frame, notes: &mut Notes<'_>) -> Result<(), ViewError> {
        let data = frame.data();
        let mut edits = Vec::new();
        let mut opaque = 0;
        if !data.is_empty() {
            let head = Head::read(&data).map_err(|Malformed| ViewError::MalformedEvent)?;
            let texts = self.prepare(&head, &data, notes)?;
            let skip: Vec<Range<usize>> = texts.iter().map(|(_, at)| at.clone()).collect();
            let scanned = json::scan(&self.masker.engine, &self.masker.profile, &data, &skip)
                .map_err(|Malformed| ViewError::MalformedEvent)?;
            notes.found.merge(scanned.found);
            opaque = scanned.opaque;
            edits = scanned.edits;
            for (key, at) in texts {
                edits.extend(self.delta(&key, &data, at, notes));
            }
            edits.sort_by_key(|edit| edit.range.start);
        }
        notes
            .coverage
            .inspect((frame.as_bytes().len() - opaque) as u64);
        notes.coverage.skip(Gap::Opaque, opaque as u64);
        let bytes = if edits.is_empty() && !frame::has_matches(&frame, &self.masker) {
            frame.into_bytes()
        } else {
            frame::rebuild(
                &frame,
                &json::splice(&data, &edits),
                &self.masker,
                notes.found,
            )
        };
        notes.out.push(masked(bytes));
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
            (Some(b"content_block_stop" | b"content_block_start"), Some(index)) => {
                self.flush(|key| key.index == index, notes);
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
                    },
                );
            }
            opened.push((key, at.clone()));
        }
        Ok(opened)
    }

    /// Masks the part of a text that lies at `at`.
    fn delta(
        &mut self,
        key: &Key,
        data: &[u8],
        at: Range<usize>,
        notes: &mut Notes<'_>,
    ) -> Option<Edit> {
        let open = self.texts.get_mut(key)?;
        let mut came = Scratch::default();
        came.reserve(at.len());
        json::decode(&data[at.clone()], &mut came.bytes);
        let mut goes = Vec::with_capacity(came.bytes.len());
        open.stream.push(&came.bytes, &mut goes);
        note_matches(key, open, notes.found);
        if goes == came.bytes {
            return None;
        }
        let mut text = Vec::with_capacity(goes.len() + 8);
        json::encode(&goes, &mut text);
        Some(Edit { range: at, text })
    }

    /// Gives up the texts that have not ended. What waits of them may be the beginning of a secret
    /// that was cut off, and stays back.
    fn abandon(&mut self, notes: &mut Notes<'_>) {
        for (key, mut open) in std::mem::take(&mut self.texts) {
            let mut rest = Vec::new();
            let dropped = open.stream.abort(&mut rest);
            notes.dropped(dropped);
            open.rest(&key, &rest, notes);
        }
    }

    /// Ends texts. What was held back of them comes in deltas of its own.
    fn flush(&mut self, ends: impl Fn(&Key) -> bool, notes: &mut Notes<'_>) {
        let keys: Vec<Key> = self.texts.keys().filter(|key| ends(key)).cloned().collect();
        for key in keys {
            let Some(mut open) = self.texts.remove(&key) else {
                continue;
            };
            let mut rest = Vec::new();
            open.stream.finish(&mut rest);
            open.rest(&key, &rest, notes);
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

    fn take_counts(&mut self) -> Counts {
        match self {
            Self::Text(stream) => stream.take_counts(),
            Self::Json(stream) => stream.take_counts(),
        }
    }
}

impl Open {
    /// Gives what was held back of a text, in a delta of its own.
    fn rest(&mut self, key: &Key, rest: &[u8], notes: &mut Notes<'_>) {
        note_matches(key, self, notes.found);
        if rest.is_empty() {
            return;
        }
        let mut event =
            b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"
                .to_vec();
        event.extend(&key.index);
        event.extend(b",\"delta\":{\"type\":\"");
        event.extend(&self.kind);
        event.extend(b"\",\"");
        event.extend(&key.member);
        event.extend(b"\":\"");
        json::encode(rest, &mut event);
        event.extend(b"\"}}\n\n");
        notes.out.push(masked(event.into()));
    }
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

impl Head {
    /// Reads the head of an event's data.
    ///
    /// # Errors
    ///
    /// When the data is not JSON, or when a member that decides is there twice: readers disagree
    /// which of the two counts.
    fn read(data: &[u8]) -> Result<Self, Malformed> {
        let mut head = Self::default();
        let mut tokens = Tokens::new(data);
        let mut depth = 0;
        let mut key = 0..0;
        let mut in_delta = false;
        let mut deltas = 0;
        while let Some(token) = tokens.next()? {
            match token {
                Token::ObjectStart | Token::ArrayStart => {
                    if depth == 1 && data[key.clone()] == *b"delta" {
                        in_delta = token == Token::ObjectStart;
                        deltas += 1;
                    }
                    depth += 1;
                }
                Token::ObjectEnd | Token::ArrayEnd => {
                    depth -= 1;
                    in_delta &= depth > 1;
                }
                Token::Key(range) if depth <= 2 => {
                    // An escaped name would be read as another one here than by the caller.
                    if (depth == 1 || in_delta) && data[range.clone()].contains(&b'\\') {
                        return Err(Malformed);
                    }
                    key = range;
                }
                Token::Text(range) | Token::Scalar(range) if depth == 1 => {
                    if data[range.clone()].contains(&b'\\') && data[key.clone()] == *b"type" {
                        return Err(Malformed);
                    }
                    let slot = match &data[key.clone()] {
                        b"type" => &mut head.kind,
                        b"index" => &mut head.index,
                        _ => continue,
                    };
                    if slot.replace(range).is_some() {
                        return Err(Malformed);
                    }
                }
                Token::Text(range) if depth == 2 && in_delta => {
                    let name = &data[key.clone()];
                    if name == b"type" {
                        if head.delta_kind.replace(range).is_some() {
                            return Err(Malformed);
                        }
                    } else if head
                        .texts
                        .iter()
                        .any(|(known, _)| data[known.clone()] == *name)
                    {
                        return Err(Malformed);
                    } else {
                        head.texts.push((key.clone(), range));
                    }
                }
                _ => {}
            }
        }
        if deltas > 1 { Err(Malformed) } else { Ok(head) }
    }
}
