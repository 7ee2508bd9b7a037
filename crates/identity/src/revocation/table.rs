//! The revocations in force, and those who wait for one.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, PoisonError, RwLock},
};

use tokio::sync::watch;
use tollbook_exchange::Principal;

use super::{Revocation, Selector, Watch, selectors};
use crate::{Reason, StoreError};

/// The revocations in force in this process.
///
/// A cheap handle: clones share one table. Everything that was let in with a credential and is
/// still held or streaming watches it, so a gate that is put together anew, after a change of
/// configuration, must be given the table of the old one.
#[derive(Clone)]
pub struct Revocations(Arc<Inner>);

struct Inner {
    table: RwLock<HashMap<Selector, Void>>,
    changes: watch::Sender<u64>,
}

/// How far a revocation reaches, and how long.
#[derive(Clone, Copy)]
struct Void {
    through: i64,
    until: i64,
}

/// The most revocations in force. Rules and issuers end many credentials at once.
const CAPACITY: usize = 100_000;

impl Revocations {
    /// An empty table.
    pub fn new() -> Self {
        Self(Arc::new(Inner {
            table: RwLock::default(),
            changes: watch::Sender::new(0),
        }))
    }

    /// Puts revocations into force: on the next request, and at once for all that wait or stream.
    ///
    /// For those made by another process that shares the store; the gate applies its own.
    ///
    /// # Errors
    ///
    /// [`StoreError::Full`] when a hundred thousand others are in force; those that fitted are too.
    pub fn apply<'a>(
        &self,
        revocations: impl IntoIterator<Item = &'a Revocation>,
    ) -> Result<(), StoreError> {
        let mut fitted = Ok(());
        {
            let mut table = (self.0.table.write()).unwrap_or_else(PoisonError::into_inner);
            for revocation in revocations {
                if table.len() >= CAPACITY && !table.contains_key(&revocation.selector) {
                    table.retain(|_, void| void.until > revocation.at);
                    if table.len() >= CAPACITY {
                        fitted = Err(StoreError::Full);
                        continue;
                    }
                }
                let Revocation { through, until, .. } = *revocation;
                table
                    .entry(revocation.selector.clone())
                    .and_modify(|void| {
                        void.through = void.through.max(through);
                        void.until = void.until.max(until);
                    })
                    .or_insert(Void { through, until });
            }
        }
        self.0.changes.send_modify(|change| *change += 1);
        fitted
    }

    /// Whether `principal` counts no more, if the issuer's token behind it was made at `issued`,
    /// in seconds since 1970.
    #[must_use]
    pub fn voids(&self, principal: &Principal, issued: i64) -> bool {
        let table = (self.0.table.read()).unwrap_or_else(PoisonError::into_inner);
        // What is almost always so costs nothing.
        !table.is_empty()
            && selectors(principal).any(|selector| {
                table
                    .get(&selector)
                    .is_some_and(|void| selector.is_of_one() || issued <= void.through)
            })
    }

    /// Ends when `principal`, behind which is an issuer's token made at `issued`, counts no more.
    pub fn watch(&self, principal: &Principal, issued: i64) -> Watch {
        // From here on no change is missed: the first look at the table comes after it.
        let mut changes = self.0.changes.subscribe();
        let (revocations, principal) = (self.clone(), principal.clone());
        Watch::new(async move {
            while !revocations.voids(&principal, issued) {
                if changes.changed().await.is_err() {
                    // Cannot be: the table that would have to be gone is held here.
                    std::future::pending::<()>().await;
                }
            }
            Reason::Revoked.into()
        })
    }
}

impl Default for Revocations {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = (self.0.table.read()).unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Revocations")
            .field("in_force", &table.len())
            .finish()
    }
}
