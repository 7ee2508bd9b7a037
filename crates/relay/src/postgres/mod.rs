//! PostgreSQL.
//!
//! | file | what it is |
//! |---|---|
//! | `wire` | frames over a stream, bounded both ways |
//! | `session` | a session that was signed in: what goes each way, statement by statement |
//! | `protected` | columns that an operator protects, and what statements have to do with them |
//! | `catalog` | which table's column stands behind a number |
//! | `rows` | results: what the caller gets of them, and what the record keeps |
//! | `columns`, `arrays` | cells between the wire, the masking engine and the record |
//! | `copy` | what `COPY … TO STDOUT` sends |
//! | `told` | errors, notices, notifications, results of calls |

mod arrays;
mod catalog;
mod columns;
mod copy;
mod protected;
mod rows;
mod session;
mod told;
mod wire;

pub use catalog::{Catalog, Lookup, LookupFuture, NoAnswer, Relation, ask};
pub use copy::{CopyMask, Piece};
pub use protected::{Protected, Protection, Uses};
pub use rows::{ResultMask, Results, Summary};
pub use session::{End, Session};
pub use told::Told;
pub use wire::{Fault, Wire};

/// How a connection is relayed, apart from its engines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The longest message either side may send, in bytes. 64 MiB unless told.
    pub max_message: usize,
    /// What of the rows of a result is recorded.
    pub rows: Rows,
    /// The columns whose values nobody gets.
    pub protected: Protected,
}

/// What of the rows of a result is recorded. Whatever it is, columns, count and bytes are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// Nothing more.
    None,
    /// A keyed digest of them.
    Digest,
    /// The first so many, masked.
    First(u64),
    /// All of them, masked.
    #[default]
    All,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_message: 64 << 20,
            rows: Rows::default(),
            protected: Protected::default(),
        }
    }
}
