//! A book with conversations in it.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tollbook_budget::Prices;
use tollbook_exchange::{
    Action, Decision, Exchange, ExchangeId, Finding, Masked, Operator, Outcome, Principal,
    PrincipalKind, SessionId, Timestamp, Verdict,
};
use tollbook_recording::{Config, Filter, Reader, Recorder};
use tollbook_search::{Clock, Index, Query};

pub(crate) struct Book {
    pub(crate) recorder: Recorder,
    pub(crate) dir: TempDir,
}

/// One exchange as it is to be recorded.
#[derive(Clone)]
pub(crate) struct Turn {
    pub(crate) subject: &'static str,
    pub(crate) session: Option<u8>,
    pub(crate) verdict: Verdict,
    pub(crate) messages: Value,
    pub(crate) answer: Value,
    pub(crate) status: u16,
    pub(crate) tokens: [u64; 2],
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            subject: "repo:acme/api",
            session: None,
            verdict: Verdict::Allow,
            messages: json!([]),
            answer: json!([]),
            status: 200,
            tokens: [100, 10],
        }
    }
}

impl Book {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let recorder = Recorder::open(Config::new(dir.path(), "search.example/log")).unwrap();
        Self { recorder, dir }
    }

    /// One whose top key is in this file.
    pub(crate) fn with_key(file: &std::path::Path) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut config = Config::new(dir.path(), "search.example/log");
        config.keys = tollbook_recording::KeySource::file(file);
        let recorder = Recorder::open(config).unwrap();
        Self { recorder, dir }
    }

    pub(crate) fn reader(&self) -> Reader {
        Reader::open(self.dir.path()).unwrap()
    }

    pub(crate) fn index(&self) -> Index {
        Index::open(self.dir.path(), prices()).unwrap()
    }

    /// Records a turn and waits until it is in the book.
    pub(crate) async fn turn(&self, turn: Turn) -> ExchangeId {
        let exchange = self.begin(&turn).await;
        let (exchange, recording) = exchange;
        answer(&exchange, &turn);
        drop(recording);
        self.written(exchange.id()).await;
        exchange.id()
    }

    /// Records what is asked.
    pub(crate) async fn begin(&self, turn: &Turn) -> (Exchange, tollbook_recording::Recording) {
        let exchange = Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now());
        let recording = self.recorder.begin(&exchange).await.unwrap();
        let mut caller = Principal::new(PrincipalKind::Ci, "ci", turn.subject);
        caller
            .claims
            .insert("repository".to_owned(), json!("acme/api"));
        exchange.identified(&caller);
        exchange.decided(&Decision::new(
            turn.verdict,
            vec!["team-may".into()],
            "sha256:00",
        ));
        exchange.found([Finding::new("aws-key", "request.body", Operator::Redact, 2)]);
        let body = json!({
            "model": "claude-haiku-4-5",
            "system": [{ "type": "text", "text": "You are a careful assistant." }],
            "messages": turn.messages,
        })
        .to_string();
        exchange.draft(|draft| {
            draft.session = turn
                .session
                .map(|session| SessionId::derived([session; 16]));
            let action = Action::new("messages.create").with("model", "claude-haiku-4-5");
            draft.action = Some(masked(action));
            draft.request.method = "POST".into();
            draft.request.target = masked("/v1/messages".into());
            draft.request.bytes = body.len() as u64;
            draft.request.body = masked(Bytes::from(body));
        });
        self.recorder.commit(&exchange).await.unwrap();
        (exchange, recording)
    }

    pub(crate) async fn written(&self, id: ExchangeId) {
        let reader = self.reader();
        let filter = Filter::default();
        for _ in 0..1_000 {
            let all = reader.exchanges(&filter).unwrap();
            if all.iter().any(|one| one.id == id && one.outcome.is_some()) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        panic!("the outcome was not written");
    }

    /// The ids that the query finds, newest first, after catching up.
    pub(crate) fn find(&self, query: &str) -> Vec<String> {
        let (reader, index) = (self.reader(), self.index());
        index.catch_up(&reader).unwrap();
        find(&index, &reader, query)
    }
}

pub(crate) fn answer(exchange: &Exchange, turn: &Turn) {
    exchange.draft(|draft| {
        draft.response.status = Some(turn.status);
        let calls: Vec<Value> = turn
            .answer
            .as_array()
            .unwrap()
            .iter()
            .filter(|block| block["type"] == "tool_use")
            .cloned()
            .collect();
        let result = json!({
            "model": { "requested": "claude-haiku-4-5", "served": "claude-haiku-4-5" },
            "usage": { "input_tokens": turn.tokens[0], "output_tokens": turn.tokens[1] },
            "stop_reason": if calls.is_empty() { "end_turn" } else { "tool_use" },
            "answer": { "role": "assistant", "content": turn.answer },
            "tool_calls": calls,
        });
        let result: Map<String, Value> = result.as_object().unwrap().clone();
        draft.result = masked(result);
    });
    exchange.conclude(if turn.verdict == Verdict::Deny {
        Outcome::Denied
    } else {
        Outcome::Complete
    });
}

pub(crate) fn find(index: &Index, reader: &Reader, query: &str) -> Vec<String> {
    let query: Query = query.parse().unwrap();
    let page = index
        .find(reader, &query, &Clock::utc(), 1_000, None)
        .unwrap();
    page.hits
        .iter()
        .map(|hit| hit.summary.id.to_string())
        .collect()
}

pub(crate) fn prices() -> Prices {
    Prices::built_in().unwrap()
}

pub(crate) fn user(text: &str) -> Value {
    json!({ "role": "user", "content": text })
}

pub(crate) fn says(text: &str) -> Value {
    json!([{ "type": "text", "text": text }])
}

#[expect(clippy::disallowed_methods, reason = "tests write their own bytes")]
pub(crate) fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}
