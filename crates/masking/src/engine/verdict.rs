//! What a look at one place can tell.

use crate::engine::swallow::Swallow;

/// The result of looking at one place.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    /// No rule matches here, whatever comes.
    No,
    /// That depends on what comes.
    NotYet,
    /// A rule matches.
    Match(Match),
}

/// A match, as far as it had to be looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Match {
    /// The first byte that is masked. What lies between the place and it passes.
    pub start: usize,
    /// Behind the last byte that was looked at and is masked.
    pub end: usize,
    pub rule: usize,
    /// What else belongs to the match.
    pub swallow: Option<Swallow>,
}

impl Verdict {
    /// Becomes the longer match of both, see [`Self::or_longer`]. Mostly there is none, and nothing
    /// is moved.
    #[inline]
    pub(crate) fn add(&mut self, other: Self) {
        if !matches!(other, Self::No) {
            *self = self.or_longer(other);
        }
    }

    /// The longer match. As long as one is not known, neither is the longer; of two equally long
    /// ones the first is kept.
    pub(crate) fn or_longer(self, other: Self) -> Self {
        match (self, other) {
            (Self::NotYet, _) | (_, Self::NotYet) => Self::NotYet,
            (verdict, Self::No) | (Self::No, verdict) => verdict,
            (Self::Match(first), Self::Match(second)) => {
                let reach = |found: &Match| (found.swallow.is_some(), found.end);
                Self::Match(if reach(&second) > reach(&first) {
                    second
                } else {
                    first
                })
            }
        }
    }
}
