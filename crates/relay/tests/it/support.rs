//! A server, a gate with rules that a test gives, and a client that speaks in frames.

use std::{cell::Cell, collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use bytes::{BufMut, BytesMut};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::TcpStream,
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tollbook_approvals::{Approvals, Key, MemoryStore, Mode, Unrecorded};
use tollbook_budget::Budgets;
use tollbook_exchange::{
    Action, Decision, ExchangeId, Finding, Groups, Principal, PrincipalKind, SessionId, Verdict,
};
use tollbook_identity::{Authenticate, Credentials, Reason, Rejection, Watch};
use tollbook_masking::Masker;
use tollbook_policy::Decide;
use tollbook_recording::{Book, Config, Filter, OnFailure, Reader, Recorder, Release};
use tollbook_relay::{
    Caller, ChooseMasks, Gate, Masks, Parts, Wait,
    postgres::{End, Options, Session, Wire},
};
use tollbook_testkit::postgres::Postgres;
use tollbook_wire_postgres::{
    Backend, CancelKey, Field, Frame, Frames, Status, Version, query, startup, terminate,
};

thread_local! {
    /// The port of the test's server. A test is a thread.
    static PORT: Cell<u16> = const { Cell::new(0) };
}

/// A server of this test's own, if this machine has one.
pub(crate) fn server() -> Option<Postgres> {
    let server = Postgres::start().unwrap()?;
    PORT.set(server.port());
    Some(server)
}

/// Lets nobody in: sessions of these tests begin behind the front.
pub(crate) struct Nobody;

impl Authenticate for Nobody {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal, Rejection> {
        Err(Reason::BadSignature.into())
    }
}

/// Rules of a test.
type Rules = Box<dyn Fn(&Action) -> Verdict + Send + Sync>;

struct Judge(Rules);

impl Decide for Judge {
    fn decide(&self, _: &Principal, _: &str, _: &str, action: &Action, _: &[Finding]) -> Decision {
        let verdict = (self.0)(action);
        let decision = Decision::new(verdict, vec!["rule-of-test".to_owned()], "sha256:one");
        match verdict {
            Verdict::Approve => decision.requiring(vec![tollbook_exchange::Requirement {
                rule: "rule-of-test".to_owned(),
                group: "leads".to_owned(),
                people: 1,
            }]),
            _ => decision,
        }
    }
}

#[derive(Clone)]
struct Same(Masks);

impl ChooseMasks for Same {
    fn choose(&self, _: Option<&Principal>) -> Masks {
        self.0.clone()
    }
}

/// A gate with its book.
pub(crate) struct World {
    pub(crate) gate: Gate<Nobody>,
    pub(crate) approvals: Approvals,
    pub(crate) recorder: Recorder,
    masks: Masks,
    pub(crate) options: Options,
    dir: TempDir,
}

/// What a test may choose.
pub(crate) struct Choice {
    pub(crate) rules: Rules,
    pub(crate) release: Option<Release>,
    pub(crate) wait: Wait,
    pub(crate) options: Options,
    pub(crate) wire: Option<Masker>,
    pub(crate) config: Box<dyn Fn(&mut Config)>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            rules: Box::new(|_| Verdict::Allow),
            release: Some(Release::strict()),
            wait: Wait {
                mode: Mode::Hold,
                hold: Duration::from_secs(30),
                notice: Duration::from_secs(30),
                cancel_when_gone: true,
            },
            options: Options::default(),
            wire: None,
            config: Box::new(|_| {}),
        }
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Choice::default())
    }

    pub(crate) fn judging(rules: impl Fn(&Action) -> Verdict + Send + Sync + 'static) -> Self {
        Self::with(Choice {
            rules: Box::new(rules),
            ..Choice::default()
        })
    }

    pub(crate) fn with(choice: Choice) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path().join("book"), "audit.example/gw1");
        (choice.config)(&mut config);
        let recorder = Recorder::open(config).unwrap();
        let store = Arc::new(MemoryStore::new());
        let approvals = Approvals::builder(store, Key::new([7; 32]), Arc::new(Unrecorded)).build();
        let masks = Masks {
            requests: Masker::builtin(),
            answers: Masker::builtin(),
            wire: choice.wire,
        };
        let gate = Gate::new(Parts {
            name: "db".to_owned(),
            protocol: "postgres",
            upstream: "localhost/test".to_owned(),
            authenticate: Nobody,
            decide: Arc::new(Judge(choice.rules)),
            masks: Arc::new(Same(masks.clone())),
            budgets: Budgets::builder().build().unwrap(),
            approvals: approvals.clone(),
            wait: choice.wait,
            book: Book::new(recorder.clone(), OnFailure::Block),
            release: choice.release,
        });
        Self {
            gate,
            approvals,
            recorder,
            masks,
            options: choice.options,
            dir,
        }
    }

    /// A session through the gate.
    pub(crate) async fn client(&self) -> Client {
        let (server, parameters) = direct().await;
        self.session(server, parameters, 64 << 10)
    }

    pub(crate) fn session(
        &self,
        server: TcpStream,
        parameters: BTreeMap<String, String>,
        buffer: usize,
    ) -> Client {
        let (ours, theirs) = duplex(buffer);
        let stop = CancellationToken::new();
        let cancelled = Arc::new(Notify::new());
        let session = Session {
            gate: self.gate.clone(),
            caller: Caller {
                principal: Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay"),
                session: SessionId::alone(ExchangeId::generate()),
                masks: self.masks.clone(),
                revoked: Watch::never(),
            },
            database: "test".to_owned(),
            version: Version::V3_0,
            parameters,
            options: Arc::new(self.options.clone()),
            client: Wire::new(theirs, BytesMut::new(), Frames::of_clients(64 << 20)),
            server: Wire::new(server, BytesMut::new(), Frames::of_servers(64 << 20)),
            cancelled: Arc::clone(&cancelled),
            upstream_key: CancelKey {
                process: 0,
                secret: bytes::Bytes::new(),
            },
        };
        let ended = tokio::spawn(session.run(stop.clone()));
        Client {
            stream: Stream::Gate(ours),
            buffer: BytesMut::new(),
            ended: Some(ended),
            cancelled,
            stop,
        }
    }

    fn book(&self) -> PathBuf {
        self.dir.path().join("book")
    }

    /// All exchanges, oldest first, when `count` of them have ended.
    pub(crate) async fn exchanges(&self, count: usize) -> Vec<Value> {
        for _ in 0..400 {
            let reader = Reader::open(self.book()).unwrap();
            let mut filter = Filter::default();
            filter.limit = 10_000;
            let mut all = reader.exchanges(&filter).unwrap();
            all.sort_by_key(|summary| summary.index);
            if all.len() >= count && all.iter().all(|summary| summary.ended.is_some()) {
                let told = all.iter().map(|summary| {
                    let id = summary.id.to_string();
                    reader.exchange(&id).unwrap().unwrap()
                });
                return told.collect();
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the book has not so many exchanges that ended");
    }

    /// Lets what waits pass.
    pub(crate) fn lead() -> Principal {
        Principal::new(PrincipalKind::Human, "okta", "lea")
            .with_groups(Groups::from_iter(["leads"]))
    }
}

enum Stream {
    Gate(DuplexStream),
    Server(TcpStream),
}

/// A client that speaks in frames.
pub(crate) struct Client {
    stream: Stream,
    buffer: BytesMut,
    ended: Option<JoinHandle<End>>,
    pub(crate) cancelled: Arc<Notify>,
    pub(crate) stop: CancellationToken,
}

/// Signs in at the server itself.
pub(crate) async fn direct() -> (TcpStream, BTreeMap<String, String>) {
    let mut stream = TcpStream::connect(("127.0.0.1", PORT.get())).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let opening = startup(
        Version::V3_0,
        [
            ("user", "postgres"),
            ("database", "postgres"),
            ("client_encoding", "UTF8"),
        ],
    );
    stream.write_all(&opening.unwrap()).await.unwrap();
    let (mut buffer, mut parameters) = (BytesMut::new(), BTreeMap::new());
    let frames = Frames::of_servers(1 << 20);
    loop {
        while let Some(frame) = frames.next(&mut buffer).unwrap() {
            match Backend::read(&frame).unwrap() {
                Backend::ParameterStatus { name, value } => {
                    parameters.insert(name.to_owned(), value.to_owned());
                }
                Backend::Ready(_) => return (stream, parameters),
                Backend::Error(fields) => panic!("{fields:?}"),
                _ => {}
            }
        }
        assert_ne!(stream.read_buf(&mut buffer).await.unwrap(), 0);
    }
}

impl Client {
    /// A client without a gate.
    pub(crate) async fn without() -> Self {
        Self {
            stream: Stream::Server(direct().await.0),
            buffer: BytesMut::new(),
            ended: None,
            cancelled: Arc::default(),
            stop: CancellationToken::new(),
        }
    }

    pub(crate) async fn send(&mut self, frames: impl IntoIterator<Item = Frame>) {
        let mut out = BytesMut::new();
        for frame in frames {
            frame.write(&mut out);
        }
        self.write(&out).await;
    }

    pub(crate) async fn write(&mut self, out: &[u8]) {
        match &mut self.stream {
            Stream::Gate(stream) => stream.write_all(out).await.unwrap(),
            Stream::Server(stream) => stream.write_all(out).await.unwrap(),
        }
    }

    /// The next frame; none at the end.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        let frames = Frames::of_servers(64 << 20);
        let next = async {
            loop {
                if let Some(frame) = frames.next(&mut self.buffer).unwrap() {
                    return Some(frame);
                }
                let read = match &mut self.stream {
                    Stream::Gate(stream) => stream.read_buf(&mut self.buffer).await,
                    Stream::Server(stream) => stream.read_buf(&mut self.buffer).await,
                };
                if read.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), next)
            .await
            .expect("nothing comes")
    }

    /// What comes until the server is ready so many times, without settings.
    pub(crate) async fn until_ready(&mut self, mut times: usize) -> Vec<Frame> {
        let mut all = Vec::new();
        while times > 0 {
            let Some(frame) = self.next().await else {
                panic!("ended after {:?}", told(&all));
            };
            times -= usize::from(frame.tag == b'Z');
            if frame.tag != b'S' {
                all.push(frame);
            }
        }
        all
    }

    /// Runs a text and gives what comes.
    pub(crate) async fn query(&mut self, text: &str) -> Vec<Frame> {
        self.send([query(text).unwrap()]).await;
        self.until_ready(1).await
    }

    /// Ends the session.
    pub(crate) async fn end(mut self) -> Option<End> {
        self.send([terminate()]).await;
        let ended = self.ended.take()?;
        Some(ended.await.unwrap())
    }

    /// How it ended by itself.
    pub(crate) async fn ended(mut self) -> End {
        let ended = self.ended.take().unwrap();
        tokio::time::timeout(Duration::from_secs(20), ended)
            .await
            .unwrap()
            .unwrap()
    }

    /// Waits until the session is over, without reading or sending.
    pub(crate) fn leave(self) -> JoinHandle<End> {
        self.ended.unwrap()
    }
}

/// Frames in words, one each: enough to compare what two clients got.
pub(crate) fn told(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(one).collect()
}

fn one(frame: &Frame) -> String {
    match Backend::read(frame).unwrap() {
        Backend::Error(fields) => format!(
            "E {} {}",
            fields.field(Field::SEVERITY_PLAIN).unwrap_or_default(),
            fields.field(Field::CODE).unwrap_or_default()
        ),
        Backend::Notice(fields) => {
            format!("N {}", fields.field(Field::MESSAGE).unwrap_or_default())
        }
        Backend::CommandComplete { tag } => format!("C {tag}"),
        Backend::Ready(Status::Idle) => "Z idle".to_owned(),
        Backend::Ready(Status::InTransaction) => "Z open".to_owned(),
        Backend::Ready(Status::Failed) => "Z failed".to_owned(),
        Backend::DataRow(cells) => {
            let cells = cells.iter().map(|cell| match cell {
                Some(cell) => String::from_utf8_lossy(cell).into_owned(),
                None => "NULL".to_owned(),
            });
            format!("D {}", cells.collect::<Vec<_>>().join("|"))
        }
        other => format!("{other:?}"),
    }
}

/// The lines that are recorded of an answer.
pub(crate) fn lines(exchange: &Value) -> Vec<Value> {
    let body = body_text(&exchange["response"]["body"]);
    body.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The document that is recorded of what was asked.
pub(crate) fn document(exchange: &Value) -> Value {
    let body = &exchange["request"]["body"];
    match body {
        Value::String(text) => serde_json::from_str(text).unwrap_or_else(|_| body.clone()),
        other => other.clone(),
    }
}

fn body_text(body: &Value) -> String {
    match body {
        Value::String(text) => text.clone(),
        other => panic!("no text: {other}"),
    }
}

pub(crate) fn parse(name: &str, text: &str) -> Frame {
    tollbook_wire_postgres::parse(name, text).unwrap()
}

/// A portal of a statement with parameters as text.
pub(crate) fn bind(portal: &str, statement: &str, parameters: &[Option<&str>]) -> Frame {
    bind_as(portal, statement, parameters, &[])
}

/// The same with formats of the results.
pub(crate) fn bind_as(
    portal: &str,
    statement: &str,
    parameters: &[Option<&str>],
    results: &[i16],
) -> Frame {
    let mut body = BytesMut::new();
    for name in [portal, statement] {
        body.put_slice(name.as_bytes());
        body.put_u8(0);
    }
    body.put_u16(0);
    body.put_u16(parameters.len().try_into().unwrap());
    for parameter in parameters {
        match parameter {
            Some(text) => {
                body.put_i32(text.len().try_into().unwrap());
                body.put_slice(text.as_bytes());
            }
            None => body.put_i32(-1),
        }
    }
    body.put_u16(results.len().try_into().unwrap());
    results.iter().for_each(|format| body.put_i16(*format));
    Frame::new(b'B', body)
}

pub(crate) fn describe(kind: u8, name: &str) -> Frame {
    named(b'D', kind, name)
}

pub(crate) fn close(kind: u8, name: &str) -> Frame {
    named(b'C', kind, name)
}

pub(crate) fn execute(portal: &str, rows: i32) -> Frame {
    let mut body = BytesMut::new();
    body.put_slice(portal.as_bytes());
    body.put_u8(0);
    body.put_i32(rows);
    Frame::new(b'E', body)
}

pub(crate) fn sync() -> Frame {
    Frame::new(b'S', BytesMut::new())
}

pub(crate) fn flush() -> Frame {
    Frame::new(b'H', BytesMut::new())
}

fn named(tag: u8, kind: u8, name: &str) -> Frame {
    let mut body = BytesMut::new();
    body.put_u8(kind);
    body.put_slice(name.as_bytes());
    body.put_u8(0);
    Frame::new(tag, body)
}
