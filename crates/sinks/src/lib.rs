//! Continuous copies of the book elsewhere.
//!
//! The threat this answers is a copy that cannot be trusted to be whole: one that lost what was
//! written while the other side was down, that stands still for one record nobody can take, or that
//! keeps traffic waiting for somebody else's server.
//!
//! - **Behind the book, by a cursor.** A sink reads what the journal has made durable and keeps, in
//!   `sinks.db` beside it, up to where the other side has acknowledged it. However long the other
//!   side is down, what waits is in the book; nothing is queued in memory and nobody waits.
//! - **At least once, under stable keys.** What will be sent together is written down before it is
//!   sent, so that after a crash the same batch goes out again, byte for byte and under the same key:
//!   the log's origin and the indexes of the first and the last record.
//! - **One bad record does not stop the others.** What the other side refuses for good is halved
//!   until the record is alone, tried some more, and set aside with the reason. Where everything is
//!   refused nothing more is set aside: then it is the other side that is wrong.
//! - **Only what is recorded.** A sink has what the book has, which is masked. What was erased
//!   is skipped and counted, also where it was read already and waited for another try.
//! - **Told.** [`Sinks::states`] says how far behind each sink is; one that has failed for long, its
//!   recovery, and each record set aside are events for the [`Witness`].
//!
//! An exchange is sent when it has ended, at the index of its last entry. A query is asked of each
//! exchange by itself ([`Query::takes`](tollbook_search::Query::takes)).
//!
//! ```
//! use tollbook_budget::Prices;
//! use tollbook_recording::{Config, KeySource, Recorder};
//! use tollbook_sinks::{Options, Quiet, Sink, Sinks, SystemClock, target::FileTarget};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let recorder = Recorder::open(Config::new(folder.path(), "audit.example/gw1"))?;
//! let target = FileTarget::new(folder.path().join("copy.jsonl"));
//! let sink = Sink::new("archive", target, Options::default())?;
//! let sinks = Sinks::start(
//!     folder.path(),
//!     &KeySource::default(),
//!     vec![sink],
//!     Prices::built_in()?,
//!     SystemClock::default(),
//!     Quiet,
//! )
//! .await?;
//! assert_eq!(sinks.states()[0].name, "archive");
//! sinks.close(std::time::Duration::from_secs(3)).await;
//! # drop(recorder);
//! # Ok(())
//! # }
//! ```

mod backoff;
mod clock;
mod cursors;
mod delivery;
mod error;
mod options;
mod read;
mod sinks;
pub mod target;
mod witness;
mod worker;

pub use clock::{Clock, SystemClock};
pub use cursors::{Cursors, SetAside, SinkState};
pub use delivery::{BoxFuture, Deliver, Delivery, Failure, Shape};
pub use error::{Error, ErrorKind};
pub use options::{Options, Sink};
pub use sinks::Sinks;
pub use tollbook_search::{Format, Query};
pub use witness::{Quiet, SinkEvent, Witness};
