//! The crate from outside.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod corpus;
mod laws;
mod limits;
mod protected;
mod server;
