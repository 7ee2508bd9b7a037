//! Checks evidence out of a book: offline, without keys, without a database.
//!
//! Evidence is a folder that [`tollbook_ledger::evidence`] describes. This is for those who are
//! given one: they have neither the book nor the gateway, and no reason to believe either. It
//! reads the folder and nothing else, never writes, and knows no secret.
//!
//! The threat is whoever made or carried the folder. No byte of it can be another without
//! [`Report::faults`] saying so, with the index of the record where there is one; what the folder
//! says of itself is held against what the log's key signed. The key itself must come from
//! somewhere else, and so must the checkpoints that show that the log was never rewritten: without
//! them the report is about the log of *some* key.

mod attested;
mod bundle;
mod check;
mod command;
mod print;
mod record;
mod report;
mod tree;

pub use bundle::NoEvidence;
pub use check::{Demands, check, check_with};
pub use command::{Command, key_from};
pub use report::{Attestation, Fault, Report};
