//! What a batch counts, whose answers are made long after the exchange that asked for them.

use tollbook_exchange::{Action, Code, Draft, Fact, Outcome};

use crate::{Bill, Prices, Usage};

/// The requests of one `batches.create`, which its answer says nothing about.
#[derive(Debug)]
pub(crate) struct Batch {
    /// How many there are, at least one.
    pub(crate) requests: u64,
    /// What they may take at most. `None` when they set no bound.
    pub(crate) most: Option<Bill>,
}

impl Batch {
    /// The batch that is asked for, if it is one.
    ///
    /// The fact `max_tokens` is the largest in the batch and `models` are all of its models, so that
    /// every request counts as the largest of the dearest model. List prices of batches are half;
    /// the full ones count, which pays for prompts that are written to a cache.
    pub(crate) fn of(action: &Action, prices: &Prices) -> Option<Self> {
        if action.name != "batches.create" {
            return None;
        }
        let count = |name| match action.fact(name) {
            Some(Fact::Long(number)) => u64::try_from(*number).ok(),
            _ => None,
        };
        let requests = count("requests").unwrap_or(1).max(1);
        let most = count("max_tokens").map(|each| {
            let input = count("body_bytes").unwrap_or(0).div_ceil(4);
            let usage = Usage::tokens(input, requests.saturating_mul(each));
            let models = match action.fact("models") {
                Some(Fact::Set(models)) => models.iter().map(String::as_str).collect(),
                _ => Vec::new(),
            };
            prices.dearest(&models, usage)
        });
        Some(Self { requests, most })
    }
}

/// Whether a batch may run whose exchange ended like this and was not denied. What nobody knows
/// counts as yes: a caller who hangs up once the batch is sent has it all the same.
pub(crate) fn may_run(draft: &Draft) -> bool {
    match draft.outcome {
        Some(Outcome::Denied) => false,
        // The upstream said no, or was never reached. But its answer may have been lost.
        Some(Outcome::UpstreamError) => draft.refusal.as_ref().is_some_and(|refusal| {
            matches!(refusal.code, Code::UpstreamTimeout | Code::UpstreamInvalid)
        }),
        Some(Outcome::Complete) | None => true,
        // Nothing is forwarded before it is durable. A status says nothing: an answer may have begun
        // while the request still waits for an approval.
        Some(_) => draft.committed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use tollbook_exchange::{Exchange, ExchangeId, Refusal, Timestamp};

    use super::*;

    fn of(action: &Action) -> Option<Batch> {
        Batch::of(action, &Prices::built_in().unwrap())
    }

    fn models(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn every_request_counts_as_the_largest_of_the_dearest_model() {
        let action = Action::new("batches.create")
            .with("requests", 10_000_i64)
            .with("max_tokens", 4096_i64)
            .with("body_bytes", 401_usize)
            .with("models", models(&["claude-haiku-4-5", "claude-opus-5"]));
        let batch = of(&action).unwrap();
        assert_eq!(batch.requests, 10_000);
        let usage = Usage::tokens(101, 40_960_000);
        assert_eq!(batch.most, Some(Bill::new("claude-opus-5", usage)));
    }

    #[test]
    fn facts_that_are_missing_or_nonsense_make_no_batch_cheap() {
        let batch = || Action::new("batches.create");
        for (action, requests) in [
            (batch(), 1),
            (batch().with("requests", 0_i64), 1),
            (batch().with("requests", -5_i64), 1),
            (batch().with("requests", "9"), 1),
            (batch().with("requests", 9_i64), 9),
        ] {
            let read = of(&action).unwrap();
            assert_eq!(read.requests, requests, "{action:?}");
            assert_eq!(read.most, None, "no bound");
            assert_eq!(of(&action.with("max_tokens", -1_i64)).unwrap().most, None);
        }
        let huge = batch().with("requests", i64::MAX);
        let most = of(&huge.with("max_tokens", i64::MAX)).unwrap().most;
        let most = most.unwrap();
        assert_eq!(most.usage.output, u64::MAX);
        assert_eq!(most.model, None, "priced as the dearest of all");
        assert!(of(&Action::new("messages.create").with("requests", 9_i64)).is_none());
    }

    #[test]
    fn a_batch_counts_unless_it_is_known_not_to_run() {
        let refusal = |code| Some(Refusal::new(code, "x"));
        for (outcome, refusal, committed, expected) in [
            (Some(Outcome::Complete), None, true, true),
            (Some(Outcome::Denied), None, true, false),
            (Some(Outcome::UpstreamError), None, true, false),
            (None, refusal(Code::UpstreamUnreachable), true, false),
            (None, refusal(Code::UpstreamTimeout), true, true),
            (None, refusal(Code::UpstreamInvalid), true, true),
            (None, refusal(Code::PolicyDenied), false, false),
            (Some(Outcome::ClientGone), None, true, true),
            (Some(Outcome::ClientGone), None, false, false),
            (Some(Outcome::PolicyCut), None, true, true),
            (Some(Outcome::UpstreamReset), None, true, true),
            (Some(Outcome::Indeterminate), None, true, true),
            (None, None, false, true),
        ] {
            let exchange = Exchange::open(ExchangeId::generate(), "c", "claude", Timestamp::now());
            if let Some(outcome) = outcome {
                exchange.conclude(outcome);
            }
            if let Some(refusal) = &refusal {
                exchange.refused(refusal);
            }
            exchange.draft(|draft| {
                draft.committed = committed;
                assert_eq!(
                    may_run(draft),
                    expected,
                    "{outcome:?} {refusal:?} {committed}"
                );
            });
        }
    }
}
