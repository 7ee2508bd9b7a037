//! `tollbook mask`, with a real standard input and output.

use std::{
    fs,
    io::{Read, Write},
    process::{Command, Output, Stdio},
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::stage::TOLLBOOK;

/// In two pieces, so that no tool takes it for a secret of ours.
fn token() -> String {
    ["ghp", "_a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"].concat()
}

fn mask(folder: &TempDir, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(TOLLBOOK)
        .arg("mask")
        .args(arguments)
        .current_dir(folder.path())
        .env_remove("TOLLBOOK_CONFIG")
        .env(
            "STAND_IN_MASKING_KEY",
            "not a key but as long as one must be",
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().unwrap();
    // A command that was called wrongly does not read.
    drop(writer.join().unwrap());
    output
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn what_must_not_be_seen_is_replaced_and_the_rest_stays() {
    let folder = TempDir::new().unwrap();
    let input = format!("a\r\nGITHUB_TOKEN={}\n\tb \u{e4}", token());
    let masked = mask(&folder, &[], input.as_bytes());
    assert_eq!(masked.status.code(), Some(0), "{}", text(&masked.stderr));
    let wanted = "a\r\nGITHUB_TOKEN=[REDACTED:github-pat]\n\tb \u{e4}";
    assert_eq!(text(&masked.stdout), wanted);
    for chunk in ["1", "7", "64"] {
        let masked = mask(&folder, &["--chunk", chunk], input.as_bytes());
        assert_eq!(text(&masked.stdout), wanted, "{chunk}");
    }
    // What is not UTF-8 passes as it is.
    let masked = mask(&folder, &[], b"\xff\x00\xfe");
    assert_eq!(masked.stdout, b"\xff\x00\xfe");
}

#[test]
fn findings_say_where_and_never_what() {
    let folder = TempDir::new().unwrap();
    let input = format!("first\nsecond {} third\n", token());
    for chunk in ["1", "1000"] {
        let told = mask(&folder, &["--findings", "--chunk", chunk], input.as_bytes());
        assert_eq!(told.status.code(), Some(0));
        let wanted = "2:8: github-pat (secret, 40 bytes at 13)\n";
        assert_eq!(text(&told.stdout), wanted);
    }
    fs::write(folder.path().join("a.txt"), &input).unwrap();
    fs::write(folder.path().join("b.txt"), "nothing\n").unwrap();
    let arguments = ["--findings", "--json", "b.txt", "a.txt"];
    let told = mask(&folder, &arguments, b"");
    let told = text(&told.stdout);
    assert_eq!(told.lines().count(), 1, "{told}");
    assert!(!told.contains("a1B2"), "{told}");
    let finding: Value = serde_json::from_str(&told).unwrap();
    let wanted = serde_json::json!({
        "file": "a.txt", "rule": "github-pat", "kind": "secret", "start": 13, "end": 53,
        "line": 2, "column": 8, "operator": "redact", "confidence": "high",
    });
    assert_eq!(finding, wanted);
}

#[test]
fn exit_codes_tell_scripts() {
    let folder = TempDir::new().unwrap();
    let code = |arguments: &[&str], input: &str| {
        let output = mask(&folder, arguments, input.as_bytes());
        (output.status.code().unwrap(), text(&output.stderr))
    };
    let found = format!("x {}", token());
    assert_eq!(code(&["--fail-on-findings"], &found).0, 1);
    assert_eq!(code(&["--findings", "--fail-on-findings"], &found).0, 1);
    assert_eq!(code(&["--fail-on-findings"], "nothing").0, 0);
    assert_eq!(
        code(&["--profile", "none", "--fail-on-findings"], &found).0,
        0
    );
    let (status, said) = code(&["--profile", "strct"], "");
    assert_eq!(status, 2);
    assert!(said.contains("`strict`"), "{said}");
    assert_eq!(code(&["--json"], "").0, 2);
    assert_eq!(code(&["--format", "pdf"], "").0, 2);
    assert_eq!(code(&["--rules", "none.toml"], "").0, 2);
    let (status, said) = code(&["none.txt"], "");
    assert_eq!(status, 3);
    assert!(said.contains("cannot read none.txt"), "{said}");
}

#[test]
fn documents_lines_and_events_are_read_by_their_structure() {
    let folder = TempDir::new().unwrap();
    // Only its structure says that this is a password.
    let document = "{\"password\": \"correct horse\", \"id\": 1}\n";
    let masked = mask(&folder, &["--format", "json"], document.as_bytes());
    let masked = text(&masked.stdout);
    assert!(
        masked.starts_with("{\"password\": \"[REDACTED:"),
        "{masked}"
    );
    assert!(masked.ends_with("\", \"id\": 1}\n"), "{masked}");

    fs::write(folder.path().join("a.jsonl"), [document, document].concat()).unwrap();
    let masked = text(&mask(&folder, &["a.jsonl"], b"").stdout);
    assert_eq!(masked.matches("[REDACTED:").count(), 2, "{masked}");
    let told = mask(&folder, &["--findings", "--json", "a.jsonl"], b"");
    let finding: Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!(finding["count"], 2, "{finding}");
    assert_eq!(finding["kind"], "secret");

    let (first, second) = ("ghp_a1B2c3D4e5F6g7H8", "i9J0k1L2m3N4o5P6q7R8");
    let mut events = String::new();
    for part in ["my ", first, second, " end"] {
        events.push_str(&format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{part}\"}}}}\n\n"
        ));
    }
    events.push_str(
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n",
    );
    let masked = text(&mask(&folder, &["--format", "sse"], events.as_bytes()).stdout);
    assert!(masked.contains("[REDACTED:github-pat]"), "{masked}");
    assert!(
        !masked.contains("a1B2") && !masked.contains("q7R8"),
        "{masked}"
    );
}

#[test]
fn a_long_text_is_never_held_in_memory() {
    const LENGTH: usize = 64 << 20;
    let folder = TempDir::new().unwrap();
    let mut child = Command::new(TOLLBOOK)
        .arg("mask")
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reader = thread::spawn(move || {
        let (mut length, mut masked) = (0, 0);
        let mut piece = vec![0; 1 << 16];
        loop {
            let count = stdout.read(&mut piece).unwrap();
            if count == 0 {
                return (length, masked);
            }
            length += count;
            masked += piece[..count].iter().filter(|byte| **byte == b'[').count();
        }
    });
    let mut stdin = child.stdin.take().unwrap();
    let line = format!("{}\n", " ".repeat(4095));
    let secret = format!("{:<4096}", token());
    for number in 0..LENGTH / 4096 {
        let line = if number % 1024 == 512 { &secret } else { &line };
        stdin.write_all(line.as_bytes()).unwrap();
    }
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
    drop(stdin);
    let (length, masked) = reader.join().unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(masked, 16);
    let placeholder = "[REDACTED:github-pat]".len();
    assert_eq!(length, LENGTH - 16 * (token().len() - placeholder));
    // Only Linux tells.
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    if let Some(peak) = peak {
        let kib: usize = peak.trim().trim_end_matches(" kB").parse().unwrap();
        assert!(kib < 100 << 10, "{kib} KiB");
    }
}

#[test]
fn nobody_is_bothered_when_the_reader_leaves() {
    let folder = TempDir::new().unwrap();
    let script = "yes some text | \"$TOLLBOOK\" mask | head -c 10";
    let output = Command::new("sh")
        .args(["-c", script])
        .env("TOLLBOOK", TOLLBOOK)
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), "some text\n");
    assert_eq!(text(&output.stderr), "");
}

const CONFIG: &str = r#"
[[issuer]]
name = "ci"
issuer = "https://ci.acme.dev"
audience = "tollbook"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "https://api.anthropic.com"
credential = { env = "STAND_IN_KEY" }
allow = ["ci"]

[masking]
rules = ["house.toml", "builtin"]
key = { env = "STAND_IN_MASKING_KEY" }

[[masking.profile]]
name = "house"
base = "none"
rules = { house-badge = "hash", email = "token" }
"#;

/// Rules in the form of gitleaks, of which one is about files.
const FOREIGN: &str = r#"
[[rules]]
id = "house-badge"
description = "Badge of our house"
regex = '''\b(bdg_[a-z0-9]{24})\b'''

[[rules]]
id = "house-file"
path = '''\.badge$'''
"#;

#[test]
fn rules_are_imported_listed_and_used() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("gitleaks.toml"), FOREIGN).unwrap();
    let imported = mask(&folder, &["import", "gitleaks.toml"], b"");
    assert_eq!(imported.status.code(), Some(0));
    let said = text(&imported.stderr);
    assert!(
        said.contains("house-file") && said.contains("1 rules kept, 1 left out"),
        "{said}"
    );
    fs::write(folder.path().join("house.toml"), &imported.stdout).unwrap();

    let badge = "badge bdg_0123456789abcdefghijklmn";
    let masked = mask(&folder, &["--rules", "house.toml"], badge.as_bytes());
    assert_eq!(
        text(&masked.stdout),
        "badge [REDACTED:house-badge]",
        "{}",
        text(&masked.stderr)
    );

    let listed = mask(&folder, &["rules", "--json", "--rules", "house.toml"], b"");
    let listed = text(&listed.stdout);
    let last: Value = serde_json::from_str(listed.lines().last().unwrap()).unwrap();
    assert_eq!(last["rule"], "house-badge");
    assert_eq!(last["operator"], "redact");
    assert!(last["lane"].is_string() && last["reach"].is_u64(), "{last}");
    assert!(listed.lines().count() > 200, "{}", listed.lines().count());
    let page = text(&mask(&folder, &["rules"], b"").stdout);
    assert!(page.contains("github-pat"), "{page}");

    // And by a configuration of the gateway.
    fs::write(folder.path().join("tollbook.toml"), CONFIG).unwrap();
    let masked = mask(&folder, &["--config", "tollbook.toml"], badge.as_bytes());
    let said = text(&masked.stderr);
    assert_eq!(
        text(&masked.stdout),
        "badge [REDACTED:house-badge]",
        "{said}"
    );
    let arguments = ["--config", "tollbook.toml", "--profile", "house"];
    let hashed = || {
        text(
            &mask(
                &folder,
                &arguments,
                format!("{badge} {}", token()).as_bytes(),
            )
            .stdout,
        )
    };
    let masked = hashed();
    assert!(
        masked.starts_with("badge [REDACTED:house-badge#"),
        "{masked}"
    );
    assert!(masked.ends_with(&token()), "{masked}");
    assert_eq!(masked, hashed(), "the configuration has the key");
    let masked = mask(&folder, &arguments, b"ask ada@acme.dev");
    assert_eq!(
        text(&masked.stdout),
        "ask [REDACTED:email]",
        "tokens are for callers"
    );
    let wrong = mask(
        &folder,
        &["--config", "tollbook.toml", "--profile", "huose"],
        b"",
    );
    let said = text(&wrong.stderr);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(said.contains("did you mean `house`?"), "{said}");
}
