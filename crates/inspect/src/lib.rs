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
//! # Tool calls
//!
//! An agent does what the model tells it to, so a tool call is the place where words become deeds.
//! With [`InspectLayer::tools`] each call in an answer is judged as an action of its own before the
//! client has seen it, and with [`InspectLayer::detect`] the judge knows what detectors think of it.
//!
//! # Order
//!
//! Inside the identity layer, so that no body byte is looked at for a stranger; outside policy, which
//! needs the facts. Without a record layer outside, nothing is kept and all else still holds.
//!
//! ```
//! use std::sync::Arc;
//!
//! use tollbook_exchange::{Code, PrincipalKind, Refusal};
//! use tollbook_inspect::{Claude, InspectLayer, JudgeToolCall, Judged, Judging, ToolCall};
//! use tollbook_masking::Masker;
//!
//! let masker = Masker::builder().builtin().build()?;
//! let layer = InspectLayer::new(Claude, masker).max_body(1 << 20);
//!
//! // Nobody but a person may ask the model for a shell.
//! struct PeopleOnly;
//!
//! impl JudgeToolCall for PeopleOnly {
//!     fn judge(&self, call: ToolCall) -> Judging {
//!         let shell = call.action.text("tool") == Some("Bash");
//!         let judged = if shell && call.principal.kind != PrincipalKind::Human {
//!             Judged::refuse(Refusal::new(Code::PolicyDenied, "no shell for jobs"))
//!         } else {
//!             Judged::allow()
//!         };
//!         Box::pin(async { judged.with("rules", vec!["people-only"]) })
//!     }
//! }
//!
//! let layer = layer.tools(Arc::new(PeopleOnly));
//! # let _ = layer;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Action`]: tollbook_exchange::Action
//! [`Findings`]: tollbook_exchange::Findings

mod answer;
mod claude;
mod detect;
mod gate;
mod layer;
mod maskers;
mod protocol;
mod reading;
mod request;
mod tee;
mod tools;

pub use answer::{AnswerBody, BodyError};
pub use claude::Claude;
pub use layer::{Inspect, InspectLayer};
pub use maskers::{ChooseMasker, RecordMaskers};
pub use protocol::{
    Accepts, Answers, Call, CallsError, HoldCalls, Malformed, Protocol, Ran, ReadAnswer, Step,
};
pub use tools::{JudgeToolCall, Judged, Judging, ToolCall};

/// What the Messages API means to those who hold its requests.
pub mod messages {
    pub use tollbook_wire_messages::{Semantic, late_error, ping, semantic};
}
