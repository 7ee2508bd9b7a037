//! A store in memory: the reference for every other, and the one for tests.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};
use tollbook_exchange::Timestamp;

use crate::{
    Approval, ApprovalId, BoxFuture, Digests, Filter, Grant, GrantFilter, GrantId, Opened, State,
    Store, StoreError,
};

/// Keeps approvals and grants in memory. What it holds is gone with the process.
#[derive(Debug, Default)]
pub struct MemoryStore {
    kept: Mutex<Kept>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    approvals: BTreeMap<ApprovalId, Approval>,
    grants: BTreeMap<GrantId, Grant>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything it holds, as JSON.
    ///
    /// # Errors
    ///
    /// When a record cannot be written as JSON.
    pub fn to_json(&self) -> Result<String, StoreError> {
        serde_json::to_string(&*self.kept()).map_err(StoreError::new)
    }

    /// A store that holds what [`to_json`](Self::to_json) wrote.
    ///
    /// # Errors
    ///
    /// When the text is not that.
    pub fn from_json(text: &str) -> Result<Self, StoreError> {
        let kept = serde_json::from_str(text).map_err(StoreError::new)?;
        Ok(Self {
            kept: Mutex::new(kept),
        })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn open<'a>(
        &'a self,
        approval: &'a Approval,
        limit: usize,
    ) -> BoxFuture<'a, Result<Opened, StoreError>> {
        Box::pin(async move {
            let mut kept = self.kept();
            let open = |it: &&Approval| !it.state.is_final() && it.slot == approval.slot;
            if let Some(joined) = kept.approvals.values().find(open) {
                return Ok(Opened::Joined(Box::new(joined.clone())));
            }
            let pending = (kept.approvals.values())
                .filter(|it| it.state == State::Pending && it.identity == approval.identity);
            if pending.count() >= limit {
                return Ok(Opened::Full);
            }
            if kept.approvals.contains_key(&approval.id) {
                return Err(StoreError::new("the id exists"));
            }
            kept.approvals.insert(approval.id.clone(), approval.clone());
            Ok(Opened::New)
        })
    }

    fn swap<'a>(
        &'a self,
        expected: u64,
        next: &'a Approval,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            Ok(match self.kept().approvals.get_mut(&next.id) {
                Some(old) if old.version == expected => {
                    *old = next.clone();
                    true
                }
                _ => false,
            })
        })
    }

    fn approval<'a>(
        &'a self,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>> {
        Box::pin(async move { Ok(self.kept().approvals.get(id).cloned()) })
    }

    fn matching<'a>(
        &'a self,
        owner: &'a str,
        connection: &'a str,
        digests: &'a Digests,
    ) -> BoxFuture<'a, Result<Vec<Approval>, StoreError>> {
        Box::pin(async move {
            let matches = |it: &Approval| {
                it.owner == owner
                    && it.connection == connection
                    && (it.digests.exact == digests.exact || it.digests.means_the_same(digests))
            };
            Ok(newest(&self.kept().approvals, matches, 64))
        })
    }

    fn approvals<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<Vec<Approval>, StoreError>> {
        Box::pin(async move {
            let admits = |it: &Approval| filter.admits(it);
            Ok(newest(&self.kept().approvals, admits, filter.limit))
        })
    }

    fn due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> BoxFuture<'_, Result<Vec<Approval>, StoreError>> {
        Box::pin(async move {
            let kept = self.kept();
            let mut due: Vec<_> = (kept.approvals.values())
                .filter_map(|it| Some((ends(it).filter(|end| *end <= now)?, it)))
                .collect();
            due.sort_by_key(|(end, _)| *end);
            Ok(due
                .into_iter()
                .take(limit)
                .map(|(_, it)| it.clone())
                .collect())
        })
    }

    fn add_grant<'a>(&'a self, grant: &'a Grant) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut kept = self.kept();
            if kept.grants.contains_key(&grant.id) {
                return Err(StoreError::new("the id exists"));
            }
            kept.grants.insert(grant.id.clone(), grant.clone());
            Ok(())
        })
    }

    fn swap_grant<'a>(
        &'a self,
        expected: u64,
        next: &'a Grant,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            Ok(match self.kept().grants.get_mut(&next.id) {
                Some(old) if old.version == expected => {
                    *old = next.clone();
                    true
                }
                _ => false,
            })
        })
    }

    fn grant<'a>(&'a self, id: &'a GrantId) -> BoxFuture<'a, Result<Option<Grant>, StoreError>> {
        Box::pin(async move { Ok(self.kept().grants.get(id).cloned()) })
    }

    fn grants<'a>(
        &'a self,
        filter: &'a GrantFilter,
    ) -> BoxFuture<'a, Result<Vec<Grant>, StoreError>> {
        Box::pin(async move {
            let kept = self.kept();
            let mut grants: Vec<_> = (kept.grants.values())
                .filter(|grant| filter.admits(grant))
                .collect();
            grants.sort_by(|a, b| (b.from, &b.id).cmp(&(a.from, &a.id)));
            Ok(grants.into_iter().take(filter.limit()).cloned().collect())
        })
    }

    fn forget(&self, before: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        Box::pin(async move {
            let mut kept = self.kept();
            let had = kept.approvals.len() + kept.grants.len();
            (kept.approvals).retain(|_, it| it.ended.is_none_or(|ended| ended >= before));
            (kept.grants).retain(|_, it| it.until >= before || it.review_is_open());
            Ok((had - kept.approvals.len() - kept.grants.len()) as u64)
        })
    }
}

fn newest(
    approvals: &BTreeMap<ApprovalId, Approval>,
    admits: impl Fn(&Approval) -> bool,
    limit: usize,
) -> Vec<Approval> {
    let mut found: Vec<_> = approvals.values().filter(|it| admits(it)).collect();
    found.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
    found.into_iter().take(limit).cloned().collect()
}

fn ends(approval: &Approval) -> Option<Timestamp> {
    match approval.state {
        State::Pending => Some(approval.expires),
        State::Approved => approval.use_until,
        _ => None,
    }
}
