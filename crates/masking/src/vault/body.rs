//! Restoring what a caller is shown of an answer.

use std::{collections::BTreeMap, ops::Range};

use bytes::Bytes;
use tollbook_sse::{Frame, Splitter};

use super::{RestoreStream, Restored, Session};
use crate::json::{self, Edit, Malformed, Token, Tokens};

/// The longest event or document that is read. Longer ones pass as they are.
const LIMIT: usize = 16 << 20;
/// Texts under way at once; more of them pass as they are.
const MAX_TEXTS: usize = 256;

/// Turns the tokens in an answer of the Messages API back into what they stand for: in the texts
/// of `text` blocks, which people read, and nowhere else. The inputs of tools keep their tokens,
/// for what a tool is called with leaves the caller's hands.
///
/// What is no such answer, or cannot be read, passes as it is.
#[derive(Debug)]
pub struct BodyRestorer {
    session: Session,
    view: View,
    counts: Restored,
}

#[derive(Debug)]
enum View {
    Events(Box<Events>),
    Document(Vec<u8>),
    AsIs,
}

#[derive(Debug)]
struct Events {
    splitter: Splitter,
    /// By the number of the content block as it is written.
    texts: BTreeMap<Vec<u8>, RestoreStream>,
}

/// What an event says, as ranges of its data.
#[derive(Debug, Default)]
struct Head {
    kind: Option<Range<usize>>,
    index: Option<Range<usize>>,
    delta_kind: Option<Range<usize>>,
    text: Option<Range<usize>>,
}

const EVENTS: &str = "text/event-stream";
const DOCUMENT: &str = "application/json";

fn media_type(content_type: Option<&str>) -> String {
    let media_type = content_type.unwrap_or_default().split(';').next();
    media_type.unwrap_or_default().trim().to_ascii_lowercase()
}

impl BodyRestorer {
    /// Whether there may be anything to restore in a body of this type. Another one passes as it is.
    pub fn reads(content_type: Option<&str>) -> bool {
        matches!(&*media_type(content_type), EVENTS | DOCUMENT)
    }

    /// A restorer for a body of this type.
    pub fn new(session: &Session, content_type: Option<&str>) -> Self {
        let view = match &*media_type(content_type) {
            EVENTS => View::Events(Box::new(Events {
                splitter: Splitter::new(LIMIT),
                texts: BTreeMap::new(),
            })),
            DOCUMENT => View::Document(Vec::new()),
            _ => View::AsIs,
        };
        Self {
            session: session.clone(),
            view,
            counts: Restored::default(),
        }
    }

    /// Takes the next bytes and gives what is decided.
    pub fn push(&mut self, bytes: Bytes) -> Vec<Bytes> {
        let mut out = Vec::new();
        match &mut self.view {
            View::AsIs => out.push(bytes),
            View::Document(held) if held.len() + bytes.len() > LIMIT => {
                out.push(std::mem::take(held).into());
                out.push(bytes);
                self.view = View::AsIs;
            }
            View::Document(held) => held.extend_from_slice(&bytes),
            View::Events(events) => {
                events.splitter.push(&bytes);
                loop {
                    match events.splitter.next_frame() {
                        Ok(None) => break,
                        Ok(Some(frame)) => {
                            events.event(frame, &self.session, &mut self.counts, &mut out);
                        }
                        Err(_) => {
                            let rest = events.splitter.finish();
                            events.end(|_| true, &mut self.counts, &mut out);
                            out.push(rest);
                            self.view = View::AsIs;
                            break;
                        }
                    }
                }
            }
        }
        out
    }

    /// Ends the body, whether it came to its end or not, and gives the rest.
    pub fn finish(&mut self) -> Vec<Bytes> {
        let mut out = Vec::new();
        match std::mem::replace(&mut self.view, View::AsIs) {
            View::AsIs => {}
            View::Document(held) => out.push(self.document(held).into()),
            View::Events(mut events) => {
                let rest = events.splitter.finish();
                events.end(|_| true, &mut self.counts, &mut out);
                out.push(rest);
            }
        }
        out.retain(|part| !part.is_empty());
        out
    }

    /// What became of the tokens so far.
    pub fn counts(&self) -> Restored {
        let mut counts = self.counts;
        if let View::Events(events) = &self.view {
            for stream in events.texts.values() {
                counts.add(stream.counts());
            }
        }
        counts
    }

    fn document(&mut self, held: Vec<u8>) -> Vec<u8> {
        let Ok(texts) = texts(&held) else {
            return held;
        };
        let mut edits = Vec::new();
        for at in texts {
            let mut stream = self.session.restore();
            edits.extend(restore(&mut stream, &held, at, true));
            self.counts.add(stream.counts());
        }
        if edits.is_empty() {
            return held;
        }
        json::splice(&held, &edits)
    }
}

impl Events {
    fn event(
        &mut self,
        frame: Frame,
        session: &Session,
        counts: &mut Restored,
        out: &mut Vec<Bytes>,
    ) {
        let data = frame.data();
        let head = Head::read(&data).unwrap_or_default();
        let value = |range: &Option<Range<usize>>| range.clone().map(|range| &data[range]);
        let index = value(&head.index);
        match (value(&head.kind), index) {
            (Some(b"content_block_delta"), Some(index))
                if value(&head.delta_kind) == Some(b"text_delta") =>
            {
                let known = self.texts.contains_key(index);
                if let (Some(at), Some(lies)) = (head.text.clone(), frame.data_range())
                    && (known || self.texts.len() < MAX_TEXTS)
                {
                    let texts = self.texts.entry(index.to_vec());
                    let stream = texts.or_insert_with(|| session.restore());
                    if let Some(edit) = restore(stream, &data, at, false) {
                        let bytes = frame.as_bytes();
                        let mut event = bytes[..lies.start].to_vec();
                        event.extend(json::splice(&data, &[edit]));
                        event.extend_from_slice(&bytes[lies.end..]);
                        out.push(event.into());
                        return;
                    }
                }
            }
            (Some(b"content_block_stop" | b"content_block_start"), Some(index)) => {
                self.end(|known| known == index, counts, out);
            }
            (Some(b"message_stop" | b"message_start" | b"error"), _) => {
                self.end(|_| true, counts, out);
            }
            _ => {}
        }
        out.push(frame.into_bytes());
    }

    /// Ends texts. What was held back of them comes in deltas of its own.
    fn end(&mut self, ends: impl Fn(&[u8]) -> bool, counts: &mut Restored, out: &mut Vec<Bytes>) {
        let (ended, open) = std::mem::take(&mut self.texts)
            .into_iter()
            .partition(|(index, _)| ends(index));
        self.texts = open;
        let ended: BTreeMap<Vec<u8>, RestoreStream> = ended;
        for (index, mut stream) in ended {
            let mut rest = Vec::new();
            stream.finish(&mut rest);
            counts.add(stream.counts());
            if rest.is_empty() {
                continue;
            }
            let mut event =
                b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":"
                    .to_vec();
            event.extend(&index);
            event.extend(b",\"delta\":{\"type\":\"text_delta\",\"text\":\"");
            json::encode(&rest, &mut event);
            event.extend(b"\"}}\n\n");
            out.push(event.into());
        }
    }
}

/// Restores the text that lies at `at`; with `whole`, all of a text.
fn restore(stream: &mut RestoreStream, data: &[u8], at: Range<usize>, whole: bool) -> Option<Edit> {
    let (mut came, mut goes) = (Vec::new(), Vec::new());
    json::decode(&data[at.clone()], &mut came);
    stream.push(&came, &mut goes);
    if whole {
        stream.finish(&mut goes);
    }
    if came == goes {
        return None;
    }
    let mut text = Vec::with_capacity(goes.len() + 8);
    json::encode(&goes, &mut text);
    Some(Edit { range: at, text })
}

impl Head {
    fn read(data: &[u8]) -> Result<Self, Malformed> {
        let mut head = Self::default();
        let mut tokens = Tokens::new(data);
        let (mut depth, mut key, mut in_delta) = (0_usize, 0..0, false);
        while let Some(token) = tokens.next()? {
            match token {
                Token::ObjectStart | Token::ArrayStart => {
                    in_delta |= depth == 1 && data[key.clone()] == *b"delta";
                    depth += 1;
                }
                Token::ObjectEnd | Token::ArrayEnd => {
                    depth = depth.saturating_sub(1);
                    in_delta &= depth > 1;
                }
                Token::Key(range) if depth <= 2 => key = range,
                Token::Text(range) | Token::Scalar(range) if depth == 1 => {
                    match &data[key.clone()] {
                        b"type" => head.kind = Some(range),
                        b"index" => head.index = Some(range),
                        _ => {}
                    }
                }
                Token::Text(range) if depth == 2 && in_delta => match &data[key.clone()] {
                    b"type" => head.delta_kind = Some(range),
                    b"text" => head.text = Some(range),
                    _ => {}
                },
                _ => {}
            }
        }
        Ok(head)
    }
}

/// Where the texts of an answer's `text` blocks lie: of objects of that type in the array
/// `content` of the document.
fn texts(document: &[u8]) -> Result<Vec<Range<usize>>, Malformed> {
    let mut found = Vec::new();
    let mut tokens = Tokens::new(document);
    let mut depth = 0_usize;
    let (mut outer, mut key) = (0..0, 0..0);
    let (mut is_text, mut text) = (false, None);
    while let Some(token) = tokens.next()? {
        let in_block = depth == 3 && document[outer.clone()] == *b"content";
        match token {
            Token::ObjectStart | Token::ArrayStart => {
                depth += 1;
                if depth == 3 {
                    (is_text, text) = (false, None);
                }
            }
            Token::ObjectEnd | Token::ArrayEnd => {
                if in_block && is_text {
                    found.extend(text.take());
                }
                depth = depth.saturating_sub(1);
            }
            Token::Key(range) if depth == 1 => outer = range,
            Token::Key(range) if depth == 3 => key = range,
            Token::Text(range) if in_block => match &document[key.clone()] {
                b"type" => is_text = document[range] == *b"text",
                b"text" => text = Some(range),
                _ => {}
            },
            _ => {}
        }
    }
    Ok(found)
}
