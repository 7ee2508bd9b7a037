//! Refusals in the caller's protocol.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::{Value, json};
use tollbook_exchange::{Code, Refusal, Retry, http::refuse};
use tollbook_proxy::{ClaudeRefusals, RefusalLayer};
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
    ] {
        let refusal = Refusal::new(Code::NotRecordable, "no").retry(retry);
        let (response, _) = answer(ClaudeRefusals, "curl", refusal, true).await;
        assert_eq!(response.headers()["x-should-retry"], should);
        let told = response.headers().get("retry-after");
        assert_eq!(told.map(|value| value.to_str().unwrap()), after);
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
