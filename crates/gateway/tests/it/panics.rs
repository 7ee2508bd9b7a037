//! A bug in a layer is one caller's misfortune, and it is in the book.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use tollbook_approvals::{ApprovalLayer, Approvals, Key, MemoryStore, Unrecorded};
use tollbook_budget::Budgets;
use tollbook_detection::Detectors;
use tollbook_exchange::{Principal, PrincipalKind};
use tollbook_gateway::{ClaudeConnection, ConnectionMasks};
use tollbook_identity::{Authenticate, Credentials, Rejection};
use tollbook_masking::Masker;
use tollbook_policy::policy_fn;
use tollbook_proxy::Forward;
use tollbook_recording::{Config, Reader, Recorder};
use tower::ServiceExt;

/// Knows everybody.
struct Anyone;

impl Authenticate for Anyone {
    async fn authenticate(&self, _: &Credentials) -> Result<Principal, Rejection> {
        Ok(Principal::new(PrincipalKind::Ci, "ci", "anyone"))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_500_for_the_caller_and_indeterminate_in_the_book() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = Recorder::open(Config::new(folder.path(), "localhost/panics")).unwrap();
    let stack = ClaudeConnection {
        name: "claude".to_owned(),
        authenticate: Arc::new(Anyone),
        decide: policy_fn(|_, _, _| panic!("a piece of the request")),
        masks: ConnectionMasks::record("claude", Masker::builtin()),
        max_body: 1024,
        detectors: Detectors::builtin(),
        tools: None,
        budgets: Budgets::builder().build().unwrap(),
        approvals: ApprovalLayer::new(
            Approvals::builder(
                Arc::new(MemoryStore::new()),
                Key::new([7; 32]),
                Arc::new(Unrecorded),
            )
            .build(),
            "claude",
            "claude",
            |_, _, _| unreachable!("nothing gets so far"),
        ),
        recorder: recorder.clone(),
        durability: tollbook_gateway::config::Durability::default(),
        forward: Forward::builder("http://127.0.0.1:1").build().unwrap(),
    }
    .stack();
    let request = Request::get("/v1/models")
        .header("authorization", "Bearer token")
        .body(Full::<Bytes>::default())
        .unwrap();
    let response = stack.oneshot(request).await.unwrap();
    assert_eq!(response.status(), 500);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["type"], "api_error");
    assert!(!body.to_string().contains("piece of the request"), "{body}");

    recorder.close();
    let reader = Reader::open(folder.path()).unwrap();
    let summary = &reader.exchanges(&Default::default()).unwrap()[0];
    assert_eq!(summary.outcome.as_deref(), Some("indeterminate"));
    assert!(reader.verify(None).unwrap().is_verified());
}
