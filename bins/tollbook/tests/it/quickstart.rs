//! `tollbook quickstart`, by using all that it prints.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stage::TOLLBOOK;

/// A quickstart that runs, and what it said.
struct Quickstart {
    folder: TempDir,
    process: Option<Child>,
    told: Value,
}

impl Quickstart {
    fn start(folder: TempDir) -> Self {
        let mut process = Command::new(TOLLBOOK)
            .args(["quickstart", "--json", "--dir", "book"])
            .current_dir(folder.path())
            .env_remove("ANTHROPIC_API_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            folder,
            process: Some(process),
            told: serde_json::from_str(&line).unwrap(),
        }
    }

    fn text(&self, pointer: &str) -> &str {
        self.told
            .pointer(pointer)
            .and_then(Value::as_str)
            .unwrap_or_else(|| panic!("no {pointer}: {}", self.told))
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(TOLLBOOK)
            .args(arguments)
            .current_dir(self.folder.path())
            .env_remove("TOLLBOOK_CONFIG")
            .env("ANTHROPIC_BASE_URL", self.text("/base_url"))
            .env(
                "ANTHROPIC_FEDERATION_RULE_ID",
                self.text("/federation/rule"),
            )
            .env(
                "ANTHROPIC_ORGANIZATION_ID",
                self.text("/federation/organization"),
            )
            .env(
                "ANTHROPIC_IDENTITY_TOKEN_FILE",
                self.text("/federation/identity_token_file"),
            )
            .env("TOLLBOOK_ADMIN_URL", self.text("/admin"))
            .env("TOLLBOOK_TOKEN_FILE", self.text("/approver_token_file"))
            .env("HOME", self.folder.path())
            .env_remove("XDG_CONFIG_HOME")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    fn ask(&self, token: &str, model: &str) -> Child {
        let body = json!({
            "model": model, "max_tokens": 64, "stream": true,
            "messages": [{ "role": "user", "content": "please echo tollgate-quickstart" }],
        });
        Command::new("curl")
            .args(["-sN", "--max-time", "120"])
            .arg(format!("{}/v1/messages", self.text("/base_url")))
            .args(["-H", &format!("authorization: Bearer {token}")])
            .args(["-H", "anthropic-version: 2023-06-01"])
            .args(["-H", "content-type: application/json"])
            .args(["-d", &body.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    fn end(mut self) -> TempDir {
        let process = self.process.take().unwrap();
        let told = Command::new("kill").arg(process.id().to_string()).status();
        assert!(told.unwrap().success());
        let ended = process.wait_with_output().unwrap();
        assert!(ended.status.success());
        let folder = std::mem::replace(&mut self.folder, TempDir::new().unwrap());
        drop(self);
        folder
    }
}

impl Drop for Quickstart {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

fn printed(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn answer(asked: Child) -> String {
    printed(&asked.wait_with_output().unwrap())
}

#[test]
fn what_quickstart_sets_up_works() {
    let quickstart = Quickstart::start(TempDir::new().unwrap());
    let mode = |file: &str| fs::metadata(file).unwrap().permissions().mode() & 0o777;
    for file in ["/federation/identity_token_file", "/approver_token_file"] {
        assert_eq!(mode(quickstart.text(file)), 0o600);
    }
    // As the developer it prints a token for.
    let developer = quickstart.text("/token").to_owned();
    let echoed = answer(quickstart.ask(&developer, "claude-haiku-4-5"));
    assert!(echoed.contains("event: message_stop"), "{echoed}");
    // As a job.
    let doctor = quickstart.run(&["doctor"]);
    assert!(printed(&doctor).contains("✓ the gate"), "{doctor:?}");
    let job = printed(&quickstart.run(&["token", "exchange"]));
    let echoed = answer(quickstart.ask(job.trim(), "claude-opus-4-8"));
    assert!(echoed.contains("event: message_stop"), "{echoed}");
    // As a person who approves what waits.
    let model = quickstart.text("/approved_model").to_owned();
    let held = quickstart.ask(&developer, &model);
    let deadline = Instant::now() + Duration::from_secs(60);
    let waiting = loop {
        let listed = printed(&quickstart.run(&["approvals", "list", "--json"]));
        if let Some(line) = listed.lines().next() {
            break serde_json::from_str::<Value>(line).unwrap();
        }
        assert!(Instant::now() < deadline, "nothing waits");
        thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(waiting["requires"][0]["group"], "leads");
    let (id, hash) = (
        waiting["id"].as_str().unwrap(),
        waiting["hash"].as_str().unwrap(),
    );
    let approved = quickstart.run(&["approvals", "approve", id, "--hash", hash]);
    assert_eq!(printed(&approved), format!("{id} is approved\n"));
    let echoed = answer(held);
    assert!(echoed.contains("event: message_stop"), "{echoed}");
    printed(&quickstart.run(&["token", "list"]));
    end_and_verify(quickstart);
}

/// Its policies are the user's to change, and stay as the user left them.
#[test]
fn the_policies_of_quickstart_are_there_to_be_changed() {
    let quickstart = Quickstart::start(TempDir::new().unwrap());
    let config = quickstart.text("/config").to_owned();
    let tested = printed(&quickstart.run(&["policy", "test", "--config", &config]));
    assert!(tested.ends_with("4 passed, 0 failed\n"), "{tested}");
    let cedar = printed(&quickstart.run(&["policy", "print", "--config", &config]));
    for part in ["@id(\"large-model\")", "@id(\"jobs\")"] {
        assert!(cedar.contains(part), "{cedar}");
    }
    let rules = PathBuf::from(quickstart.text("/policies")).join("jobs.toml");
    let text = fs::read_to_string(&rules).unwrap();
    // What the file itself proposes.
    let limit = "models = [\"claude-haiku-*\"]";
    assert!(text.contains(limit), "{text}");
    fs::write(&rules, format!("{text}{limit}\n")).unwrap();
    let loaded = printed(&quickstart.run(&["policy", "reload"]));
    assert!(loaded.starts_with("loaded: sha256:"), "{loaded}");
    let job = printed(&quickstart.run(&["token", "exchange"]));
    let denied = answer(quickstart.ask(job.trim(), "claude-opus-4-8"));
    assert!(denied.contains("permission_error"), "{denied}");

    let folder = end_and_verify(quickstart);
    let again = Quickstart::start(folder);
    assert!(
        fs::read_to_string(&rules)
            .unwrap()
            .ends_with(&format!("{limit}\n"))
    );
    end_and_verify(again);
}

fn end_and_verify(quickstart: Quickstart) -> TempDir {
    let folder = quickstart.end();
    verify(folder.path());
    folder
}

fn verify(folder: &Path) {
    let verified = Command::new(TOLLBOOK)
        .args(["verify", "--data", "book"])
        .current_dir(folder)
        .output()
        .unwrap();
    printed(&verified);
}
