//! Approvals, trials and ends.

use tollbook_exchange::{
    Access, Action, Actor, Groups, Principal, Requirement, Timestamp, Verdict,
};
use tollbook_policy::{Decide, Policies, PolicySet};

use crate::{ask, caller, create, policies};

fn requirement(rule: &str, group: &str, people: u32) -> Requirement {
    Requirement {
        rule: rule.to_owned(),
        group: group.to_owned(),
        people,
    }
}

const OPUS: &str = r#"
    @id("opus") @reason("large models cost money") @approval("leads:2, security:1")
    forbid (principal, action, resource)
    when { context has model && context.model like "claude-opus-*" };
    @id("long") @reason("long answers too") @approval("leads:1")
    forbid (principal, action, resource)
    when { context has max_tokens && context.max_tokens > 8000 };
    @id("shell") @reason("no shells")
    forbid (principal, action, resource)
    when { context has labels && context.labels.contains("shell") };
    "#;

#[test]
fn denial_comes_before_approval_and_approval_before_permission() {
    let policies = policies(OPUS);
    let caller = caller(&["ci-payments"]);
    let opus = create().with("model", "claude-opus-4-5");
    let decision = ask(&policies, &caller, &opus);
    assert_eq!(decision.verdict, Verdict::Approve);
    assert_eq!(decision.rules, ["opus"]);
    assert_eq!(decision.reason.as_deref(), Some("large models cost money"));
    assert_eq!(
        decision.requires,
        [
            requirement("opus", "leads", 2),
            requirement("opus", "security", 1)
        ]
    );

    let long = opus.with("max_tokens", 9000_i64);
    let decision = ask(&policies, &caller, &long);
    assert_eq!(decision.rules, ["long", "opus"]);
    assert_eq!(
        decision.reason.as_deref(),
        Some("long answers too; large models cost money")
    );
    assert_eq!(
        decision.requires,
        [
            requirement("long", "leads", 1),
            requirement("opus", "leads", 2),
            requirement("opus", "security", 1),
        ]
    );

    let shell = long.with(
        "labels",
        std::collections::BTreeSet::from(["shell".to_owned()]),
    );
    let decision = ask(&policies, &caller, &shell);
    assert_eq!(
        (decision.verdict, decision.rules),
        (Verdict::Deny, vec!["shell".to_owned()])
    );
    assert_eq!(decision.requires, []);
    // Approval gives nothing to somebody whom nothing permits.
    let stranger = ask(
        &policies,
        &crate::caller(&[]),
        &create().with("model", "claude-opus-4-5"),
    );
    assert_eq!((stranger.verdict, stranger.rules.len()), (Verdict::Deny, 0));
}

#[test]
fn an_approval_that_fails_denies() {
    let policies = policies(
        r#"@id("sum") @approval("leads:1") forbid (principal, action, resource)
           when { context.time + 9223372036854775807 < 0 };"#,
    );
    let decision = ask(&policies, &caller(&["ci-payments"]), &create());
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.errors, ["sum"]);
    assert_eq!(decision.reason, None);
    assert_eq!(decision.requires, []);
}

#[test]
fn unknown_groups_are_asked_about_and_tried() {
    let policies = policies(
        r#"
        @id("everyone") permit (principal, action, resource);
        @id("contractors") @approval("leads:1")
        forbid (principal in Tollbook::Group::"contractors", action, resource);
        @id("trial") @mode("shadow")
        forbid (principal, action, resource) when { principal in Tollbook::Group::"x" };
        "#,
    );
    let unknown = caller(&[]).with_groups(Groups::Unknown);
    let decision = ask(&policies, &unknown, &create());
    assert_eq!(decision.verdict, Verdict::Approve);
    assert_eq!(decision.requires, [requirement("contractors", "leads", 1)]);
    assert_eq!(decision.shadow, ["trial"]);
    let known = ask(&policies, &caller(&[]), &create());
    assert!(known.is_allow() && known.shadow.is_empty());
}

#[test]
fn a_policy_ends_at_its_time_and_is_warned_of() {
    let text = r#"
        @id("guest") @expires("2026-03-01T12:00:00Z")
        permit (principal in Tollbook::Group::"guests", action, resource);
        @id("freeze") @expires("2026-02-01")
        forbid (principal, action, resource);
        "#;
    let at = |time: &str| -> Timestamp { time.parse().unwrap() };
    let set = |now: &'static str| {
        let builder = PolicySet::builder().file("ends.cedar", text);
        builder.clock(move || now.parse().unwrap()).build().unwrap()
    };
    for (time, verdict, rules) in [
        ("2026-01-31T00:00:00Z", Verdict::Deny, vec!["freeze"]),
        ("2026-02-01T23:59:59.999999Z", Verdict::Deny, vec!["freeze"]),
        ("2026-02-02T00:00:00Z", Verdict::Allow, vec!["guest"]),
        ("2026-03-01T11:59:59.999999Z", Verdict::Allow, vec!["guest"]),
        ("2026-03-01T12:00:00Z", Verdict::Deny, vec![]),
    ] {
        let set = set("2026-01-01T00:00:00Z");
        let caller = caller(&["guests"]);
        let decision = set.decide_at(&caller, "claude", "claude", &create(), &[], at(time));
        assert_eq!(
            (decision.verdict, decision.rules),
            (verdict, rules.iter().map(|it| (*it).to_owned()).collect()),
            "{time}"
        );
    }
    assert_eq!(set("2026-02-01T23:59:59Z").warnings(), []);
    let warnings = set("2026-03-01T12:00:00Z").warnings();
    let warnings: Vec<String> = warnings.iter().map(ToString::to_string).collect();
    assert_eq!(
        warnings,
        [
            "ends.cedar:2: `guest` expired with 2026-03-01T12:00:00Z",
            "ends.cedar:4: `freeze` expired with 2026-02-01",
        ]
    );
    // The clock of the set is the time of a decision.
    let caller = caller(&["guests"]);
    assert!(
        set("2026-02-15T00:00:00Z")
            .decide(&caller, "claude", "claude", &create(), &[])
            .is_allow()
    );
    assert!(
        !set("2026-03-15T00:00:00Z")
            .decide(&caller, "claude", "claude", &create(), &[])
            .is_allow()
    );
}

#[test]
fn hours_and_days_are_those_of_the_sets_zone() {
    let text = r#"
        @id("work") permit (principal, action, resource)
        when { context.weekday <= 5 && context.hour >= 8 && context.hour < 18 };
        "#;
    let decide = |zone: &str, time: &str| {
        let builder = PolicySet::builder().file("p.cedar", text).zone(zone);
        let set = builder.build().unwrap();
        let at = time.parse().unwrap();
        set.decide_at(&caller(&[]), "c", "claude", &create(), &[], at)
            .is_allow()
    };
    assert!(decide("UTC", "2026-01-05T17:30:00Z"));
    assert!(!decide("Europe/Berlin", "2026-01-05T17:30:00Z"));
    assert!(
        decide("Asia/Tokyo", "2026-01-04T23:30:00Z"),
        "it is Monday there"
    );
    let wrong = PolicySet::builder().zone("Mars/Base").build().unwrap_err();
    assert!(wrong.to_string().contains("no time zone `Mars/Base`"));
}

#[test]
fn what_the_caller_is_known_by_can_be_asked() {
    let policies = policies(
        r#"
        @id("x") permit (principal, action == Tollbook::Action::"tool.call", resource)
        when { principal.roles.contains("deploy") && principal.rules.contains("pay-ci") }
        when { principal has actor && principal.actor == "1234" }
        when { principal has environment && principal.environment == "production" }
        when { principal has stable_id && principal.stable_id == "4711" }
        when { principal has on_behalf_of && principal.on_behalf_of like "ci/*" };
        "#,
    );
    let mut job = caller(&[]);
    job.roles = ["deploy".to_owned()].into();
    job.access = Some(Access {
        rules: vec!["pay-ci".to_owned()],
        ..Access::default()
    });
    job.actor = Some(Actor {
        id: Some("1234".to_owned()),
        login: Some("alice".to_owned()),
    });
    job.environment = Some("production".to_owned());
    job.stable_id = Some("4711".to_owned());
    job.on_behalf_of = Some("ci/99".to_owned());
    let call = Action::new("tool.call")
        .with("tool", "bash")
        .with("input_parsed", true);
    assert!(ask(&policies, &job, &call).is_allow());
    let spoil: [fn(&mut Principal); 6] = [
        |job| job.roles.clear(),
        |job| job.access = None,
        // Without an id the name counts, and it is another.
        |job| job.actor.as_mut().unwrap().id = None,
        |job| job.environment = None,
        |job| job.stable_id = None,
        |job| job.on_behalf_of = None,
    ];
    for spoil in spoil {
        let mut other = job.clone();
        spoil(&mut other);
        assert!(!ask(&policies, &other, &call).is_allow());
    }
}

#[test]
fn a_tool_call_that_nobody_could_read_is_not_released() {
    let policies = policies("");
    let call = Action::new("tool.call").with("tool", "bash");
    for action in [call.clone(), call.clone().with("input_parsed", false)] {
        let decision = ask(&policies, &caller(&["ci-payments"]), &action);
        assert_eq!(decision.rules, ["tollbook.unparsed_call"]);
    }
    let read = call.with("input_parsed", true);
    assert!(ask(&policies, &caller(&["ci-payments"]), &read).is_allow());
}

#[test]
fn a_swap_is_whole_and_shared() {
    let (allows, denies) = (
        policies(""),
        policies("@id(\"stop\") forbid (principal, action, resource);"),
    );
    let live = Policies::new(allows.clone());
    let other = live.clone();
    let decide = |live: &Policies| {
        live.decide(
            &caller(&["ci-payments"]),
            "claude",
            "claude",
            &create(),
            &[],
        )
    };
    assert!(decide(&other).is_allow());
    let hashes = live.swap(denies.clone());
    assert_eq!(hashes, (allows.hash().to_owned(), denies.hash().to_owned()));
    let decision = decide(&other);
    assert_eq!(decision.rules, ["stop"]);
    assert_eq!(decision.policy_hash, denies.hash());
}
