//! `tollbook token`: for jobs and helpers, and for those who end what they have.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
};

use serde_json::{Value, json};

use crate::{
    stage::{Stage, TOLLBOOK},
    waiting::FEDERATION,
};

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

/// A command in the environment of a job.
fn job(stage: &Stage, home: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(TOLLBOOK);
    command
        .args(arguments)
        .current_dir(home)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("HOME", home)
        .env("ANTHROPIC_BASE_URL", &stage.base)
        .env("ANTHROPIC_FEDERATION_RULE_ID", "payments-ci")
        .stdin(Stdio::null());
    command
}

fn home(stage: &Stage, name: &str) -> PathBuf {
    let home = stage.folder().join(name);
    fs::create_dir_all(&home).unwrap();
    home
}

fn exchanges(stage: &Stage, subject: &str, count: usize) -> Vec<Value> {
    let of = |found: &Value| found["subject"] == subject && found["action"] == "token.exchange";
    stage.exchanges(count, of)
}

#[test]
fn a_job_exchanges_its_token() {
    let stage = Stage::with("", FEDERATION, "");
    let home = home(&stage, "exchange");
    let file = home.join("token");
    // As a shell writes it, with a line end.
    let assertion = stage.job("repo:acme/pay:exchange");
    fs::write(&file, format!("{assertion}\n")).unwrap();
    let named = ["token", "exchange", "--identity-token-file", "token"];

    let token = printed(&job(&stage, &home, &named).output().unwrap());
    assert_eq!(token.lines().count(), 1, "{token}");
    assert!(token.starts_with("gws_"), "{token}");
    assert_eq!(stage.ask(token.trim(), "claude-haiku-4-5", "hello"), 200);
    let whole = job(&stage, &home, &[&named[..], &["--json"]].concat()).output();
    let whole: Value = serde_json::from_str(&printed(&whole.unwrap())).unwrap();
    assert_eq!(whole["token_type"], "Bearer");
    assert!((1..=600).contains(&whole["expires_in"].as_u64().unwrap()));
    // From the variable instead of the file.
    let token = job(&stage, &home, &["token", "exchange"])
        .env("ANTHROPIC_IDENTITY_TOKEN", &assertion)
        .output()
        .unwrap();
    assert!(printed(&token).starts_with("gws_"));

    // The gate says no, and not why.
    let refused = job(&stage, &home, &[&named[..], &["--rule", "other"]].concat()).output();
    let refused = refused.unwrap();
    assert_eq!(code(&refused), 1);
    assert!(text(&refused.stderr).contains("tollbook doctor"));
    assert!(refused.stdout.is_empty(), "what calls takes all of it");
    // Wrong use: no token, no file, no encryption.
    for arguments in [
        &["token", "exchange"][..],
        &["token", "exchange", "--identity-token-file", "nowhere"],
        &[&named[..], &["--base-url", "http://gate.example/claude"]].concat(),
    ] {
        let output = job(&stage, &home, arguments).output().unwrap();
        assert_eq!(code(&output), 2, "{arguments:?}: {}", text(&output.stderr));
    }
    let nobody = [&named[..], &["--base-url", "http://127.0.0.1:1/claude"]].concat();
    let nobody = job(&stage, &home, &nobody).output().unwrap();
    assert_eq!(code(&nobody), 3);
    for output in [&refused, &nobody] {
        assert!(!text(&output.stderr).contains(&assertion));
    }
    stage.end();
}

/// The helper prints one token and nothing else, and keeps it where only its owner can read it.
#[test]
fn a_helper_keeps_its_token_to_itself() {
    let stage = Stage::with("", FEDERATION, "");
    let home = home(&stage, "helper");
    let subject = "repo:acme/pay:helper";
    fs::write(home.join("token"), stage.job(subject)).unwrap();
    let helper = |more: &[&str]| {
        let named = ["token", "helper", "--identity-token-file", "token"];
        let output = job(&stage, &home, &[&named[..], more].concat()).output();
        printed(&output.unwrap())
    };
    let first = helper(&[]);
    assert!(first.starts_with("gws_") && first.lines().count() == 1);
    assert_eq!(helper(&[]), first, "kept");
    assert_eq!(exchanges(&stage, subject, 1).len(), 1);
    let folder = home.join(".cache/tollbook");
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let kept: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert_eq!(mode(&kept[0]), 0o600);

    let fresh = helper(&["--fresh"]);
    assert_ne!(fresh, first);
    assert_eq!(helper(&[]), fresh);
    // A file that others can read may be theirs: it is not believed.
    fs::set_permissions(&kept[0], fs::Permissions::from_mode(0o644)).unwrap();
    assert_ne!(helper(&[]), fresh);
    assert_eq!(mode(&kept[0]), 0o600, "and is replaced");
    // Nor is a file that is no file of ours.
    fs::write(&kept[0], "{").unwrap();
    let last = helper(&[]);
    assert!(last.starts_with("gws_"));
    // The next job on the same machine is not taken for this one.
    fs::write(home.join("token"), stage.job("repo:acme/pay:next")).unwrap();
    assert_ne!(helper(&[]), last);
    // Another rule has another token, and is refused here.
    let named = [
        "token",
        "helper",
        "--identity-token-file",
        "token",
        "--rule",
        "other",
    ];
    assert_eq!(code(&job(&stage, &home, &named).output().unwrap()), 1);
    stage.end();
}

/// GitHub gives a job its token for one HTTP call, which the command makes.
#[test]
fn a_github_job_asks_for_its_token() {
    let stage = Stage::with("", FEDERATION, "");
    let home = home(&stage, "github");
    let assertion = stage.job("repo:acme/pay:github");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let github = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut head = String::new();
        let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
        while let Some(line) = lines.next().map(Result::unwrap).filter(|it| !it.is_empty()) {
            head.push_str(&line);
            head.push('\n');
        }
        let body = json!({ "count": 1, "value": assertion }).to_string();
        write!(
            connection,
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        head
    });
    let token = job(&stage, &home, &["token", "exchange"])
        .env(
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            format!("http://{address}/run?api-version=2.0"),
        )
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "of-the-run")
        .output()
        .unwrap();
    let head = github.join().unwrap();
    assert!(printed(&token).starts_with("gws_"));
    assert!(
        head.starts_with("GET /run?api-version=2.0&audience=tollbook HTTP/1.1\n"),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains("\nauthorization: bearer of-the-run\n"),
        "{head}"
    );
    assert_eq!(exchanges(&stage, "repo:acme/pay:github", 1).len(), 1);
    stage.end();
}

#[test]
fn tokens_are_listed_and_ended() {
    let stage = Stage::with("", FEDERATION, "");
    let home = home(&stage, "revoke");
    let pia = stage.person("pia", &["platform"]);
    let ana = stage.person("ana", &["leads"]);
    let exchange = |subject: &str| {
        fs::write(home.join("token"), stage.job(subject)).unwrap();
        let named = ["token", "exchange", "--identity-token-file", "token"];
        let token = printed(&job(&stage, &home, &named).output().unwrap());
        token.trim().to_owned()
    };
    let (one, other) = (
        exchange("repo:acme/pay:one"),
        exchange("repo:acme/pay:other"),
    );
    let listed = printed(&stage.manage(&pia, &["token", "list"]));
    assert_eq!(listed.lines().count(), 3, "{listed}");
    for subject in [" repo:acme/pay:one ", " repo:acme/pay:other "] {
        assert!(listed.contains(subject), "{listed}");
    }
    for token in [&one, &other] {
        assert!(
            !listed.contains(token.as_str()),
            "what is listed opens nothing"
        );
        assert!(!listed.contains(&token[4..16]), "not a piece of it");
    }
    let limited = stage.manage(&pia, &["token", "list", "--json", "--limit", "1"]);
    assert_eq!(printed(&limited).lines().count(), 1);
    let all = printed(&stage.manage(&pia, &["token", "list", "--json"]));
    let mut all = all
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let found = all
        .find(|token| token["subject"] == "repo:acme/pay:other")
        .unwrap();
    assert_eq!(found["state"], "valid");
    let id = found["id"].as_str().unwrap();

    // Those who may not, and what is no request.
    let revoke = ["token", "revoke", "--reason", "leaked"];
    let with = |more: &[&'static str]| [&revoke[..], more].concat();
    assert_eq!(code(&stage.manage(&ana, &["token", "list"])), 1);
    assert_eq!(
        code(&stage.manage(&ana, &with(&["--rule", "payments-ci"]))),
        1
    );
    assert_eq!(code(&stage.manage(&pia, &revoke)), 2, "which?");
    assert_eq!(
        code(&stage.manage(&pia, &with(&["--rule", "a", "--issuer", "b"]))),
        2
    );
    assert_eq!(
        code(&stage.manage(&pia, &with(&["--token", "nonsense"]))),
        2
    );
    assert_eq!(
        code(&stage.manage(&pia, &["token", "revoke", "--rule", "payments-ci"])),
        2,
        "why?"
    );
    assert_eq!(stage.ask(&other, "claude-haiku-4-5", "still"), 200);

    let ended = [&revoke[..], &["--token", id]].concat();
    assert_eq!(
        printed(&stage.manage(&pia, &ended)),
        "revoked; one gateway token ended by it\n"
    );
    assert_eq!(stage.ask(&other, "claude-haiku-4-5", "over"), 401);
    assert_eq!(stage.ask(&one, "claude-haiku-4-5", "not this one"), 200);
    let all = with(&["--rule", "payments-ci", "--json"]);
    let all: Value = serde_json::from_str(&printed(&stage.manage(&pia, &all))).unwrap();
    assert_eq!(all["revoked"].as_array().unwrap().len(), 1);
    assert_eq!(stage.ask(&one, "claude-haiku-4-5", "over"), 401);
    let listed = printed(&stage.manage(&pia, &["token", "list"]));
    assert_eq!(listed.matches(" revoked").count(), 2, "{listed}");
    stage.end();
}
