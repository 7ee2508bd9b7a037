//! What can go wrong with sinks here, rather than at the other side.

use std::{error::Error as StdError, fmt};

/// A sink cannot be set up, or its cursor or the book cannot be used.
///
/// Neither the text nor any source holds recorded bytes, SQL, an address or a credential.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    kind: ErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of error it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The name is none for a sink.
    Name,
    /// The options do not go with each other or with the target.
    Options(&'static str),
    /// The address, or what belongs to it, cannot be used.
    Target(&'static str),
    /// The book cannot be read.
    Book,
    /// A record cannot be opened: its key cannot be had here or now.
    Unavailable,
    /// The cursors cannot be read or written.
    Cursors,
    /// There are no cursors in the folder: no sink has run there.
    NoCursors,
    /// A record cannot be written in the format.
    Format,
    /// A task of ours has failed.
    Task,
}

impl Error {
    /// What kind of error it is.
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    pub(crate) fn because(
        kind: ErrorKind,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
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

impl From<tollbook_search::Error> for Error {
    fn from(error: tollbook_search::Error) -> Self {
        Self::because(ErrorKind::Format, error)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::because(ErrorKind::Cursors, Sqlite::from(error))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Name => {
                "a sink goes by up to 64 small letters, digits and hyphens, a letter first"
            }
            Self::Options(why) | Self::Target(why) => why,
            Self::Book => "the book cannot be read",
            Self::Unavailable => "the key of a record cannot be had",
            Self::Cursors => "the cursors of the sinks cannot be read or written",
            Self::NoCursors => "no sink has run with this book",
            Self::Format => "a record cannot be written in this format",
            Self::Task => "a task of a sink has failed",
        })
    }
}

/// An error of SQLite without the statement, which its own error may quote.
#[derive(Debug)]
struct Sqlite(Option<i32>);

impl From<rusqlite::Error> for Sqlite {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.sqlite_error().map(|error| error.extended_code))
    }
}

impl fmt::Display for Sqlite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, "{} ({code})", rusqlite::ffi::code_to_str(code)),
            None => f.write_str("a value of an unexpected type"),
        }
    }
}

impl StdError for Sqlite {}
