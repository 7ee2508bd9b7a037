//! What can go wrong.

use std::fmt;

/// Why something could not be replayed. It holds nothing of what was recorded.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    kind: ErrorKind,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The book cannot be read.
    Book,
    /// There is no HTTP client to be had.
    Client,
    /// The address of an upstream is none, or not one that a credential may be sent to.
    Address,
    /// The upstream cannot be reached, or broke off.
    Upstream,
    /// The answer of the upstream is larger than what is compared.
    TooLarge,
    /// A stream of events cannot be read.
    Stream,
}

impl Error {
    /// What kind of failure it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    pub(crate) fn because(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            kind,
            source: Some(source.into()),
        }
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<tollbook_recording::Error> for Error {
    fn from(error: tollbook_recording::Error) -> Self {
        Self::because(ErrorKind::Book, error)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Book => "the book cannot be read",
            Self::Client => "there is no HTTP client to be had",
            Self::Address => {
                "the address is not that of an upstream: it begins with https://, or with http:// on \
                 this machine, and holds no credential"
            }
            Self::Upstream => "the upstream cannot be reached",
            Self::TooLarge => "the answer of the upstream is too large",
            Self::Stream => "a stream of events cannot be read",
        })
    }
}
