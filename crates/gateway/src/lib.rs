//! From a configuration to a running gateway.
//!
//! [`Plan`] is a configuration whose every part was built and found right; [`Gateway`] is a plan
//! that runs: an edge that takes connections, one stack of layers for each configured
//! connection, and an admin listener that says whether it is ready.
//!
//! ```text
//! client ─▶ edge: accept, TLS, header timeout, TCP_NODELAY
//!   ┌ refusals     a refusal takes the form of the caller's protocol
//!   │ ┌ record       opens the exchange; its guard closes it whatever happens
//!   │ │ ┌ probe        HEAD / and HEAD /api/hello are answered here
//!   │ │ │ ┌ identity     credential → principal, or 401
//!   │ │ │ │ ┌ inspect      one parse, one scan → action, findings; watches the answer
//!   │ │ │ │ │ ┌ policy       allow or deny, or 403
//!   │ │ │ │ │ │ ┌ mask         wire masking, where the connection asks for it
//!   │ │ │ │ │ │ │ ┌ commit       the request is durable now; only then …
//!   │ │ │ │ │ │ │ │ └▶ forward   credential injected, bytes sent, answer streamed back
//! ```
//!
//! # Threat
//!
//! A gateway that runs with half of what was configured is worse than none: it is trusted. So a
//! plan is whole or it is a list of mistakes, and a gateway that cannot write its book refuses
//! every request until it can.

mod admin;
pub mod config;
mod edge;
mod mounts;
mod opening;
mod plan;
mod run;
mod stack;
mod tls;

pub use edge::EdgeError;
pub use mounts::Mounts;
pub use plan::{Plan, Summary};
pub use run::{Gateway, StartError};
pub use stack::{AnswerBody, ClaudeConnection, ConnectionStack};
