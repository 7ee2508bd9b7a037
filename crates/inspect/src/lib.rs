//! One parse and one scan.
//!
//! [`InspectLayer`] reads the body of a request once. From that one reading come the [`Action`]
//! with its typed facts, which policy judges, and the [`Findings`] with the body as it may be
//! kept. The answer is watched while it streams: the caller gets every byte as it came and when it
//! came, the record gets a masked copy, and a reader of the protocol notes what the answer says.
//!
//! # The threat
//!
//! What is judged and what is sent must be the same. A body that two parsers could read in two
//! ways (a member named twice, bytes that are no UTF-8, an encoding nobody undoes) is refused
//! before anything looks at it, and so is an operation that the protocol does not have. An answer
//! that cannot be read cannot be recorded, so it does not pass either.
//!
//! # Order
//!
//! Inside the identity layer, so that no body byte is looked at for a stranger; outside policy, which
//! needs the facts. Without a record layer outside, nothing is kept and all else still holds.
//!
//! ```
//! use tollbook_inspect::{Claude, InspectLayer};
//! use tollbook_masking::Masker;
//!
//! let masker = Masker::builder().builtin().build()?;
//! let layer = InspectLayer::new(Claude, masker).max_body(1 << 20);
//! # let _ = layer;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Action`]: tollbook_exchange::Action
//! [`Findings`]: tollbook_exchange::Findings

mod answer;
mod claude;
mod decode;
mod layer;
mod protocol;
mod request;
mod session;

pub use answer::{AnswerBody, BodyError};
pub use claude::Claude;
pub use layer::{Inspect, InspectLayer};
pub use protocol::{Accepts, Answers, Malformed, Protocol, ReadAnswer};
