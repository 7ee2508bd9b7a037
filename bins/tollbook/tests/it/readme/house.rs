//! The house that the README furnishes, with stand-ins for what is outside it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tollbook_testkit::{
    issuer::{self, OidcIssuer},
    upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig},
};

use super::{Block, said, stop};
use crate::stage::TOLLBOOK;

/// A gateway that runs with everything that the README writes, and those who use it.
pub(super) struct House {
    folder: TempDir,
    gateway: Option<Child>,
    base: String,
    admin: String,
    github: OidcIssuer,
    gitlab: OidcIssuer,
    people: OidcIssuer,
    upstream: ClaudeUpstream,
    runtime: Runtime,
}

impl House {
    pub(super) fn open(blocks: &[Block]) -> Self {
        let runtime = Runtime::new().unwrap();
        let (github, gitlab, people, upstream) = runtime.block_on(async {
            let issuer = || OidcIssuer::start(issuer::Config::default());
            let upstream = ClaudeUpstream::start(UpstreamConfig::default()).await;
            let (github, gitlab) = (issuer().await.unwrap(), issuer().await.unwrap());
            (github, gitlab, issuer().await.unwrap(), upstream.unwrap())
        });
        let mut house = Self {
            folder: TempDir::new().unwrap(),
            gateway: None,
            base: String::new(),
            admin: String::new(),
            github,
            gitlab,
            people,
            upstream,
            runtime,
        };
        for block in blocks {
            block.write(house.site());
        }
        // What a job finds on its machine: this program, and no configuration of a gateway.
        fs::create_dir(house.job()).unwrap();
        let claude = house.job().join("claude");
        fs::write(&claude, "#!/bin/sh\nexec tollbook token exchange\n").unwrap();
        let may_run = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o755);
        fs::set_permissions(&claude, may_run).unwrap();

        let mut serve = house.operator("exec tollbook serve --json");
        let mut gateway = serve.stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(gateway.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        house.gateway = Some(gateway);
        let started: Value = serde_json::from_str(&line).expect("serve says where it listens");
        let address = |name: &str| started[name].as_str().unwrap().to_owned();
        house.base = format!("http://{}/claude", address("listen"));
        house.admin = format!("http://{}", address("admin"));
        house
    }

    /// Where the README's files are.
    pub(super) fn site(&self) -> &Path {
        self.folder.path()
    }

    fn job(&self) -> PathBuf {
        self.folder.path().join("job")
    }

    /// A line of the shell, by somebody who runs the gateway.
    pub(super) fn operator(&self, line: &str) -> Command {
        let mut command = shell(line, self.site());
        command
            .env("TOLLBOOK_GATEWAY__LISTEN", "127.0.0.1:0")
            .env("TOLLBOOK_GATEWAY__ADMIN", "127.0.0.1:0")
            .env("TOLLBOOK_ISSUER__CI__ISSUER", self.github.issuer_url())
            .env("TOLLBOOK_ISSUER__GITLAB__ISSUER", self.gitlab.issuer_url())
            .env("TOLLBOOK_ISSUER__CORP__ISSUER", self.people.issuer_url())
            .env("TOLLBOOK_CONNECTION__CLAUDE__UPSTREAM", self.upstream.url())
            .env("TOLLBOOK_CONNECTION__ORDERS__LISTEN", "127.0.0.1:0")
            .env("ORDERS_PASSWORD", "of the readme")
            .env("TOLLBOOK_APPROVALS__SLACK__API", "http://127.0.0.1:9")
            .env("TOLLBOOK_LOG", "error")
            .env("ANTHROPIC_API_KEY", STANDIN_API_KEY)
            .env("WEBHOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
            .env("SLACK_BOT_TOKEN", "xoxb-of-the-readme")
            .env("SLACK_SIGNING_SECRET", "of the readme");
        if !self.admin.is_empty() {
            command
                .env("TOLLBOOK_ADMIN_URL", &self.admin)
                .env("TOLLBOOK_TOKEN", self.ana());
        }
        command
    }

    /// The address of the upstream.
    pub(super) fn upstream_url(&self) -> String {
        self.upstream.url().to_owned()
    }

    /// Lines of the shell in a job that has these variables, beside those of its platform.
    pub(super) fn in_job(&self, lines: &str, variables: &[(String, String)]) -> Output {
        let here = |text: &str| text.replace("/tmp/", &format!("{}/", self.job().display()));
        let mut command = shell(&here(lines), &self.job());
        let path = std::env::var("PATH").unwrap();
        let program = Path::new(TOLLBOOK).parent().unwrap().display();
        command.env("PATH", format!("{program}:{}:{path}", self.job().display()));
        command
            .env("HOME", self.job())
            .env_remove("XDG_RUNTIME_DIR");
        for (name, value) in variables {
            let value = match name.as_str() {
                "ANTHROPIC_BASE_URL" => self.base.clone(),
                _ => here(value),
            };
            command.env(name, value);
        }
        // A group of its own, for what it leaves running behind it, as runners do; and files, which
        // such programs do not keep open for us.
        let out = fs::File::create(self.job().join("out")).unwrap();
        let err = fs::File::create(self.job().join("err")).unwrap();
        let mut child = command
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .unwrap();
        let group = child.id();
        let status = child.wait().unwrap();
        let ended = Command::new("kill")
            .args(["--", &format!("-{group}")])
            .output();
        drop(ended);
        Output {
            status,
            stdout: fs::read(self.job().join("out")).unwrap(),
            stderr: fs::read(self.job().join("err")).unwrap(),
        }
    }

    /// Keeps a job's token where the README's job looks for it, and gives the job's variables.
    pub(super) fn with_token(&self) -> Vec<(String, String)> {
        let file = self.job().join("identity-token");
        fs::write(&file, self.github_token("refs/heads/main")).unwrap();
        let variables = [
            ("ANTHROPIC_BASE_URL", ""),
            ("ANTHROPIC_FEDERATION_RULE_ID", "payments-ci"),
            (
                "ANTHROPIC_ORGANIZATION_ID",
                "00000000-0000-0000-0000-000000000000",
            ),
            ("ANTHROPIC_IDENTITY_TOKEN_FILE", "/tmp/identity-token"),
        ];
        variables
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// A token as GitHub makes it for the README's repository.
    pub(super) fn github_token(&self, reference: &str) -> String {
        let token = self.github.token(format!("repo:acme/pay:ref:{reference}"));
        let token = token
            .claim("repository_id", "123456")
            .claim("actor_id", "1001")
            .claim("ref", reference);
        token.sign().unwrap()
    }

    /// A token as GitLab makes it for the README's project.
    pub(super) fn gitlab_token(&self) -> String {
        let token = self
            .gitlab
            .token("project_path:acme/pay:ref_type:branch:ref:main");
        let token = token
            .claim("project_id", "4711")
            .claim("job_id", "1")
            .claim("ref_path", "refs/heads/main");
        token.sign().unwrap()
    }

    /// The README's person, who is in every group that it names.
    fn ana(&self) -> String {
        let token = self
            .people
            .token("ana@acme.example")
            .claim("uid", "00u1ana");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let token = token.claim("cid", "0oa1cli");
        let token = token.claim("auth_time", now.unwrap().as_secs());
        let groups = ["leads", "platform", "oncall", "developers"];
        token.groups(groups).sign().unwrap()
    }

    /// Sends a prompt in the name of a job, and gives the status. The job is of a branch that no
    /// federation rule speaks for, so that revoking one leaves it alone.
    fn ask(&self, model: &str, prompt: &str) -> impl Future<Output = u16> + Send + 'static {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let call = client
            .post(format!("{}/v1/messages", self.base))
            .bearer_auth(self.github_token("refs/heads/fix"))
            .header("anthropic-version", "2023-06-01")
            .json(&json!({
                "model": model, "max_tokens": 64,
                "messages": [{ "role": "user", "content": prompt }],
            }))
            .send();
        async { call.await.unwrap().status().as_u16() }
    }

    /// The id of an exchange that was judged.
    pub(super) fn exchange(&self) -> String {
        let status = self.runtime.block_on(self.ask("claude-haiku-4-5", "hello"));
        assert_eq!(status, 200);
        let list = "tollbook exchanges list --connection claude --json";
        let judged = |line: &Value| line["action"] == "messages.create";
        let found = self.wait_for(list, judged);
        found["id"].as_str().unwrap().to_owned()
    }

    /// Something that waits for approval: its id and its hash. Asked for if nothing does.
    pub(super) fn pending(&self) -> (String, String) {
        let list = "tollbook approvals list --state pending --json";
        if self.operator(list).output().unwrap().stdout.is_empty() {
            let prompt = format!("at {:?}", Instant::now());
            self.runtime.spawn(self.ask("claude-opus-5", &prompt));
        }
        let found = self.wait_for(list, |_| true);
        let text = |key: &str| found[key].as_str().unwrap().to_owned();
        (text("id"), text("hash"))
    }

    /// Calls the admin API as the README's person, without a body, and gives the status.
    pub(super) fn call(&self, method: &str, path: &str) -> u16 {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let method = method.parse().unwrap();
        let call = client.request(method, format!("{}{path}", self.admin));
        let answer = self.runtime.block_on(call.bearer_auth(self.ana()).send());
        answer.unwrap().status().as_u16()
    }

    fn wait_for(&self, list: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let output = self.operator(list).output().unwrap();
            let lines = String::from_utf8_lossy(&output.stdout).into_owned();
            let mut lines = lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap());
            if let Some(found) = lines.find(&wanted) {
                return found;
            }
            assert!(Instant::now() < deadline, "`{list}`: {}", said(&output));
            thread::sleep(Duration::from_millis(100));
        }
    }

    pub(super) fn close(mut self) {
        let ended = stop(self.gateway.take().unwrap());
        assert!(ended.status.success(), "{}", said(&ended));
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Some(gateway) = &mut self.gateway {
            drop(gateway.kill());
            drop(gateway.wait());
        }
    }
}

/// A shell for these lines, which finds this build of the program.
pub(super) fn shell(lines: &str, folder: &Path) -> Command {
    let program = Path::new(TOLLBOOK).parent().unwrap().display();
    let path = std::env::var("PATH").unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", lines])
        .current_dir(folder)
        .env("PATH", format!("{program}:{path}"))
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// Where GitHub Actions hands `token` out, once, to whoever asks as its documentation says.
pub(super) fn github_runner(token: String) -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/token?v=1", listener.local_addr().unwrap());
    let serve = thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let (mut head, mut bytes) = (Vec::new(), [0; 1024]);
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let count = connection.read(&mut bytes).unwrap();
            assert!(count > 0, "the request broke off");
            head.extend_from_slice(&bytes[..count]);
        }
        let body = json!({ "value": token }).to_string();
        let length = body.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
        );
        connection.write_all(answer.as_bytes()).unwrap();
        String::from_utf8(head).unwrap()
    });
    (url, serve)
}
