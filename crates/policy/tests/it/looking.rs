//! Tests as tables, explanations, and looking back.

use serde_json::{Value, json};
use tollbook_exchange::{Finding, Groups, Operator, Timestamp, Verdict};
use tollbook_policy::{PolicyResult, PolicySet, PolicyTests, Recorded, replay};

use crate::{caller, create, policies};

const RULES: &str = r#"
@id("small")
permit (principal in Tollbook::Group::"ci-web", action in Tollbook::Action::"messages", resource)
when { context has model && context.model like "claude-haiku-*" };

@id("ended") @expires("2020-01-01")
permit (principal, action, resource);

@id("keys") @reason("take the key out") @labels("T4711")
forbid (principal, action, resource) when { context.findings.contains("aws-key") };

@id("opus") @approval("leads:1")
forbid (principal, action, resource) when { context has model && context.model like "claude-opus-*" };

@id("trial") @mode("shadow")
forbid (principal, action, resource) when { context has stream && context.stream };

@id("sum")
forbid (principal, action == Tollbook::Action::"models.get", resource)
when { context.time + 9223372036854775807 < 0 };

@id("elsewhere")
forbid (principal, action, resource == Tollbook::Connection::"lab");
"#;

fn set(text: &str) -> PolicySet {
    let builder = PolicySet::builder().allow("claude", ["ci-payments".to_owned()]);
    let builder = builder.allow("lab", []);
    builder.file("rules.cedar", text).build().unwrap()
}

fn at() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

#[test]
fn an_explanation_says_what_each_policy_had_to_say() {
    let set = set(RULES);
    let found = [Finding::new("aws-key", "request.body", Operator::Redact, 1)];
    let caller = caller(&["ci-web", "ci-payments"]);
    let large = create().with("model", "claude-opus-4-5");
    let why = set.explain(&caller, "claude", "claude", &large, &found, at());
    let results: Vec<(&str, PolicyResult, usize)> = (why.considered.iter())
        .map(|one| (one.id.as_str(), one.result, one.line))
        .collect();
    assert_eq!(
        results,
        [
            ("keys", PolicyResult::Determined, 9),
            ("opus", PolicyResult::Applies, 12),
            ("connection.claude.allow", PolicyResult::Applies, 1),
            ("trial", PolicyResult::Applies, 15),
            ("tollbook.unscanned", PolicyResult::ConditionFailed, 2),
            ("small", PolicyResult::ConditionFailed, 2),
            ("ended", PolicyResult::Expired, 6),
        ]
    );
    assert_eq!(why.decision.verdict, Verdict::Deny);
    let text = why.to_string();
    let expected = format!(
        "deny by keys: take the key out\n\
         on trial: trial would have decided otherwise\n\
         at 2026-01-05T09:00:00.000000Z, 7 of 10 policies, {}\n  \
         keys (forbid, rules.cedar:9): determined the decision; T4711\n  \
         opus (approval, rules.cedar:12): applies; asks leads:1\n",
        set.hash()
    );
    assert!(text.starts_with(&expected), "{text}");
    let json = serde_json::to_value(&why).unwrap();
    assert_eq!(json["decision"]["verdict"], "deny");
    assert_eq!(json["considered"][0]["result"], "determined");
    assert_eq!(json["considered"][1]["approval"], json!(["leads:1"]));
}

#[test]
fn an_explanation_tells_failures_and_unknown_groups() {
    let set = set(RULES);
    let get = tollbook_exchange::Action::new("models.get");
    let unknown = caller(&[]).with_groups(Groups::Unknown);
    let why = set.explain(&unknown, "claude", "claude", &get, &[], at());
    assert!(!why.groups_known);
    assert!(
        why.to_string()
            .starts_with("deny: sum cannot be evaluated\n")
    );
    let failed = why.considered.iter().find(|one| one.id == "sum").unwrap();
    assert_eq!(failed.result, PolicyResult::Failed);
    // A permit that mentions a group has no part.
    assert!(
        why.considered
            .iter()
            .all(|one| one.id != "connection.claude.allow")
    );
    let unfit = set.explain(
        &unknown,
        "claude",
        "claude",
        &get.with("x", true),
        &[],
        at(),
    );
    assert_eq!(unfit.decision.errors, ["tollbook.facts"]);
}

fn exchange(decision: Value) -> Value {
    json!({
        "id": "x-1", "session": "s", "connection": "claude", "protocol": "claude",
        "started": "2026-01-05T09:00:00.000000Z", "ended": null,
        "principal": serde_json::to_value(caller(&["ci-payments"])).unwrap(),
        "action": serde_json::to_value(create()).unwrap(),
        "decision": decision,
        "findings": [
            { "rule": "aws-key", "place": "response.body", "operator": "redact", "count": 1 },
            { "rule": "email", "place": "request.header:x-note", "operator": "redact", "count": 1 },
            { "rule": "jwt", "place": "request.body:messages[].content", "operator": "redact", "count": 1 },
        ],
        "outcome": "complete",
    })
}

fn decided(verdict: &str) -> Value {
    json!({ "verdict": verdict, "rules": ["connection.claude.allow"], "policy_hash": "sha256:" })
}

#[test]
fn a_replay_lists_what_would_change() {
    let recorded = |decision| Recorded::from_exchange_json(&exchange(decision)).unwrap();
    let then = recorded(decided("allow"));
    assert_eq!(then.findings.len(), 1, "only what was before the policies");
    let report = replay([&then], &policies(""));
    assert_eq!((report.same, report.changed), (1, vec![]));

    let no_tokens = "@id(\"no-jwt\") forbid (principal, action, resource) when { context.findings.contains(\"jwt\") };";
    let keys = "@id(\"keys\") forbid (principal, action, resource) when { context.findings.contains(\"aws-key\") };";
    let report = replay([&then, &recorded(decided("deny"))], &policies(no_tokens));
    assert_eq!(report.same, 1);
    assert_eq!(
        serde_json::to_value(&report.changed).unwrap(),
        json!([{ "id": "x-1", "was": "allow", "now": "deny", "rules": ["no-jwt"] }])
    );
    assert_eq!(replay([&then], &policies(keys)).same, 1);

    // An approval that was given is no permission by a rule.
    let mut approved = decided("allow");
    approved["approval"] = json!("apr_1");
    approved["requires"] = json!([{ "rule": "ask", "group": "leads", "people": 1 }]);
    let ask = |people: u32| {
        policies(&format!(
            "@id(\"asks\") @approval(\"leads:{people}\") forbid (principal, action, resource);"
        ))
    };
    assert_eq!(replay([&recorded(approved.clone())], &ask(1)).same, 1);
    let report = replay([&recorded(approved)], &ask(2));
    assert_eq!(report.changed[0].was, Verdict::Approve);
    assert_eq!(report.changed[0].requires[0].people, 2);
}

#[test]
fn a_replay_is_about_the_time_of_the_exchange() {
    let morning = "@id(\"noon\") forbid (principal, action, resource) when { context.hour >= 12 };";
    let mut later = exchange(decided("allow"));
    later["started"] = json!("2026-01-05T12:00:00.000000Z");
    let recorded = [
        Recorded::from_exchange_json(&exchange(decided("allow"))).unwrap(),
        Recorded::from_exchange_json(&later).unwrap(),
    ];
    let report = replay(&recorded, &policies(morning));
    assert_eq!((report.same, report.changed.len()), (1, 1));
    let why = recorded[1].explain(&policies(morning));
    assert_eq!(why.decision.rules, ["noon"]);
}

#[test]
fn an_exchange_that_was_not_judged_cannot_be_judged_again() {
    for part in [
        "id",
        "principal",
        "action",
        "decision",
        "findings",
        "started",
        "connection",
    ] {
        let mut missing = exchange(decided("allow"));
        missing[part] = Value::Null;
        let error = Recorded::from_exchange_json(&missing)
            .unwrap_err()
            .to_string();
        assert!(error.contains(&format!("`{part}` is missing")), "{error}");
        missing[part] = json!(7);
        let error = Recorded::from_exchange_json(&missing)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(&format!("`{part}` cannot be read")),
            "{error}"
        );
    }
}

#[test]
fn a_case_that_fails_keeps_the_set_from_loading() {
    let tests = r#"
[[case]]
name = "payments may"
principal = { groups = ["ci-payments"] }
facts = { body_scanned = true, model = "claude-opus-4-5" }
expect = "allow"
rules = ["connection.claude.allow"]
requires = []

[[case]]
name = "strangers may not"
facts = { body_scanned = true }
expect = "deny"

[[case]]
name = "a failure is not what was meant"
action = "models.get"
principal = { groups = ["ci-payments"] }
expect = "deny"
"#;
    let builder = PolicySet::builder().allow("claude", ["ci-payments".to_owned()]);
    let builder = builder.allow("lab", []).file("rules.cedar", RULES);
    let error = builder
        .clone()
        .tests("rules.test.toml", tests)
        .build()
        .unwrap_err();
    let found: Vec<String> = error.mistakes().iter().map(ToString::to_string).collect();
    assert_eq!(
        found,
        [
            "rules.test.toml:2: case `payments may`: verdict: expected allow, got approve by opus; \
             rules: expected connection.claude.allow, got opus; requires: expected none, got leads:1",
            "rules.test.toml:15: case `a failure is not what was meant`: errors: expected none, got sum",
        ]
    );
    let set = builder.clone().build().unwrap();
    let passing = tests.split("[[case]]\nname = \"a failure").next().unwrap();
    let passing = passing.replace("claude-opus-4-5", "claude-haiku-4-5");
    let with_tests = builder.tests("rules.test.toml", passing).build().unwrap();
    assert_eq!(with_tests.hash(), set.hash(), "tests have no say");
}

#[test]
fn a_table_with_mistakes_names_them_all() {
    let error = PolicyTests::parse(
        "a.test.toml",
        r#"
[default]
expect = "allow"

[[case]]
name = "a"
action = "messages.creat"
facts = { modle = "x", stream = "yes", findings = [], max_tokens = 1.5 }
principal = { kind = "robot", groups = "some", claim = {} }
expect = "permit"
at = "yesterday"
findings = [7]

[[case]]
name = "a"
expect = "deny"

[[case]]
facts = {}
"#,
    )
    .unwrap_err();
    let found: Vec<String> = error.mistakes().iter().map(ToString::to_string).collect();
    for expected in [
        "a.test.toml:3: unknown key `expect`",
        "a.test.toml:7: there is no action `messages.creat`: did you mean `messages.create`?",
        "a.test.toml:8: there is no fact `modle`: did you mean `model`?",
        "a.test.toml:8: the fact `stream` has another type or is the engine's own",
        "a.test.toml:8: the fact `findings` has another type or is the engine's own",
        "a.test.toml:8: a fact is true or false, a whole number, a string or a list of strings",
        "a.test.toml:9: `kind` is one of ci, human, service",
        "a.test.toml:9: `groups` must be a list of strings",
        "a.test.toml:9: unknown key `claim`: did you mean `claims`?",
        "a.test.toml:10: `expect` is one of allow, deny, approve",
        "a.test.toml:11: `at` must be a time as RFC 3339 has it",
        "a.test.toml:12: a finding is the id of a rule, or `{ rule, count }`",
        "a.test.toml:18: `name` is missing",
        "a.test.toml:18: `expect` is missing",
    ] {
        assert!(
            found.iter().any(|found| found.starts_with(expected)),
            "{expected}: {found:#?}"
        );
    }
}

#[test]
fn two_cases_of_one_name_are_a_mistake() {
    let case = "[[case]]\nname = \"a\"\nexpect = \"deny\"\n";
    let error = PolicyTests::parse("a", &case.repeat(2)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a:4: the name is taken by the case in line 1"
    );
}

/// A gate that judges tool calls "where the policies are about them" has to know where that is.
#[test]
fn a_set_knows_whether_it_is_about_tool_calls() {
    for (rule, expected) in [
        ("permit (principal, action, resource);", false),
        (
            "forbid (principal, action, resource) when { context has model && context.model == \"m\" };",
            false,
        ),
        (
            "permit (principal, action in Tollbook::Action::\"messages\", resource);",
            false,
        ),
        (
            "forbid (principal, action in Tollbook::Action::\"messages\", resource) when { context has labels };",
            false,
        ),
        (
            "forbid (principal, action == Tollbook::Action::\"tool.call\", resource);",
            true,
        ),
        (
            "permit (principal, action in Tollbook::Action::\"tools\", resource);",
            true,
        ),
        (
            "forbid (principal, action, resource) when { context has labels && context.labels.contains(\"publish\") };",
            true,
        ),
        (
            "forbid (principal, action, resource) unless { context has risk && context.risk < 50 };",
            true,
        ),
        (
            "forbid (principal, action, resource) when { context has tool && context.tool == \"Bash\" };",
            true,
        ),
    ] {
        let set = PolicySet::builder()
            .allow("claude", ["ci".to_owned()])
            .file("a.cedar", format!("@id(\"a\")\n{rule}"))
            .build()
            .unwrap();
        assert_eq!(set.judges_calls(), expected, "{rule}");
    }
    let none = PolicySet::builder()
        .allow("claude", ["ci".to_owned()])
        .build();
    assert!(!none.unwrap().judges_calls(), "built-in rules do not count");
}
