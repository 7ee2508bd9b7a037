//! PostgreSQL.
//!
//! | file | what it is |
//! |---|---|
//! | `wire` | frames over a stream, bounded both ways |
//! | `session` | a session that was signed in: what goes each way, statement by statement |

mod session;
mod wire;

use std::collections::BTreeSet;

pub use session::{End, Session};
pub use wire::{Fault, Wire};

/// How a connection is relayed, apart from its engines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The longest message either side may send, in bytes. 64 MiB unless told.
    pub max_message: usize,
    /// What of the rows of a result is recorded.
    pub rows: Rows,
    /// Columns that policies and masking look out for, as `column`, `table.column` or
    /// `schema.table.column`.
    pub protected_columns: BTreeSet<String>,
    /// Functions of the operator's that only compute.
    pub harmless_functions: BTreeSet<String>,
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
            protected_columns: BTreeSet::new(),
            harmless_functions: BTreeSet::new(),
        }
    }
}
