//! What checking a book finds.

use serde::Serialize;
use tollbook_exchange::Timestamp;
use tollbook_ledger::Past;

use crate::{Unrecorded, keys::Class};

/// What [`Reader::verify`](crate::Reader::verify) found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// `verified`; `tampered` if anything is wrong; `unproven` if no checkpoint covers it all.
    pub verdict: &'static str,
    /// `proven` if each record is what was signed; `broken` if one is not; else `unknown`.
    pub integrity: &'static str,
    /// `complete` if all is there that was signed; `incomplete` if not; else `not_shown`.
    pub completeness: &'static str,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over them, in hexadecimal.
    pub root: String,
    /// The log's name, as its key has it.
    pub origin: String,
    /// The public key that was used, in its text form.
    pub key: String,
    /// The newest signed checkpoint. Keep it: a later book must be one that grew out of it.
    pub checkpoint: String,
    /// What the checkpoints say that somebody kept, in the order in which they were given.
    pub kept: Vec<Kept>,
    /// What is wrong; at most a thousand things.
    pub faults: Vec<Fault>,
    /// How much is wrong, also beyond what `faults` holds.
    pub fault_count: u64,
    /// What was erased, as the book itself says.
    pub erased: Unread,
    /// What could not be opened for want of keys. It is held against what was signed as it is stored,
    /// and nobody looked whether the lists say the same.
    pub unopened: Unread,
    /// The number of exchanges.
    pub exchanges: u64,
    /// Exchanges that have no outcome yet.
    pub open: u64,
    /// The sessions of more than one exchange, or that could have more.
    pub sessions: u64,
    /// When nobody wrote, and why; at most a thousand times.
    pub silences: Vec<Silence>,
    /// How many such times there are, also beyond what `silences` holds.
    pub silence_count: u64,
    /// What was not recorded, as the book itself says; at most a thousand times.
    pub gaps: Vec<ToldGap>,
    /// The last sign of life of the recorder: when, and whether it said that it stops.
    pub last_sign: Option<LastSign>,
}

/// Counts of what nobody read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unread {
    /// Entries.
    pub entries: u64,
    /// Bodies of requests.
    pub requests: u64,
    /// Bodies of answers, rows among them.
    pub answers: u64,
}

impl Unread {
    /// Whether it counts nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(super) const fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.requests += other.requests;
        self.answers += other.answers;
    }

    pub(super) fn count(&mut self, class: Class) {
        *match class {
            Class::Metadata => &mut self.entries,
            Class::Request => &mut self.requests,
            Class::Answer | Class::Rows => &mut self.answers,
        } += 1;
    }
}

/// A time in which nobody wrote. A book that is complete can have them: they show that the gate was
/// closed, or did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Silence {
    /// The time of the last entry before.
    pub from: Timestamp,
    /// The time of the first entry after.
    pub to: Timestamp,
    /// The index of that entry.
    pub index: u64,
    /// `stopped` if the recorder said that it stops, `crashed` if it ended without a word, `late`
    /// if it ran on and a heartbeat is missing.
    pub why: &'static str,
}

/// What was not recorded, as an entry of the book says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ToldGap {
    /// The index of the entry.
    pub index: u64,
    /// The connection; empty where that is not known.
    pub connection: String,
    /// When the first of it was, if that is known.
    pub from: Option<Timestamp>,
    /// When the last of it was, if that is known.
    pub to: Option<Timestamp>,
    /// Why it could not be recorded.
    pub why: String,
    /// How much it was.
    pub counts: Unrecorded,
}

/// The last entry that a recorder wrote of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastSign {
    /// When.
    pub at: Timestamp,
    /// Whether it said that it stops.
    pub stopped: bool,
}

/// One thing that is wrong with the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The index of the entry, if it is the fault of one.
    pub index: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What a checkpoint that somebody kept says of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// The number of entries it is about, if it could be read.
    pub size: Option<u64>,
    /// `consistent` if the book grew out of it; `fork`, `behind`, `foreign`, `unreadable` or
    /// `unknown` if not.
    pub verdict: &'static str,
    /// The same in a sentence.
    pub what: String,
}

impl Kept {
    /// Whether the book grew out of it.
    pub fn is_consistent(&self) -> bool {
        self.verdict == Past::Consistent.as_str()
    }
}

impl Verification {
    /// Whether every byte of the book is what the log's key signed, and the book grew out of every
    /// checkpoint that was kept.
    pub fn is_verified(&self) -> bool {
        self.verdict == tollbook_ledger::Verdict::Verified.as_str()
            && self.kept.iter().all(Kept::is_consistent)
    }
}
