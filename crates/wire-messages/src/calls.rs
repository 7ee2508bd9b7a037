//! The tool calls of an answer, before the client has them.

mod document;
mod gate;

use std::fmt;

use crate::{Place, facts, json};

pub use document::calls;
pub use gate::{CallGate, Step};

/// The longest input of one call, in bytes.
const MAX_INPUT: usize = 4 << 20;

/// A call of a tool that the model wants the client to carry out. `Debug` shows its shape alone.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Call {
    /// The call's id, which its result will name.
    pub id: String,
    /// The tool.
    pub name: String,
    /// What to call it with: where it is strict JSON, without white space between the tokens; else
    /// as the model wrote it.
    pub input: String,
    /// Whether the input is strict JSON. What is not, two clients may read in two ways.
    pub parsed: bool,
}

/// A tool that the API itself has called, or had called: there was nothing to hold back any more.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Ran {
    /// The block's type, such as `server_tool_use`.
    pub kind: String,
    /// The call's id.
    pub id: String,
    /// The tool.
    pub name: String,
}

/// Why an answer cannot pass whatever its calls are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CallsError {
    /// It is not what the API writes: two clients could find two different calls in it.
    #[error("the answer cannot be read in one way")]
    Unreadable,
    /// A call is larger than the gate holds.
    #[error("a tool call is larger than the gate holds")]
    TooLarge,
}

impl Call {
    fn new(id: String, name: String, input: String) -> Result<Self, CallsError> {
        if input.len() > MAX_INPUT {
            return Err(CallsError::TooLarge);
        }
        let parsed = json::check(input.as_bytes()).is_ok();
        let input = if parsed {
            json::compact(&input).into_owned()
        } else {
            input
        };
        Ok(Self {
            id,
            name,
            input,
            parsed,
        })
    }

    /// Hands the texts of the call to `out`, as [`texts`](crate::texts) does when the call comes
    /// back in a later request. An input that is no strict JSON is one text.
    pub fn texts(&self, out: &mut dyn FnMut(Place<'_>, &str)) {
        facts::call_texts(&self.name, &self.input, self.parsed, out);
    }
}

/// Whether a block of this type is a call for the client. So is a type that nobody knows yet and
/// that is called like one.
fn is_for_client(kind: &str) -> bool {
    kind.ends_with("tool_use") && !is_for_api(kind)
}

/// Whether a block of this type is a call that the API has carried out by the time it is told.
fn is_for_api(kind: &str) -> bool {
    matches!(kind, "server_tool_use" | "mcp_tool_use")
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("input", &self.input.len())
            .field("parsed", &self.parsed)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ran(..)")
    }
}

#[cfg(test)]
mod tests;
