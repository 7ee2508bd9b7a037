//! What can go wrong with the index and with what is read through it.

use std::{error::Error as StdError, fmt};

/// The book or its index cannot be read or written.
///
/// Neither the text nor any source holds recorded bytes or SQL.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    kind: ErrorKind,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of error it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The book cannot be read.
    Book,
    /// Records are sealed, and the keys that were given do not open them.
    Locked,
    /// The index cannot be opened, read or written.
    Index,
    /// The cursor is none that a page of results gave.
    Cursor,
    /// The id is not one, or a beginning of fewer than eight digits.
    Id,
    /// Several exchanges or sessions have ids that begin like this.
    Ambiguous,
    /// The saved searches cannot be read or written.
    Saved,
    /// The name is none for a saved search.
    Name,
    /// The output cannot be written.
    Output,
}

impl Error {
    /// What kind of error it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
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
        use tollbook_recording::ErrorKind as Kind;
        let kind = match error.kind() {
            Kind::Id => ErrorKind::Id,
            Kind::Ambiguous => ErrorKind::Ambiguous,
            _ => ErrorKind::Book,
        };
        Self::because(kind, error)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::because(ErrorKind::Index, Sqlite::from(error))
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::because(ErrorKind::Output, error)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Book => "the book cannot be read",
            Self::Locked => "records cannot be opened with the keys that were given",
            Self::Index => "the search index cannot be used",
            Self::Cursor => "the cursor is none that a page of results gave",
            Self::Id => "not an id, nor eight or more of its first digits",
            Self::Ambiguous => "several ids begin like this",
            Self::Saved => "the saved searches cannot be read or written",
            Self::Name => {
                "a saved search goes by up to 64 small letters, digits and hyphens, a letter first"
            }
            Self::Output => "the output cannot be written",
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
