//! Whole gateways in one process, between stand-ins.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod canary;
mod edge;
mod load;
mod mistakes;
mod operations;
mod panics;
mod policies;
mod refusals;
mod stage;
mod transparency;
mod wire;
