//! Finding one's way in the book: what was said and done, by whom, why, and for whom else to read.
//!
//! Whoever wants to know what an agent did with a key has a hundred thousand exchanges before them,
//! each with the whole conversation up to it. This crate answers from them: [`Query`] is the one
//! language to ask in, [`Index`] the file beside the book that makes answers fast, [`Conversation`]
//! a session told once, [`Trail`] the way from an exchange back to the prompt, and
//! [`Index::export`] the way out.
//!
//! It reads the book of a running gateway or a copy, through
//! [`Reader`](tollbook_recording::Reader), and never stands in the way of a request. What it reads is
//! masked already. Every view is as much as one may see who may read the folder; who may is for the
//! caller to decide, and to note.
//!
//! ```
//! use tollbook_budget::Prices;
//! use tollbook_recording::{Config, Reader, Recorder};
//! use tollbook_search::{Clock, Index, Query};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # drop(Recorder::open(Config::new(folder.path(), "audit.example/gw1"))?);
//! let book = Reader::open(folder.path())?;
//! let index = Index::open(folder.path(), Prices::built_in()?)?;
//! index.catch_up(&book)?;
//!
//! let query: Query = r#"repository:acme/api tool:Bash "drop table" since:7d"#.parse()?;
//! let page = index.find(&book, &query, &Clock::utc(), 50, None)?;
//! for hit in &page.hits {
//!     println!("{} {:?}", hit.summary.id, hit.snippets);
//! }
//! # assert!(page.hits.is_empty());
//! # Ok(())
//! # }
//! ```

mod blocks;
mod conversation;
mod error;
mod export;
mod facts;
mod index;
pub mod query;
mod saved;
mod sql;
mod trail;
mod words;

pub use conversation::{Conversation, Part, Turn};
pub use error::{Error, ErrorKind};
pub use export::{Encoder, ExportOptions, Exported, Format, UnknownFormat};
pub use facts::Facts;
pub use index::{Caught, Forgotten, Hit, Index, Page, Session, Snippet};
pub use query::{Clock, Field, FieldKind, Query, QueryError, fields};
pub use saved::SavedSearches;
pub use sql::{Sql, SqlResult};
pub use trail::{Cause, Step, Trail};
