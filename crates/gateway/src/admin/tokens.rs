//! Gateway tokens, revocations and issuers.

use axum::{
    Extension, Json,
    extract::{Query, State, rejection::JsonRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tollbook_exchange::{Exchange, Principal, Timestamp};
use tollbook_identity::{KeyFault, Revocation, Selector, TokenRecord};

use super::{Admin, No, action};

#[derive(Deserialize)]
pub(super) struct Page {
    limit: Option<usize>,
}

/// The newest tokens first. What is shown opens nothing.
pub(super) async fn list(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("tokens.list", &[]));
    admin.roles().may_see(&principal)?;
    let limit = page.limit.unwrap_or(50).min(1_000);
    let tokens = admin.gate.tokens(limit).await.map_err(|error| {
        tracing::warn!(%error, "tokens cannot be listed");
        No::failed("the tokens cannot be read", "store_error")
    })?;
    let now = Timestamp::now();
    let shown: Vec<Value> = tokens.iter().map(|token| shown(token, now)).collect();
    Ok(Json(json!({ "tokens": shown })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    token: Option<String>,
    rule: Option<String>,
    issuer: Option<String>,
    identity: Option<String>,
    subject: Option<String>,
    assertion: Option<String>,
    reason: String,
}

/// Ends credentials now.
pub(super) async fn revoke(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
    body: Result<Json<Revoke>, JsonRejection>,
) -> Result<Json<Value>, No> {
    let Json(revoke) = body.map_err(|error| admin.unreadable(&error))?;
    let (name, value, selector) = selector(&revoke)?;
    let facts = [("by", name), ("value", &value), ("why", &revoke.reason)];
    admin.note(&exchange, &action("tokens.revoke", &facts));
    admin.roles().may_operate(&principal)?;
    if revoke.reason.trim().is_empty() {
        return Err(No::wrong("a revocation needs a `reason`"));
    }
    admin.commit(&exchange).await?;
    let now = Timestamp::now().as_micros().div_euclid(1_000_000);
    let revocation = Revocation::new(selector, admin.masked(&revoke.reason), now);
    let ended = admin.gate.revoke(revocation).await.map_err(|error| {
        tracing::warn!(%error, "a revocation could not be kept");
        No::failed(
            "the revocation is in force, but could not be kept: it ends with this gateway",
            "store_error",
        )
    })?;
    let ended: Vec<String> = ended.iter().map(ToString::to_string).collect();
    tracing::info!(by = name, tokens = ended.len(), "credentials revoked");
    Ok(Json(json!({ "revoked": ended })))
}

/// The one thing that is named.
fn selector(revoke: &Revoke) -> Result<(&'static str, String, Selector), No> {
    let named = [
        ("token", &revoke.token),
        ("rule", &revoke.rule),
        ("issuer", &revoke.issuer),
        ("identity", &revoke.identity),
        ("subject", &revoke.subject),
        ("assertion", &revoke.assertion),
    ];
    let mut named = named
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.clone()?)));
    let (Some((name, value)), None) = (named.next(), named.next()) else {
        return Err(No::wrong(
            "name one of `token`, `rule`, `issuer`, `identity`, `subject` and `assertion`",
        ));
    };
    let selector = match name {
        "token" => Selector::Token(
            value
                .parse()
                .map_err(|error| No::wrong(format!("{error}")))?,
        ),
        "rule" => Selector::Rule(value.clone()),
        "issuer" => Selector::Issuer(value.clone()),
        "identity" => Selector::Identity(value.clone()),
        "assertion" => Selector::Assertion(value.clone()),
        _ => {
            let (issuer, subject) = value
                .split_once('/')
                .ok_or_else(|| No::wrong("`subject` is written issuer/subject"))?;
            Selector::Subject {
                issuer: issuer.to_owned(),
                subject: subject.to_owned(),
            }
        }
    };
    Ok((name, value, selector))
}

/// The issuers, and how fresh their keys are.
pub(super) async fn issuers(
    State(admin): State<Admin>,
    Extension(principal): Extension<Principal>,
    Extension(exchange): Extension<Exchange>,
) -> Result<Json<Value>, No> {
    admin.note(&exchange, &action("issuers.list", &[]));
    admin.roles().may_see(&principal)?;
    let issuers: Vec<Value> = (admin.gate.oidc().key_status().iter())
        .map(|status| {
            json!({
                "name": status.name,
                "keys": status.keys,
                "fetched_seconds_ago": status.fetched_ago.map(|ago| ago.as_secs()),
                "stale": status.stale,
                "last_error": status.last_error.map(KeyFault::as_str),
            })
        })
        .collect();
    Ok(Json(json!({ "issuers": issuers })))
}

fn shown(token: &TokenRecord, now: Timestamp) -> Value {
    let time = |seconds: i64| Timestamp::from_micros(seconds.saturating_mul(1_000_000));
    let state = if token.revoked.is_some() {
        "revoked"
    } else if time(token.expires) <= now {
        "over"
    } else {
        "valid"
    };
    json!({
        "id": token.id(),
        "rule": token.rule,
        "issuer": token.principal.issuer,
        "subject": token.principal.subject,
        "identity": token.principal.identity(),
        "issued": time(token.issued),
        "expires": time(token.expires),
        "state": state,
        "revoked": token.revoked,
    })
}
