//! Every way in which an exchange can end leaves its outcome in the book.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::json;
use tollbook_exchange::{
    Code, Exchange, Finding, Masked, Operator, Outcome, Redact, Refusal, Retry,
    http::{Refusable, refuse},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Book, Script, Step, answer, masked, open};

const TWO: &[Step] = &[Step::Data("one"), Step::Data("two")];

/// The outcome when the answer is dropped after so many frames.
async fn outcome(status: u16, steps: &'static [Step], frames: usize) -> String {
    let book = Book::new();
    let (id, _) = book.send(answer(status, steps), frames).await;
    let shown = book.close().show(&id);
    assert_eq!(shown["status"], status);
    shown["outcome"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_way_a_body_ends_is_the_outcome() {
    assert_eq!(outcome(200, TWO, 3).await, "complete");
    assert_eq!(outcome(529, TWO, 3).await, "upstream_error");
    assert_eq!(outcome(200, TWO, 2).await, "client_gone");
    assert_eq!(outcome(200, TWO, 0).await, "client_gone");
    assert_eq!(
        outcome(200, &[Step::Data("one"), Step::Fail], 3).await,
        "upstream_reset"
    );
    // A status that has no body: no server polls for its end.
    assert_eq!(outcome(304, &[], 0).await, "complete");
}

#[tokio::test]
async fn a_layer_that_concludes_first_has_the_last_word() {
    let book = Book::new();
    let inner = service_fn(async |request: Request<()>| {
        let exchange = request.extensions().get::<Exchange>().unwrap();
        exchange.conclude(Outcome::ErrorEvent);
        Ok::<_, Infallible>(Response::new(String::from("x")))
    });
    let (id, _) = book.send(inner, 2).await;
    assert_eq!(book.close().show(&id)["outcome"], "error_event");
}

#[tokio::test]
async fn a_body_that_is_known_to_end_needs_no_last_poll() {
    let book = Book::new();
    let last = |length, tells| {
        service_fn(move |_: Request<()>| async move {
            Ok::<_, Infallible>(Response::new(Script {
                steps: [Step::Data("all")].into(),
                exchange: None,
                length,
                tells,
            }))
        })
    };
    let (told, _) = book.send(last(None, true), 1).await;
    let (counted, _) = book.send(last(Some(3), false), 1).await;
    let (neither, _) = book.send(last(None, false), 1).await;

    let layer = book.record();
    let request = Request::builder().method(Method::HEAD).body(()).unwrap();
    let response = layer
        .layer(answer(200, TWO))
        .oneshot(request)
        .await
        .unwrap();
    let head = response.headers()["x-tollbook-exchange"]
        .to_str()
        .unwrap()
        .to_owned();
    drop((response, layer));

    let book = book.close();
    for id in [told, counted, head] {
        assert_eq!(book.show(&id)["outcome"], "complete");
    }
    assert_eq!(book.show(&neither)["outcome"], "client_gone");
}

#[tokio::test]
async fn a_caller_that_leaves_before_the_answer_is_client_gone() {
    let book = Book::new();
    let inner =
        service_fn(|_: Request<()>| std::future::pending::<Result<Response<String>, Infallible>>());
    let stack = book.record().layer(book.commit().layer(inner));
    let left = tokio::time::timeout(
        std::time::Duration::from_millis(100),
        stack.oneshot(Request::new(())),
    );
    assert!(left.await.is_err());
    let listed = book
        .close()
        .reader()
        .exchanges(&Default::default())
        .unwrap();
    assert_eq!(listed[0].outcome.as_deref(), Some("client_gone"));
}

#[tokio::test]
async fn a_panic_is_indeterminate_before_and_after_the_head() {
    let book = Book::new();
    let stack = book.record().layer(service_fn(
        async |request: Request<()>| -> Result<Response<String>, Infallible> {
            panic!("a layer's bug: {}", request.uri())
        },
    ));
    assert!(tokio::spawn(stack.oneshot(Request::new(()))).await.is_err());

    let stack = book.record().layer(answer(200, &[Step::Panic]));
    let body = stack.oneshot(Request::new(())).await.unwrap().into_body();
    let mut body = Box::pin(body);
    // The panic is caught here, so the body is dropped by a thread that does not panic.
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let waker = std::task::Waker::noop();
        let polled =
            http_body::Body::poll_frame(body.as_mut(), &mut std::task::Context::from_waker(waker));
        polled.is_ready()
    }));
    assert!(caught.is_err());
    drop(body);

    let listed = book
        .close()
        .reader()
        .exchanges(&Default::default())
        .unwrap();
    let outcomes: Vec<_> = listed
        .iter()
        .map(|listed| listed.outcome.as_deref())
        .collect();
    assert_eq!(outcomes, [Some("indeterminate"); 2]);
}

#[tokio::test]
async fn a_refusal_is_recorded_with_its_code_and_reason() {
    let book = Book::new();
    let refusing = |code: Code| {
        service_fn(move |_: Request<()>| async move {
            let refusal = Refusal::new(code, "no").because("because");
            Ok::<_, Infallible>(refuse::<String>(refusal))
        })
    };
    // Before the commit, as the layers between do it, both entries are written at the end.
    let layer = book.record();
    let response = layer
        .layer(refusing(Code::PolicyDenied))
        .oneshot(Request::new(()))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::FORBIDDEN);
    assert!(response.extensions().get::<Refusal>().is_some());
    let denied = response.headers()["x-tollbook-exchange"]
        .to_str()
        .unwrap()
        .to_owned();
    drop((response, layer));
    let (unreachable, _) = book.send(refusing(Code::UpstreamUnreachable), 2).await;

    let book = book.close();
    let shown = book.show(&denied);
    assert_eq!(shown["outcome"], "denied");
    assert_eq!(shown["status"], 403);
    assert_eq!(
        shown["refusal"],
        json!({ "code": "policy_denied", "reason": "because", "message": "no" })
    );
    assert_eq!(book.show(&unreachable)["outcome"], "upstream_error");
}

#[tokio::test]
async fn an_inner_service_that_fails_is_indeterminate() {
    let book = Book::new();
    let inner =
        service_fn(async |_: Request<()>| Err::<Response<String>, _>(std::io::Error::other("x")));
    let stack = book.record().layer(inner);
    assert!(stack.oneshot(Request::new(())).await.is_err());
    let listed = book
        .close()
        .reader()
        .exchanges(&Default::default())
        .unwrap();
    assert_eq!(listed[0].outcome.as_deref(), Some("indeterminate"));
}

#[tokio::test]
async fn a_commit_without_its_record_layer_is_misassembled() {
    let (book, other) = (Book::new(), Book::new());
    let alone = book.commit().layer(answer(200, TWO));
    let response = alone.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        response.extensions().get::<Refusal>().unwrap().code,
        Code::Misassembled
    );

    // Two books: the commit layer's knows nothing of the exchange.
    let mixed = book.record().layer(other.commit().layer(answer(200, TWO)));
    let response = mixed.oneshot(Request::new(())).await.unwrap();
    assert_eq!(
        response.extensions().get::<Refusal>().unwrap().code,
        Code::Misassembled
    );
}

/// Replaces the word `secret`.
struct Toy;

impl Redact for Toy {
    fn redact(&self, place: &str, text: &str) -> (Masked<String>, Vec<Finding>) {
        let found = text
            .matches("secret")
            .map(|_| Finding::new("toy", place, Operator::Redact, 1));
        (
            masked(text.replace("secret", "[REDACTED:toy]")),
            found.collect(),
        )
    }
}

fn request() -> Request<()> {
    Request::builder()
        .method("POST")
        .uri("/v1/a%2Fb?key=secret")
        .header("Authorization", "Bearer secret-token")
        .header("x-note", "a secret here")
        .header("x-secret-name", "b")
        .body(())
        .unwrap()
}

#[tokio::test]
async fn heads_are_masked_and_credentials_stay_out() {
    let book = Book::new();
    let inner = service_fn(async |_: Request<()>| {
        let response = Response::builder()
            .header("Set-Cookie", "id=1")
            .header("x-served", "secret");
        Ok::<_, Infallible>(response.body(String::new()).unwrap())
    });
    let masked = book.record().redact(std::sync::Arc::new(Toy)).layer(inner);
    let withheld = book.record().layer(inner);
    let mut ids = Vec::new();
    for response in [
        masked.oneshot(request()).await,
        withheld.oneshot(request()).await,
    ] {
        let response = response.unwrap();
        ids.push(
            response.headers()["x-tollbook-exchange"]
                .to_str()
                .unwrap()
                .to_owned(),
        );
    }
    let book = book.close();

    let shown = book.show(&ids[0]);
    assert_eq!(shown["request"]["method"], "POST");
    assert_eq!(shown["request"]["target"], "/v1/a%2Fb?key=[REDACTED:toy]");
    assert_eq!(
        shown["request"]["headers"],
        json!({
            "authorization": "[credential]",
            "x-note": "a [REDACTED:toy] here",
            "x-[REDACTED:toy]-name": "b",
        })
    );
    assert_eq!(
        shown["response"]["headers"],
        json!({ "set-cookie": "[credential]", "x-served": "[REDACTED:toy]" })
    );
    let places: Vec<_> = shown["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| &f["place"])
        .collect();
    assert_eq!(
        places,
        [
            "request.target",
            "request.header:x-note",
            "request.header",
            "response.header:x-served"
        ]
    );

    let shown = book.show(&ids[1]);
    assert_eq!(shown["request"]["target"], "[withheld]");
    assert_eq!(shown["request"]["headers"]["x-note"], "[withheld]");
    assert_eq!(shown["request"]["headers"]["authorization"], "[credential]");

    for file in ["journal.db", "journal.db-wal"] {
        let bytes = std::fs::read(book.folder().join(file)).unwrap_or_default();
        for secret in ["secret-token", "a secret", "key=secret", "id=1"] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{secret} in {file}");
        }
    }
}

#[tokio::test]
async fn a_blocked_recorder_refuses_and_calls_nothing() {
    let book = Book::new();
    book.recorder.close();
    let inner = service_fn(
        async |_: Request<()>| -> Result<Response<Refusable<String>>, Infallible> {
            panic!("must not be called")
        },
    );
    let response = book
        .record()
        .layer(inner)
        .oneshot(Request::new(()))
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "5");
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(
        (refusal.code, refusal.retry),
        (Code::NotRecordable, Retry::After(5))
    );
}

#[tokio::test]
async fn five_hundred_exchanges_have_five_hundred_outcomes() {
    let book = Book::new();
    let mut tasks = tokio::task::JoinSet::new();
    for n in 0..500 {
        let stack = book.record().layer(book.commit().layer(answer(200, TWO)));
        tasks.spawn(async move {
            let response = stack.oneshot(Request::new(())).await.unwrap();
            let mut body = Box::pin(response.into_body());
            // Some read to the end, some leave after the head, some in the middle.
            for _ in 0..n % 4 {
                let _frame =
                    std::future::poll_fn(|cx| http_body::Body::poll_frame(body.as_mut(), cx)).await;
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    let book = book.close();
    let found = book.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{found:?}");
    assert_eq!((found.exchanges, found.open, found.size), (500, 0, 1002));
    let count = |outcome| -> i64 {
        let sql = "SELECT count(*) FROM exchange WHERE outcome = ?1";
        book.database()
            .query_row(sql, [outcome], |row| row.get(0))
            .unwrap()
    };
    assert_eq!((count("complete"), count("client_gone")), (125, 375));
}

#[tokio::test]
async fn an_exchange_can_be_open_once() {
    let book = Book::new();
    let exchange = open();
    let _first = book.recorder.begin(&exchange).await.unwrap();
    let second = book.recorder.begin(&exchange).await.unwrap_err();
    assert_eq!(second.kind(), &tollbook_recording::ErrorKind::Twice);
    exchange.answered(masked(Bytes::from_static(b"x")));
}

#[tokio::test]
async fn a_credential_is_known_by_its_name_whatever_it_looks_like() {
    let book = Book::new();
    let inner = service_fn(async |_: Request<()>| -> Result<_, Infallible> {
        Ok(Response::new(String::new()))
    });
    let layer = book.record().redact(std::sync::Arc::new(Toy));
    let stack = layer.credential_header("X-Own_Key").layer(inner);
    let names = [
        "x-own-key",
        "x_api_key",
        "x-portkey-api-key",
        "x-session-token",
        "x-client-secret",
    ];
    let request = names.iter().fold(Request::builder(), |request, name| {
        request.header(*name, "opaque")
    });
    let request = request
        .header("x-ratelimit-tokens-left", "7")
        .body(())
        .unwrap();
    let response = stack.oneshot(request).await.unwrap();
    let id = response.headers()["x-tollbook-exchange"]
        .to_str()
        .unwrap()
        .to_owned();
    drop(response);
    let shown = book.close().show(&id);
    for name in names {
        assert_eq!(shown["request"]["headers"][name], "[credential]", "{name}");
    }
    assert_eq!(shown["request"]["headers"]["x-ratelimit-tokens-left"], "7");
}

#[tokio::test]
async fn nothing_comes_after_trailers_so_they_are_the_end() {
    let book = Book::new();
    let inner = service_fn(async |_: Request<()>| {
        let trailers = std::future::ready(Some(Ok(http::HeaderMap::new())));
        let body = Full::new(Bytes::from_static(b"x")).with_trailers(trailers);
        Ok::<_, Infallible>(Response::new(body))
    });
    let response = book
        .record()
        .layer(inner)
        .oneshot(Request::new(()))
        .await
        .unwrap();
    let id = response.headers()["x-tollbook-exchange"]
        .to_str()
        .unwrap()
        .to_owned();
    let mut body = Box::pin(response.into_body());
    assert!(body.frame().await.is_some());
    assert!(
        body.frame()
            .await
            .is_some_and(|frame| frame.is_ok_and(|frame| frame.is_trailers()))
    );
    // As servers do, without asking for more.
    drop(body);
    assert_eq!(book.close().show(&id)["outcome"], "complete");
}
