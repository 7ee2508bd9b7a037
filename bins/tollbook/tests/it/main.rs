//! The binary as its users meet it: its commands, the README, and the official clients.

#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod claude_code;
mod claude_code_waits;
mod clients;
mod commands;
mod doctor;
mod erasing;
mod evidence;
mod mask;
mod memory;
mod people;
mod policies;
mod postgres;
mod quickstart;
mod reading;
mod readme;
mod regress;
mod replay;
mod sdk;
mod sinks;
mod stage;
mod tokens;
mod waiting;
mod witnesses;
