//! Deciding: who may, and what they say.

use std::{collections::BTreeSet, time::Duration};

use tollbook_exchange::{Principal, PrincipalKind, Timestamp};

use crate::{Approval, ApprovalId, Approvals, Choice, Error, Refused, Vote, engine::micros};

/// The longest reason that is kept, in characters.
const MAX_REASON: usize = 500;

/// How far a clock of somebody else may be ahead of ours, and how old a message may be.
const SKEW: Duration = Duration::from_secs(60);
const MESSAGE_AGE: Duration = Duration::from_secs(5 * 60);

/// How surely a person has to have signed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SignIn {
    /// Within the usual time.
    Usual,
    /// Within the usual time, and their issuer has to say when: a token that is only new may have
    /// been renewed in silence.
    Told,
    /// Just now, and their issuer has to say when.
    Fresh,
}

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
    /// is never enough for what is risky, nor for what has to do with breaking glass.
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
    /// engine knows no administrators. Where nobody knows which person is behind the requester's
    /// job, nobody can say it is another, and nobody decides; see
    /// [`Limits::unlinked_actors`](crate::Limits::unlinked_actors).
    ///
    /// What is risky needs a sign-in of which the issuer itself says when it was.
    ///
    /// # Errors
    ///
    /// When the person may not decide, the hash is another, or the step cannot be taken.
    pub async fn decide(&self, id: &ApprovalId, ballot: Ballot) -> Result<Approval, Error> {
        let person = self.0.people.person(&ballot.voter);
        let (this, by) = (self.clone(), Some(person.clone()));
        self.step(id.clone(), by, None, move |approval, now| {
            this.may_decide(approval, &ballot, now)?;
            let approval = &this.with_people_as_they_are(approval);
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
        if self.hides_its_actor(&approval.requester) {
            return Err(Refused::UnknownActor);
        }
        let sign_in = if approval.risk >= self.0.limits.high_risk {
            SignIn::Fresh
        } else {
            SignIn::Usual
        };
        self.must_be_fresh(voter, ballot.via, sign_in, now)
    }

    /// Whether a job names a person behind it of whom the directory knows no account, so that any
    /// voter could be that person.
    pub(crate) fn hides_its_actor(&self, requester: &Principal) -> bool {
        !self.0.limits.unlinked_actors && self.0.people.misses_actor(requester)
    }

    /// The same approval with its votes told apart by the people of today: two accounts may have
    /// been linked since one of them voted.
    fn with_people_as_they_are(&self, approval: &Approval) -> Approval {
        let mut approval = approval.clone();
        for vote in &mut approval.votes {
            if let Some(person) = self.0.people.owner(&vote.identity) {
                vote.person = person;
            }
        }
        approval
    }

    /// Refuses whoever signed in too long ago, or nobody knows when, or not surely enough.
    pub(crate) fn must_be_fresh(
        &self,
        voter: &Principal,
        via: Via,
        sign_in: SignIn,
        now: Timestamp,
    ) -> Result<(), Refused> {
        let limits = &self.0.limits;
        let (at, age) = match via {
            Via::Message { .. } if sign_in != SignIn::Usual => return Err(Refused::StaleSignIn),
            Via::Message { at } => (at, MESSAGE_AGE),
            Via::SignIn => {
                let access = voter.access.as_ref().ok_or(Refused::StaleSignIn)?;
                if sign_in != SignIn::Usual && !access.sign_in_told {
                    return Err(Refused::StaleSignIn);
                }
                let at = access.signed_in.and_then(|it| it.checked_mul(1_000_000));
                let at = Timestamp::from_micros(at.ok_or(Refused::StaleSignIn)?);
                let age = match sign_in {
                    SignIn::Fresh => limits.fresh_login_age,
                    SignIn::Usual | SignIn::Told => limits.login_age,
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
