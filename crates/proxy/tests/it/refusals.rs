//! Refusals in the caller's protocol.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tollbook_exchange::{
    Code, Refusal, Retry,
    http::{Cut, refuse},
};
use tollbook_proxy::{ClaudeRefusals, RefusalLayer, RenderRefusal, RequestInfo};
use tower::{Layer, ServiceExt, service_fn};

const ID: &str = "0199e4a0-7a4e-7000-8000-000000000001";

/// The answer that a caller with this user agent gets to a refusal, within an exchange or not.
async fn answer(
    refusals: ClaudeRefusals,
    user_agent: &str,
    refusal: Refusal,
    exchange: bool,
) -> (Response<()>, Value) {
    let inner = service_fn(move |_: Request<()>| {
        let refusal = refusal.clone();
        async move {
            let mut response = refuse::<Full<Bytes>>(refusal);
            if exchange {
                let headers = response.headers_mut();
                headers.insert("x-tollbook-exchange", ID.parse().unwrap());
            }
            Ok::<_, Infallible>(response)
        }
    });
    let request = Request::builder()
        .header("user-agent", user_agent)
        .body(())
        .unwrap();
    let response = RefusalLayer::new(refusals)
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap();
    let (head, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        Response::from_parts(head, ()),
        serde_json::from_slice(&body).unwrap(),
    )
}

fn denied() -> Refusal {
    Refusal::new(
        Code::PolicyDenied,
        "tollbook_policy_denied: no-opus: ask first",
    )
    .because("the record alone may know")
}

#[tokio::test]
async fn a_denial_has_the_form_of_the_api() {
    let (response, body) = answer(ClaudeRefusals, "anthropic-sdk", denied(), true).await;
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert_eq!(
        body,
        json!({
            "type": "error",
            "error": {
                "type": "permission_error",
                "message": format!("tollbook_policy_denied: no-opus: ask first (exchange {ID})"),
            },
            "request_id": ID,
        })
    );
    let headers = response.headers();
    assert_eq!(headers["content-type"], "application/json");
    assert_eq!(headers["request-id"], ID);
    assert_eq!(headers["x-tollbook-exchange"], ID);
    assert_eq!(headers["x-should-retry"], "false");
    assert!(!headers.contains_key("retry-after"));
    assert!(!headers.contains_key("www-authenticate"));
}

#[tokio::test]
async fn without_a_record_there_is_no_id_to_tell() {
    let (response, body) = answer(ClaudeRefusals, "curl", denied(), false).await;
    assert_eq!(body["request_id"], "");
    assert_eq!(
        body["error"]["message"],
        "tollbook_policy_denied: no-opus: ask first"
    );
    assert!(!response.headers().contains_key("request-id"));
}

#[tokio::test]
async fn every_client_is_told_the_same() {
    for user_agent in ["claude-cli/2.1", "curl", ""] {
        for (code, status, kind) in [
            (Code::PolicyDenied, 403, "permission_error"),
            (Code::PolicyError, 403, "permission_error"),
            (Code::AuthenticationFailed, 401, "authentication_error"),
            (Code::BodyTooLarge, 413, "request_too_large"),
            (Code::ApprovalDenied, 403, "permission_error"),
            (Code::ApprovalExpired, 403, "permission_error"),
            (Code::ApprovalPending, 409, "conflict_error"),
            (Code::BudgetExceeded, 429, "rate_limit_error"),
            (Code::LoopDetected, 429, "rate_limit_error"),
            (Code::TooManyApprovals, 429, "rate_limit_error"),
        ] {
            let refusal = Refusal::new(code, "no");
            let (response, body) = answer(ClaudeRefusals, user_agent, refusal, true).await;
            assert_eq!(response.status(), status, "{code:?} {user_agent}");
            assert_eq!(body["error"]["type"], kind, "{code:?} {user_agent}");
        }
    }
}

#[tokio::test]
async fn clients_are_told_whether_to_try_again() {
    for (retry, should, after) in [
        (Retry::Never, "false", None),
        (Retry::Anytime, "true", None),
        (Retry::After(7), "true", Some("7")),
        (Retry::After(60), "true", Some("60")),
        (Retry::After(61), "false", Some("61")),
    ] {
        // Without a word the SDKs would try a 409, a 429 and a 503 again, and a 403 not.
        for code in [
            Code::NotRecordable,
            Code::BudgetExceeded,
            Code::LoopDetected,
            Code::TooManyApprovals,
            Code::ApprovalPending,
            Code::ApprovalDenied,
        ] {
            let refusal = Refusal::new(code, "no").retry(retry);
            let (response, _) = answer(ClaudeRefusals, "curl", refusal, true).await;
            assert_eq!(response.headers()["x-should-retry"], should, "{code:?}");
            let told = response.headers().get("retry-after");
            assert_eq!(told.map(|value| value.to_str().unwrap()), after);
        }
    }
}

#[tokio::test]
async fn a_401_says_what_would_be_accepted() {
    // And says nothing about trying again: a client that can renew its credential shall.
    let refusal = Refusal::new(Code::AuthenticationFailed, "no");
    let (response, _) = answer(ClaudeRefusals, "curl", refusal, true).await;
    assert_eq!(response.headers()["www-authenticate"], "Bearer");
    assert_eq!(response.headers().get("x-should-retry"), None);
}

#[tokio::test]
async fn the_reason_for_the_record_stays_there() {
    let (response, body) = answer(ClaudeRefusals, "curl", denied(), true).await;
    let said = format!("{:?} {body}", response.headers());
    assert!(!said.contains("the record alone may know"));
}

#[tokio::test]
async fn other_answers_pass_as_they_are() {
    let inner = service_fn(|_: Request<()>| async {
        let mut response = Response::new(Full::<Bytes>::from("upstream's own 403"));
        *response.status_mut() = StatusCode::FORBIDDEN;
        Ok::<_, Infallible>(response)
    });
    let layer = RefusalLayer::new(ClaudeRefusals);
    let response = layer.layer(inner).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(response.headers().is_empty());
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "upstream's own 403");
}

/// What comes of an answer with this head and these pieces that then is cut off with `error`: the
/// bytes, and whether it broke off.
async fn cut<R: RenderRefusal>(
    refusals: R,
    head: &[(&str, &str)],
    pieces: &'static [&'static str],
    error: Box<dyn std::error::Error + Send + Sync>,
) -> (String, bool) {
    struct Cutting(
        std::collections::VecDeque<&'static str>,
        Option<Box<dyn std::error::Error + Send + Sync>>,
    );
    impl http_body::Body for Cutting {
        type Data = Bytes;
        type Error = Box<dyn std::error::Error + Send + Sync>;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            let piece = self.0.pop_front().map(|piece| Ok(piece.into()));
            let frame = piece.or_else(|| self.1.take().map(Err));
            std::task::Poll::Ready(frame.map(|frame| frame.map(http_body::Frame::data)))
        }
    }

    let mut response = Response::builder();
    for (name, value) in head {
        response = response.header(*name, *value);
    }
    let answer = response.body(Cutting(pieces.iter().copied().collect(), Some(error)));
    let answer = std::sync::Mutex::new(Some(answer.unwrap()));
    let inner = service_fn(move |_: Request<()>| {
        let answer = answer.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(answer) }
    });
    let layer = RefusalLayer::new(refusals);
    let response = layer.layer(inner).oneshot(Request::new(())).await.unwrap();
    let mut body = response.into_body();
    let (mut bytes, mut broken) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(frame.data_ref().unwrap()),
            Err(_) => broken = true,
        }
    }
    (String::from_utf8(bytes).unwrap(), broken)
}

const EVENTS: (&str, &str) = ("content-type", "text/event-stream; charset=utf-8");

/// An error that another one has caused, as layers outside the one that cuts make them.
#[derive(Debug)]
struct Wrapped(Cut);

impl std::fmt::Display for Wrapped {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("wrapped")
    }
}

impl std::error::Error for Wrapped {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test]
async fn a_stream_that_is_cut_ends_with_an_error_event() {
    let head = [EVENTS, ("x-tollbook-exchange", ID)];
    let refusal = Refusal::new(Code::ApprovalDenied, "somebody said no").because("for the record");
    let error = Box::new(Wrapped(Cut(refusal)));
    let (body, broken) = cut(
        ClaudeRefusals,
        &head,
        &["event: ping\n", "data: {}\n\n"],
        error,
    )
    .await;
    assert!(!broken);
    let last = body.strip_prefix("event: ping\ndata: {}\n\n").unwrap();
    let data = last.strip_prefix("event: error\ndata: ").unwrap();
    let data: Value = serde_json::from_str(data.strip_suffix("\n\n").unwrap()).unwrap();
    assert_eq!(
        data,
        json!({
            "type": "error",
            "error": {
                "type": "permission_error",
                "message": format!("somebody said no (exchange {ID})"),
            },
            "request_id": ID,
        })
    );
}

#[tokio::test]
async fn the_last_word_is_an_event_of_its_own() {
    for (pieces, separated) in [
        (&[][..], false),
        (&["data: 1\n\n"], false),
        (&["data: 1\n", "\n"], false),
        (&["data: 1\r\n\r", "\n"], false),
        (&["data: 1\r", "\r"], false),
        (&["data: 1\n"], true),
        (&["data: 1\r\n"], true),
        (&["data: 1\n\n", "data: {\"cut"], true),
    ] {
        let refusal = Cut(Refusal::new(Code::PolicyDenied, "no"));
        let (body, _) = cut(ClaudeRefusals, &[EVENTS], pieces, refusal.into()).await;
        let came = pieces.concat();
        let last = body.strip_prefix(&came).unwrap();
        assert_eq!(
            last.starts_with("\n\nevent: error\n"),
            separated,
            "{came:?}"
        );
        assert!(last.trim_start().starts_with("event: error\n"), "{came:?}");
    }
}

#[tokio::test]
async fn what_breaks_off_otherwise_breaks_off() {
    struct Wordless;
    impl RenderRefusal for Wordless {
        fn render(&self, _: &Refusal, _: &RequestInfo<'_>) -> Response<Bytes> {
            Response::default()
        }
    }
    let refusal = || Box::new(Cut(Refusal::new(Code::PolicyDenied, "no")));
    let reset = Box::new(std::io::Error::from(std::io::ErrorKind::ConnectionReset));
    let json = ("content-type", "application/json");
    let length = ("content-length", "9");
    let gzip = ("content-encoding", "gzip");
    for (came, why) in [
        (
            cut(ClaudeRefusals, &[EVENTS], &["x"], reset).await,
            "no cut",
        ),
        (
            cut(ClaudeRefusals, &[json], &["x"], refusal()).await,
            "no events",
        ),
        (cut(ClaudeRefusals, &[], &["x"], refusal()).await, "no type"),
        (
            cut(ClaudeRefusals, &[EVENTS, length], &["x"], refusal()).await,
            "a length",
        ),
        (
            cut(ClaudeRefusals, &[EVENTS, gzip], &["x"], refusal()).await,
            "a coding",
        ),
        (
            cut(Wordless, &[EVENTS], &["x"], refusal()).await,
            "no words",
        ),
    ] {
        assert_eq!(came, ("x".to_owned(), true), "{why}");
    }
}
