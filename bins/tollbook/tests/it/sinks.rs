//! Copies of the book at every kind of other side, each read there by a program of others.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tollbook_budget::Prices;
use tollbook_sinks::{
    Options, Quiet, Sink, Sinks, SystemClock,
    target::{S3Keys, S3Target, Trust},
};

use crate::{clients, stage::Stage};

/// A store, a collector and a stream that others wrote.
struct Others {
    folder: TempDir,
    python: Child,
    nats: Child,
    _stdin: ChildStdin,
    addresses: Value,
}

impl Others {
    fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let mut python = script("serve", &json!({}));
        let mut python = python
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = python.stdin.take().unwrap();
        let mut line = String::new();
        BufReader::new(python.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let mut addresses: Value = serde_json::from_str(&line).expect("it says where it listens");
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let nats = Command::new("nats-server")
            .args(["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"])
            .arg(folder.path())
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("CANNOT START nats-server: Debian has it in the package of that name");
        let deadline = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "nats-server does not listen");
            std::thread::sleep(Duration::from_millis(50));
        }
        addresses["stream"] = json!(format!("nats://127.0.0.1:{port}"));
        let others = Self {
            folder,
            python,
            nats,
            _stdin: stdin,
            addresses,
        };
        others.say("make");
        others
    }

    fn address(&self, name: &str) -> &str {
        self.addresses[name].as_str().unwrap()
    }

    fn say(&self, what: &str) -> Value {
        let output = script(what, &self.addresses).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {error}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// What the collector took.
    fn collected(&self, path: &str) -> Vec<Value> {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let runtime = Runtime::new().unwrap();
        let all = runtime.block_on(async {
            let answer = client.get(self.address("collector")).send().await.unwrap();
            answer.json::<Vec<Value>>().await.unwrap()
        });
        all.into_iter().filter(|one| one["path"] == path).collect()
    }

    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in [&mut self.python, &mut self.nats] {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn script(what: &str, addresses: &Value) -> Command {
    let mut command = Command::new(clients::servers());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/readers/sinks.py");
    command.arg(script).arg(what).arg(addresses.to_string());
    command
}

fn ids<'a>(records: impl IntoIterator<Item = &'a Value>) -> Vec<String> {
    let id = |record: &Value| record["id"].as_str().unwrap_or_default().to_owned();
    records.into_iter().map(id).collect()
}

fn each(taken: &[Value]) -> Vec<String> {
    let all = taken.iter().flat_map(|one| one["ids"].as_array().unwrap());
    all.map(|id| id.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_kind_of_sink_has_every_exchange_once() {
    let others = Others::start();
    let secret = concat!("whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    let (hook, key) = (
        others.secret("hook", secret),
        others.secret("key", "standin"),
    );
    let copy = others.folder.path().join("copies/a.jsonl");
    let (store, collector, stream) = (
        others.address("store"),
        others.address("collector"),
        others.address("stream"),
    );
    let common = "interval = \"200ms\"\nconnections = [\"claude\"]";
    let config = format!(
        r#"
[[sink]]
name = "file"
kind = "file"
path = "{}"
{common}

[[sink]]
name = "hook"
kind = "webhook"
url = "{collector}/hook"
credential = {{ file = "{}" }}
{common}

[[sink]]
name = "spans"
kind = "otlp"
url = "{collector}"
{common}

[[sink]]
name = "store"
kind = "s3"
url = "{store}"
bucket = "book"
prefix = "copies"
access_key = "standin"
credential = {{ file = "{}" }}
{common}

[[sink]]
name = "stream"
kind = "nats"
url = "{stream}"
subject = "tollbook.exchanges"
{common}
"#,
        copy.display(),
        hook.display(),
        key.display(),
    );
    let stage = Stage::with("", &config, "");
    let token = stage.token("agent");
    let secret = ["ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"].concat();
    for turn in 0..6 {
        let model = if turn == 3 {
            "claude-forbidden"
        } else {
            "claude-haiku-4-5"
        };
        stage.ask(&token, model, &format!("turn {turn} with {secret}"));
    }
    let calls = stage.exchanges(6, |exchange| exchange["connection"] == "claude");
    let calls = ids(&calls);
    assert_eq!(calls.len(), 6);
    let states = all_sent(&stage, 6);
    assert_eq!(states.len(), 5);

    let copied = fs::read_to_string(&copy).unwrap();
    let lines: Vec<Value> = copied
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(sorted(ids(&lines)), sorted(calls.clone()));
    assert!(!copied.contains(&secret), "only what is recorded leaves");
    let found = others.say("read");
    assert!(!found.to_string().contains(&secret));
    let objects = found["store"].as_object().unwrap();
    let stored = objects
        .values()
        .flat_map(|object| object.as_array().unwrap());
    assert_eq!(sorted(ids(stored)), sorted(calls.clone()));
    assert!(
        objects
            .keys()
            .all(|key| key.starts_with("copies/tollbook/20")),
        "{:?}",
        objects.keys()
    );
    let streamed = found["stream"].as_array().unwrap();
    assert_eq!(sorted(ids(streamed)), sorted(calls.clone()));
    let spans = each(&others.collected("/v1/traces"));
    assert_eq!(sorted(spans), sorted(calls.clone()));
    let hooked = others.collected("/hook");
    assert_eq!(sorted(each(&hooked)), sorted(calls));
    assert!(
        hooked[0]["key"]
            .as_str()
            .unwrap()
            .starts_with("\"tollbook/")
    );

    let ready = health(&stage);
    for sink in ["file", "hook", "spans", "store", "stream"] {
        assert_eq!(ready["checks"]["sinks"][sink], "ok", "{ready}");
    }
    let started = stage.read(&["exchanges", "list", "action:sink.started", "--json"]);
    assert_eq!(String::from_utf8_lossy(&started.stdout).lines().count(), 5);

    // The same batch again: as if the gateway had died before it knew that the store has it.
    let again = |name: &str, contents: bool| {
        let runtime = Runtime::new().unwrap();
        runtime.block_on(send_again(&stage, store, name, contents));
        let found = others.say("read");
        found["store"].as_object().unwrap().len()
    };
    let first = again("one", true);
    assert_eq!(again("two", true), first, "it is there already");
    assert_eq!(
        again("three", false),
        first + 1,
        "another one is in the way"
    );
    stage.end();
}

/// Sends the calls of the book as one batch.
async fn send_again(stage: &Stage, store: &str, name: &str, contents: bool) {
    let keys = S3Keys {
        id: "standin".to_owned().into(),
        secret: "standin".to_owned().into(),
    };
    let trust = Trust::default();
    let target = S3Target::new("book", "again", "us-east-1", Some(store), &keys, &trust).unwrap();
    let mut options = Options::default();
    options.connections = vec!["claude".to_owned()];
    options.contents = contents;
    let sink = Sink::new(name, target, options).unwrap();
    let prices = Prices::built_in().unwrap();
    let sinks = Sinks::start(stage.book(), vec![sink], prices, SystemClock, Quiet)
        .await
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while sinks.states()[0].sent < 6 {
        assert!(Instant::now() < deadline, "{:?}", sinks.states());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    sinks.close(Duration::from_secs(3)).await;
}

/// The sinks, once each has sent so many records.
fn all_sent(stage: &Stage, count: u64) -> Vec<Value> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let output = stage.read(&["sinks", "list", "--json"]);
        let text = String::from_utf8(output.stdout).unwrap();
        let states: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        if !states.is_empty() && states.iter().all(|state| state["sent"] == count) {
            assert_eq!(output.status.code(), Some(0), "{text}");
            return states;
        }
        assert!(Instant::now() < deadline, "{text}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn sorted(mut ids: Vec<String>) -> Vec<String> {
    ids.sort();
    ids
}

fn health(stage: &Stage) -> Value {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let runtime = Runtime::new().unwrap();
    runtime.block_on(async {
        let answer = client.get(format!("{}/readyz", stage.admin)).send();
        answer.await.unwrap().json().await.unwrap()
    })
}

/// A sink that is down is told of by its exit code, and by nothing that its callers would notice.
#[test]
fn a_sink_that_is_down_keeps_nobody_waiting() {
    let folder = TempDir::new().unwrap();
    let secret = folder.path().join("secret");
    fs::write(
        &secret,
        concat!("whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    )
    .unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = nobody.local_addr().unwrap().port();
    drop(nobody);
    let config = format!(
        "[[sink]]\nname = \"hook\"\nkind = \"webhook\"\ninterval = \"200ms\"\n\
         url = \"http://127.0.0.1:{port}/\"\ncredential = {{ file = \"{}\" }}\n\
         alarm_after = \"1s\"\n",
        secret.display()
    );
    let stage = Stage::with("", &config, "");
    let token = stage.token("agent");
    assert_eq!(stage.ask(&token, "claude-haiku-4-5", "hello"), 200);
    let failing = stage.exchanges(1, |exchange| exchange["action"] == "sink.failing");
    assert_eq!(failing.len(), 1, "it is in the book");
    let listed = stage.read(&["sinks", "list"]);
    assert_eq!(listed.status.code(), Some(1));
    let page = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(page.contains("no answer"), "{page}");
    let shown = stage.read(&["sinks", "show", "hook", "--json"]);
    let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
    assert_eq!((&shown["sent"], &shown["records"]), (&json!(0), &json!([])));
    let ready = health(&stage);
    assert_eq!(ready["ready"], true, "{ready}");
    assert!(
        ready["checks"]["sinks"]["hook"]
            .as_str()
            .unwrap()
            .contains("failing")
    );
    let none = stage.read(&["sinks", "show", "nothing"]);
    assert_eq!(none.status.code(), Some(1));
    let none = stage.read(&["sinks", "retry", "hook", "--index", "3"]);
    assert_eq!(none.status.code(), Some(1));
    stage.end();
}
