//! The recorded requests, asked of another upstream or model.

use std::{
    fmt,
    time::{Duration, Instant},
};

use bytes::Bytes;
use reqwest::{
    Client, Url,
    header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde::Serialize;
use serde_json::{Map, Value, json};
use tollbook_exchange::ResponseShape;
use tollbook_masking::{
    Masker,
    view::{BodyMasker, ViewError},
};
use tollbook_sse::Frame;
use tollbook_wire_messages::{Assembler, Endpoint};

use crate::{Error, ErrorKind, RecordedExchange, recorded::path};

/// The largest answer that is compared.
const MAX_ANSWER: usize = 64 << 20;
/// How long an upstream may be silent.
const SILENCE: Duration = Duration::from_secs(600);
/// The version of the API, where the record does not say.
const VERSION: &str = "2023-06-01";

/// Sends recorded requests to another upstream, or to another model, and compares the answers.
///
/// Only what changes nothing there is sent: messages, counts of tokens, and questions about models.
/// The requests are those of the record, so they have placeholders where something was masked
/// ([`RecordedExchange::placeholders`]), and a thought with one of them no longer fits its
/// signature. New answers are masked before anything else happens to them.
pub struct Resend {
    client: Client,
    base: Url,
    headers: HeaderMap,
    model: Option<String>,
    masker: Masker,
}

/// What was answered then and what is answered now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The exchange.
    pub exchange: String,
    /// What is asked for.
    pub action: String,
    /// How many places of the request were masked, and so are not what was asked then.
    pub placeholders: usize,
    /// What is not the same: `status`, `stop_reason`, `text`, `tool_calls` or `error`. How many
    /// tokens it took and how long is never among them.
    pub differs: Vec<&'static str>,
    /// The status.
    pub status: Pair<Option<u16>>,
    /// The model that answered.
    pub model: Pair<Value>,
    /// Why the model stopped.
    pub stop_reason: Pair<Value>,
    /// The text for the user.
    pub text: Pair<String>,
    /// The tools that were called, with what; without the ids of the calls.
    pub tool_calls: Pair<Vec<Value>>,
    /// The type of the error, if there was one.
    pub error: Pair<Value>,
    /// What it took, as the upstream counts.
    pub usage: Pair<Value>,
    /// How long it took.
    pub timing: Pair<Timing>,
}

/// The same thing then and now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pair<T> {
    /// As it is recorded.
    pub recorded: T,
    /// As it is now.
    pub now: T,
}

/// How long an answer took, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Timing {
    /// Until its first byte.
    pub first_byte: Option<u64>,
    /// Until its end. Then, that was at the gate, with all that the gate did.
    pub total: u64,
}

/// What an answer says.
struct Answered {
    status: Option<u16>,
    result: Map<String, Value>,
    timing: Timing,
}

impl Resend {
    /// Asks the upstream with this base address, such as `https://api.anthropic.com`.
    ///
    /// `masker` masks what it answers.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Address`] for an address that is none, that holds a credential, or to which one
    /// would go unencrypted; [`ErrorKind::Client`] where the system cannot verify an upstream.
    pub fn to(base: &str, masker: Masker) -> Result<Self, Error> {
        let base = Url::parse(base).map_err(|error| Error::because(ErrorKind::Address, error))?;
        let host = base.host_str().unwrap_or_default();
        let loopback = matches!(host, "127.0.0.1" | "localhost" | "[::1]");
        let encrypted = base.scheme() == "https" || (base.scheme() == "http" && loopback);
        let bare = base.username().is_empty()
            && base.password().is_none()
            && base.query().is_none()
            && base.fragment().is_none();
        if !encrypted || !bare {
            return Err(ErrorKind::Address.into());
        }
        let client = Client::builder()
            .no_proxy()
            .redirect(Policy::none())
            .read_timeout(SILENCE)
            .build()
            .map_err(|error| Error::because(ErrorKind::Client, error))?;
        Ok(Self {
            client,
            base,
            headers: HeaderMap::new(),
            model: None,
            masker,
        })
    }

    /// Sends this header with every request, such as a credential. It prints nothing from here on.
    #[must_use]
    pub fn header(mut self, name: HeaderName, mut value: HeaderValue) -> Self {
        value.set_sensitive(true);
        self.headers.insert(name, value);
        self
    }

    /// Asks this model in place of the recorded one.
    #[must_use]
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.model = Some(model.into());
        self
    }

    /// Whether an exchange is one whose request is sent again. What the gate refused to forward, or
    /// what nobody approved who had to, is not: it would get there by another way. Nor is what was
    /// erased, or cannot be opened.
    pub fn takes(recorded: &RecordedExchange) -> bool {
        let Some(endpoint) = recorded.endpoint() else {
            return false;
        };
        if !recorded.is_whole() || !recorded.is_allowed() {
            return false;
        }
        let refused = !recorded.record()["refusal"].is_null();
        // A refusal of the answer is none of the request.
        if refused && recorded.outcome() != Some("policy_cut") {
            return false;
        }
        match endpoint {
            Endpoint::MessagesCreate | Endpoint::MessagesCountTokens => !recorded.body().is_empty(),
            Endpoint::ModelList | Endpoint::ModelGet => true,
            _ => false,
        }
    }

    /// Sends a recorded request and compares the answers. `None` for what is not sent again.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Upstream`] when the upstream cannot be reached or breaks off,
    /// [`ErrorKind::TooLarge`] and [`ErrorKind::Stream`] for an answer that cannot be compared.
    pub async fn compare(&self, recorded: &RecordedExchange) -> Result<Option<Comparison>, Error> {
        let Some(endpoint) = recorded.endpoint().filter(|_| Self::takes(recorded)) else {
            return Ok(None);
        };
        let then = then(recorded);
        let now = self.ask(recorded, endpoint).await?;
        Ok(Some(compared(recorded, &then, &now)))
    }

    async fn ask(
        &self,
        recorded: &RecordedExchange,
        endpoint: Endpoint,
    ) -> Result<Answered, Error> {
        let unreachable =
            |error: reqwest::Error| Error::because(ErrorKind::Upstream, error.without_url());
        let begun = Instant::now();
        let since = |begun: Instant| u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        let mut response = self
            .client
            .execute(self.request(recorded)?)
            .await
            .map_err(unreachable)?;
        let status = response.status().as_u16();
        let content_type = response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let mut masker = BodyMasker::new(&self.masker, content_type, "response.body");
        let is_stream = masker.shape() == ResponseShape::Events;
        let mut assembler = Assembler::with_limit(endpoint, MAX_ANSWER);
        let unreadable = |error: ViewError| Error::because(ErrorKind::Stream, error);
        let (mut whole, mut length, mut first_byte) = (Vec::new(), 0, None);
        let mut take = |parts: Vec<tollbook_exchange::Masked<Bytes>>| {
            for part in parts {
                let part = part.into_inner();
                if is_stream {
                    assembler.event(&Frame::from_bytes(part));
                } else {
                    whole.extend_from_slice(&part);
                }
            }
        };
        while let Some(piece) = response.chunk().await.map_err(unreachable)? {
            first_byte.get_or_insert_with(|| since(begun));
            length += piece.len();
            if length > MAX_ANSWER {
                return Err(ErrorKind::TooLarge.into());
            }
            take(masker.push(&piece).map_err(unreadable)?);
        }
        take(masker.finish().map_err(unreadable)?);
        if !is_stream {
            assembler.document(&whole);
        }
        Ok(Answered {
            status: Some(status),
            result: assembler.finish().into_result(None),
            timing: Timing {
                first_byte,
                total: since(begun),
            },
        })
    }

    fn request(&self, recorded: &RecordedExchange) -> Result<reqwest::Request, Error> {
        let mut url = self.base.clone();
        let below = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{below}{}", path(recorded.target())));
        let query = recorded.target().split_once('?').map(|(_, query)| query);
        url.set_query(query);
        let mut headers = HeaderMap::new();
        for name in [
            "accept",
            "anthropic-beta",
            "anthropic-version",
            "content-type",
        ] {
            let value = recorded.request_header(name);
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        headers
            .entry(ACCEPT)
            .or_insert(HeaderValue::from_static("application/json"));
        headers
            .entry("anthropic-version")
            .or_insert(HeaderValue::from_static(VERSION));
        headers.extend(self.headers.clone());
        let method = match recorded.method() {
            "POST" => reqwest::Method::POST,
            _ => reqwest::Method::GET,
        };
        let mut request = self.client.request(method.clone(), url).headers(headers);
        if method == reqwest::Method::POST {
            request = request.body(self.body(recorded));
        }
        request
            .build()
            .map_err(|error| Error::because(ErrorKind::Upstream, error.without_url()))
    }

    /// The recorded body, with another model in it where one is asked for.
    fn body(&self, recorded: &RecordedExchange) -> Bytes {
        let Some(model) = &self.model else {
            return recorded.body().clone();
        };
        match serde_json::from_slice::<Value>(recorded.body()) {
            Ok(Value::Object(mut body)) => {
                body.insert("model".to_owned(), json!(model));
                Value::Object(body).to_string().into()
            }
            _ => recorded.body().clone(),
        }
    }
}

/// What was answered then, as the record tells it.
fn then(recorded: &RecordedExchange) -> Answered {
    let record = recorded.record();
    Answered {
        status: recorded.status(),
        result: record.as_object().cloned().unwrap_or_default(),
        timing: Timing {
            first_byte: record["response"]["first_byte"].as_u64(),
            total: u64::try_from(recorded.took().as_micros()).unwrap_or(u64::MAX),
        },
    }
}

impl Answered {
    fn value(&self, key: &str) -> Value {
        self.result.get(key).cloned().unwrap_or_default()
    }

    fn text(&self) -> String {
        let answer = self.value("answer");
        let content = answer["content"].as_array();
        let texts = content
            .into_iter()
            .flatten()
            .filter(|block| block["type"] == "text")
            .filter_map(|block| block["text"].as_str());
        texts.collect::<Vec<_>>().join("\n")
    }

    /// The calls without their ids, which are different each time.
    fn calls(&self) -> Vec<Value> {
        let calls = self.value("tool_calls");
        let calls = calls.as_array().into_iter().flatten();
        calls
            .map(|call| json!({ "name": call["name"], "input": call["input"] }))
            .collect()
    }
}

fn compared(recorded: &RecordedExchange, then: &Answered, now: &Answered) -> Comparison {
    let pair = |of: &dyn Fn(&Answered) -> Value| Pair {
        recorded: of(then),
        now: of(now),
    };
    let mut comparison = Comparison {
        exchange: recorded.id().to_owned(),
        action: recorded.action().to_owned(),
        placeholders: recorded.placeholders(),
        differs: Vec::new(),
        status: Pair {
            recorded: then.status,
            now: now.status,
        },
        model: pair(&|one| one.value("model")["served"].clone()),
        stop_reason: pair(&|one| one.value("stop_reason")),
        text: Pair {
            recorded: then.text(),
            now: now.text(),
        },
        tool_calls: Pair {
            recorded: then.calls(),
            now: now.calls(),
        },
        error: pair(&|one| one.value("error")["type"].clone()),
        usage: pair(&|one| one.value("usage")),
        timing: Pair {
            recorded: then.timing.clone(),
            now: now.timing.clone(),
        },
    };
    let not_same = [
        ("status", comparison.status.differs()),
        ("stop_reason", comparison.stop_reason.differs()),
        ("text", comparison.text.differs()),
        ("tool_calls", comparison.tool_calls.differs()),
        ("error", comparison.error.differs()),
    ];
    let not_same = not_same.into_iter().filter(|(_, differs)| *differs);
    comparison.differs = not_same.map(|(name, _)| name).collect();
    comparison
}

impl<T: PartialEq> Pair<T> {
    /// Whether it is not the same.
    pub fn differs(&self) -> bool {
        self.recorded != self.now
    }
}

impl fmt::Debug for Resend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resend")
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}
