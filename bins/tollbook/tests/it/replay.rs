//! What was recorded, replayed: to the same clients, to another upstream, on the terminal, and to
//! other policies and rules.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, Output, Stdio},
    thread,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tollbook_testkit::upstream::STANDIN_API_KEY;

use crate::{
    claude_code::{Gate, said},
    clients,
    stage::{Stage, TOLLBOOK},
};

/// A sandbox in a process of its own.
struct Sandbox {
    process: Option<Child>,
    lines: BufReader<std::process::ChildStdout>,
    base: String,
    answers: u64,
}

impl Sandbox {
    fn of(book: &Path, what: &str, more: &[&str]) -> Self {
        let mut process = Command::new(TOLLBOOK)
            .args(["replay", what, "--serve", "127.0.0.1:0", "--json", "--data"])
            .arg(book)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap());
        let mut first = String::new();
        lines.read_line(&mut first).unwrap();
        let first: Value = serde_json::from_str(&first).expect("it says where it listens");
        let listen: SocketAddr = first["listen"].as_str().unwrap().parse().unwrap();
        Self {
            process: Some(process),
            lines,
            base: format!("http://{listen}"),
            answers: first["answers"].as_u64().unwrap(),
        }
    }

    /// Ends it as a person would, and gives what it told: each event, and the report.
    fn end(mut self) -> (Vec<Value>, Value, i32) {
        let mut process = self.process.take().unwrap();
        let told = Command::new("kill")
            .args(["-s", "INT", &process.id().to_string()])
            .status()
            .unwrap();
        assert!(told.success());
        let mut text = String::new();
        self.lines.read_to_string(&mut text).unwrap();
        let ended = process.wait().unwrap();
        let mut events: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let report = events.pop().unwrap();
        assert_eq!(report["event"], "ended", "{report}");
        (events, report, ended.code().unwrap())
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// The run of an agent, recorded at the gate, is finished again by the same agent when there is no
/// gate and no upstream any more.
#[test]
fn claude_code_finishes_the_same_run_offline() {
    let programs = clients::claude_code();
    thread::scope(|scope| {
        for program in &programs {
            scope.spawn(|| finishes_offline(program));
        }
    });
}

fn finishes_offline(program: &Path) {
    let mut stage = Stage::set();
    let gate = Gate {
        program,
        stage: &stage,
    };
    let folder = TempDir::new().unwrap();
    let prompt = r#"[[tool:Bash {"command":"echo tollgate-$((40+2))","description":"say"}]]"#;
    let agent = || {
        let arguments = [prompt, "--allowedTools", "Bash(echo:*)"];
        let mut command = gate.command("replayed", &arguments);
        command
            .current_dir(folder.path())
            .env("HOME", folder.path());
        command
    };
    let recorded = agent().output().unwrap();
    assert!(recorded.status.success(), "{}", said(&recorded));
    assert!(
        said(&recorded).contains("tollgate-42"),
        "{}",
        said(&recorded)
    );
    let records = gate.records("replayed", 2);
    let session = records[0]["session"].as_str().unwrap().to_owned();

    let mut again = agent();
    let other = agent();
    // From here on there is neither a gate nor anybody behind it.
    stage.stop();
    let (book, asked) = (stage.book(), stage.upstream.count());

    let sandbox = Sandbox::of(&book, &session, &[]);
    assert!(sandbox.answers >= 2);
    let replayed = again
        .env("ANTHROPIC_BASE_URL", &sandbox.base)
        .env("ANTHROPIC_AUTH_TOKEN", "anything")
        .output()
        .unwrap();
    let (events, report, code) = sandbox.end();
    assert!(
        replayed.status.success(),
        "{}\n{events:#?}",
        said(&replayed)
    );
    assert_eq!(replayed.stdout, recorded.stdout, "{events:#?}");
    assert_eq!(report["unmatched"], 0, "{events:#?}");
    assert_eq!(report["next"], 0, "{events:#?}");
    assert!(report["served"].as_u64().unwrap() >= 2, "{events:#?}");
    assert_eq!(report["never_asked"], json!([]), "{events:#?}");
    assert_eq!(code, 0);
    assert_eq!(stage.upstream.count(), asked, "nobody else was asked");

    // Another prompt is another run, and nothing is made up for it.
    let sandbox = Sandbox::of(&book, &session, &["--fail-on-difference"]);
    let arguments: Vec<_> = other.get_args().map(ToOwned::to_owned).collect();
    let mut changed = Command::new(other.get_program());
    changed.args(arguments.iter().map(|argument| match argument.to_str() {
        Some(text) if text == prompt => "something else".into(),
        _ => argument.clone(),
    }));
    for (name, value) in other.get_envs() {
        changed.env(name, value.unwrap_or_default());
    }
    let refused = changed
        .current_dir(folder.path())
        .env("ANTHROPIC_BASE_URL", &sandbox.base)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let (events, report, code) = sandbox.end();
    assert!(!refused.status.success(), "{}", said(&refused));
    assert!(report["unmatched"].as_u64().unwrap() >= 1, "{events:#?}");
    assert_eq!(code, 1);
    let unmatched = events.iter().find(|event| event["event"] == "unmatched");
    let differs = unmatched.unwrap()["differs"].to_string();
    assert!(differs.contains("messages[0]"), "{differs}");
    assert!(!differs.contains("something else"), "{differs}");
}

/// Every case of the SDK ends as it did, errors and streams that break off too.
#[test]
fn the_sdk_gets_the_same_answers_again() {
    let mut stage = Stage::set();
    let drive = |base: &str, token: &str| -> BTreeMap<String, Value> {
        let output = Command::new(clients::python())
            .arg(clients::script("sdk.py"))
            .env("GATE", base)
            .env("TOKEN", token)
            .env_remove("ANTHROPIC_API_KEY")
            .env_remove("ANTHROPIC_AUTH_TOKEN")
            .env_remove("ANTHROPIC_BASE_URL")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8(output.stdout).unwrap();
        let cases = text.lines().map(|line| {
            let case: Value = serde_json::from_str(line).unwrap();
            (case["case"].as_str().unwrap().to_owned(), case)
        });
        cases.collect()
    };
    let mut recorded = drive(&stage.base, &stage.token("python"));
    stage.exchanges(15, |_| true);
    stage.stop();

    // At the path of the connection, as at the gateway.
    let sandbox = Sandbox::of(&stage.book(), "connection:claude", &["--speed", "max"]);
    let mut replayed = drive(&format!("{}/claude", sandbox.base), "anything");
    let (events, report, _) = sandbox.end();
    // Nobody is turned away for who they are, and what a stranger asked was never read.
    let stranger = replayed.remove("no_identity").unwrap();
    recorded.remove("no_identity").unwrap();
    assert_eq!(stranger["error"]["status"], 404, "{stranger}");
    assert_eq!(report["left_out"], 1, "{report}");
    for (case, recorded) in &recorded {
        let replayed = &replayed[case];
        if case == "denied" || case == "denied_streamed" {
            // The refusal is the gate's own; its request id is that of the exchange.
            for key in ["class", "status", "type"] {
                assert_eq!(replayed["error"][key], recorded["error"][key], "{case}");
            }
            let message = replayed["error"]["message"].to_string();
            assert!(message.contains("no-forbidden-model"), "{message}");
            continue;
        }
        if case == "leaves" {
            // Letters that may begin a secret wait for what comes next, and are not recorded when
            // the client leaves before.
            assert!(!replayed["ok"]["saw"].is_null(), "{replayed}");
            continue;
        }
        assert_eq!(replayed, recorded, "{case}: {events:#?}");
    }
    assert_eq!(report["never_asked"], json!([]), "{report}");
    assert_eq!(report["unmatched"], 1, "{report}");
    assert_eq!(report["exact"], report["served"], "{report}");
}

/// An agent's run with a secret in it, without an agent.
struct Run {
    stage: Stage,
    folder: TempDir,
    session: String,
    exchange: String,
}

const SECRET: [&str; 2] = ["ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"];

fn messages(secret: &str) -> Value {
    let asks = format!("tidy up with {secret} badge-00000042");
    json!([{ "role": "user", "content": asks }])
}

fn ask(base: &str, token: &str, messages: &Value, stream: bool) -> (u16, String) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client
            .post(format!("{base}/v1/messages"))
            .bearer_auth(token)
            .header("anthropic-version", "2023-06-01")
            .header("x-claude-code-session-id", "run-1")
            .json(&json!({
                "model": "claude-haiku-4-5", "max_tokens": 64, "stream": stream,
                "messages": messages,
            }))
            .send();
        let answer = call.await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    })
}

impl Run {
    fn record() -> Self {
        let stage = Stage::set();
        let token = stage.token("tidy");
        let mut messages = messages(&SECRET.concat());
        let (status, first) = ask(&stage.base, &token, &messages, true);
        assert_eq!(status, 200, "{first}");
        let all = messages.as_array_mut().unwrap();
        all.push(json!({ "role": "assistant", "content": "Done." }));
        all.push(json!({ "role": "user", "content": "and \u{1b}[2J more" }));
        ask(&stage.base, &token, &messages, false);
        let found = stage.exchanges(2, |one| one["action"] == "messages.create");
        Self {
            session: found[0]["session"].as_str().unwrap().to_owned(),
            exchange: found[0]["id"].as_str().unwrap().to_owned(),
            folder: TempDir::new().unwrap(),
            stage,
        }
    }

    fn replay(&self, arguments: &[&str]) -> Output {
        let mut all = vec!["replay"];
        all.extend(arguments);
        self.stage.read(&all)
    }
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn a_session_is_watched_sent_again_and_put_to_others() {
    let run = Run::record();
    plays(&run);
    compares(&run);
    what_if(&run);
    serves_what_was_masked(&run);
    wrong_use(&run);
    run.stage.end();
}

fn plays(run: &Run) {
    let file = run.folder.path().join("run.cast");
    let cast = file.to_str().unwrap();
    let shown = run.replay(&[
        &run.session,
        "--play",
        "--speed",
        "max",
        "--asciicast",
        cast,
    ]);
    assert!(shown.status.success(), "{}", said(&shown));
    let page = text(&shown);
    for part in [
        "messages.create",
        "claude-haiku-4-5",
        "user       tidy up with [REDACTED:github-pat]",
        "model      ",
        "user       and \\u{1b}[2J more",
        "ended      complete, status 200, end_turn",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(
        !page.contains('\u{1b}') && !page.contains(SECRET[1]),
        "{page}"
    );
    assert_eq!(
        page.matches("tidy up").count(),
        2,
        "asked and echoed: {page}"
    );

    let cast = fs::read_to_string(file).unwrap();
    let mut lines = cast
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    assert_eq!(lines.next().unwrap()["version"], 2);
    let times: Vec<f64> = lines
        .map(|line| {
            assert_eq!(line[1], "o");
            line[0].as_f64().unwrap()
        })
        .collect();
    assert!(times.len() > 5 && times.is_sorted(), "{times:?}");

    // In its own time, and the file without anybody waiting.
    let file = run.folder.path().join("timed.cast");
    let timed = ["--asciicast", file.to_str().unwrap()];
    let written = run.replay(&[&[&*run.exchange], &timed[..]].concat());
    assert!(written.status.success() && text(&written).is_empty());
    let cast = fs::read_to_string(&file).unwrap();
    let last: Value = serde_json::from_str(cast.lines().last().unwrap()).unwrap();
    assert!(last[0].as_f64().unwrap() > 0.0, "{last}");
    let refused = run.replay(&[&[&*run.exchange], &timed[..]].concat());
    assert_eq!(refused.status.code(), Some(3), "a file is not written over");
}

fn compares(run: &Run) {
    let url = run.stage.upstream.url();
    let to = |more: &[&str]| {
        let mut command = Command::new(TOLLBOOK);
        command
            .args(["replay", &run.session, "--to", url, "--data"])
            .arg(run.stage.book())
            .args(["--header-env", "x-api-key=REPLAY_KEY"])
            .args(more)
            .env("REPLAY_KEY", STANDIN_API_KEY)
            .stdin(Stdio::null());
        command.output().unwrap()
    };
    let before = run.stage.upstream.count();
    let compared = to(&["--json", "--fail-on-difference"]);
    let lines: Vec<Value> = text(&compared)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{}", said(&compared));
    assert_eq!(run.stage.upstream.count(), before + 2);
    assert_eq!(lines[0]["placeholders"], 1);
    assert_eq!(lines[0]["status"], json!({ "recorded": 200, "now": 200 }));
    assert_eq!(lines[0]["stop_reason"]["now"], "end_turn");
    assert!(lines[0]["timing"]["now"]["first_byte"].as_u64().unwrap() > 0);
    // The stand-in says the same each time, and so it does not differ but for the masked prompt.
    assert_eq!(lines[1]["differs"], json!([]), "{}", lines[1]);
    let told = String::from_utf8_lossy(&compared.stderr).into_owned();
    assert!(told.contains("2 of the requests"), "{told}");
    assert!(!said(&compared).contains(STANDIN_API_KEY));

    let other = to(&["--model", "not-a-model", "--fail-on-difference"]);
    assert_eq!(other.status.code(), Some(1), "{}", said(&other));
    let page = text(&other);
    for part in ["not the same: status", "200 → 404", "not_found_error"] {
        assert!(page.contains(part), "{part}: {page}");
    }
}

fn what_if(run: &Run) {
    let config = run.stage.folder().join("tollbook.toml");
    let config = config.to_str().unwrap();
    let candidate = run.folder.path().join("candidate");
    fs::create_dir(&candidate).unwrap();
    let policy = "@id(\"no-haiku\") forbid (principal, action, resource) \
                  when { context has model && context.model like \"claude-haiku*\" };";
    fs::write(candidate.join("candidate.cedar"), policy).unwrap();
    let policies = candidate.to_str().unwrap();
    let judged = [
        &run.session,
        "--policy",
        policies,
        "--config",
        config,
        "--json",
    ];
    let report = run.replay(&judged);
    assert!(report.status.success(), "{}", said(&report));
    let told: Value = serde_json::from_str(&text(&report)).unwrap();
    assert_eq!(told["changed"].as_array().unwrap().len(), 2, "{told}");
    assert_eq!(told["changed"][0]["rules"], json!(["no-haiku"]));
    let strict = run.replay(&[&judged[..], &["--fail-on-difference"]].concat());
    assert_eq!(strict.status.code(), Some(1));

    let rules = run.folder.path().join("house.toml");
    let rule = r#"
        [[rule]]
        id = "house-badge"
        description = "Number of a badge of our house"
        source = "https://wiki.example.com/badges"
        literals = ["badge-"]
        body = { class = "digit", min = 8, max = 8 }
        positive = ["my badge-12345678"]
        negative = ["my badge-123456789"]
    "#;
    fs::write(&rules, rule).unwrap();
    let rules = rules.to_str().unwrap();
    let found = run.replay(&[
        "connection:claude",
        "--rules",
        rules,
        "--fail-on-difference",
    ]);
    assert_eq!(found.status.code(), Some(1), "{}", said(&found));
    assert!(text(&found).contains("house-badge"), "{}", text(&found));
    assert!(!text(&found).contains("00000042"), "{}", text(&found));
    // What was masked with the rules that are built in has nothing more for them.
    let nothing = run.replay(&[
        &run.session,
        "--rules",
        "builtin",
        "--json",
        "--fail-on-difference",
    ]);
    assert!(nothing.status.success(), "{}", said(&nothing));
}

/// The live request has the secret that the record has not, and is known all the same.
fn serves_what_was_masked(run: &Run) {
    let sandbox = Sandbox::of(&run.stage.book(), &run.session, &["--speed", "max"]);
    let (status, answer) = ask(&sandbox.base, "x", &messages(&SECRET.concat()), true);
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("[REDACTED:github-pat]"), "{answer}");
    assert!(answer.contains("event: message_stop"), "{answer}");
    let (status, refusal) = ask(
        &sandbox.base,
        "x",
        &json!([{ "role": "user", "content": "no" }]),
        true,
    );
    assert_eq!(status, 404);
    let refusal: Value = serde_json::from_str(&refusal).unwrap();
    assert_eq!(refusal["error"]["type"], "not_found_error");
    let (events, report, _) = sandbox.end();
    assert_eq!(report["exact"], 1, "{events:#?}");
    assert_eq!(report["never_asked"].as_array().unwrap().len(), 1);
}

fn wrong_use(run: &Run) {
    let code = |arguments: &[&str]| run.replay(arguments).status.code();
    assert_eq!(code(&[&run.session]), Some(2), "nothing to do with it");
    assert_eq!(code(&["--play"]), Some(2), "nothing to play");
    assert_eq!(
        code(&[&run.session, "--play", "--serve", "127.0.0.1:0"]),
        Some(2)
    );
    assert_eq!(
        code(&[&run.session, "--serve", "0.0.0.0:0"]),
        Some(2),
        "others could read it"
    );
    assert_eq!(
        code(&[&run.session, "--to", "http://example.com"]),
        Some(2),
        "unencrypted"
    );
    assert_eq!(code(&[&run.session, "--play", "--speed", "0"]), Some(2));
    assert_eq!(code(&["00000000", "--play"]), Some(1), "there is none");
    assert_eq!(code(&["subject:nobody", "--play"]), Some(1));
}
