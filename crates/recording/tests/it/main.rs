//! The book from outside: what is durable when, what is found, and what is refused.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

mod anchor;
mod durability;
mod evidence;
mod limits;
mod outcomes;
mod reading;
mod restart;
mod sessions;
mod support;
mod tampering;
