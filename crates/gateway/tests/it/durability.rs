//! What is in the book before what passes, through the whole stack.

use std::{process::Command, time::Duration};

use http::Method;
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use tollbook_recording::Reader;

use crate::stage::{Scene, Stage, parsed, until, whole};

const RELEASE: &str = "record = \"release\"\nrelease = { step = \"1KiB\", within = \"30ms\" }";

impl Stage {
    /// What `/readyz` says, with its status.
    async fn ready(&self) -> (u16, Value) {
        let request = http::Request::get(format!("http://{}/readyz", self.gateway.admin()));
        let request = request.body(Full::default()).unwrap();
        let (status, body) = whole(self.client.request(request).await.unwrap()).await;
        (status, parsed(&body))
    }
}

/// Lets the upstream wait before each event.
fn slow(stage: &Stage, milliseconds: u64) {
    let faults = stage.upstream.as_ref().unwrap().faults();
    faults.change(|plan| plan.event_delay = Duration::from_millis(milliseconds));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_passes_when_it_is_in_the_book() {
    let stage = Scene::default().connection(RELEASE).set().await;
    slow(&stage, 15);
    let text = "word by word, and key-".to_owned() + "like ends wait for what comes";
    let response = stage.send(stage.message(&text, true)).await;
    assert_eq!(response.status(), 200);
    let id = response.headers()["x-tollbook-exchange"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut body = response.into_body();
    let mut seen = String::new();
    let mut pieces = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.unwrap().into_data().unwrap();
        seen += std::str::from_utf8(&data).unwrap();
        pieces += 1;
        let reader = Reader::open(stage.book()).unwrap();
        let recorded = reader.exchange(&id).unwrap().unwrap();
        let recorded = recorded["response"]["body"].as_str().unwrap().to_owned();
        assert!(recorded.starts_with(&seen), "{recorded:?}\n{seen:?}");
    }
    assert!(seen.contains("message_stop"));
    assert!(pieces > 3, "it streams: {pieces}");
    let (_, ready) = stage.ready().await;
    assert_eq!(
        ready["checks"]["connections"]["claude"]["record"],
        "release"
    );
    let records = stage.end().await;
    let record = records.of("claude")[0];
    assert_eq!(record["level"], "release");
    assert_eq!(record["outcome"], "complete");
    assert_eq!(record["response"]["body"], seen);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_documents_pass_when_they_are_in_the_book_also_when_they_are_masked() {
    let masked = format!("{RELEASE}\nmask = {{ wire = \"default\" }}");
    for lines in [RELEASE, &masked] {
        let stage = Scene::default().connection(lines).set().await;
        let key = ["AKIA", "IOSFODNN7EXAMPL0"].concat();
        for stream in [false, true] {
            let (status, body) = whole(
                stage
                    .send(stage.message(&format!("say {key} twice"), stream))
                    .await,
            )
            .await;
            assert_eq!(status, 200);
            assert!(!body.is_empty());
        }
        // What the gate says itself passes too.
        let missing = stage
            .request(Method::GET, "/v1/nothing")
            .body(Full::default());
        assert_eq!(whole(stage.send(missing.unwrap()).await).await.0, 404);
        let records = stage.end().await;
        let outcomes: Vec<_> = records
            .of("claude")
            .iter()
            .map(|record| record["outcome"].clone())
            .collect();
        assert_eq!(outcomes, ["complete", "complete", "denied"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_can_be_recorded_no_further_ends_with_the_error_of_its_protocol() {
    let scene = Scene::default().connection(RELEASE);
    let stage = scene.more("[record]\ndeadline = \"300ms\"\n").set().await;
    slow(&stage, 400);
    let body = serde_json::json!({
        "model": "claude-haiku-4-5", "max_tokens": 256, "stream": true,
        "messages": [{ "role": "user", "content": "many words that take their time to come back one by one" }],
    });
    let mut stream = stage.listen(&stage.token(), &body).await;
    stream.until("message_start").await;
    let locked = stage.lock_journal();
    let seen = stream.rest().await;
    assert!(seen.contains("event: error"), "{seen}");
    assert!(seen.contains("could not be recorded further"), "{seen}");
    assert!(!seen.contains("message_stop"), "{seen}");
    drop(locked);
    until("healthy", async || stage.ready().await.0 == 200).await;
    let records = stage.end().await;
    let record = records.of("claude")[0];
    assert_eq!(record["outcome"], "policy_cut");
    assert_eq!(record["refusal"]["code"], "not_recordable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_spools_goes_on_while_the_journal_hangs() {
    for (lines, status, ready) in [("", 503, 503), ("on_record_failure = \"spool\"", 200, 200)] {
        let scene = Scene::default().connection(lines);
        let stage = scene.more("[record]\ndeadline = \"300ms\"\n").set().await;
        assert_eq!(
            whole(stage.send(stage.message("one", false)).await).await.0,
            200
        );
        let locked = stage.lock_journal();
        assert_eq!(
            whole(stage.send(stage.message("two", false)).await).await.0,
            status
        );
        // Whoever waited was told a moment before it counts as hanging.
        until("told", async || stage.ready().await.0 == ready).await;
        drop(locked);
        until("healthy", async || {
            let (_, told) = stage.ready().await;
            told["checks"]["journal"] == "ok"
        })
        .await;
        let records = stage.end().await;
        let record = records.of("claude")[1];
        assert_eq!(
            record["level"],
            if status == 200 { "spool" } else { "intent" }
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_that_changes_on_the_disk_is_an_alarm() {
    let stage = Stage::set().await;
    assert_eq!(
        whole(stage.send(stage.message("one", false)).await).await.0,
        200
    );
    assert!(stage.ready().await.1["checks"]["book"].is_null());
    let changed = Command::new("python3")
        .args(["-c", CHANGE])
        .arg(stage.book().join("journal.db"))
        .status();
    assert!(changed.unwrap().success());
    let mut told = Value::Null;
    until("an alarm", async || {
        told = stage.ready().await.1["checks"]["book"].clone();
        !told.is_null()
    })
    .await;
    assert!(
        told.as_str().unwrap().starts_with("damaged: index "),
        "{told}"
    );
    // It stops nothing, and is in the book.
    assert_eq!(
        whole(stage.send(stage.message("two", false)).await).await.0,
        200
    );
    let book = stage.book();
    until("the event", async || {
        let reader = Reader::open(&book).unwrap();
        let found = reader.exchanges(&Default::default()).unwrap();
        found
            .iter()
            .any(|found| found.action.as_deref() == Some("book.damaged"))
    })
    .await;
    stage.gateway.shutdown().await;
}

/// Changes a byte of the second leaf.
const CHANGE: &str = "import sqlite3,sys
c=sqlite3.connect(sys.argv[1],isolation_level=None,timeout=30)
leaf=bytearray(c.execute('SELECT leaf FROM entry WHERE seq=1').fetchone()[0]); leaf[12]^=1
c.execute('UPDATE entry SET leaf=? WHERE seq=1',(bytes(leaf),))";
