//! What the model answered.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::json;

/// An answer of the model, or as much of it as came.
///
/// Built by an [`Assembler`](crate::Assembler). `Debug` shows its shape and no text.
#[derive(Clone, Default, PartialEq)]
#[non_exhaustive]
pub struct Answer {
    /// The message's id.
    pub id: Option<String>,
    /// The model that answered, which need not be the one asked for.
    pub model: Option<String>,
    /// The role, `assistant`.
    pub role: Option<String>,
    /// The blocks, in order.
    pub content: Vec<Block>,
    /// Why the model stopped. An open list: `end_turn`, `tool_use`, `max_tokens`, `refusal` …
    pub stop_reason: Option<String>,
    /// The sequence that stopped it.
    pub stop_sequence: Option<String>,
    /// Tokens used, with every key the API sent. Counts are totals, so later ones replace earlier.
    pub usage: Map<String, Value>,
    /// The error that came instead of an answer or in the middle of one.
    pub error: Option<AnswerError>,
    /// Whether the answer began.
    pub saw_start: bool,
    /// Whether it came to its end.
    pub saw_stop: bool,
    /// Whether parts were left out because the answer was too large to hold.
    pub truncated: bool,
    /// Events, deltas and bodies that were not understood.
    pub ignored: u64,
}

/// One block of an answer.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum Block {
    /// Text for the user.
    Text {
        /// The text.
        text: String,
    },
    /// A call of a tool, for the client to carry out.
    ToolUse {
        /// The call's id, which its result will name.
        id: String,
        /// The tool.
        name: String,
        /// What to call it with.
        input: Input,
    },
    /// What the model thought.
    Thinking {
        /// The text; empty where the API leaves it out.
        thinking: String,
        /// The API's signature over the thoughts.
        signature: String,
    },
    /// A block of another kind, such as a server tool's call or result, as it stood.
    Other(Map<String, Value>),
}

/// The input of a tool call.
#[derive(Clone, PartialEq)]
pub enum Input {
    /// As a value.
    Json(Value),
    /// As the model wrote it: it was cut short, is not JSON, or can be read in two ways.
    Raw(String),
}

/// An error as the API reports it.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AnswerError {
    /// The type, such as `overloaded_error`.
    pub kind: String,
    /// The message.
    pub message: String,
}

impl Answer {
    /// The answer under the keys of an exchange's JSON form: `model`, `usage`, `stop_reason`,
    /// `stop_sequence`, `answer`, `tool_calls`, `error`. What is not known has no key.
    ///
    /// `requested` is the model that the request named.
    pub fn into_result(self, requested: Option<&str>) -> Map<String, Value> {
        let mut result = Map::new();
        let mut model = Map::new();
        put(&mut model, "requested", requested);
        put(&mut model, "served", self.model);
        if !model.is_empty() {
            result.insert("model".to_owned(), model.into());
        }
        if !self.usage.is_empty() {
            result.insert("usage".to_owned(), self.usage.into());
        }
        put(&mut result, "stop_reason", self.stop_reason);
        put(&mut result, "stop_sequence", self.stop_sequence);
        if self.saw_start {
            let calls: Vec<Value> = self.content.iter().filter_map(Block::call).collect();
            let mut answer = Map::new();
            put(&mut answer, "id", self.id);
            put(&mut answer, "role", self.role);
            let content: Vec<Value> = self.content.into_iter().map(Block::into_value).collect();
            answer.insert("content".to_owned(), content.into());
            if self.truncated {
                answer.insert("truncated".to_owned(), true.into());
            }
            result.insert("answer".to_owned(), answer.into());
            result.insert("tool_calls".to_owned(), calls.into());
        }
        if let Some(AnswerError { kind, message }) = self.error {
            let error = json!({ "type": kind, "message": message });
            result.insert("error".to_owned(), error);
        }
        result
    }
}

impl Block {
    /// A block from its object and the input that came after it in pieces.
    pub(crate) fn from_parts(mut start: Map<String, Value>, pieces: String) -> Self {
        let kind = start.get("type").and_then(Value::as_str);
        match kind {
            Some("text") => Self::Text {
                text: take_text(&mut start, "text").unwrap_or_default(),
            },
            Some("thinking") => Self::Thinking {
                thinking: take_text(&mut start, "thinking").unwrap_or_default(),
                signature: take_text(&mut start, "signature").unwrap_or_default(),
            },
            Some("tool_use") if is_call(&start) => Self::ToolUse {
                id: take_text(&mut start, "id").unwrap_or_default(),
                name: take_text(&mut start, "name").unwrap_or_default(),
                input: Input::from_parts(start.remove("input"), pieces),
            },
            _ => {
                if !pieces.is_empty() {
                    let input = Input::from_parts(None, pieces).into_value();
                    start.insert("input".to_owned(), input);
                }
                Self::Other(start)
            }
        }
    }

    fn call(&self) -> Option<Value> {
        match self {
            Self::ToolUse { id, name, input } => {
                Some(json!({ "id": id, "name": name, "input": input.clone().into_value() }))
            }
            _ => None,
        }
    }

    /// The block in the API's form.
    fn into_value(self) -> Value {
        match self {
            Self::Text { text } => json!({ "type": "text", "text": text }),
            Self::ToolUse { id, name, input } => {
                json!({ "type": "tool_use", "id": id, "name": name, "input": input.into_value() })
            }
            Self::Thinking {
                thinking,
                signature,
            } => json!({ "type": "thinking", "thinking": thinking, "signature": signature }),
            Self::Other(block) => block.into(),
        }
    }
}

impl Input {
    /// An input from the value its block began with and the pieces of JSON text after it.
    fn from_parts(start: Option<Value>, pieces: String) -> Self {
        if pieces.is_empty() {
            return Self::Json(start.unwrap_or_else(|| Map::new().into()));
        }
        // Names that stand twice stay as text, so that a record never shows the wrong one of two.
        let value = json::check(pieces.as_bytes())
            .ok()
            .and_then(|()| serde_json::from_str(&pieces).ok());
        value.map_or(Self::Raw(pieces), Self::Json)
    }

    /// The input as a value; raw text becomes a string.
    pub fn into_value(self) -> Value {
        match self {
            Self::Json(value) => value,
            Self::Raw(text) => text.into(),
        }
    }
}

/// Takes a text out of an object. Anything but a text is left there.
pub(crate) fn take_text(object: &mut Map<String, Value>, name: &str) -> Option<String> {
    match object.get_mut(name) {
        Some(Value::String(text)) => Some(std::mem::take(text)),
        _ => None,
    }
}

/// Whether an object names a call and a tool.
fn is_call(object: &Map<String, Value>) -> bool {
    ["id", "name"]
        .iter()
        .all(|name| object.get(*name).is_some_and(Value::is_string))
}

fn put(object: &mut Map<String, Value>, name: &str, text: Option<impl Into<String>>) {
    if let Some(text) = text {
        object.insert(name.to_owned(), Value::String(text.into()));
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("content", &self.content)
            .field("error", &self.error)
            .field("saw_start", &self.saw_start)
            .field("saw_stop", &self.saw_stop)
            .field("truncated", &self.truncated)
            .field("ignored", &self.ignored)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Text { .. } => "Text(..)",
            Self::ToolUse { .. } => "ToolUse(..)",
            Self::Thinking { .. } => "Thinking(..)",
            Self::Other(_) => "Other(..)",
        })
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "Json(..)",
            Self::Raw(_) => "Raw(..)",
        })
    }
}

impl fmt::Debug for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnswerError(..)")
    }
}
