//! A policy, made ready to be asked.

use std::sync::Arc;

use cedar_policy::{Effect, Policy};

use crate::{
    annotations::Annotations, mentions::Mentions, names::Names, reach::Reach, unknown_groups,
    watch::Watch,
};

/// The actions that are tool calls.
const CALLS: [&str; 2] = ["tool.call", "tools"];
/// The facts by which one tool call differs from another.
const OF_CALLS: [&str; 6] = [
    "input_bytes",
    "input_parsed",
    "labels",
    "mcp_server",
    "risk",
    "tool",
];

/// A policy and everything that is kept of it.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) id: String,
    pub(crate) effect: Effect,
    pub(crate) annotations: Annotations,
    pub(crate) watches: Vec<Arc<Watch>>,
    /// Which text it stands in, and at which line.
    pub(crate) origin: (usize, usize),
    /// As it is evaluated for callers whose groups are known.
    pub(crate) known: Ready,
    /// As it is evaluated for callers whose groups are not; `None` where it has no part.
    pub(crate) unknown: Option<Ready>,
}

/// A policy as it is evaluated, and whom it can concern.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) policy: Policy,
    pub(crate) reach: Reach,
}

/// What a policy's word counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A permit or a forbid that counts.
    Rule,
    /// A forbid that asks people instead.
    Approval,
    /// A permit on trial.
    TrialPermit,
    /// A forbid on trial, whether it would deny or ask.
    TrialForbid,
}

impl Rule {
    /// Makes `policy` ready, or says why Cedar cannot take it apart and put it together again.
    pub(crate) fn new(
        policy: &Policy,
        annotations: Annotations,
        watches: Vec<Arc<Watch>>,
        origin: (usize, usize),
        names: &Names,
    ) -> Result<Self, String> {
        let ready = |policy: &Policy| {
            let reach = Reach::of(policy, names)?;
            let policy = match &annotations.expires {
                Some(expiry) => expiry.end(policy)?,
                None => policy.clone(),
            };
            Ok::<_, String>(Ready { policy, reach })
        };
        let known = ready(policy)?;
        let unknown = match unknown_groups::twin(policy, names)? {
            Some(twin) => Some(ready(&twin)?),
            None => None,
        };
        Ok(Self {
            id: policy.id().to_string(),
            effect: policy.effect(),
            watches,
            origin,
            known,
            unknown,
            annotations,
        })
    }

    /// Whether it has something to say of a tool call that it did not say of the request.
    pub(crate) fn is_about_calls(&self) -> bool {
        let Ready { policy, reach } = &self.known;
        let Some(actions) = &reach.actions else {
            let Ok(parts) = policy.to_json() else {
                return true;
            };
            let mut mentions = Mentions::default();
            mentions.add(&parts["conditions"]);
            return OF_CALLS.iter().any(|fact| mentions.name(fact));
        };
        actions
            .iter()
            .any(|action| CALLS.contains(&action.id().unescaped()))
    }

    pub(crate) fn role(&self) -> Role {
        match self.effect {
            Effect::Permit if self.annotations.shadow => Role::TrialPermit,
            Effect::Forbid if self.annotations.shadow => Role::TrialForbid,
            Effect::Forbid if !self.annotations.approval.is_empty() => Role::Approval,
            _ => Role::Rule,
        }
    }
}
