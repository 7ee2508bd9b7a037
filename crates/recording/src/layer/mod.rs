//! The tower layers that write the book.

mod body;
mod commit;
mod head;
mod record;

pub use body::{NotRecorded, ResponseBody};
pub use commit::{Commit, CommitLayer};
pub use record::{Record, RecordLayer};

use tollbook_exchange::{Code, Refusal, Retry};

use crate::{Error, ErrorKind};

/// Refuses because the exchange cannot be recorded.
fn not_recordable(error: &Error) -> Refusal {
    let reason = match error.kind() {
        ErrorKind::Blocked(_) => "journal_blocked",
        ErrorKind::Space => "journal_space",
        ErrorKind::Deadline => "journal_deadline",
        // Another recorder, or an exchange that is over: the layers were put together wrongly.
        ErrorKind::NotOpen | ErrorKind::Twice => {
            return Refusal::new(Code::Misassembled, "the exchange is not open for recording")
                .because("exchange_not_open");
        }
        _ => "journal_error",
    };
    Refusal::new(
        Code::NotRecordable,
        "the exchange cannot be recorded, so it was not forwarded",
    )
    .because(reason)
    .retry(Retry::After(5))
}
