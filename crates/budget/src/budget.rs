//! What an operator grants.

use std::{collections::BTreeSet, time::Duration};

use crate::{Usage, window::Amounts};

/// So much for each of some callers, in a stretch of time.
///
/// The stretch slides: at no moment has more been spent in the `window` before it than the limit
/// says. What was spent is free again after the window, or up to a sixtieth of it later.
///
/// Requests are counted when they come, so that a limit on them is exact however many come at once.
/// Tokens and cost are known when an answer ends: requests that are under way when such a limit is
/// reached may go beyond it by what they take, unless the budget is [`reserving`](Self::reserving).
///
/// A batch (the action `batches.create`) counts as many requests as are in it, all at once or not at
/// all. Its answers are made later, so that nobody here sees what they take: it counts by the most
/// that they may take, whether the budget is reserving or not. That is held back as it comes and
/// spent once it is accepted: the largest `max_tokens` in it for each request, and for all prompts a
/// token for every four bytes of body, at the full price of the dearest model in it. A batch that may
/// take more than is left is refused; so is, where tokens or cost are limited, one without any
/// `max_tokens`. What web searches cost is not in it, nor prompts that are kept elsewhere, in files
/// or behind URLs, nor what a fallback takes after another model refused.
#[derive(Clone, Debug)]
#[must_use]
pub struct Budget {
    pub(crate) id: String,
    pub(crate) per: Per,
    pub(crate) window: Duration,
    pub(crate) limits: Limits,
    pub(crate) connection: Option<String>,
    pub(crate) groups: Option<BTreeSet<String>>,
    pub(crate) reason: Option<String>,
    pub(crate) weights: Weights,
    pub(crate) reserving: bool,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Limits {
    pub(crate) requests: Option<u64>,
    pub(crate) tokens: Option<u64>,
    pub(crate) cost: Option<u64>,
}

impl Budget {
    /// A budget without limits, which needs at least one of [`requests`](Self::requests),
    /// [`tokens`](Self::tokens) and [`cost`](Self::cost).
    ///
    /// `id` names it in refusals and in snapshots. `window` is from one second to 366 days.
    pub fn new(id: impl Into<String>, per: Per, window: Duration) -> Self {
        Self {
            id: id.into(),
            per,
            window,
            limits: Limits::default(),
            connection: None,
            groups: None,
            reason: None,
            weights: Weights::default(),
            reserving: false,
        }
    }

    /// At most so many requests, each one in a batch included.
    pub fn requests(mut self, limit: u64) -> Self {
        self.limits.requests = Some(limit);
        self
    }

    /// At most so many tokens, each kind weighted as [`weights`](Self::weights) says.
    pub fn tokens(mut self, limit: u64) -> Self {
        self.limits.tokens = Some(limit);
        self
    }

    /// At most this cost, in millionths of a US dollar.
    pub fn cost(mut self, micro_dollars: u64) -> Self {
        self.limits.cost = Some(micro_dollars);
        self
    }

    /// Only what goes through this connection. Without, all connections share one counter.
    pub fn connection(mut self, name: impl Into<String>) -> Self {
        self.connection = Some(name.into());
        self
    }

    /// Only callers in any of these groups; and, with [`Per::Group`], only these groups' counters.
    /// A caller whose groups are unknown may be in them, so the budget is for such a caller too.
    pub fn groups<S: Into<String>>(mut self, groups: impl IntoIterator<Item = S>) -> Self {
        self.groups = Some(groups.into_iter().map(Into::into).collect());
        self
    }

    /// What a caller is told whose budget is spent.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    /// What a token of each kind counts.
    pub const fn weights(mut self, weights: Weights) -> Self {
        self.weights = weights;
        self
    }

    /// Holds back for each request under way what it may take at most: the whole of its
    /// `max_tokens`, and for its prompt a token for every four bytes of body, which is an estimate.
    ///
    /// Many requests at once then stay within a limit on tokens or cost. The price is that
    /// requests with a generous `max_tokens` wait for each other.
    pub const fn reserving(mut self) -> Self {
        self.reserving = true;
        self
    }
}

/// Whose spending is added up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Per {
    /// Each caller has a counter, by [`identity`](tollbook_exchange::Principal::identity).
    Principal,
    /// Each group has a counter, in which all its members spend. Who is in several groups spends in
    /// all of them and is refused when one of them has nothing left; who is in none is not limited.
    ///
    /// Callers whose groups are unknown have one counter together. They can neither escape the
    /// limit nor spend what belongs to a group they are not in.
    Group,
    /// Each session has a counter. Requests without a session share one for each caller.
    ///
    /// Callers name their sessions themselves and can begin new ones. This limits agents that run
    /// away, not callers who cheat: give them a budget per principal as well.
    Session,
}

impl Per {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Principal => "principal",
            Self::Group => "group",
            Self::Session => "session",
        }
    }
}

/// What a token of each kind counts in a limit on tokens, in hundredths.
///
/// By default every token counts once, except that ten read from a cache count as one, which is
/// about what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weights {
    /// Tokens of a prompt that no cache held.
    pub input: u32,
    /// Tokens of an answer.
    pub output: u32,
    /// Tokens written to a cache.
    pub cache_write: u32,
    /// Tokens read from a cache.
    pub cache_read: u32,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            input: 100,
            output: 100,
            cache_write: 100,
            cache_read: 10,
        }
    }
}

impl Weights {
    /// Whole tokens, rounded up.
    pub(crate) fn tokens(&self, usage: &Usage) -> u64 {
        let part = |tokens: u64, weight: u32| u128::from(tokens) * u128::from(weight);
        let sum = part(usage.input, self.input)
            .saturating_add(part(usage.output, self.output))
            .saturating_add(part(usage.cache_write, self.cache_write))
            .saturating_add(part(usage.cache_write_1h, self.cache_write))
            .saturating_add(part(usage.cache_read, self.cache_read));
        u64::try_from(sum.div_ceil(100)).unwrap_or(u64::MAX)
    }
}

/// One of the three things that a budget may limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Requests,
    Tokens,
    Cost,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Requests, Self::Tokens, Self::Cost];

    pub(crate) const fn limit(self, limits: &Limits) -> Option<u64> {
        match self {
            Self::Requests => limits.requests,
            Self::Tokens => limits.tokens,
            Self::Cost => limits.cost,
        }
    }

    pub(crate) fn amount(self) -> fn(&Amounts) -> u64 {
        match self {
            Self::Requests => |amounts| amounts.requests,
            Self::Tokens => |amounts| amounts.tokens,
            Self::Cost => |amounts| amounts.cost,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_weighted_and_rounded_up() {
        let usage = Usage {
            input: 1,
            output: 2,
            cache_write: 3,
            cache_write_1h: 4,
            cache_read: 11,
            ..Usage::default()
        };
        assert_eq!(Weights::default().tokens(&usage), 10 + 2);
        let most = Usage::tokens(u64::MAX, u64::MAX);
        assert_eq!(Weights::default().tokens(&most), u64::MAX);
    }
}
