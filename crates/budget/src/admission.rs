//! A request under way, and how it ends.

use tollbook_exchange::{Draft, Outcome};

use crate::{
    Amounts, Bill, Budgets,
    batch::{Batch, may_run},
    counters::Key,
};

/// A request that was counted and is under way.
///
/// Say how it ended: [`settle`](Self::settle), [`withdraw`](Self::withdraw), or
/// [`conclude`](Self::conclude) with the exchange's draft. One that is dropped was a request that
/// took no tokens, or a batch that takes all it may.
#[derive(Debug)]
#[must_use]
pub struct Admission {
    budgets: Budgets,
    taken: Vec<Taken>,
    batch: Option<Batch>,
}

/// One counter in which a request was counted.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) rule: usize,
    pub(crate) key: Key,
    pub(crate) slot: i64,
    /// More than one for a batch.
    pub(crate) requests: u64,
    pub(crate) held: Amounts,
}

impl Taken {
    /// What is counted as soon as the request passes.
    pub(crate) fn counted(&self) -> Amounts {
        Amounts {
            requests: self.requests,
            ..Amounts::default()
        }
    }

    /// What has to be left for the request to pass.
    pub(crate) const fn needs(&self) -> Amounts {
        Amounts {
            requests: self.requests,
            tokens: self.held.tokens,
            cost: self.held.cost,
        }
    }
}

impl Admission {
    pub(crate) const fn new(budgets: Budgets, taken: Vec<Taken>, batch: Option<Batch>) -> Self {
        Self {
            budgets,
            taken,
            batch,
        }
    }

    /// Adds what the answer took. It counts from now on, which is when it is known.
    pub fn settle(mut self, bill: &Bill) {
        self.add(bill);
    }

    /// Takes the request back: it was refused further in and never left the gate.
    pub fn withdraw(mut self) {
        let (mut state, now) = self.budgets.state();
        for taken in self.taken.drain(..) {
            self.budgets.0.put_back(&mut state, &taken, now);
        }
        state.revision += 1;
    }

    /// Settles or withdraws, whichever the finished exchange calls for.
    ///
    /// A batch counts what it may take at most, unless it is known not to run: it was denied, the
    /// caller left before it was forwarded, or the upstream refused it or could not be reached.
    pub fn conclude(mut self, draft: &Draft) {
        let denied = draft.outcome == Some(Outcome::Denied);
        if self.batch.is_some() {
            if denied {
                self.withdraw();
            } else if !may_run(draft) {
                self.batch = None;
            }
            // Dropped, it counts what is left of it.
            return;
        }
        match Bill::of(draft) {
            Some(bill) => self.settle(&bill),
            None if denied => self.withdraw(),
            None => drop(self),
        }
    }

    fn add(&mut self, bill: &Bill) {
        let inner = &*self.budgets.0;
        let cost = inner.prices.cost(bill);
        let (mut state, now) = self.budgets.state();
        for taken in self.taken.drain(..) {
            inner.end(&mut state, &taken, now);
            let at = inner.at(&taken, now);
            let budget = &inner.rules[taken.rule].budget;
            let amounts = Amounts {
                requests: 0,
                tokens: budget.weights.tokens(&bill.usage),
                cost,
            };
            if let Some(counter) = state.counters[taken.rule].at(&taken.key, at) {
                counter.window.add(at.slot(), amounts);
                counter.last = now;
            }
        }
        state.revision += 1;
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.taken.is_empty() {
            return;
        }
        if let Some(bill) = self.batch.take().and_then(|batch| batch.most) {
            self.add(&bill);
            return;
        }
        let (mut state, now) = self.budgets.state();
        for taken in self.taken.drain(..) {
            self.budgets.0.end(&mut state, &taken, now);
        }
        state.revision += 1;
    }
}
