//! The commands and their exit codes.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::TOLLBOOK;

fn tollbook(folder: &TempDir, arguments: &[&str]) -> Output {
    Command::new(TOLLBOOK)
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("TOLLBOOK_CONFIG")
        .env("HOME", folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn quickstart_once_shows_a_masked_record_and_verifies() {
    let folder = TempDir::new().unwrap();
    let once = tollbook(&folder, &["quickstart", "--once"]);
    assert_eq!(code(&once), 0, "{}", text(&once.stderr));
    let page = text(&once.stdout);
    assert!(page.contains("verified"), "{page}");
    assert!(
        page.contains("repo:acme/payments:ref:refs/heads/main (developers)"),
        "{page}"
    );
    assert!(
        page.contains("prompt     Is it a problem that my GitHub token is [REDACTED:"),
        "{page}"
    );
    assert!(
        page.matches("[REDACTED:").count() >= 2,
        "prompt and answer are masked: {page}"
    );
    assert!(page.contains("allow by connection.claude.allow"), "{page}");
    assert!(!page.contains("ghp_"), "{page}");

    // Not in the record, and nowhere else in the folder either.
    for entry in fs::read_dir(folder.path().join("tollbook-data")).unwrap() {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(9).any(|window| window == b"ghp_a1B2c"));
    }

    // Again on the same book, as JSON.
    let again = tollbook(&folder, &["quickstart", "--once", "--json"]);
    assert_eq!(code(&again), 0, "{}", text(&again.stderr));
    let value: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(value["exchange"]["outcome"], "complete");
    assert_eq!(value["exchange"]["ledger"]["index"], 3);

    let listed = tollbook(
        &folder,
        &["exchanges", "list", "--json", "--data", "tollbook-data"],
    );
    assert_eq!(text(&listed.stdout).lines().count(), 2);
}

#[test]
fn a_changed_book_is_told_by_exit_code_one() {
    let folder = TempDir::new().unwrap();
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    let journal = folder.path().join("tollbook-data/journal.db");
    let mut bytes = fs::read(&journal).unwrap();
    // The answer as the record has it, changed by one letter.
    let place = bytes
        .windows(12)
        .position(|window| window == b"\"verdict\":\"a")
        .unwrap();
    bytes[place + 11] = b'b';
    fs::write(&journal, bytes).unwrap();

    let verified = tollbook(&folder, &["verify", "--data", "tollbook-data"]);
    assert_eq!(code(&verified), 1, "{}", text(&verified.stdout));
    assert!(
        text(&verified.stdout).contains("index 0"),
        "{}",
        text(&verified.stdout)
    );
    let verified = tollbook(&folder, &["verify", "--json", "--data", "tollbook-data"]);
    let report: Value = serde_json::from_slice(&verified.stdout).unwrap();
    assert_eq!(report["faults"][0]["index"], 0, "{report}");
}

#[test]
fn check_lists_every_mistake_and_ends_with_two() {
    let folder = TempDir::new().unwrap();
    fs::create_dir(folder.path().join("policies")).unwrap();
    fs::write(
        folder.path().join("policies/a.cedar"),
        "@id(\"typo\")\npermit (principal, action, resource)\nwhen { context.modle == \"x\" };\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("tollbook.toml"),
        r#"[gateway]
lissten = "127.0.0.1:1"

[[issuer]]
name = "ci"
issuer = "http://plain.example"
audience = "tollbook"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "https://api.anthropic.com"
credential = { env = "NO_SUCH_VARIABLE" }

[policy]
path = "policies"

[masking]
rules = ["builtin", "rules/none.toml"]
"#,
    )
    .unwrap();
    let check = tollbook(&folder, &["check"]);
    assert_eq!(code(&check), 2);
    let told = text(&check.stderr);
    for part in [
        "line 2: unknown key `lissten`; did you mean `listen`?",
        "issuer `ci`:",
        "NO_SUCH_VARIABLE is not set",
        "policies/a.cedar",
        "rules/none.toml cannot be read",
    ] {
        assert!(told.contains(part), "`{part}` is missing in:\n{told}");
    }
    let check = tollbook(&folder, &["check", "--json"]);
    assert_eq!(code(&check), 2);
    let value: Value = serde_json::from_slice(&check.stdout).unwrap();
    assert_eq!(value["ok"], false);
    assert!(value["mistakes"].as_array().unwrap().len() >= 5);
    assert_eq!(code(&tollbook(&folder, &["serve"])), 2);
}

#[test]
fn exit_codes_tell_apart_no_wrong_and_unknown() {
    let folder = TempDir::new().unwrap();
    // Wrong use.
    assert_eq!(code(&tollbook(&folder, &["frobnicate"])), 2);
    assert_eq!(code(&tollbook(&folder, &["exchanges", "list"])), 2);
    assert_eq!(
        code(&tollbook(
            &folder,
            &["exchanges", "list", "--since", "yesterday", "--data", "."]
        )),
        2
    );
    // No book there: nothing can be told.
    assert_eq!(
        code(&tollbook(&folder, &["verify", "--data", "nowhere"])),
        3
    );
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    // No such exchange: the answer is no.
    let unknown = [
        "exchanges",
        "show",
        "00000000-0000-7000-8000-000000000000",
        "--data",
        "tollbook-data",
    ];
    assert_eq!(code(&tollbook(&folder, &unknown)), 1);
}

#[test]
fn help_and_completions_name_every_command() {
    let folder = TempDir::new().unwrap();
    let help = text(&tollbook(&folder, &["--help"]).stdout);
    let completions = tollbook(&folder, &["completions", "bash"]);
    assert_eq!(code(&completions), 0);
    for command in [
        "quickstart",
        "serve",
        "check",
        "exchanges",
        "verify",
        "completions",
    ] {
        assert!(help.contains(command), "{help}");
        assert!(text(&completions.stdout).contains(command));
    }
}

#[test]
fn tail_prints_what_is_there_and_what_comes() {
    use std::io::{BufRead, BufReader};

    let folder = TempDir::new().unwrap();
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    let mut tail = Command::new(TOLLBOOK)
        .args(["exchanges", "tail", "--json", "--data", "tollbook-data"])
        .current_dir(folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap() };
    let first = next();
    assert_eq!(code(&tollbook(&folder, &["quickstart", "--once"])), 0);
    let second = next();
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_ne!(first["id"], second["id"]);
    assert_eq!(
        (&first["outcome"], &second["outcome"]),
        (&"complete".into(), &"complete".into())
    );
}
