//! PostgreSQL.
//!
//! | file | what it is |
//! |---|---|
//! | `front` | from the first byte until both sides have signed in; routes a cancel |
//! | `greet` | openings: TLS, a session, a cancel |
//! | `settings` | what a session may begin with |
//! | `sign_in` | how a client says who it is |
//! | `upstream` | the server, and how the gate signs in there |
//! | `scram` | the client's side of SCRAM, with the binding to the server's certificate |
//! | `cancel` | who may cancel what |
//! | `fatal` | how a session that does not come about is told so |
//! | `tunnel` | the caller's end: a local port with their identity |
//! | `link` | a stream that may be inside TLS |
//! | `wire` | frames over a stream, bounded both ways |
//! | `session` | a session that was signed in: what goes each way, statement by statement |
//! | `protected` | columns that an operator protects, and what statements have to do with them |
//! | `catalog`, `lookup` | which table's column stands behind a number |
//! | `rows` | results: what the caller gets of them, and what the record keeps |
//! | `columns`, `arrays` | cells between the wire, the masking engine and the record |
//! | `copy` | what `COPY … TO STDOUT` sends |
//! | `told` | errors, notices, notifications, results of calls |

mod arrays;
mod cancel;
mod catalog;
mod columns;
mod copy;
mod fatal;
mod front;
mod greet;
mod link;
mod lookup;
mod protected;
mod rows;
mod scram;
mod session;
mod settings;
mod sign_in;
mod told;
mod tunnel;
mod upstream;
mod wire;

use std::collections::BTreeSet;

pub use catalog::{Catalog, Lookup, LookupFuture, NoAnswer, Relation, ask};
pub use copy::{CopyMask, Piece};
pub use front::{Door, Front};
pub use greet::ALPN;
pub use link::{Begun, Link};
pub use protected::{Protected, Protection, Uses};
pub use rows::{ResultMask, Results, Summary};
pub use session::{End, Session};
pub use sign_in::SignIn;
pub use told::Told;
pub use tunnel::{Tunnel, TunnelError};
pub use upstream::{
    BuildError, NoPassword, Password, PasswordFuture, ProvidePassword, Server, Upstream,
    UpstreamTls, is_local,
};
pub use wire::{Fault, Wire};

/// How a connection is relayed, apart from its engines.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Options {
    /// The longest message either side may send, in bytes. 64 MiB unless told.
    pub max_message: usize,
    /// What of the rows of a result is recorded.
    pub rows: Rows,
    /// Columns that policies and masking look out for.
    pub protected: Protected,
    /// What tells which column of a table stands behind a number; none where no column is protected.
    pub catalog: Option<Catalog>,
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
            protected: Protected::default(),
            catalog: None,
            harmless_functions: BTreeSet::new(),
        }
    }
}
