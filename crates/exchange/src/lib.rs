//! The vocabulary of Tollbook.
//!
//! An [`Exchange`] is one request at the gate and its result. Every layer of the stack speaks
//! about it in the words of this crate and in no others: the [`Principal`] who asked, the
//! [`Action`] that was asked for, the [`Finding`]s in its bytes, the [`Decision`] about it and
//! the [`Outcome`] it came to.
//!
//! There is no I/O here, no async, no engine and no database. The feature `http` adds the one
//! HTTP form that several layers share, a [`Refusal`] as a response.
//!
//! # What travels between layers
//!
//! Five request extensions and no more:
//!
//! | extension | put there by | absent means |
//! |---|---|---|
//! | [`Exchange`] | the record layer | nothing is recorded |
//! | [`Principal`] | the identity layer | nobody is known: policy denies |
//! | [`Action`] | the inspect layer | policy has nothing to judge: misassembled |
//! | [`Findings`] | the inspect layer | the body was not scanned |
//! | [`Decision`] | the policy layer | not judged: the forwarder refuses |
//!
//! and one response extension, the [`Refusal`], which one place turns into the caller's protocol.
//!
//! # Masked by type
//!
//! Whatever may hold a caller's bytes enters the record as [`Masked`]. Only the masking engine
//! makes that type; a lint refuses its constructor everywhere else.
//!
//! ```
//! use tollbook_exchange::{Exchange, ExchangeId, Outcome, Timestamp};
//!
//! let exchange = Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now());
//! exchange.conclude(Outcome::Complete);
//! assert_eq!(exchange.draft(|draft| draft.outcome), Some(Outcome::Complete));
//! ```

mod action;
mod code;
mod decision;
mod exchange;
mod finding;
#[cfg(feature = "http")]
pub mod http;
mod id;
mod level;
mod masked;
mod outcome;
mod principal;
mod refusal;
mod session;
mod time;
mod vocabulary;

pub use action::{Action, Fact};
pub use code::Code;
pub use decision::{Decision, Requirement, Verdict};
pub use exchange::{Draft, Exchange, RequestDraft, ResponseDraft, ResponsePart, ResponseShape};
pub use finding::{Coverage, Digest, Finding, Findings, Gap, Gaps, NoDigest, Operator};
pub use id::{ExchangeId, ParseIdError, SessionId};
pub use level::Level;
pub use masked::{Masked, Redact};
pub use outcome::Outcome;
pub use principal::{Access, Actor, Groups, Principal, PrincipalKind, Run};
pub use refusal::{Refusal, Retry};
pub use time::Timestamp;
pub use vocabulary::Vocabulary;
