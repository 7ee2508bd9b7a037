//! Rules in the short form.

use tollbook_exchange::{Action, Verdict};
use tollbook_policy::{PolicySet, PolicySetBuilder};

use crate::{ask, caller, create};

fn mistakes(builder: PolicySetBuilder) -> Vec<String> {
    let error = builder.build().unwrap_err();
    error.mistakes().iter().map(ToString::to_string).collect()
}

fn short(text: &str) -> PolicySetBuilder {
    PolicySet::builder().short("rules.toml", text)
}

#[test]
fn every_key_stands_in_the_text_it_is_made_into() {
    let set = short(
        r#"
        [[rule]]
        id = "it's \"all\""
        groups = ["a", "b"]
        connections = ["claude", "lab"]
        actions = ["messages", "tool.call"]
        models = ["claude-haiku-*", "claude-sonnet-4-5"]
        tools = { allow = ["read_*"], deny = ["read_secrets"] }
        max_tokens = 8_192
        hours = { from = "22:00", to = "06:00", days = ["mon-fri", "sun"] }
        labels_deny = ["sql.*"]
        findings_deny = ["aws-*"]
        approval = "leads:1"
        reason = "ask first"
        expires = "2027-01-31"
        mode = "shadow"
        "#,
    )
    .zone("Europe/Berlin")
    .build()
    .unwrap();
    let scope = r#"  principal,
  action in [Tollbook::Action::"messages", Tollbook::Action::"tool.call"],
  resource
)
when { principal in [Tollbook::Group::"a", Tollbook::Group::"b"] }
when { resource in [Tollbook::Connection::"claude", Tollbook::Connection::"lab"] }
"#;
    let limits = r#"when { !(action in [Tollbook::Action::"messages", Tollbook::Action::"batches.create"]) || context.every.contains("models: claude-haiku-* claude-sonnet-4-5") }
when { !(action in [Tollbook::Action::"messages", Tollbook::Action::"batches.create", Tollbook::Action::"tools"]) || context.every.contains("tools: read_*") }
when { !(action in [Tollbook::Action::"messages.create", Tollbook::Action::"batches.create"]) || (context has max_tokens && context.max_tokens <= 8192) }
when { context.windows.contains("mon-fri,sun 22:00-06:00 Europe/Berlin") };
"#;
    let end = "@expires(\"2027-01-31\")\n@mode(\"shadow\")\n";
    let id = r#"@id("it\'s \"all\""#;
    let denial = |name: &str, literal: &str| {
        format!(
            "@id(\"it\\'s \\\"all\\\".{name}\")\n@reason(\"ask first\")\n{end}forbid (\n{scope}when {{ context.some.contains(\"{literal}\") }};\n\n"
        )
    };
    let expected = format!(
        "{id}\")\n{end}permit (\n{scope}{limits}\n\
         @id(\"it\\'s \\\"all\\\".approval\")\n@reason(\"ask first\")\n@approval(\"leads:1\")\n{end}forbid (\n{scope}{limits}\n\
         {}{}{}",
        denial("tools", "tools: read_secrets"),
        denial("labels", "labels: sql.*"),
        denial("findings", "findings: aws-*"),
    );
    assert_eq!(set.to_cedar("rules.toml"), Some(expected.as_str()));
}

#[test]
fn limits_do_not_pass_what_says_nothing() {
    let set = short(
        "[[rule]]\nid = \"r\"\ngroups = [\"g\"]\nmodels = [\"*\"]\n\
         [[rule]]\nid = \"t\"\ngroups = [\"h\"]\ntools = { allow = [\"*\"] }\n\
         [[rule]]\nid = \"m\"\ngroups = [\"i\"]\nmax_tokens = 10\n",
    )
    .build()
    .unwrap();
    let silent = Action::new("messages.create").with("body_scanned", true);
    for group in ["g", "h", "i"] {
        let decision = ask(&set, &caller(&[group]), &silent);
        assert_eq!(decision.verdict, Verdict::Deny, "{group}");
        let batch = Action::new("batches.create").with("body_scanned", true);
        assert!(!ask(&set, &caller(&[group]), &batch).is_allow(), "{group}");
        // An action that is about none of these.
        let list = Action::new("models.list");
        assert!(ask(&set, &caller(&[group]), &list).is_allow(), "{group}");
    }
    assert!(ask(&set, &caller(&["g"]), &create()).is_allow());
    let small = silent.with("max_tokens", 10_i64);
    assert!(ask(&set, &caller(&["i"]), &small).is_allow());
    assert!(!ask(&set, &caller(&["i"]), &small.with("max_tokens", 11_i64)).is_allow());
}

#[test]
fn every_mistake_has_the_line_of_the_short_form() {
    let found = mistakes(
        short(
            r#"[[rule]]
id = "a"
groups = ["g"]
modles = ["x"]
actions = ["mesages"]
hours = { from = "8:00", zone = "Europe/Berlni" }

[[rule]]
groups = ["g"]
tools = { alow = ["x"] }
max_tokens = "many"

[[rule]]
id = "c"
groups = ["g"]
connections = ["claude",
  "claudee"]
approval = "leads"
mode = "shadwo"

[[rule]]
id = "d"
groups = []
models = ["a b"]
expires = "soon"
"#,
        )
        .allow("claude", []),
    );
    let expected = [
        "rules.toml:4: unknown key `modles`: did you mean `models`?",
        "rules.toml:1: there is no action `mesages`: did you mean `messages`?",
        "rules.toml:6: `hours`: `8:00` is no time of day; write `08:00`",
        "rules.toml:8: `id` is missing",
        "rules.toml:10: unknown key `alow`: did you mean `allow`?",
        "rules.toml:11: `max_tokens` must be a whole number",
        "rules.toml:23: `groups` is empty",
        "rules.toml:24: `a b` in `models` is no name or pattern",
    ];
    for expected in expected {
        assert!(
            found.iter().any(|found| found == expected),
            "{expected}: {found:#?}"
        );
    }
    // What Cedar's side says comes with the same lines.
    let starts = |start: &str| found.iter().any(|found| found.starts_with(start));
    assert!(
        starts("rules.toml:13: @approval(\"leads\") names no group"),
        "{found:#?}"
    );
    assert!(starts("rules.toml:13: @mode(\"shadwo\")"), "{found:#?}");
    assert!(starts("rules.toml:21: @expires(\"soon\")"), "{found:#?}");
    assert_eq!(mistakes(short("[[rule]\n")).len(), 1);
    assert_eq!(
        mistakes(short("[[rules]]\nid = \"x\"\n")),
        ["rules.toml:1: unknown key `rules`: did you mean `rule`?"]
    );
}

#[test]
fn an_unknown_connection_points_at_its_line() {
    let text = "[[rule]]\nid = \"c\"\ngroups = [\"g\"]\nconnections = [\"claudee\"]\n";
    assert_eq!(
        mistakes(short(text).allow("claude", [])),
        ["rules.toml:4: there is no connection `claudee`; did you mean `claude`?"]
    );
}

#[test]
fn what_has_no_effect_is_a_mistake() {
    let one = |text: &str| {
        let found = mistakes(short(text).allow("claude", ["ci".to_owned()]));
        assert_eq!(found.len(), 1, "{found:#?}");
        found[0].clone()
    };
    assert_eq!(
        one("[[rule]]\nid = \"a\"\ngroups = [\"ci\"]\nmodels = [\"x\"]\n"),
        "rules.toml:1: `models` limits nothing: connection `claude` allows `ci` everything; \
         leave the group to one of the two"
    );
    assert_eq!(
        one("[[rule]]\nid = \"a\"\ngroups = [\"x\"]\ntools = { deny = [\"bash\"] }\n"),
        "rules.toml:1: does this rule permit what it does not deny? \
         write `permit = true` or `permit = false`"
    );
    assert_eq!(
        one("[[rule]]\nid = \"a\"\ngroups = [\"x\"]\npermit = false\n"),
        "rules.toml:1: the rule permits nothing and denies nothing"
    );
    assert_eq!(
        one("[[rule]]\nid = \"a\"\nmodels = [\"x\"]\n"),
        "rules.toml:1: `groups` is missing: a rule that permits says whom"
    );
    // With approval the limit says what needs one, whoever permits it.
    let opus = "[[rule]]\nid = \"opus\"\ngroups = [\"ci\"]\nmodels = [\"claude-opus-*\"]\napproval = \"leads:1\"\n";
    let set = short(opus)
        .allow("claude", ["ci".to_owned()])
        .build()
        .unwrap();
    assert!(ask(&set, &caller(&["ci"]), &create()).is_allow());
    let large = create().with("model", "claude-opus-4-5");
    let decision = ask(&set, &caller(&["ci"]), &large);
    assert_eq!(decision.verdict, Verdict::Approve);
    assert_eq!(decision.rules, ["opus.approval"]);
}
