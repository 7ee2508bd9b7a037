//! A plain HTTP/1.1 client, a connection for each request.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tollbook_sse::Splitter;
use tollbook_testkit::upstream::{ClaudeUpstream, STANDIN_API_KEY, UpstreamConfig};

/// An answer as far as it came.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its end.
    pub(crate) whole: bool,
    /// When each piece of it came, from the start.
    pub(crate) times: Vec<Duration>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The events: their names, and their data. The name must be the data's type.
    pub(crate) fn events(&self) -> Vec<(String, Value)> {
        let mut splitter = Splitter::new(1 << 20);
        splitter.push(&self.body);
        let mut events = Vec::new();
        while let Some(frame) = splitter.next_frame().unwrap() {
            let data: Value = serde_json::from_slice(&frame.data()).unwrap();
            let name = frame.event().unwrap().to_owned();
            assert_eq!(data["type"], name.as_str());
            events.push((name, data));
        }
        assert!(splitter.finish().is_empty() || !self.whole);
        events
    }

    /// The names of the events, each run of the same name once, without pings.
    pub(crate) fn order(&self) -> Vec<String> {
        let mut names: Vec<String> = self.events().into_iter().map(|(name, _)| name).collect();
        names.retain(|name| name != "ping");
        names.dedup();
        names
    }

    /// Everything that deltas add under this name, put together.
    pub(crate) fn deltas(&self, field: &str) -> String {
        let events = self.events();
        let pieces = events
            .iter()
            .filter_map(|(_, data)| data["delta"][field].as_str());
        pieces.collect()
    }
}

pub(crate) async fn start() -> ClaudeUpstream {
    ClaudeUpstream::start(UpstreamConfig::default())
        .await
        .unwrap()
}

/// A request with key and version.
pub(crate) fn request(method: &str, target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .uri(target)
        .header("host", "standin")
        .header("x-api-key", STANDIN_API_KEY)
        .header("anthropic-version", "2023-06-01")
        .body(Full::new(body.into()))
        .unwrap()
}

/// Sends a request. An error means that not even the head of an answer came.
pub(crate) async fn send(
    upstream: &ClaudeUpstream,
    request: Request<Full<Bytes>>,
) -> Result<Answer, hyper::Error> {
    let stream = TcpStream::connect(upstream.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let start = Instant::now();
    let response = sender.send_request(request).await?;
    let (head, mut body) = response.into_parts();
    let mut answer = Answer {
        status: head.status,
        headers: head.headers,
        body: Vec::new(),
        whole: false,
        times: Vec::new(),
    };
    loop {
        match body.frame().await {
            None => break answer.whole = true,
            Some(Err(_)) => break,
            Some(Ok(frame)) => {
                answer.times.push(start.elapsed());
                answer.body.extend(frame.into_data().unwrap());
            }
        }
    }
    connection.abort();
    Ok(answer)
}

/// Posts a message whose only user message is `text`.
pub(crate) async fn ask(upstream: &ClaudeUpstream, text: &str, stream: bool) -> Answer {
    let body = serde_json::json!({
        "model": "claude-haiku-4-5", "max_tokens": 100, "stream": stream,
        "messages": [{"role":"user","content":text}],
        "tools": [{"name":"Bash","input_schema":{"type":"object"}}],
    });
    post(upstream, &body).await
}

pub(crate) async fn post(upstream: &ClaudeUpstream, body: &Value) -> Answer {
    let request = request("POST", "/v1/messages?beta=true", body.to_string());
    send(upstream, request).await.unwrap()
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read as _;
    let mut plain = Vec::new();
    // What was cut off is missing at the end; what came before must be there.
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut plain)
        .ok();
    plain
}
