//! The book: a durable SQLite journal with a Merkle log, its reader, and the tower layers that
//! write it.
//!
//! The threat this answers is a call that nobody can prove afterwards: one that was forwarded and
//! lost from the record in a power cut, one that broke off and left no trace, one that somebody
//! edited or removed.
//!
//! - **Record before forward.** [`CommitLayer`] lets a request pass when what was asked is durable:
//!   `fsync` has returned. If that cannot be had in time, the request is refused.
//! - **Record before release**, where a connection asks for it: [`RecordLayer::release`] lets no byte
//!   of an answer's body through before its record is durable.
//! - **What is not recorded is told.** [`OnFailure`] says what becomes of a request when nothing can
//!   be recorded. Whatever passes or is refused then is counted, and an entry of the book says so.
//! - **An outcome for every exchange.** Its [`Recording`] writes one when it is dropped, however
//!   that comes about, and the next start writes the ones that a crash left out.
//! - **Tamper evidence.** Rows, Merkle tree and signed checkpoint change in one transaction.
//!   [`Reader::verify`] names the entry in which a byte was changed, and the record of a session
//!   that is missing. See [`tollbook_ledger`] for what that proves, and against whom.
//! - **Silence is shown.** Starts, stops and heartbeats are entries, so that a time in which nothing
//!   was asked is told from one in which nobody wrote.
//! - **An older copy is not written on.** [`Config::anchor`] keeps the newest checkpoint apart from
//!   the book. [`recover`] begins a new epoch where the newest copy is lost.
//! - **Evidence for others.** [`Reader::evidence`] writes some of the book into a folder that
//!   somebody can check offline, who has neither the book nor a key: `tollbook-verify`.
//! - **A failed sync is never retried.** Linux may drop what it could not write and report the next
//!   sync as a success, so after any error of the database nothing is recorded any more, and
//!   [`Recorder::health`] says why. A disk that is almost full is told before that happens.
//!
//! - **Sealed, and stored once.** Envelopes and bodies are compressed and encrypted under keys of the
//!   principal's part of a session ([`KeySource`]); of a conversation that is sent again with every
//!   turn only what is new takes room. Without any key the book is verified as it is stored, and what
//!   was erased is told by its tombstone: [`Verification::erased`], [`Verification::unopened`].
//!
//! # The order of the layers
//!
//! [`RecordLayer`] is the outermost, so that refusals by the layers inside it are in the book too.
//! [`CommitLayer`] is the innermost, right before the one that forwards, so that all that was
//! learned and decided is in the entry that must be durable first. Without it requests are recorded
//! but not before they are forwarded. The body of a request or response comes into the record only
//! through layers between the two, masked; without them a body is counted, not kept.
//!
//! ```
//! use http::{Request, Response, StatusCode};
//! use tollbook_recording::{CommitLayer, Config, Reader, RecordLayer, Recorder};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! let recorder = Recorder::open(Config::new(folder.path(), "audit.example/gw1"))?;
//! let service = ServiceBuilder::new()
//!     .layer(RecordLayer::new(recorder.clone(), "claude", "claude"))
//!     .layer(CommitLayer::new(recorder.clone()))
//!     .service(service_fn(async |_: Request<String>| {
//!         Ok::<_, std::convert::Infallible>(Response::new(String::from("hello")))
//!     }));
//!
//! let response = service.oneshot(Request::new(String::from("hi"))).await?;
//! assert_eq!(response.status(), StatusCode::OK);
//! let id = response.headers()["x-tollbook-exchange"].to_str()?.to_owned();
//! drop(response);
//! drop(recorder);
//!
//! let reader = Reader::open(folder.path())?;
//! let exchange = reader.exchange(&id)?.ok_or("not recorded")?;
//! assert_eq!(exchange["status"], 200);
//! // The body was never read to its end.
//! assert_eq!(exchange["outcome"], "client_gone");
//! assert!(reader.verify(None)?.is_verified());
//! # Ok(())
//! # }
//! ```

mod anchor;
mod attested;
mod blob;
mod body;
mod book;
mod config;
mod database;
mod envelope;
mod erased;
mod erasure;
mod error;
mod evidence;
mod failure;
mod folder;
mod gap;
mod journal;
mod keys;
#[cfg(feature = "tower")]
mod layer;
mod opener;
mod queue;
mod reader;
mod recorder;
mod recording;
mod recover;
mod row;
mod scopes;
mod sessions;
mod space;
mod spool;
mod writer;

pub use attested::{Attestations, Cosigned, Stamped};
pub use book::{Book, Page};
pub use config::Config;
pub use erasure::{
    Erased, Erasure, Expired, ExpiredClass, Hold, RefusedErasure, Retention, Term, Terms, Whom,
};
pub use error::{Error, ErrorKind};
pub use evidence::{Evidence, EvidenceOptions};
pub use failure::{Allow, OnFailure, Reads, Spool};
pub use folder::is_copy;
pub use gap::Unrecorded;
pub use keys::{KeyCommand, KeySource, Recipient, RecipientError, rotate_keys};
#[cfg(feature = "tower")]
pub use layer::{Commit, CommitLayer, NotRecorded, Record, RecordLayer, Release, ResponseBody};
pub use reader::{
    Fault, Filter, Kept, LastSign, Monitor, Reader, Silence, Summary, ToldGap, Unread, Verification,
};
pub use recorder::{Health, Recorder, Stats};
pub use recording::Recording;
pub use recover::{Recovered, recover};
pub use space::FreeSpace;
