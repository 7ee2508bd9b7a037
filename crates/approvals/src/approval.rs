//! An approval and the steps it can take.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollbook_exchange::{ExchangeId, Principal, Requirement, Timestamp};

use crate::{
    ApprovalId, Digests, Excerpt, PersonId, Refused, View,
    quorum::{self, Voice},
};

/// A request for approval and what became of it.
///
/// Its steps are pure: each gives the next record, with the next version, or says why not. A
/// [`Store`](crate::Store) takes the next record only while the version it came from still stands,
/// so each step happens once however many try it.
///
/// Nothing in it is a caller's text in the clear: action, facts and excerpt are masked, and the
/// digests are keyed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Approval {
    /// Its name.
    pub id: ApprovalId,
    /// Where it stands.
    pub state: State,
    /// Counts the steps, from 1.
    pub version: u64,
    /// Who asks, as they were known when they asked.
    pub requester: Principal,
    /// The requester's [`identity`](Principal::identity), for looking up.
    pub identity: String,
    /// The identity together with the rules that let the requester in and the person behind it: only
    /// the same caller, by the same rules, for the same person can use the approval.
    pub owner: String,
    /// The connection that the request came through.
    pub connection: String,
    /// Its protocol.
    pub protocol: String,
    /// The name of the action, such as `messages.create`.
    pub action: String,
    /// The masked facts of the action.
    pub facts: Map<String, Value>,
    /// What detectors called the request.
    pub labels: BTreeSet<String>,
    /// How risky they found it, from 0 to 100.
    pub risk: u8,
    /// The masked request, as far as approvers see it.
    pub excerpt: Excerpt,
    /// What exactly is approved.
    pub digests: Digests,
    /// How closely a request has to be the one that was asked for.
    pub bind: Bind,
    /// Equal requests of one owner have equal slots, and a slot holds one open approval.
    pub slot: String,
    /// The SHA-256, in hexadecimal, of what approvers see together with the exact digest.
    pub view_digest: String,
    /// Who has to approve.
    pub requires: Vec<Requirement>,
    /// The rules that led to it.
    pub rules: Vec<String>,
    /// The reason they give.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The set of rules that was asked.
    pub policy_hash: String,
    /// The exchange that asked first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub exchange: Option<ExchangeId>,
    /// How the caller waits.
    pub mode: Mode,
    /// When it was asked for.
    pub created: Timestamp,
    /// When it ends unless it is decided before.
    pub expires: Timestamp,
    /// For how long it may be used once it is approved, in seconds.
    pub use_window: u32,
    /// What people said, in the order they said it.
    pub votes: Vec<Vote>,
    /// When it was approved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approved_at: Option<Timestamp>,
    /// Until when it may be used, once it is approved.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub use_until: Option<Timestamp>,
    /// The exchange that used it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub consumed_by: Option<ExchangeId>,
    /// When it came to its end.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended: Option<Timestamp>,
}

/// Where an approval stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// People have to decide.
    Pending,
    /// It may be used, once.
    Approved,
    /// Somebody who may decide said no.
    Denied,
    /// Nobody decided in time.
    Expired,
    /// Nobody waits for it any more.
    Cancelled,
    /// It was used.
    Consumed,
    /// It was approved and not used in time.
    Lapsed,
}

impl State {
    /// Every state, in the order of this type.
    pub const ALL: [Self; 7] = [
        Self::Pending,
        Self::Approved,
        Self::Denied,
        Self::Expired,
        Self::Cancelled,
        Self::Consumed,
        Self::Lapsed,
    ];

    /// The name used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Consumed => "consumed",
            Self::Lapsed => "lapsed",
        }
    }

    /// Whether no step leads on from here.
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Pending | Self::Approved)
    }
}

/// How closely a request has to be the one that was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Bind {
    /// The same bytes.
    Exact,
    /// The same bytes, or a body that the protocol calls the same but for the way it is answered,
    /// and that asks for no more output. Claude Code sends a failed stream again in that way.
    #[default]
    Semantic,
}

/// How the caller waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mode {
    /// The request is held.
    #[default]
    Hold,
    /// The caller is told at once, and comes again.
    FailFast,
}

/// What one person said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Vote {
    /// The person.
    pub person: PersonId,
    /// The identity by which the person was known.
    pub identity: String,
    /// The groups the person spoke for: those that were asked, of those the person is in.
    pub groups: BTreeSet<String>,
    /// Yes or no.
    pub choice: Choice,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// Yes or no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Choice {
    /// It may pass.
    Approve,
    /// It may not.
    Deny,
}

/// What uses an approval.
#[derive(Clone, Copy, Debug)]
pub struct Use<'a> {
    /// The [`owner`](Approval::owner) of the request.
    pub owner: &'a str,
    /// The connection it came through.
    pub connection: &'a str,
    /// What it asks for.
    pub digests: &'a Digests,
    /// The exchange it belongs to.
    pub exchange: Option<ExchangeId>,
}

impl Approval {
    /// The beginning of the digest of what is shown: eight hexadecimal digits, which an approver
    /// gives back to say what they saw.
    pub fn hash(&self) -> &str {
        self.view_digest.get(..8).unwrap_or(&self.view_digest)
    }

    /// What approvers and callers' operators are shown.
    pub fn view(&self) -> View {
        View::of(self)
    }

    /// Whether the request with these digests, on this connection, is the one that was asked for.
    pub fn is_for(&self, owner: &str, connection: &str, digests: &Digests) -> bool {
        self.owner == owner
            && self.connection == connection
            && self.digests.admit(digests, self.bind)
    }

    /// Whether everything in `requires` is asked of people here.
    ///
    /// A rule that is not among those that approvers were shown needs an approval of its own, even
    /// if it asks the same group.
    pub fn covers(&self, requires: &[Requirement]) -> bool {
        quorum::covers(&self.requires, requires)
    }

    /// The step by which a person speaks. `vote.groups` are cut down to those that were asked.
    ///
    /// Whether the person may speak at all is not judged here; see [`People`](crate::People) and
    /// [`Approvals::decide`](crate::Approvals::decide).
    ///
    /// # Errors
    ///
    /// When it is not pending any more, its time is up, the person is in no group that was asked,
    /// or has said the same before.
    pub fn vote(&self, now: Timestamp, mut vote: Vote) -> Result<Self, Refused> {
        self.must_be(State::Pending)?;
        if now >= self.expires {
            return Err(Refused::TooLate);
        }
        let asked: BTreeSet<&str> = self.requires.iter().map(|it| it.group.as_str()).collect();
        vote.groups.retain(|group| asked.contains(group.as_str()));
        if vote.groups.is_empty() {
            return Err(Refused::NotInGroup);
        }
        let before = |old: &Vote| old.person == vote.person && old.choice == vote.choice;
        if self.votes.iter().any(before) {
            return Err(Refused::AlreadyVoted);
        }
        vote.at = now;
        let mut next = self.next();
        let choice = vote.choice;
        next.votes.push(vote);
        match choice {
            Choice::Deny => {
                next.state = State::Denied;
                next.ended = Some(now);
            }
            Choice::Approve if next.has_quorum() => {
                next.state = State::Approved;
                next.approved_at = Some(now);
                let window = u64::from(next.use_window).saturating_mul(1_000_000);
                next.use_until = Some(now.after_micros(window));
            }
            Choice::Approve => {}
        }
        Ok(next)
    }

    /// The step by which it is used.
    ///
    /// # Errors
    ///
    /// When it is not approved, was used before, its use window is over, or the request is not the
    /// one that was approved.
    pub fn consume(&self, now: Timestamp, by: Use<'_>) -> Result<Self, Refused> {
        self.must_be(State::Approved)?;
        if self.use_until.is_none_or(|until| now >= until) {
            return Err(Refused::TooLate);
        }
        if !self.is_for(by.owner, by.connection, by.digests) {
            return Err(Refused::OtherRequest);
        }
        let mut next = self.next();
        next.state = State::Consumed;
        next.consumed_by = by.exchange;
        next.ended = Some(now);
        Ok(next)
    }

    /// The step by which time ends it: pending becomes expired, approved becomes lapsed.
    ///
    /// # Errors
    ///
    /// When it is over already, or its time is not.
    pub fn expire(&self, now: Timestamp) -> Result<Self, Refused> {
        let (due, state) = match self.state {
            State::Pending => (Some(self.expires), State::Expired),
            State::Approved => (self.use_until, State::Lapsed),
            over => return Err(Refused::Over(over)),
        };
        if due.is_some_and(|due| now < due) {
            return Err(Refused::TooEarly);
        }
        let mut next = self.next();
        next.state = state;
        next.ended = Some(now);
        Ok(next)
    }

    /// The step by which the asking side gives it up.
    ///
    /// # Errors
    ///
    /// When it is not pending.
    pub fn cancel(&self, now: Timestamp) -> Result<Self, Refused> {
        self.must_be(State::Pending)?;
        let mut next = self.next();
        next.state = State::Cancelled;
        next.ended = Some(now);
        Ok(next)
    }

    /// The vote that denied it.
    pub fn denial(&self) -> Option<&Vote> {
        self.votes.iter().find(|vote| vote.choice == Choice::Deny)
    }

    fn has_quorum(&self) -> bool {
        let voices = self
            .votes
            .iter()
            .filter(|vote| vote.choice == Choice::Approve);
        let voices: Vec<_> = voices
            .map(|vote| Voice::of_groups(&vote.person, &vote.groups))
            .collect();
        quorum::satisfied(&self.requires, &voices)
    }

    fn must_be(&self, state: State) -> Result<(), Refused> {
        match self.state {
            now if now == state => Ok(()),
            State::Pending => Err(Refused::NotApproved),
            over => Err(Refused::Over(over)),
        }
    }

    fn next(&self) -> Self {
        let mut next = self.clone();
        next.version = next.version.saturating_add(1);
        next
    }
}
