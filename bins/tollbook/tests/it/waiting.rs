//! Federation and approvals, as the official SDKs and their operators meet them.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::{Value, json};

use crate::{clients, stage::Stage};

/// A rule that lets jobs of one repository in.
pub(crate) const FEDERATION: &str = r#"
[[federation]]
id = "payments-ci"
issuer = "ci"
claims = { repository_id = "123456" }
groups = ["ci-payments"]
lifetime = "10m"

[[person]]
name = "ana"
accounts = ["corp/ana"]

[[person]]
name = "otto"
accounts = ["corp/otto", "ci/actor/583231"]
"#;

/// Short waits, so that a test need not take minutes; what is held is held for real.
const WAITS: &str = r#"approvals = { quiet = "1s", hold = "3s", ping = "2s" }"#;

/// What says `[[approve]]` needs a lead; what is asked of a large model needs two people.
const ASKS: &str = r#"
@id("careful-model")
@approval("leads:1")
@reason("this model needs a lead's word")
forbid (principal, action, resource)
when { context has model && context.model == "claude-haiku-4-5" };
"#;

#[derive(Clone, Copy, Debug)]
enum Sdk {
    Python,
    TypeScript,
}

const SDKS: [Sdk; 2] = [Sdk::Python, Sdk::TypeScript];

impl Sdk {
    fn script(self) -> Command {
        match self {
            Self::Python => {
                let mut command = Command::new(clients::python());
                command.arg(clients::script("identity.py"));
                command
            }
            Self::TypeScript => {
                // A module is resolved from where it lies, so it has to lie beside its node_modules.
                let script = clients::node().join("identity.mjs");
                fs::copy(clients::script("identity.mjs"), &script).unwrap();
                let mut command = Command::new("node");
                command.arg(script);
                command
            }
        }
    }
}

/// An SDK that was given environment variables and nothing else.
struct Caller {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Caller {
    /// Exchanges the job's token in `file` by itself.
    fn federated(sdk: Sdk, stage: &Stage, file: &Path, prompts: &[&str]) -> Self {
        Self::start(
            sdk.script()
                .args(prompts)
                .env("ANTHROPIC_BASE_URL", &stage.base)
                .env("ANTHROPIC_FEDERATION_RULE_ID", "payments-ci")
                .env(
                    "ANTHROPIC_ORGANIZATION_ID",
                    "3fa85f64-5717-4562-b3fc-2c963f66afa6",
                )
                .env("ANTHROPIC_IDENTITY_TOKEN_FILE", file),
        )
    }

    /// Shows a token of its own.
    fn with_token(sdk: Sdk, stage: &Stage, subject: &str, retries: u32, prompts: &[&str]) -> Self {
        Self::start(
            sdk.script()
                .args(prompts)
                .env("ANTHROPIC_BASE_URL", &stage.base)
                .env("ANTHROPIC_AUTH_TOKEN", stage.token(subject))
                .env("RETRIES", retries.to_string()),
        )
    }

    fn start(command: &mut Command) -> Self {
        let mut child = command
            .env_remove("ANTHROPIC_API_KEY")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// What became of the call that is under way.
    fn told(&mut self) -> Value {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"))
    }

    fn next(&mut self) {
        writeln!(self.input, "go on").unwrap();
    }

    fn end(mut self) {
        drop(self.input);
        assert!(self.child.wait().unwrap().success());
    }
}

/// Environment variables alone bring a job in; when its gateway token is ended, the SDK exchanges
/// the token that its file holds by then.
#[test]
fn jobs_federate_from_a_token_file_that_rotates() {
    for sdk in SDKS {
        let stage = Stage::with("", FEDERATION, "");
        let file = stage.folder().join("identity-token");
        fs::write(&file, stage.job("repo:acme/pay:first")).unwrap();
        let mut caller = Caller::federated(sdk, &stage, &file, &["one", "two", "stream:three"]);
        let first = caller.told();
        assert_eq!(first["ok"]["stop"], "end_turn", "{sdk:?} {first}");

        fs::write(&file, stage.job("repo:acme/pay:second")).unwrap();
        let operator = stage.person("ana", &["platform"]);
        let listed = stage.manage(&operator, &["token", "list", "--json"]);
        let token: Value = serde_json::from_slice(&listed.stdout).unwrap();
        let id = token["id"].as_str().unwrap();
        let revoke = ["token", "revoke", "--token", id, "--reason", "rotation"];
        let revoked = stage.manage(&operator, &revoke);
        assert!(
            revoked.status.success(),
            "{}",
            String::from_utf8_lossy(&revoked.stderr)
        );
        caller.next();
        let second = caller.told();
        caller.next();
        let third = caller.told();
        caller.end();
        assert_eq!(second["ok"]["stop"], "end_turn", "{sdk:?} {second}");
        assert_eq!(third["ok"]["stop"], "end_turn", "{sdk:?} {third}");
        let asked = stage.exchanges(4, |found| found["action"] == "messages.create");
        let by = |subject: &str| {
            let of = asked.iter().filter(|found| found["subject"] == subject);
            of.filter(|found| found["outcome"] == "complete").count()
        };
        assert_eq!(
            (by("repo:acme/pay:first"), by("repo:acme/pay:second")),
            (1, 2)
        );
        stage.end();
    }
}

/// Decides about what this caller asks, as soon as there is something to decide and then `after` that.
fn decide(stage: &Stage, subject: &str, after: Duration, vote: &str, token: &str) -> Value {
    let pending = stage.pending(token, subject);
    thread::sleep(after);
    stage.decide(token, vote, &pending)
}

/// A stream that waits for twenty seconds, kept alive by pings, comes whole once it is approved.
#[test]
fn a_held_stream_arrives_whole_after_its_approval() {
    let stage = Stage::with(WAITS, FEDERATION, ASKS);
    let ana = stage.person("ana", &["leads"]);
    for sdk in SDKS {
        let subject = format!("held-{sdk:?}");
        let mut caller = Caller::with_token(
            sdk,
            &stage,
            &subject,
            0,
            &["stream:please echo tollgate-held"],
        );
        let approval = decide(&stage, &subject, Duration::from_secs(20), "approve", &ana);
        assert_eq!(approval["state"], "approved", "{approval:#}");
        let told = caller.told();
        caller.end();
        let text = told["ok"]["text"].as_str().unwrap_or_default();
        assert!(text.contains("tollgate-held"), "{sdk:?} {told}");
        assert_eq!(told["ok"]["stop"], "end_turn");
        assert!(told["seconds"].as_f64().unwrap() > 20.0);
        let record = record(&stage, &subject);
        assert_eq!(record["outcome"], "complete");
        assert_eq!(record["decision"]["approval"], approval["id"]);
        let events = record["response"]["events"].as_array().unwrap();
        let pings = events.iter().filter(|event| {
            event["frame"]
                .as_str()
                .is_some_and(|frame| frame.contains("ping"))
        });
        assert!(pings.count() >= 8, "every two seconds");
    }
    stage.end();
}

#[test]
fn a_denied_stream_is_an_error_in_each_client() {
    let stage = Stage::with(WAITS, FEDERATION, ASKS);
    let ana = stage.person("ana", &["leads"]);
    for sdk in SDKS {
        let subject = format!("denied-{sdk:?}");
        let mut caller = Caller::with_token(
            sdk,
            &stage,
            &subject,
            0,
            &[&format!("stream:let {sdk:?} in")],
        );
        let approval = decide(&stage, &subject, Duration::from_secs(3), "deny", &ana);
        assert_eq!(approval["state"], "denied");
        let told = caller.told();
        caller.end();
        assert_eq!(told["error"]["type"], "permission_error", "{sdk:?} {told}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains("tollbook_approval_denied"), "{told}");
        assert!(message.contains("seen"), "the reason is told: {told}");
        assert_eq!(record(&stage, &subject)["outcome"], "denied");
    }
    let reached = stage.upstream.received();
    assert!(
        reached
            .iter()
            .all(|request| !request.target.starts_with("/v1/messages")),
        "nothing was forwarded"
    );
    stage.end();
}

/// Without a stream the gate lets go after a while, and the SDK's own retry finds the approval.
#[test]
fn a_call_held_past_its_bound_succeeds_on_the_sdks_own_retry() {
    let stage = Stage::with(WAITS, FEDERATION, ASKS);
    let ana = stage.person("ana", &["leads"]);
    for sdk in SDKS {
        let subject = format!("late-{sdk:?}");
        let prompt = format!("please echo tollgate-late-{sdk:?}");
        let mut caller = Caller::with_token(sdk, &stage, &subject, 5, &[&prompt]);
        decide(&stage, &subject, Duration::from_secs(5), "approve", &ana);
        let told = caller.told();
        caller.end();
        let text = told["ok"]["text"].as_str().unwrap_or_default();
        assert!(text.contains("tollgate-late"), "{sdk:?} {told}");
        let of =
            |found: &Value| found["subject"] == subject && found["action"] == "messages.create";
        let records = stage.exchanges(2, of);
        assert!(
            records.len() >= 2,
            "one that was let go and one that passed"
        );
        assert_eq!(records.first().unwrap()["status"], 409);
        assert_eq!(records.last().unwrap()["outcome"], "complete");
    }
    stage.end();
}

/// What was approved is what may pass: with other words it has to be asked for anew.
#[test]
fn a_payload_that_changed_after_approval_is_not_let_through() {
    let fast = r#"approvals = { mode = "fail_fast" }"#;
    let stage = Stage::with(fast, FEDERATION, ASKS);
    let ana = stage.person("ana", &["leads"]);
    let mut caller = Caller::with_token(
        Sdk::Python,
        &stage,
        "swap",
        0,
        &[
            "delete one row",
            "delete all rows",
            "delete one row",
            "delete one row",
        ],
    );
    assert_eq!(caller.told()["error"]["status"], 409);
    decide(&stage, "swap", Duration::ZERO, "approve", &ana);
    caller.next();
    assert_eq!(caller.told()["error"]["status"], 409, "other words");
    caller.next();
    let told = caller.told();
    assert_eq!(told["ok"]["stop"], "end_turn", "{told}");
    caller.next();
    assert_eq!(caller.told()["error"]["status"], 409, "used once");
    caller.end();
    let asked = stage.upstream.received();
    let forwarded = asked
        .iter()
        .filter(|request| request.target.starts_with("/v1/messages"));
    assert_eq!(forwarded.count(), 1);
    stage.end();
}

/// The person who started the job is no second pair of eyes, whatever group they are in.
#[test]
fn whoever_started_the_job_does_not_approve_it() {
    let stage = Stage::with(r#"approvals = { mode = "fail_fast" }"#, FEDERATION, ASKS);
    let job = stage.job("repo:acme/pay:self");
    stage.ask(&job, "claude-haiku-4-5", "my own job");
    let otto = stage.person("otto", &["leads"]);
    let listed = stage.manage(&otto, &["approvals", "list", "--json"]);
    let pending: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let (id, hash) = (
        pending["id"].as_str().unwrap(),
        pending["hash"].as_str().unwrap(),
    );
    let refused = stage.manage(&otto, &["approvals", "approve", id, "--hash", hash]);
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("own request"), "{said}");

    let ana = stage.person("ana", &["leads"]);
    let wrong = stage.manage(&ana, &["approvals", "approve", id, "--hash", "00000000"]);
    assert_eq!(wrong.status.code(), Some(1));
    let approved = stage.manage(&ana, &["approvals", "approve", id, "--hash", hash]);
    assert!(
        approved.status.success(),
        "{}",
        String::from_utf8_lossy(&approved.stderr)
    );
    stage.ask(&job, "claude-haiku-4-5", "my own job");
    let of = |found: &Value| found["action"] == "messages.create" && found["outcome"] == "complete";
    assert_eq!(stage.exchanges(1, of).len(), 1);
    stage.end();
}

/// The one record of a subject's calls for a message.
fn record(stage: &Stage, subject: &str) -> Value {
    let of = |found: &Value| found["subject"] == subject && found["action"] == "messages.create";
    let found = stage.exchanges(1, of);
    assert_eq!(found.len(), 1, "{found:#?}");
    stage.exchange(&found[0]["id"])
}

/// The steps of an approval are in the book, with who said yes.
#[test]
fn the_book_tells_who_said_yes() {
    let stage = Stage::with(r#"approvals = { mode = "fail_fast" }"#, FEDERATION, ASKS);
    let token = stage.token("asks");
    stage.ask(&token, "claude-haiku-4-5", "may I?");
    let ana = stage.person("ana", &["leads"]);
    let approval = decide(&stage, "asks", Duration::ZERO, "approve", &ana);
    stage.ask(&token, "claude-haiku-4-5", "may I?");
    let steps = stage.exchanges(3, |found| found["connection"] == "(gate)");
    let names: Vec<&str> = steps
        .iter()
        .map(|step| step["action"].as_str().unwrap())
        .collect();
    for name in ["approval.asked", "approval.approved", "approval.consumed"] {
        assert!(names.contains(&name), "{names:?}");
    }
    let approved = steps
        .iter()
        .find(|step| step["action"] == "approval.approved")
        .unwrap();
    let approved = stage.exchange(&approved["id"]);
    assert_eq!(approved["action"]["approval"], approval["id"]);
    assert_eq!(approved["action"]["person"], "person:ana");
    assert_eq!(approved["action"]["person_reason"], "seen");
    let calls = stage.exchanges(1, |found| found["action"] == "approvals.decide");
    assert_eq!(calls.len(), 1, "{}", json!(calls));
    stage.end();
}
