//! Sinks against a book and other sides that fail.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

mod doubles;
mod erased;
mod http;
mod keeping_on;
mod poison;
