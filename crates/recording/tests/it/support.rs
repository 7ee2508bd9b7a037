//! A book in a temporary folder, and bodies that end in every way.

use std::{
    collections::VecDeque,
    convert::Infallible,
    path::{Path, PathBuf},
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use rusqlite::Connection;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tollbook_exchange::{
    Action, Coverage, Decision, Exchange, ExchangeId, Finding, Masked, Operator, Outcome,
    Principal, PrincipalKind, ResponseShape, SessionId, Timestamp, Verdict,
};
use tollbook_recording::{
    Commit, CommitLayer, Config, Health, Reader, Record, RecordLayer, Recorder,
};
use tower::{Layer, Service, ServiceExt, util::BoxCloneSyncService};

pub(crate) const ORIGIN: &str = "audit.example/gw1";

/// A recorder and its folder.
pub(crate) struct Book {
    pub(crate) recorder: Recorder,
    dir: TempDir,
}

impl Book {
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("book"), ORIGIN);
        change(&mut config);
        let recorder = Recorder::open(config).unwrap();
        Self { recorder, dir }
    }

    /// Waits until the recorder is in this state.
    pub(crate) async fn becomes(&self, health: Health) {
        let become_so = async {
            while self.recorder.health() != health {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let become_so = tokio::time::timeout(Duration::from_secs(10), become_so).await;
        assert!(become_so.is_ok(), "not {health:?}");
    }

    /// Waits until the log has so many entries.
    pub(crate) async fn grows_to(&self, entries: u64) {
        let grow = async {
            while self.recorder.stats().entries < entries {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let grown = tokio::time::timeout(Duration::from_secs(20), grow).await;
        assert!(grown.is_ok(), "{:?}", self.recorder.stats());
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("book")
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.folder()).unwrap()
    }

    pub(crate) fn record(&self) -> RecordLayer {
        RecordLayer::new(self.recorder.clone(), "claude", "claude")
    }

    pub(crate) fn commit(&self) -> CommitLayer {
        CommitLayer::new(self.recorder.clone())
    }

    /// Ends the recorder; all that was handed over is written then.
    pub(crate) fn close(self) -> Closed {
        drop(self.recorder);
        Closed { dir: self.dir }
    }

    /// Sends a request through record layer, commit layer and `inner`, and drops the answer after
    /// `frames` frames. Returns the exchange's id and whether the body failed.
    pub(crate) async fn send<S, B>(&self, inner: S, frames: usize) -> (String, bool)
    where
        S: Service<Request<()>, Response = Response<B>, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let stack: Record<Commit<S>> = self.record().layer(self.commit().layer(inner));
        let response = stack.oneshot(Request::new(())).await.unwrap();
        let id = response.headers()["x-tollbook-exchange"]
            .to_str()
            .unwrap()
            .to_owned();
        let mut body = Box::pin(response.into_body());
        for _ in 0..frames {
            match std::future::poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
                Some(Ok(_)) => {}
                Some(Err(_)) => return (id, true),
                None => break,
            }
        }
        (id, false)
    }

    /// A whole exchange with this request body and these parts of a response.
    pub(crate) async fn exchange(&self, asked: &[u8], answered: &[&[u8]]) -> ExchangeId {
        let exchange = open();
        let recording = self.recorder.begin(&exchange).await.unwrap();
        exchange.draft(|draft| draft.request.body = masked(Bytes::copy_from_slice(asked)));
        self.recorder.commit(&exchange).await.unwrap();
        for part in answered {
            exchange.answered(masked(Bytes::copy_from_slice(part)));
        }
        exchange.conclude(Outcome::Complete);
        drop(recording);
        exchange.id()
    }
}

/// Records an exchange in which everything is known. Returns its id.
pub(crate) async fn whole(book: &Book) -> String {
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    exchange.identified(&Principal::new(PrincipalKind::Ci, "ci", "repo:a/b"));
    exchange.decided(&Decision::new(
        Verdict::Allow,
        vec!["r1".into()],
        "sha256:00",
    ));
    exchange.found([Finding::new("aws-key", "request.body", Operator::Redact, 2)]);
    exchange.draft(|draft| {
        draft.session = Some(SessionId::derived([5; 16]));
        draft.action = Some(masked(Action::new("messages.create").with("model", "m-1")));
        draft.request.method = "POST".into();
        draft.request.target = masked("/v1/messages".into());
        draft.request.headers = masked(vec![("a".into(), "1".into()), ("a".into(), "2".into())]);
        draft.request.body = masked(Bytes::from_static(b"{\"prompt\":1}"));
        draft.request.bytes = 12;
        draft.request.coverage = Coverage {
            inspected: 12,
            uninspected: 0,
            ..Coverage::default()
        };
    });
    book.recorder.commit(&exchange).await.unwrap();
    exchange.draft(|draft| {
        draft.response.status = Some(200);
        draft.response.shape = ResponseShape::Events;
        draft.response.bytes = 26;
        let result = [
            ("usage", json!({ "input_tokens": 1 })),
            ("status", json!("forged")),
        ];
        let result: Map<String, Value> = result
            .map(|(key, value)| (key.to_owned(), value))
            .into_iter()
            .collect();
        draft.result = masked(result);
    });
    exchange.found([Finding::new(
        "aws-key",
        "response.body",
        Operator::Redact,
        1,
    )]);
    exchange.answered(masked(Bytes::from_static(b"event: a\n\n")));
    exchange.answered(masked(Bytes::from_static(b"event: \xff\n\n")));
    exchange.conclude(Outcome::Complete);
    drop(recording);
    exchange.id().to_string()
}

/// The folder of a book that nobody writes.
pub(crate) struct Closed {
    pub(crate) dir: TempDir,
}

impl Closed {
    pub(crate) fn folder(&self) -> PathBuf {
        self.dir.path().join("book")
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.folder()).unwrap()
    }

    pub(crate) fn show(&self, id: &str) -> Value {
        self.reader().exchange(id).unwrap().unwrap()
    }

    pub(crate) fn database(&self) -> Connection {
        Connection::open(self.folder().join("journal.db")).unwrap()
    }
}

/// Bytes that cannot be made shorter.
pub(crate) fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let bytes = (0..length).map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    });
    bytes.collect()
}

/// What a book says of its own state, in order.
pub(crate) fn states(folder: &Path) -> Vec<Value> {
    let database = Connection::open(folder.join("journal.db")).unwrap();
    let mut entries = database
        .prepare("SELECT envelope FROM entry WHERE salt IS NOT NULL ORDER BY seq")
        .unwrap();
    let entries = entries
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap();
    entries
        .map(|entry| serde_json::from_slice::<Value>(&entry.unwrap()).unwrap())
        .filter(|entry| entry["kind"] == "state")
        .collect()
}

pub(crate) fn open() -> Exchange {
    Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
}

#[expect(clippy::disallowed_methods, reason = "tests write their own bytes")]
pub(crate) fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}

/// Keeps the writer from writing until this is dropped.
pub(crate) struct Stall(Connection);

impl Stall {
    pub(crate) fn new(folder: &Path) -> Self {
        let connection = Connection::open(folder.join("journal.db")).unwrap();
        connection.busy_timeout(Duration::from_secs(10)).unwrap();
        connection.execute_batch("BEGIN IMMEDIATE").unwrap();
        Self(connection)
    }
}

impl Drop for Stall {
    fn drop(&mut self) {
        self.0.execute_batch("ROLLBACK").unwrap();
    }
}

/// A service that answers with this status and body, and tells the recorder each frame's bytes.
pub(crate) fn answer(
    status: u16,
    steps: &'static [Step],
) -> BoxCloneSyncService<Request<()>, Response<Script>, Infallible> {
    BoxCloneSyncService::new(tower::service_fn(move |request: Request<()>| async move {
        let exchange = request.extensions().get::<Exchange>().cloned();
        let mut response = Response::new(Script {
            steps: steps.iter().copied().collect(),
            exchange,
            length: None,
            tells: false,
        });
        *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
        Ok(response)
    }))
}

#[derive(Clone, Copy)]
pub(crate) enum Step {
    Data(&'static str),
    Fail,
    Panic,
}

/// A body that does what it is told.
pub(crate) struct Script {
    pub(crate) steps: VecDeque<Step>,
    pub(crate) exchange: Option<Exchange>,
    /// The length it announces.
    pub(crate) length: Option<u64>,
    /// Whether it tells when it has ended.
    pub(crate) tells: bool,
}

impl Body for Script {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match self.steps.pop_front() {
            Some(Step::Data(text)) => {
                let bytes = Bytes::from_static(text.as_bytes());
                if let Some(exchange) = &self.exchange {
                    exchange.answered(masked(bytes.clone()));
                }
                Some(Ok(Frame::data(bytes)))
            }
            Some(Step::Fail) => Some(Err(std::io::Error::other("reset"))),
            Some(Step::Panic) => panic!("a layer's bug"),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.tells && self.steps.is_empty()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        match self.length {
            Some(length) => http_body::SizeHint::with_exact(length),
            None => http_body::SizeHint::default(),
        }
    }
}
