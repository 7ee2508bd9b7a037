//! A book with a conversation in it.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tollbook_exchange::{
    Action, Exchange, ExchangeId, Masked, Outcome, Redact as _, ResponseShape, SessionId, Timestamp,
};
use tollbook_masking::Masker;
use tollbook_recording::{Config, Reader, Recorder};

pub(crate) struct Book {
    recorder: Recorder,
    folder: TempDir,
    /// What was recorded, oldest first.
    pub(crate) all: Vec<ExchangeId>,
}

/// How one exchange is to be recorded.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) method: &'static str,
    pub(crate) target: &'static str,
    pub(crate) action: &'static str,
    pub(crate) body: Value,
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
    /// The events of a stream, or the one body.
    pub(crate) parts: Vec<String>,
    pub(crate) stream: bool,
    pub(crate) outcome: Outcome,
}

impl Call {
    /// A message that is answered with this text in a stream.
    pub(crate) fn message(said: &str, answer: &str) -> Self {
        Self {
            method: "POST",
            target: "/v1/messages?beta=true",
            action: "messages.create",
            body: asked(said),
            status: 200,
            headers: vec![
                ("content-type", "text/event-stream"),
                ("request-id", "req_then"),
                ("content-encoding", "gzip"),
                ("connection", "keep-alive"),
                ("set-cookie", "[credential]"),
            ],
            parts: events(answer),
            stream: true,
            outcome: Outcome::Complete,
        }
    }
}

/// The body of a request for a message.
pub(crate) fn asked(said: &str) -> Value {
    json!({
        "model": "claude-haiku-4-5", "max_tokens": 100, "stream": true, "system": "Be kind.",
        "messages": [{ "role": "user", "content": said }],
    })
}

pub(crate) fn event(value: &Value) -> String {
    format!(
        "event: {}\ndata: {value}\n\n",
        value["type"].as_str().unwrap()
    )
}

fn events(answer: &str) -> Vec<String> {
    let mut all = vec![
        json!({ "type": "message_start", "message": { "model": "claude-haiku-4-5" } }),
        json!({ "type": "content_block_start", "index": 0, "content_block": { "type": "text", "text": "" } }),
    ];
    for word in answer.split_inclusive(' ') {
        all.push(json!({
            "type": "content_block_delta", "index": 0,
            "delta": { "type": "text_delta", "text": word },
        }));
    }
    all.push(json!({ "type": "content_block_stop", "index": 0 }));
    all.push(json!({ "type": "message_stop" }));
    all.iter().map(event).collect()
}

impl Book {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(Config::new(folder.path(), "replay.example/log")).unwrap();
        Self {
            recorder,
            folder,
            all: Vec::new(),
        }
    }

    pub(crate) fn reader(&self) -> Arc<Reader> {
        Arc::new(Reader::open(self.folder.path()).unwrap())
    }

    /// Records a call as the gate does: masked.
    pub(crate) async fn record(&mut self, call: Call) -> ExchangeId {
        let exchange = Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now());
        let recording = self.recorder.begin(&exchange).await.unwrap();
        let asked = match &call.body {
            Value::Null => masked(Bytes::new()),
            body => {
                Masker::builtin()
                    .json(body.to_string().as_bytes(), "")
                    .masked
            }
        };
        exchange.draft(|draft| {
            draft.session = Some(SessionId::derived([7; 16]));
            let action = Action::new(call.action).with("model", "claude-haiku-4-5");
            draft.action = Some(masked(action));
            draft.request.method = call.method.into();
            draft.request.target = masked(call.target.into());
            let json = ("content-type".to_owned(), "application/json".to_owned());
            draft.request.headers = masked(vec![json]);
            draft.request.body = asked;
        });
        self.recorder.commit(&exchange).await.unwrap();
        exchange.draft(|draft| {
            draft.response.status = Some(call.status);
            let headers = call.headers.iter();
            let headers = headers.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            draft.response.headers = masked(headers.collect());
            draft.response.first_byte = Some(1_000);
            if call.stream {
                draft.response.shape = ResponseShape::Events;
            }
        });
        for part in &call.parts {
            let (part, _) = Masker::builtin().redact("response.body", part);
            exchange.answered(masked(Bytes::from(part.into_inner())));
        }
        exchange.conclude(call.outcome);
        drop(recording);
        let id = exchange.id();
        self.written(id).await;
        self.all.push(id);
        id
    }

    async fn written(&self, id: ExchangeId) {
        let reader = self.reader();
        for _ in 0..1_000 {
            let record = reader.exchange(&id.to_string()).unwrap().unwrap();
            if !record["outcome"].is_null() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        unreachable!("the outcome was not written");
    }
}

#[expect(clippy::disallowed_methods, reason = "made up by these tests")]
fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}
