//! Who in this process waits for which approval.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::ApprovalId;

/// The most approvals that nobody waits for and that are to be cancelled at the next sweep.
const MAX_ABANDONED: usize = 10_000;

/// Wakes those who wait. It holds an entry for each approval somebody waits for, and no others.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    waiters: Mutex<HashMap<ApprovalId, watch::Sender<()>>>,
    abandoned: Mutex<Vec<ApprovalId>>,
    /// How many requests of each identity are held.
    held: Mutex<HashMap<String, usize>>,
}

/// A place among the requests of one identity that are held. It is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    waiting: &'a Waiting,
    identity: String,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut held = self.waiting.held();
        if let Some(count) = held.get_mut(&self.identity) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.identity);
            }
        }
    }
}

impl Waiting {
    /// A place for one more request of this identity, where fewer than `most` are held.
    pub(crate) fn place(&self, identity: String, most: usize) -> Option<Place<'_>> {
        let mut held = self.held();
        let count = held.get(&identity).copied().unwrap_or(0);
        if count >= most {
            return None;
        }
        held.insert(identity.clone(), count + 1);
        drop(held);
        Some(Place {
            waiting: self,
            identity,
        })
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn subscribe(&self, id: &ApprovalId) -> watch::Receiver<()> {
        let mut waiters = self.waiters();
        let sender = (waiters.entry(id.clone())).or_insert_with(|| watch::Sender::new(()));
        sender.subscribe()
    }

    /// Wakes whoever waits for it.
    pub(crate) fn tell(&self, id: &ApprovalId) {
        if let Some(sender) = self.waiters().get(id) {
            sender.send_modify(|()| {});
        }
    }

    pub(crate) fn is_waited_for(&self, id: &ApprovalId) -> bool {
        self.waiters().contains_key(id)
    }

    /// Somebody with a receiver leaves. Must be called before the receiver is dropped.
    pub(crate) fn leave(&self, id: &ApprovalId, cancel: bool) {
        let mut waiters = self.waiters();
        let last = (waiters.get(id)).is_some_and(|sender| sender.receiver_count() <= 1);
        if !last {
            return;
        }
        waiters.remove(id);
        drop(waiters);
        if cancel {
            let mut abandoned = (self.abandoned.lock()).unwrap_or_else(PoisonError::into_inner);
            // One that finds no room stays pending until it expires.
            if abandoned.len() < MAX_ABANDONED {
                abandoned.push(id.clone());
            }
        }
    }

    pub(crate) fn take_abandoned(&self) -> Vec<ApprovalId> {
        std::mem::take(&mut *(self.abandoned.lock()).unwrap_or_else(PoisonError::into_inner))
    }

    fn waiters(&self) -> MutexGuard<'_, HashMap<ApprovalId, watch::Sender<()>>> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_has_so_many_places_and_no_more() {
        let waiting = Waiting::default();
        let place = |identity: &str| waiting.place(identity.to_owned(), 2);
        let (first, second) = (place("ci/1"), place("ci/1"));
        assert!(first.is_some() && second.is_some());
        assert!(place("ci/1").is_none());
        assert!(place("ci/2").is_some(), "others are not in the way");
        drop(first);
        assert!(place("ci/1").is_some());
        drop(second);
        assert!(waiting.held().is_empty(), "nothing is kept of who left");
    }
}
