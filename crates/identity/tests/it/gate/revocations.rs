//! Credentials that end before their time, and what was let in with them.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use serde_json::json;
use tokio::sync::mpsc;
use tollbook_exchange::{
    Code, Exchange, ExchangeId, Outcome, Refusal, Timestamp,
    http::{Cut, Refusable},
};
use tollbook_identity::{
    Authenticate, Credentials, GateAuthenticator, IdentityLayer, MemoryTokenStore, RevocableBody,
    Revocation, Revocations, Rule, Selector, TokenExchange,
};
use tower::{Layer, ServiceExt, service_fn};

use super::{Scene, call, deploy, long, post, post_form, show, token_for};
use crate::forge::NOW;

fn now(scene: &Scene) -> i64 {
    i64::try_from(scene.clock.now()).unwrap()
}

async fn revoke(gate: &GateAuthenticator, scene: &Scene, selector: Selector) -> usize {
    let revocation = Revocation::new(selector, "the laptop was stolen", now(scene));
    gate.revoke(revocation).await.unwrap().len()
}

#[tokio::test]
async fn every_selector_ends_what_it_means_and_nothing_else() {
    let scene = Scene::new();
    let other = "repo:acme/shipping:ref:refs/heads/main";
    let rules = [
        deploy(),
        Rule::builder("ship", "ci").subject(other),
        Rule::builder("people", "people").subject("alice"),
    ];
    let selectors: [fn(&str, &str) -> Selector; 6] = [
        |token, _| Selector::Token(token.parse().unwrap()),
        |_, assertion| Selector::Assertion(assertion.to_owned()),
        |_, _| Selector::Identity("ci/repo:acme/payments:ref:refs/heads/main".to_owned()),
        |_, _| Selector::Subject {
            issuer: "ci".to_owned(),
            subject: "repo:acme/payments:ref:refs/heads/main".to_owned(),
        },
        |_, _| Selector::Rule("deploy".to_owned()),
        |_, _| Selector::Issuer("ci".to_owned()),
    ];
    for (index, selector) in selectors.into_iter().enumerate() {
        let gate = scene.gate(rules.clone());
        let jwt = scene.jwt(json!({"jti": "one"}));
        let (ours, twin) = (token_for(&gate, &jwt).await, token_for(&gate, &jwt).await);
        let theirs = token_for(&gate, &scene.jwt(json!({"jti": "two", "sub": other}))).await;
        let persons = token_for(&gate, &scene.person("alice")).await;
        let access = show(&gate, &ours).await.unwrap().access.unwrap();
        let selector = selector(
            access.token.as_deref().unwrap(),
            access.assertion.as_deref().unwrap(),
        );
        let ended = revoke(&gate, &scene, selector.clone()).await;

        let revoked = |token| {
            let gate = gate.clone();
            async move { show(&gate, token).await.err() == Some("revoked") }
        };
        let (token_only, issuer) = (index == 0, index == 5);
        assert!(revoked(&ours).await, "{selector:?}");
        assert_eq!(revoked(&twin).await, !token_only, "{selector:?}");
        assert_eq!(revoked(&jwt).await, !token_only, "{selector:?}");
        assert_eq!(revoked(&theirs).await, issuer, "{selector:?}");
        assert!(!revoked(&persons).await, "{selector:?}");
        let expected = if token_only { 1 } else { 2 } + usize::from(issuer);
        assert_eq!(ended, expected, "{selector:?}");
        let marked = gate.tokens(10).await.unwrap();
        let marked = marked.iter().filter(|record| record.revoked.is_some());
        assert_eq!(marked.count(), expected);

        // The same token is not exchanged for another.
        let exchange = TokenExchange::new(gate.clone());
        let answer = post(&exchange, &call(&jwt, None), None).await;
        let reason = (!token_only).then_some("revoked");
        assert_eq!(answer.record.reason, reason, "{selector:?}");
    }
}

#[tokio::test]
async fn what_an_issuer_makes_later_counts_unless_the_revocation_lasts() {
    let scene = Scene::new();
    let subject = || Selector::Subject {
        issuer: "ci".to_owned(),
        subject: "repo:acme/payments:ref:refs/heads/main".to_owned(),
    };
    let at = |offset: u64| scene.jwt(json!({"iat": NOW + offset, "exp": NOW + offset + 300}));
    let gate = scene.gate([long(deploy())]);
    revoke(&gate, &scene, subject()).await;
    scene.clock.advance(121);
    assert_eq!(show(&gate, &at(120)).await, Err("revoked"));
    assert!(show(&gate, &at(121)).await.is_ok());
    assert!(show(&gate, &token_for(&gate, &at(121)).await).await.is_ok());

    let ban = Revocation::new(subject(), "until the audit", now(&scene)).lasting(3600);
    gate.revoke(ban).await.unwrap();
    scene.clock.advance(3500);
    assert_eq!(show(&gate, &at(3621)).await, Err("revoked"));
    scene.clock.advance(500);
    assert!(show(&gate, &at(4100)).await.is_ok());
}

#[tokio::test]
async fn whoever_acts_for_somebody_ends_with_them() {
    let scene = Scene::new();
    for selector in [
        Selector::Identity("people/alice".to_owned()),
        Selector::Issuer("people".to_owned()),
    ] {
        let gate = scene.gate([deploy()]);
        let (person, agent) = (scene.person("alice"), scene.jwt(json!({})));
        let pairs = [
            ("grant_type", super::TOKEN_EXCHANGE),
            ("subject_token", person.as_str()),
            ("subject_token_type", super::JWT),
            ("actor_token", agent.as_str()),
            ("actor_token_type", super::JWT),
        ];
        let answer = post_form(&TokenExchange::new(gate.clone()), &pairs).await;
        let token = super::json_of(&answer)["access_token"].clone();
        let token = token.as_str().unwrap();
        assert!(show(&gate, token).await.is_ok());
        revoke(&gate, &scene, selector).await;
        assert_eq!(show(&gate, token).await, Err("revoked"));
        assert!(show(&gate, &agent).await.is_ok());
    }
}

#[tokio::test]
async fn a_revocation_is_there_after_a_restart_and_in_other_processes() {
    let scene = Scene::new();
    let store = Arc::new(MemoryTokenStore::new());
    let gate = || scene.builder([deploy()]).store(Arc::clone(&store)).build();
    let (one, other) = (gate(), gate());
    let jwt = scene.jwt(json!({}));
    let token = token_for(&one, &jwt).await;
    assert!(show(&other, &jwt).await.is_ok());
    revoke(&one, &scene, Selector::Rule("deploy".to_owned())).await;

    // A gateway token is looked up every time; a bare one needs the news.
    assert_eq!(show(&other, &token).await, Err("revoked"));
    assert!(show(&other, &jwt).await.is_ok());
    other.refresh().await.unwrap();
    assert_eq!(show(&other, &jwt).await, Err("revoked"));
    let restarted = gate();
    assert_eq!(show(&restarted, &jwt).await, Err("revoked"));
    // It is forgotten when nothing that it means can be alive.
    assert_eq!(restarted.purge().await.unwrap(), 0);
    scene.clock.advance(50 * 3600);
    assert!(restarted.purge().await.unwrap() >= 3);
}

/// A body whose frames come over a channel.
struct Frames(mpsc::Receiver<Bytes>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0
            .poll_recv(cx)
            .map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes))))
    }
}

type Answer = Response<Refusable<RevocableBody<Frames>>>;

/// Sends a request with `token` to a service that answers when `go` comes.
async fn send(
    gate: &GateAuthenticator,
    token: &str,
    exchange: &Exchange,
    go: impl Future<Output = Frames> + Send + 'static,
) -> Answer {
    let mut request = Request::new(String::new());
    let value = format!("Bearer {token}").parse().unwrap();
    request.headers_mut().insert("authorization", value);
    request.extensions_mut().insert(exchange.clone());
    let go = Arc::new(std::sync::Mutex::new(Some(Box::pin(go))));
    let inner = service_fn(move |_: Request<String>| {
        let go = go.lock().unwrap().take().unwrap();
        async move { Ok::<_, Infallible>(Response::new(go.await)) }
    });
    let service = IdentityLayer::new(gate.clone()).layer(inner);
    service.oneshot(request).await.unwrap()
}

fn exchange() -> Exchange {
    Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
}

/// What should come at once, and fails the test when it does not come.
async fn soon<T>(work: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(10);
    tokio::time::timeout(limit, work).await.unwrap()
}

/// Tells when it is dropped.
struct Guard(#[expect(dead_code, reason = "it is there to be dropped")] mpsc::Sender<()>);

#[tokio::test]
async fn a_request_that_waits_is_answered_when_its_credential_ends() {
    let scene = Scene::new();
    for committed in [false, true] {
        for bare in [false, true] {
            let gate = scene.gate([deploy()]);
            let jwt = scene.jwt(json!({}));
            let token = if bare {
                jwt
            } else {
                token_for(&gate, &jwt).await
            };
            let exchange = exchange();
            exchange.draft(|draft| draft.committed = committed);
            let (guard, mut dropped) = mpsc::channel(1);
            let guard = Guard(guard);
            let held = tokio::spawn({
                let (gate, exchange) = (gate.clone(), exchange.clone());
                async move {
                    send(&gate, &token, &exchange, async move {
                        let _guard = guard;
                        std::future::pending().await
                    })
                    .await
                }
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert!(!held.is_finished());
            revoke(&gate, &scene, Selector::Rule("deploy".to_owned())).await;
            let answer = soon(held).await.unwrap();
            assert_eq!(answer.status(), 401);
            let refusal = answer.extensions().get::<Refusal>().unwrap();
            assert_eq!(
                (refusal.code, refusal.reason),
                (Code::AuthenticationFailed, "revoked")
            );
            // What was under way is not any more.
            assert_eq!(soon(dropped.recv()).await, None);
            let outcome = if committed {
                Outcome::PolicyCut
            } else {
                Outcome::Denied
            };
            assert_eq!(exchange.draft(|draft| draft.outcome), Some(outcome));
            let noted = exchange.draft(|draft| draft.refusal.clone().unwrap());
            assert_eq!(noted.reason, "revoked");
        }
    }
}

#[tokio::test]
async fn an_answer_that_streams_is_cut_when_its_credential_ends() {
    let scene = Scene::new();
    // With an answer of the upstream, and with one that was begun while its request was held.
    for (bare, committed) in [(false, true), (true, true), (true, false)] {
        let gate = scene.gate([deploy()]);
        let jwt = scene.jwt(json!({}));
        let token = if bare {
            jwt
        } else {
            token_for(&gate, &jwt).await
        };
        let exchange = exchange();
        exchange.draft(|draft| draft.committed = committed);
        let (frames, receiver) = mpsc::channel(4);
        let answer = send(&gate, &token, &exchange, async { Frames(receiver) }).await;
        assert_eq!(answer.status(), 200);
        let mut body = answer.into_body();
        frames.send(Bytes::from_static(b"one")).await.unwrap();
        let frame = body.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), "one");

        let rest = tokio::spawn(async move {
            let cut = body.frame().await.unwrap().unwrap_err();
            (cut, body.frame().await.is_none(), body.is_end_stream())
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!rest.is_finished());
        // Somebody else's.
        revoke(&gate, &scene, Selector::Rule("other".to_owned())).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(!rest.is_finished());
        revoke(&gate, &scene, Selector::Issuer("ci".to_owned())).await;
        let (cut, over, ended) = soon(rest).await.unwrap();
        assert!(over && ended);
        let refusal = Cut::of(&*cut).unwrap();
        assert_eq!(
            (refusal.code, refusal.reason),
            (Code::AuthenticationFailed, "revoked")
        );
        // The upstream's answer is let go.
        assert!(frames.is_closed());
        let outcome = if committed {
            Outcome::PolicyCut
        } else {
            Outcome::Denied
        };
        assert_eq!(
            exchange.draft(|draft| (draft.outcome, draft.refusal.clone().unwrap().reason)),
            (Some(outcome), "revoked")
        );
    }
}

#[tokio::test]
async fn an_answer_that_nobody_revokes_is_the_one_that_came() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let token = token_for(&gate, &scene.jwt(json!({}))).await;
    let exchange = exchange();
    let (frames, receiver) = mpsc::channel(4);
    let answer = send(&gate, &token, &exchange, async { Frames(receiver) }).await;
    for text in ["one", "two"] {
        frames
            .send(Bytes::from_static(text.as_bytes()))
            .await
            .unwrap();
    }
    drop(frames);
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "onetwo"
    );
    assert_eq!(exchange.draft(|draft| draft.outcome), None);
}

#[tokio::test]
async fn a_revocation_between_the_check_and_the_watch_is_not_missed() {
    let scene = Scene::new();
    let gate = scene.gate([deploy()]);
    let token = token_for(&gate, &scene.jwt(json!({}))).await;
    let admitted = gate.admit(&Credentials::new(token)).await.unwrap();
    revoke(&gate, &scene, Selector::Rule("deploy".to_owned())).await;
    // Only now is the watch looked at for the first time.
    assert_eq!(soon(admitted.revoked).await.reason(), "revoked");
    // And one that is made too late to hear of it looks for itself.
    let watch = gate.revocations().watch(&admitted.principal, now(&scene));
    assert_eq!(soon(watch).await.reason(), "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_who_watch_hear_what_is_meant_for_them() {
    let scene = Scene::new();
    let revocations = Revocations::new();
    let principal = |subject: &str| {
        tollbook_exchange::Principal::new(tollbook_exchange::PrincipalKind::Ci, "ci", subject)
    };
    let issued = now(&scene);
    let watch = |index: usize| {
        let subject = ["even", "odd"][index % 2];
        tokio::spawn(revocations.watch(&principal(subject), issued))
    };
    let watchers: Vec<_> = (0..4_000).map(watch).collect();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let even = Selector::Identity("ci/even".to_owned());
    revocations
        .apply([&Revocation::new(even, "", issued)])
        .unwrap();
    for (index, watcher) in watchers.into_iter().enumerate() {
        if index % 2 == 0 {
            assert_eq!(soon(watcher).await.unwrap().reason(), "revoked");
        } else {
            assert!(!watcher.is_finished());
            watcher.abort();
        }
    }
}
