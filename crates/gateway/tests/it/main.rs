//! Whole gateways in one process, between stand-ins.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod admin;
mod approvals;
mod budgets;
mod canary;
mod channels;
mod control;
mod durability;
mod edge;
mod federation;
mod load;
mod masking;
mod mistakes;
mod operations;
mod panics;
mod policies;
mod postgres;
mod refusals;
mod reload;
mod revocation;
mod stage;
mod tools;
mod transparency;
mod wire;
