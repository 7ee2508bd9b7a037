//! Reading the book.

mod blocks;
mod conversation;
mod error;
mod export;
mod facts;
mod index;
pub mod query;
mod trail;
mod words;

pub use conversation::{Conversation, Part, Turn};
pub use error::{Error, ErrorKind};
pub use export::{ExportOptions, Exported, Format, UnknownFormat};
pub use facts::Facts;
pub use index::{Caught, Hit, Index, Page, Session, Snippet};
pub use query::{Clock, Field, FieldKind, Query, QueryError, fields};
pub use trail::{Cause, Step, Trail};
