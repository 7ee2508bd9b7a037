//! Claude Code, headless, against the gate.
//!
//! Each case calls as a subject of its own, so that the cases can run side by side on one stage
//! and each finds its exchanges in the book. `count_tokens` is not asked for here: Claude Code does
//! so only where it has much to count, and the scripts of the SDKs ask for it.

use std::{
    fs,
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::Path,
    process::{Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{clients, stage::Stage};

/// How long Claude Code may take until its first request.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);
/// The text of a 401, which says nothing of why.
const TURNED_AWAY: &str = "401 The request carries no acceptable credential.";

#[test]
fn claude_code_works_through_the_gate() {
    let [one, other] = clients::claude_code();
    thread::scope(|scope| {
        scope.spawn(|| works(&one));
        scope.spawn(|| works(&other));
    });
}

fn works(program: &Path) {
    let stage = Stage::set();
    let gate = Gate {
        program,
        stage: &stage,
    };
    // Not all at once: each of them is a large program.
    let rows: [&[fn(&Gate<'_>)]; 2] = [
        &[answers, denies, breaks_off, leaves],
        &[calls_a_tool, overloaded, errs, renews, turns_away],
    ];
    thread::scope(|scope| {
        for row in rows {
            scope.spawn(|| row.iter().for_each(|case| case(&gate)));
        }
    });
    stage.end();
}

fn answers(gate: &Gate<'_>) {
    let output = gate.asks("plain", &["please echo tollgate-one"]);
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("tollgate-one"), "{}", said(&output));
    let record = &gate.records("plain", 1)[0];
    assert_eq!(record["outcome"], "complete");
    assert_eq!(record["action"]["stream"], true);
    let events = record["response"]["events"].as_array().unwrap();
    assert!(events.len() > 5, "{record:#}");
}

/// The model asks for a tool, Claude Code runs it, and its result goes back.
fn calls_a_tool(gate: &Gate<'_>) {
    let prompt = r#"[[tool:Bash {"command":"echo tollgate-$((40+2))","description":"say"}]]"#;
    let output = gate.asks("tool", &[prompt, "--allowedTools", "Bash(echo:*)"]);
    assert!(output.status.success(), "{}", said(&output));
    let records = gate.records("tool", 2);
    let called = |record: &Value| record["tool_calls"][0]["name"] == "Bash";
    assert!(records.iter().any(called), "the tool call is in the book");
    let brought = |record: &Value| {
        let body = record["request"]["body"].as_str().unwrap_or_default();
        body.contains("tollgate-42")
    };
    assert!(records.iter().any(brought), "so is the tool's result");
}

/// A denial is shown in our words, after one request and not after a row of retries.
fn denies(gate: &Gate<'_>) {
    let output = gate.asks("denied", &["may I?", "--model", "claude-forbidden"]);
    assert!(!output.status.success());
    let shown = said(&output);
    for part in [
        "no-forbidden-model",
        "this model is not approved for pipelines",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert_eq!(outcomes(&gate.records("denied", 1)), ["denied"]);
}

fn turns_away(gate: &Gate<'_>) {
    let output = gate
        .command("stranger", &["who am I?"])
        .env("ANTHROPIC_AUTH_TOKEN", "not-a-token")
        .output()
        .unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains(TURNED_AWAY), "{}", said(&output));
}

/// The upstream's error passes, and is tried again as it would be without a gate.
fn overloaded(gate: &Gate<'_>) {
    let output = gate.asks("overloaded", &["[[529]]"]);
    assert!(!output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("529"), "{}", said(&output));
    let records = gate.records("overloaded", 2);
    assert_eq!(outcomes(&records), ["upstream_error", "upstream_error"]);
}

/// An error in the middle of the stream. Claude Code then asks without one, and gets a 529.
fn errs(gate: &Gate<'_>) {
    let output = gate.asks("errs", &["[[error]] tell me a long story about a gate"]);
    assert!(!output.status.success(), "{}", said(&output));
    let records = gate.records("errs", 2);
    assert_eq!(
        outcomes(&records)[..2],
        ["error_event", "upstream_error"],
        "{records:#?}"
    );
    assert_eq!(records[0]["error"]["type"], "overloaded_error");
    assert_eq!(records[0]["action"]["stream"], true);
    assert_ne!(records[1]["action"]["stream"], true);
}

/// A connection that closes in the middle of the stream, and of the answer without one.
fn breaks_off(gate: &Gate<'_>) {
    let output = gate.asks("cut", &["[[cut]] tell me a long story about a gate"]);
    assert!(!output.status.success(), "{}", said(&output));
    let records = gate.records("cut", 2);
    let ended = outcomes(&records);
    assert!(
        ended.iter().all(|outcome| *outcome == "upstream_reset"),
        "{ended:?}"
    );
    assert_eq!(records[0]["action"]["stream"], true);
    assert!(
        records
            .iter()
            .any(|record| record["action"]["stream"] != true)
    );
}

/// Claude Code dies in the middle of an answer.
fn leaves(gate: &Gate<'_>) {
    let prompt = "[[slow]] [[long:8]] tollgate-leaves";
    // A group of its own, so that no part of it stays behind.
    let mut child = gate
        .command("leaves", &[prompt])
        .process_group(0)
        .spawn()
        .unwrap();
    let reached = || {
        let all = gate.stage.upstream.received();
        all.iter().any(|received| {
            received
                .body
                .windows(b"tollgate-leaves".len())
                .any(|part| part == b"tollgate-leaves")
        })
    };
    let begun = Instant::now();
    while !reached() && begun.elapsed() < LIMIT {
        thread::sleep(Duration::from_millis(20));
    }
    let killed = Command::new("kill")
        .args(["-KILL", "--", &format!("-{}", child.id())])
        .status()
        .unwrap();
    assert!(killed.success());
    child.wait().unwrap();
    assert!(reached(), "no request came");
    assert_eq!(outcomes(&gate.records("leaves", 1)), ["client_gone"]);
}

/// A credential that is not taken is fetched anew, once, and the call goes on.
fn renews(gate: &Gate<'_>) {
    let home = TempDir::new().unwrap();
    let script = home.path().join("credential");
    let text = format!(
        "#!/bin/sh\necho asked >>'{0}'\n[ \"$(wc -l <'{0}')\" -gt 1 ] && echo '{1}' || echo expired\n",
        home.path().join("asked").display(),
        gate.stage.token("renews"),
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    fs::create_dir(home.path().join(".claude")).unwrap();
    let settings = json!({ "apiKeyHelper": script });
    fs::write(
        home.path().join(".claude/settings.json"),
        settings.to_string(),
    )
    .unwrap();

    let output = gate
        .command("renews", &["please echo tollgate-renewed"])
        .env("HOME", home.path())
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(
        said(&output).contains("tollgate-renewed"),
        "{}",
        said(&output)
    );
    assert_eq!(outcomes(&gate.records("renews", 1)), ["complete"]);
}

/// One version of Claude Code in front of a stage.
pub(crate) struct Gate<'a> {
    pub(crate) program: &'a Path,
    pub(crate) stage: &'a Stage,
}

impl Gate<'_> {
    /// Runs `claude -p` to its end with a token for `subject`.
    pub(crate) fn asks(&self, subject: &str, arguments: &[&str]) -> Output {
        self.command(subject, arguments).output().unwrap()
    }

    /// `claude -p` in a home of its own, which tries once more what may be tried again.
    pub(crate) fn command(&self, subject: &str, arguments: &[&str]) -> Command {
        let home = self.stage.folder().join(format!("home-{subject}"));
        fs::create_dir_all(&home).unwrap();
        let mut command = Command::new(self.program);
        command
            .arg("-p")
            .args(arguments)
            .current_dir(&home)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", &home)
            .env("ANTHROPIC_BASE_URL", &self.stage.base)
            .env("ANTHROPIC_AUTH_TOKEN", self.stage.token(subject))
            .env("CLAUDE_CODE_MAX_RETRIES", "1")
            .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
            .env("DISABLE_AUTOUPDATER", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The calls of this subject for a message, oldest first, at least so many.
    pub(crate) fn records(&self, subject: &str, count: usize) -> Vec<Value> {
        let of =
            |found: &Value| found["subject"] == subject && found["action"] == "messages.create";
        let found = self.stage.exchanges(count, of);
        assert!(found.len() >= count, "{subject}: {found:#?}");
        found
            .iter()
            .map(|found| self.stage.exchange(&found["id"]))
            .collect()
    }
}

pub(crate) fn outcomes(records: &[Value]) -> Vec<&str> {
    records
        .iter()
        .map(|record| record["outcome"].as_str().unwrap_or_default())
        .collect()
}

pub(crate) fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}
