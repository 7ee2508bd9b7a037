//! The gate for protocols that are not HTTP.
//!
//! A database's client opens a session and sends statements. Each of them goes through the same gate as
//! a request of the Claude API, in the same order and by the same engines; only what carries it is a
//! state machine of the session and not a stack of layers:
//!
//! ```text
//! client ─▶ opening, TLS, sign-in ── identity: credential → Principal ── an exchange of its own
//!   each statement:
//!     open      the exchange begins; dropping its page closes it with an outcome whatever happens
//!     facts     what the statement does, and one scan of text and parameters
//!     judge     Principal + Action + Findings → allow | deny | approve
//!     budget    the caller's requests are counted
//!     approve   held until people have decided
//!     commit    what was asked is durable now; only then …
//!     └▶ forward, with the gate's own credential, and the answer streams back, masked and recorded
//! ```
//!
//! [`Gate`] is all of it that has nothing to do with one protocol. [`postgres`] speaks PostgreSQL's.

mod gate;
pub mod postgres;

pub use gate::{Asked, Caller, ChooseMasks, Gate, Masks, Open, Parts, Permit, Wait, Waiting};
