//! Why a step does not happen.

use crate::{IdError, State, StoreError, Unwitnessed};

/// A call to the engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The step is not allowed.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The store failed. Nothing passes.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The step could not be made durable in the book, so it was not taken.
    #[error(transparent)]
    Unwitnessed(#[from] Unwitnessed),
    /// No id could be made.
    #[error(transparent)]
    Id(#[from] IdError),
    /// Others changed the record again and again while the step was tried.
    #[error("others changed the record at the same time")]
    Contended,
    /// The step was interrupted, and whether it was taken is not known.
    #[error("the step was interrupted")]
    Interrupted,
}

impl Error {
    /// Why the step is not allowed, if that is what it is.
    pub const fn refused(&self) -> Option<Refused> {
        match self {
            Self::Refused(refused) => Some(*refused),
            _ => None,
        }
    }
}

/// Why a step is not allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// There is no such approval or grant.
    #[error("there is no such approval or grant")]
    NotFound,
    /// It is in this state, from which the step does not lead on.
    #[error("it is {} already", .0.as_str())]
    Over(State),
    /// People have not approved it yet.
    #[error("it is not approved yet")]
    NotApproved,
    /// Its time is up.
    #[error("its time is up")]
    TooLate,
    /// Its time is not up yet.
    #[error("its time is not up yet")]
    TooEarly,
    /// The request is not the one that was approved.
    #[error("the request is not the one that was approved")]
    OtherRequest,
    /// The credential of the request has ended since the request came.
    #[error("the credential of the request has ended")]
    CredentialEnded,
    /// Only people decide.
    #[error("only people decide")]
    NotHuman,
    /// The person has to sign in again first.
    #[error("sign in again first")]
    StaleSignIn,
    /// The person is in none of the groups that may decide, as far as is known.
    #[error("you are in none of the groups that may decide this")]
    NotInGroup,
    /// Nobody decides about their own request.
    #[error("nobody decides about their own request")]
    OwnRequest,
    /// The request comes from a job of whose starter the directory knows no account, so that
    /// nobody can say that a voter is somebody else.
    #[error(
        "nobody knows who started this job: an operator has to add the account \
         `issuer/actor/id` of whoever did to a [[person]]"
    )]
    UnknownActor,
    /// The person has said this before.
    #[error("you have said so already")]
    AlreadyVoted,
    /// The hash given back is not that of what is shown.
    #[error("the hash is not that of what is shown; look at it again")]
    WrongHash,
    /// A grant needs a reason.
    #[error("a grant needs a reason")]
    NoReason,
    /// A grant needs a caller, a connection and, unless in an emergency, rules or actions.
    #[error("a grant needs a caller, a connection, and rules or actions")]
    WideScope,
    /// A grant may not be in force for so long, nor for no time.
    #[error("a grant may not be in force for so long")]
    TooLong,
    /// The grant is over.
    #[error("the grant is over")]
    GrantOver,
    /// The grant has no open review.
    #[error("there is nothing to review")]
    NothingToReview,
}

impl Refused {
    /// A stable word for records and the admin API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Over(_) => "over",
            Self::NotApproved => "not_approved",
            Self::TooLate => "too_late",
            Self::TooEarly => "too_early",
            Self::OtherRequest => "other_request",
            Self::CredentialEnded => "credential_ended",
            Self::NotHuman => "not_human",
            Self::StaleSignIn => "stale_sign_in",
            Self::NotInGroup => "not_in_group",
            Self::OwnRequest => "own_request",
            Self::UnknownActor => "unknown_actor",
            Self::AlreadyVoted => "already_voted",
            Self::WrongHash => "wrong_hash",
            Self::NoReason => "no_reason",
            Self::WideScope => "wide_scope",
            Self::TooLong => "too_long",
            Self::GrantOver => "grant_over",
            Self::NothingToReview => "nothing_to_review",
        }
    }
}
