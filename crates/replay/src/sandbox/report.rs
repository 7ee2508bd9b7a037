//! What a sandbox tells of what it did.

use serde::Serialize;

use super::shelf::Shelf;

/// How an answer was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum How {
    /// The request means the same as the recorded one.
    Exact,
    /// The same was said, and the setting differs: system prompt, tools, model, ids, times.
    Alike,
    /// It was given before, and asked for once more often than it was recorded.
    Again,
    /// Nothing fits, and it was the closest that was left.
    Next,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A recorded answer was given.
    Served {
        /// The exchange it comes from.
        exchange: String,
        /// What was asked for.
        action: String,
        /// How it was found.
        how: How,
        /// The status it has.
        status: u16,
        /// Where the request differs from the recorded one; never what stands there.
        differs: Vec<String>,
    },
    /// An answer was given that is not recorded.
    MadeUp {
        /// What was asked for.
        action: String,
    },
    /// Nothing recorded fits, and the request was refused.
    Unmatched {
        /// The method, masked.
        method: String,
        /// The path, masked.
        path: String,
        /// The exchange that is closest.
        nearest: Option<String>,
        /// Where the request differs from that one; never what stands there.
        differs: Vec<String>,
    },
}

/// What became of all that was asked and of all that is recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Recorded answers that were given.
    pub served: u64,
    /// Of those, how many to a request that means the same.
    pub exact: u64,
    /// How many to one under another setting.
    pub alike: u64,
    /// How many were given before.
    pub again: u64,
    /// How many did not fit, and were the closest left.
    pub next: u64,
    /// Answers that are not recorded: counts of tokens, exchanged tokens.
    pub made_up: u64,
    /// Requests that were refused because nothing fits.
    pub unmatched: u64,
    /// Exchanges nobody asked for.
    pub never_asked: Vec<NeverAsked>,
    /// Exchanges that have no answer to give: refused before they were read, still under way, erased
    /// or without the keys that open them, or of another protocol.
    pub left_out: u64,
}

/// A recorded exchange that nobody asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NeverAsked {
    /// The exchange.
    pub exchange: String,
    /// What was asked for then.
    pub action: String,
}

impl Report {
    /// Whether the client did anything else than it did when it was recorded.
    pub const fn differs(&self) -> bool {
        self.alike + self.again + self.next + self.unmatched > 0 || !self.never_asked.is_empty()
    }
}

/// Counts what happens.
#[derive(Default)]
pub(super) struct Tally(Report);

impl Tally {
    pub(super) const fn count(&mut self, event: &Event) {
        let all = &mut self.0;
        match event {
            Event::Served { how, .. } => {
                all.served += 1;
                *match how {
                    How::Exact => &mut all.exact,
                    How::Alike => &mut all.alike,
                    How::Again => &mut all.again,
                    How::Next => &mut all.next,
                } += 1;
            }
            Event::MadeUp { .. } => all.made_up += 1,
            Event::Unmatched { .. } => all.unmatched += 1,
        }
    }

    pub(super) fn report(&self, shelf: &Shelf) -> Report {
        Report {
            never_asked: shelf.never_asked(),
            left_out: shelf.left_out(),
            ..self.0.clone()
        }
    }
}
