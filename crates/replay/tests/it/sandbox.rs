//! Recorded answers, given again.

use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tollbook_exchange::Outcome;
use tollbook_masking::Masker;
use tollbook_replay::{AnswerBody, BrokenOff, Fallback, Report, Sandbox};

use crate::book::{Book, Call, asked, event};

const SECRET: &str = concat!("ghp_", "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8");

fn sandbox(book: &Book) -> Sandbox {
    Sandbox::load(book.reader(), book.all.clone(), Masker::builtin()).unwrap()
}

async fn post(sandbox: &Sandbox, target: &str, body: &Value) -> Response<AnswerBody> {
    let request = Request::post(target).body(body.to_string()).unwrap();
    sandbox.answer(request).await
}

async fn text(answer: Response<AnswerBody>) -> Result<String, BrokenOff> {
    let bytes = answer.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8(bytes.to_vec()).unwrap())
}

fn counts(report: &Report) -> [u64; 6] {
    [
        report.exact,
        report.alike,
        report.again,
        report.next,
        report.made_up,
        report.unmatched,
    ]
}

#[tokio::test]
async fn what_is_asked_again_is_answered_as_it_was() {
    let mut book = Book::new();
    let said = format!("use {SECRET}, please");
    let id = book.record(Call::message(&said, "as you like")).await;
    let sandbox = sandbox(&book);
    let mut live = asked(&said);
    live["max_tokens"] = json!(5);
    let answer = post(&sandbox, "/v1/messages?beta=true", &live).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let header = |name: &str| {
        answer
            .headers()
            .get(name)
            .map(|value| value.to_str().unwrap())
    };
    assert_eq!(header("request-id"), Some("req_then"));
    assert_eq!(header("x-tollbook-replayed"), Some(&*id.to_string()));
    for name in ["content-encoding", "connection", "set-cookie"] {
        assert_eq!(header(name), None, "{name}");
    }
    let answer = text(answer).await.unwrap();
    assert!(answer.starts_with("event: message_start\n"), "{answer}");
    assert!(answer.ends_with("\n\n") && answer.contains("message_stop"));
    let report = sandbox.report();
    assert_eq!(counts(&report), [1, 0, 0, 0, 0, 0]);
    assert!(!report.differs());
}

#[tokio::test]
async fn the_same_request_gets_its_answers_in_order_and_then_the_last() {
    let mut book = Book::new();
    let mut first = Call::message("hello", "");
    first.status = 529;
    first.stream = false;
    first.outcome = Outcome::UpstreamError;
    first.parts = vec![r#"{"type":"error"}"#.to_owned()];
    book.record(first).await;
    book.record(Call::message("hello", "second")).await;
    let sandbox = sandbox(&book);
    for (status, part) in [(529, "error"), (200, "second"), (200, "second")] {
        let answer = post(&sandbox, "/v1/messages", &asked("hello")).await;
        assert_eq!(answer.status(), status);
        assert!(text(answer).await.unwrap().contains(part), "{part}");
    }
    assert_eq!(counts(&sandbox.report()), [2, 0, 1, 0, 0, 0]);
}

#[tokio::test]
async fn another_setting_is_told_and_can_be_refused() {
    let mut book = Book::new();
    book.record(Call::message("hello", "one")).await;
    let mut live = asked("hello");
    live["system"] = json!("Be curt.");
    let strict = sandbox(&book).same_setting();
    let refused = post(&strict, "/v1/messages", &live).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    let message = text(refused).await.unwrap();
    assert!(message.contains("which differs at system"), "{message}");

    let lenient = sandbox(&book);
    let answer = post(&lenient, "/v1/messages", &live).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(counts(&lenient.report()), [0, 1, 0, 0, 0, 0]);
    assert!(lenient.report().differs());
}

#[tokio::test]
async fn of_two_that_say_the_same_the_closer_setting_counts() {
    let mut book = Book::new();
    let mut side = Call::message("hello", "a title");
    side.body["system"] = json!("Make a title of this.");
    side.body["tools"] = json!([]);
    book.record(side).await;
    book.record(Call::message("hello", "the answer")).await;
    let mut live = asked("hello");
    live["system"] = json!("Be kind. It is Monday.");
    let answer = post(&sandbox(&book), "/v1/messages", &live).await;
    assert!(text(answer).await.unwrap().contains("answer"));
}

#[tokio::test]
async fn what_is_not_recorded_is_refused_or_gets_the_next() {
    let mut book = Book::new();
    book.record(Call::message("one", "first")).await;
    let mut other = Call::message("two", "");
    other.body["stream"] = json!(false);
    other.stream = false;
    other.parts = vec!["{}".to_owned()];
    book.record(other).await;
    let strict = sandbox(&book);
    let refused = post(&strict, "/v1/messages", &asked("three")).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    assert_eq!(refused.headers()["x-should-retry"], "false");
    let body: Value = serde_json::from_str(&text(refused).await.unwrap()).unwrap();
    assert_eq!(body["error"]["type"], "not_found_error");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.ends_with("which differs at messages[0].content"),
        "{message}"
    );
    assert!(!message.contains("three"), "{message}");
    assert_eq!(strict.report().never_asked.len(), 2);

    let next = sandbox(&book).fallback(Fallback::Next);
    let answer = post(&next, "/v1/messages", &asked("three")).await;
    assert!(text(answer).await.unwrap().contains("first"));
    // What is left is no stream, and who asks for one could not read it.
    let refused = post(&next, "/v1/messages", &asked("four")).await;
    assert_eq!(refused.status(), StatusCode::NOT_FOUND);
    assert_eq!(counts(&next.report()), [0, 0, 0, 1, 0, 1]);
}

#[tokio::test]
async fn an_answer_that_broke_off_breaks_off_again() {
    let mut book = Book::new();
    for outcome in [Outcome::UpstreamReset, Outcome::ClientGone] {
        let mut call = Call::message(outcome.as_str(), "the beginning of");
        call.parts.truncate(4);
        call.outcome = outcome;
        book.record(call).await;
    }
    // Who leaves with all of it has left nothing out.
    let mut whole = Call::message("whole", "all of it");
    whole.outcome = Outcome::ClientGone;
    book.record(whole).await;
    let sandbox = sandbox(&book);
    for said in ["upstream_reset", "client_gone"] {
        let answer = post(&sandbox, "/v1/messages", &asked(said)).await;
        assert_eq!(text(answer).await, Err(BrokenOff), "{said}");
    }
    let answer = post(&sandbox, "/v1/messages", &asked("whole")).await;
    assert!(text(answer).await.is_ok());
}

#[tokio::test]
async fn probes_tokens_and_counts_need_no_book() {
    let mut book = Book::new();
    book.record(Call::message("one", "first")).await;
    let sandbox = sandbox(&book);
    for path in ["/", "/api/hello", "/claude/", "/claude"] {
        let request = Request::head(path).body(String::new()).unwrap();
        assert_eq!(
            sandbox.answer(request).await.status(),
            StatusCode::OK,
            "{path}"
        );
    }
    for path in ["/claude/v1/oauth/token", "/v1/oauth/token", "/oauth/token"] {
        let given = post(&sandbox, path, &json!({})).await;
        let given: Value = serde_json::from_str(&text(given).await.unwrap()).unwrap();
        assert_eq!(given["token_type"], "Bearer", "{path}");
    }
    let count = post(&sandbox, "/v1/messages/count_tokens", &asked("count")).await;
    let count: Value = serde_json::from_str(&text(count).await.unwrap()).unwrap();
    assert!(count["input_tokens"].as_u64().unwrap() > 10);
    // Nothing else is made up.
    for (path, status) in [
        ("/v1/models", 404),
        ("/v1/nothing", 404),
        ("/claudette/", 404),
    ] {
        let request = Request::get(path).body(String::new()).unwrap();
        assert_eq!(sandbox.answer(request).await.status(), status, "{path}");
    }
    assert_eq!(counts(&sandbox.report()), [0, 0, 0, 0, 4, 3]);
}

#[tokio::test]
async fn recorded_counts_and_models_are_given_too() {
    let mut book = Book::new();
    let mut count = Call::message("count", "");
    count.target = "/v1/messages/count_tokens";
    count.action = "messages.count_tokens";
    count.stream = false;
    count.parts = vec![r#"{"input_tokens":77}"#.to_owned()];
    book.record(count).await;
    let mut models = Call::message("", "");
    models.method = "GET";
    models.target = "/v1/models?limit=20";
    models.action = "models.list";
    models.body = Value::Null;
    models.stream = false;
    models.parts = vec![r#"{"data":[]}"#.to_owned()];
    book.record(models).await;
    let sandbox = sandbox(&book);
    let counted = post(&sandbox, "/v1/messages/count_tokens", &asked("count")).await;
    assert_eq!(text(counted).await.unwrap(), r#"{"input_tokens":77}"#);
    let request = Request::get("/claude/v1/models?limit=20")
        .body(String::new())
        .unwrap();
    let listed = sandbox.answer(request).await;
    assert_eq!(text(listed).await.unwrap(), r#"{"data":[]}"#);
    assert!(!sandbox.report().differs());
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let mut book = Book::new();
    book.record(Call::message("one", "first")).await;
    let sandbox = sandbox(&book);
    let coded = Request::post("/v1/messages").header("content-encoding", "gzip");
    let coded = sandbox.answer(coded.body(String::new()).unwrap()).await;
    assert_eq!(coded.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    for body in ["", "no json", r#"{"messages":[],"messages":[]}"#] {
        let request = Request::post("/v1/messages").body(body.to_owned()).unwrap();
        let refused = sandbox.answer(request).await;
        assert_eq!(refused.status(), StatusCode::NOT_FOUND, "{body}");
    }
    // A path is told, and a key in it is not.
    let told = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let events = std::sync::Arc::clone(&told);
    let watched = self::sandbox(&book)
        .watch(move |event| events.lock().unwrap().push(json!(event).to_string()));
    let request = Request::get(format!("/v1/{SECRET}"))
        .body(String::new())
        .unwrap();
    watched.answer(request).await;
    let told = told.lock().unwrap().join("\n");
    assert!(told.contains("/v1/[REDACTED:github-pat]"), "{told}");
}

#[tokio::test]
async fn a_page_with_a_name_of_its_own_reads_nothing() {
    let mut book = Book::new();
    book.record(Call::message("hello", "one")).await;
    let (careful, any) = (sandbox(&book), sandbox(&book).any_name());
    let ask = async |sandbox: &Sandbox, host: &str| {
        let request = Request::post("/v1/messages").header("host", host);
        let request = request.body(asked("hello").to_string()).unwrap();
        sandbox.answer(request).await.status().as_u16()
    };
    for host in ["127.0.0.1:8090", "localhost", "[::1]:8090"] {
        assert_eq!(ask(&careful, host).await, 200, "{host}");
    }
    for host in [
        "evil.example",
        "evil.example:8090",
        "127.0.0.1.evil.example",
        "",
        "a b",
    ] {
        assert_eq!(ask(&careful, host).await, 421, "{host}");
        assert_eq!(ask(&any, host).await, 200, "{host}");
    }
}

#[tokio::test]
async fn a_page_of_another_site_reads_nothing() {
    let mut book = Book::new();
    let mut call = Call::message("hello", "one");
    call.headers.push(("access-control-allow-origin", "*"));
    call.headers
        .push(("access-control-allow-credentials", "true"));
    book.record(call).await;
    let (careful, any) = (sandbox(&book), sandbox(&book).any_name());
    let ask = async |sandbox: &Sandbox, name: &str, value: &str| {
        let request = Request::post("/v1/messages")
            .header("host", "127.0.0.1:8090")
            .header(name, value);
        let request = request.body(asked("hello").to_string()).unwrap();
        let answer = sandbox.answer(request).await;
        let mut names = answer.headers().keys();
        assert!(!names.any(|name| name.as_str().starts_with("access-control-")));
        answer.status().as_u16()
    };
    for (name, value) in [
        ("origin", "http://localhost:3000"),
        ("origin", "http://127.0.0.1:8090"),
        ("origin", "http://[::1]"),
        ("sec-fetch-site", "same-origin"),
        ("sec-fetch-site", "none"),
    ] {
        assert_eq!(ask(&careful, name, value).await, 200, "{value}");
    }
    for (name, value) in [
        ("origin", "https://evil.example"),
        ("origin", "http://localhost.evil.example"),
        ("origin", "http://192.0.2.1"),
        ("origin", "null"),
        ("origin", ""),
        ("sec-fetch-site", "cross-site"),
    ] {
        assert_eq!(ask(&careful, name, value).await, 421, "{value}");
        assert_eq!(ask(&any, name, value).await, 200, "{value}");
    }
}

#[tokio::test]
async fn events_come_at_their_pace() {
    let mut book = Book::new();
    let mut call = Call::message("slow", "");
    call.parts = vec![
        event(&json!({ "type": "ping" })),
        event(&json!({ "type": "message_stop" })),
    ];
    book.record(call).await;
    let recorded = book
        .reader()
        .exchange(&book.all[0].to_string())
        .unwrap()
        .unwrap();
    let last = recorded["response"]["events"][1]["at"].as_u64().unwrap();
    let took = async |pace| {
        let sandbox = sandbox(&book).pace(pace);
        let begun = std::time::Instant::now();
        text(post(&sandbox, "/v1/messages", &asked("slow")).await)
            .await
            .unwrap();
        begun.elapsed()
    };
    let wanted = std::time::Duration::from_micros(last) * 10;
    let slow = took(tollbook_replay::Pace::recorded().speed(0.1)).await;
    assert!(slow >= wanted, "{slow:?} {wanted:?}");
}
