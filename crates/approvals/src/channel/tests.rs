//! Channels over real sockets.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::HeaderMap;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinSet,
    time::timeout,
};
use tollbook_exchange::Timestamp;

use super::*;
use crate::{Clock, EventKind, Notify};

/// A receiver on loopback that writes down what comes and answers as told.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<Got>>>,
    _task: JoinSet<()>,
}

#[derive(Clone)]
struct Got {
    path: String,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Got {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl Receiver {
    /// Answers the first requests with these, and all after with the last.
    async fn start(answers: Vec<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let (kept, number) = (Arc::clone(&got), Arc::new(AtomicUsize::new(0)));
        let mut task = JoinSet::new();
        task.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, number, answers) =
                    (Arc::clone(&kept), Arc::clone(&number), answers.clone());
                open.spawn(async move {
                    let mut bytes = Vec::new();
                    while !bytes.ends_with(b"\r\n\r\n") {
                        bytes.push(stream.read_u8().await?);
                    }
                    let head = String::from_utf8(bytes).unwrap();
                    let mut headers = HeaderMap::new();
                    for line in head.lines().skip(1).filter(|line| !line.is_empty()) {
                        let (name, value) = line.split_once(": ").unwrap();
                        let name: http::HeaderName = name.parse().unwrap();
                        headers.append(name, value.parse().unwrap());
                    }
                    let length = headers["content-length"].to_str().unwrap().parse().unwrap();
                    let mut body = vec![0; length];
                    stream.read_exact(&mut body).await?;
                    let path = head.split(' ').nth(1).unwrap().to_owned();
                    kept.lock().unwrap().push(Got {
                        path,
                        headers,
                        body,
                    });
                    let index = number.fetch_add(1, Ordering::SeqCst).min(answers.len() - 1);
                    let answer = &answers[index];
                    stream.write_all(answer.as_bytes()).await?;
                    stream.shutdown().await
                });
            }
        });
        Self {
            url,
            got,
            _task: task,
        }
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

fn answer(status: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Half a second later at each look, so that every signature has another time.
#[derive(Default)]
struct Ticking(AtomicUsize);

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        let looks = self.0.fetch_add(1, Ordering::SeqCst) as u64;
        sample::NOW.after_micros(looks * 2_000_000)
    }
}

const FIRST: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const SECOND: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDC2FVsBQIhrs=";
const SOON: Duration = Duration::from_secs(20);

fn secret(text: &str) -> WebhookSecret {
    WebhookSecret::parse(text).unwrap()
}

#[tokio::test]
async fn a_message_is_signed_with_every_secret_and_keeps_its_name_when_it_is_tried_again() {
    let receiver = Receiver::start(vec![
        answer("503 Service Unavailable", ""),
        answer("204 No Content", ""),
    ])
    .await;
    let webhook = Webhook::builder(&format!("{}/hook?a=b", receiver.url), secret(FIRST))
        .also_signed_with(secret(SECOND))
        .allow_loopback()
        .only([EventKind::Asked])
        .clock(Arc::new(Ticking::default()))
        .build()
        .unwrap();
    let event = Arc::new(sample::asked());
    webhook.notify(Arc::new(sample::denied()));
    webhook.notify(Arc::clone(&event));
    assert!(webhook.close(SOON).await);
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    for got in &got {
        assert_eq!(got.path, "/hook?a=b");
        assert_eq!(got.headers["content-type"], "application/json");
        assert_eq!(got.headers["webhook-id"], event.id.as_str());
        assert_eq!(got.json()["type"], "approval.asked");
        let second: i64 = got.headers["webhook-timestamp"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        let now = Timestamp::from_micros(second * 1_000_000);
        // Whoever has either secret can tell.
        for known in [FIRST, SECOND] {
            let incoming = Incoming::new("x", [secret(known)]).unwrap();
            assert_eq!(incoming.verify(&got.headers, &got.body, now), Ok(()));
        }
    }
    assert_eq!(got[0].body, got[1].body);
    assert_ne!(
        got[0].headers["webhook-timestamp"],
        got[1].headers["webhook-timestamp"]
    );
}

#[tokio::test]
async fn a_receiver_that_wants_no_more_is_left_alone_and_a_redirect_is_not_followed() {
    let elsewhere = Receiver::start(vec![answer("204 No Content", "")]).await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url
    );
    for (first, tries) in [(answer("410 Gone", ""), 1), (redirect, 2)] {
        let receiver = Receiver::start(vec![first, answer("204 No Content", "")]).await;
        let webhook = Webhook::builder(&receiver.url, secret(FIRST))
            .allow_loopback()
            .build()
            .unwrap();
        webhook.notify(Arc::new(sample::asked()));
        assert!(webhook.close(SOON).await);
        assert_eq!(receiver.got().len(), tries);
    }
    assert!(elsewhere.got().is_empty());
}

#[tokio::test]
async fn this_machine_is_not_reached_unless_it_is_allowed() {
    let receiver = Receiver::start(vec![answer("204 No Content", "")]).await;
    let build = |url: &str| Webhook::builder(url, secret(FIRST)).build();
    assert!(build(&receiver.url).is_err());
    let https = receiver
        .url
        .replace("http://127.0.0.1", "https://localhost");
    assert!(build(&https).is_err());
    let error = build("https://user:canary@hooks.example/").unwrap_err();
    assert!(!format!("{error:?}").contains("canary"));
}

#[tokio::test]
async fn slack_is_told_and_tells_what_was_pressed() {
    let ok = r#"{"ok":true,"ts":"1.2"}"#;
    let receiver = Receiver::start(vec![answer("200 OK", ok)]).await;
    let slack = Slack::bot("xoxb-canary", "C024BE91L")
        .signing_secret("8f742231b10e8888abcd99yyyzzz85a5")
        .api(&receiver.url)
        .build()
        .unwrap();
    slack.notify(Arc::new(sample::asked()));
    assert!(slack.close(SOON).await);
    let got = receiver.got().pop().unwrap();
    assert_eq!(got.path, "/api/chat.postMessage");
    assert_eq!(got.headers["authorization"], "Bearer xoxb-canary");
    let message = got.json();
    assert_eq!(message["channel"], "C024BE91L");
    let blocks = message["blocks"].as_array().unwrap();
    let buttons = blocks.last().unwrap()["elements"].as_array().unwrap();
    assert_eq!(buttons.len(), 2);

    // As Slack sends it when the second button is pressed.
    let now = Timestamp::now();
    let payload = json!({
        "type": "block_actions",
        "user": {"id": "U1", "team_id": "T1"},
        "response_url": format!("{}/actions/1", receiver.url),
        "actions": [{"action_id": buttons[1]["action_id"], "value": buttons[1]["value"]}],
    });
    let payload: String = form_urlencoded::byte_serialize(payload.to_string().as_bytes()).collect();
    let body = format!("payload={payload}");
    let second = now.as_micros() / 1_000_000;
    let key = aws_lc_rs::hmac::Key::new(
        aws_lc_rs::hmac::HMAC_SHA256,
        b"8f742231b10e8888abcd99yyyzzz85a5",
    );
    let tag = aws_lc_rs::hmac::sign(&key, format!("v0:{second}:{body}").as_bytes());
    let hex: String = tag
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let mut headers = HeaderMap::new();
    headers.insert(
        "x-slack-request-timestamp",
        second.to_string().parse().unwrap(),
    );
    headers.insert("x-slack-signature", format!("v0={hex}").parse().unwrap());
    let decision = slack.decision(&headers, body.as_bytes(), now).unwrap();
    assert_eq!(decision.choice, crate::Choice::Deny);
    assert_eq!(decision.account, "slack/T1/U1");
    assert_eq!(decision.hash, "0a1b2c3d");

    slack
        .reply(&decision.reply.unwrap(), "<noted>")
        .await
        .unwrap();
    let reply = receiver.got().pop().unwrap();
    assert_eq!(reply.path, "/actions/1");
    assert_eq!(reply.json()["text"], "&lt;noted&gt;");
    assert!(!reply.headers.contains_key("authorization"));
}

#[tokio::test]
async fn slack_without_a_signing_secret_has_no_buttons_and_takes_no_press() {
    let receiver = Receiver::start(vec![answer("200 OK", "ok")]).await;
    let slack = Slack::webhook(&format!("{}/services/T/B/canary", receiver.url))
        .api(&receiver.url)
        .build()
        .unwrap();
    slack.notify(Arc::new(sample::asked()));
    slack.notify(Arc::new(sample::broken_glass()));
    assert!(slack.close(SOON).await);
    let got = receiver.got();
    assert_eq!(got.len(), 2);
    assert!(got.iter().all(|got| got.path == "/services/T/B/canary"));
    assert!(
        got.iter()
            .all(|got| !got.headers.contains_key("authorization"))
    );
    let all: String = got.iter().map(|got| got.json().to_string()).collect();
    assert!(!all.contains("tollbook_approve\""));
    let found = slack.decision(&HeaderMap::new(), b"", Timestamp::now());
    assert_eq!(found.unwrap_err(), Rejected::Signature);
}

#[tokio::test]
async fn a_channel_that_is_dropped_delivers_nothing_more() {
    let receiver = Receiver::start(vec![answer("503 Service Unavailable", "")]).await;
    let webhook = Webhook::builder(&receiver.url, secret(FIRST))
        .allow_loopback()
        .build()
        .unwrap();
    webhook.notify(Arc::new(sample::asked()));
    let came = async {
        while receiver.got().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, came).await.unwrap();
    drop(webhook);
    // The next try would be after four seconds.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(receiver.got().len(), 1);
}

#[test]
fn a_channel_needs_a_runtime() {
    let webhook = Webhook::builder("https://hooks.example/", secret(FIRST)).build();
    assert!(webhook.is_err());
}
