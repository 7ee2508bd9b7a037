//! A store for one process and one lifetime.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    AssertionHash, Revocation, Revoked, StoreError, StoreFuture, TokenHash, TokenId, TokenRecord,
    TokenStore,
};

/// Keeps tokens in memory: for tests, and for embedders whose tokens need not survive a restart.
///
/// Its room is limited. What has ended makes room for what is new; when all of it is alive, new
/// tokens are refused.
pub struct MemoryTokenStore {
    capacity: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tokens: HashMap<TokenHash, TokenRecord>,
    counts: HashMap<AssertionHash, Count>,
    revocations: Vec<Revocation>,
}

struct Count {
    exchanges: u32,
    until: i64,
}

const CAPACITY: usize = 100_000;

impl MemoryTokenStore {
    /// A store for a hundred thousand tokens.
    pub fn new() -> Self {
        Self::with_capacity(CAPACITY)
    }

    /// A store for `capacity` tokens, and as many issuers' tokens and revocations.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            capacity,
            kept: Mutex::default(),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change below is one step, so that a panic elsewhere leaves nothing half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert_now(&self, record: TokenRecord) -> Result<(), StoreError> {
        let mut kept = self.kept();
        if kept.tokens.contains_key(&record.hash) {
            return Err(StoreError::Exists);
        }
        if kept.tokens.len() >= self.capacity {
            kept.tokens
                .retain(|_, other| !other.has_expired(record.issued));
            if kept.tokens.len() >= self.capacity {
                return Err(StoreError::Full);
            }
        }
        kept.tokens.insert(record.hash, record);
        Ok(())
    }

    fn revoke_now(&self, revocation: Revocation) -> Result<Vec<TokenId>, StoreError> {
        let mut kept = self.kept();
        if kept.revocations.len() >= self.capacity {
            kept.revocations.retain(|other| other.until > revocation.at);
            if kept.revocations.len() >= self.capacity {
                return Err(StoreError::Full);
            }
        }
        let mut ended = Vec::new();
        for record in kept.tokens.values_mut() {
            if record.revoked.is_none() && revocation.voids(record) {
                record.revoked = Some(Revoked {
                    at: revocation.at,
                    why: revocation.why.clone(),
                });
                ended.push(record.id());
            }
        }
        kept.revocations.push(revocation);
        ended.sort_unstable();
        Ok(ended)
    }

    fn count_now(
        &self,
        assertion: AssertionHash,
        until: i64,
        limit: u32,
    ) -> Result<u32, StoreError> {
        let mut kept = self.kept();
        if let Some(count) = kept.counts.get_mut(&assertion) {
            count.until = count.until.max(until);
            if count.exchanges >= limit {
                return Ok(limit.saturating_add(1));
            }
            count.exchanges += 1;
            return Ok(count.exchanges);
        }
        if limit == 0 {
            return Ok(1);
        }
        if kept.counts.len() >= self.capacity {
            // A store reads no clock; `purge` makes room here.
            return Err(StoreError::Full);
        }
        let exchanges = 1;
        kept.counts.insert(assertion, Count { exchanges, until });
        Ok(exchanges)
    }

    fn purge_now(&self, before: i64) -> u64 {
        let mut kept = self.kept();
        let size = |kept: &Kept| kept.tokens.len() + kept.counts.len() + kept.revocations.len();
        let all = size(&kept);
        kept.tokens.retain(|_, record| record.expires >= before);
        kept.counts.retain(|_, count| count.until >= before);
        kept.revocations
            .retain(|revocation| revocation.until >= before);
        u64::try_from(all - size(&kept)).unwrap_or(u64::MAX)
    }
}

impl Default for MemoryTokenStore {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenStore for MemoryTokenStore {
    fn insert(&self, record: TokenRecord) -> StoreFuture<'_, ()> {
        let done = self.insert_now(record);
        Box::pin(async { done })
    }

    fn find(&self, hash: TokenHash) -> StoreFuture<'_, Option<TokenRecord>> {
        let found = self.kept().tokens.get(&hash).cloned();
        Box::pin(async { Ok(found) })
    }

    fn revoke(&self, revocation: Revocation) -> StoreFuture<'_, Vec<TokenId>> {
        let done = self.revoke_now(revocation);
        Box::pin(async { done })
    }

    fn revocations(&self, now: i64) -> StoreFuture<'_, Vec<Revocation>> {
        let mut alive = self.kept().revocations.clone();
        alive.retain(|revocation| revocation.until > now);
        Box::pin(async { Ok(alive) })
    }

    fn count_exchange(
        &self,
        assertion: AssertionHash,
        until: i64,
        limit: u32,
    ) -> StoreFuture<'_, u32> {
        let done = self.count_now(assertion, until, limit);
        Box::pin(async { done })
    }

    fn list(&self, limit: usize) -> StoreFuture<'_, Vec<TokenRecord>> {
        let mut tokens: Vec<_> = self.kept().tokens.values().cloned().collect();
        tokens.sort_by_key(|record| (std::cmp::Reverse(record.issued), record.hash));
        tokens.truncate(limit);
        Box::pin(async { Ok(tokens) })
    }

    fn purge(&self, before: i64) -> StoreFuture<'_, u64> {
        let forgotten = self.purge_now(before);
        Box::pin(async move { Ok(forgotten) })
    }
}

impl fmt::Debug for MemoryTokenStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryTokenStore")
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}
