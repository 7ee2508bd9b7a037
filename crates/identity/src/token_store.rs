//! The seam between the gate and the place where its tokens are kept.

mod memory;

use std::{error::Error, pin::Pin, sync::Arc};

pub use self::memory::MemoryTokenStore;
use crate::{AssertionHash, Revocation, TokenHash, TokenId, TokenRecord};

/// What a [`TokenStore`] answers with.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keeps gateway tokens, revocations, and how often each issuer's token was exchanged.
///
/// A method that answers `Ok` has done all of it, and durably as far as the store is durable; one
/// that answers `Err` may have done all or nothing. The gate refuses the caller then. Futures may
/// be dropped before they end. Times are in seconds since 1970; a store reads no clock.
pub trait TokenStore: Send + Sync + 'static {
    /// Keeps a new token.
    ///
    /// Atomic: a record with this hash exists wholly or not at all. One that exists already is
    /// never replaced: that is [`StoreError::Exists`].
    ///
    /// # Errors
    ///
    /// When it is not kept.
    fn insert(&self, record: TokenRecord) -> StoreFuture<'_, ()>;

    /// The token with this hash, ended or revoked ones included.
    ///
    /// Sees everything that an `insert` or `revoke` had acknowledged before.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    fn find(&self, hash: TokenHash) -> StoreFuture<'_, Option<TokenRecord>>;

    /// Keeps `revocation` and marks the tokens that it voids, as [`Revocation::voids`] judges;
    /// answers with the ids of those that were not marked before.
    ///
    /// Atomic: one transaction for the revocation and all marks. A token that is inserted at the
    /// same time may be missed; the gate holds it against the kept revocations all the same. Of
    /// two revocations with one selector the store keeps both, or one with the later `through` and
    /// `until`. A mark, once set, is never changed.
    ///
    /// # Errors
    ///
    /// When it is not kept.
    fn revoke(&self, revocation: Revocation) -> StoreFuture<'_, Vec<TokenId>>;

    /// The kept revocations whose `until` is after `now`.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    fn revocations(&self, now: i64) -> StoreFuture<'_, Vec<Revocation>>;

    /// Counts one more exchange of an issuer's token, at most `limit`, and answers with the count
    /// including this one. When `limit` were counted already it counts nothing and answers with
    /// `limit + 1`. The count is kept at least until `until`.
    ///
    /// Atomic: reading and counting are one transaction, so that of any number of exchanges at the
    /// same time exactly `limit` get a number up to `limit`. Durable before it answers.
    ///
    /// # Errors
    ///
    /// When it was not counted.
    fn count_exchange(
        &self,
        assertion: AssertionHash,
        until: i64,
        limit: u32,
    ) -> StoreFuture<'_, u32>;

    /// At most `limit` tokens, those issued last first.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    fn list(&self, limit: usize) -> StoreFuture<'_, Vec<TokenRecord>>;

    /// Forgets tokens that ended, and counts and revocations that were to be kept until, a time
    /// before `before`; answers with how many of all three.
    ///
    /// # Errors
    ///
    /// When the store cannot tell.
    fn purge(&self, before: i64) -> StoreFuture<'_, u64>;
}

impl<S: TokenStore + ?Sized> TokenStore for Arc<S> {
    fn insert(&self, record: TokenRecord) -> StoreFuture<'_, ()> {
        S::insert(self, record)
    }

    fn find(&self, hash: TokenHash) -> StoreFuture<'_, Option<TokenRecord>> {
        S::find(self, hash)
    }

    fn revoke(&self, revocation: Revocation) -> StoreFuture<'_, Vec<TokenId>> {
        S::revoke(self, revocation)
    }

    fn revocations(&self, now: i64) -> StoreFuture<'_, Vec<Revocation>> {
        S::revocations(self, now)
    }

    fn count_exchange(
        &self,
        assertion: AssertionHash,
        until: i64,
        limit: u32,
    ) -> StoreFuture<'_, u32> {
        S::count_exchange(self, assertion, until, limit)
    }

    fn list(&self, limit: usize) -> StoreFuture<'_, Vec<TokenRecord>> {
        S::list(self, limit)
    }

    fn purge(&self, before: i64) -> StoreFuture<'_, u64> {
        S::purge(self, before)
    }
}

/// Why a store did not do what it was asked for. Holds nothing of what was to be kept.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no room.
    #[error("the token store is full")]
    Full,
    /// A token with this hash is there already.
    #[error("the token store has this token already")]
    Exists,
    /// The store cannot be read or written.
    #[error("the token store is not available")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl StoreError {
    /// The store cannot be read or written, because of `source`.
    pub fn unavailable(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Unavailable(source.into())
    }
}
