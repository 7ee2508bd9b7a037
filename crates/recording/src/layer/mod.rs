//! The tower layers that write the book.

mod body;
mod commit;
mod head;
mod record;
mod release;

pub use body::{NotRecorded, ResponseBody};
pub use commit::{Commit, CommitLayer};
pub use record::{Record, RecordLayer};
pub use release::Release;
