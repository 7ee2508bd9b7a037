//! Who may do what.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use tollbook_exchange::{
    Action, Decision, Finding, Groups, Operator, Principal, PrincipalKind, Verdict,
};
use tollbook_policy::{Decide, PolicySet};

use crate::{ask, caller, create, policies};

#[track_caller]
fn assert_denied_by(decision: &Decision, rules: &[&str]) {
    assert_eq!(decision.verdict, Verdict::Deny, "{decision:?}");
    assert_eq!(decision.rules, rules);
    assert_eq!(decision.errors, Vec::<String>::new());
}

#[test]
fn a_group_opens_its_connection_and_no_other() {
    let policies = policies("");
    let allowed = ask(&policies, &caller(&["ci-payments"]), &create());
    assert_eq!(allowed.verdict, Verdict::Allow);
    assert_eq!(allowed.rules, ["connection.claude.allow"]);
    assert_eq!(allowed.policy_hash, policies.hash());

    assert_denied_by(&ask(&policies, &caller(&["ci-web"]), &create()), &[]);
    assert_denied_by(&ask(&policies, &caller(&[]), &create()), &[]);
    let elsewhere = policies.decide(
        &caller(&["ci-payments"]),
        "orders",
        "claude",
        &create(),
        &[],
    );
    assert_denied_by(&elsewhere, &[]);
}

#[test]
fn names_that_need_quoting_stay_names() {
    let group = r#"a"], resource); permit(principal, action, resource); // "#;
    let policies = PolicySet::builder()
        .allow("cl\"aude", [group.to_owned()])
        .build()
        .unwrap();
    let decide =
        |groups: &[&str]| policies.decide(&caller(groups), "cl\"aude", "claude", &create(), &[]);
    assert!(decide(&[group]).is_allow());
    assert!(!decide(&["a"]).is_allow());
}

#[test]
fn a_forbid_wins_and_gives_its_reason() {
    let policies = policies(
        r#"
        @id("models") @reason("ask for an exception")
        forbid (principal, action in Tollbook::Action::"messages", resource)
        when { context has model && context.model like "claude-opus-*" };
        @id("tools") @reason("shells are off")
        forbid (principal, action, resource)
        when { context has tools && context.tools.contains("bash") };
        "#,
    );
    let caller = caller(&["ci-payments"]);
    assert!(ask(&policies, &caller, &create()).is_allow());

    let opus = create().with("model", "claude-opus-4-5");
    let decision = ask(&policies, &caller, &opus);
    assert_denied_by(&decision, &["models"]);
    assert_eq!(decision.reason.as_deref(), Some("ask for an exception"));

    let both = opus.with("tools", BTreeSet::from(["bash".to_owned()]));
    let decision = ask(&policies, &caller, &both);
    assert_denied_by(&decision, &["models", "tools"]);
    assert_eq!(
        decision.reason.as_deref(),
        Some("ask for an exception; shells are off")
    );
}

#[test]
fn claims_are_tags() {
    let policies = policies(
        r#"
        @id("main-only")
        forbid (principal, action, resource)
        unless { principal.hasTag("ref") && principal.getTag("ref").contains("refs/heads/main") };
        @id("no-forks")
        forbid (principal, action, resource)
        when { principal.hasTag("labels") && principal.getTag("labels").containsAny(["fork", "7", "true"]) };
        "#,
    );
    let decide = |claims: serde_json::Value| {
        let claims: BTreeMap<_, _> = serde_json::from_value(claims).unwrap();
        let caller = caller(&["ci-payments"]).with_claims(claims);
        ask(&policies, &caller, &create()).rules
    };
    let main = "refs/heads/main";
    assert_eq!(decide(json!({ "ref": main })), ["connection.claude.allow"]);
    assert_eq!(decide(json!({ "ref": "refs/heads/x" })), ["main-only"]);
    assert_eq!(decide(json!({})), ["main-only"]);
    assert_eq!(decide(json!({ "ref": { "main": main } })), ["main-only"]);
    for labels in [
        json!(["a", "fork"]),
        json!("fork"),
        json!(7),
        json!(true),
        json!([7]),
    ] {
        let claims = json!({ "ref": main, "labels": labels });
        assert_eq!(decide(claims), ["no-forks"], "{labels}");
    }
}

#[test]
fn findings_count_by_rule_and_number() {
    let policies = policies(
        r#"
        @id("keys")
        forbid (principal, action, resource) when { context.findings.contains("aws-secret-key") };
        @id("many")
        forbid (principal, action, resource) when { context.finding_count > 10 };
        "#,
    );
    let decide = |rule: &str, count| {
        let found = [
            Finding::new(rule, "request.body", Operator::Redact, count),
            Finding::new("email", "request.body", Operator::Redact, 1),
        ];
        let caller = caller(&["ci-payments"]);
        policies.decide(&caller, "claude", "claude", &create(), &found)
    };
    assert!(decide("email", 9).is_allow());
    assert_denied_by(&decide("email", 10), &["many"]);
    assert_denied_by(&decide("aws-secret-key", 1), &["keys"]);
    assert_denied_by(&decide("aws-secret-key", u32::MAX), &["keys", "many"]);
}

#[test]
fn what_was_not_scanned_does_not_pass() {
    let policies = policies("");
    let caller = caller(&["ci-payments"]);
    for name in [
        "messages.create",
        "messages.count_tokens",
        "batches.create",
        "files.upload",
        "sql.query",
        "sql.call",
    ] {
        let unscanned = Action::new(name).with("body_scanned", false);
        assert_denied_by(
            &ask(&policies, &caller, &unscanned),
            &["tollbook.unscanned"],
        );
        let silent = Action::new(name);
        assert_denied_by(&ask(&policies, &caller, &silent), &["tollbook.unscanned"]);
        let scanned = Action::new(name).with("body_scanned", true);
        assert!(ask(&policies, &caller, &scanned).is_allow());
    }
    assert!(ask(&policies, &caller, &Action::new("models.list")).is_allow());
}

#[test]
fn unknown_groups_are_not_no_groups() {
    let by_claim = r#"
        @id("by-issuer")
        permit (principal, action, resource)
        when { principal.issuer == "ci" && principal.kind == "ci" };
        "#;
    let unknown = caller(&[]).with_groups(Groups::Unknown);

    // A rule that needs a group does not match.
    assert_denied_by(&ask(&policies(""), &unknown, &create()), &[]);
    // One that asks for no group does.
    assert!(ask(&policies(by_claim), &unknown, &create()).is_allow());
    // A permit for everyone but a group does not.
    let unless = r#"
        @id("staff")
        permit (principal, action, resource)
        unless { principal in Tollbook::Group::"contractors" };
        "#;
    assert_denied_by(&ask(&policies(unless), &unknown, &create()), &[]);
    assert!(ask(&policies(unless), &caller(&[]), &create()).is_allow());
    // A forbid for a group denies where the rest of it holds.
    let forbid = format!(
        r#"{by_claim}
        @id("contractors") @reason("no opus")
        forbid (principal in Tollbook::Group::"contractors", action, resource)
        when {{ context has model && context.model == "claude-opus-4-5" }};
        "#
    );
    let opus = create().with("model", "claude-opus-4-5");
    let decision = ask(&policies(&forbid), &unknown, &opus);
    assert_denied_by(&decision, &["contractors"]);
    assert_eq!(decision.reason.as_deref(), Some("no opus"));
    assert!(ask(&policies(&forbid), &unknown, &create()).is_allow());
    assert!(ask(&policies(&forbid), &caller(&[]), &opus).is_allow());
}

#[test]
fn a_rule_that_fails_denies() {
    // Nothing that a validator sees: the sum is too large for the engine's integers.
    let policies = policies(
        r#"
        @id("budget")
        forbid (principal, action, resource)
        when { context has max_tokens && context.max_tokens + 9223372036854775807 < 0 };
        "#,
    );
    let decision = ask(&policies, &caller(&["ci-payments"]), &create());
    assert_eq!(decision.verdict, Verdict::Deny);
    assert_eq!(decision.rules, ["connection.claude.allow"]);
    assert_eq!(decision.errors, ["budget"]);
    let without = Action::new("messages.create").with("body_scanned", true);
    assert!(ask(&policies, &caller(&["ci-payments"]), &without).is_allow());
}

#[test]
fn what_the_schema_does_not_know_denies() {
    let policies = policies("");
    let fails = |principal: &Principal, action: &Action, rule: &str| {
        let decision = ask(&policies, principal, action);
        assert_eq!(decision.verdict, Verdict::Deny);
        assert_eq!(decision.errors, [rule]);
    };
    let known = caller(&["ci-payments"]);
    fails(&known, &create().with("surprise", true), "tollbook.facts");
    fails(&known, &create().with("model", 5_i64), "tollbook.facts");
    fails(
        &known,
        &create().with("findings", BTreeSet::new()),
        "tollbook.facts",
    );
    fails(&known, &Action::new("messages.destroy"), "tollbook.action");
    fails(&known, &Action::new("messages"), "tollbook.action");
    let ambiguous = Principal::new(PrincipalKind::Ci, "ci/repo", "x")
        .with_groups(Groups::from_iter(["ci-payments"]));
    fails(&ambiguous, &create(), "tollbook.caller");
}

#[test]
fn a_decision_asks_only_policies_that_can_apply() {
    // Of each 20 rules one is about this connection; of those one in four about this group, and
    // one in four names its groups in a condition.
    let rules: String = (0..400)
        .map(|n| {
            let (connection, group) = (n % 20, n / 20 % 5);
            let (scope, first) = match n / 100 {
                0 => (
                    format!("principal in Tollbook::Group::\"g{group}\""),
                    String::new(),
                ),
                1 => (
                    "principal".to_owned(),
                    format!("when {{ principal in [Tollbook::Group::\"g{group}\"] }}"),
                ),
                _ => ("principal".to_owned(), String::new()),
            };
            format!(
                "@id(\"rule-{n}\") forbid ({scope}, action in Tollbook::Action::\"messages\", \
                 resource == Tollbook::Connection::\"c{connection}\") {first} \
                 when {{ context has model && context.model == \"model-{n}\" }};\n"
            )
        })
        .collect();
    let policies = policies_without_connections(&rules);
    let at = tollbook_exchange::Timestamp::from_micros(0);
    let considered = |groups: &[&str], connection: &str, action: &str| {
        let action = Action::new(action.to_owned());
        let why = policies.explain(&caller(groups), connection, "claude", &action, &[], at);
        let asked = why.considered.iter();
        asked.filter(|one| one.id.starts_with("rule-")).count()
    };
    assert_eq!(policies.len(), 402);
    assert_eq!(considered(&["g1"], "c3", "messages.create"), 12);
    assert_eq!(considered(&["g1", "g2"], "c3", "messages.create"), 14);
    assert_eq!(considered(&["other"], "c3", "messages.create"), 10);
    assert_eq!(considered(&["g1"], "c3", "models.list"), 0);
    assert_eq!(considered(&["g1"], "elsewhere", "messages.create"), 0);
}

fn policies_without_connections(text: &str) -> PolicySet {
    let builder = PolicySet::builder().file("policies/test.cedar", text);
    builder.build().unwrap()
}
