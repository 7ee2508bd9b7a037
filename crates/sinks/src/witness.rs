//! Who is told what becomes of sinks.

use tollbook_exchange::{ExchangeId, Timestamp};

use crate::BoxFuture;

/// Something that became of a sink, worth an entry in the book.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SinkEvent {
    /// It runs.
    Started {
        /// The sink's name.
        sink: String,
        /// What it sends to.
        kind: &'static str,
        /// In which format.
        format: &'static str,
        /// The query that says what, as it was written; empty for everything.
        query: String,
    },
    /// It has failed for long. Nothing is lost: it goes on from its cursor.
    Failing {
        /// The sink's name.
        sink: String,
        /// Since then.
        since: Timestamp,
        /// Why the last try failed.
        why: String,
    },
    /// It goes on, after it had failed for long.
    Recovered {
        /// The sink's name.
        sink: String,
        /// When it had begun to fail.
        since: Timestamp,
    },
    /// A record was refused for good and is not sent any more.
    SetAside {
        /// The sink's name.
        sink: String,
        /// The exchange.
        exchange: ExchangeId,
        /// The index of its last entry.
        index: u64,
        /// Why.
        why: String,
    },
    /// A record that was set aside was sent after all, because somebody asked for it.
    Resent {
        /// The sink's name.
        sink: String,
        /// The exchange.
        exchange: ExchangeId,
        /// The index of its last entry.
        index: u64,
    },
    /// The book is another than the one that the cursor is about. It begins at that book's start.
    OtherBook {
        /// The sink's name.
        sink: String,
        /// The log that it sent before.
        before: String,
        /// How many entries of that it had read.
        cursor: u64,
    },
}

impl SinkEvent {
    /// The sink's name.
    pub fn sink(&self) -> &str {
        match self {
            Self::Started { sink, .. }
            | Self::Failing { sink, .. }
            | Self::Recovered { sink, .. }
            | Self::SetAside { sink, .. }
            | Self::Resent { sink, .. }
            | Self::OtherBook { sink, .. } => sink,
        }
    }
}

/// Takes note of what becomes of sinks.
pub trait Witness: Send + Sync + 'static {
    /// Takes note. What cannot be noted is for the witness to tell of: the sink goes on.
    fn note<'a>(&'a self, event: &'a SinkEvent) -> BoxFuture<'a, ()>;
}

/// Takes no note.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Witness for Quiet {
    fn note<'a>(&'a self, _: &'a SinkEvent) -> BoxFuture<'a, ()> {
        Box::pin(async {})
    }
}
