//! The engine against a model that forgets nothing.

use std::time::Duration;

use proptest::prelude::*;
use tollbook_budget::{Admission, Ask, Bill, Budget, Budgets, Per, Usage};

use crate::{Manual, batch, caller, one};

/// What happens next, some time after what happened before.
#[derive(Clone, Debug)]
enum Step {
    Ask,
    /// A batch of so many requests of so many tokens each, accepted at once.
    Batch(u64, u64),
    /// The request that has been under way for longest took so many tokens.
    Settle(u64),
    Withdraw,
    Restart,
}

fn steps() -> impl Strategy<Value = Vec<(i64, Step)>> {
    let step = prop_oneof![
        6 => Just(Step::Ask),
        2 => (1..9_u64, 0..30_u64).prop_map(|(requests, each)| Step::Batch(requests, each)),
        2 => (0..60_u64).prop_map(Step::Settle),
        1 => Just(Step::Withdraw),
        1 => Just(Step::Restart),
    ];
    // Mostly close together, sometimes about a window apart.
    let pause = prop_oneof![8 => 0..3_000_000_i64, 1 => 55_000_000..65_000_000_i64];
    prop::collection::vec((pause, step), 1..120)
}

/// Everything that was ever spent: when, and how much.
#[derive(Default)]
struct Model {
    requests: Vec<i64>,
    tokens: Vec<(i64, u64)>,
}

impl Model {
    fn requests(&self, after: i64) -> u64 {
        self.requests.iter().filter(|at| **at > after).count() as u64
    }

    fn tokens(&self, after: i64) -> u64 {
        let some = self.tokens.iter().filter(|(at, _)| *at > after);
        some.map(|(_, tokens)| tokens).sum()
    }
}

const WINDOW: i64 = 60_000_000;
/// A sixtieth of the window.
const SLOT: i64 = 1_000_000;
const REQUESTS: u64 = 7;
const TOKENS: u64 = 100;

fn budget() -> Budget {
    Budget::new("b", Per::Principal, Duration::from_secs(60))
        .requests(REQUESTS)
        .tokens(TOKENS)
}

struct Run {
    budgets: Budgets,
    clock: Manual,
    now: i64,
    model: Model,
    open: Vec<(Admission, i64)>,
}

impl Run {
    fn ask(&mut self) -> Result<(), TestCaseError> {
        let me = caller("me");
        let ask = Ask::new(&me, "claude");
        match self.budgets.check(&ask) {
            Ok(admission) => {
                // Never more than the limit in any stretch as long as the window.
                let requests = self.model.requests(self.now - WINDOW);
                prop_assert!(requests < REQUESTS, "{requests} requests in the window");
                let tokens = self.model.tokens(self.now - WINDOW);
                prop_assert!(tokens < TOKENS, "{tokens} tokens in the window");
                self.model.requests.push(self.now);
                self.open.push((admission, self.now));
            }
            Err(refused) => {
                // Never a refusal that a window longer by one slot would not give.
                let early = self.now - WINDOW - SLOT;
                let spent =
                    self.model.requests(early) >= REQUESTS || self.model.tokens(early) >= TOKENS;
                prop_assert!(spent, "refused with something left");
                self.come_again(&ask, i64::from(refused.retry_after))?;
            }
        }
        Ok(())
    }

    fn batch(&mut self, count: u64, each: u64) -> Result<(), TestCaseError> {
        let me = caller("me");
        let action = batch(count.cast_signed(), each.cast_signed());
        let ask = Ask::new(&me, "claude").action(&action);
        let most = count * each;
        let fits = |after| {
            self.model.requests(after) + count <= REQUESTS
                && self.model.tokens(after) + most.max(1) <= TOKENS
        };
        match self.budgets.check(&ask) {
            Ok(admission) => {
                prop_assert!(fits(self.now - WINDOW), "more than what was left");
                drop(admission);
                (self.model.requests).extend((0..count).map(|_| self.now));
                self.model.tokens.push((self.now, most));
            }
            Err(refused) => {
                prop_assert!(!fits(self.now - WINDOW - SLOT), "it would have fit");
                if count <= REQUESTS && most <= TOKENS {
                    self.come_again(&ask, i64::from(refused.retry_after))?;
                }
            }
        }
        Ok(())
    }

    /// Whoever comes again when told to may pass, if nobody else spent in between.
    fn come_again(&self, ask: &Ask<'_>, seconds: i64) -> Result<(), TestCaseError> {
        let (twin, clock) = one(budget());
        clock.set_micros(self.now);
        twin.restore(&self.budgets.snapshot()).unwrap();
        let then = self.now + seconds * 1_000_000;
        clock.set_micros(then);
        prop_assert!(twin.check(ask).is_ok());
        // And nobody is told to wait for much longer than the window asks.
        prop_assert!(seconds <= 62);
        Ok(())
    }

    fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        match step {
            Step::Ask => self.ask()?,
            Step::Batch(count, each) => self.batch(*count, *each)?,
            Step::Settle(tokens) if !self.open.is_empty() => {
                let (admission, _) = self.open.remove(0);
                admission.settle(&Bill::new("claude-opus-5", Usage::tokens(0, *tokens)));
                self.model.tokens.push((self.now, *tokens));
            }
            Step::Withdraw if !self.open.is_empty() => {
                let (admission, at) = self.open.remove(0);
                admission.withdraw();
                let requests = &mut self.model.requests;
                let index = requests.iter().position(|it| *it == at).unwrap();
                requests.remove(index);
            }
            Step::Restart => {
                let saved = self.budgets.snapshot();
                self.open.clear();
                let (budgets, clock) = one(budget());
                clock.set_micros(self.now);
                budgets.restore(&saved).unwrap();
                (self.budgets, self.clock) = (budgets, clock);
            }
            _ => {}
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn a_window_never_holds_more_than_the_limit_and_no_slot_too_long(
        start in 0..WINDOW, steps in steps()
    ) {
        let (budgets, clock) = one(budget());
        let mut run = Run { budgets, clock, now: start, model: Model::default(), open: Vec::new() };
        for (pause, step) in steps {
            run.now += pause;
            run.clock.set_micros(run.now);
            run.step(&step)?;
        }
    }

    /// With reservations that are no less than what is taken, tokens are exact too.
    #[test]
    fn a_reserving_budget_is_never_overspent(takes in prop::collection::vec(0..=30_i64, 1..60)) {
        let (budgets, _) = one(budget().requests(1000).reserving());
        let me = caller("me");
        let action = tollbook_exchange::Action::new("messages.create").with("max_tokens", 30_i64);
        let mut open = Vec::new();
        for take in takes {
            open.extend(budgets.check(&Ask::new(&me, "claude").action(&action)));
            if open.len() > 2 {
                let usage = Usage::tokens(0, take.unsigned_abs());
                open.remove(0).settle(&Bill::new("claude-opus-5", usage));
            }
            let standing = budgets.standing(1);
            prop_assert!(standing[0].spent.tokens + standing[0].held.tokens <= TOKENS);
        }
    }
}
