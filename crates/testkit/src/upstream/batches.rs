//! Batches of messages, in memory.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::{Value, json};

use super::{
    answer::Answer,
    api::{check, list, not_found, time},
    prompt::Prompt,
    random::Random,
    reply::{self, Content, Refused, Reply},
};

/// How many batches are remembered.
const KEEP: usize = 16;

/// The batches, oldest first.
#[derive(Default)]
pub(super) struct Batches(Mutex<VecDeque<Batch>>);

struct Batch {
    id: String,
    created: String,
    expires: String,
    requests: Vec<Value>,
    state: State,
}

/// A batch ends when it is first looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    InProgress,
    Canceling,
    Ended { canceled: bool },
}

impl Batches {
    pub(super) fn create(
        &self,
        request: &Value,
        ids: &mut Random,
        url: &str,
    ) -> Result<Reply, Refused> {
        let requests = match request["requests"].as_array() {
            Some(requests) if !requests.is_empty() => requests.clone(),
            _ => return Err(Refused::new(400, "requests: Field required")),
        };
        for request in &requests {
            if !request["custom_id"].is_string() {
                return Err(Refused::new(400, "requests.custom_id: Field required"));
            }
            if request["params"]["stream"] == true {
                return Err(Refused::new(
                    400,
                    "requests.params.stream: not supported in a batch",
                ));
            }
            check(&request["params"], true)?;
        }
        let batch = Batch {
            id: format!("msgbatch_01{}", ids.letters(22)),
            created: time(0),
            expires: time(24 * 3600),
            requests,
            state: State::InProgress,
        };
        let reply = Reply::json(&batch.describe(url));
        let mut batches = self.lock();
        batches.push_back(batch);
        if batches.len() > KEEP {
            batches.pop_front();
        }
        Ok(reply)
    }

    pub(super) fn list(&self, url: &str) -> Reply {
        let batches = self.lock();
        let newest_first = batches.iter().rev();
        Reply::json(&list(
            newest_first.map(|batch| batch.describe(url)).collect(),
        ))
    }

    pub(super) fn get(&self, id: &str, url: &str) -> Result<Reply, Refused> {
        self.with(id, |batch| {
            batch.end();
            Reply::json(&batch.describe(url))
        })
    }

    pub(super) fn cancel(&self, id: &str, url: &str) -> Result<Reply, Refused> {
        self.with(id, |batch| {
            if batch.state == State::InProgress {
                batch.state = State::Canceling;
            }
            Reply::json(&batch.describe(url))
        })
    }

    /// The results, a line for each request.
    pub(super) fn results(&self, id: &str, seed: u64) -> Result<Reply, Refused> {
        self.with(id, |batch| {
            batch.end();
            let mut lines = String::new();
            // The API gives no order; the reverse one finds those who rely on it.
            for request in batch.requests.iter().rev() {
                let result = batch.result(&request["params"], seed);
                let line = json!({"custom_id":request["custom_id"],"result":result});
                lines += &format!("{line}\n");
            }
            Reply::new("application/x-jsonl", Content::Whole(lines.into()))
        })
    }

    pub(super) fn delete(&self, id: &str) -> Result<Reply, Refused> {
        let mut batches = self.lock();
        match batches.iter().position(|batch| batch.id == id) {
            Some(at) => {
                batches.remove(at);
                let deleted = json!({"id":id,"type":"message_batch_deleted"});
                Ok(Reply::json(&deleted))
            }
            None => Err(not_found()),
        }
    }

    fn with(&self, id: &str, answer: impl FnOnce(&mut Batch) -> Reply) -> Result<Reply, Refused> {
        let mut batches = self.lock();
        let batch = batches.iter_mut().find(|batch| batch.id == id);
        batch.map(answer).ok_or_else(not_found)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Batch>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batch {
    fn end(&mut self) {
        self.state = match self.state {
            State::InProgress => State::Ended { canceled: false },
            State::Canceling => State::Ended { canceled: true },
            ended @ State::Ended { .. } => ended,
        };
    }

    fn result(&self, params: &Value, seed: u64) -> Value {
        if self.state == (State::Ended { canceled: true }) {
            return json!({"type":"canceled"});
        }
        let prompt = Prompt::of(params);
        if let Some(status) = prompt.status {
            return json!({"type":"errored","error":reply::error(status, "as the prompt asks", "")});
        }
        let text = params.to_string();
        let mut ids = Random::of(seed, text.as_bytes());
        let message = Answer::new(&prompt, params, &mut ids, seed).message();
        json!({"type":"succeeded","message":message})
    }

    fn describe(&self, url: &str) -> Value {
        let count = self.requests.len();
        let failing = || {
            let prompts = self
                .requests
                .iter()
                .map(|request| Prompt::of(&request["params"]));
            prompts.filter(|prompt| prompt.status.is_some()).count()
        };
        let (status, [processing, succeeded, errored, canceled]) = match self.state {
            State::InProgress => ("in_progress", [count, 0, 0, 0]),
            State::Canceling => ("canceling", [count, 0, 0, 0]),
            State::Ended { canceled: true } => ("ended", [0, 0, 0, count]),
            State::Ended { canceled: false } => {
                let errored = failing();
                ("ended", [0, count - errored, errored, 0])
            }
        };
        let ended = status == "ended";
        json!({
            "id": self.id,
            "type": "message_batch",
            "processing_status": status,
            "request_counts": {"processing":processing,"succeeded":succeeded,"errored":errored,
                "canceled":canceled,"expired":0},
            "created_at": self.created,
            "expires_at": self.expires,
            "ended_at": ended.then_some(&self.created),
            "archived_at": null,
            "cancel_initiated_at": (status == "canceling" || canceled > 0).then_some(&self.created),
            "results_url": ended.then(|| format!("{url}/v1/messages/batches/{}/results", self.id)),
        })
    }
}
