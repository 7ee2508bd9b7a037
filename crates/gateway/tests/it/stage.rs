//! A gateway between a stand-in issuer and an upstream.

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant, SystemTime},
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tollbook_gateway::{Gateway, Plan};
use tollbook_recording::{Filter, Health, Reader};
use tollbook_testkit::{
    issuer::{self, OidcIssuer},
    upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig},
};

pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) struct Stage {
    folder: TempDir,
    config: String,
    environment: Vec<(String, String)>,
    pub(crate) gateway: Gateway,
    /// Vouches for jobs.
    pub(crate) issuer: OidcIssuer,
    /// Vouches for people.
    pub(crate) people: OidcIssuer,
    pub(crate) upstream: Option<ClaudeUpstream>,
    pub(crate) client: HttpClient,
}

/// What is on a stage beyond what is on every stage.
#[derive(Clone, Debug, Default)]
#[must_use]
pub(crate) struct Scene {
    upstream: Option<(String, String)>,
    credential: Option<String>,
    connection: String,
    more: String,
    policies: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

impl Scene {
    /// With this upstream and its key, instead of a stand-in for the Claude API.
    pub(crate) fn upstream(mut self, url: &str, key: &str) -> Self {
        self.upstream = Some((url.to_owned(), key.to_owned()));
        self
    }

    /// With this credential for the upstream, as TOML, instead of its key.
    pub(crate) fn credential(mut self, toml: &str) -> Self {
        self.credential = Some(toml.to_owned());
        self
    }

    /// With more lines for the connection.
    pub(crate) fn connection(mut self, lines: &str) -> Self {
        self.connection = lines.to_owned();
        self
    }

    /// With more lines for the whole configuration.
    pub(crate) fn more(mut self, lines: &str) -> Self {
        self.more = lines.to_owned();
        self
    }

    /// With a file in the folder of policies.
    pub(crate) fn policy(mut self, file: &str, text: &str) -> Self {
        self.policies.push((file.to_owned(), text.to_owned()));
        self
    }

    /// With an environment variable.
    pub(crate) fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) async fn set(self) -> Stage {
        let mut standin = None;
        let (url, key) = match self.upstream {
            Some(upstream) => upstream,
            None => {
                let upstream = ClaudeUpstream::start(UpstreamConfig::default())
                    .await
                    .unwrap();
                let url = upstream.url().to_owned();
                standin = Some(upstream);
                (url, STANDIN_API_KEY.to_owned())
            }
        };
        let start = || OidcIssuer::start(issuer::Config::default());
        let (issuer, people) = (start().await.unwrap(), start().await.unwrap());
        let folder = TempDir::new().unwrap();
        let mut policies = "";
        if !self.policies.is_empty() {
            policies = "[policy]\npath = \"policies\"\n";
            fs::create_dir(folder.path().join("policies")).unwrap();
        }
        for (file, text) in &self.policies {
            fs::write(folder.path().join("policies").join(file), text).unwrap();
        }
        let key_of_env = r#"{ header = "x-api-key", env = "UPSTREAM_KEY" }"#;
        let config = format!(
            r#"
[gateway]
listen = "127.0.0.1:0"
admin = "127.0.0.1:0"
data = "book"
drain = "2s"

[[issuer]]
name = "ci"
issuer = "{}"
audience = "tollbook"
groups_claim = "groups"

[[issuer]]
name = "corp"
issuer = "{}"
audience = "tollbook"
kind = "human"
groups_claim = "groups"

[admin]
viewer = ["viewers"]
auditor = ["auditors"]
operator = ["platform"]

[[connection]]
name = "claude"
protocol = "claude"
upstream = "{url}"
credential = {}
allow = ["developers", "ci-payments"]
{}
{policies}
{}
"#,
            issuer.issuer_url(),
            people.issuer_url(),
            self.credential.as_deref().unwrap_or(key_of_env),
            self.connection,
            self.more,
        );
        let mut environment = self.environment;
        environment.push(("UPSTREAM_KEY".to_owned(), key));
        let plan = Plan::read(&config, folder.path(), environment.clone()).unwrap();
        let gateway = Gateway::start(plan).await.unwrap();
        Stage {
            folder,
            config,
            environment,
            gateway,
            issuer,
            people,
            upstream: standin,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }
}

impl Stage {
    /// With the stand-in for the Claude API behind the gate.
    pub(crate) async fn set() -> Self {
        Scene::default().set().await
    }

    /// With any upstream, and more lines for the connection and the whole configuration.
    pub(crate) async fn before(upstream: &str, key: &str, connection: &str, more: &str) -> Self {
        let scene = Scene::default().upstream(upstream, key);
        scene.connection(connection).more(more).set().await
    }

    /// The same gateway, ended and started again in the same folder.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|config| config).await
    }

    /// The same, with a configuration that was changed meanwhile.
    pub(crate) async fn restart_with(self, change: impl FnOnce(String) -> String) -> Self {
        let (stage, health) = self.restart_after(change).await;
        assert_eq!(health, Health::Healthy);
        stage
    }

    /// The same, however the book of the first was doing.
    pub(crate) async fn restart_after(
        mut self,
        change: impl FnOnce(String) -> String,
    ) -> (Self, Health) {
        let health = self.gateway.shutdown().await;
        self.config = change(self.config);
        let plan = Plan::read(&self.config, self.folder.path(), self.environment.clone()).unwrap();
        self.gateway = Box::pin(Gateway::start(plan)).await.unwrap();
        (self, health)
    }

    /// Locks the journal, which stops the book as surely as a disk that is full.
    pub(crate) fn lock_journal(&self) -> Locked {
        let mut locker = Command::new("python3")
            .args(["-c", LOCKER])
            .arg(self.book().join("journal.db"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 6];
        let output = locker.stdout.as_mut().unwrap();
        std::io::Read::read_exact(output, &mut said).unwrap();
        Locked(locker)
    }

    /// Writes a file of the folder of policies, for the next reload.
    pub(crate) fn write_policy(&self, file: &str, text: &str) {
        fs::write(self.folder.path().join("policies").join(file), text).unwrap();
    }

    pub(crate) fn base(&self) -> String {
        format!("http://{}/claude", self.gateway.address())
    }

    pub(crate) fn token(&self) -> String {
        self.issuer
            .token("repo:acme/payments")
            .audience("tollbook")
            .groups(["developers"])
            .lifetime(Duration::from_secs(600))
            .sign()
            .unwrap()
    }

    /// The token of a job that is in no group.
    pub(crate) fn job(&self, subject: &str) -> String {
        let token = self.issuer.token(subject);
        let token = token.lifetime(Duration::from_secs(600));
        token.sign().unwrap()
    }

    /// The token of a person who has just signed in.
    pub(crate) fn person(&self, subject: &str, groups: &[&str]) -> String {
        let token = self.people.token(subject).groups(groups.iter().copied());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let token = token.claim("auth_time", now.unwrap().as_secs());
        token.lifetime(Duration::from_secs(600)).sign().unwrap()
    }

    pub(crate) fn book(&self) -> std::path::PathBuf {
        self.folder.path().join("book")
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A request with the usual headers of a client.
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base()))
            .header("authorization", format!("Bearer {}", self.token()))
            .header("anthropic-version", "2023-06-01")
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.client.request(request).await.unwrap()
    }

    /// A Messages call with this text.
    pub(crate) fn message(&self, text: &str, stream: bool) -> Request<Full<Bytes>> {
        let body = json!({
            "model": "claude-haiku-4-5",
            "max_tokens": 256,
            "stream": stream,
            "messages": [{ "role": "user", "content": text }],
        });
        self.request(Method::POST, "/v1/messages?beta=true")
            .header("content-type", "application/json")
            .body(Full::new(body.to_string().into()))
            .unwrap()
    }

    /// A call of the Messages API by whoever has this token.
    pub(crate) fn call(&self, token: &str, body: &Value) -> Request<Full<Bytes>> {
        Request::post(format!("{}/v1/messages", self.base()))
            .header("authorization", format!("Bearer {token}"))
            .header("anthropic-version", "2023-06-01")
            .header("content-type", "application/json")
            .body(Full::new(body.to_string().into()))
            .unwrap()
    }

    /// Status and answer of such a call.
    pub(crate) async fn ask(&self, token: &str, body: &Value) -> (u16, Value) {
        let (status, body) = whole(self.send(self.call(token, body)).await).await;
        (status, parsed(&body))
    }

    /// What such a call answers with a stream, event by event.
    pub(crate) async fn listen(&self, token: &str, body: &Value) -> Stream {
        let response = self.send(self.call(token, body)).await;
        let status = response.status().as_u16();
        Stream {
            status,
            body: response.into_body(),
            seen: String::new(),
        }
    }

    /// Status and answer of the admin API to whoever has this token.
    pub(crate) async fn admin(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://{}/v1{path}", self.gateway.admin()))
            .header("authorization", format!("Bearer {token}"));
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let request = request.body(Full::new(body.into())).unwrap();
        let (status, body) = whole(self.client.request(request).await.unwrap()).await;
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The approvals in this state, newest first, as soon as there are so many.
    pub(crate) async fn approvals(&self, state: &str, count: usize) -> Vec<Value> {
        let ops = self.person("olga", &["platform"]);
        let path = format!("/approvals?state={state}");
        let mut found = Vec::new();
        until(&format!("{count} approvals that are {state}"), async || {
            let (status, listed) = self.admin(&ops, Method::GET, &path, None).await;
            assert_eq!(status, 200, "{listed}");
            found = listed["approvals"].as_array().unwrap().clone();
            found.len() >= count
        })
        .await;
        assert_eq!(found.len(), count, "{found:#?}");
        found
    }

    /// What the admin API says to this person's vote.
    pub(crate) async fn vote(&self, person: &str, approval: &Value, vote: &str) -> (u16, Value) {
        let path = format!("/approvals/{}/decision", approval["id"].as_str().unwrap());
        let body = json!({ "vote": vote, "hash": approval["hash"], "reason": "looked at it" });
        self.admin(person, Method::POST, &path, Some(body)).await
    }

    /// Loads the policies anew, as an operator.
    pub(crate) async fn reload(&self) -> (u16, Value) {
        let ops = self.person("olga", &["platform"]);
        self.admin(&ops, Method::POST, "/policy/reload", None).await
    }

    /// How many calls for messages have reached the upstream.
    pub(crate) fn forwarded(&self) -> usize {
        let received = self.upstream.as_ref().unwrap().received();
        received
            .iter()
            .filter(|request| request.target.starts_with("/v1/messages"))
            .count()
    }

    /// Ends the gateway; the records of its book, oldest first, which is proven intact.
    pub(crate) async fn end(self) -> Records {
        assert_eq!(self.gateway.shutdown().await, Health::Healthy);
        drop((self.issuer, self.people));
        if let Some(upstream) = self.upstream {
            upstream.shutdown().await;
        }
        let reader = Reader::open(self.folder.path().join("book")).unwrap();
        let report = reader.verify(None).unwrap();
        assert!(report.is_verified(), "{report:?}");
        let mut filter = Filter::default();
        filter.limit = u64::MAX;
        let all: Vec<Value> = reader
            .exchanges(&filter)
            .unwrap()
            .iter()
            .map(|summary| reader.exchange(&summary.id.to_string()).unwrap().unwrap())
            .collect();
        // What the gate itself did is looked at where it matters.
        let (own, mut all): (Vec<Value>, Vec<Value>) =
            (all.into_iter()).partition(|record| record["connection"] == "(gate)");
        all.reverse();
        Records {
            all,
            own,
            folder: self.folder,
        }
    }
}

pub(crate) struct Records {
    /// What callers did, the oldest first.
    pub(crate) all: Vec<Value>,
    /// What the gate itself did, the newest first.
    pub(crate) own: Vec<Value>,
    /// Still there, for tests that look at the files.
    pub(crate) folder: TempDir,
}

impl Records {
    /// The exchanges of a connection, the oldest first.
    pub(crate) fn of(&self, connection: &str) -> Vec<&Value> {
        let all = self.all.iter();
        all.filter(|record| record["connection"] == connection)
            .collect()
    }

    /// What the gate itself did under this name, the oldest first.
    pub(crate) fn events(&self, name: &str) -> Vec<&Value> {
        let own = self.own.iter().rev();
        own.filter(|record| record["action"]["name"] == name)
            .collect()
    }
}

/// Locks the file it is given until its input ends.
const LOCKER: &str = "import sqlite3,sys
c=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=30)
c.execute('BEGIN EXCLUSIVE'); print('locked',flush=True); sys.stdin.read()";

/// A journal that cannot be written until this is gone.
pub(crate) struct Locked(Child);

impl Drop for Locked {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

/// A stream that is being read.
pub(crate) struct Stream {
    pub(crate) status: u16,
    body: Incoming,
    /// What has come so far.
    pub(crate) seen: String,
}

impl Stream {
    /// Reads on until this has come.
    pub(crate) async fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            assert!(self.next().await, "no {text:?} in {:?}", self.seen);
        }
    }

    /// Reads to the end.
    pub(crate) async fn rest(mut self) -> String {
        while self.next().await {}
        self.seen
    }

    /// Reads one more piece. Whether there was one.
    pub(crate) async fn next(&mut self) -> bool {
        let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
        assert!(frame.is_ok(), "stopped after {:?}", self.seen);
        let Some(frame) = frame.unwrap() else {
            return false;
        };
        if let Ok(data) = frame.unwrap().into_data() {
            self.seen += std::str::from_utf8(&data).unwrap();
        }
        true
    }
}

/// How long a slow machine may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so().await {
        assert!(Instant::now() < deadline, "there never were {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) async fn whole(response: Response<Incoming>) -> (u16, Bytes) {
    let status = response.status().as_u16();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes(),
    )
}

pub(crate) fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}
