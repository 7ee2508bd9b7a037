//! What the public surface of the crate promises.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod approvals;
mod files;
mod parallel;
mod reference;
mod secrets;
mod tokens;

use serde_json::{Value, json};
use tollbook_approvals::{Approval, Digests, Grant, State as Standing};
use tollbook_exchange::{Access, Principal, PrincipalKind, Timestamp};
use tollbook_identity::{AssertionHash, GatewayToken, TokenRecord};

/// The token that these bytes make, and what is kept of it.
fn token(byte: u8) -> (GatewayToken, TokenRecord) {
    let token = GatewayToken::from_random([byte; 32]);
    let hash = token.hash();
    let mut principal = Principal::new(PrincipalKind::Ci, "ci", format!("repo:{}", byte % 3));
    principal.access = Some(Access {
        rules: vec![format!("rule-{}", byte % 2)],
        token: Some(tollbook_identity::TokenId::of(&hash).to_string()),
        ..Access::default()
    });
    let record = TokenRecord {
        hash,
        rule: format!("rule-{}", byte % 2),
        rule_digest: "d".to_owned(),
        principal,
        issued: 1000 + i64::from(byte % 5),
        expires: 2000 + i64::from(byte),
        assertion: AssertionHash([byte; 32]),
        assertion_issued: 990,
        signed_by: Vec::new(),
        certificate: None,
        revoked: None,
    };
    (token, record)
}

/// An approval with these ids, as it would have been made.
fn approval(number: u8, slot: &str, state: Standing) -> Approval {
    let at = |seconds: i64| Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000);
    let created = i64::from(number % 7);
    let mut record = json!({
        "id": format!("apr_{number:032x}"), "state": state, "version": 1,
        "requester": Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay"),
        "identity": "ci/repo:acme/pay", "owner": "ci/repo:acme/pay by main",
        "connection": "claude", "protocol": "claude", "action": "messages.create",
        "facts": {"model": "claude-opus-5", "risk": 7}, "labels": ["shell"], "risk": 70,
        "excerpt": {"head": "[REDACTED:key] déjà vu", "omitted": 9, "tail": "end"},
        "digests": {"exact": format!("{:064x}", number % 4), "semantic": format!("{:064x}", number % 2)},
        "bind": "semantic", "slot": slot, "view_digest": "0".repeat(64),
        "requires": [{"rule": "big", "group": "leads", "people": 2}], "rules": ["big"],
        "policy_hash": "sha256:0", "mode": "hold", "created": at(created),
        "expires": at(created + 900), "use_window": 300,
        "votes": [{"person": "person:ann", "identity": "sso/ann", "groups": ["leads"],
            "choice": "approve", "reason": "fine", "at": at(created + 5)}],
    });
    if state == Standing::Approved || state == Standing::Consumed {
        record["approved_at"] = json!(at(created + 6));
        record["use_until"] = json!(at(created + 306));
    }
    if state.is_final() {
        record["ended"] = json!(at(created + 7));
    }
    serde_json::from_value(record).unwrap()
}

/// The same approval one step on, in this state.
fn step(from: &Approval, state: Standing) -> Approval {
    let mut next = from.clone();
    next.version += 1;
    next.state = state;
    next
}

fn digests(number: u8) -> Digests {
    let mut digests = approval(number, "", Standing::Pending).digests;
    if number.is_multiple_of(3) {
        digests.semantic = None;
    }
    digests
}

/// A grant; every third one is break-glass and has its review open.
fn grant(number: u8) -> Grant {
    let at = |seconds: i64| Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000);
    let kind: Value = if number.is_multiple_of(3) {
        json!("break_glass")
    } else {
        json!({"standing": {"group": "leads"}})
    };
    let from = i64::from(number % 5);
    serde_json::from_value(json!({
        "id": format!("gra_{number:032x}"), "version": 1, "kind": kind, "person": "person:ann",
        "by": Principal::new(PrincipalKind::Human, "sso", "ann"), "reason": "release night",
        "scope": {"identity": format!("ci/{}", number % 2), "connection": "claude", "rules": ["big"]},
        "from": at(from), "until": at(from + 10),
    }))
    .unwrap()
}
