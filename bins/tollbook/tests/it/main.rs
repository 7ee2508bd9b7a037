//! The binary as its users meet it: its commands, the README, and the official clients.

mod claude_code;
mod clients;
mod commands;
mod readme;
mod sdk;
mod stage;
