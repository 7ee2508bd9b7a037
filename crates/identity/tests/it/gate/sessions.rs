//! What gateway tokens open, and when they stop.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::json;
use std::sync::Arc;
use tollbook_identity::{
    AssertionHash, Credentials, GatewayToken, MemoryTokenStore, PeerCertificate, Revocation, Rule,
    StoreError, StoreFuture, TokenExchange, TokenHash, TokenId, TokenRecord, TokenStore,
};

use super::{CERTIFICATE, Scene, call, deploy, json_of, judge, post, show, token_for};

#[tokio::test]
async fn what_is_no_token_of_ours_opens_nothing() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let token = token_for(&gate, &scene.jwt(json!({}))).await;
    let other = GatewayToken::from_random([9; 32]);
    for (text, reason) in [
        (other.expose(), "unknown_token"),
        (&token[..46], "malformed_credential"),
        (&format!("{token}="), "malformed_credential"),
        ("gws_", "malformed_credential"),
        (&token[4..], "token_not_three_parts"),
        ("sk-ant-api03-xyz", "static_api_key"),
        ("", "missing_credential"),
    ] {
        assert_eq!(show(&gate, text).await, Err(reason));
    }
    assert!(show(&gate, &token).await.is_ok());
}

#[tokio::test]
async fn a_token_ends_with_its_rule_or_issuer() {
    let scene = Scene::new();
    let store = Arc::new(MemoryTokenStore::new());
    let with = |rules: Vec<_>| scene.builder(rules).store(Arc::clone(&store)).build();
    let token = token_for(&with(vec![deploy()]), &scene.jwt(json!({}))).await;

    assert!(show(&with(vec![deploy()]), &token).await.is_ok());
    for rules in [
        vec![],
        vec![Rule::builder("other", "ci").subject("repo:acme/payments:*")],
        vec![deploy().groups(["more"])],
        vec![deploy().claim("ref", "refs/heads/main")],
        vec![Rule::builder("deploy", "people").subject("repo:acme/payments:*")],
    ] {
        assert_eq!(show(&with(rules), &token).await, Err("rule_changed"));
    }
}

/// A key that the issuer takes back may have signed for a thief: what came of it ends with it.
#[tokio::test]
async fn a_token_ends_with_the_key_that_signed_for_it() {
    let scene = Scene::new();
    let store = Arc::new(MemoryTokenStore::new());
    let gate = scene.builder([deploy()]).store(Arc::clone(&store)).build();
    let token = token_for(&gate, &scene.jwt(json!({}))).await;
    assert!(show(&gate, &token).await.is_ok());

    let mut rotated = Scene::new();
    rotated.clock = scene.clock.clone();
    let gate = rotated.builder([deploy()]).store(store).build();
    assert_eq!(show(&gate, &token).await, Err("key_removed"));
}

#[tokio::test]
async fn a_token_bound_to_a_certificate_is_nothing_without_it() {
    let scene = Scene::new();
    let gate = scene.gate([deploy().require_certificate(true)]);
    let exchange = TokenExchange::new(gate.clone());
    let answer = post(
        &exchange,
        &call(&scene.jwt(json!({})), None),
        Some(CERTIFICATE),
    )
    .await;
    let token = json_of(&answer)["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    let with = |certificate| Credentials::new(token.clone()).with_certificate(certificate);

    let principal = judge(&gate, with(CERTIFICATE)).await.unwrap();
    assert_eq!(
        principal.access.unwrap().certificate,
        Some(CERTIFICATE.to_string())
    );
    let mut other = CERTIFICATE;
    other.0[31] ^= 1;
    assert_eq!(judge(&gate, with(other)).await, Err("certificate_mismatch"));
    assert_eq!(show(&gate, &token).await, Err("certificate_missing"));
}

#[tokio::test]
async fn an_issuers_token_bound_to_a_certificate_is_nothing_without_it() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let thumbprint = URL_SAFE_NO_PAD.encode(CERTIFICATE.0);
    let jwt = scene.jwt(json!({"cnf": {"x5t#S256": thumbprint}}));
    let with = |certificate| Credentials::new(jwt.clone()).with_certificate(certificate);
    assert!(judge(&gate, with(CERTIFICATE)).await.is_ok());
    assert_eq!(
        judge(&gate, with(PeerCertificate([8; 32]))).await,
        Err("certificate_mismatch")
    );
    assert_eq!(show(&gate, &jwt).await, Err("certificate_missing"));
    let exchange = TokenExchange::new(gate.clone());
    let answer = post(&exchange, &call(&jwt, None), None).await;
    assert_eq!(answer.record.reason, Some("certificate_missing"));

    // What it is exchanged for is worth no more, although the rule asks for no certificate.
    let answer = post(&exchange, &call(&jwt, None), Some(CERTIFICATE)).await;
    let token = json_of(&answer)["access_token"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(show(&gate, &token).await, Err("certificate_missing"));
    let with = |certificate| Credentials::new(token.clone()).with_certificate(certificate);
    assert!(judge(&gate, with(CERTIFICATE)).await.is_ok());
}

/// Answers nothing, or never.
struct Broken {
    hangs: bool,
}

impl Broken {
    fn answer<T>(&self) -> StoreFuture<'_, T> {
        let hangs = self.hangs;
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Err(StoreError::unavailable("the disk is gone"))
        })
    }
}

impl TokenStore for Broken {
    fn insert(&self, _: TokenRecord) -> StoreFuture<'_, ()> {
        self.answer()
    }
    fn find(&self, _: TokenHash) -> StoreFuture<'_, Option<TokenRecord>> {
        self.answer()
    }
    fn revoke(&self, _: Revocation) -> StoreFuture<'_, Vec<TokenId>> {
        self.answer()
    }
    fn revocations(&self, _: i64) -> StoreFuture<'_, Vec<Revocation>> {
        self.answer()
    }
    fn count_exchange(&self, _: AssertionHash, _: i64, _: u32) -> StoreFuture<'_, u32> {
        self.answer()
    }
    fn list(&self, _: usize) -> StoreFuture<'_, Vec<TokenRecord>> {
        self.answer()
    }
    fn purge(&self, _: i64) -> StoreFuture<'_, u64> {
        self.answer()
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_lets_nobody_in() {
    let scene = Scene::new();
    for hangs in [false, true] {
        let gate = scene.builder([deploy()]).store(Broken { hangs }).build();
        let jwt = scene.jwt(json!({}));
        // Nobody knows whether the caller was revoked.
        assert_eq!(show(&gate, &jwt).await, Err("store_unavailable"));
        let token = GatewayToken::from_random([1; 32]);
        assert_eq!(show(&gate, token.expose()).await, Err("store_unavailable"));
        let answer = post(&TokenExchange::new(gate), &call(&jwt, None), None).await;
        assert_eq!(
            (answer.status, answer.record.reason),
            (503, Some("store_unavailable"))
        );
    }
}
