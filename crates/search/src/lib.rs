//! Reading the book.

mod blocks;
mod error;
mod facts;
mod index;
pub mod query;
mod words;

pub use error::{Error, ErrorKind};
pub use facts::Facts;
pub use index::{Caught, Hit, Index, Page, Snippet};
pub use query::{Clock, Field, FieldKind, Query, QueryError, fields};
