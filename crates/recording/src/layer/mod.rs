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

use tollbook_exchange::{Code, Refusal, Retry};

use crate::{Error, ErrorKind, failure};

/// Refuses because the exchange cannot be recorded.
fn not_recordable(error: &Error) -> Refusal {
    match error.kind() {
        // Another recorder, or an exchange that is over: the layers were put together wrongly.
        ErrorKind::NotOpen | ErrorKind::Twice => {
            return Refusal::new(Code::Misassembled, "the exchange is not open for recording")
                .because("exchange_not_open");
        }
        _ => {}
    }
    Refusal::new(
        Code::NotRecordable,
        "the exchange cannot be recorded, so it was not forwarded",
    )
    .because(failure::word(error.kind()))
    .retry(Retry::After(5))
}

/// Ends an answer because it cannot be recorded further.
fn cut_off(error: &Error) -> Refusal {
    let message = "the answer could not be recorded further, so it was cut off";
    Refusal::new(Code::NotRecordable, message)
        .because(failure::word(error.kind()))
        .retry(Retry::After(5))
}
