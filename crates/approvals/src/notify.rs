//! What happens to approvals and grants, and who is told.

use std::{fmt, sync::Arc};

use serde::Serialize;
use tollbook_exchange::{ExchangeId, Timestamp};

use crate::{Approval, BoxFuture, EventId, Grant, PersonId, View};

/// One step of an approval or grant.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// Its name. Whoever is told twice can tell by it.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    pub kind: EventKind,
    /// To what, as it is after the step.
    pub subject: Subject,
    /// The person who did it, where one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<PersonId>,
    /// The exchange it happened in, where it did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exchange: Option<ExchangeId>,
}

impl Event {
    /// What people are shown of an approval, where the event is about one.
    pub fn view(&self) -> Option<View> {
        match &self.subject {
            Subject::Approval(approval) => Some(approval.view()),
            Subject::Grant(_) => None,
        }
    }

    /// Whether it must reach people on every channel at once.
    pub const fn is_loud(&self) -> bool {
        match &self.subject {
            Subject::Approval(_) => false,
            Subject::Grant(grant) => grant.is_break_glass(),
        }
    }
}

/// What an event is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Subject {
    /// An approval.
    Approval(Box<Approval>),
    /// A grant.
    Grant(Box<Grant>),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// Somebody asks: people have to decide.
    Asked,
    /// It is still pending after a restart. Told to channels, not noted in the book.
    StillPending,
    /// A person approved, and more have to.
    Voted,
    /// The last person that was needed approved.
    Approved,
    /// A person denied.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// The asking side gave up.
    Cancelled,
    /// It was used.
    Consumed,
    /// It was approved and not used in time.
    Lapsed,
    /// A grant was made.
    Granted,
    /// A request passed by a grant.
    GrantUsed,
    /// A grant was taken back.
    Revoked,
    /// The review of a break-glass grant was closed.
    Reviewed,
    /// The step that was noted just before did not happen: another gateway was first, or the store
    /// failed and what it holds is not known.
    Superseded,
}

impl EventKind {
    /// Every kind, in the order of this type.
    pub const ALL: [Self; 14] = [
        Self::Asked,
        Self::StillPending,
        Self::Voted,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Cancelled,
        Self::Consumed,
        Self::Lapsed,
        Self::Granted,
        Self::GrantUsed,
        Self::Revoked,
        Self::Reviewed,
        Self::Superseded,
    ];

    /// The name used in records and webhooks.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Asked => "asked",
            Self::StillPending => "still_pending",
            Self::Voted => "voted",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Consumed => "consumed",
            Self::Lapsed => "lapsed",
            Self::Granted => "granted",
            Self::GrantUsed => "grant_used",
            Self::Revoked => "revoked",
            Self::Reviewed => "reviewed",
            Self::Superseded => "superseded",
        }
    }
}

/// A channel by which people learn of events.
///
/// A channel that fails, or has no room, loses its message and nothing else: a decision never
/// depends on one.
pub trait Notify: Send + Sync + 'static {
    /// Takes an event to pass on. Must return at once: an implementation has a bounded queue of
    /// its own and a task that empties it.
    fn notify(&self, event: Arc<Event>);
}

/// Makes each step durable in the book before it takes effect.
///
/// A step that cannot be noted does not happen. A step that is noted and then fails is followed by
/// an event [`Superseded`](EventKind::Superseded), as far as that can be noted.
pub trait Witness: Send + Sync + 'static {
    /// Writes the event down. `Ok` means that it survives a crash.
    fn note<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Unwitnessed>>;
}

/// A witness that notes nothing: approvals leave no trace in any book. For tests, and for those who
/// embed the engine and keep a book of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unrecorded;

impl Witness for Unrecorded {
    fn note<'a>(&'a self, _: &'a Event) -> BoxFuture<'a, Result<(), Unwitnessed>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The event could not be made durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unwitnessed;

impl fmt::Display for Unwitnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the step could not be recorded")
    }
}

impl std::error::Error for Unwitnessed {}
