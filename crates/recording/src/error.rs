//! What can go wrong with the book.

use std::{error::Error as StdError, fmt, sync::Arc};

use tollbook_exchange::Timestamp;

/// The book cannot be opened, written or read.
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
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no book in the folder.
    NoBook,
    /// The folder, or a file in it other than the journal, cannot be used.
    Folder,
    /// Another recorder has the folder open.
    InUse,
    /// The log's key cannot be read, is open to others, or is not the one that signed the journal.
    Key,
    /// The configured origin is not that of the book.
    Origin,
    /// The SQLite library is older than one that is safe to use.
    Engine,
    /// The journal's schema is one this build does not know.
    Schema(i32),
    /// The journal cannot be opened or read.
    Database,
    /// What the journal holds does not fit together.
    Corrupt,
    /// The journal was deleted or replaced while it was open.
    Gone,
    /// The system gives no random bytes.
    Random,
    /// Nothing is recorded any more, for this reason.
    Blocked(Arc<str>),
    /// The disk is almost full: what is open is recorded to its end, and nothing new begins.
    Space,
    /// It was not written in time.
    Deadline,
    /// The exchange is not open with this recorder, or already closed.
    NotOpen,
    /// The exchange is already open with this recorder.
    Twice,
    /// The id is not one, or a beginning of fewer than eight digits.
    Id,
    /// Several exchanges have ids that begin like this.
    Ambiguous,
    /// The evidence cannot be written.
    Evidence,
    /// The anchor cannot be read or written.
    AnchorUnusable,
    /// The anchor is a checkpoint of another log, or none.
    AnchorForeign,
    /// The book had an anchor, and there is none now.
    AnchorLost,
    /// The book is older than its anchor: it was restored from a copy, or its end is lost.
    Behind {
        /// The number of entries of the book.
        book: u64,
        /// The number of entries that the anchor is about.
        anchor: u64,
    },
    /// Books were put aside in the folder, and the one that came after them is not there.
    EpochLost,
    /// The book has other entries than those that the anchor is about.
    Forked {
        /// The number of entries that the anchor is about.
        anchor: u64,
    },
    /// Nothing keeps the book from being continued, so there is nothing to accept.
    NothingToRecover,
    /// The keys beside the journal cannot be read or written, or none could be made in time.
    Keys,
    /// The keys are not beside the journal, and what it holds cannot be opened without them.
    KeysMissing,
    /// The top key, which all others are wrapped under, cannot be had.
    TopKey,
    /// The top key is another than the one that the keys were wrapped under.
    TopKeyWrong,
    /// The key was sealed to a recipient, whose identity is needed to read on.
    KeySealed,
    /// The identity cannot be read, or is none.
    Identity,
    /// So many legal holds forbid that it is erased.
    Held(usize),
    /// Something of it has to be kept until then.
    KeptUntil(Timestamp),
    /// The clock is far ahead of what it was, so that nobody knows what was kept for long enough. An
    /// operator has to order the retention.
    ClockDoubted,
    /// There is no such hold in force.
    NoHold,
}

impl Error {
    /// What kind of error it is.
    pub const fn kind(&self) -> &ErrorKind {
        &self.kind
    }

    /// Whether what was written is there in another form, rather than not to be had just now.
    pub(crate) fn is_damage(&self) -> bool {
        const DAMAGED: [i32; 2] = [rusqlite::ffi::SQLITE_CORRUPT, rusqlite::ffi::SQLITE_NOTADB];

        let source = self.source.as_ref();
        let database = source.and_then(|source| source.downcast_ref::<DatabaseError>());
        // The lower byte is the kind; what is above it says more.
        let code = database.and_then(|DatabaseError(code)| Some(code.as_ref()? & 0xff));
        self.kind == ErrorKind::Corrupt || code.is_some_and(|code| DAMAGED.contains(&code))
    }

    /// The same error with another kind.
    pub(crate) fn into_kind(self, kind: ErrorKind) -> Self {
        Self { kind, ..self }
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

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        Self::because(ErrorKind::Database, DatabaseError::from(error))
    }
}

impl From<tollbook_ledger::Error> for Error {
    fn from(error: tollbook_ledger::Error) -> Self {
        Self::because(ErrorKind::Corrupt, error)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBook => f.write_str("there is no book in this folder"),
            Self::Folder => f.write_str("the book's folder cannot be used"),
            Self::InUse => f.write_str("another process records into this folder"),
            Self::Key => f.write_str("the log's key cannot be used"),
            Self::Origin => f.write_str("the book has another origin than the one configured"),
            Self::Engine => f.write_str("SQLite is older than 3.51.3"),
            Self::Schema(version) => write!(
                f,
                "the journal has schema {version}, which this build does not read: begin a new book \
                 in another folder and keep this one with the program that wrote it"
            ),
            Self::Database => f.write_str("the journal cannot be read or written"),
            Self::Corrupt => f.write_str("what the journal holds does not fit together"),
            Self::Gone => f.write_str("the journal was deleted or replaced while it was written"),
            Self::Random => f.write_str("the system gives no random bytes"),
            Self::Blocked(reason) => write!(f, "nothing is recorded any more: {reason}"),
            Self::Space => f.write_str("the disk of the book is almost full"),
            Self::Deadline => f.write_str("the record was not written in time"),
            Self::NotOpen => f.write_str("the exchange is not open with this recorder"),
            Self::Twice => f.write_str("the exchange is already open with this recorder"),
            Self::Id => f.write_str("not an exchange id, nor eight or more of its first digits"),
            Self::Ambiguous => f.write_str("several exchanges have ids that begin like this"),
            Self::Evidence => f.write_str("the evidence cannot be written"),
            Self::AnchorUnusable => f.write_str("the anchor cannot be read or written"),
            Self::AnchorForeign => write!(
                f,
                "the anchor is not a checkpoint of this book: another book lies here than the one \
                 that was anchored. {WAYS_OUT}"
            ),
            Self::AnchorLost => write!(
                f,
                "the book had an anchor, which is gone: nothing shows any more that the book is the \
                 newest. Bring the anchor back, or accept it: `tollbook recover --accept-gap`"
            ),
            Self::Behind { book, anchor } => write!(
                f,
                "the book has {book} entries and its anchor is about {anchor}: it was restored from \
                 a copy, or its end is lost. {WAYS_OUT}"
            ),
            Self::Forked { anchor } => write!(
                f,
                "the first {anchor} entries of the book are not those of its anchor: it went on \
                 from a copy. {WAYS_OUT}"
            ),
            Self::EpochLost => f.write_str(
                "books were put aside in this folder, and the one that came after them is not \
                 there. Put it back, or accept the loss, which begins a new epoch that says so: \
                 `tollbook recover --accept-gap`",
            ),
            Self::NothingToRecover => f.write_str("the book can be continued as it is"),
            Self::Keys => f.write_str("the keys of the book cannot be read or written"),
            Self::KeysMissing => f.write_str(
                "the keys of the book are not there: put the newest copy of keys.db back beside \
                 its journal",
            ),
            Self::TopKey => f.write_str("the top key of the book cannot be had"),
            Self::TopKeyWrong => f.write_str(
                "the top key is another than the one that the keys of the book were wrapped under",
            ),
            Self::KeySealed => f.write_str(
                "what is recorded is sealed to a recipient: its identity is needed to read it",
            ),
            Self::Identity => f.write_str("the identity cannot be read, or is none"),
            Self::Held(1) => f.write_str("a legal hold forbids it"),
            Self::Held(holds) => write!(f, "{holds} legal holds forbid it"),
            Self::ClockDoubted => f.write_str(
                "the clock is more than two days ahead of what it was: look at it, and order the \
                 retention if it is right",
            ),
            Self::KeptUntil(until) => write!(f, "something of it has to be kept until {until}"),
            Self::NoHold => f.write_str("there is no such hold in force"),
        }
    }
}

const WAYS_OUT: &str = "Put the newest copy of the book back, or accept the loss, which begins a new \
     epoch that says so: `tollbook recover --accept-gap`";

/// An error of SQLite without the statement, which its own error may quote.
#[derive(Debug)]
struct DatabaseError(Option<i32>);

impl From<rusqlite::Error> for DatabaseError {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.sqlite_error().map(|error| error.extended_code))
    }
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(code) => write!(f, "{} ({code})", rusqlite::ffi::code_to_str(code)),
            None => f.write_str("a value of an unexpected type"),
        }
    }
}

impl StdError for DatabaseError {}
