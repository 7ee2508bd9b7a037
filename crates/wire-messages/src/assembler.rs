//! Putting an answer together.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};
use tollbook_sse::Frame;

use crate::{
    Endpoint,
    answer::{Answer, AnswerError, Block, take_text},
};

/// Puts an [`Answer`] together from the events of a stream or from a whole body.
///
/// It reads masked bytes, since what it holds goes into the record. It never fails: what it does
/// not understand it counts, for the list of events and blocks is open, and a recorder must not
/// break a stream that the client can read.
///
/// Memory is bounded: content beyond the limit is left out, and the answer says so. Model, usage,
/// stop reason and error have a small room of their own, so that they are known of every answer.
///
/// ```
/// use tollbook_sse::Splitter;
/// use tollbook_wire_messages::{Assembler, Endpoint, StreamEnd};
///
/// let mut splitter = Splitter::new(1 << 20);
/// splitter.push(b"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"model\":\"m\"}}\n\n");
/// splitter.push(b"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
/// let mut assembler = Assembler::new(Endpoint::MessagesCreate);
/// while let Some(frame) = splitter.next_frame()? {
///     assembler.event(&frame);
/// }
/// assert_eq!(assembler.end(), StreamEnd::Complete);
/// assert_eq!(assembler.finish().model.as_deref(), Some("m"));
/// # Ok::<(), tollbook_sse::FrameTooLong>(())
/// ```
pub struct Assembler {
    endpoint: Endpoint,
    /// Everything but the content.
    answer: Answer,
    blocks: BTreeMap<u64, Building>,
    /// Bytes of content that may still come.
    room: usize,
    /// Bytes of other events that may still come.
    head_room: usize,
}

/// How a stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// With `message_stop`, or as a whole body.
    Complete,
    /// With an error of the API.
    ErrorEvent,
    /// Without either: the client has an incomplete answer.
    Broken,
}

/// A block that may not be complete.
struct Building {
    /// The object it began with, to whose texts the deltas are added.
    start: Map<String, Value>,
    /// The pieces of a tool's input.
    input: String,
}

/// Content that is held unless told otherwise.
const DEFAULT_LIMIT: usize = 8 << 20;

/// Room for message starts, message deltas and errors, which are a few hundred bytes each.
const HEAD_LIMIT: usize = 256 << 10;

/// What a block costs beyond its bytes, so that empty blocks are not free.
const BLOCK_COST: usize = 256;

impl Assembler {
    /// An assembler for an answer of `endpoint` that holds up to 8 MiB of content.
    pub fn new(endpoint: Endpoint) -> Self {
        Self::with_limit(endpoint, DEFAULT_LIMIT)
    }

    /// An assembler for an answer of `endpoint` that holds up to `limit` bytes of content.
    pub fn with_limit(endpoint: Endpoint, limit: usize) -> Self {
        Self {
            endpoint,
            answer: Answer::default(),
            blocks: BTreeMap::new(),
            room: limit,
            head_room: HEAD_LIMIT,
        }
    }

    /// Takes the next event of a stream.
    pub fn event(&mut self, frame: &Frame) {
        let name = frame.event();
        if name == Some("ping") {
            return;
        }
        let data = frame.data();
        if data.is_empty() && name.is_none() {
            // A comment.
            return;
        }
        let Ok(Value::Object(mut event)) = serde_json::from_slice(&data) else {
            self.answer.ignored += 1;
            return;
        };
        let kind = take_text(&mut event, "type").or_else(|| name.map(str::to_owned));
        let understood = match kind.as_deref() {
            Some("message_start") => self.message_start(event, data.len()),
            Some("content_block_start") => self.block_start(event, data.len()),
            Some("content_block_delta") => self.block_delta(event),
            Some("content_block_stop" | "ping") => true,
            Some("message_delta") => self.message_delta(event, data.len()),
            Some("message_stop") => {
                self.answer.saw_stop = true;
                true
            }
            Some("error") => self.error(event.remove("error"), data.len()),
            _ => false,
        };
        self.answer.ignored += u64::from(!understood);
    }

    /// Takes a whole body: a message, a count of tokens, or an error. Of the answers of other
    /// operations nothing is kept but an error.
    pub fn document(&mut self, body: &[u8]) {
        if let Ok(ErrorBody { kind, error }) = serde_json::from_slice(body)
            && kind == "error"
        {
            self.error(error, body.len());
            return;
        }
        let understood = match self.endpoint {
            Endpoint::MessagesCreate => self.message(body),
            Endpoint::MessagesCountTokens => self.count(body),
            _ => true,
        };
        self.answer.saw_stop |= understood;
        self.answer.ignored += u64::from(!understood);
    }

    /// How the stream ended, if this was its end.
    pub fn end(&self) -> StreamEnd {
        if self.answer.error.is_some() {
            StreamEnd::ErrorEvent
        } else if self.answer.saw_stop {
            StreamEnd::Complete
        } else {
            StreamEnd::Broken
        }
    }

    /// The answer as far as it came.
    pub fn finish(self) -> Answer {
        let blocks = self.blocks.into_values();
        Answer {
            content: blocks
                .map(|block| Block::from_parts(block.start, block.input))
                .collect(),
            ..self.answer
        }
    }

    /// Takes a whole message. The content of one beyond the limit is skipped and not even built.
    fn message(&mut self, body: &[u8]) -> bool {
        let fits = self.take(body.len());
        let message = if fits {
            serde_json::from_slice(body)
        } else {
            serde_json::from_slice(body).map(|Message::<IgnoredAny> { rest, .. }| Message {
                content: Vec::new(),
                rest,
            })
        };
        let Ok(Message::<Vec<Map<String, Value>>> { content, mut rest }) = message else {
            return false;
        };
        self.answer.saw_start = true;
        self.head(&mut rest);
        self.stop(&mut rest);
        for (index, start) in (0..).zip(content) {
            let input = String::new();
            self.blocks.insert(index, Building { start, input });
        }
        true
    }

    fn count(&mut self, body: &[u8]) -> bool {
        match serde_json::from_slice(body) {
            Ok(Value::Object(count)) if self.take_head(body.len()) => {
                self.answer.usage.extend(count);
                true
            }
            _ => false,
        }
    }

    fn message_start(&mut self, mut event: Map<String, Value>, bytes: usize) -> bool {
        self.answer.saw_start = true;
        if !self.take_head(bytes) {
            return true;
        }
        let Some(Value::Object(mut message)) = event.remove("message") else {
            return false;
        };
        self.head(&mut message);
        true
    }

    fn block_start(&mut self, mut event: Map<String, Value>, bytes: usize) -> bool {
        let index = event.get("index").and_then(Value::as_u64);
        let (Some(index), Some(Value::Object(start))) = (index, event.remove("content_block"))
        else {
            return false;
        };
        if self.blocks.contains_key(&index) {
            return false;
        }
        if self.take(bytes.saturating_add(BLOCK_COST)) {
            let input = String::new();
            self.blocks.insert(index, Building { start, input });
        }
        true
    }

    fn block_delta(&mut self, mut event: Map<String, Value>) -> bool {
        let index = event.get("index").and_then(Value::as_u64);
        let (Some(index), Some(Value::Object(mut delta))) = (index, event.remove("delta")) else {
            return false;
        };
        // What a delta of each kind carries, and what it adds to.
        let (from, to) = match delta.get("type").and_then(Value::as_str) {
            Some("text_delta") => ("text", Some("text")),
            Some("thinking_delta") => ("thinking", Some("thinking")),
            Some("signature_delta") => ("signature", Some("signature")),
            Some("input_json_delta") => ("partial_json", None),
            _ => return false,
        };
        let Some(piece) = take_text(&mut delta, from) else {
            return false;
        };
        if !self.take(piece.len()) {
            return true;
        }
        let Some(block) = self.blocks.get_mut(&index) else {
            return false;
        };
        let Some(field) = to else {
            block.input += &piece;
            return true;
        };
        let text = block
            .start
            .entry(field)
            .or_insert_with(|| Value::String(String::new()));
        if let Value::String(text) = text {
            *text += &piece;
            true
        } else {
            false
        }
    }

    fn message_delta(&mut self, mut event: Map<String, Value>, bytes: usize) -> bool {
        if self.take_head(bytes) {
            self.usage(&mut event);
            if let Some(Value::Object(mut delta)) = event.remove("delta") {
                self.stop(&mut delta);
            }
        }
        true
    }

    /// Takes an error object. The first error counts.
    fn error(&mut self, error: Option<Value>, bytes: usize) -> bool {
        let mut error = match error {
            Some(Value::Object(error)) if self.take_head(bytes) => error,
            _ => Map::new(),
        };
        let kind = take_text(&mut error, "type").unwrap_or_else(|| "unknown".to_owned());
        let message = take_text(&mut error, "message").unwrap_or_default();
        self.answer
            .error
            .get_or_insert(AnswerError { kind, message });
        true
    }

    fn head(&mut self, message: &mut Map<String, Value>) {
        self.answer.id = take_text(message, "id");
        self.answer.model = take_text(message, "model");
        self.answer.role = take_text(message, "role");
        self.usage(message);
    }

    fn stop(&mut self, delta: &mut Map<String, Value>) {
        if let Some(reason) = take_text(delta, "stop_reason") {
            self.answer.stop_reason = Some(reason);
        }
        if let Some(sequence) = take_text(delta, "stop_sequence") {
            self.answer.stop_sequence = Some(sequence);
        }
    }

    /// Merges counts. They are totals so far; a key that a later event leaves out or has as `null`
    /// keeps what it was.
    fn usage(&mut self, event: &mut Map<String, Value>) {
        if let Some(Value::Object(usage)) = event.remove("usage") {
            for (key, value) in usage {
                if !value.is_null() || !self.answer.usage.contains_key(&key) {
                    self.answer.usage.insert(key, value);
                }
            }
        }
    }

    /// Whether there is room for so many bytes of content. Once there was not, there is none:
    /// what is held is always a beginning.
    fn take(&mut self, bytes: usize) -> bool {
        if self.answer.truncated || bytes > self.room {
            self.answer.truncated = true;
            return false;
        }
        self.room -= bytes;
        true
    }

    fn take_head(&mut self, bytes: usize) -> bool {
        let fits = bytes <= self.head_room;
        if fits {
            self.head_room -= bytes;
        } else {
            self.answer.truncated = true;
        }
        fits
    }
}

impl fmt::Debug for Assembler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Assembler")
            .field("blocks", &self.blocks.len())
            .field("end", &self.end())
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// A body that may be an error.
#[derive(Deserialize)]
struct ErrorBody<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    error: Option<Value>,
}

/// A message with its content apart from everything else.
#[derive(Deserialize)]
struct Message<C> {
    content: C,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

#[cfg(test)]
mod tests;
