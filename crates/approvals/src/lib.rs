//! Just-in-time approvals: who has to say yes, who said so, and what exactly they said it to.
//!
//! A policy may answer *approve*: the request may pass when people agree. This crate keeps the
//! question until they do. [`Approvals`] is the engine, `ApprovalLayer` the tower layer that holds
//! the request meanwhile, [`Store`] the place where approvals outlive the process.
//!
//! # What it answers
//!
//! - **A yes to one thing is not used for another.** An approval is bound to the digest of the exact
//!   request, to the caller and the person behind it, to connection, method, path and upstream. It
//!   is used once, by compare and set, within minutes; the bytes that were held are what goes on.
//! - **Nobody approves themselves.** People are compared as people, not as accounts: the actor of a
//!   job and whom it acts for are the requester, and where nobody knows who that actor is, nobody
//!   decides. One person in two groups is one person. Any no of
//!   somebody who may decide is final. The engine knows no administrators.
//! - **Nobody approves what they did not see.** What people see is masked and bounded, what is left
//!   out is counted, and the beginning of its digest has to be given back with a yes.
//! - **Nobody is worn down.** Equal requests wait for one approval, a denial is remembered, and one
//!   identity has so many open questions and no more.
//! - **Nothing happens beside the book.** A [`Witness`] makes each step durable before it is taken;
//!   what cannot be noted does not happen.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use tollbook_approvals::{
//!     Approvals, Ask, Asked, Ballot, Choice, Key, MemoryStore, Payload, Unrecorded, Via,
//! };
//! use tollbook_exchange::{
//!     Access, Action, Decision, Groups, Masked, Principal, PrincipalKind, Requirement, Timestamp,
//!     Verdict,
//! };
//!
//! // The key comes from where secrets are kept, and is the same in all gateways of one store.
//! let store = Arc::new(MemoryStore::new());
//! let approvals = Approvals::builder(store, Key::new([7; 32]), Arc::new(Unrecorded)).build();
//!
//! // A policy wants one person of `leads` to agree.
//! let requires = Requirement { rule: "prod".into(), group: "leads".into(), people: 1 };
//! let decision = Decision::new(Verdict::Approve, vec!["prod".into()], "sha256:…")
//!     .requiring(vec![requires]);
//! let digests = approvals.digests(Payload {
//!     head: &[b"POST", b"/v1/messages"],
//!     body: br#"{"model":"claude-haiku-4-5"}"#,
//!     semantic: None,
//! });
//! let job = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay");
//! # #[expect(clippy::disallowed_methods)]
//! let action = Masked::assume_masked(Action::new("messages.create"));
//! let ask = Arc::new(Ask::new(job, "claude", "claude", action, digests, decision));
//!
//! let Asked::Waiting(mut ticket) = approvals.ask(&ask).await.map_err(|no| no.message)? else {
//!     return Err("somebody has to decide".into());
//! };
//!
//! // Somewhere else, a person has looked at it and gives back the hash of what they saw.
//! let mut gus = Principal::new(PrincipalKind::Human, "okta", "gus")
//!     .with_groups(Groups::from_iter(["leads"]));
//! let now = Timestamp::now().as_micros() / 1_000_000;
//! gus.access = Some(Access { signed_in: Some(now), ..Access::default() });
//! let view = approvals.show(ticket.id()).await?.view();
//! let yes = Ballot {
//!     voter: gus,
//!     via: Via::SignIn,
//!     choice: Choice::Approve,
//!     hash: Some(view.hash),
//!     reason: None,
//! };
//! approvals.decide(ticket.id(), yes).await?;
//!
//! let approval = ticket.decided().await?.clone();
//! assert!(approvals.consume(&approval.id, &ask).await.is_ok());
//! assert!(approvals.consume(&approval.id, &ask).await.is_err(), "it was for one request");
//! # Ok(())
//! # }
//! ```
//!
//! # The states
//!
//! ```text
//! pending ─▶ approved ─▶ consumed
//!    │           └─────▶ lapsed      approved, and not used in time
//!    ├─────▶ denied
//!    ├─────▶ expired                 nobody decided in time
//!    └─────▶ cancelled               nobody wants it any more
//! ```
//!
//! # Where the layer stands
//!
//! `ApprovalLayer` stands inside policy, which has to let *approve* through to it, and outside
//! masking, commit and forward: what is held has sent nothing, and is durable as a request only when
//! it goes on. What the layer lets through carries a [`Decision`] that allows and names the approval.
//! Outside it there has to be a layer that makes a protocol's last word of a body's
//! [`Cut`](tollbook_exchange::http::Cut).
//!
//! # What the owner does
//!
//! Calls [`Approvals::resume`] at the start, [`Approvals::sweep`] every few seconds, and
//! [`Approvals::settle`] at the end.
//!
//! [`Decision`]: tollbook_exchange::Decision

mod approval;
mod ask;
mod builder;
#[cfg(feature = "channels")]
pub mod channel;
mod clear;
mod clock;
mod decide;
mod digest;
mod engine;
mod error;
mod grant;
mod granted;
mod grants;
mod hold;
mod id;
#[cfg(feature = "tower")]
mod layer;
mod memory;
mod notify;
mod people;
mod quorum;
mod refusal;
mod store;
mod ticket;
mod view;
mod waiting;

pub use approval::{Approval, Bind, Choice, Mode, State, Use, Vote};
pub use ask::{Ask, Asked, Passed};
pub use builder::{ApprovalsBuilder, Limits};
pub use clear::Patience;
pub use clock::{Clock, SystemClock};
pub use decide::{Ballot, Via};
pub use digest::{Digests, Key, Payload, Semantic};
pub use engine::{Approvals, Swept};
pub use error::{Error, Refused};
pub use grant::{Closed, Grant, GrantKind, Scope};
pub use grants::GrantWish;
pub use id::{ApprovalId, EventId, GrantId, IdError};
#[cfg(feature = "tower")]
pub use layer::{ApprovalLayer, Approve, HeldBody};
pub use memory::MemoryStore;
pub use notify::{Event, EventKind, Notify, Subject, Unrecorded, Unwitnessed, Witness};
pub use people::{People, PeopleError, Person, PersonId};
pub use store::{BoxFuture, Filter, GrantFilter, Opened, Store, StoreError};
pub use ticket::Ticket;
pub use view::{Excerpt, View};
