//! Approvals in the book, and as the admin API shows them.

use std::time::Duration;

use serde_json::{Map, Value, json};
use tollbook_approvals::{
    Approval, BoxFuture, Event, Grant, GrantKind, Limits, Subject, Unwitnessed, Witness,
};
use tollbook_exchange::{Principal, Timestamp};

use crate::{
    config::ApprovalsConfig,
    events::{self, Events},
};

/// Writes each step of an approval into the book before it takes effect.
#[derive(Debug)]
pub(crate) struct BookWitness(pub(crate) Events);

impl Witness for BookWitness {
    fn note<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Unwitnessed>> {
        Box::pin(async move {
            match self.0.note(entry(event)).await {
                Ok(_) => Ok(()),
                Err(error) => {
                    tracing::warn!(%error, "a step of an approval could not be recorded");
                    Err(Unwitnessed::default())
                }
            }
        })
    }
}

/// What counts for all approvals, where the configuration does not leave it to the engine.
pub(crate) fn limits(config: &ApprovalsConfig) -> Limits {
    let mut limits = Limits::default();
    let set = |limit: &mut Duration, wanted: Option<Duration>| {
        if let Some(wanted) = wanted {
            *limit = wanted;
        }
    };
    set(&mut limits.decide_within, config.expires);
    set(&mut limits.use_within, config.use_within);
    set(&mut limits.login_age, config.login_age);
    set(&mut limits.fresh_login_age, config.high_risk_login_age);
    set(&mut limits.cool_down, config.cool_down);
    limits.unlinked_actors = config.unlinked_actors;
    if let Some(open) = config.per_caller {
        limits.open = open;
        // Each that may be open may be held, and some may wait for the same.
        limits.held = limits.held.max(open.saturating_mul(2));
    }
    limits
}

/// The event as it stands in the book.
fn entry(event: &Event) -> events::Event {
    let by = event.by.as_ref().map(|person| person.as_str().to_owned());
    let exchange = event.exchange.map(|exchange| exchange.to_string());
    match &event.subject {
        Subject::Approval(approval) => {
            let requires = approval.requires.iter();
            let requires = requires.map(|one| format!("{}:{}", one.group, one.people));
            let vote = approval.votes.last().filter(|_| event.by.is_some());
            events::Event::new(format!("approval.{}", event.kind.as_str()))
                .by(Some(&approval.requester))
                .with("approval", approval.id.to_string())
                .with("state", approval.state.as_str())
                .with("for", approval.action.as_str())
                .with("connection", approval.connection.as_str())
                .with("hash", approval.view_digest.as_str())
                .with(
                    "rules",
                    approval
                        .rules
                        .iter()
                        .cloned()
                        .collect::<std::collections::BTreeSet<_>>(),
                )
                .with(
                    "requires",
                    requires.collect::<std::collections::BTreeSet<_>>(),
                )
                .with("asked_policy", approval.policy_hash.as_str())
                .maybe("person", by)
                .maybe("person_identity", vote.map(|vote| vote.identity.clone()))
                .maybe("person_reason", vote.and_then(|vote| vote.reason.clone()))
                .maybe("exchange", exchange)
        }
        Subject::Grant(grant) => {
            let kind = match &grant.kind {
                GrantKind::Standing { .. } => "standing",
                _ => "break_glass",
            };
            events::Event::new(format!("grant.{}", event.kind.as_str()))
                .by(Some(&grant.by))
                .with("grant", grant.id.to_string())
                .with("kind", kind)
                .with("identity", grant.scope.identity.as_str())
                .with("connection", grant.scope.connection.as_str())
                .with("rules", grant.scope.rules.clone())
                .with("actions", grant.scope.actions.clone())
                .with("until", grant.until.to_string())
                .with("why", grant.reason.as_str())
                .maybe("person", by)
                .maybe("exchange", exchange)
        }
        _ => events::Event::new(format!("approvals.{}", event.kind.as_str())).maybe("person", by),
    }
}

/// An approval as the admin API shows it. Masked, and not made harmless: whoever shows it does that.
pub(crate) fn shown(approval: &Approval, now: Timestamp) -> Value {
    let view = approval.view();
    let about: Map<String, Value> = view
        .who
        .iter()
        .map(|(name, value)| (name.clone(), Value::from(value.as_str())))
        .collect();
    let excerpt = &view.excerpt;
    let text = if excerpt.omitted == 0 {
        excerpt.head.clone()
    } else {
        format!(
            "{}\n[{} bytes left out]\n{}",
            excerpt.head, excerpt.omitted, excerpt.tail
        )
    };
    let votes: Vec<Value> = approval
        .votes
        .iter()
        .map(|vote| {
            json!({
                "person": vote.person, "identity": vote.identity, "groups": vote.groups,
                "vote": vote.choice, "reason": vote.reason, "at": vote.at,
            })
        })
        .collect();
    json!({
        "id": approval.id,
        "state": approval.state,
        "hash": approval.hash(),
        "who": who(&approval.requester),
        "identity": approval.identity,
        "about": about,
        "connection": approval.connection,
        "protocol": approval.protocol,
        "action": approval.action,
        "facts": approval.facts,
        "labels": approval.labels,
        "risk": approval.risk,
        "rules": approval.rules,
        "reason": approval.reason,
        "requires": approval.requires,
        "votes": votes,
        "policy_hash": approval.policy_hash,
        "created": approval.created,
        "expires": approval.expires,
        "seconds_left": view.seconds_left(now),
        "use_until": approval.use_until,
        "exchange": approval.exchange,
        "consumed_by": approval.consumed_by,
        "view": text,
        "view_cut": excerpt.omitted,
    })
}

/// A grant as the admin API shows it.
pub(crate) fn granted(grant: &Grant, now: Timestamp) -> Value {
    let (kind, group) = match &grant.kind {
        GrantKind::Standing { group } => ("standing", Some(group)),
        _ => ("break_glass", None),
    };
    let state = if grant.is_active(now) {
        "active"
    } else if grant.revoked.is_some() {
        "revoked"
    } else {
        "over"
    };
    json!({
        "id": grant.id,
        "kind": kind,
        "group": group,
        "state": state,
        "identity": grant.scope.identity,
        "connection": grant.scope.connection,
        "rules": grant.scope.rules,
        "actions": grant.scope.actions,
        "by": grant.person,
        "reason": grant.reason,
        "from": grant.from,
        "until": grant.until,
        "revoked": grant.revoked,
        "reviewed": grant.reviewed,
        "review": if grant.review_is_open() { "open" } else { "none" },
    })
}

fn who(principal: &Principal) -> String {
    format!("{}/{}", principal.issuer, principal.subject)
}
