//! The Claude Messages API on the wire, without any I/O.
//!
//! A gate in front of the API has to know four things about a call, and to be able to say one
//! thing itself:
//!
//! 1. [`Endpoint`]: which operation a method and a path mean. What is not known has no endpoint,
//!    so that a gate refuses it by default.
//! 2. [`facts`]: what a request asks for, as the typed [`Action`] that a policy judges. The body
//!    is checked by [`json::check`] first: bytes that two readers could read in two ways would
//!    let a caller show the gate one request and the API another.
//! 3. [`Assembler`]: what the model answered, put together from an event stream or from a whole
//!    body, within a bounded memory.
//! 4. [`StreamEnd`]: whether a stream came to its end. A status of 200 alone says nothing.
//! 5. [`error`]: the API's own error form, for the gate's refusals; [`ping`] and [`late_error`] for
//!    streams that the gate begins before the upstream does.
//!
//! A gate that judges more than that also needs [`read`]: the facts, and in the same pass every
//! text with the [`Place`] it stands in, for those who look for risks; [`CallGate`]: an answer in
//! which each tool call waits until somebody has said that it may pass; and [`semantic`]: what a
//! request means apart from how it is asked, so that who was allowed to stream it may also ask
//! again without a stream.
//!
//! Nothing here changes a byte: what is forwarded and what is recorded is decided elsewhere. No
//! error and no `Debug` output holds a byte of a body.
//!
//! ```
//! use tollbook_wire_messages::{Endpoint, facts};
//!
//! let endpoint = Endpoint::of("POST", "/v1/messages").unwrap();
//! let body = br#"{"model":"claude-haiku-4-5","stream":true,"max_tokens":64,
//!     "messages":[{"role":"user","content":"hello"}]}"#;
//! let action = facts(endpoint, ["context-1m-2025-08-07"], body)?;
//! assert_eq!(action.name, "messages.create");
//! assert_eq!(action.text("model"), Some("claude-haiku-4-5"));
//! assert!(action.is("stream"));
//!
//! // The API would read the second model; a careless gate would judge the first.
//! let twice = br#"{"model":"claude-haiku-4-5","model":"claude-opus-4-5","messages":[]}"#;
//! assert!(facts(endpoint, [""], twice).is_err());
//! # Ok::<(), tollbook_wire_messages::FactsError>(())
//! ```
//!
//! [`Action`]: tollbook_exchange::Action

mod answer;
mod assembler;
mod calls;
mod endpoint;
pub mod error;
mod facts;
pub mod json;
mod late;
mod semantic;
mod text;

pub use answer::{Answer, AnswerError, Block, Input};
pub use assembler::{Assembler, StreamEnd};
pub use calls::{Call, CallGate, CallsError, Ran, Step, calls};
pub use endpoint::{BodyKind, Endpoint};
pub use facts::{FactsError, facts, read};
pub use late::{late_error, ping};
pub use semantic::{Semantic, semantic};
pub use text::{Place, texts};
