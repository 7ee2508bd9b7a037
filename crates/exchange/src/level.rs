//! What was durable before what passed.

use serde::{Deserialize, Serialize};

/// What of an exchange was durable before what passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Level {
    /// The request, before it was forwarded. The answer was recorded while it passed.
    #[default]
    Intent,
    /// The request, before it was forwarded, and each byte of the answer's body before the caller
    /// got it.
    Release,
    /// Nothing: recording was not possible, the connection let it pass nonetheless, and it was
    /// written when that was possible again.
    Spool,
}

impl Level {
    /// The name used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Release => "release",
            Self::Spool => "spool",
        }
    }
}
