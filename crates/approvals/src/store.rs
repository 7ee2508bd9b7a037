//! The seam between the engine and the place where approvals are kept.

use std::{error::Error, pin::Pin};

use tollbook_exchange::Timestamp;

use crate::{Approval, ApprovalId, Digests, Grant, GrantId, State};

/// A future that borrows for `'a`.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keeps approvals and grants.
///
/// What every implementation owes the engine:
///
/// - **Durable when answered.** A write that was answered with `Ok` survives a crash. A write that
///   may or may not have happened is an error.
/// - **Compare and set.** [`swap`](Self::swap) and [`swap_grant`](Self::swap_grant) replace a record
///   only while its version is the expected one, in one atomic step, whoever else writes, in this
///   process or another.
/// - **One open approval for a slot.** [`open`](Self::open) looks, counts and inserts in one atomic
///   step.
/// - Records come back equal to what was stored, in every field.
///
/// It knows nothing of what the steps mean. [`MemoryStore`](crate::MemoryStore) is the reference.
pub trait Store: Send + Sync + 'static {
    /// Inserts a pending approval, unless another pending or approved one has its
    /// [`slot`](Approval::slot), or its [`identity`](Approval::identity) has `limit` pending ones.
    ///
    /// The slot is looked at first. An id that exists is an error.
    fn open<'a>(
        &'a self,
        approval: &'a Approval,
        limit: usize,
    ) -> BoxFuture<'a, Result<Opened, StoreError>>;

    /// Puts `next` in the place of the record with its id, if that has the version `expected`.
    /// Otherwise, and when there is no such record, answers `false` and changes nothing.
    fn swap<'a>(
        &'a self,
        expected: u64,
        next: &'a Approval,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The approval of this name.
    fn approval<'a>(
        &'a self,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>>;

    /// The approvals of this owner on this connection that have the exact digest, or the semantic
    /// one if there is one: the newest first (by `created`, then by id), at most 64.
    fn matching<'a>(
        &'a self,
        owner: &'a str,
        connection: &'a str,
        digests: &'a Digests,
    ) -> BoxFuture<'a, Result<Vec<Approval>, StoreError>>;

    /// The approvals that the filter lets through, the newest first.
    fn approvals<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<Vec<Approval>, StoreError>>;

    /// At most `limit` pending approvals whose `expires`, and approved ones whose `use_until`, is
    /// not after `now`: those that are due first.
    fn due(&self, now: Timestamp, limit: usize)
    -> BoxFuture<'_, Result<Vec<Approval>, StoreError>>;

    /// Inserts a grant. An id that exists is an error.
    fn add_grant<'a>(&'a self, grant: &'a Grant) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Like [`swap`](Self::swap), for grants.
    fn swap_grant<'a>(
        &'a self,
        expected: u64,
        next: &'a Grant,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// The grant of this name.
    fn grant<'a>(&'a self, id: &'a GrantId) -> BoxFuture<'a, Result<Option<Grant>, StoreError>>;

    /// The grants that the filter lets through, the newest first (by `from`, then by id).
    fn grants<'a>(
        &'a self,
        filter: &'a GrantFilter,
    ) -> BoxFuture<'a, Result<Vec<Grant>, StoreError>>;

    /// Removes approvals whose `ended` is before this time, and grants whose `until` is, unless
    /// their review is still open. Answers how many went. The book keeps what they were.
    fn forget(&self, before: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>>;
}

/// What became of [`Store::open`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Opened {
    /// It was inserted.
    New,
    /// Nothing was inserted: this one is open in its slot.
    Joined(Box<Approval>),
    /// Nothing was inserted: its identity has as many pending ones as it may.
    Full,
}

/// Which approvals to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those of this [`identity`](Approval::identity).
    pub identity: Option<String>,
    /// Only those created at this time or later.
    pub since: Option<Timestamp>,
    /// At most so many.
    pub limit: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            state: None,
            identity: None,
            since: None,
            limit: 50,
        }
    }
}

impl Filter {
    /// Those in this state.
    pub fn state(state: State) -> Self {
        Self {
            state: Some(state),
            ..Self::default()
        }
    }

    /// At most so many.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Whether it lets this approval through.
    pub fn admits(&self, approval: &Approval) -> bool {
        self.state.is_none_or(|state| approval.state == state)
            && (self.identity.as_ref()).is_none_or(|identity| approval.identity == *identity)
            && self.since.is_none_or(|since| approval.created >= since)
    }
}

/// Which grants to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantFilter {
    /// Only those for this identity.
    pub identity: Option<String>,
    /// Only those for this connection.
    pub connection: Option<String>,
    /// Only those that are in force at this time: begun, not over, not revoked.
    pub active_at: Option<Timestamp>,
    /// Only those whose review is open.
    pub open_review: bool,
    /// At most so many; `None` is 200.
    pub limit: Option<usize>,
}

impl GrantFilter {
    /// Whether it lets this grant through.
    pub fn admits(&self, grant: &Grant) -> bool {
        (self.identity.as_ref()).is_none_or(|identity| grant.scope.identity == *identity)
            && (self.connection.as_ref())
                .is_none_or(|connection| grant.scope.connection == *connection)
            && self.active_at.is_none_or(|now| grant.is_active(now))
            && (!self.open_review || grant.review_is_open())
    }

    /// At most so many.
    pub fn limit(&self) -> usize {
        self.limit.unwrap_or(200)
    }
}

/// The store did not do what it was asked. Whether it was written is not known.
#[derive(Debug, thiserror::Error)]
#[error("the store of approvals failed")]
pub struct StoreError(#[source] Box<dyn Error + Send + Sync>);

impl StoreError {
    /// A failure with its cause, which must hold nothing of a record.
    pub fn new(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(cause.into())
    }
}
