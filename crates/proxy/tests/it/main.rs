//! Forwarding over real sockets, and the layers of the edge.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail as tests do"
)]

mod credentials;
mod failures;
mod forwarding;
mod probes;
mod refusals;
mod streaming;
mod tls;
mod upstream;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tollbook_exchange::{
    Code, Decision, Exchange, ExchangeId, Outcome, Refusal, Timestamp, Verdict,
};
use tollbook_proxy::{Credential, Forward, ForwardBuilder, ResponseBody};
use tower::ServiceExt;

const SECRET: &str = "sk-ant-canary-000";

fn builder(upstream: &str) -> ForwardBuilder {
    Forward::builder(upstream).credential(Credential::new("x-api-key", "", SECRET).unwrap())
}

fn forward(upstream: &str) -> Forward {
    builder(upstream).build().unwrap()
}

/// A request that policy let pass.
fn allowed(method: &str, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .body(Full::new(body.into()))
        .unwrap();
    let decision = Decision::new(Verdict::Allow, Vec::new(), "sha256:");
    request.extensions_mut().insert(decision);
    request
}

fn exchange() -> Exchange {
    Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
}

fn outcome(exchange: &Exchange) -> Option<Outcome> {
    exchange.draft(|draft| draft.outcome)
}

async fn send(forward: &Forward, request: Request<Full<Bytes>>) -> Response<ResponseBody> {
    forward.clone().oneshot(request).await.unwrap()
}

async fn text(response: Response<ResponseBody>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[track_caller]
fn assert_refused(response: &Response<ResponseBody>, code: Code) {
    let refusal = response.extensions().get::<Refusal>().expect("a refusal");
    assert_eq!(refusal.code, code);
    assert_eq!(response.status(), code.status());
    assert!(!refusal.message.contains("127.0.0.1"), "{refusal:?}");
}
