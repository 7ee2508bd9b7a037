//! Grants: what passes without an approval of its own, for a short time.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use tollbook_exchange::{Principal, Requirement, Timestamp};

use crate::{GrantId, PersonId, Refused};

/// A permission in advance for one caller on one connection.
///
/// It stands for the word of the person who made it. It can satisfy what an approval is required
/// for, and never changes a denial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Grant {
    /// Its name.
    pub id: GrantId,
    /// Counts the changes, from 1.
    pub version: u64,
    /// By which right it was made.
    pub kind: GrantKind,
    /// The person who made it.
    pub person: PersonId,
    /// Who that was, as they were known then.
    pub by: Principal,
    /// Why.
    pub reason: String,
    /// What it is for.
    pub scope: Scope,
    /// From when it is in force.
    pub from: Timestamp,
    /// Until when.
    pub until: Timestamp,
    /// Who took it back, and when.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub revoked: Option<Closed>,
    /// Who closed its review, and when. Only break-glass grants have one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reviewed: Option<Closed>,
}

/// By which right a grant was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GrantKind {
    /// By a person who could have approved, for this group. It counts as that one person's word:
    /// where two have to approve, two have to grant.
    Standing {
        /// The group the maker speaks for.
        group: String,
    },
    /// In an emergency, alone, for everything in scope. Loud, and open for review afterwards.
    BreakGlass,
}

/// What a grant is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scope {
    /// The caller's [`identity`](Principal::identity).
    pub identity: String,
    /// The connection.
    pub connection: String,
    /// Only what these rules ask for. Empty: whatever rule.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub rules: BTreeSet<String>,
    /// Only these actions. Empty: whatever action.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub actions: BTreeSet<String>,
}

/// Who closed something, when and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Closed {
    /// The person.
    pub person: PersonId,
    /// When.
    pub at: Timestamp,
    /// What they said.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub note: Option<String>,
}

impl Grant {
    /// Whether it was made in an emergency.
    pub const fn is_break_glass(&self) -> bool {
        matches!(self.kind, GrantKind::BreakGlass)
    }

    /// Whether it is in force.
    pub fn is_active(&self, now: Timestamp) -> bool {
        self.from <= now && now < self.until && self.revoked.is_none()
    }

    /// Whether somebody still has to look at it.
    pub const fn review_is_open(&self) -> bool {
        self.is_break_glass() && self.reviewed.is_none()
    }

    /// Whether it speaks about what `requirement` asks of this caller, who wants to do `action`.
    pub fn speaks_for(
        &self,
        identity: &str,
        connection: &str,
        action: &str,
        requirement: &Requirement,
    ) -> bool {
        let named = |names: &BTreeSet<String>, name: &str| names.is_empty() || names.contains(name);
        let group = match &self.kind {
            GrantKind::Standing { group } => *group == requirement.group,
            GrantKind::BreakGlass => true,
        };
        group
            && self.scope.identity == identity
            && self.scope.connection == connection
            && named(&self.scope.rules, &requirement.rule)
            && named(&self.scope.actions, action)
    }

    /// The step by which it is taken back.
    ///
    /// # Errors
    ///
    /// When it is over.
    pub fn revoke(&self, now: Timestamp, closed: Closed) -> Result<Self, Refused> {
        if self.revoked.is_some() || now >= self.until {
            return Err(Refused::GrantOver);
        }
        let mut next = self.next();
        next.revoked = Some(Closed { at: now, ..closed });
        Ok(next)
    }

    /// The step by which its review is closed, by a person other than its maker.
    ///
    /// # Errors
    ///
    /// When it has no review, it is closed, or the person made the grant.
    pub fn review(&self, now: Timestamp, closed: Closed) -> Result<Self, Refused> {
        if !self.review_is_open() {
            return Err(Refused::NothingToReview);
        }
        if closed.person == self.person {
            return Err(Refused::OwnRequest);
        }
        let mut next = self.next();
        next.reviewed = Some(Closed { at: now, ..closed });
        Ok(next)
    }

    fn next(&self) -> Self {
        let mut next = self.clone();
        next.version = next.version.saturating_add(1);
        next
    }
}
