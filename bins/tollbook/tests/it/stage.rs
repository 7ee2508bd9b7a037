//! A real gateway process between a stand-in issuer and a stand-in upstream.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tollbook_testkit::{
    issuer::{self, OidcIssuer},
    upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig},
};

pub(crate) const TOLLBOOK: &str = env!("CARGO_BIN_EXE_tollbook");

/// The policies of the stage: one model is forbidden, with a reason.
const POLICIES: &str = r#"
@id("no-forbidden-model")
@reason("this model is not approved for pipelines")
forbid (principal, action, resource)
when { context has model && context.model == "claude-forbidden" };
"#;

pub(crate) struct Stage {
    folder: TempDir,
    gateway: Option<Child>,
    pub(crate) base: String,
    /// The address of the admin API.
    pub(crate) admin: String,
    /// The addresses at which databases are reached, by the names of their connections.
    pub(crate) databases: BTreeMap<String, String>,
    /// Vouches for jobs.
    pub(crate) issuer: OidcIssuer,
    /// Vouches for people.
    people: OidcIssuer,
    pub(crate) upstream: ClaudeUpstream,
    runtime: Runtime,
}

impl Stage {
    pub(crate) fn set() -> Self {
        Self::with("", "", "")
    }

    /// With more lines for the connection, more for the whole configuration, and more policies.
    pub(crate) fn with(connection: &str, more: &str, policies: &str) -> Self {
        let runtime = Runtime::new().unwrap();
        let (issuer, people, upstream) = runtime.block_on(async {
            let issuer = OidcIssuer::start(issuer::Config::default()).await.unwrap();
            let people = OidcIssuer::start(issuer::Config::default()).await.unwrap();
            let upstream = ClaudeUpstream::start(UpstreamConfig::default())
                .await
                .unwrap();
            (issuer, people, upstream)
        });
        let folder = TempDir::new().unwrap();
        std::fs::create_dir(folder.path().join("policies")).unwrap();
        std::fs::write(folder.path().join("policies/models.cedar"), POLICIES).unwrap();
        std::fs::write(folder.path().join("policies/more.cedar"), policies).unwrap();
        let config = format!(
            r#"
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
data = "book"

[[issuer]]
name = "ci"
preset = "github-actions"
issuer = "{}"
audience = "tollbook"
groups_claim = "groups"

[[issuer]]
name = "corp"
issuer = "{}"
audience = "tollbook"
kind = "human"
groups_claim = "groups"

[[connection]]
name = "claude"
protocol = "claude"
upstream = "{}"
credential = {{ header = "x-api-key", env = "STAND_IN_KEY" }}
allow = ["developers", "ci-payments"]
{connection}

[policy]
path = "policies/"

[admin]
operator = ["platform"]

{more}
"#,
            issuer.issuer_url(),
            people.issuer_url(),
            upstream.url()
        );
        std::fs::write(folder.path().join("tollbook.toml"), config).unwrap();

        let mut gateway = Command::new(TOLLBOOK)
            .args(["serve", "--json", "--config"])
            .arg(folder.path().join("tollbook.toml"))
            .env("STAND_IN_KEY", STANDIN_API_KEY)
            .env("TOLLBOOK_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(gateway.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let started: Value = serde_json::from_str(&line).expect("serve says where it listens");
        let base = format!("http://{}/claude", started["listen"].as_str().unwrap());
        let admin = format!("http://{}", started["admin"].as_str().unwrap());
        let databases = serde_json::from_value(started["databases"].clone()).unwrap_or_default();
        Self {
            folder,
            gateway: Some(gateway),
            base,
            admin,
            databases,
            issuer,
            people,
            upstream,
            runtime,
        }
    }

    pub(crate) fn token(&self, subject: &str) -> String {
        self.token_in(subject, &["developers"])
    }

    /// The token of a caller in these groups.
    pub(crate) fn token_in(&self, subject: &str, groups: &[&str]) -> String {
        self.issuer
            .token(subject)
            .audience("tollbook")
            .groups(groups.iter().copied())
            .claim("repository", "acme/payments")
            .lifetime(Duration::from_secs(600))
            .sign()
            .unwrap()
    }

    /// The token of a job that a federation rule speaks for.
    pub(crate) fn job(&self, subject: &str) -> String {
        self.issuer
            .token(subject)
            .audience("tollbook")
            .claim("repository_id", "123456")
            .claim("actor_id", "583231")
            .lifetime(Duration::from_secs(600))
            .sign()
            .unwrap()
    }

    /// The token of a person who has just signed in.
    pub(crate) fn person(&self, subject: &str, groups: &[&str]) -> String {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.unwrap().as_secs();
        self.people
            .token(subject)
            .audience("tollbook")
            .groups(groups.iter().copied())
            .claim("auth_time", now)
            .lifetime(Duration::from_secs(600))
            .sign()
            .unwrap()
    }

    /// A command of the admin API, called by the person who has this token.
    pub(crate) fn manage(&self, token: &str, arguments: &[&str]) -> Output {
        Command::new(TOLLBOOK)
            .args(arguments)
            .args(["--gateway", &self.admin])
            .env("TOLLBOOK_TOKEN", token)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// What waits for approval of this caller, as soon as it does, as the person with this token
    /// sees it.
    pub(crate) fn pending(&self, token: &str, subject: &str) -> Value {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let listed = self.manage(
                token,
                &["approvals", "list", "--state", "pending", "--json"],
            );
            let text = String::from_utf8(listed.stdout).unwrap();
            let mut all = text
                .lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            let whose = format!("/{subject}");
            let of = |one: &Value| one["who"].as_str().is_some_and(|who| who.ends_with(&whose));
            if let Some(found) = all.find(of) {
                return found;
            }
            assert!(
                Instant::now() < deadline,
                "{subject} asks for nothing: {}",
                String::from_utf8_lossy(&listed.stderr)
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// One person's word about this approval.
    pub(crate) fn decide(&self, token: &str, vote: &str, approval: &Value) -> Value {
        let (id, hash) = (
            approval["id"].as_str().unwrap(),
            approval["hash"].as_str().unwrap(),
        );
        let decided = self.manage(
            token,
            &[
                "approvals",
                vote,
                id,
                "--hash",
                hash,
                "--reason",
                "seen",
                "--json",
            ],
        );
        assert!(
            decided.status.success(),
            "{}",
            String::from_utf8_lossy(&decided.stderr)
        );
        serde_json::from_slice(&decided.stdout).unwrap()
    }

    /// Sends the gateway a signal.
    pub(crate) fn signal(&self, name: &str) {
        let told = Command::new("kill")
            .args(["-s", name, &self.gateway.as_ref().unwrap().id().to_string()])
            .status()
            .unwrap();
        assert!(told.success());
    }

    /// The folder in which the stage keeps what it has; gone with it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the gateway listens: host and port.
    pub(crate) fn address(&self) -> &str {
        let rest = self.base.trim_start_matches("http://");
        rest.split('/').next().unwrap()
    }

    /// Sends one prompt that is not streamed, and leaves the answer to the book; its status.
    pub(crate) fn ask(&self, token: &str, model: &str, prompt: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client
            .post(format!("{}/v1/messages", self.base))
            .bearer_auth(token)
            .header("anthropic-version", "2023-06-01")
            .json(&serde_json::json!({
                "model": model,
                "max_tokens": 64,
                "messages": [{ "role": "user", "content": prompt }],
            }))
            .send();
        self.runtime.block_on(call).unwrap().status().as_u16()
    }

    pub(crate) fn book(&self) -> PathBuf {
        self.folder.path().join("book")
    }

    /// Runs a reading command on the book of the running gateway.
    pub(crate) fn read(&self, arguments: &[&str]) -> Output {
        Command::new(TOLLBOOK)
            .args(arguments)
            .arg("--data")
            .arg(self.book())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The exchanges of the book that meet `wanted`, oldest first, waiting until there are
    /// `count` that have ended: a record is written when its exchange ends, which a client need
    /// not wait for.
    pub(crate) fn exchanges(&self, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let output = self.read(&["exchanges", "list", "--json", "--limit", "10000"]);
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            let mut found: Vec<Value> = String::from_utf8(output.stdout)
                .unwrap()
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                // That the gateway started is true of every stage.
                .filter(|summary: &Value| summary["action"] != "gateway.started")
                .filter(|summary: &Value| !summary["outcome"].is_null() && wanted(summary))
                .collect();
            found.reverse();
            if found.len() >= count || Instant::now() > deadline {
                return found;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The whole record of an exchange.
    pub(crate) fn exchange(&self, id: &Value) -> Value {
        let output = self.read(&["exchanges", "show", "--json", id.as_str().unwrap()]);
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Ends the gateway as an operator would, and proves its book.
    pub(crate) fn end(mut self) {
        self.stop();
        let verified = self.read(&["verify"]);
        assert!(
            verified.status.success(),
            "{}",
            String::from_utf8_lossy(&verified.stdout)
        );
    }

    /// Ends the gateway as an operator would.
    pub(crate) fn stop(&mut self) {
        let mut gateway = self.gateway.take().unwrap();
        let told = Command::new("kill")
            .arg(gateway.id().to_string())
            .status()
            .unwrap();
        assert!(told.success());
        let ended = gateway.wait().unwrap();
        assert!(ended.success(), "the gateway ended with {ended}");
    }

    /// Runs a command with the configuration of the gateway.
    pub(crate) fn operate(&self, arguments: &[&str]) -> Output {
        Command::new(TOLLBOOK)
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("tollbook.toml"))
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(gateway) = &mut self.gateway {
            // A test failed before its end; nothing of it may stay behind.
            drop(gateway.kill());
            drop(gateway.wait());
        }
    }
}
