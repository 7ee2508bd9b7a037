//! The layer, without a socket.

use std::{
    convert::Infallible,
    io::Write as _,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Poll},
    time::Instant,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tollbook_exchange::{Code, Exchange, ExchangeId, Findings, Outcome, Refusal, Timestamp};
use tollbook_masking::{
    Base, MaskKey, MaskLayer, Masker, Operator,
    layer::{MaskResponseLayer, Wire},
    vault::{Vault, VaultLimits},
};
use tower::{Layer, ServiceExt, service_fn};

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const MASKED: &str = "[REDACTED:aws-access-key-id]";

/// A body in the given frames.
struct Frames(Vec<Result<Frame<Bytes>, &'static str>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        Poll::Ready(if self.0.is_empty() {
            None
        } else {
            Some(self.0.remove(0))
        })
    }
}

fn data(text: &str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes())))
}

fn exchange() -> Exchange {
    Exchange::open(ExchangeId::generate(), "c", "claude", Timestamp::now())
}

fn request(body: String) -> Request<Full<Bytes>> {
    Request::post("/v1/messages")
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, body.len())
        .body(Full::new(body.into()))
        .unwrap()
}

/// Sends a request through the layer; gives what came out on the other side, and the answer.
async fn send(
    layer: MaskLayer,
    request: Request<Full<Bytes>>,
) -> (Option<Request<Bytes>>, Response<Bytes>) {
    let seen = Arc::new(Mutex::new(None));
    let notes = Arc::clone(&seen);
    let inner = service_fn(move |request: Request<Full<Bytes>>| {
        let seen = Arc::clone(&notes);
        async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            *seen.lock().unwrap() = Some(Request::from_parts(head, body));
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(KEY))))
        }
    });
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let seen = seen.lock().unwrap().take();
    (seen, Response::from_parts(head, body))
}

/// Gets an answer through the layer, as text and how it ended.
async fn answer(
    head: &'static [(&'static str, &'static str)],
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
    exchange: &Exchange,
) -> (Response<()>, String, Option<HeaderMap>, Option<String>) {
    let layer = MaskLayer::new(Masker::builtin()).responses(true);
    answer_by(layer, head, frames, exchange).await
}

async fn answer_by(
    layer: MaskLayer,
    head: &'static [(&'static str, &'static str)],
    frames: Vec<Result<Frame<Bytes>, &'static str>>,
    exchange: &Exchange,
) -> (Response<()>, String, Option<HeaderMap>, Option<String>) {
    let frames = Arc::new(Mutex::new(Some(frames)));
    let inner = service_fn(move |_: Request<Full<Bytes>>| {
        let mut response = Response::new(Frames(frames.lock().unwrap().take().unwrap()));
        for (name, value) in head {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        async move { Ok::<_, Infallible>(response) }
    });
    let mut request = request(String::new());
    request.extensions_mut().insert(exchange.clone());
    let response = layer.layer(inner).oneshot(request).await.unwrap();
    let (head, mut body) = response.into_parts();
    let (mut text, mut trailers, mut error) = (String::new(), None, None);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) if frame.is_data() => {
                text.push_str(std::str::from_utf8(&frame.into_data().unwrap()).unwrap());
            }
            Ok(frame) => trailers = frame.into_trailers().ok(),
            Err(broken) => error = Some(broken.to_string()),
        }
    }
    (Response::from_parts(head, ()), text, trailers, error)
}

#[tokio::test]
async fn a_layer_that_is_off_changes_nothing() {
    let body = json!({"a": KEY}).to_string();
    let mut request = request(body.clone());
    request
        .headers_mut()
        .insert(header::ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
    request
        .headers_mut()
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    let headers = request.headers().clone();
    let (seen, response) = send(MaskLayer::off(), request).await;
    let seen = seen.unwrap();
    assert_eq!(
        (seen.body(), seen.headers()),
        (&Bytes::from(body), &headers)
    );
    assert_eq!(response.body(), KEY);
}

#[tokio::test]
async fn a_request_is_masked_and_its_length_is_right() {
    let layer = MaskLayer::new(Masker::builtin()).requests(true);
    let exchange = exchange();
    let mut request = request(json!({"a": KEY}).to_string());
    request.extensions_mut().insert(exchange.clone());
    let (seen, response) = send(layer, request).await;
    let seen = seen.unwrap();
    assert_eq!(*seen.body(), json!({"a": MASKED}).to_string());
    assert_eq!(
        seen.headers()[header::CONTENT_LENGTH],
        seen.body().len().to_string()
    );
    assert_eq!(response.body(), KEY);
    assert_eq!(
        exchange.draft(|draft| draft.findings[0].place.clone()),
        "wire.request.body:a"
    );
}

#[tokio::test]
async fn what_was_scanned_before_is_not_scanned_again() {
    let scan = Masker::builtin().json(b"{\"b\":1}", "request.body");
    let mut scanned = request(json!({"a": KEY}).to_string());
    scanned
        .extensions_mut()
        .insert(Findings::new(scan.found, scan.masked, scan.coverage));
    let layer = MaskLayer::new(Masker::builtin()).requests(true);
    let (seen, _) = send(layer.clone(), scanned).await;
    assert_eq!(seen.unwrap().body(), "{\"b\":1}");

    let mut unscanned = request(json!({"a": KEY}).to_string());
    let mut findings = Findings::default();
    findings.coverage.uninspected = 9;
    unscanned.extensions_mut().insert(findings);
    let (seen, response) = send(layer, unscanned).await;
    assert!(seen.is_none());
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn what_cannot_be_masked_is_refused() {
    let layer = MaskLayer::new(Masker::builtin())
        .requests(true)
        .max_body(100);
    let mut encoded = request("x".to_owned());
    encoded
        .headers_mut()
        .insert(header::CONTENT_ENCODING, HeaderValue::from_static("br"));
    for (request, code) in [
        (encoded, Code::UnsupportedEncoding),
        (request("x".repeat(101)), Code::BodyTooLarge),
    ] {
        let exchange = exchange();
        let mut request = request;
        request.extensions_mut().insert(exchange.clone());
        let (seen, response) = send(layer.clone(), request).await;
        assert!(seen.is_none());
        assert_eq!(response.status(), code.status());
        assert_eq!(response.extensions().get::<Refusal>().unwrap().code, code);
        assert_eq!(
            exchange.draft(|draft| draft.refusal.take().unwrap().code),
            code
        );
    }
}

#[tokio::test]
async fn a_response_is_masked_across_its_frames() {
    let exchange = exchange();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-end", HeaderValue::from_static("1"));
    let frames = vec![
        data("a AKIAIOS"),
        data("FODNN7EXAMPLE"),
        Ok(Frame::trailers(trailers.clone())),
    ];
    let (head, text, seen, error) = answer(
        &[("content-type", "text/plain"), ("content-length", "22")],
        frames,
        &exchange,
    )
    .await;
    assert_eq!(
        (text, seen, error),
        (format!("a {MASKED}"), Some(trailers), None)
    );
    assert!(!head.headers().contains_key(header::CONTENT_LENGTH));
    assert_eq!(
        exchange.draft(|draft| draft.findings[0].place.clone()),
        "wire.response.body"
    );
}

#[tokio::test]
async fn a_response_that_breaks_off_is_masked_up_to_there() {
    let exchange = exchange();
    let frames = vec![data("a AKIAIOSFODNN7EXAMPLE"), Err("gone")];
    let (_, text, _, error) = answer(&[("content-type", "text/plain")], frames, &exchange).await;
    assert_eq!(
        (text, error),
        (format!("a {MASKED}"), Some("gone".to_owned()))
    );
    assert_eq!(exchange.draft(|draft| draft.outcome), None);
}

#[tokio::test]
async fn what_cannot_be_masked_on_is_cut_off() {
    let events = &[("content-type", "text/event-stream")];
    let broken = vec![
        data("data: {}\n\ndata: nonsense AKIAIOSFODNN7EXAMPLE\n\n"),
        data("data: {}\n\n"),
    ];
    let exchange_of_events = exchange();
    let (_, text, _, error) = answer(events, broken, &exchange_of_events).await;
    assert_eq!(text, "data: {}\n\n");
    assert_eq!(error.unwrap(), "the answer was cut off: upstream_invalid");
    let ended = |exchange: &Exchange| {
        exchange.draft(|draft| (draft.outcome, draft.refusal.clone().map(|it| it.reason)))
    };
    let cut = (Some(Outcome::PolicyCut), Some("unmaskable"));
    assert_eq!(ended(&exchange_of_events), cut);

    // A line that is not held leaves a hole, which the caller must not take for the whole.
    let exchange_of_lines = exchange();
    let layer = MaskLayer::new(Masker::builtin())
        .responses(true)
        .max_body(20);
    let lines = vec![data("{\"a\":1}\n{\"b\":\"too long by far\"}\n{\"c\":3}\n")];
    let head = &[("content-type", "application/x-jsonl")];
    let (_, text, _, error) = answer_by(layer, head, lines, &exchange_of_lines).await;
    assert!(
        text.starts_with("{\"a\":1}\n") && !text.contains("far"),
        "{text}"
    );
    assert!(error.is_some());
    assert_eq!(ended(&exchange_of_lines), cut);
}

fn gzipped(text: &str) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap().into()
}

/// It was not asked for, but some upstreams compress all the same, and not all say so.
#[tokio::test]
async fn a_compressed_response_is_masked_and_comes_plain() {
    const JSON: (&str, &str) = ("content-type", "application/json");
    const EVENTS: (&str, &str) = ("content-type", "text/event-stream");
    const GZIP: (&str, &str) = ("content-encoding", "gzip");
    let document = format!("{{\"a\":\"{KEY}\"}}");
    let event = format!("data: {document}\n\n");
    for (text, head) in [
        (&document, &[JSON, GZIP][..]),
        (&document, &[JSON]),
        (&event, &[EVENTS, GZIP]),
        (&event, &[EVENTS]),
    ] {
        let coded = gzipped(text);
        let frames = coded
            .chunks(7)
            .map(|part| Ok(Frame::data(part.to_vec().into())));
        let (head, out, _, error) = answer(head, frames.collect(), &exchange()).await;
        assert_eq!((out, error), (text.replace(KEY, MASKED), None), "{head:?}");
        assert!(!head.headers().contains_key(header::CONTENT_ENCODING));
    }
    // Broken, and far too much.
    let mut broken = gzipped(&document).to_vec();
    broken.truncate(20);
    for coded in [broken.into(), gzipped(&"0".repeat(20 << 20))] {
        let exchange = exchange();
        let frames = vec![Ok(Frame::data(coded))];
        let (head, out, ..) = answer(&[JSON, GZIP], frames, &exchange).await;
        assert_eq!(head.status(), 502, "{out}");
        let outcome = exchange.draft(|draft| draft.outcome);
        assert_eq!(outcome, Some(Outcome::UpstreamError));
    }
}

#[tokio::test]
async fn a_response_in_another_coding_is_refused() {
    let exchange = exchange();
    let (head, text, ..) = answer(&[("content-encoding", "br")], vec![data("x")], &exchange).await;
    assert_eq!(head.status(), 502);
    assert!(text.contains("upstream_invalid"));
    assert_eq!(
        exchange.draft(|draft| draft.outcome),
        Some(Outcome::UpstreamError)
    );
}

#[tokio::test]
async fn a_document_that_may_not_pass_is_refused_before_anything_of_it_passes() {
    let head = &[("content-type", "application/json")];
    let layer = MaskLayer::new(badges_as(Operator::Block)).responses(true);
    let frames = vec![data("{\"a\":\"badge-1234"), data("5678\"}")];
    let exchange = exchange();
    // As whoever reads answers further in leaves it.
    exchange.conclude(Outcome::Complete);
    let (answer, text, ..) = answer_by(layer.clone(), head, frames, &exchange).await;
    assert_eq!(answer.status(), 403, "{text}");
    assert!(
        text.contains("masking_blocked") && !text.contains("badge-"),
        "{text}"
    );
    let refused = exchange.draft(|draft| (draft.outcome, draft.refusal.clone().unwrap().code));
    assert_eq!(refused, (Some(Outcome::Denied), Code::MaskingBlocked));
    // And what may pass comes as it is, with its length.
    let frames = vec![data("{\"a\":"), data("\"badge-1\"}")];
    let (answer, text, ..) = answer_by(layer, head, frames, &self::exchange()).await;
    assert_eq!(
        (answer.status().as_u16(), &*text),
        (200, "{\"a\":\"badge-1\"}")
    );
}

#[tokio::test]
async fn responses_are_asked_for_unencoded() {
    let mut request = request(String::new());
    request.headers_mut().insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("gzip, br"),
    );
    let (seen, response) = send(MaskLayer::new(Masker::builtin()).responses(true), request).await;
    assert_eq!(seen.unwrap().headers()[header::ACCEPT_ENCODING], "identity");
    assert_eq!(response.body(), MASKED);
}

/// A rule of the house, for which tokens may be asked.
fn badges() -> Masker {
    let rule = r#"
        [[rule]]
        id = "badge"
        kind = "personal"
        description = "Number of a badge of our house"
        source = "https://wiki.example.com/badges"
        literals = ["badge-"]
        body = { class = "digit", min = 8, max = 8 }
        positive = ["my badge-12345678"]
        negative = ["my badge-123456789"]
    "#;
    Masker::builder().rules("house.toml", rule).build().unwrap()
}

fn badges_as(operator: Operator) -> Masker {
    let profile = badges().profile(Base::Strict).rule("badge", operator);
    profile.build().unwrap()
}

#[tokio::test]
async fn what_may_not_pass_is_refused_on_its_way_out() {
    let layer = MaskLayer::new(badges_as(Operator::Block)).requests(true);
    let (seen, response) = send(
        layer.clone(),
        request(json!(["badge-12345678"]).to_string()),
    )
    .await;
    assert!(seen.is_none());
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.code, Code::MaskingBlocked);
    assert_eq!(response.status(), 403);
    let (seen, _) = send(layer, request(json!(["badge"]).to_string())).await;
    assert!(seen.is_some());
}

/// Gets the answer that consists of `parts` through the layer for responses.
async fn answered(wire: Wire, content_type: &'static str, parts: &[String]) -> String {
    let frames: Vec<_> = parts.iter().map(|part| data(part)).collect();
    let frames = Arc::new(Mutex::new(Some(frames)));
    let inner = service_fn(move |request: Request<Full<Bytes>>| {
        assert_eq!(request.headers()[header::ACCEPT_ENCODING], "identity");
        let mut response = Response::new(Frames(frames.lock().unwrap().take().unwrap()));
        let kind = HeaderValue::from_static(content_type);
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        async move { Ok::<_, Infallible>(response) }
    });
    let layer = MaskResponseLayer::choosing(wire);
    let response = layer.layer(inner).oneshot(request(String::new())).await;
    let mut body = response.unwrap().into_body();
    let mut answer = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => answer.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => answer.extend_from_slice(error.to_string().as_bytes()),
        }
    }
    String::from_utf8(answer).unwrap()
}

fn delta(index: u32, kind: &str, member: &str, text: &str) -> String {
    let data = json!({"type": "content_block_delta", "index": index, "delta": {"type": kind, member: text}});
    format!("event: content_block_delta\ndata: {data}\n\n")
}

const STOP: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";

#[tokio::test]
async fn a_stream_ends_where_something_may_not_pass() {
    let parts = [
        delta(0, "text_delta", "text", "first "),
        delta(0, "text_delta", "text", "badge-1234"),
        delta(0, "text_delta", "text", "5678 last "),
        delta(0, "text_delta", "text", "more"),
    ];
    let wire = Wire::default().responses(badges_as(Operator::Block));
    let answer = answered(wire, "text/event-stream", &parts).await;
    assert!(
        answer.contains("first") && answer.ends_with("cut off: masking_blocked"),
        "{answer}"
    );
    assert!(
        !answer.contains("5678") && !answer.contains("more"),
        "{answer}"
    );
}

#[tokio::test]
async fn tokens_in_texts_are_turned_back_and_those_in_tool_inputs_are_not() {
    let vault = Vault::new(&MaskKey::new([1; 32]), VaultLimits::default());
    let session = vault.session(&["me"], Instant::now());
    let masker = badges_as(Operator::Token).session(&session);
    let masked = masker.mask(b"badge-12345678").masked.into_inner();
    let token = String::from_utf8(masked.to_vec()).unwrap();
    let (head, tail) = token.split_at(9);
    let parts = [
        delta(0, "text_delta", "text", &format!("is {token}, \"{head}")),
        delta(
            1,
            "input_json_delta",
            "partial_json",
            &format!("{{\"a\":\"{token}\"}}"),
        ),
        delta(0, "text_delta", "text", tail),
        delta(0, "text_delta", "text", "\" or BADGE_A"),
        STOP.to_owned(),
    ];
    let whole = parts.concat();
    let shown = |answer: &str| -> (String, String) {
        let mut texts = (String::new(), String::new());
        for line in answer
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
        {
            let event: Value = serde_json::from_str(line).unwrap();
            texts.0 += event["delta"]["text"].as_str().unwrap_or_default();
            texts.1 += event["delta"]["partial_json"].as_str().unwrap_or_default();
        }
        texts
    };
    let wire = Wire::default().restore(session.clone());
    for size in [1, 7, 64, whole.len()] {
        let cut: Vec<String> = whole
            .as_bytes()
            .chunks(size)
            .map(|part| String::from_utf8(part.to_vec()).unwrap())
            .collect();
        let answer = answered(wire.clone(), "text/event-stream", &cut).await;
        let (text, input) = shown(&answer);
        assert_eq!(text, "is badge-12345678, \"badge-12345678\" or BADGE_A");
        assert_eq!(input, format!("{{\"a\":\"{token}\"}}"));
        assert!(answer.ends_with(STOP), "{answer}");
    }
    // A document, and another session.
    let document = json!({"content": [
        {"type": "text", "text": format!("is {token}")},
        {"type": "tool_use", "input": {"type": "text", "text": token}, "text": token},
    ]});
    let document = document.to_string();
    let answer = answered(wire, "application/json", std::slice::from_ref(&document)).await;
    assert_eq!(
        answer,
        document.replace(&format!("is {token}"), "is badge-12345678")
    );
    let other = Wire::default().restore(vault.session(&["you"], Instant::now()));
    assert_eq!(
        answered(other, "application/json", std::slice::from_ref(&document)).await,
        document
    );
}

#[tokio::test]
async fn what_was_turned_back_is_noted_also_for_a_client_that_leaves() {
    let vault = Vault::new(&MaskKey::new([1; 32]), VaultLimits::default());
    let session = vault.session(&["me"], Instant::now());
    let masker = badges_as(Operator::Token).session(&session);
    let masked = masker.mask(b"badge-12345678").masked.into_inner();
    let token = String::from_utf8(masked.to_vec()).unwrap();
    for (read, restored) in [(usize::MAX, 2), (1, 1)] {
        let parts = [
            delta(0, "text_delta", "text", &format!("is {token} it")),
            delta(0, "text_delta", "text", &format!("or {token} it")),
            STOP.to_owned(),
        ];
        let frames: Vec<_> = parts.iter().map(|part| data(part)).collect();
        let frames = Arc::new(Mutex::new(Some(frames)));
        let inner = service_fn(move |_: Request<Full<Bytes>>| {
            let mut response = Response::new(Frames(frames.lock().unwrap().take().unwrap()));
            let kind = HeaderValue::from_static("text/event-stream");
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
            async move { Ok::<_, Infallible>(response) }
        });
        let exchange = exchange();
        let mut request = request(String::new());
        request.extensions_mut().insert(exchange.clone());
        let layer = MaskResponseLayer::choosing(Wire::default().restore(session.clone()));
        let mut body = layer
            .layer(inner)
            .oneshot(request)
            .await
            .unwrap()
            .into_body();
        let mut frames = 0;
        while frames < read && body.frame().await.is_some() {
            frames += 1;
        }
        drop(body);
        let told = exchange.draft(|draft| draft.result.as_inner()["mask_tokens"].clone());
        let expected = json!({ "restored": restored, "withheld": 0, "unknown": 0 });
        assert_eq!(told, expected, "after {frames}");
    }
}

#[tokio::test]
async fn trailers_are_masked_too() {
    let mut trailers = HeaderMap::new();
    trailers.insert("x-note", HeaderValue::from_static(KEY));
    let frames = vec![data("x"), Ok(Frame::trailers(trailers))];
    let (_, _, trailers, _) = answer(&[], frames, &exchange()).await;
    assert_eq!(trailers.unwrap()["x-note"], MASKED);
}
