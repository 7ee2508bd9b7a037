//! The gate's own "no", before it takes the form of a protocol.

use crate::Code;

/// A refusal by the gate.
///
/// Layers answer with one; a single place near the edge gives it the shape of the caller's
/// protocol. `message` is for the caller. `reason` is for the record alone: it may tell what the
/// caller must not learn, such as why a token failed. Neither ever holds matched text, a token or
/// a body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence for the caller.
    pub message: String,
    /// A stable word for the record, finer than the code.
    pub reason: &'static str,
    /// Whether the same request may succeed later.
    pub retry: Retry,
}

impl Refusal {
    /// A refusal that the same request will meet again.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            reason: code.as_str(),
            retry: Retry::Never,
        }
    }

    /// The same refusal with its reason for the record.
    pub const fn because(mut self, reason: &'static str) -> Self {
        self.reason = reason;
        self
    }

    /// The same refusal, of a kind that passes.
    pub const fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }
}

/// Whether a client should send the same request again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retry {
    /// It would be refused again.
    Never,
    /// Whenever the client likes.
    Anytime,
    /// After this many seconds.
    After(u32),
}
