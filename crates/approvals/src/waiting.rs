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
}

impl Waiting {
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
