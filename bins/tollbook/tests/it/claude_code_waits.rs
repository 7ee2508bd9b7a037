//! Claude Code where it has to prove who its job is, to wait for people, or to be told no.
//!
//! Each case calls as a subject of its own, so that they can run side by side on one stage.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::Path,
    process::{Child, Output},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    claude_code::{Gate, outcomes, said},
    clients,
    stage::{Stage, TOLLBOOK},
    waiting::FEDERATION,
};

/// Short silences, so that pings come before a test is over.
const WAITS: &str = r#"approvals = { quiet = "1s", hold = "3s", ping = "2s" }"#;

/// One budget for one group, so that the other cases are not limited.
const BUDGET: &str = r#"
[[budget]]
id = "once-an-hour"
per = "principal"
groups = ["metered"]
requests = 1
window = "1h"
reason = "one request an hour is enough"
"#;

/// One model waits for a lead, and one kind of tool call is not released.
const POLICIES: &str = r#"
@id("careful-model")
@approval("leads:1")
@reason("this model needs a lead's word")
forbid (principal, action in Tollbook::Action::"messages", resource)
when { context has model && context.model == "claude-careful" };

@id("metered")
permit (principal in Tollbook::Group::"metered", action, resource);

@id("no-rewriting")
@reason("this is done by hand")
forbid (principal, action == Tollbook::Action::"tool.call", resource)
when { context has labels && context.labels.contains("git-history") };
"#;

#[test]
fn claude_code_proves_its_job_and_takes_a_no() {
    each(&[
        &[federates, keeps_to_its_budget],
        &[shows_what_a_helper_prints, is_denied_a_tool],
    ]);
}

#[test]
fn claude_code_waits_for_people() {
    each(&[&[waits_and_goes_on], &[waits_and_is_denied]]);
}

/// Each version on a stage of its own, the rows of cases side by side.
fn each(rows: &[&[fn(&Gate<'_>)]]) {
    thread::scope(|scope| {
        for program in clients::claude_code() {
            scope.spawn(move || on_a_stage(&program, rows));
        }
    });
}

fn on_a_stage(program: &Path, rows: &[&[fn(&Gate<'_>)]]) {
    let stage = Stage::with(WAITS, &format!("{FEDERATION}{BUDGET}"), POLICIES);
    let gate = Gate {
        program,
        stage: &stage,
    };
    thread::scope(|scope| {
        for row in rows {
            scope.spawn(|| row.iter().for_each(|case| case(&gate)));
        }
    });
    stage.end();
}

/// Environment variables and a file with the job's token, and nothing else.
fn federates(gate: &Gate<'_>) {
    let subject = "repo:acme/pay:env";
    let file = gate.stage.folder().join("env-token");
    fs::write(&file, gate.stage.job(subject)).unwrap();
    let output = gate
        .command("env", &["please echo tollgate-federated"])
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .env("ANTHROPIC_FEDERATION_RULE_ID", "payments-ci")
        .env(
            "ANTHROPIC_ORGANIZATION_ID",
            "3fa85f64-5717-4562-b3fc-2c963f66afa6",
        )
        .env("ANTHROPIC_IDENTITY_TOKEN_FILE", &file)
        .output()
        .unwrap();
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("tollgate-federated"), "{told}");
    let record = &gate.records(subject, 1)[0];
    assert_eq!(record["outcome"], "complete");
    assert_eq!(
        record["principal"]["access"]["rules"],
        json!(["payments-ci"])
    );
    assert_eq!(record["principal"]["groups"], json!(["ci-payments"]));
    assert_eq!(exchanges_of_tokens(gate, subject), 1);
}

/// `apiKeyHelper` runs whenever Claude Code wants a credential; the helper keeps the one it has.
fn shows_what_a_helper_prints(gate: &Gate<'_>) {
    let subject = "repo:acme/pay:helper";
    let home = gate.stage.folder().join("home-helper");
    fs::create_dir_all(home.join(".claude")).unwrap();
    let token = home.join("token");
    fs::write(&token, gate.stage.job(subject)).unwrap();
    let script = home.join("credential");
    let text = format!(
        "#!/bin/sh\nexec '{TOLLBOOK}' token helper --base-url '{}' --rule payments-ci \
         --identity-token-file '{}'\n",
        gate.stage.base,
        token.display()
    );
    fs::write(&script, text).unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
    let settings = json!({ "apiKeyHelper": script });
    fs::write(home.join(".claude/settings.json"), settings.to_string()).unwrap();

    for prompt in ["please echo tollgate-helped", "please echo tollgate-again"] {
        let output = gate
            .command("helper", &[prompt])
            .env_remove("ANTHROPIC_AUTH_TOKEN")
            .output()
            .unwrap();
        let told = said(&output);
        assert!(output.status.success(), "{told}");
        assert!(told.contains("tollgate-"), "{told}");
    }
    let records = gate.records(subject, 2);
    assert!(
        outcomes(&records).iter().all(|one| *one == "complete"),
        "{records:#?}"
    );
    assert_eq!(
        exchanges_of_tokens(gate, subject),
        1,
        "the second run shows the token that was kept"
    );
}

/// A stream that is held for twenty seconds is one request, and its answer arrives.
fn waits_and_goes_on(gate: &Gate<'_>) {
    let ana = gate.stage.person("ana", &["leads"]);
    let began = Instant::now();
    let child = careful(gate, "held", "please echo tollgate-held");
    let approval = gate.stage.pending(&ana, "held");
    thread::sleep(Duration::from_secs(20));
    let approval = gate.stage.decide(&ana, "approve", &approval);
    let output = child.wait_with_output().unwrap();
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("tollgate-held"), "{told}");
    assert!(began.elapsed() > Duration::from_secs(20));
    let records = gate.records("held", 1);
    assert_eq!(outcomes(&records), ["complete"], "one request");
    assert_eq!(records[0]["decision"]["approval"], approval["id"]);
    assert_eq!(records[0]["action"]["stream"], true);
    assert_eq!(forwarded(gate.stage, "tollgate-held"), 1);
}

/// An error in a stream makes Claude Code ask again without one. That gets the same no at once,
/// which is what the person reads, and there are no further tries.
fn waits_and_is_denied(gate: &Gate<'_>) {
    let ana = gate.stage.person("ana", &["leads"]);
    let child = careful(gate, "denied-held", "please echo tollgate-denied");
    let approval = gate.stage.pending(&ana, "denied-held");
    // Past the silence: the head of the stream is out.
    thread::sleep(Duration::from_secs(4));
    gate.stage.decide(&ana, "deny", &approval);
    let output = child.wait_with_output().unwrap();
    let told = said(&output);
    assert!(!output.status.success(), "{told}");
    let id = approval["id"].as_str().unwrap();
    assert!(
        told.contains(&format!("tollbook_approval_denied: {id}: seen")),
        "the person reads who said no to what, and why: {told}"
    );
    let records = gate.records("denied-held", 2);
    assert_eq!(outcomes(&records), ["denied", "denied"], "{told}");
    assert_eq!(records[0]["action"]["stream"], true);
    assert_ne!(records[1]["action"]["stream"], true, "the fallback");
    for record in &records {
        assert_eq!(record["refusal"]["code"], "approval_denied");
    }
    assert_eq!(forwarded(gate.stage, "tollgate-denied"), 0);
}

/// A tool call that policy refuses never reaches Claude Code, so nothing runs, and the person reads
/// which rule refused it.
fn is_denied_a_tool(gate: &Gate<'_>) {
    let home = gate.stage.folder().join("home-pushes");
    let prompt = r#"[[tool:Bash {"command":"touch ran; git push --force origin main","description":"push"}]]"#;
    let output = gate.asks("pushes", &[prompt, "--allowedTools", "Bash"]);
    let told = said(&output);
    assert!(!output.status.success(), "{told}");
    for part in ["no-rewriting", "this is done by hand"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(home.exists() && !home.join("ran").exists(), "nothing ran");
    let records = gate.records("pushes", 1);
    assert!(records.len() <= 2, "once streamed and once not: {told}");
    for record in &records {
        assert_eq!(record["outcome"], "policy_cut", "{told}");
        let decided = &record["tool_decisions"][0];
        assert_eq!(decided["tool"], "Bash");
        assert_eq!(decided["verdict"], "deny");
        assert_eq!(decided["rules"], json!(["no-rewriting"]));
        assert_eq!(record["withheld"].as_array().unwrap().len(), 1);
    }
}

/// A budget that is spent is a 429 that says which, and until when there is no use in trying.
fn keeps_to_its_budget(gate: &Gate<'_>) {
    let token = gate.stage.token_in("metered", &["metered"]);
    let asks = |prompt: &str| -> Output {
        gate.command("metered", &[prompt])
            .env("ANTHROPIC_AUTH_TOKEN", &token)
            .output()
            .unwrap()
    };
    let first = asks("please echo tollgate-first");
    assert!(first.status.success(), "{}", said(&first));
    let began = Instant::now();
    let second = asks("please echo tollgate-second");
    let told = said(&second);
    assert!(!second.status.success(), "{told}");
    for part in ["429", "once-an-hour", "one request an hour is enough"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(
        began.elapsed() < Duration::from_secs(60),
        "it does not wait for the hour to end"
    );
    let records = gate.records("metered", 2);
    let spent: Vec<&Value> = records
        .iter()
        .filter(|record| record["outcome"] == "denied")
        .collect();
    assert!(!spent.is_empty());
    for record in spent {
        assert_eq!(record["status"], 429);
        assert_eq!(record["refusal"]["code"], "budget_exceeded");
    }
    assert_eq!(forwarded(gate.stage, "tollgate-second"), 0);
}

/// Claude Code asking the model that waits for a lead.
fn careful(gate: &Gate<'_>, subject: &str, prompt: &str) -> Child {
    gate.command(subject, &[prompt, "--model", "claude-careful"])
        .spawn()
        .unwrap()
}

/// How often a token was exchanged for this subject.
fn exchanges_of_tokens(gate: &Gate<'_>, subject: &str) -> usize {
    let of = |found: &Value| found["subject"] == subject && found["action"] == "token.exchange";
    gate.stage.exchanges(1, of).len()
}

/// How many requests for a message with these words reached the upstream.
fn forwarded(stage: &Stage, words: &str) -> usize {
    let all = stage.upstream.received();
    let with = all.iter().filter(|request| {
        request.target.starts_with("/v1/messages")
            && (request.body.windows(words.len())).any(|part| part == words.as_bytes())
    });
    with.count()
}
