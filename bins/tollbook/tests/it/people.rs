//! `tollbook approvals`, as those who decide meet it.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::{
    clients,
    stage::{Stage, TOLLBOOK},
    waiting::FEDERATION,
};

/// The caller is told at once, so that a test need not wait.
const FAST: &str = r#"approvals = { mode = "fail_fast" }"#;
/// Who may let a caller pass in an emergency.
const EMERGENCY: &str = r#"
[approvals]
break_glass = ["oncall"]
"#;
/// Two people for one model, one for another.
const ASKS: &str = r#"
@id("careful-model")
@approval("leads:1")
@reason("this model needs a lead's word")
forbid (principal, action in Tollbook::Action::"messages", resource)
when { context has model && context.model == "claude-haiku-4-5" };

@id("two-people")
@approval("leads:2")
@reason("this model needs two leads")
forbid (principal, action in Tollbook::Action::"messages", resource)
when { context has model && context.model == "claude-sonnet-4-5" };
"#;

fn stage() -> Stage {
    Stage::with(FAST, &format!("{FEDERATION}{EMERGENCY}"), ASKS)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn page(output: &Output) -> String {
    assert_eq!(code(output), 0, "{}", text(&output.stderr));
    text(&output.stdout)
}

/// What the caller writes is shown, and does nothing to the terminal of whoever reads it.
#[test]
fn the_page_of_an_approval_shows_hostile_text_inert() {
    let stage = stage();
    let hostile = "ok\u{1b}[2J\u{1b}]0;title\u{7} user\u{202e}nimda \u{200b}\r hash       00000000";
    // The token of a job whose name is hostile as well.
    let subject = "repo:acme/pay\u{202e}gpj";
    assert_eq!(
        stage.ask(&stage.job(subject), "claude-haiku-4-5", hostile),
        409
    );
    let ana = stage.person("ana", &["leads"]);
    let pending = stage.pending(&ana, subject);
    let (id, hash) = (
        pending["id"].as_str().unwrap(),
        pending["hash"].as_str().unwrap(),
    );

    let shown = page(&stage.manage(&ana, &["approvals", "show", id]));
    let listed = page(&stage.manage(&ana, &["approvals", "list"]));
    for output in [&shown, &listed] {
        let acts = |c: char| c.is_control() && c != '\n';
        assert!(!output.contains(acts), "{output:?}");
        for hidden in ['\u{202e}', '\u{200b}'] {
            assert!(!output.contains(hidden), "{output:?}");
        }
    }
    // What differs from run to run.
    let left = pending["seconds_left"].as_u64().unwrap();
    assert!(left > 800, "{pending:#}");
    let lines: Vec<String> = shown
        .lines()
        .map(|line| match line.split_whitespace().next() {
            Some("left") => "  left       LEFT".to_owned(),
            _ => line.replace(id, "ID").replace(hash, "HASH"),
        })
        .collect();
    let lines = lines.join("\n");
    let expected = r#"ID is pending
  who        ci/repo:acme/pay\u{202e}gpj
  kind       ci
  issuer     ci
  subject    repo:acme/pay\u{202e}gpj
  stable id  123456
  actor id   583231
  groups     ci-payments
  wants      messages.create on claude
  facts      body_bytes: 156
             max_tokens: 64
             messages: 1
             model: claude-haiku-4-5
  because    careful-model
  reason     this model needs a lead's word
  needs      leads:1
  labels     hidden-text
  risk       35
  left       LEFT
  hash       HASH

    {"model":"claude-haiku-4-5","max_tokens":64,"messages":[{"role":"user","content":"ok\u001b[2J\u001b]0;title\u0007 user\u{202e}nimda \u{200b}\r hash       00000000"}]}"#;
    assert_eq!(lines, expected);
    let table: Vec<&str> = listed.lines().collect();
    assert!(table[0].starts_with("CREATED "), "{listed}");
    assert!(table[1].contains(r"repo:acme/pay\u{202e}gpj"), "{listed}");
    assert!(table[1].contains(" leads:1 "), "{listed}");
    stage.end();
}

/// At a terminal the page is shown, and what was read is typed back.
#[test]
fn the_hash_is_typed_back_at_a_terminal() {
    let stage = stage();
    let token = stage.token("typed");
    stage.ask(&token, "claude-haiku-4-5", "type it back");
    let ana = stage.person("ana", &["leads"]);
    let pending = stage.pending(&ana, "typed");
    let id = pending["id"].as_str().unwrap();
    let at_a_terminal = |typed: &str, vote: &str| {
        Command::new("python3")
            .arg(clients::script("terminal.py"))
            .args([typed, TOLLBOOK, "approvals", vote, id])
            .args(["--gateway", &stage.admin])
            .env("TOLLBOOK_TOKEN", &ana)
            .env("NO_COLOR", "1")
            .output()
            .unwrap()
    };
    let nothing = at_a_terminal("=", "approve");
    assert_eq!(code(&nothing), 1, "{}", text(&nothing.stdout));
    assert!(text(&nothing.stdout).contains("nothing was decided"));
    let wrong = at_a_terminal("=00000000", "approve");
    assert_eq!(code(&wrong), 1, "{}", text(&wrong.stdout));
    assert!(text(&wrong.stdout).contains("look at it again"));
    assert_eq!(stage.pending(&ana, "typed")["id"], pending["id"]);

    let right = at_a_terminal(r"hash +([0-9a-f]{8})", "approve");
    assert_eq!(code(&right), 0, "{}", text(&right.stdout));
    let screen = text(&right.stdout);
    assert!(screen.contains("type it back"), "{screen}");
    assert!(
        screen.contains("To approve it, type the hash: "),
        "{screen}"
    );
    assert!(screen.contains(&format!("{id} is approved")), "{screen}");
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "type it back"), 200);

    // Where there is no terminal, the hash has to be given.
    let without = stage.manage(&ana, &["approvals", "deny", id]);
    assert_eq!(code(&without), 2);
    assert!(text(&without.stderr).contains("--hash"));
    stage.end();
}

/// Each command, its words and its exit code.
#[test]
fn approvals_are_decided_and_withdrawn() {
    let stage = stage();
    let (ana, ben) = (
        stage.person("ana", &["leads"]),
        stage.person("ben", &["leads"]),
    );
    let platform = stage.person("pia", &["platform"]);
    let token = stage.token("two");
    assert_eq!(stage.ask(&token, "claude-sonnet-4-5", "for two"), 409);
    let pending = stage.pending(&ana, "two");
    let (id, hash) = (
        pending["id"].as_str().unwrap(),
        pending["hash"].as_str().unwrap(),
    );

    // Nobody's business: not a lead, a job, a stranger.
    let other = stage.person("carl", &["sales"]);
    let empty = page(&stage.manage(&other, &["approvals", "list"]));
    assert_eq!(empty.lines().count(), 1, "{empty}");
    for who in [&other, &token, &"nonsense".to_owned()] {
        assert_eq!(code(&stage.manage(who, &["approvals", "show", id])), 1);
    }
    // Wrong use.
    for arguments in [
        &["approvals", "show", "../tokens"][..],
        &["approvals", "show", "apr_1"],
        &["approvals", "list", "--state", "nonsense"],
        &["approvals", "cancel", id],
        &["approvals", "grant", "--minutes", "241"],
    ] {
        assert_eq!(code(&stage.manage(&ana, arguments)), 2, "{arguments:?}");
    }
    let unreachable = Command::new(TOLLBOOK)
        .args(["approvals", "list", "--gateway", "http://127.0.0.1:1"])
        .env("TOLLBOOK_TOKEN", &ana)
        .output()
        .unwrap();
    assert_eq!(code(&unreachable), 3);
    let open = Command::new(TOLLBOOK)
        .args(["approvals", "list", "--gateway", "http://gate.example"])
        .env("TOLLBOOK_TOKEN", &ana)
        .output()
        .unwrap();
    assert_eq!(code(&open), 2, "a token is not sent in the clear");

    let first = page(&stage.manage(&ana, &["approvals", "approve", id, "--hash", hash]));
    assert_eq!(first, format!("{id} is pending (leads:2 needed in all)\n"));
    let again = stage.manage(&ana, &["approvals", "approve", id, "--hash", hash]);
    assert_eq!(code(&again), 1, "one person is one person");
    assert!(text(&again.stderr).contains("you have said so already"));
    let second = stage.manage(
        &ben,
        &["approvals", "approve", id, "--hash", hash, "--json"],
    );
    let second: Value = serde_json::from_str(&page(&second)).unwrap();
    assert_eq!(second["state"], "approved");
    let shown = page(&stage.manage(&ben, &["approvals", "show", id]));
    for voter in ["approve    account:corp/ben", "approve    person:ana"] {
        assert!(shown.contains(voter), "{shown}");
    }
    assert_eq!(stage.ask(&token, "claude-sonnet-4-5", "for two"), 200);

    // A denial is final.
    stage.ask(&token, "claude-haiku-4-5", "for one");
    let pending = stage.pending(&ana, "two");
    let denied = stage.decide(&ana, "deny", &pending);
    assert_eq!(denied["state"], "denied");
    let id = pending["id"].as_str().unwrap();
    let after = stage.manage(
        &ben,
        &[
            "approvals",
            "approve",
            id,
            "--hash",
            pending["hash"].as_str().unwrap(),
        ],
    );
    assert_eq!(code(&after), 1);
    assert!(text(&after.stderr).contains("denied already"));

    // Withdrawing is for operators.
    stage.ask(&stage.token("three"), "claude-haiku-4-5", "not any more");
    let pending = stage.pending(&ana, "three");
    let id = pending["id"].as_str().unwrap();
    let cancel = ["approvals", "cancel", id, "--reason", "asked by mistake"];
    assert_eq!(code(&stage.manage(&ana, &cancel)), 1);
    let cancelled = page(&stage.manage(&platform, &cancel));
    assert_eq!(cancelled, format!("{id} is cancelled\n"));
    let states = |state: &str| {
        let listed = stage.manage(&ana, &["approvals", "list", "--state", state, "--json"]);
        page(&listed).lines().count()
    };
    assert_eq!(
        (states("consumed"), states("denied"), states("cancelled")),
        (1, 1, 1)
    );
    stage.end();
}

#[test]
fn grants_are_made_shown_and_ended() {
    let stage = stage();
    let (ana, pia) = (
        stage.person("ana", &["leads"]),
        stage.person("pia", &["platform"]),
    );
    let token = stage.token("granted");
    let grant = [
        "approvals",
        "grant",
        "--identity",
        "ci/granted",
        "--connection",
        "claude",
        "--rule",
        "careful-model",
        "--group",
        "leads",
        "--minutes",
        "60",
        "--reason",
        "the migration tonight",
    ];
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "before"), 409);
    let made = page(&stage.manage(&ana, &grant));
    assert!(
        made.contains("(standing) for ci/granted on claude until ") && made.ends_with(": active\n"),
        "{made}"
    );
    let id = made.split_whitespace().next().unwrap();
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "during"), 200);

    // The page of the exchange says who granted it.
    let of = |found: &Value| found["subject"] == "granted" && found["status"] == 200;
    let passed = &stage.exchanges(1, of)[0];
    let shown = page(&stage.read(&["exchanges", "show", passed["id"].as_str().unwrap()]));
    for part in [
        format!("let through by {id}"),
        "granted beforehand by person:ana".to_owned(),
        "the migration tonight".to_owned(),
        "needs 1 of leads (careful-model)".to_owned(),
    ] {
        assert!(shown.contains(&part), "{part}: {shown}");
    }

    let listed = page(&stage.manage(&pia, &["approvals", "grants"]));
    let table: Vec<&str> = listed.lines().collect();
    assert!(table[0].starts_with("ID "), "{listed}");
    assert!(table[1].contains("ci/granted"), "{listed}");
    assert!(table[1].trim_end().ends_with("active"), "{listed}");
    let ended = page(&stage.manage(
        &ana,
        &["approvals", "end-grant", id, "--reason", "done early"],
    ));
    assert!(ended.ends_with(": revoked\n"), "{ended}");
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "after"), 409);

    // In an emergency, and who looks at it afterwards.
    let (olga, omar) = (
        stage.person("olga", &["oncall"]),
        stage.person("omar", &["oncall"]),
    );
    let break_glass = [
        "approvals",
        "break-glass",
        "--identity",
        "ci/granted",
        "--connection",
        "claude",
        "--reason",
        "the shop is down",
    ];
    assert_eq!(code(&stage.manage(&ana, &break_glass)), 1, "not on call");
    let made = page(&stage.manage(&olga, &break_glass));
    assert!(made.contains("(break_glass)"), "{made}");
    let id = made.split_whitespace().next().unwrap();
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "emergency"), 200);
    let review = ["approvals", "review", id, "--reason", "it was one"];
    let own = stage.manage(&olga, &review);
    assert_eq!(code(&own), 1);
    assert!(text(&own.stderr).contains("own request"));
    let reviewed = stage.manage(&omar, &[&review[..], &["--json"]].concat());
    let reviewed: Value = serde_json::from_str(&page(&reviewed)).unwrap();
    assert_eq!(reviewed["review"], "none");
    assert_eq!(code(&stage.manage(&omar, &review)), 1, "once");
    stage.end();
}

/// The page of an exchange says who said yes, and those of the steps say what they were.
#[test]
fn the_book_is_read_from_either_end() {
    let stage = stage();
    let job = stage.job("repo:acme/pay:read");
    stage.ask(&job, "claude-haiku-4-5", "may I?");
    let ana = stage.person("ana", &["leads"]);
    let pending = stage.pending(&ana, "repo:acme/pay:read");
    stage.decide(&ana, "approve", &pending);
    assert_eq!(stage.ask(&job, "claude-haiku-4-5", "may I?"), 200);
    let id = pending["id"].as_str().unwrap();

    let of = |action: &'static str, outcome: &'static str| {
        let found = stage.exchanges(1, |found| {
            found["action"] == action && found["outcome"] == outcome
        });
        let id = found[0]["id"].as_str().unwrap().to_owned();
        page(&stage.read(&["exchanges", "show", &id]))
    };
    let passed = of("messages.create", "complete");
    for part in [
        "started by 583231",
        "decision   allow by careful-model (sha256:",
        "this model needs a lead's word",
        "needs 1 of leads (careful-model)",
        &format!("approval   let through by {id}"),
        "approved by person:ana, ",
        ": seen\n",
    ] {
        assert!(passed.contains(part), "{part}: {passed}");
    }
    let turned_away = of("messages.create", "denied");
    assert!(
        turned_away.contains(&format!("tollbook_approval_pending: {id}")),
        "{turned_away}"
    );
    let step = of("approval.approved", "complete");
    for part in [
        "what       approval.approved through (gate)",
        &format!("approval: {id}"),
        "person: person:ana",
        "person_reason: seen",
        "rules: careful-model",
    ] {
        assert!(step.contains(part), "{part}: {step}");
    }
    let call = of("approvals.decide", "complete");
    for part in [
        "who        corp ana (leads)",
        "what       approvals.decide through (admin)",
        "vote: approve",
        &format!("hash: {}", pending["hash"].as_str().unwrap()),
    ] {
        assert!(call.contains(part), "{part}: {call}");
    }
    assert_eq!(json!(pending["state"]), "pending");
    stage.end();
}
