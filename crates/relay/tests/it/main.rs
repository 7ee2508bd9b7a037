//! Sessions between a client and a real server, without the front that signs in.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod breaking;
mod holding;
mod passing;
mod refusing;
mod support;
