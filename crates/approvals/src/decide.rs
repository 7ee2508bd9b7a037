//! Deciding: who may, and what they say.

use std::{collections::BTreeSet, time::Duration};

use tollbook_exchange::{Principal, PrincipalKind, Timestamp};

use crate::{Approval, ApprovalId, Approvals, Choice, Error, Refused, Vote, engine::micros};

/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// How far a clock of somebody else may be ahead of ours, and how old a message may be.
const SKEW: Duration = Duration::from_secs(60);
const MESSAGE_AGE: Duration = Duration::from_secs(5 * 60);

/// What a person says about an approval.
#[derive(Clone, Debug, PartialEq)]
pub struct Ballot {
    /// The person, as the gate knows them.
    pub voter: Principal,
    /// How they came.
    pub via: Via,
    /// Yes or no.
    pub choice: Choice,
    /// The hash that the person gives back, to say what they saw: the first eight digits or more of
    /// [`view_digest`](Approval::view_digest). A no needs none.
    pub hash: Option<String>,
    /// Why. A denial's reason is told to the caller.
    pub reason: Option<String>,
}

/// How a person came to speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Via {
    /// Signed in, at the time the principal's [`access`](Principal::access) tells.
    SignIn,
    /// By a message that a messenger has signed, at this time. There is no sign-in behind it, so it
    /// is never enough for what is risky.
    Message {
        /// When the messenger signed it.
        at: Timestamp,
    },
}

impl Approvals {
    /// Takes what a person says about a pending approval.
    ///
    /// A no of anybody who may decide is final. A yes counts when the hash given back is that of
    /// what is shown; the last one that is needed approves.
    ///
    /// Only people decide, who signed in lately, who are in a group that is asked, and who are
    /// neither the requester nor the person behind the requester. There is no other right: the
    /// engine knows no administrators.
    ///
    /// # Errors
    ///
    /// When the person may not decide, the hash is another, or the step cannot be taken.
    pub async fn decide(&self, id: &ApprovalId, ballot: Ballot) -> Result<Approval, Error> {
        let person = self.0.people.person(&ballot.voter);
        let (this, by) = (self.clone(), Some(person.clone()));
        self.step(id.clone(), by, None, move |approval, now| {
            this.may_decide(approval, &ballot, now)?;
            let vote = Vote {
                person: person.clone(),
                identity: ballot.voter.identity(),
                groups: ballot.voter.groups.iter().map(str::to_owned).collect(),
                choice: ballot.choice,
                reason: ballot.reason.as_deref().and_then(plain),
                at: now,
            };
            let next = approval.vote(now, vote)?;
            // Asked last, so that a wrong hash tells nothing to those who may not decide.
            match (ballot.choice, &ballot.hash) {
                (Choice::Deny, None) => Ok(next),
                (_, Some(hash)) if is_shown(approval, hash) => Ok(next),
                _ => Err(Refused::WrongHash),
            }
        })
        .await
    }

    fn may_decide(
        &self,
        approval: &Approval,
        ballot: &Ballot,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let voter = &ballot.voter;
        if voter.kind != PrincipalKind::Human {
            return Err(Refused::NotHuman);
        }
        if self.0.people.is_self(voter, &approval.requester) {
            return Err(Refused::OwnRequest);
        }
        let risky = approval.risk >= self.0.limits.high_risk;
        self.must_be_fresh(voter, ballot.via, risky, now)
    }

    /// Refuses whoever signed in too long ago, or nobody knows when.
    pub(crate) fn must_be_fresh(
        &self,
        voter: &Principal,
        via: Via,
        risky: bool,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let limits = &self.0.limits;
        let (at, age) = match via {
            Via::Message { .. } if risky => return Err(Refused::StaleSignIn),
            Via::Message { at } => (at, MESSAGE_AGE),
            Via::SignIn => {
                let seconds = voter.access.as_ref().and_then(|access| access.signed_in);
                let at = seconds.and_then(|it| it.checked_mul(1_000_000));
                let at = Timestamp::from_micros(at.ok_or(Refused::StaleSignIn)?);
                let age = if risky {
                    limits.fresh_login_age
                } else {
                    limits.login_age
                };
                (at, age)
            }
        };
        if at <= now.after_micros(micros(SKEW)) && now <= at.after_micros(micros(age)) {
            Ok(())
        } else {
            Err(Refused::StaleSignIn)
        }
    }

    /// Refuses whoever is not known to be in one of these groups.
    pub(crate) fn must_be_in(voter: &Principal, groups: &BTreeSet<String>) -> Result<(), Refused> {
        if voter.groups.iter().any(|group| groups.contains(group)) {
            Ok(())
        } else {
            Err(Refused::NotInGroup)
        }
    }
}

/// Whether the hash is the beginning of what is shown, and not too short a one.
fn is_shown(approval: &Approval, hash: &str) -> bool {
    let hash = hash.trim().to_ascii_lowercase();
    hash.len() >= approval.hash().len() && approval.view_digest.starts_with(&hash)
}

/// A text of a person on one line, without control characters and bounded. `None` when nothing of
/// it is left.
pub(crate) fn plain(text: &str) -> Option<String> {
    let printable = |it: char| if it.is_control() { ' ' } else { it };
    let text: String = text.chars().take(MAX_REASON).map(printable).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
