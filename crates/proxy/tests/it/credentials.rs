//! Credentials that do not last.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use http::{Request, header};
use http_body_util::Full;
use serde_json::json;
use tollbook_exchange::{Code, Refusal, Retry};
use tollbook_proxy::{
    CommandCredential, Credential, CredentialError, CredentialFuture, Federation, Forward,
    IdentityToken, Program, ProvideCredential,
};
use tollbook_testkit::upstream::{ClaudeUpstream, UpstreamConfig};

use crate::{allowed, assert_refused, send, text, upstream::Upstream};

async fn claude() -> ClaudeUpstream {
    ClaudeUpstream::start(UpstreamConfig::default())
        .await
        .unwrap()
}

fn federated(upstream: &str, token: &Path) -> (Arc<Federation>, Forward) {
    let token = IdentityToken::file(token);
    let provider = Federation::builder(upstream, "fdrl_1", "org-1", token)
        .service_account("svac_1")
        .workspace("wrkspc_1")
        .build();
    let provider = Arc::new(provider.unwrap());
    let forward = Forward::builder(upstream)
        .provider(Arc::clone(&provider) as Arc<dyn ProvideCredential>)
        .build();
    (provider, forward.unwrap())
}

fn message() -> Request<Full<bytes::Bytes>> {
    let body = json!({
        "model": "claude-haiku-4-5", "max_tokens": 10,
        "messages": [{"role":"user","content":"hello"}],
    });
    let mut request = allowed("POST", "/v1/messages?beta=true", body.to_string());
    for (name, value) in [
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "one,two"),
        ("content-type", "application/json"),
        ("authorization", "Bearer gws_callers"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn the_gates_own_identity_opens_the_upstream() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "e30.e30.first\n").unwrap();
    let upstream = claude().await;
    let (provider, forward) = federated(upstream.url(), &file);
    assert_eq!(forward.credential_header(), Some(&header::AUTHORIZATION));
    for _ in 0..3 {
        let response = send(&forward, message()).await;
        assert_eq!(response.status(), 200);
        assert!(text(response).await.contains("hello"));
    }
    let exchanged = upstream.tokens().exchanged();
    assert_eq!(exchanged.len(), 1);
    assert_eq!(exchanged[0].assertion, "e30.e30.first");
    assert_eq!(exchanged[0].rule, "fdrl_1");
    assert_eq!(exchanged[0].organization, "org-1");
    assert_eq!(exchanged[0].service_account.as_deref(), Some("svac_1"));
    assert_eq!(exchanged[0].workspace.as_deref(), Some("wrkspc_1"));
    let sent = upstream.received().pop().unwrap();
    let authorization = format!("Bearer {}", exchanged[0].token);
    assert_eq!(sent.headers["authorization"], authorization);
    assert_eq!(sent.headers["anthropic-beta"], "one,two,oauth-2025-04-20");
    let shown = format!("{provider:?} {forward:?}");
    assert!(
        !shown.contains("sk-ant") && !shown.contains("e30"),
        "{shown}"
    );
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_token_that_the_upstream_refuses_is_replaced_and_the_request_sent_once_more() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "e30.e30.first").unwrap();
    let upstream = claude().await;
    let (_, forward) = federated(upstream.url(), &file);
    assert_eq!(send(&forward, message()).await.status(), 200);
    // The identity token has rotated in the meantime.
    fs::write(&file, "e30.e30.second").unwrap();
    upstream.tokens().revoke_all();
    assert_eq!(send(&forward, message()).await.status(), 200);
    let exchanged = upstream.tokens().exchanged();
    assert_eq!(exchanged.len(), 2);
    assert_eq!(exchanged[1].assertion, "e30.e30.second");
    // The exchange, two calls, one that was refused, another exchange.
    assert_eq!(upstream.count(), 5);

    // But not again at once: the 401 is the caller's to see.
    upstream.tokens().revoke_all();
    assert_eq!(send(&forward, message()).await.status(), 401);
    assert_eq!(send(&forward, message()).await.status(), 401);
    assert_eq!(upstream.tokens().count(), 2);
    upstream.shutdown().await;
}

#[tokio::test]
async fn without_a_credential_nothing_is_sent_and_nothing_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token-canary");
    let upstream = claude().await;
    let (_, forward) = federated(upstream.url(), &file);
    let refused = async |forward: &Forward| {
        let response = send(forward, message()).await;
        assert_refused(&response, Code::UpstreamUnreachable);
        let refusal = response.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.reason, "no_upstream_credential");
        assert_eq!(refusal.retry, Retry::Anytime);
        assert!(!text(response).await.contains("canary"));
    };
    // There is no file, and after that the exchange is not tried again for a second.
    refused(&forward).await;
    fs::write(&file, "e30.e30.canary").unwrap();
    refused(&forward).await;
    assert_eq!(upstream.count(), 0);

    let (_, forward) = federated(upstream.url(), &file);
    upstream.tokens().fail_with(Some(401));
    refused(&forward).await;
    refused(&forward).await;
    assert_eq!(
        upstream.count(),
        1,
        "a failing exchange is not asked for each request"
    );
    upstream.tokens().fail_with(None);
    tokio::time::sleep(Duration::from_millis(1_050)).await;
    assert_eq!(send(&forward, message()).await.status(), 200);
    upstream.shutdown().await;
}

#[tokio::test]
async fn many_requests_share_one_exchange() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "e30.e30.first").unwrap();
    let upstream = claude().await;
    let (_, forward) = federated(upstream.url(), &file);
    let sent: Vec<_> = (0..50)
        .map(|_| {
            let forward = forward.clone();
            tokio::spawn(async move { send(&forward, message()).await.status().as_u16() })
        })
        .collect();
    for sent in sent {
        assert_eq!(sent.await.unwrap(), 200);
    }
    assert_eq!(upstream.tokens().count(), 1);
    upstream.shutdown().await;
}

#[tokio::test]
async fn answers_of_the_exchange_that_cannot_be_used_are_no_credential() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    fs::write(&file, "e30.e30.first").unwrap();
    let long = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: 70000\r\n\r\n{{\"access_token\":\"t\",\"expires_in\":60,\"x\":\"{}",
        "a".repeat(70_000)
    );
    let elsewhere = claude().await;
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: {}/v1/oauth/token\r\ncontent-length: 0\r\n\r\n",
        elsewhere.url()
    );
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned(),
        "HTTP/1.1 201 Created\r\ncontent-length: 37\r\n\r\n{\"access_token\":\"t\",\"expires_in\":3600}".to_owned(),
        "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 37\r\n\r\n{\"access_token\":\"t\",\"expires_in\":3600}".to_owned(),
        "SSH-2.0-OpenSSH_9.2\r\n\r\n".to_owned(),
        long,
        redirect,
    ] {
        let upstream = Upstream::answering(move |head, _| {
            assert!(head.starts_with("POST /v1/oauth/token HTTP/1.1\r\n"), "{head}");
            answer.clone().into_bytes()
        })
        .await;
        let (_, forward) = federated(&upstream.url, &file);
        assert_refused(&send(&forward, message()).await, Code::UpstreamUnreachable);
    }
    assert_eq!(elsewhere.count(), 0, "a redirect was followed");
}

#[tokio::test]
async fn a_command_opens_the_upstream_and_its_echo_is_kept_back() {
    let folder = tempfile::tempdir().unwrap();
    let runs = folder.path().join("runs");
    let script = format!(
        "echo x >> {0}; echo sk-canary-$(wc -l < {0})",
        runs.display()
    );
    let program = Program::new(["/bin/sh", "-c", &script]).unwrap();
    let provider =
        CommandCredential::new("x-api-key", "", program, Duration::from_secs(60)).unwrap();
    let upstream = Upstream::answering(|head, _| {
        let key = head.lines().find_map(|line| line.strip_prefix("x-api-key: "));
        let (status, key) = match key {
            Some("sk-canary-1") => ("401 Unauthorized", "sk-canary-1"),
            key => ("200 OK", key.unwrap_or("none")),
        };
        format!("HTTP/1.1 {status}\r\nx-echo: {key}\r\nx-other: sk-canary-1\r\ncontent-length: 0\r\n\r\n")
            .into_bytes()
    })
    .await;
    let forward = Forward::builder(&upstream.url).provider(Arc::new(provider));
    let response = send(&forward.build().unwrap(), message()).await;
    assert_eq!(response.status(), 200);
    assert!(
        !response.headers().contains_key("x-echo"),
        "sk-canary-2 is the secret now"
    );
    assert_eq!(fs::read_to_string(runs).unwrap().lines().count(), 2);
}

/// Brings a credential for another header than it says.
#[derive(Debug)]
struct Misled;

impl ProvideCredential for Misled {
    fn header(&self) -> &http::HeaderName {
        &header::AUTHORIZATION
    }

    fn current(&self) -> CredentialFuture<'_> {
        Box::pin(async {
            Credential::new("x-api-key", "", "sk-canary")
                .map_err(|_| CredentialError::new("cannot be made"))
        })
    }
}

#[tokio::test]
async fn a_credential_for_a_header_that_the_record_does_not_know_is_not_sent() {
    let upstream = Upstream::echoing_heads().await;
    let forward = Forward::builder(&upstream.url).provider(Arc::new(Misled));
    let response = send(&forward.build().unwrap(), message()).await;
    assert_refused(&response, Code::UpstreamUnreachable);
    assert_eq!(upstream.connections(), 0);
}

/// A 401 for a credential that stays is an answer like any other.
#[tokio::test]
async fn a_fixed_credential_is_not_tried_twice() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let upstream = Upstream::answering(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno".to_vec()
    })
    .await;
    let response = send(&crate::forward(&upstream.url), message()).await;
    assert_eq!(response.status(), 401);
    assert_eq!(text(response).await, "no");
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}
