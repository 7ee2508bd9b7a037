//! `tollbook policy` and `tollbook check`: what policies say before, while and after they are in force.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::{Stage, TOLLBOOK};

/// A configuration that needs nothing from anywhere.
const CONFIGURATION: &str = r#"
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
data = "book"

[[issuer]]
name = "ci"
preset = "github-actions"
audience = "tollbook"

[[issuer]]
name = "corp"
issuer = "https://sso.example"
audience = "tollbook"
kind = "human"

[[federation]]
id = "payments-ci"
issuer = "ci"
claims = { repository_id = "123456" }
groups = ["ci-payments"]

[[connection]]
name = "claude"
protocol = "claude"
upstream = "https://api.anthropic.com"
credential = { env = "STAND_IN_KEY" }
allow = ["developers"]
tools = "judge"
approvals = { mode = "fail_fast" }

[policy]
path = "policies"

[[person]]
name = "ana"
accounts = ["corp/ana"]

[[budget]]
id = "daily"
per = "principal"
requests = 1000
window = "24h"

[admin]
operator = ["platform"]

[approvals]
break_glass = ["oncall"]
webhook = [{ url = "https://hooks.example/secret-path", secret = { env = "HOOK_SECRET" } }]
"#;

/// In Cedar, one that has expired among them.
const CEDAR: &str = r#"
@id("careful-model")
@approval("leads:1")
@reason("a lead looks first")
forbid (principal, action in Tollbook::Action::"messages", resource)
when { context has model && context.model == "claude-careful" };

@id("last-year")
@expires("2025-12-31")
forbid (principal, action, resource);
"#;

const SHORT: &str = r#"
[[rule]]
id = "payments"
groups = ["ci-payments"]
models = ["claude-haiku-*"]
"#;

const TESTS: &str = r#"
[default]
action = "messages.create"

[[case]]
name = "payments may use small models"
principal = { groups = ["ci-payments"] }
facts = { body_scanned = true, model = "claude-haiku-4-5", models = ["claude-haiku-4-5"] }
expect = "allow"

[[case]]
name = "a careful model waits"
principal = { groups = ["developers"] }
facts = { body_scanned = true, model = "claude-careful", models = ["claude-careful"] }
expect = "approve"
requires = ["leads:1"]
"#;

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn printed(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}", text(&output.stderr));
    text(&output.stdout)
}

fn tollbook(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(TOLLBOOK)
        .args(arguments)
        .current_dir(folder)
        .env_remove("TOLLBOOK_CONFIG")
        .env("STAND_IN_KEY", "sk-ant-of-the-gateway")
        .env("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("tollbook.toml"), CONFIGURATION).unwrap();
    let policies = folder.path().join("policies");
    fs::create_dir(&policies).unwrap();
    fs::write(policies.join("a.cedar"), CEDAR).unwrap();
    fs::write(policies.join("b.toml"), SHORT).unwrap();
    fs::write(policies.join("c.test.toml"), TESTS).unwrap();
    folder
}

/// `check` shows all that would run, and what to look at. It shows no secret.
#[test]
fn check_shows_what_would_run() {
    let folder = folder();
    let page = printed(&tollbook(folder.path(), &["check"]));
    let lines: Vec<String> = page
        .lines()
        .map(|line| {
            // Hashes and counts of built-in rules change with them.
            let word = line.split_whitespace().next().unwrap_or_default();
            match word {
                "policies" | "rules" | "detectors" => format!("  {word}"),
                _ => line.to_owned(),
            }
        })
        .collect();
    let expected = "tollbook.toml is right
  book       book
  admin      http://127.0.0.1:0/readyz
  issuers    ci, corp
  federation payments-ci
  policies
  warning    policies/a.cedar:8: `last-year` expired with 2025-12-31
  rules
  detectors
  budgets    daily
  people     ana
  operators  platform
  emergency  oncall
  announces  webhook hooks.example
http://127.0.0.1:0/claude
  upstream   https://api.anthropic.com (claude)
  allow      developers
  durable    requests before they are forwarded; what cannot be recorded is refused
  masks      the record
  tool calls judged before they are released
  approvals  requests that need one are turned away until they have it";
    assert_eq!(lines.join("\n"), expected);
    let json = printed(&tollbook(folder.path(), &["check", "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["plan"]["federation"][0], "payments-ci");
    assert_eq!(json["plan"]["people"][0], "ana");
    assert_eq!(json["plan"]["connections"][0]["judges_tools"], true);
    for output in [&page, &json.to_string()] {
        for secret in ["sk-ant-", "whsec_", "secret-path"] {
            assert!(!output.contains(secret), "{output}");
        }
    }
}

#[test]
fn tests_of_policies_pass_fail_or_are_wrong() {
    let folder = folder();
    let run = |arguments: &[&str]| {
        tollbook(
            folder.path(),
            &[&["policy", "test"][..], arguments].concat(),
        )
    };
    let page = printed(&run(&[]));
    assert_eq!(
        page,
        "✓ payments may use small models (policies/c.test.toml:5)\n\
         ✓ a careful model waits (policies/c.test.toml:11)\n\
         2 passed, 0 failed\n"
    );
    let json = printed(&run(&["--json"]));
    let first: Value = serde_json::from_str(json.lines().next().unwrap()).unwrap();
    assert_eq!(first["case"], "payments may use small models");

    // One that fails: the answer is no, and says what is different.
    let tests = folder.path().join("policies/c.test.toml");
    fs::write(
        &tests,
        TESTS.replace("expect = \"allow\"", "expect = \"deny\""),
    )
    .unwrap();
    let failed = run(&[]);
    assert_eq!(code(&failed), 1);
    let page = text(&failed.stdout);
    assert!(page.contains("✗ policies/c.test.toml:5: "), "{page}");
    assert!(page.contains("1 passed, 1 failed"), "{page}");
    // Then nothing runs with these policies either.
    assert_eq!(code(&tollbook(folder.path(), &["check"])), 2);
    assert_eq!(code(&tollbook(folder.path(), &["policy", "print"])), 2);

    // A mistake: neither yes nor no.
    fs::write(&tests, TESTS.replace("expect =", "expects =")).unwrap();
    let wrong = run(&[]);
    assert_eq!(code(&wrong), 2);
    assert!(
        text(&wrong.stderr).contains("`expect"),
        "{}",
        text(&wrong.stderr)
    );
    // Another folder than that of the configuration.
    let other = folder.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("a.cedar"), CEDAR).unwrap();
    assert_eq!(
        printed(&run(&["--policies", "other"])),
        "0 passed, 0 failed\n"
    );
    assert_eq!(code(&run(&["--policies", "nowhere"])), 2);
}

#[test]
fn policies_are_printed_in_cedar() {
    let folder = folder();
    let print = |arguments: &[&str]| {
        tollbook(
            folder.path(),
            &[&["policy", "print"][..], arguments].concat(),
        )
    };
    let all = printed(&print(&[]));
    for part in [
        "// policies/a.cedar\n",
        "// policies/b.toml\n",
        "@id(\"payments\")",
    ] {
        assert!(all.contains(part), "{part}: {all}");
    }
    let one = printed(&print(&["policies/b.toml"]));
    assert!(one.starts_with("@id(\"payments\")\npermit (\n"), "{one}");
    assert!(!one.contains("careful-model"), "{one}");
    let none = print(&["policies/z.toml"]);
    assert_eq!(code(&none), 1);
    let told = text(&none.stderr);
    assert!(
        told.contains("policies/b.toml"),
        "the names are told: {told}"
    );
}

/// What is in the book is judged again: as it was, and as it would be.
#[test]
fn recorded_exchanges_are_explained_and_replayed() {
    let stage = Stage::with("", "", "");
    let token = stage.token("asks");
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "one"), 200);
    assert_eq!(stage.ask(&token, "claude-sonnet-4-5", "two"), 200);
    assert_eq!(stage.ask(&token, "claude-forbidden", "three"), 403);
    assert_eq!(stage.ask("nonsense", "claude-haiku-4-5", "four"), 401);
    let asked = stage.exchanges(4, |_| true);
    let id = |place: usize| asked[place]["id"].as_str().unwrap();
    let run = |arguments: &[&str]| tollbook(stage.folder(), arguments);

    let denied = printed(&run(&["policy", "explain", id(2)]));
    for part in [
        &format!("exchange {}\n", id(2)),
        "  then       deny by no-forbidden-model\n",
        "  now        deny by no-forbidden-model: this model is not approved for pipelines\n",
        "connection.claude.allow",
    ] {
        assert!(denied.contains(part), "{part}: {denied}");
    }
    assert!(!denied.contains("are others now"), "{denied}");
    let json = printed(&run(&["policy", "explain", id(2), "--json"]));
    let json: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["same_policies"], true);
    assert_eq!(json["explanation"]["decision"]["verdict"], "deny");
    // Never judged, unknown, and no id.
    for (id, wanted) in [
        (id(3), 1),
        ("00000000-0000-7000-8000-000000000000", 1),
        ("nonsense", 2),
    ] {
        assert_eq!(code(&run(&["policy", "explain", id])), wanted, "{id}");
    }
    let without = run(&["policy", "explain", id(0), "--data", "nowhere"]);
    assert_eq!(code(&without), 3);

    // The same policies decide the same.
    let same = printed(&run(&["policy", "replay"]));
    assert!(
        same.starts_with("3 decided as they were, 0 in another way, "),
        "{same}"
    );
    // A candidate that denies one model and no longer forbids another.
    let candidate = stage.folder().join("candidate");
    fs::create_dir(&candidate).unwrap();
    fs::write(
        candidate.join("a.cedar"),
        "@id(\"no-sonnet\")\nforbid (principal, action, resource)\n\
         when { context has model && context.model like \"claude-sonnet-*\" };\n",
    )
    .unwrap();
    let changed = run(&["policy", "replay", "--policies", "candidate"]);
    assert_eq!(code(&changed), 1, "{}", text(&changed.stderr));
    let page = text(&changed.stdout);
    let rows: Vec<Vec<&str>> = page
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(rows[0], ["ID", "WAS", "NOW", "BY"]);
    let row = |id: &str| {
        rows.iter()
            .find(|row| row[0] == id)
            .map(|row| row[1..].to_vec())
    };
    assert_eq!(row(id(1)), Some(vec!["allow", "deny", "no-sonnet"]));
    assert_eq!(
        row(id(2)),
        Some(vec!["deny", "allow", "connection.claude.allow"])
    );
    assert_eq!(row(id(0)), None);
    let json = run(&["policy", "replay", "--policies", "candidate", "--json"]);
    assert_eq!(code(&json), 1);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["changed"].as_array().unwrap().len(), 2);
    assert_eq!(json["same"], 1);
    // With the candidate, the explanation says that it is not what was asked then.
    let other = printed(&run(&[
        "policy",
        "explain",
        id(1),
        "--policies",
        "candidate",
    ]));
    assert!(other.contains("are others now than then"), "{other}");
    assert!(other.contains("deny by no-sonnet"), "{other}");

    fs::write(candidate.join("b.cedar"), "forbid (").unwrap();
    let wrong = run(&["policy", "replay", "--policies", "candidate"]);
    assert_eq!(code(&wrong), 2);
    let nowhere = run(&["policy", "replay", "--data", "nowhere"]);
    assert_eq!(code(&nowhere), 3);
    stage.end();
}

/// All of the new policies or none: by the admin API, and by a signal.
#[test]
fn policies_are_loaded_anew_or_stay() {
    let stage = Stage::with("", "", "");
    let (pia, vera) = (
        stage.person("pia", &["platform"]),
        stage.person("vera", &["nobody"]),
    );
    let token = stage.token("asks");
    let file = stage.folder().join("policies/more.cedar");
    let forbid = |model: &str| {
        let policy = format!(
            "@id(\"no-more\")\nforbid (principal, action, resource)\n\
             when {{ context has model && context.model == \"{model}\" }};\n"
        );
        fs::write(&file, policy).unwrap();
    };
    let show = || {
        let shown = stage.manage(&pia, &["policy", "show", "--json"]);
        let shown: Value = serde_json::from_str(&printed(&shown)).unwrap();
        shown["hash"].as_str().unwrap().to_owned()
    };
    let first = show();
    let page = printed(&stage.manage(&pia, &["policy", "show"]));
    assert!(
        page.starts_with(&format!("  hash       {first}\n")),
        "{page}"
    );
    // Who may not, who cannot say who they are, and nobody there.
    assert_eq!(code(&stage.manage(&vera, &["policy", "show"])), 1);
    assert_eq!(code(&stage.manage(&vera, &["policy", "reload"])), 1);
    assert_eq!(code(&stage.manage(&token, &["policy", "reload"])), 1);
    let unknown = Command::new(TOLLBOOK)
        .args(["policy", "show", "--gateway", &stage.admin])
        .env_remove("TOLLBOOK_TOKEN")
        .output()
        .unwrap();
    assert_eq!(code(&unknown), 2);
    let nobody = Command::new(TOLLBOOK)
        .args(["policy", "show", "--gateway", "http://127.0.0.1:1"])
        .env("TOLLBOOK_TOKEN", &pia)
        .output()
        .unwrap();
    assert_eq!(code(&nobody), 3);

    forbid("claude-haiku-4-5");
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "before"), 200);
    let loaded = printed(&stage.manage(&pia, &["policy", "reload"]));
    let second = show();
    assert_eq!(loaded, format!("loaded: {second} in place of {first}\n"));
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "after"), 403);
    let again = printed(&stage.manage(&pia, &["policy", "reload"]));
    assert_eq!(again, "loaded; the policies are the same as before\n");

    fs::write(&file, "forbid (principal, action, resource);").unwrap();
    let wrong = stage.manage(&pia, &["policy", "reload"]);
    assert_eq!(code(&wrong), 1);
    let told = text(&wrong.stderr);
    assert!(told.contains("policies/more.cedar:1"), "{told}");
    assert_eq!(show(), second, "those in force stay");

    // By a signal. What came of it is in the book.
    let reloads = |outcome: &str| {
        let of =
            |found: &Value| found["action"] == "policy.reloaded" && found["outcome"] == outcome;
        stage.exchanges(0, of).len()
    };
    let until = |outcome: &str, count: usize| {
        let of =
            |found: &Value| found["action"] == "policy.reloaded" && found["outcome"] == outcome;
        assert_eq!(stage.exchanges(count, of).len(), count, "{outcome}");
    };
    let (good, bad) = (reloads("complete"), reloads("denied"));
    assert_eq!((good, bad), (2, 1));
    forbid("claude-sonnet-4-5");
    stage.signal("HUP");
    until("complete", good + 1);
    let third = show();
    assert_ne!(third, second);
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "allowed again"), 200);
    assert_eq!(stage.ask(&token, "claude-sonnet-4-5", "not any more"), 403);
    fs::write(&file, "forbid (").unwrap();
    stage.signal("HUP");
    until("denied", bad + 1);
    assert_eq!(show(), third);
    assert_eq!(stage.ask(&token, "claude-sonnet-4-5", "still not"), 403);
    stage.end();
}
