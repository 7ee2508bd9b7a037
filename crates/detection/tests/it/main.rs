//! The engine as its users see it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod builtin;
mod cases;
mod laws;
mod rules;
mod scan;
