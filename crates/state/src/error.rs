//! What can go wrong with the state.

use std::{error::Error as StdError, fmt};

use rusqlite::ErrorCode;

/// The state cannot be opened, written or read.
///
/// Neither the text nor any source holds anything of a record, or SQL.
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
    /// There is no state in the folder.
    NoState,
    /// The folder, or a file in it other than the database, cannot be used.
    Folder,
    /// Another process has the state open for writing.
    InUse,
    /// The state was opened for reading.
    ReadOnly,
    /// The key cannot be read, is open to others, or is not the one the database was made with.
    Key,
    /// The schema is one this build does not know.
    Schema(i32),
    /// The file is damaged, or not one of ours.
    Corrupt,
    /// SQLite cannot do it now. Nothing was changed.
    Database,
    /// A write failed, and nobody knows what is on disk. Nothing is answered any more until the
    /// state is opened again.
    Broken,
    /// There is a record with this id already.
    Exists,
    /// The system gives no random bytes.
    Random,
    /// The state was closed.
    Closed,
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

    /// Whether nobody can tell what such an error in a write has left on disk.
    pub(crate) fn leaves_doubt(&self) -> bool {
        let source = self.source.as_ref();
        let Some(DatabaseError(code)) = source.and_then(|it| it.downcast_ref()) else {
            return false;
        };
        !matches!(
            code.map(|code| code.code),
            // The statement had no effect.
            Some(
                ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::ConstraintViolation
                    | ErrorCode::TooBig
                    | ErrorCode::TypeMismatch
            )
        )
    }
}

impl From<ErrorKind> for Error {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        let code = error.sqlite_error().copied();
        let kind = match code.map(|code| code.code) {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
            Some(_) => ErrorKind::Database,
            // A value of another type than the schema has.
            None => ErrorKind::Corrupt,
        };
        Self::because(kind, DatabaseError(code))
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoState => "there is no state in this folder",
            Self::Folder => "the state's folder cannot be used",
            Self::InUse => "another process has the state open",
            Self::ReadOnly => "the state is open for reading only",
            Self::Key => "the state's key cannot be used",
            Self::Schema(version) => {
                return write!(f, "the state has the unknown schema {version}");
            }
            Self::Corrupt => "the state's database is damaged",
            Self::Database => "the state cannot be read or written",
            Self::Broken => "a write of the state failed, and it must be opened again",
            Self::Exists => "the record exists",
            Self::Random => "the system gives no random bytes",
            Self::Closed => "the state was closed",
        })
    }
}

/// An error of SQLite without the statement, which its own error may quote.
#[derive(Debug)]
struct DatabaseError(Option<rusqlite::ffi::Error>);

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(error) => write!(
                f,
                "{} ({})",
                rusqlite::ffi::code_to_str(error.extended_code),
                error.extended_code
            ),
            None => f.write_str("a value of an unexpected type"),
        }
    }
}

impl StdError for DatabaseError {}
