//! Writing evidence: some of the book in a folder that others can check alone.
//!
//! The format is that of [`tollbook_ledger::evidence`].

mod folder;
mod write;

pub(crate) use write::write;

use serde::Serialize;
use tollbook_ledger::evidence::Selection;

/// What evidence is to hold. The default is all of the book.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EvidenceOptions {
    /// Which exchanges.
    pub selection: Selection,
    /// Whether the leaves of the whole log are in it. Without them nobody sees when and how often
    /// others used the gate, but nobody can see either that no record was left out.
    pub leaves: bool,
    /// Whether the recorded bodies are in it, or only their digests.
    pub contents: bool,
    /// The program that writes it and its version, for people: one line.
    pub writer: String,
}

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Evidence {
    /// The log's name.
    pub origin: String,
    /// The number of entries of the log.
    pub size: u64,
    /// The log's public key.
    pub key: String,
    /// The number of exchanges that were selected.
    pub exchanges: u64,
    /// How many of them have no outcome yet.
    pub open: u64,
    /// The number of records.
    pub records: u64,
    /// The number of files.
    pub files: u64,
    /// The number of bytes in them.
    pub bytes: u64,
}

impl Default for EvidenceOptions {
    fn default() -> Self {
        Self {
            selection: Selection::default(),
            leaves: true,
            contents: true,
            writer: concat!("tollbook-recording ", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}
