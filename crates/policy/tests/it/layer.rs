//! The layer, alone and with what stands around it.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tollbook_exchange::{
    Action, Code, Coverage, Decision, Exchange, ExchangeId, Finding, Findings, Masked, Operator,
    Outcome, Principal, Refusal, Timestamp, Verdict,
};
use tollbook_policy::{PolicyLayer, policy_fn};
use tower::{Layer, ServiceExt, service_fn};

use crate::{caller, create, policies};

const FORBID_KEYS: &str = r#"
    @id("ask") @reason("large models cost money") @approval("leads:1")
    forbid (principal, action, resource) when { context has model && context.model like "claude-opus-*" };
    @id("no-keys") @reason("take the key out")
    forbid (principal, action, resource) when { context.findings.contains("aws-secret-key") };
    "#;

fn scanned(rule: &str) -> Findings {
    let found = Finding::new(rule, "request.body", Operator::Redact, 1);
    Findings::new(vec![found], Masked::default(), Coverage::default())
}

/// Sends a request with what `prepare` puts into it; the inner service tells what verdict it saw.
async fn send(prepare: impl FnOnce(&mut http::Extensions)) -> (Option<Refusal>, String) {
    let inner = service_fn(|request: Request<()>| async move {
        let verdict = request.extensions().get::<Decision>().map(|it| it.verdict);
        let body = Full::new(Bytes::from(format!("passed {verdict:?}")));
        Ok::<_, Infallible>(Response::new(body))
    });
    let service = PolicyLayer::new(policies(FORBID_KEYS), "claude", "claude").layer(inner);
    let mut request = Request::new(());
    prepare(request.extensions_mut());
    let response = service.oneshot(request).await.unwrap();
    let refusal = response.extensions().get::<Refusal>().cloned();
    if let Some(refusal) = &refusal {
        assert_eq!(response.status(), refusal.code.status());
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (refusal, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_allowed_goes_on_with_its_decision() {
    let (refusal, body) = send(|extensions| {
        extensions.insert(caller(&["ci-payments"]));
        extensions.insert(create());
        extensions.insert(scanned("email"));
    })
    .await;
    assert_eq!(refusal, None);
    assert_eq!(body, "passed Some(Allow)");
}

#[tokio::test]
async fn a_denial_names_rule_and_reason_and_is_noted() {
    let exchange = Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now());
    let (refusal, _) = send(|extensions| {
        extensions.insert(exchange.clone());
        extensions.insert(caller(&["ci-payments"]));
        extensions.insert(create());
        extensions.insert(scanned("aws-secret-key"));
    })
    .await;
    let refusal = refusal.unwrap();
    assert_eq!(refusal.code, Code::PolicyDenied);
    assert_eq!(refusal.reason, "policy_denied");
    assert_eq!(
        refusal.message,
        "tollbook_policy_denied: no-keys: take the key out"
    );
    exchange.draft(|draft| {
        let decision = draft.decision.as_ref().unwrap();
        assert_eq!(decision.verdict, Verdict::Deny);
        assert_eq!(decision.rules, ["no-keys"]);
        assert_eq!(draft.outcome, Some(Outcome::Denied));
    });
}

#[tokio::test]
async fn nobody_is_permitted_nothing() {
    let (refusal, _) = send(|extensions| {
        extensions.insert(create());
        extensions.insert(scanned("email"));
    })
    .await;
    let refusal = refusal.unwrap();
    assert_eq!(refusal.code, Code::PolicyDenied);
    assert_eq!(refusal.reason, "no_principal");

    let (refusal, _) = send(|extensions| {
        extensions.insert(caller(&["strangers"]));
        extensions.insert(create());
        extensions.insert(scanned("email"));
    })
    .await;
    let refusal = refusal.unwrap();
    assert_eq!(refusal.reason, "no_permit");
    assert_eq!(
        refusal.message,
        "tollbook_policy_denied: no rule permits this"
    );
}

#[tokio::test]
async fn without_an_action_the_stack_is_misassembled() {
    let (refusal, _) = send(|extensions| {
        extensions.insert(caller(&["ci-payments"]));
    })
    .await;
    assert_eq!(refusal.unwrap().code, Code::Misassembled);
}

#[tokio::test]
async fn without_findings_nothing_was_scanned() {
    let (refusal, _) = send(|extensions| {
        extensions.insert(caller(&["ci-payments"]));
        extensions.insert(create());
    })
    .await;
    assert_eq!(
        refusal.unwrap().message,
        "tollbook_policy_denied: tollbook.unscanned: the body was not scanned as a whole"
    );
}

#[tokio::test]
async fn a_rule_that_fails_is_told_apart() {
    let (refusal, _) = send(|extensions| {
        extensions.insert(caller(&["ci-payments"]));
        extensions.insert(create().with("surprise", "very secret text"));
        extensions.insert(scanned("email"));
    })
    .await;
    let refusal = refusal.unwrap();
    assert_eq!(refusal.code, Code::PolicyError);
    assert_eq!(
        refusal.message,
        "tollbook_policy_error: tollbook.facts: a rule could not be evaluated"
    );
}

#[tokio::test]
async fn a_closure_may_decide_but_not_allow_with_errors() {
    let decide = policy_fn(|_: &Principal, _: &Action, _: &[Finding]| {
        Decision::new(Verdict::Allow, Vec::new(), "v1").with_errors(vec!["x".to_owned()])
    });
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
    let mut request = Request::new(());
    request.extensions_mut().insert(caller(&[]));
    request.extensions_mut().insert(create());
    let service = PolicyLayer::new(decide, "claude", "claude").layer(inner);
    let response = service.oneshot(request).await.unwrap();
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.code, Code::PolicyError);
}

#[tokio::test]
async fn what_needs_approval_goes_inward_with_its_decision() {
    let exchange = Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now());
    let (refusal, body) = send(|extensions| {
        extensions.insert(exchange.clone());
        extensions.insert(caller(&["ci-payments"]));
        extensions.insert(create().with("model", "claude-opus-4-5"));
        extensions.insert(scanned("email"));
    })
    .await;
    assert_eq!(refusal, None);
    assert_eq!(body, "passed Some(Approve)");
    exchange.draft(|draft| {
        let decision = draft.decision.as_ref().unwrap();
        assert_eq!(decision.verdict, Verdict::Approve);
        assert_eq!(decision.requires[0].group, "leads");
        assert_eq!(draft.outcome, None, "nobody has decided yet");
    });
}

#[tokio::test]
async fn an_approval_that_asks_nobody_is_refused() {
    let decide = policy_fn(|_: &Principal, _: &Action, _: &[Finding]| {
        Decision::new(Verdict::Approve, vec!["x".to_owned()], "v1")
    });
    let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
    let mut request = Request::new(());
    request.extensions_mut().insert(caller(&[]));
    request.extensions_mut().insert(create());
    let service = PolicyLayer::new(decide, "claude", "claude").layer(inner);
    let response = service.oneshot(request).await.unwrap();
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(
        (refusal.code, refusal.reason),
        (Code::PolicyError, "no_approvers")
    );
}
