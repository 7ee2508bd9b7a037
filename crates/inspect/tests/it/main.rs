//! The layer, called without a socket.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod answers;
mod detection;
mod requests;
mod support;
mod tools;
