//! The example, called without a socket.

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use embed_axum::{Parts, app};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tollbook_identity::{Issuer, OidcAuthenticator};
use tollbook_masking::Masker;
use tollbook_policy::PolicySet;
use tollbook_recording::{Config, Filter, Reader, Recorder};
use tollbook_testkit::issuer::{Config as IssuerConfig, OidcIssuer};
use tower::ServiceExt;

#[tokio::test]
async fn calls_are_identified_judged_and_recorded() {
    let issuer = OidcIssuer::start(IssuerConfig::default()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(Config::new(folder.path(), "localhost/example")).unwrap();
    let trusted = Issuer::builder("own", issuer.issuer_url())
        .audience("tollbook")
        .groups_claim("groups")
        .discover()
        .build()
        .unwrap();
    let app = app(Parts {
        authenticate: OidcAuthenticator::builder()
            .issuer(trusted)
            .build()
            .unwrap(),
        decide: PolicySet::builder()
            .allow("own", ["developers".to_owned()])
            .build()
            .unwrap(),
        masker: Masker::builder().builtin().build().unwrap(),
        recorder: recorder.clone(),
    });

    let call = |token: String| {
        let body = json!({
            "model": "own-model",
            "max_tokens": 8,
            "messages": [{ "role": "user", "content": "hello" }],
        });
        let request = Request::post("/v1/messages")
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .unwrap();
        let app = app.clone();
        async move {
            let response = app.oneshot(request).await.unwrap();
            let status = response.status();
            let body = response.into_body().collect().await.unwrap().to_bytes();
            (status, serde_json::from_slice::<Value>(&body).unwrap())
        }
    };
    let token = |groups: [&str; 1]| {
        issuer
            .token("me")
            .audience("tollbook")
            .groups(groups)
            .sign()
            .unwrap()
    };

    let (status, answer) = call(token(["developers"])).await;
    assert_eq!(status, StatusCode::OK);
    assert!(
        answer["content"][0]["text"]
            .as_str()
            .unwrap()
            .starts_with("me asked in exchange")
    );
    let (status, answer) = call(token(["visitors"])).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::FORBIDDEN, &json!("policy_denied"))
    );
    let (status, answer) = call("nonsense".to_owned()).await;
    assert_eq!(
        (status, &answer["code"]),
        (StatusCode::UNAUTHORIZED, &json!("authentication_failed"))
    );

    drop(app);
    recorder.close();
    let reader = Reader::open(folder.path()).unwrap();
    let outcomes: Vec<_> = reader
        .exchanges(&Filter::default())
        .unwrap()
        .into_iter()
        .rev()
        .map(|summary| summary.outcome.unwrap())
        .collect();
    assert_eq!(outcomes, ["complete", "denied", "denied"]);
    assert!(reader.verify(None).unwrap().is_verified());
}
