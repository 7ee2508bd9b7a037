//! Why a decision came out as it did.

use std::{collections::BTreeSet, fmt};

use cedar_policy::{Effect, Policy, PolicySet as CedarSet};
use serde::Serialize;
use serde_json::json;
use tollbook_exchange::{Action, Decision, Finding, Principal, Timestamp};

use crate::{
    PolicySet,
    request::{Asked, Question},
    rule::{Ready, Role, Rule},
    set::{Inner, Satisfied},
};

/// A decision, and every policy that could have had a part in it.
///
/// Its text form is for a person; its JSON form has the same content.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    /// The decision.
    pub decision: Decision,
    /// The time it is about.
    pub at: Timestamp,
    /// Whether the caller's groups are known. Where they are not, permits that mention a group
    /// have no part and forbids that do apply as if the caller were in it.
    pub groups_known: bool,
    /// How many policies there are in all. The ones that are not listed are about other actions,
    /// connections or groups.
    pub policies: usize,
    /// The policies that could have had a part, those that determined the decision first.
    pub considered: Vec<Considered>,
}

/// One policy and what it had to say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Considered {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub part: Part,
    /// What it had to say.
    pub result: PolicyResult,
    /// The text it stands in.
    pub file: String,
    /// The line at which it begins, counted from 1.
    pub line: usize,
    /// Its `@reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its `@approval`, as `group:people`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub approval: Vec<String>,
    /// Its `@expires`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// Its `@labels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<String>,
}

/// What a policy is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Part {
    /// It forbids.
    Forbid,
    /// It asks people.
    Approval,
    /// It permits.
    Permit,
    /// It would forbid or ask people, and is on trial.
    TrialForbid,
    /// It would permit, and is on trial.
    TrialPermit,
}

/// What a policy had to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyResult {
    /// It applies and determined the decision.
    Determined,
    /// It cannot be evaluated.
    Failed,
    /// It applies, and another one decided.
    Applies,
    /// It is about this caller, action and connection, and its conditions do not hold.
    ConditionFailed,
    /// It is about another caller, action or connection.
    OutOfScope,
    /// It has expired.
    Expired,
}

impl PolicySet {
    /// Explains the decision about `action` by `principal` on `connection` at `at`.
    ///
    /// Asks the policies one by one, so it takes much longer than a decision.
    pub fn explain(
        &self,
        principal: &Principal,
        connection: &str,
        protocol: &str,
        action: &Action,
        findings: &[Finding],
        at: Timestamp,
    ) -> Explanation {
        self.explained(Asked {
            principal,
            connection,
            protocol,
            action,
            findings,
            at,
        })
    }

    pub(crate) fn explained(&self, asked: Asked<'_>) -> Explanation {
        let inner = &*self.0;
        let decision = self.judge(asked);
        let parts = inner.parts(asked);
        let ids: BTreeSet<&str> = parts
            .iter()
            .flat_map(|part| part.ids().map(AsRef::as_ref))
            .collect();
        let question = inner.question(asked, &parts).ok();
        let mut considered: Vec<Considered> = ids
            .into_iter()
            .filter_map(|id| inner.rules.get(id))
            .map(|rule| inner.consider(rule, question.as_ref(), asked, &decision))
            .collect();
        considered.sort_by(|a, b| (a.result, a.part, &a.id).cmp(&(b.result, b.part, &b.id)));
        Explanation {
            decision,
            at: asked.at,
            groups_known: asked.principal.groups.is_known(),
            policies: self.len(),
            considered,
        }
    }
}

impl Inner {
    fn consider(
        &self,
        rule: &Rule,
        question: Option<&Question>,
        asked: Asked<'_>,
        decision: &Decision,
    ) -> Considered {
        let (source, line) = rule.origin;
        let approval = rule.annotations.approval.iter();
        Considered {
            id: rule.id.clone(),
            part: match (rule.role(), rule.effect) {
                (Role::Approval, _) => Part::Approval,
                (Role::TrialPermit, _) => Part::TrialPermit,
                (Role::TrialForbid, _) => Part::TrialForbid,
                (Role::Rule, Effect::Permit) => Part::Permit,
                (Role::Rule, Effect::Forbid) => Part::Forbid,
            },
            result: self.result(rule, question, asked, decision),
            file: self.sources[source].name.clone(),
            line,
            reason: rule.annotations.reason.clone(),
            approval: approval
                .map(|(group, people)| format!("{group}:{people}"))
                .collect(),
            expires: rule.annotations.expires.as_ref().map(|it| it.text.clone()),
            labels: rule.annotations.labels.clone(),
        }
    }

    fn result(
        &self,
        rule: &Rule,
        question: Option<&Question>,
        asked: Asked<'_>,
        decision: &Decision,
    ) -> PolicyResult {
        if decision.rules.contains(&rule.id) {
            return PolicyResult::Determined;
        }
        let now = asked.at.as_micros().div_euclid(1_000_000);
        let expiry = rule.annotations.expires.as_ref();
        if expiry.is_some_and(|expiry| expiry.end <= now) {
            return PolicyResult::Expired;
        }
        let ready = if asked.principal.groups.is_known() {
            Some(&rule.known)
        } else {
            rule.unknown.as_ref()
        };
        let (Some(Ready { policy, .. }), Some(question)) = (ready, question) else {
            return PolicyResult::OutOfScope;
        };
        match self.satisfied(question, policy) {
            Satisfied::Yes => PolicyResult::Applies,
            Satisfied::Failed => PolicyResult::Failed,
            Satisfied::No => match scope_of(policy) {
                Some(scope) if self.satisfied(question, &scope) == Satisfied::Yes => {
                    PolicyResult::ConditionFailed
                }
                _ => PolicyResult::OutOfScope,
            },
        }
    }

    fn satisfied(&self, question: &Question, policy: &Policy) -> Satisfied {
        match CedarSet::from_policies([policy.clone()]) {
            Ok(alone) => self.alone(question, &alone),
            Err(_) => Satisfied::Failed,
        }
    }
}

/// `policy` without its conditions.
fn scope_of(policy: &Policy) -> Option<Policy> {
    let mut parts = policy.to_json().ok()?;
    parts["conditions"] = json!([]);
    Policy::from_json(Some(policy.id().clone()), parts).ok()
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Decision {
            verdict,
            rules,
            reason,
            errors,
            requires,
            shadow,
            policy_hash,
            ..
        } = &self.decision;
        write!(f, "{}", verdict.as_str())?;
        match rules.as_slice() {
            _ if !errors.is_empty() => write!(f, ": {} cannot be evaluated", errors.join(", "))?,
            [] => write!(f, ": no rule permits this")?,
            rules => write!(f, " by {}", rules.join(", "))?,
        }
        if let Some(reason) = reason {
            write!(f, ": {reason}")?;
        }
        writeln!(f)?;
        for one in requires {
            writeln!(f, "needs {} of {} ({})", one.people, one.group, one.rule)?;
        }
        if !shadow.is_empty() {
            writeln!(
                f,
                "on trial: {} would have decided otherwise",
                shadow.join(", ")
            )?;
        }
        if !self.groups_known {
            writeln!(f, "the caller's groups are not known")?;
        }
        writeln!(
            f,
            "at {}, {} of {} policies, {policy_hash}",
            self.at,
            self.considered.len(),
            self.policies
        )?;
        self.considered
            .iter()
            .try_for_each(|one| writeln!(f, "  {one}"))
    }
}

impl fmt::Display for Considered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = match self.part {
            Part::Forbid => "forbid",
            Part::Approval => "approval",
            Part::Permit => "permit",
            Part::TrialForbid => "forbid on trial",
            Part::TrialPermit => "permit on trial",
        };
        let result = match self.result {
            PolicyResult::Determined => "determined the decision",
            PolicyResult::Failed => "cannot be evaluated",
            PolicyResult::Applies => "applies",
            PolicyResult::ConditionFailed => "its conditions do not hold",
            PolicyResult::OutOfScope => "is about something else",
            PolicyResult::Expired => "has expired",
        };
        write!(
            f,
            "{} ({part}, {}:{}): {result}",
            self.id, self.file, self.line
        )?;
        if !self.approval.is_empty() {
            write!(f, "; asks {}", self.approval.join(", "))?;
        }
        if let Some(expires) = &self.expires {
            write!(f, "; until {expires}")?;
        }
        if let Some(labels) = &self.labels {
            write!(f, "; {labels}")?;
        }
        Ok(())
    }
}
