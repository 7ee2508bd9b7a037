//! What goes wrong on purpose.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::random::Random;

/// Switches that make a stand-in fail. Clones share them, and a change counts from the next
/// request on.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    plan: Plan,
    /// Requests since the plan was last changed.
    drawn: u64,
}

/// What is to go wrong. By default nothing does.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Answer with this error status …
    pub status: Option<u16>,
    /// … and this `retry-after`, in seconds …
    pub retry_after: Option<u32>,
    /// … to this share of all requests, from 0 to 1. By default 1.
    pub share: f64,
    /// Which requests make up the share.
    pub seed: u64,
    /// Compress every answer, even for a client that did not offer it.
    pub gzip: bool,
    /// Wait before the head of the answer.
    pub head_delay: Duration,
    /// Wait before each event of a stream.
    pub event_delay: Duration,
    /// Close the connection after so many events, or in the middle of an answer that is no stream.
    pub cut_after: Option<usize>,
    /// Answer with something that cannot be read.
    pub garbage: Option<Garbage>,
    /// Take the request and never answer.
    pub hang: bool,
}

/// Something that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Garbage {
    /// A connection whose first bytes are not HTTP. Counts for connections opened from now on.
    Http,
    /// A body that is not what its content type says.
    Body,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            status: None,
            retry_after: None,
            share: 1.0,
            seed: 1,
            gzip: false,
            head_delay: Duration::ZERO,
            event_delay: Duration::ZERO,
            cut_after: None,
            garbage: None,
            hang: false,
        }
    }
}

impl Faults {
    /// Changes the plan.
    pub fn change(&self, with: impl FnOnce(&mut Plan)) {
        let mut state = self.lock();
        with(&mut state.plan);
        state.drawn = 0;
    }

    /// Lets nothing go wrong any more.
    pub fn clear(&self) {
        self.change(|plan| *plan = Plan::default());
    }

    /// The plan as it is.
    pub fn plan(&self) -> Plan {
        self.lock().plan.clone()
    }

    /// The plan for one more request, with a status only if this request is one of the share.
    pub(super) fn draw(&self) -> Plan {
        let mut state = self.lock();
        let mut plan = state.plan.clone();
        if plan.share < 1.0 {
            let seed = plan.seed.wrapping_add(state.drawn);
            state.drawn = state.drawn.wrapping_add(1);
            plan.status = plan
                .status
                .filter(|_| Random::new(seed).share() < plan.share);
        }
        plan
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_requests_fails_and_the_same_ones_each_time() {
        let faults = Faults::default();
        let failed = || -> Vec<bool> {
            faults.change(|plan| {
                plan.status = Some(529);
                plan.share = 0.25;
                plan.seed = 9;
            });
            (0..1000).map(|_| faults.draw().status.is_some()).collect()
        };
        let first = failed();
        let count = first.iter().filter(|failed| **failed).count();
        assert!((180..320).contains(&count), "{count}");
        assert_eq!(first, failed());
        faults.clear();
        assert_eq!(faults.draw(), Plan::default());
    }
}
