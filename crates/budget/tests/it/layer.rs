//! The layer, alone and with what stands around it.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::{Map, Value, json};
use tollbook_budget::{Budget, BudgetLayer, Budgets, RepeatLimit};
use tollbook_exchange::{
    Action, Code, Exchange, ExchangeId, Masked, Outcome, Refusal, Retry, Timestamp,
};
use tower::{Layer, ServiceExt, service_fn};

use crate::{Manual, batch, caller, one, per_caller};

fn exchange() -> Exchange {
    Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
}

/// Sends a request as part of `exchange`, in which the inner service does `inside`.
async fn send(
    budgets: &Budgets,
    exchange: &Exchange,
    inside: impl Fn(&Exchange) + Clone + Send + 'static,
) -> Option<Refusal> {
    let action = Action::new("messages.create").with("repeated_tool_calls", 2_i64);
    send_action(budgets, exchange, action, inside).await
}

async fn send_action(
    budgets: &Budgets,
    exchange: &Exchange,
    action: Action,
    inside: impl Fn(&Exchange) + Clone + Send + 'static,
) -> Option<Refusal> {
    let inner = service_fn(move |request: Request<()>| {
        inside(request.extensions().get().unwrap());
        async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("passed")))) }
    });
    let mut request = Request::new(());
    request.extensions_mut().insert(exchange.clone());
    request.extensions_mut().insert(caller("me"));
    request.extensions_mut().insert(action);
    let service = BudgetLayer::new(budgets.clone()).layer(inner);
    let response = service.oneshot(request).await.unwrap();
    let refusal = response.extensions().get::<Refusal>().cloned();
    if let Some(refusal) = &refusal {
        assert_eq!(response.status(), refusal.code.status());
        let seconds = match refusal.retry {
            Retry::After(seconds) => seconds,
            _ => 0,
        };
        assert_ne!(seconds, 0, "with a time to come again");
        assert_eq!(response.headers()["retry-after"], seconds.to_string());
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body == "passed", refusal.is_none());
    refusal
}

#[expect(clippy::disallowed_methods, reason = "the test's own text")]
fn answered(exchange: &Exchange, result: &Value) {
    let result: Map<String, Value> = result.as_object().unwrap().clone();
    exchange.draft(|draft| draft.result = Masked::assume_masked(result));
}

fn usage(output: u64) -> Value {
    json!({"model": {"requested": "claude-opus-5"}, "stop_reason": "end_turn",
        "usage": {"input_tokens": 0, "output_tokens": output}})
}

#[tokio::test]
async fn what_an_answer_took_counts_when_its_exchange_is_over() {
    let (budgets, _) = one(per_caller().tokens(100));
    let first = exchange();
    assert_eq!(send(&budgets, &first, |_| ()).await, None);
    answered(&first, &usage(100));
    let second = exchange();
    assert_eq!(
        send(&budgets, &second, |_| ()).await,
        None,
        "still under way"
    );
    drop(first);
    let third = exchange();
    let refusal = send(&budgets, &third, |_| ()).await.unwrap();
    assert_eq!(refusal.code, Code::BudgetExceeded);
    third.draft(|draft| {
        assert_eq!(draft.outcome, Some(Outcome::Denied));
        assert_eq!(draft.refusal.as_ref().unwrap().reason, "budget_tokens");
    });
}

#[tokio::test]
async fn what_is_refused_further_in_spends_nothing() {
    let (budgets, _) = one(per_caller().requests(1));
    let refuse = |exchange: &Exchange| {
        exchange.refused(&Refusal::new(Code::ApprovalPending, "wait"));
    };
    for _ in 0..3 {
        assert_eq!(send(&budgets, &exchange(), refuse).await, None);
    }
    assert_eq!(send(&budgets, &exchange(), |_| ()).await, None);
    assert!(send(&budgets, &exchange(), |_| ()).await.is_some());
}

#[tokio::test]
async fn a_refusal_after_the_upstream_answered_spends_all_the_same() {
    let (budgets, _) = one(per_caller().requests(1).tokens(10));
    let exchange = exchange();
    assert_eq!(send(&budgets, &exchange, |_| ()).await, None);
    answered(&exchange, &usage(7));
    exchange.refused(&Refusal::new(Code::PolicyDenied, "no such tool"));
    drop(exchange);
    let spent = budgets.standing(1)[0].spent;
    assert_eq!((spent.requests, spent.tokens), (1, 7));
}

#[tokio::test]
async fn a_batch_counts_by_how_its_exchange_ended() {
    type Ended = (&'static str, fn(&Exchange), (u64, u64));
    let cases: [Ended; 5] = [
        ("accepted", |it| it.conclude(Outcome::Complete), (10, 70)),
        (
            "the upstream said no",
            |it| it.conclude(Outcome::UpstreamError),
            (10, 0),
        ),
        (
            "the caller left when it was on its way",
            |it| {
                it.draft(|draft| draft.committed = true);
                it.conclude(Outcome::ClientGone);
            },
            (10, 70),
        ),
        (
            "the caller left before",
            |it| it.conclude(Outcome::ClientGone),
            (10, 0),
        ),
        (
            "denied",
            |it| it.refused(&Refusal::new(Code::ApprovalPending, "wait")),
            (0, 0),
        ),
    ];
    for (case, ended, expected) in cases {
        let (budgets, _) = one(per_caller().requests(15).tokens(100));
        let exchange = exchange();
        let sent = send_action(&budgets, &exchange, batch(10, 7), ended).await;
        assert_eq!(sent, None, "{case}");
        assert_eq!(budgets.standing(1)[0].held.tokens, 70, "{case}");
        drop(exchange);
        let standing = budgets.standing(1);
        let spent = standing.first().map(|it| it.spent).unwrap_or_default();
        assert_eq!((spent.requests, spent.tokens), expected, "{case}");
        assert!(standing.iter().all(|it| it.held.tokens == 0), "{case}");
    }
}

#[tokio::test]
async fn a_loop_is_refused_as_one() {
    let budgets = Budgets::builder()
        .repeat(RepeatLimit::new(1))
        .clock(Manual::default())
        .build()
        .unwrap();
    let refusal = send(&budgets, &exchange(), |_| ()).await.unwrap();
    assert_eq!(refusal.code, Code::LoopDetected);
    assert_eq!(refusal.retry, Retry::After(300));
}

#[tokio::test]
async fn without_what_it_has_to_know_nothing_passes() {
    let (budgets, _) = one(per_caller().requests(9));
    for missing in ["principal", "exchange", "action"] {
        let inner = service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) });
        let mut request = Request::new(());
        let extensions = request.extensions_mut();
        if missing != "principal" {
            extensions.insert(caller("me"));
        }
        if missing != "exchange" {
            extensions.insert(exchange());
        }
        if missing != "action" {
            extensions.insert(Action::new("messages.create"));
        }
        let service = BudgetLayer::new(budgets.clone()).layer(inner);
        let response = service.oneshot(request).await.unwrap();
        let refusal = response.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.code, Code::Misassembled, "{missing}");
    }
    assert_eq!(budgets.standing(9), []);
}

#[tokio::test]
async fn without_budgets_everything_passes() {
    let budgets = Budgets::builder().build().unwrap();
    assert_eq!(send(&budgets, &exchange(), |_| ()).await, None);
    let day = std::time::Duration::from_secs(86_400);
    let other = Budget::new("x", tollbook_budget::Per::Group, day).cost(1);
    let (budgets, _) = one(other.groups(["nobody"]));
    assert_eq!(send(&budgets, &exchange(), |_| ()).await, None);
}
