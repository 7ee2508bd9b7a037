//! What can go wrong with witnesses.

use std::{error::Error as StdError, io};

/// The files of a witness cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or the folder cannot be read or written.
    #[error("the folder of the witness cannot be used")]
    Folder(#[source] io::Error),
    /// The key cannot be read, or others than its owner may read it.
    #[error("the key of the witness cannot be read, or may be read by others than its owner")]
    Key,
    /// The key was made under another name.
    #[error("the key of the witness was made under the name {0}")]
    Name(String),
    /// The name cannot stand in a note.
    #[error("the name of the witness is empty or holds white space or `+`")]
    BadName,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
}

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// It does not answer, or with something that is no answer.
    #[error("it does not answer")]
    Unreachable(#[source] Box<dyn StdError + Send + Sync>),
    /// It refuses with this status: 404 when it does not know the log, 403 when it trusts another
    /// key for it.
    #[error("it refuses with status {0}{hint}", hint = hint(*.0))]
    Refused(u16),
    /// What it answers is not signed by the key that it is configured with.
    #[error("the answer bears no signature of the key that the witness is configured with")]
    Unsigned,
    /// What a time-stamping authority answers is no time stamp of what it was asked for.
    #[error("{0}")]
    Stamp(tollbook_timestamp::Error),
    /// The book cannot be read.
    #[error("the book cannot be read")]
    Book(#[source] Box<dyn StdError + Send + Sync>),
    /// The entries of the book are not those of its signed head.
    #[error("the entries of the book are not those of its signed head")]
    Damaged,
    /// The witness has seen a longer book under this key: this one was restored from a copy, or
    /// lost its end.
    #[error(
        "the witness has seen {known} entries and the book has {size}: it was restored from an older copy, or its end is lost"
    )]
    Behind {
        /// The number of entries that the witness has seen.
        known: u64,
        /// The number of entries of the book.
        size: u64,
    },
    /// The witness has seen another history under this key.
    #[error(
        "the witness has seen another history of the first {known} entries: the book is a fork"
    )]
    Forked {
        /// The number of entries that the witness has seen.
        known: u64,
    },
}

impl Failure {
    /// Whether it says that there are two histories under the log's key, where other failures may
    /// pass.
    pub const fn is_alarm(&self) -> bool {
        matches!(self, Self::Behind { .. } | Self::Forked { .. })
    }
}

const fn hint(status: u16) -> &'static str {
    match status {
        404 => ": it does not know this log",
        403 => ": it knows another key of this log",
        _ => "",
    }
}
