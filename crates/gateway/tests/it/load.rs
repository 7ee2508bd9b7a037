//! Many calls of every kind at once, with clients that are killed and an upstream that fails.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::Method;
use http_body_util::{BodyExt, Full};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

use crate::stage::Stage;

const CALLS: usize = 2_000;
const AT_ONCE: usize = 64;
const ROUNDS: usize = 4;

/// A small generator, so that a failing run can be repeated.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_book_has_as_many_exchanges_as_requests_were_sent() {
    let stage = Arc::new(Stage::set().await);
    let seed = std::process::id().into();
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let sent = Arc::new(AtomicUsize::new(0));
    for round in 1..=ROUNDS {
        let permits = Arc::new(Semaphore::new(AT_ONCE));
        let mut calls = JoinSet::new();
        for _ in 0..CALLS / ROUNDS {
            let permit = Arc::clone(&permits).acquire_owned().await.unwrap();
            let (stage, sent, kind, when) = (
                Arc::clone(&stage),
                Arc::clone(&sent),
                dice.roll(12),
                dice.roll(40),
            );
            calls.spawn(async move {
                call(&stage, kind, Duration::from_millis(when)).await;
                sent.fetch_add(1, Ordering::SeqCst);
                drop(permit);
            });
        }
        while let Some(done) = calls.join_next().await {
            done.unwrap();
        }
        // The gate goes on; the book must be whole all the time. Only those whose clients were
        // killed a moment ago may still be open.
        let reader = tollbook_recording::Reader::open(stage.book()).unwrap();
        let report = reader.verify(None).unwrap();
        assert!(report.is_verified(), "round {round}: {report:?}");
    }

    let stage = Arc::into_inner(stage).unwrap();
    let records = stage.end().await;
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &records.all {
        *outcomes
            .entry(record["outcome"].as_str().unwrap())
            .or_default() += 1;
    }
    println!("{outcomes:?}");
    assert_eq!(
        records.all.len(),
        sent.load(Ordering::SeqCst),
        "seed {seed}"
    );
    assert_eq!(records.all.len(), CALLS);
    for outcome in [
        "complete",
        "denied",
        "error_event",
        "upstream_error",
        "upstream_reset",
        "client_gone",
    ] {
        assert!(
            outcomes.contains_key(outcome),
            "no {outcome} in {outcomes:?}; seed {seed}"
        );
    }
    assert!(
        !outcomes.contains_key("indeterminate"),
        "{outcomes:?}; seed {seed}"
    );
}

async fn call(stage: &Stage, kind: u64, when: Duration) {
    let request = match kind {
        0 | 1 => stage.message("a plain call", false),
        2 | 3 => stage.message("a streamed call", true),
        4 => stage.message("[[529]]", when.as_millis().is_multiple_of(2)),
        5 => stage.message("[[error]] half way", true),
        6 => stage.message("[[cut]] half way", true),
        7 => {
            let mut request = stage.message("a stranger", false);
            request
                .headers_mut()
                .insert("authorization", "Bearer nobody".parse().unwrap());
            request
        }
        8 => stage
            .request(Method::GET, "/v1/models")
            .body(Full::default())
            .unwrap(),
        9 => stage
            .request(Method::GET, "/v1/nothing")
            .body(Full::default())
            .unwrap(),
        _ => return leave(stage, when).await,
    };
    if let Ok(response) = stage.client.request(request).await {
        // A stream that breaks off is an error here, as it should be.
        drop(response.into_body().collect().await);
    }
}

/// Sends a streamed call and is killed some time after the gate has begun with it.
async fn leave(stage: &Stage, when: Duration) {
    let body = r#"{"model":"claude-haiku-4-5","max_tokens":256,"stream":true,"messages":[{"role":"user","content":"[[slow]] one two three four five six seven"}]}"#;
    let call = format!(
        "POST /claude/v1/messages HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {}\r\n\
         anthropic-version: 2023-06-01\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        stage.token(),
        body.len()
    );
    let mut socket = TcpStream::connect(stage.gateway.address()).await.unwrap();
    socket.write_all(call.as_bytes()).await.unwrap();
    let mut first = [0; 1];
    // The head of the answer: the gate has the request for sure.
    socket.read_exact(&mut first).await.unwrap();
    tokio::time::sleep(when).await;
    drop(socket);
}
