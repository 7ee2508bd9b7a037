//! Claude Code, headless, against the gate.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::{clients, stage::Stage};

/// Runs `claude -p` with a home of its own and `token` as its credential.
fn claude(program: &Path, stage: &Stage, token: &str, arguments: &[&str]) -> Output {
    let home = TempDir::new().unwrap();
    Command::new(program)
        .args(arguments)
        .current_dir(home.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home.path())
        .env("ANTHROPIC_BASE_URL", &stage.base)
        .env("ANTHROPIC_AUTH_TOKEN", token)
        .env("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1")
        .env("DISABLE_AUTOUPDATER", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

#[test]
fn claude_code_works_through_the_gate() {
    clients::claude_code()
        .iter()
        .for_each(|program| works(program));
}

fn works(program: &Path) {
    let stage = Stage::set();
    let claude =
        |stage: &Stage, token: &str, arguments: &[&str]| claude(program, stage, token, arguments);
    let token = stage.token("claude-code");

    let answered = claude(&stage, &token, &["-p", "please echo tollgate-one"]);
    assert!(answered.status.success(), "{}", said(&answered));
    assert!(
        said(&answered).contains("tollgate-one"),
        "{}",
        said(&answered)
    );

    // A tool call: the model asks for it, Claude Code runs it, its result goes back.
    let prompt = r#"[[tool:Bash {"command":"echo tollgate-$((40+2))","description":"say"}]]"#;
    let used = claude(
        &stage,
        &token,
        &["-p", prompt, "--allowedTools", "Bash(echo:*)"],
    );
    assert!(used.status.success(), "{}", said(&used));

    let denied = claude(
        &stage,
        &token,
        &["-p", "may I?", "--model", "claude-forbidden"],
    );
    assert!(!denied.status.success());
    let shown = said(&denied);
    assert!(
        shown.contains("this model is not approved for pipelines"),
        "{shown}"
    );

    let stranger = claude(&stage, "not-a-token", &["-p", "who am I?"]);
    assert!(!stranger.status.success());

    let book = stage.exchanges(4, |_| true);
    let of = |action: &str, outcome: &str| {
        book.iter()
            .filter(|found| found["action"] == action && found["outcome"] == outcome)
            .count()
    };
    assert!(of("messages.create", "complete") >= 3, "{book:#?}");
    // One request and our text, not a row of retries.
    assert_eq!(of("messages.create", "denied"), 1, "{book:#?}");
    let called = book
        .iter()
        .map(|found| stage.exchange(&found["id"]))
        .find(|record| record["tool_calls"][0]["name"] == "Bash")
        .expect("the tool call is in the book");
    assert_eq!(called["principal"]["subject"], "claude-code");
    let result = book
        .iter()
        .map(|found| stage.exchange(&found["id"]))
        .any(|record| {
            record["request"]["body"]
                .as_str()
                .is_some_and(|body| body.contains("tollgate-42"))
        });
    assert!(result, "the tool's result is in the book");
    stage.end();
}
