//! The stand-ins as their clients see them: over a socket, through a client that adds nothing.

#![expect(
    clippy::unwrap_used,
    reason = "clippy takes functions that tests share for library code"
)]

mod client;
mod faults;
mod messages;
mod operations;
mod tokens;
