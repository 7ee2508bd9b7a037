//! What waits for approval, and the decisions of people about it.

use axum::{
    Extension, Json,
    extract::{Path, Query, State, rejection::JsonRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{collections::BTreeSet, time::Duration};

use tollbook_approvals::{
    Approval, ApprovalId, Ballot, Choice, Error, Filter, GrantFilter, GrantId, GrantKind,
    GrantWish, Refused, Scope, State as Step, Via,
};
use tollbook_exchange::{Exchange, Principal, Timestamp};

use super::{Admin, No, action};
use crate::approvals::{granted, shown};

/// The most approvals that are looked through for a list.
const MOST: usize = 1_000;

#[derive(Deserialize)]
pub(super) struct Page {
    state: Option<String>,
    limit: Option<usize>,
}

/// The newest first: all of them for those who see everything, for others what they may decide.
pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("approvals.list", &[]));
    admin.roles().enter(&principal)?;
    let limit = page.limit.unwrap_or(50).min(MOST);
    // Those of others are left out afterwards, and must not take the place of the caller's.
    let mut filter = Filter::default().limit(MOST);
    if let Some(state) = page.state {
        filter.state = Step::ALL.into_iter().find(|known| known.as_str() == state);
        if filter.state.is_none() {
            return Err(No::wrong("there is no such `state` of an approval"));
        }
    }
    let found = admin.approvals.list(&filter).await.map_err(failed)?;
    let now = Timestamp::now();
    let all: Vec<Value> = found
        .iter()
        .filter(|approval| admin.concerns(&principal, approval))
        .take(limit)
        .map(|approval| shown(approval, now))
        .collect();
    Ok(Json(json!({ "approvals": all })))
}

pub(super) async fn show(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("approvals.show", &[("approval", &id)]));
    admin.roles().enter(&principal)?;
    let approval = admin.find(&principal, &id).await?;
    Ok(Json(shown(&approval, Timestamp::now())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Decision {
    vote: Choice,
    hash: String,
    reason: Option<String>,
}

/// Where a caller's message sends people: how to see and decide it. Says nothing about it, for
/// everybody who can reach the listener may read this.
pub(super) async fn how(Path(id): Path<String>) -> Result<String, No> {
    let id = approval_id(&id)?;
    Ok(format!(
        "To see what {id} is about, and to decide:\n\n    \
         tollbook approvals show {id} --gateway ADDRESS\n    \
         tollbook approvals approve {id} --gateway ADDRESS\n    \
         tollbook approvals deny {id} --gateway ADDRESS --reason TEXT\n\n\
         ADDRESS is this listener's, and your own token is in TOLLBOOK_TOKEN.\n"
    ))
}

/// One person's word.
pub(super) async fn decide(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
    body: Result<Json<Decision>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(decision) = body.map_err(|error| admin.unreadable(&error))?;
    let vote = match decision.vote {
        Choice::Approve => "approve",
        _ => "deny",
    };
    let facts = [
        ("approval", &*id),
        ("vote", vote),
        ("hash", &*decision.hash),
    ];
    admin.note(&exchange, &action("approvals.decide", &facts));
    admin.roles().speak(&principal)?;
    let id = admin.find(&principal, &id).await?.id;
    admin.commit(&exchange).await?;
    let ballot = Ballot {
        voter: principal,
        via: Via::SignIn,
        choice: decision.vote,
        hash: Some(decision.hash),
        reason: decision.reason.map(|reason| admin.masked(&reason)),
    };
    let approval = admin.approvals.decide(&id, ballot).await.map_err(failed)?;
    Ok(Json(shown(&approval, Timestamp::now())))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Why {
    reason: String,
}

/// Withdraws a request that waits.
pub(super) async fn cancel(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
    body: Result<Json<Why>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(why) = body.map_err(|error| admin.unreadable(&error))?;
    let facts = [("approval", &*id), ("why", &*why.reason)];
    admin.note(&exchange, &action("approvals.cancel", &facts));
    admin.roles().may_operate(&principal)?;
    let id = approval_id(&id)?;
    admin.commit(&exchange).await?;
    let approval = admin
        .approvals
        .cancel(&id, Some(&principal))
        .await
        .map_err(failed)?;
    Ok(Json(shown(&approval, Timestamp::now())))
}

pub(super) async fn grants(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("grants.list", &[]));
    admin.roles().may_see(&principal)?;
    let found = admin
        .approvals
        .grants(&GrantFilter::default())
        .await
        .map_err(failed)?;
    let now = Timestamp::now();
    let all: Vec<Value> = found.iter().map(|grant| granted(grant, now)).collect();
    Ok(Json(json!({ "grants": all })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewGrant {
    kind: Kind,
    identity: String,
    connection: String,
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    actions: Vec<String>,
    group: Option<String>,
    minutes: u64,
    reason: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Standing,
    BreakGlass,
}

/// Makes a grant: the caller's own word beforehand, or an emergency.
pub(super) async fn grant(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    body: Result<Json<NewGrant>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(wish) = body.map_err(|error| admin.unreadable(&error))?;
    let facts = [
        ("for", &*wish.identity),
        ("connection", &*wish.connection),
        ("why", &*wish.reason),
    ];
    let name = match wish.kind {
        Kind::Standing => "grants.create",
        Kind::BreakGlass => "grants.break_glass",
    };
    admin.note(&exchange, &action(name, &facts));
    admin.roles().speak(&principal)?;
    let kind = match (wish.kind, wish.group) {
        (Kind::Standing, Some(group)) => GrantKind::Standing { group },
        (Kind::Standing, None) => {
            return Err(No::wrong(
                "a standing grant names the `group` it speaks for",
            ));
        }
        (Kind::BreakGlass, _) => GrantKind::BreakGlass,
    };
    admin.commit(&exchange).await?;
    let wish = GrantWish {
        kind,
        by: principal,
        via: Via::SignIn,
        reason: admin.masked(&wish.reason),
        scope: Scope {
            identity: wish.identity,
            connection: wish.connection,
            rules: wish.rules.into_iter().collect::<BTreeSet<_>>(),
            actions: wish.actions.into_iter().collect::<BTreeSet<_>>(),
        },
        lasting: Duration::from_secs(wish.minutes.saturating_mul(60)),
    };
    let made = admin.approvals.grant(wish).await.map_err(failed)?;
    Ok(Json(granted(&made, Timestamp::now())))
}

/// Ends a grant before its time. Any person may: it only narrows.
pub(super) async fn revoke(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
    body: Result<Json<Why>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(why) = body.map_err(|error| admin.unreadable(&error))?;
    let facts = [("grant", &*id), ("why", &*why.reason)];
    admin.note(&exchange, &action("grants.revoke", &facts));
    admin.roles().enter(&principal)?;
    let id = grant_id(&id)?;
    admin.commit(&exchange).await?;
    let grant = admin
        .approvals
        .revoke_grant(&id, &principal, Some(&admin.masked(&why.reason)))
        .await
        .map_err(failed)?;
    Ok(Json(granted(&grant, Timestamp::now())))
}

/// Closes the review of a broken glass.
pub(super) async fn review(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Path(id): Path<String>,
    body: Result<Json<Why>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(why) = body.map_err(|error| admin.unreadable(&error))?;
    let facts = [("grant", &*id), ("why", &*why.reason)];
    admin.note(&exchange, &action("grants.review", &facts));
    admin.roles().speak(&principal)?;
    let id = grant_id(&id)?;
    admin.commit(&exchange).await?;
    let grant = admin
        .approvals
        .review(
            &id,
            &principal,
            Via::SignIn,
            Some(&admin.masked(&why.reason)),
        )
        .await
        .map_err(failed)?;
    Ok(Json(granted(&grant, Timestamp::now())))
}

impl Admin {
    /// Whether the principal may see this approval: because they see everything, or because they
    /// are in a group that decides it.
    fn concerns(&self, principal: &Principal, approval: &Approval) -> bool {
        let asked = |group: &str| approval.requires.iter().any(|one| one.group == group);
        self.roles().sees(principal) || principal.groups.iter().any(asked)
    }

    /// The approval, if the principal may see it. Others are told that there is none.
    async fn find(&self, principal: &Principal, id: &str) -> Result<Approval, No> {
        let id = approval_id(id)?;
        let approval = self.approvals.show(&id).await.map_err(failed)?;
        if self.concerns(principal, &approval) {
            Ok(approval)
        } else {
            Err(failed(Error::from(Refused::NotFound)))
        }
    }
}

fn approval_id(id: &str) -> Result<ApprovalId, No> {
    id.parse()
        .map_err(|_| No::wrong("that is no id of an approval"))
}

fn grant_id(id: &str) -> Result<GrantId, No> {
    id.parse()
        .map_err(|_| No::wrong("that is no id of a grant"))
}

/// Why the engine did not do it.
fn failed(error: Error) -> No {
    match error.refused() {
        Some(Refused::NotFound) => No::missing("there is no such approval or grant"),
        Some(refused) => No::denied(refused.to_string(), refused.as_str()),
        None => {
            tracing::warn!(%error, "an admin call about approvals failed");
            No::failed("it could not be done; nothing has changed", "store_error")
        }
    }
}
