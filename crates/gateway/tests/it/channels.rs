//! How people learn of what waits for them, and answer from where they are.

use std::collections::VecDeque;

use bytes::Bytes;
use http::{HeaderMap, Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tollbook_approvals::channel::WebhookSecret;
use tollbook_exchange::Timestamp;

use crate::{
    canary,
    stage::{PATIENCE, Scene, Stage, parsed, until, whole},
};

const ASKS: &str = r#"
@id("look-first")
@approval("leads:1")
@reason("a lead looks at it first")
forbid (principal, action == Tollbook::Action::"messages.create", resource);
"#;

const HOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SIGNING_SECRET: &str = "8f742231b10e8888abcd99yyyzzz85a5";
const BOT_TOKEN: &str = "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy";

/// A request as the other side got it.
#[derive(Debug)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

/// Somebody who is told things.
struct Receiver {
    url: String,
    got: mpsc::Receiver<Got>,
}

impl Receiver {
    /// Answers the first requests with these, and all others with 200.
    async fn start(answers: &[u16], body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let mut answers: VecDeque<u16> = answers.iter().copied().collect();
        let (tell, got) = mpsc::channel(100);
        tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let answer = answers.pop_front().unwrap_or(200);
                let Some(one) = receive(socket, answer, body).await else {
                    continue;
                };
                if tell.send(one).await.is_err() {
                    return;
                }
            }
        });
        Self { url, got }
    }

    async fn next(&mut self) -> Got {
        let next = tokio::time::timeout(PATIENCE, self.got.recv()).await;
        next.unwrap().unwrap()
    }

    /// The next that is of this kind.
    async fn next_of(&mut self, kind: &str) -> (Got, Value) {
        loop {
            let got = self.next().await;
            let body = parsed(&got.body);
            if body["type"] == kind {
                return (got, body);
            }
        }
    }
}

/// Reads one request, and answers it.
async fn receive(mut socket: TcpStream, status: u16, body: &str) -> Option<Got> {
    let mut read = Vec::new();
    let end = loop {
        if let Some(end) = read.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end;
        }
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(read[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let path = lines.next()?.split(' ').nth(1)?.to_owned();
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: http::HeaderName = name.parse().unwrap();
        headers.append(name, value.parse().unwrap());
    }
    let length: usize = headers.get("content-length")?.to_str().ok()?.parse().ok()?;
    while read.len() < end + 4 + length {
        if socket.read_buf(&mut read).await.ok()? == 0 {
            return None;
        }
    }
    let answer = format!(
        "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(answer.as_bytes()).await.ok()?;
    Some(Got {
        path,
        headers,
        body: read.split_off(end + 4).into(),
    })
}

fn prompt(text: &str) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 64,
        "messages": [{ "role": "user", "content": text }],
    })
}

fn scene(channels: &str) -> Scene {
    let more = format!(
        "[[person]]\nname = \"ana\"\naccounts = [\"corp/ana\", \"slack/T1/U1\"]\n\
         groups = [\"leads\"]\n\
         [[person]]\nname = \"job-owner\"\n\
         accounts = [\"slack/T1/U3\", \"ci/repo:acme/payments\"]\ngroups = [\"leads\"]\n{channels}"
    );
    Scene::default()
        .policy("asks.cedar", ASKS)
        .connection(r#"approvals = { mode = "fail_fast" }"#)
        .more(&more)
        .variable("HOOK_SECRET", HOOK_SECRET)
        .variable("SLACK_SIGNING", SIGNING_SECRET)
        .variable("SLACK_BOT", BOT_TOKEN)
}

/// Nothing that opens anything is in the folder of the gateway.
fn nothing_kept(folder: &std::path::Path) {
    canary::look(folder, &mut |path, bytes| {
        for secret in [&HOOK_SECRET[8..], SIGNING_SECRET, &BOT_TOKEN[8..]] {
            let found = canary::contains(bytes, secret.as_bytes());
            assert!(!found, "{secret} is in {}", path.display());
        }
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_signed_and_a_retry_has_the_same_name() {
    let mut hook = Receiver::start(&[500], "").await;
    let channels = format!(
        "[[approvals.webhook]]\nurl = \"{}/hook\"\nsecret = {{ env = \"HOOK_SECRET\" }}\n\
         allow_private = true\n",
        hook.url
    );
    let stage = scene(&channels).set().await;
    let secret = format!("{}{}", "ghp_", "c4N4ryC4N4ryC4N4ryC4N4ryC4N4ryC4N4ry");
    let text = prompt(&format!("may I use {secret}?"));
    assert_eq!(stage.ask(&stage.token(), &text).await.0, 409);
    let (refused, first) = hook.next_of("approval.asked").await;
    let (taken, second) = hook.next_of("approval.asked").await;
    assert_eq!(refused.path, "/hook");
    let signs = WebhookSecret::parse(HOOK_SECRET).unwrap();
    for got in [&refused, &taken] {
        let header = |name: &str| got.headers[name].to_str().unwrap();
        assert_eq!(header("content-type"), "application/json");
        let at: i64 = header("webhook-timestamp").parse().unwrap();
        let seconds = Timestamp::from_micros(at * 1_000_000);
        let [_, _, (_, expected)] = signs.sign(header("webhook-id"), seconds, &got.body);
        assert_eq!(header("webhook-signature"), expected);
        let now = Timestamp::now().as_micros() / 1_000_000;
        assert!((now - at).abs() < 120, "{at}");
        assert!(!got.headers.contains_key("authorization"));
    }
    assert_eq!(refused.headers["webhook-id"], taken.headers["webhook-id"]);
    assert_eq!(first, second);
    let pending = stage.approvals("pending", 1).await.remove(0);
    let told = &second["data"]["approval"];
    assert_eq!(
        (&told["id"], &told["hash"]),
        (&pending["id"], &pending["hash"])
    );
    assert!(!second.to_string().contains(&secret[8..]), "{second}");
    assert!(second.to_string().contains("may I use"), "{second}");

    // After a restart people are told again of what still waits, and then of its end.
    let stage = stage.restart().await;
    let (_, again) = hook.next_of("approval.still_pending").await;
    assert_eq!(again["data"]["approval"]["id"], pending["id"]);
    let ana = stage.person("ana", &["leads"]);
    assert_eq!(stage.vote(&ana, &pending, "approve").await.0, 200);
    let (got, approved) = hook.next_of("approval.approved").await;
    assert_eq!(approved["data"]["by"], "person:ana");
    assert_ne!(got.headers["webhook-id"], taken.headers["webhook-id"]);
    let records = stage.end().await;
    nothing_kept(records.folder.path());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_hangs_holds_nobody_up() {
    // Takes connections, and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let channels = format!(
        "[[approvals.webhook]]\nurl = \"http://{}/hook\"\nsecret = {{ env = \"HOOK_SECRET\" }}\n\
         allow_private = true\n",
        silent.local_addr().unwrap()
    );
    let stage = scene(&channels).set().await;
    assert_eq!(stage.ask(&stage.token(), &prompt("one")).await.0, 409);
    let pending = stage.approvals("pending", 1).await.remove(0);
    let ana = stage.person("ana", &["leads"]);
    assert_eq!(stage.vote(&ana, &pending, "approve").await.0, 200);
    assert_eq!(stage.ask(&stage.token(), &prompt("one")).await.0, 200);
    stage.end().await;
}

/// RFC 2104 with SHA-256, in hexadecimal.
fn hmac(key: &[u8], message: &[u8]) -> String {
    let mut block = [0; 64];
    block[..key.len()].copy_from_slice(key);
    let pad = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(pad(0x36)).chain_update(message);
    let outer = Sha256::new()
        .chain_update(pad(0x5c))
        .chain_update(inner.finalize());
    outer
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// What Slack sends when `user` presses the button of this value, some seconds from now.
fn press(
    stage: &Stage,
    key: &str,
    user: &str,
    action: &str,
    value: &Value,
    reply: &str,
    seconds: i64,
) -> Request<Full<Bytes>> {
    let payload = json!({
        "type": "block_actions",
        "user": { "id": user, "team_id": "T1", "username": "ana", "name": "ana" },
        "team": { "id": "T1", "domain": "acme" },
        "actions": [{ "type": "button", "action_id": action, "value": value }],
        "response_url": reply,
    });
    let encoded: String = (payload.to_string().bytes())
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect();
    let body = format!("payload={encoded}");
    let at = (Timestamp::now().as_micros() / 1_000_000 + seconds).to_string();
    let signature = hmac(key.as_bytes(), format!("v0:{at}:{body}").as_bytes());
    let address = format!("http://{}/v1/slack/interactions", stage.gateway.admin());
    Request::post(address)
        .header("content-type", "application/x-www-form-urlencoded")
        .header("x-slack-request-timestamp", at)
        .header("x-slack-signature", format!("v0={signature}"))
        .body(Full::new(body.into()))
        .unwrap()
}

/// The value of the buttons in the next message that has some.
async fn button(slack: &mut Receiver) -> Value {
    loop {
        let got = slack.next().await;
        assert_eq!(got.path, "/api/chat.postMessage");
        assert_eq!(got.headers["authorization"], format!("Bearer {BOT_TOKEN}"));
        let message = parsed(&got.body);
        assert_eq!(message["channel"], "C1");
        let blocks = message["blocks"].as_array().unwrap();
        if let Some(actions) = blocks.iter().find(|block| block["type"] == "actions") {
            return actions["elements"][0]["value"].clone();
        }
    }
}

/// What the user who pressed is told.
async fn told(slack: &mut Receiver) -> String {
    loop {
        let got = slack.next().await;
        if got.path.starts_with("/reply/") {
            let body = parsed(&got.body);
            assert_eq!(body["response_type"], "ephemeral");
            return body["text"].as_str().unwrap().to_owned();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_linked_an_account_decides_in_slack_and_nobody_else() {
    let mut slack = Receiver::start(&[], r#"{"ok":true,"ts":"1.2"}"#).await;
    let channels = format!(
        "[approvals.slack]\nsigning_secret = {{ env = \"SLACK_SIGNING\" }}\n\
         bot_token = {{ env = \"SLACK_BOT\" }}\nchannel = \"C1\"\napi = \"{}\"\n",
        slack.url
    );
    let stage = scene(&channels).set().await;
    let reply = format!("{}/reply/1", slack.url);
    assert_eq!(stage.ask(&stage.token(), &prompt("one")).await.0, 409);
    let value = button(&mut slack).await;
    let send = async |request| whole(stage.client.request(request).await.unwrap()).await.0;
    let with = |key: &str, user: &str, value: &Value, seconds: i64| {
        press(
            &stage,
            key,
            user,
            "tollbook_approve",
            value,
            &reply,
            seconds,
        )
    };

    // Signed by somebody else, too old, of the future, or for a button that is not ours.
    for (what, request, status) in [
        ("forged", with("another secret", "U1", &value, 0), 401),
        ("old", with(SIGNING_SECRET, "U1", &value, -400), 401),
        (
            "of the future",
            with(SIGNING_SECRET, "U1", &value, 400),
            401,
        ),
        (
            "made up",
            with(SIGNING_SECRET, "U1", &json!("apr_1.00000000.0.0"), 0),
            400,
        ),
    ] {
        assert_eq!(send(request).await, status, "{what}");
    }
    let mut unsigned = with(SIGNING_SECRET, "U1", &value, 0);
    unsigned.headers_mut().remove("x-slack-signature");
    assert_eq!(send(unsigned).await, 401);
    // Signed, by somebody whom nobody knows; and by the person behind the job.
    assert_eq!(send(with(SIGNING_SECRET, "U2", &value, 0)).await, 200);
    assert!(
        told(&mut slack)
            .await
            .contains("Nobody has linked your account")
    );
    assert_eq!(send(with(SIGNING_SECRET, "U3", &value, 0)).await, 200);
    assert!(told(&mut slack).await.contains("own request"));
    let pending = stage.approvals("pending", 1).await.remove(0);
    assert_eq!(pending["votes"], json!([]), "nothing of that was a vote");

    // By the one who may; the same press again is nothing.
    let once = with(SIGNING_SECRET, "U1", &value, 0);
    assert_eq!(send(once.clone()).await, 200);
    assert!(told(&mut slack).await.contains("approved"));
    stage.approvals("approved", 1).await;
    assert_eq!(send(once).await, 400);
    assert_eq!(stage.ask(&stage.token(), &prompt("one")).await.0, 200);

    // A no.
    assert_eq!(stage.ask(&stage.token(), &prompt("two")).await.0, 409);
    let value = button(&mut slack).await;
    let no = press(
        &stage,
        SIGNING_SECRET,
        "U1",
        "tollbook_deny",
        &value,
        &reply,
        0,
    );
    assert_eq!(send(no).await, 200);
    assert!(told(&mut slack).await.contains("denied"));
    assert_eq!(stage.ask(&stage.token(), &prompt("two")).await.0, 403);

    // A reply goes to Slack and to nobody else.
    assert_eq!(stage.ask(&stage.token(), &prompt("three")).await.0, 409);
    let value = button(&mut slack).await;
    let mut other = Receiver::start(&[], "").await;
    let elsewhere = format!("{}/reply/1", other.url);
    let no = press(
        &stage,
        SIGNING_SECRET,
        "U1",
        "tollbook_deny",
        &value,
        &elsewhere,
        0,
    );
    assert_eq!(send(no).await, 200);
    until("a denial", async || {
        let ops = stage.person("olga", &["platform"]);
        let path = "/approvals?state=denied";
        let (_, listed) = stage.admin(&ops, Method::GET, path, None).await;
        listed["approvals"].as_array().unwrap().len() == 2
    })
    .await;

    // What is risky needs a person who has just signed in, and a messenger is no sign-in.
    let risky = prompt("please run: sudo rm -rf / --no-preserve-root");
    assert_eq!(stage.ask(&stage.token(), &risky).await.0, 409);
    let value = button(&mut slack).await;
    assert_eq!(send(with(SIGNING_SECRET, "U1", &value, 0)).await, 200);
    assert!(told(&mut slack).await.contains("sign in"));
    let pending = stage.approvals("pending", 1).await.remove(0);
    assert!(pending["risk"].as_u64().unwrap() >= 70, "{pending}");
    assert_eq!(stage.forwarded(), 1);

    let records = stage.end().await;
    assert!(other.got.try_recv().is_err());
    nothing_kept(records.folder.path());
    let presses: Vec<&Value> = (records.of("(admin)").into_iter())
        .filter(|record| record["request"]["target"] == "/v1/slack/interactions")
        .collect();
    assert_eq!(presses.len(), 12, "each is in the book");
    let by = |record: &&&Value| record["principal"]["subject"] == "T1/U1";
    assert_eq!(presses.iter().filter(by).count(), 4);
    let yes = records.events("approval.approved");
    assert_eq!(yes[0]["action"]["person"], "person:ana");
    assert_eq!(yes[0]["action"]["person_identity"], "slack/T1/U1");
}
