//! The book from the reader's side: what is found, told, traced and handed on.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "what the tests themselves set up may fail them"
)]

mod erasing;
mod finding;
mod sealed;
mod sql;
mod support;
mod telling;
