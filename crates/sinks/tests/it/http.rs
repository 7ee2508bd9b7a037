//! Webhooks and collectors, over a socket.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tollbook_search::Format;
use tollbook_sinks::{
    Options, Sink,
    target::{OtlpHeader, OtlpTarget, Trust, WebhookSecret, WebhookTarget},
};

use crate::doubles::{Book, Notes, lines, texts, until};

struct Request {
    head: String,
    body: Vec<u8>,
}

impl Request {
    fn header(&self, name: &str) -> Option<&str> {
        let lines = self
            .head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        let mut lines = lines.filter(|(key, _)| key.eq_ignore_ascii_case(name));
        lines.next().map(|(_, value)| value)
    }
}

/// A server that gives these answers, the last one ever after.
async fn server(answers: Vec<&'static str>) -> (String, Arc<Mutex<Vec<Request>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = requests.clone();
    tokio::spawn(async move {
        let mut answers = answers;
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
            let request = loop {
                let count = socket.read(&mut piece).await.unwrap();
                bytes.extend_from_slice(&piece[..count]);
                let Some(end) = bytes.windows(4).position(|end| end == b"\r\n\r\n") else {
                    continue;
                };
                let request = Request {
                    head: String::from_utf8(bytes[..end].to_vec()).unwrap(),
                    body: bytes[end + 4..].to_vec(),
                };
                let length = request.header("content-length").unwrap().parse::<usize>();
                if request.body.len() >= length.unwrap() {
                    break request;
                }
            };
            seen.lock().unwrap().push(request);
            let answer = if answers.len() > 1 {
                answers.remove(0)
            } else {
                answers[0]
            };
            let answer = answer.replace('\n', "\r\n");
            drop(socket.write_all(answer.as_bytes()).await);
        }
    });
    (format!("http://{address}/hook"), requests)
}

const OK: &str = "HTTP/1.1 200 OK\ncontent-length: 0\nconnection: close\n\n";

fn secret() -> WebhookSecret {
    WebhookSecret::parse(concat!("whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")).unwrap()
}

fn brisk(format: Format) -> Options {
    let mut options = Options::default();
    options.format = format;
    options.interval = Duration::from_millis(50);
    options
}

#[tokio::test]
async fn a_batch_is_posted_signed_and_under_a_key_that_stays() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(3).await;
    let (url, requests) = server(vec![
        "HTTP/1.1 503 Busy\nretry-after: 1\ncontent-length: 0\nconnection: close\n\n",
        OK,
    ])
    .await;
    let target = WebhookTarget::new(&url, secret(), &Trust::default()).unwrap();
    let sink = Sink::new("hook", target, brisk(Format::Jsonl)).unwrap();
    let begun = std::time::Instant::now();
    let sinks = book.start(sink, &notes).await;
    until(&sinks, |state| state.sent == 3).await;
    assert!(
        begun.elapsed() >= Duration::from_secs(1),
        "Retry-After is honoured"
    );

    let requests = requests.lock().unwrap();
    assert_eq!(requests.len(), 2);
    for name in ["idempotency-key", "webhook-id"] {
        assert_eq!(requests[0].header(name), requests[1].header(name));
    }
    let request = &requests[1];
    let key = request.header("idempotency-key").unwrap();
    assert!(key.starts_with("\"sinks.example/log/"), "{key}");
    assert_eq!(request.header("content-type"), Some("application/x-ndjson"));
    assert_eq!(request.header("tollbook-records"), Some("3"));
    let got = lines(&request.body);
    let got: Vec<_> = got
        .iter()
        .map(|line| line["id"].as_str().unwrap())
        .collect();
    assert_eq!(got, texts(&ids));
    // As the receiver computes it.
    let (id, time) = (
        request.header("webhook-id").unwrap(),
        request.header("webhook-timestamp").unwrap(),
    );
    let at: i64 = time.parse().unwrap();
    let at = tollbook_exchange::Timestamp::from_micros(at * 1_000_000);
    let signature = &secret().sign(id, at, &request.body)[2];
    assert_eq!(
        request.header("webhook-signature"),
        Some(signature.1.as_str())
    );
}

#[tokio::test]
async fn nobody_is_led_elsewhere() {
    let (book, notes) = (Book::new(), Notes::default());
    book.write(1).await;
    let (elsewhere, led) = server(vec![OK]).await;
    let answer = format!(
        "HTTP/1.1 307 Elsewhere\nlocation: {elsewhere}\ncontent-length: 0\nconnection: close\n\n"
    );
    let (url, requests) = server(vec![answer.leak()]).await;
    let target = WebhookTarget::new(&url, secret(), &Trust::default()).unwrap();
    let sink = Sink::new("hook", target, brisk(Format::Ocsf)).unwrap();
    let sinks = book.start(sink, &notes).await;
    let state = until(&sinks, |state| state.why.is_some()).await;
    assert!(state.why.unwrap().contains("elsewhere"));
    assert!(!requests.lock().unwrap().is_empty());
    assert!(led.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_collector_gets_spans_and_its_word_on_some_is_heard() {
    let (book, notes) = (Book::new(), Notes::default());
    book.write(3).await;
    let partial = "HTTP/1.1 200 OK\ncontent-length: 40\nconnection: close\n\n\
                   {\"partialSuccess\":{\"rejectedSpans\":\"1\"}}";
    let (url, requests) = server(vec![partial, OK]).await;
    let header = OtlpHeader::new("authorization", concat!("Bearer ", "can", "ary")).unwrap();
    let base = url.trim_end_matches("/hook");
    let target = OtlpTarget::new(base, Some(header), &Trust::default()).unwrap();
    assert!(!format!("{target:?}").contains("canary"));
    let sink = Sink::new("spans", target, brisk(Format::Otlp)).unwrap();
    let sinks = book.start(sink, &notes).await;
    until(&sinks, |state| state.sent == 3).await;
    let requests = requests.lock().unwrap();
    let spans = |request: &Request| {
        let body: serde_json::Value = serde_json::from_slice(&request.body).unwrap();
        body["resourceSpans"][0]["scopeSpans"][0]["spans"]
            .as_array()
            .unwrap()
            .len()
    };
    // All of them, and then each half of them.
    assert_eq!(requests.iter().map(spans).collect::<Vec<_>>(), [3, 1, 2]);
    assert!(requests[0].head.starts_with("POST /v1/traces "));
    assert_eq!(requests[0].header("content-type"), Some("application/json"));
    assert!(requests[0].header("authorization").is_some());
}

/// It may have been going to say that it did not take all.
#[tokio::test]
async fn an_answer_that_breaks_off_takes_nothing() {
    let (book, notes) = (Book::new(), Notes::default());
    book.write(1).await;
    let (url, requests) = server(vec![
        "HTTP/1.1 200 OK\ncontent-length: 99\nconnection: close\n\n{\"partialSuccess\":{\"rej",
        "HTTP/1.1 200 OK\ncontent-length: 6\nconnection: close\n\n<html>",
        OK,
    ])
    .await;
    let target = OtlpTarget::new(&url, None, &Trust::default()).unwrap();
    let sink = Sink::new("spans", target, brisk(Format::Otlp)).unwrap();
    let sinks = book.start(sink, &notes).await;
    until(&sinks, |state| state.sent == 1).await;
    assert_eq!(requests.lock().unwrap().len(), 3);
}
