//! Which request gets which answer.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::{
    UpstreamConfig,
    answer::{self, Answer},
    batches::Batches,
    body::Steps,
    faults::Faults,
    files::Files,
    prompt::Prompt,
    random::Random,
    received::{Inbox, Received},
    reply::{Content, Refused, Reply},
    tokens::Tokens,
};

/// The API takes 32 MB in a message. Batches and files have to do with that here.
const MAX_BODY: usize = 32 << 20;

const ORGANIZATION: &str = "5ca1ab1e-0000-4000-8000-000000000000";

/// The models there are. Any other name that begins with `claude` is taken too.
const MODELS: [(&str, &str); 3] = [
    ("claude-opus-4-5-20251101", "Claude Opus 4.5"),
    ("claude-sonnet-4-5-20250929", "Claude Sonnet 4.5"),
    ("claude-haiku-4-5-20251001", "Claude Haiku 4.5"),
];

/// The API with all that it remembers.
pub(super) struct Api {
    config: UpstreamConfig,
    url: String,
    inbox: Inbox,
    faults: Faults,
    tokens: Tokens,
    batches: Batches,
    files: Files,
}

impl Api {
    pub(super) fn new(config: UpstreamConfig, url: String) -> Self {
        Self {
            inbox: Inbox::new(config.keep),
            config,
            url,
            faults: Faults::default(),
            tokens: Tokens::default(),
            batches: Batches::default(),
            files: Files::default(),
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(super) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Takes a request and answers it, or does not, as the faults have it.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Steps> {
        let (head, body) = request.into_parts();
        let body = Limited::new(body, MAX_BODY).collect().await;
        let body = body.map(http_body_util::Collected::to_bytes);
        let number = self.inbox.add(Received {
            method: head.method.clone(),
            target: target(&head),
            headers: head.headers.clone(),
            body: body.as_ref().map_or_else(|_| Bytes::new(), Bytes::clone),
        });
        let mut ids = Random::new(self.config.seed ^ number.rotate_left(32));
        let request_id = format!("req_011{}", ids.letters(21));
        let plan = self.faults.draw();
        if plan.hang {
            std::future::pending::<()>().await;
        }
        let reply = match (plan.status, body) {
            (Some(status), _) => {
                let reply = Reply::error(status, "failing on purpose");
                match plan.retry_after {
                    Some(seconds) => reply.with("retry-after", seconds),
                    None => reply,
                }
            }
            (None, Ok(body)) => self
                .route(&head, &body, &mut ids, &request_id)
                .unwrap_or_else(Reply::from),
            (None, Err(error)) if error.is::<LengthLimitError>() => {
                Reply::error(413, "Request exceeds the maximum size")
            }
            (None, Err(_)) => Reply::error(400, "The request body could not be read"),
        };
        tokio::time::sleep(plan.head_delay + reply.delay).await;
        reply
            .with(
                "anthropic-organization-id",
                header::HeaderValue::from_static(ORGANIZATION),
            )
            .with_text("request-id", &request_id)
            .finish(&plan, &request_id)
    }

    fn route(
        &self,
        head: &Parts,
        body: &Bytes,
        ids: &mut Random,
        request_id: &str,
    ) -> Result<Reply, Refused> {
        let path = head.uri.path();
        if head.method == http::Method::HEAD {
            return match path {
                "" | "/" | "/api/hello" => {
                    Ok(Reply::new("text/plain", Content::Whole(Bytes::new())))
                }
                _ => Err(not_found()),
            };
        }
        if head.method == http::Method::POST && path == "/v1/oauth/token" {
            return self.tokens.exchange(&head.headers, &object(body)?, ids);
        }
        self.admit(&head.headers)?;
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (head.method.as_str(), segments.as_slice()) {
            ("POST", ["v1", "messages"]) => self.messages(body, ids, request_id),
            ("POST", ["v1", "messages", "count_tokens"]) => count_tokens(body),
            (method, ["v1", "messages", "batches", rest @ ..]) => match (method, rest) {
                ("POST", []) => self.batches.create(&object(body)?, ids, &self.url),
                ("GET", []) => Ok(self.batches.list(&self.url)),
                ("GET", [id]) => self.batches.get(id, &self.url),
                ("DELETE", [id]) => self.batches.delete(id),
                ("POST", [id, "cancel"]) => self.batches.cancel(id, &self.url),
                ("GET", [id, "results"]) => self.batches.results(id, self.config.seed),
                _ => Err(not_found()),
            },
            ("GET", ["v1", "models"]) => Ok(models()),
            ("GET", ["v1", "models", id]) => match MODELS.iter().find(|(known, _)| known == id) {
                Some((id, name)) => Ok(Reply::json(&model(id, name))),
                None if id.starts_with("claude") => Ok(Reply::json(&model(id, id))),
                None => Err(Refused::new(404, format!("model: {id}"))),
            },
            (method, ["v1", "files", rest @ ..]) => match (method, rest) {
                ("POST", []) => self.files.upload(&head.headers, body, ids),
                ("GET", []) => Ok(self.files.list()),
                ("GET", [id]) => self.files.get(id),
                ("GET", [id, "content"]) => self.files.content(id),
                ("DELETE", [id]) => self.files.delete(id),
                _ => Err(not_found()),
            },
            _ => Err(not_found()),
        }
    }

    /// Whether the caller has the key or a token, and no other credential, and says which version
    /// it speaks.
    fn admit(&self, headers: &HeaderMap) -> Result<(), Refused> {
        let key = self.config.api_key.as_bytes();
        let mut shown = 0;
        for value in headers.get_all("x-api-key") {
            shown += 1;
            if value.as_bytes() != key {
                return Err(Refused::new(401, "invalid x-api-key"));
            }
        }
        for value in headers.get_all(header::AUTHORIZATION) {
            shown += 1;
            let bytes = value.as_bytes();
            let token = bytes.strip_prefix(b"Bearer ").unwrap_or(bytes);
            if token == key {
                continue;
            }
            // A token beside a key is a credential that somebody did not take off.
            if shown > 1 || !self.tokens.admit(token, headers)? {
                return Err(Refused::new(401, "invalid x-api-key"));
            }
        }
        if shown == 0 {
            return Err(Refused::new(401, "x-api-key header is required"));
        }
        if !headers.contains_key("anthropic-version") {
            return Err(Refused::new(400, "anthropic-version: header is required"));
        }
        Ok(())
    }

    fn messages(&self, body: &[u8], ids: &mut Random, request_id: &str) -> Result<Reply, Refused> {
        let request = object(body)?;
        check(&request, true)?;
        let prompt = Prompt::of(&request);
        let stream = request["stream"] == true;
        let status = prompt.status.or((prompt.error && !stream).then_some(529));
        let mut reply = match status {
            Some(429) => Reply::error(429, "This request would exceed your rate limit")
                .with("retry-after", 1),
            Some(529) => Reply::error(529, "Overloaded")
                .with("x-should-retry", header::HeaderValue::from_static("true")),
            Some(status) => Reply::error(status, "as the prompt asks"),
            None => {
                let answer = Answer::new(&prompt, &request, ids, self.config.seed);
                if stream {
                    let events = Content::Events(answer.events(request_id));
                    Reply::new("text/event-stream; charset=utf-8", events).with(
                        "cache-control",
                        header::HeaderValue::from_static("no-cache"),
                    )
                } else {
                    Reply::json(&answer.message())
                }
            }
        };
        reply.gzip = prompt.gzip;
        reply.cut = prompt.cut;
        if prompt.slow && !stream {
            reply.delay = Duration::from_millis(500);
        }
        Ok(with_rate_limits(reply))
    }
}

/// Path and query as they came.
fn target(head: &Parts) -> String {
    head.uri
        .path_and_query()
        .map_or_else(|| head.uri.to_string(), |target| target.as_str().to_owned())
}

/// A body as a JSON object.
fn object(body: &[u8]) -> Result<Value, Refused> {
    match serde_json::from_slice(body) {
        Ok(object @ Value::Object(_)) => Ok(object),
        Ok(_) => Err(Refused::new(400, "Input should be a valid dictionary")),
        Err(error) => Err(Refused::new(
            400,
            format!(
                "The request body is not valid JSON: line {} column {}",
                error.line(),
                error.column()
            ),
        )),
    }
}

/// Whether a request has what every message needs.
pub(super) fn check(request: &Value, max_tokens: bool) -> Result<(), Refused> {
    let Some(model) = request["model"].as_str() else {
        return Err(Refused::new(400, "model: Field required"));
    };
    if !model.starts_with("claude") {
        return Err(Refused::new(404, format!("model: {model}")));
    }
    if max_tokens && !request["max_tokens"].is_u64() {
        return Err(Refused::new(400, "max_tokens: Field required"));
    }
    match request["messages"].as_array() {
        None => Err(Refused::new(400, "messages: Field required")),
        Some(messages) if messages.is_empty() => Err(Refused::new(
            400,
            "messages: at least one message is required",
        )),
        Some(_) => Ok(()),
    }
}

fn count_tokens(body: &[u8]) -> Result<Reply, Refused> {
    let request = object(body)?;
    check(&request, false)?;
    let count = json!({ "input_tokens": answer::input_tokens(&request) });
    Ok(Reply::json(&count))
}

fn models() -> Reply {
    let data: Vec<Value> = MODELS.iter().map(|(id, name)| model(id, name)).collect();
    Reply::json(&list(data))
}

fn model(id: &str, name: &str) -> Value {
    json!({"type":"model","id":id,"display_name":name,"created_at":"2025-09-29T00:00:00Z"})
}

/// One page that holds everything.
pub(super) fn list(data: Vec<Value>) -> Value {
    let id = |entry: Option<&Value>| entry.map_or(Value::Null, |entry| entry["id"].clone());
    let (first, last) = (id(data.first()), id(data.last()));
    json!({"data":data,"has_more":false,"first_id":first,"last_id":last})
}

pub(super) fn not_found() -> Refused {
    Refused::new(404, "Not found")
}

/// The time `seconds` from now, as the API writes times.
pub(super) fn time(seconds: i64) -> String {
    let now = jiff::Timestamp::now();
    let then = now
        .checked_add(jiff::SignedDuration::from_secs(seconds))
        .unwrap_or(now);
    then.strftime("%FT%TZ").to_string()
}

fn with_rate_limits(mut reply: Reply) -> Reply {
    macro_rules! limits {
        ($reply:ident, $reset:ident, $($kind:literal = $limit:literal),*) => {$(
            $reply = $reply
                .with(concat!("anthropic-ratelimit-", $kind, "-limit"), $limit)
                .with(concat!("anthropic-ratelimit-", $kind, "-remaining"), $limit - 1)
                .with_text(concat!("anthropic-ratelimit-", $kind, "-reset"), &$reset);
        )*};
    }
    let reset = time(1);
    limits!(
        reply,
        reset,
        "requests" = 4000,
        "tokens" = 2_400_000,
        "input-tokens" = 2_000_000,
        "output-tokens" = 400_000
    );
    reply
}
