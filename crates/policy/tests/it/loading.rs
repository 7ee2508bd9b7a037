//! What a set may be made of.

use tollbook_policy::{BUILT_IN, PolicySet, PolicySetBuilder, SCHEMA};

fn mistakes(builder: PolicySetBuilder) -> Vec<String> {
    let error = builder.build().unwrap_err();
    assert_eq!(error.to_string().lines().count(), error.mistakes().len());
    error.mistakes().iter().map(ToString::to_string).collect()
}

#[test]
fn every_mistake_is_reported_at_once() {
    let found = mistakes(
        PolicySet::builder()
            .file("a.cedar", "@id(\"a\")\npermit (principal, action, resource)\nwhen { context has modle && context.modle == \"x\" };")
            .file("b.cedar", "permit (principal, action, resource);\n@id(\"b\") permit (principal, action == Tollbook::Action::\"messages.creat\", resource);")
            .file("c.cedar", "@id(\"c\") permit (principal, action, resource)"),
    );
    let starts: Vec<&str> = found
        .iter()
        .map(|mistake| mistake.split(": ").next().unwrap_or_default())
        .collect();
    assert!(starts.contains(&"a.cedar:3"), "{found:#?}");
    assert!(starts.contains(&"b.cedar:1"), "{found:#?}");
    assert!(starts.contains(&"b.cedar:2"), "{found:#?}");
    assert!(starts.contains(&"c.cedar:1"), "{found:#?}");
}

#[test]
fn a_misspelt_attribute_is_named_with_its_line() {
    let found = mistakes(PolicySet::builder().file(
        "a.cedar",
        "@id(\"a\")\nforbid (principal, action, resource)\nwhen {\n  context.finding_cuont > 3\n};",
    ));
    assert!(
        found[0].starts_with("a.cedar:4: ") && found[0].contains("finding_count"),
        "{found:#?}"
    );
}

#[test]
fn a_misspelt_attribute_does_not_hide_behind_has() {
    let found = mistakes(PolicySet::builder().file(
        "a.cedar",
        "@id(\"a\")\nforbid (principal, action, resource)\nwhen {\n  context has stream ||\n  context has findigs\n};",
    ));
    assert_eq!(
        found,
        ["a.cedar:5: `context` never has `findigs`: did you mean `findings`?"]
    );
}

#[test]
fn an_optional_fact_must_be_asked_for_first() {
    let found = mistakes(PolicySet::builder().file(
        "a.cedar",
        "@id(\"a\")\nforbid (principal, action, resource)\nwhen { context.model == \"x\" };",
    ));
    assert!(found[0].starts_with("a.cedar:3: "), "{found:#?}");
}

#[test]
fn a_rule_that_can_never_apply_is_a_mistake() {
    let found = mistakes(PolicySet::builder().file(
        "a.cedar",
        "\n@id(\"a\") forbid (principal, action, resource) when { principal is Tollbook::Group };",
    ));
    assert!(found[0].starts_with("a.cedar:2: "), "{found:#?}");
}

#[test]
fn ids_are_unique_over_all_texts() {
    let permit = |id| format!("@id(\"{id}\") permit (principal, action, resource);\n");
    assert_eq!(
        mistakes(
            PolicySet::builder()
                .allow("claude", ["a".to_owned()])
                .file("a.cedar", permit("x") + &permit("y"))
                .file("b.cedar", permit("z") + &permit("x"))
                .file("c.cedar", permit("connection.claude.allow"))
                .file("d.cedar", permit("tollbook.unscanned"))
        ),
        [
            "b.cedar:2: the id `x` is taken by a.cedar:1",
            "c.cedar:1: the id `connection.claude.allow` is taken by connection \"claude\":1",
            "d.cedar:1: the id `tollbook.unscanned` is taken by tollbook.cedar:2",
        ]
    );
    assert_eq!(
        mistakes(
            PolicySet::builder()
                .file("a.cedar", permit("x"))
                .file("a.cedar", permit("y"))
        ),
        ["a.cedar: the name is taken"]
    );
}

#[test]
fn the_hash_names_the_texts_and_not_their_order() {
    let text = "@id(\"x\") permit (principal, action, resource);";
    let other = "@id(\"y\") permit (principal, action, resource);";
    let hash = |files: &[(&str, &str)], groups: &[&str]| {
        let mut builder = PolicySet::builder();
        for group in groups {
            builder = builder.allow(format!("to-{group}"), [(*group).to_owned()]);
        }
        for (name, text) in files {
            builder = builder.file(*name, *text);
        }
        builder.build().unwrap().hash().to_owned()
    };
    let one = hash(&[("a", text), ("b", other)], &["g", "h"]);
    assert!(one.starts_with("sha256:") && one.len() == 71);
    assert_eq!(one, hash(&[("b", other), ("a", text)], &["h", "g"]));
    let with_blank = format!("{text} ");
    for different in [
        hash(&[("a", &with_blank), ("b", other)], &["g", "h"]),
        hash(&[("c", text), ("b", other)], &["g", "h"]),
        hash(&[("a", other), ("b", text)], &["g", "h"]),
        hash(&[("a", text), ("b", other)], &["g"]),
        hash(&[("a", text), ("b", other), ("c", "")], &["g", "h"]),
        hash(&[], &[]),
    ] {
        assert_ne!(one, different);
    }
    // What has a say without being a text counts as well, and so does the zone.
    let with = |change: fn(PolicySetBuilder) -> PolicySetBuilder| {
        change(PolicySet::builder())
            .build()
            .unwrap()
            .hash()
            .to_owned()
    };
    let plain = with(|builder| builder);
    assert_eq!(plain, with(|builder| builder.zone("UTC")));
    assert_ne!(plain, with(|builder| builder.zone("Europe/Berlin")));
    let detectors = with(|builder| builder.bound("detectors", "v1"));
    assert_ne!(plain, detectors);
    assert_ne!(detectors, with(|builder| builder.bound("detectors", "v2")));
    assert_ne!(
        detectors,
        with(|builder| builder.file("detectors", "v1\n".replace("v1", "//")))
    );
    // Where a name ends and its text begins counts too.
    assert_ne!(hash(&[("a", " ")], &[]), hash(&[("a ", "")], &[]));
}

#[test]
fn the_built_in_texts_load_alone() {
    let policies = PolicySet::builder().build().unwrap();
    assert_eq!(policies.len(), BUILT_IN.matches("@id(").count());
    assert!(SCHEMA.contains("namespace Tollbook"));
}

#[test]
fn the_schema_has_every_action() {
    for action in [
        "messages.create",
        "messages.count_tokens",
        "models.list",
        "models.get",
        "batches.create",
        "batches.list",
        "batches.get",
        "batches.cancel",
        "batches.results",
        "batches.delete",
        "files.upload",
        "files.list",
        "files.get",
        "files.content",
        "files.delete",
        "tool.call",
    ] {
        let text = format!(
            "@id(\"x\") forbid (principal, action == Tollbook::Action::{action:?}, resource);"
        );
        assert!(
            PolicySet::builder().file("a.cedar", text).build().is_ok(),
            "{action}"
        );
    }
}

#[test]
fn a_policy_about_a_connection_that_is_not_there_is_a_mistake() {
    let rule = "@id(\"a\")\nforbid (\n  principal, action,\n  resource == Tollbook::Connection::\"claudee\"\n);";
    let named = PolicySet::builder()
        .allow("claude", [])
        .file("a.cedar", rule);
    assert_eq!(
        mistakes(named),
        ["a.cedar:4: there is no connection `claudee`; did you mean `claude`?"]
    );
    // Who names no connections may have any.
    assert!(PolicySet::builder().file("a.cedar", rule).build().is_ok());
}

#[test]
fn a_window_or_pattern_is_checked_when_it_is_loaded() {
    let rule = |condition: &str| {
        let text = format!(
            "@id(\"a\")\nforbid (principal, action, resource)\nwhen {{\n  {condition}\n}};"
        );
        mistakes(PolicySet::builder().file("a.cedar", text))
    };
    assert_eq!(
        rule("context.windows.contains(\"mon-fry 08:00-18:00 UTC\")"),
        ["a.cedar:4: `fry` is no day; write mon, tue, wed, thu, fri, sat, sun"]
    );
    assert_eq!(
        rule("context.some.contains(\"tolos: bash\")"),
        ["a.cedar:4: there is no list `tolos`: did you mean `tools`?"]
    );
    assert_eq!(
        rule("context.every == [\"tools: bash\"]"),
        [
            "a.cedar:4: `context.every` is only there for `.contains(\"…\")` with the text written out"
        ]
    );
}

#[test]
fn an_expiring_policy_keeps_its_line_in_mistakes() {
    let found = mistakes(PolicySet::builder().file(
        "a.cedar",
        "@id(\"a\") @expires(\"2030-01-01\")\nforbid (principal, action, resource)\nwhen {\n  context.hour == \"x\"\n};",
    ));
    assert!(found[0].starts_with("a.cedar:4: "), "{found:#?}");
}
