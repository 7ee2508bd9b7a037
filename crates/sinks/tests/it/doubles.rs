//! A book, another side that does as it is told, and somebody who takes note.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::Instant;
use tollbook_budget::Prices;
use tollbook_exchange::{
    Action, Decision, Exchange, ExchangeId, Masked, Outcome, Principal, PrincipalKind, Timestamp,
    Verdict,
};
use tollbook_recording::{Config, Erasure, KeySource, Reader, Recorder, Retention, Whom};
use tollbook_sinks::{
    BoxFuture, Clock, Deliver, Delivery, Failure, Options, Shape, Sink, SinkEvent, SinkState,
    Sinks, Witness,
};

pub(crate) struct Book {
    pub(crate) recorder: Recorder,
    pub(crate) dir: TempDir,
}

impl Book {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(Config::new(dir.path(), "sinks.example/log")).unwrap();
        Self { recorder, dir }
    }

    /// Records so many exchanges, each with a prompt that tells its number. To be called in real
    /// time: the recorder has deadlines.
    pub(crate) async fn write(&self, count: usize) -> Vec<ExchangeId> {
        self.write_on("claude", count).await
    }

    pub(crate) async fn write_on(&self, connection: &str, count: usize) -> Vec<ExchangeId> {
        let mut ids = Vec::new();
        for number in 0..count {
            let exchange = self.begin(connection, &format!("prompt {number}")).await;
            ids.push(exchange.0.id());
            exchange.0.conclude(Outcome::Complete);
        }
        self.wait(ids.last()).await;
        ids
    }

    /// Erases what this subject did, as it is acknowledged to whoever asks for it.
    pub(crate) async fn erase(&self, subject: &str) {
        let (recorder, subject) = (self.recorder.clone(), subject.to_owned());
        let erased = tokio::task::spawn_blocking(move || {
            let erasure = Erasure {
                whom: Whom::Subject {
                    issuer: "ci".to_owned(),
                    subject,
                },
                by: "corp/officer".to_owned(),
                basis: "request 17".to_owned(),
                override_minimum: None,
            };
            recorder.erase(&erasure, &Retention::default())
        });
        assert!(!erased.await.unwrap().unwrap().tombstones.is_empty());
    }

    pub(crate) async fn begin(
        &self,
        connection: &str,
        prompt: &str,
    ) -> (Exchange, tollbook_recording::Recording) {
        self.begin_as("repo:acme/api", connection, prompt).await
    }

    pub(crate) async fn begin_as(
        &self,
        subject: &str,
        connection: &str,
        prompt: &str,
    ) -> (Exchange, tollbook_recording::Recording) {
        let id = ExchangeId::generate();
        let exchange = Exchange::open(id, connection, "claude", Timestamp::now());
        let recording = self.recorder.begin(&exchange).await.unwrap();
        exchange.identified(&Principal::new(PrincipalKind::Ci, "ci", subject));
        exchange.decided(&Decision::new(
            Verdict::Allow,
            vec!["may".into()],
            "sha256:00",
        ));
        let body = serde_json::json!({
            "model": "claude-haiku-4-5",
            "messages": [{ "role": "user", "content": prompt }],
        });
        exchange.draft(|draft| {
            draft.action = Some(masked(Action::new("messages.create")));
            draft.request.method = "POST".into();
            draft.request.target = masked("/v1/messages".into());
            draft.request.body = masked(Bytes::from(body.to_string()));
        });
        self.recorder.commit(&exchange).await.unwrap();
        (exchange, recording)
    }

    pub(crate) async fn wait(&self, last: Option<&ExchangeId>) {
        let reader = Reader::open(self.dir.path()).unwrap();
        let Some(last) = last else { return };
        for _ in 0..2_000 {
            let record = reader.exchange(&last.to_string()).unwrap().unwrap();
            if !record["outcome"].is_null() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("the outcome was not written");
    }

    pub(crate) async fn start(&self, sink: Sink, notes: &Notes) -> Sinks {
        self.start_all(vec![sink], notes).await
    }

    pub(crate) async fn start_all(&self, sinks: Vec<Sink>, notes: &Notes) -> Sinks {
        Sinks::start(
            self.dir.path(),
            &KeySource::default(),
            sinks,
            Prices::built_in().unwrap(),
            Simulated(Instant::now(), Timestamp::now()),
            notes.clone(),
        )
        .await
        .unwrap()
    }
}

#[expect(clippy::disallowed_methods, reason = "tests write their own bytes")]
fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}

/// Goes as tokio's timer does, also when that leaps.
struct Simulated(Instant, Timestamp);

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        let passed = self.0.elapsed().as_micros();
        self.1.after_micros(passed.try_into().unwrap())
    }

    fn chance(&self) -> f64 {
        0.5
    }
}

#[derive(Clone, Default)]
pub(crate) struct Notes(Arc<Mutex<Vec<SinkEvent>>>);

impl Notes {
    pub(crate) fn all(&self) -> Vec<SinkEvent> {
        self.0.lock().unwrap().clone()
    }
}

impl Witness for Notes {
    fn note<'a>(&'a self, event: &'a SinkEvent) -> BoxFuture<'a, ()> {
        self.0.lock().unwrap().push(event.clone());
        Box::pin(async {})
    }
}

type Answer = dyn Fn(&Delivery) -> Then + Send + Sync;

/// What the other side does with a delivery.
pub(crate) enum Then {
    Take,
    /// Takes it, and the connection hangs before it says so.
    TakeAndHang,
    Fail(Failure),
    /// Takes so long before it takes it.
    After(Duration),
}

/// Another side. Clones share what it got.
#[derive(Clone)]
pub(crate) struct Other {
    answer: Arc<Answer>,
    shape: Shape,
    pub(crate) got: Arc<Mutex<Vec<Delivery>>>,
    pub(crate) tries: Arc<Mutex<Vec<Instant>>>,
}

impl Other {
    pub(crate) fn new(answer: impl Fn(&Delivery) -> Then + Send + Sync + 'static) -> Self {
        Self {
            answer: Arc::new(answer),
            shape: Shape::Whole,
            got: Arc::default(),
            tries: Arc::default(),
        }
    }

    pub(crate) fn taking() -> Self {
        Self::new(|_| Then::Take)
    }

    pub(crate) fn each(mut self) -> Self {
        self.shape = Shape::Record;
        self
    }

    pub(crate) fn sink(&self, options: Options) -> Sink {
        Sink::new("other", self.clone(), options).unwrap()
    }

    /// The ids of all records it took, in the order in which they came.
    pub(crate) fn ids(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        let lines = got.iter().flat_map(|delivery| lines(&delivery.bytes));
        lines
            .map(|line| line["id"].as_str().unwrap().to_owned())
            .collect()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        let got = self.got.lock().unwrap();
        got.iter().map(Delivery::key).collect()
    }

    /// How often it got each record.
    pub(crate) fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for id in self.ids() {
            *counts.entry(id).or_default() += 1;
        }
        counts
    }
}

pub(crate) fn lines(bytes: &[u8]) -> Vec<serde_json::Value> {
    let lines = bytes
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty());
    lines
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect()
}

impl std::fmt::Debug for Other {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Other")
    }
}

impl Deliver for Other {
    fn kind(&self) -> &'static str {
        "double"
    }

    fn shape(&self) -> Shape {
        self.shape
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            self.tries.lock().unwrap().push(Instant::now());
            let take = || self.got.lock().unwrap().push(delivery.clone());
            match (self.answer)(delivery) {
                Then::Take => take(),
                Then::TakeAndHang => {
                    take();
                    std::future::pending::<()>().await;
                }
                Then::Fail(failure) => return Err(failure),
                Then::After(time) => {
                    tokio::time::sleep(time).await;
                    take();
                }
            }
            Ok(())
        })
    }
}

/// Waits until the sink is as it should be. Time may be paused: it goes on while nobody works.
pub(crate) async fn until(sinks: &Sinks, is: impl Fn(&SinkState) -> bool) -> SinkState {
    for round in 0..100_000 {
        let state = sinks.states().remove(0);
        if is(&state) {
            return state;
        }
        let pause = if round < 400 { 20 } else { 5_000 };
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    panic!("it never came to be: {:?}", sinks.states());
}

pub(crate) fn texts(ids: &[ExchangeId]) -> Vec<String> {
    ids.iter().map(ToString::to_string).collect()
}
