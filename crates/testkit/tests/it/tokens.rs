//! The token exchange.

use std::time::Duration;

use http::HeaderValue;
use serde_json::{Value, json};
use tollbook_testkit::upstream::{ClaudeUpstream, STANDIN_API_KEY};

use crate::client::{Answer, request, send, start};

fn asking() -> Value {
    json!({
        "grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer",
        "assertion": "e30.e30.c2ln",
        "federation_rule_id": "fdrl_1",
        "organization_id": "5ca1ab1e-0000-4000-8000-000000000000",
        "workspace_id": "wrkspc_1",
    })
}

/// Calls with these headers in place of key and version.
async fn call(
    upstream: &ClaudeUpstream,
    target: &str,
    headers: &[(&'static str, &str)],
    body: &Value,
) -> Answer {
    let mut request = request("POST", target, body.to_string());
    request.headers_mut().remove("x-api-key");
    for (name, value) in headers {
        let value = HeaderValue::from_str(value).unwrap();
        request.headers_mut().insert(*name, value);
    }
    send(upstream, request).await.unwrap()
}

const HEADERS: [(&str, &str); 2] = [
    ("content-type", "application/json"),
    (
        "anthropic-beta",
        "oauth-2025-04-20,oidc-federation-2026-04-01",
    ),
];

async fn token(upstream: &ClaudeUpstream) -> String {
    let answer = call(upstream, "/v1/oauth/token", &HEADERS, &asking()).await;
    assert_eq!(answer.status, 200);
    answer.json()["access_token"].as_str().unwrap().to_owned()
}

async fn count(upstream: &ClaudeUpstream, headers: &[(&'static str, &str)]) -> u16 {
    let body = json!({"model":"claude-x","messages":[{"role":"user","content":"x"}]});
    let answer = call(upstream, "/v1/messages/count_tokens", headers, &body).await;
    answer.status.as_u16()
}

#[tokio::test]
async fn a_token_is_given_for_an_assertion_and_then_taken() {
    let upstream = start().await;
    upstream.tokens().live_for(Duration::from_secs(90));
    let answer = call(&upstream, "/v1/oauth/token", &HEADERS, &asking()).await;
    let given = answer.json();
    assert_eq!(given["token_type"], "Bearer");
    assert_eq!(given["expires_in"], 90);
    let bearer = format!("Bearer {}", given["access_token"].as_str().unwrap());
    let oauth = ("anthropic-beta", "a, oauth-2025-04-20");
    for (headers, status) in [
        (&[("authorization", &*bearer), oauth][..], 200),
        (&[("authorization", &*bearer)], 401),
        (
            &[
                ("authorization", &*bearer),
                ("anthropic-beta", "oauth-2025-04-20b"),
            ],
            401,
        ),
        (
            &[("authorization", "Bearer sk-ant-oat01-other"), oauth],
            401,
        ),
        (
            &[
                ("authorization", &*bearer),
                ("x-api-key", STANDIN_API_KEY),
                oauth,
            ],
            401,
        ),
    ] {
        assert_eq!(count(&upstream, headers).await, status, "{headers:?}");
    }
    let exchanged = upstream.tokens().exchanged();
    assert_eq!(exchanged.len(), 1);
    assert_eq!(exchanged[0].assertion, "e30.e30.c2ln");
    assert_eq!(exchanged[0].workspace.as_deref(), Some("wrkspc_1"));
    assert!(!format!("{:?} {:?}", exchanged[0], upstream.tokens()).contains("e30"));

    upstream.tokens().revoke_all();
    assert_eq!(
        count(&upstream, &[("authorization", &bearer), oauth]).await,
        401
    );
    upstream.shutdown().await;
}

#[tokio::test]
async fn tokens_end() {
    let upstream = start().await;
    upstream.tokens().live_for(Duration::from_secs(1));
    let bearer = format!("Bearer {}", token(&upstream).await);
    let headers = [
        ("authorization", &*bearer),
        ("anthropic-beta", "oauth-2025-04-20"),
    ];
    assert_eq!(count(&upstream, &headers).await, 200);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(count(&upstream, &headers).await, 401);
    upstream.shutdown().await;
}

#[tokio::test]
async fn calls_of_another_shape_are_refused() {
    let upstream = start().await;
    let with = |name: &str, value: Value| {
        let mut body = asking();
        body[name] = value;
        body
    };
    for (body, status) in [
        (with("grant_type", json!("password")), 400),
        (with("assertion", json!("")), 400),
        (with("assertion", json!(null)), 400),
        (with("assertion", json!("no token")), 401),
        (with("federation_rule_id", json!(7)), 400),
        (with("organization_id", json!(null)), 400),
        (with("workspace_id", json!([])), 400),
        (json!([]), 400),
    ] {
        let answer = call(&upstream, "/v1/oauth/token", &HEADERS, &body).await;
        assert_eq!(answer.status, status, "{body}");
        assert_eq!(answer.json()["type"], "error");
    }
    for headers in [
        &[HEADERS[0]][..],
        &[HEADERS[1]],
        &[HEADERS[0], ("anthropic-beta", "oauth-2025-04-20")],
        &[HEADERS[0], HEADERS[1], ("x-api-key", STANDIN_API_KEY)],
    ] {
        let answer = call(&upstream, "/v1/oauth/token", headers, &asking()).await;
        assert_eq!(answer.status, 400, "{headers:?}");
    }
    upstream.tokens().fail_with(Some(503));
    let answer = call(&upstream, "/v1/oauth/token", &HEADERS, &asking()).await;
    assert_eq!(answer.status, 503);
    assert!(upstream.tokens().exchanged().is_empty());
    upstream.shutdown().await;
}
