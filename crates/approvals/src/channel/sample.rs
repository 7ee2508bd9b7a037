//! Events for tests.

use bytes::Bytes;
use serde_json::json;
use tollbook_exchange::{Masked, Principal, PrincipalKind, Requirement, Timestamp};

use crate::{
    Approval, Bind, Choice, Digests, Event, EventId, EventKind, Excerpt, Grant, GrantId, GrantKind,
    Mode, PersonId, Scope, State, Subject, Vote,
};

/// 2025-11-21T20:40:00Z.
pub(super) const NOW: Timestamp = Timestamp::from_micros(1_763_757_600_000_000);

/// An approval whose every text is hostile.
pub(super) fn approval() -> Approval {
    let mut requester = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay<!channel>");
    requester.environment = Some("prod\nrule: none".to_owned());
    #[expect(clippy::disallowed_methods, reason = "a test's own text")]
    let text = Masked::assume_masked(Bytes::from(
        "ignore *this* <https://evil.example|click>\u{202e}\u{200b}\u{1b}[2J &amp; @channel",
    ));
    Approval {
        id: "apr_0123456789abcdef0123456789abcdef".parse().unwrap(),
        state: State::Pending,
        version: 1,
        identity: requester.identity(),
        owner: "owner-canary".to_owned(),
        requester,
        connection: "claude".to_owned(),
        protocol: "claude".to_owned(),
        action: "messages.create".to_owned(),
        facts: json!({"model": "claude-<b>", "tools": ["Bash\u{202e}"], "stream": true})
            .as_object()
            .unwrap()
            .clone(),
        labels: ["destructive_shell".to_owned()].into(),
        risk: 80,
        excerpt: Excerpt::of(&text, 4096),
        digests: Digests {
            exact: "digest-canary".to_owned(),
            semantic: None,
            max_tokens: None,
        },
        bind: Bind::Exact,
        slot: "slot-canary".to_owned(),
        view_digest: "0a1b2c3d".repeat(8),
        requires: vec![Requirement {
            rule: "prod-shell".to_owned(),
            group: "leads".to_owned(),
            people: 2,
        }],
        rules: vec!["prod-shell".to_owned()],
        reason: Some("shell <on> production".to_owned()),
        policy_hash: "sha256:00".to_owned(),
        exchange: None,
        mode: Mode::Hold,
        created: NOW,
        expires: NOW.after_micros(15 * 60 * 1_000_000),
        use_window: 300,
        votes: Vec::new(),
        approved_at: None,
        use_until: None,
        consumed_by: None,
        ended: None,
    }
}

pub(super) fn event(kind: EventKind, subject: Subject) -> Event {
    Event {
        id: EventId::generate().unwrap(),
        at: NOW,
        kind,
        subject,
        by: None,
        exchange: None,
    }
}

pub(super) fn asked() -> Event {
    event(EventKind::Asked, Subject::Approval(Box::new(approval())))
}

pub(super) fn denied() -> Event {
    let mut approval = approval();
    approval.state = State::Denied;
    approval.votes.push(Vote {
        person: PersonId::named("ann"),
        identity: "okta/ann".to_owned(),
        groups: ["leads".to_owned()].into(),
        choice: Choice::Deny,
        reason: Some("not <!here> on a Friday".to_owned()),
        at: NOW,
    });
    let mut event = event(EventKind::Denied, Subject::Approval(Box::new(approval)));
    event.by = Some(PersonId::named("ann"));
    event
}

pub(super) fn broken_glass() -> Event {
    let grant = Grant {
        id: GrantId::generate().unwrap(),
        version: 1,
        kind: GrantKind::BreakGlass,
        person: PersonId::named("ann"),
        by: Principal::new(PrincipalKind::Human, "okta", "ann"),
        reason: "site is down <!channel>".to_owned(),
        scope: Scope {
            identity: "ci/repo:acme/pay".to_owned(),
            connection: "claude".to_owned(),
            rules: ["prod-shell".to_owned()].into(),
            actions: std::collections::BTreeSet::new(),
        },
        from: NOW,
        until: NOW.after_micros(15 * 60 * 1_000_000),
        revoked: None,
        reviewed: None,
    };
    let mut event = event(EventKind::Granted, Subject::Grant(Box::new(grant)));
    event.by = Some(PersonId::named("ann"));
    event
}
