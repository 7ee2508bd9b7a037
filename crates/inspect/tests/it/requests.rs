use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tollbook_exchange::{Action, Exchange, Findings};

use crate::support::{Answer, Chunks, call, exchange, layer, secret, send};

fn fine() -> Answer {
    Response::builder()
        .status(204)
        .body(Chunks::default())
        .unwrap()
}

#[tokio::test]
async fn a_request_is_read_once_and_passed_on_as_it_came() {
    let exchange = exchange();
    let request = call(&exchange, &format!("my key is {}", secret()));
    let outcome = send(layer(), request, fine()).await;
    assert_eq!(outcome.status, 204);
    let (head, body) = outcome.inner.unwrap();
    assert!(
        String::from_utf8_lossy(&body).contains(&secret()),
        "the wire is not masked here"
    );

    let action = head.extensions.get::<Action>().unwrap();
    assert_eq!(
        (&*action.name, action.text("model")),
        ("messages.create", Some("m"))
    );
    assert!(action.is("stream") && action.is("body_scanned"));
    let findings = head.extensions.get::<Findings>().unwrap();
    assert_eq!(findings.found.len(), 1);
    assert_eq!(findings.coverage.inspected, body.len() as u64);
    exchange.draft(|draft| {
        let kept = String::from_utf8_lossy(draft.request.body.as_inner()).into_owned();
        assert!(
            kept.contains("my key is [REDACTED:") && !kept.contains(&secret()[8..]),
            "{kept}"
        );
        assert_eq!(draft.request.bytes, body.len() as u64);
        assert_eq!(draft.findings[0].place, "request.body:messages[].content");
    });
}

#[tokio::test]
async fn a_form_is_scanned_part_by_part() {
    let exchange = exchange();
    let mut request = call(&exchange, "");
    *request.uri_mut() = "/v1/files".parse().unwrap();
    let form = "multipart/form-data; boundary=b";
    request
        .headers_mut()
        .insert("content-type", form.parse().unwrap());
    let picture = b"\x89PNG\r\n\0\xff";
    let body = [
        b"--b\r\ncontent-disposition: form-data; name=\"password\"\r\n\r\ncorrect horse\r\n",
        &b"--b\r\ncontent-disposition: form-data; name=\"file\"\r\ncontent-type: image/png\r\n\r\n"
            [..],
        &picture[..],
        secret().as_bytes(),
        b"\r\n--b--\r\n",
    ]
    .concat();
    *request.body_mut() = Full::new(body.clone().into());
    let outcome = send(layer(), request, fine()).await;
    assert_eq!(outcome.status, 204);
    let (head, passed) = outcome.inner.unwrap();
    assert_eq!(passed, body, "the wire is not masked here");

    let action = head.extensions.get::<Action>().unwrap();
    assert!(action.name == "files.upload" && action.is("body_scanned"));
    let findings = head.extensions.get::<Findings>().unwrap();
    let opaque = (picture.len() + secret().len()) as u64;
    assert_eq!(findings.coverage.gaps.opaque, opaque);
    assert_eq!(findings.coverage.inspected, body.len() as u64 - opaque);
    assert_eq!(findings.coverage.uninspected, 0);
    exchange.draft(|draft| {
        let kept = draft.request.body.as_inner();
        let told = String::from_utf8_lossy(kept);
        assert!(
            !told.contains("horse") && !told.contains(&secret()[8..]),
            "{told}"
        );
        assert!(kept.windows(picture.len()).any(|window| window == picture));
        let places: Vec<_> = draft.findings.iter().map(|found| &*found.place).collect();
        assert_eq!(places, ["request.body", "request.body:password"]);
        assert_eq!(draft.request.coverage, findings.coverage);
    });
}

#[tokio::test]
async fn the_layer_works_without_a_record() {
    let mut request = call(&exchange(), "hello");
    request.extensions_mut().remove::<Exchange>();
    assert_eq!(send(layer(), request, fine()).await.status, 204);
}

#[tokio::test]
async fn a_fact_is_masked_for_the_record_and_not_for_policy() {
    let exchange = exchange();
    let body = format!(r#"{{"model":"{}","max_tokens":1,"messages":[]}}"#, secret());
    let mut request = call(&exchange, "");
    *request.body_mut() = Full::new(body.into());
    let (head, _) = send(layer(), request, fine()).await.inner.unwrap();
    assert_eq!(
        head.extensions.get::<Action>().unwrap().text("model"),
        Some(&*secret())
    );
    exchange.draft(|draft| {
        let kept = draft
            .action
            .as_ref()
            .unwrap()
            .as_inner()
            .text("model")
            .unwrap();
        assert!(kept.starts_with("[REDACTED:"), "{kept}");
    });
}

#[tokio::test]
async fn what_cannot_be_judged_is_refused_and_still_recorded() {
    for (body, reason) in [
        (
            &b"{\"model\":\"m\",\"model\":\"n\"}"[..],
            "duplicate_member",
        ),
        (b"{\"model\":\"m\"", "unexpected_end"),
        (b"\xff", "invalid_utf8"),
        (b"{\"messages\":[]}", "missing_field"),
    ] {
        let exchange = exchange();
        let mut request = call(&exchange, "");
        *request.body_mut() = Full::new(Bytes::copy_from_slice(body));
        let outcome = send(layer(), request, fine()).await;
        assert_eq!(outcome.status, 400, "{reason}");
        assert!(outcome.inner.is_none(), "{reason}");
        exchange.draft(|draft| {
            assert_eq!(draft.request.body.as_inner(), body, "{reason}");
            assert!(draft.action.is_none());
        });
    }
}

#[tokio::test]
async fn a_body_that_is_announced_too_long_is_not_read() {
    struct Unread;
    impl http_body::Body for Unread {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            panic!("the body was read");
        }
    }
    let request = Request::post("/v1/messages")
        .header("content-type", "application/json")
        .header("content-length", "1001")
        .body(Unread)
        .unwrap();
    assert_eq!(
        send(layer().max_body(1000), request, fine()).await.status,
        413
    );
}

#[tokio::test]
async fn a_body_that_turns_out_too_long_is_refused() {
    let pieces = [&[b' '; 600][..], &[b' '; 600]];
    let request = Request::post("/v1/messages")
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked")
        .body(Chunks::of(&pieces))
        .unwrap();
    assert_eq!(
        send(layer().max_body(1000), request, fine()).await.status,
        413
    );
}

#[tokio::test]
async fn a_body_that_stops_coming_is_refused() {
    struct Stuck;
    impl http_body::Body for Stuck {
        type Data = Bytes;
        type Error = std::convert::Infallible;
        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            std::task::Poll::Pending
        }
    }
    let request = Request::post("/v1/messages")
        .header("content-type", "application/json")
        .header("transfer-encoding", "chunked")
        .body(Stuck)
        .unwrap();
    let layer = layer().progress_timeout(Duration::from_millis(20));
    assert_eq!(send(layer, request, fine()).await.status, 408);
}

#[tokio::test]
async fn what_the_protocol_does_not_have_is_refused() {
    for (method, path) in [
        ("GET", "/v1/messages"),
        ("POST", "/v1/messages/"),
        ("GET", "/v2/models"),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Full::<Bytes>::default())
            .unwrap();
        let outcome = send(layer(), request, fine()).await;
        assert_eq!(
            (outcome.status, outcome.inner.is_none()),
            (404, true),
            "{method} {path}"
        );
    }
}

#[tokio::test]
async fn a_beta_that_cannot_be_judged_is_refused() {
    let mut request = call(&exchange(), "x");
    let value = http::HeaderValue::from_bytes(b"forbidden-beta,\xff").unwrap();
    request.headers_mut().insert("anthropic-beta", value);
    let outcome = send(layer(), request, fine()).await;
    assert_eq!((outcome.status, outcome.inner.is_none()), (400, true));
}
