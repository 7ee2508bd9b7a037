//! What the public surface of the crate promises.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod batches;
mod laws;
#[cfg(feature = "tower")]
mod layer;
mod loops;
mod parallel;
mod snapshots;
mod spending;

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use tollbook_budget::{Budget, Budgets, Clock, Per};
use tollbook_exchange::{Action, Groups, Principal, PrincipalKind, Timestamp};

/// A clock that stands still until it is told the time.
#[derive(Clone, Default)]
struct Manual(Arc<AtomicI64>);

impl Manual {
    fn at(seconds: i64) -> Self {
        let clock = Self::default();
        clock.set(seconds);
        clock
    }

    fn set(&self, seconds: i64) {
        self.set_micros(seconds * 1_000_000);
    }

    fn set_micros(&self, micros: i64) {
        self.0.store(micros, Ordering::SeqCst);
    }
}

impl Clock for Manual {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

const MINUTE: Duration = Duration::from_secs(60);

fn caller(subject: &str) -> Principal {
    Principal::new(PrincipalKind::Ci, "ci", subject).with_groups(Groups::from_iter(["agents"]))
}

fn per_caller() -> Budget {
    Budget::new("b", Per::Principal, MINUTE)
}

/// A batch of so many requests, each with this `max_tokens`, and without a prompt.
fn batch(requests: i64, max_tokens: i64) -> Action {
    Action::new("batches.create")
        .with("requests", requests)
        .with("max_tokens", max_tokens)
        .with("models", BTreeSet::from(["claude-haiku-4-5".to_owned()]))
}

/// An engine with one budget, at second 0.
fn one(budget: Budget) -> (Budgets, Manual) {
    let clock = Manual::default();
    let budgets = Budgets::builder()
        .budget(budget)
        .clock(clock.clone())
        .build()
        .unwrap();
    (budgets, clock)
}
