//! From a configuration to a running gateway.
//!
//! [`Plan`] is a configuration whose every part was built and found right; [`Gateway`] is a plan
//! that runs: an edge that takes connections, one stack of layers for each configured
//! connection, the exchange of tokens beside it, and an admin listener with its health and the API
//! by which people decide, revoke and reload. Every key of the configuration stands in `CONFIG.md`
//! of this crate.
//!
//! ```text
//! client ─▶ edge: accept, TLS, header timeout, TCP_NODELAY
//!   ┌ refusals     a refusal takes the form of the caller's protocol
//!   │ ┌ record       opens the exchange; its guard closes it whatever happens
//!   │ │ ┌ probe        HEAD / and HEAD /api/hello are answered here
//!   │ │ │ ┌ identity     credential → principal, or 401; a revocation ends what is inside
//!   │ │ │ │ ┌ inspect      one parse, one scan → action, findings; watches the answer
//!   │ │ │ │ │ ┌ policy       allow, deny or approve, or 403
//!   │ │ │ │ │ │ ┌ budget       something is left, or 429
//!   │ │ │ │ │ │ │ ┌ approvals    held until people have decided, or 403, 409
//!   │ │ │ │ │ │ │ │ ┌ mask         requests are masked, where the connection asks for it
//!   │ │ │ │ │ │ │ │ │ ┌ commit       the request is durable now; only then …
//!   │ │ │ │ │ │ │ │ │ │ └▶ forward   credential injected, bytes sent, answer streamed back
//! ```
//!
//! Between identity and inspect lies the other half of `mask`: answers are masked, and tokens in them
//! turned back, behind the record of them. The record is made of what the upstream said.
//!
//! # Threat
//!
//! A gateway that runs with half of what was configured is worse than none: it is trusted. So a
//! plan is whole or it is a list of mistakes, and a gateway that cannot write its book refuses
//! every request until it can. What the gateway does itself is in the book before it takes effect.

mod admin;
mod approvals;
mod claude;
pub mod config;
pub mod control;
mod edge;
mod events;
mod index;
mod masks;
mod monitor;
mod mounts;
mod oauth;
mod opening;
mod plan;
mod policies;
mod protocols;
mod retention;
mod run;
mod sessions;
mod sinks;
mod stack;
mod tls;
mod tools;
mod witness;
mod witnesses;

pub use edge::EdgeError;
pub use masks::ConnectionMasks;
pub use plan::{Plan, Summary};
pub use policies::PolicySource;

/// What a caller's own machine needs to reach a connection of a database with native clients.
pub mod tunnel {
    pub use tollbook_relay::postgres::{
        NoPassword, PasswordFuture, ProvidePassword, Server, Tunnel, TunnelError, Upstream,
        UpstreamTls, is_local,
    };
}

/// What commands about policies need of the policy engine.
pub mod policy {
    pub use tollbook_policy::{
        Change, Considered, Difference, Explanation, Outcome, PolicyResult, PolicySet, Recorded,
        Report, replay,
    };
}
pub use run::{Gateway, StartError, digest_key};
pub use stack::{AnswerBody, ClaudeConnection, ConnectionStack};
