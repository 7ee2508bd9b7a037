//! Tool calls, judged before the client has them.

use std::{
    io::Write,
    sync::{Arc, Mutex},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tollbook_exchange::{Code, Exchange, Fact, Outcome, Principal, Refusal, http::Cut};
use tollbook_inspect::{Claude, InspectLayer, JudgeToolCall, Judged, Judging, ToolCall};
use tower::{Layer, ServiceExt, service_fn};

use crate::{
    detection::detectors,
    support::{self, Answer, Chunks, call, exchange, secret},
};

/// Judges by the name of the tool, and remembers what it was asked.
#[derive(Clone, Default)]
struct ByName {
    asked: Arc<Mutex<Vec<ToolCall>>>,
}

impl JudgeToolCall for ByName {
    fn judge(&self, call: ToolCall) -> Judging {
        let refused = call.action.text("tool").unwrap().starts_with("no");
        self.asked.lock().unwrap().push(call);
        let judged = if refused {
            Judged::refuse(Refusal::new(Code::PolicyDenied, "no such tool for you"))
        } else {
            Judged::allow()
        };
        let judged = judged.with("rules", vec![format!("by-name {}", secret())]);
        Box::pin(async move {
            tokio::task::yield_now().await;
            judged
        })
    }
}

fn layer(judge: &ByName) -> InspectLayer<Claude> {
    support::layer().tools(Arc::new(judge.clone()))
}

fn event(data: &Value) -> String {
    let kind = data["type"].as_str().unwrap();
    format!("event: {kind}\ndata: {data}\n\n")
}

fn begin() -> String {
    event(
        &json!({"type": "message_start", "message": {"id": "msg_1", "role": "assistant",
        "model": "served", "content": [], "usage": {"input_tokens": 3}}}),
    )
}

fn text(index: u64, text: &str) -> String {
    [
        event(&json!({"type": "content_block_start", "index": index,
            "content_block": {"type": "text", "text": ""}})),
        event(&json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "text_delta", "text": text}})),
        event(&json!({"type": "content_block_stop", "index": index})),
    ]
    .concat()
}

fn tool(index: u64, name: &str, input: &str) -> String {
    let (first, rest) = input.split_at(input.len() / 2);
    let piece = |piece: &str| {
        event(&json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "input_json_delta", "partial_json": piece}}))
    };
    [
        event(
            &json!({"type": "content_block_start", "index": index, "content_block":
            {"type": "tool_use", "id": format!("toolu_{index}"), "name": name, "input": {}}}),
        ),
        piece(first),
        piece(rest),
        event(&json!({"type": "content_block_stop", "index": index})),
    ]
    .concat()
}

fn end() -> String {
    [
        event(
            &json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 9}}),
        ),
        event(&json!({"type": "message_stop"})),
    ]
    .concat()
}

fn stream(pieces: &[&[u8]]) -> Answer {
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Chunks::of(pieces))
        .unwrap()
}

fn document(body: &str) -> Answer {
    Response::builder()
        .header("content-type", "application/json")
        .body(Chunks::of(&[body.as_bytes()]))
        .unwrap()
}

/// What the record says under a key.
fn noted(exchange: &Exchange, key: &str) -> Value {
    exchange.draft(|draft| {
        let result = draft.result.as_inner();
        result.get(key).cloned().unwrap_or_default()
    })
}

fn recorded(exchange: &Exchange) -> String {
    exchange.draft(|draft| {
        let parts = draft.response.parts.iter();
        let parts: Vec<Vec<u8>> = parts.map(|part| part.bytes.as_inner().to_vec()).collect();
        String::from_utf8(parts.concat()).unwrap()
    })
}

fn outcome(exchange: &Exchange) -> Option<Outcome> {
    exchange.draft(|draft| draft.outcome)
}

#[tokio::test]
async fn an_allowed_call_passes_and_the_judge_has_seen_all_of_it() {
    let (exchange, judge) = (exchange(), ByName::default());
    let input = json!({"command": format!("wipe-everything {}", secret())}).to_string();
    let events = [
        begin(),
        text(0, "Let me look."),
        tool(1, "Bash", &input),
        tool(2, "mcp__files__read", "{\"a\": "),
        end(),
    ]
    .concat();
    let layer = layer(&judge).detect(detectors());
    let came = support::send(layer, call(&exchange, "x"), stream(&[events.as_bytes()])).await;
    assert_eq!(came.body, events.as_bytes());
    assert_eq!(outcome(&exchange), Some(Outcome::Complete));

    let asked = judge.asked.lock().unwrap();
    let [bash, mcp] = &asked[..] else {
        panic!("{} calls were judged", asked.len());
    };
    assert_eq!(bash.action.name, "tool.call");
    let facts = json!({
        "name": "tool.call", "tool": "Bash", "model": "m", "input_bytes": input.len(),
        "input_parsed": true, "body_scanned": true,
        "labels": ["destructive", "secrets"], "risk": 40,
    });
    assert_eq!(serde_json::to_value(&bash.action).unwrap(), facts);
    assert_eq!((&*bash.id, &bash.input[..]), ("toolu_1", input.as_bytes()));
    assert_eq!(bash.principal.subject, "me");
    assert_eq!(
        bash.exchange.as_ref().map(Exchange::id),
        Some(exchange.id())
    );
    let view = String::from_utf8(bash.view.as_inner().to_vec()).unwrap();
    assert!(
        view.starts_with(r#"{"tool":"Bash","input":{"command":"wipe-everything [REDACTED:"#),
        "{view}"
    );
    let rules: Vec<&str> = bash.findings.iter().map(|finding| &*finding.rule).collect();
    assert!(
        rules.contains(&"detect.own-wipe") && rules.len() == 2,
        "{rules:?}"
    );

    assert_eq!(mcp.action.fact("input_parsed"), Some(&Fact::Bool(false)));
    assert_eq!(mcp.action.text("mcp_server"), Some("files"));
    assert_eq!(mcp.input, "{\"a\": ");
    let decisions = noted(&exchange, "tool_decisions");
    assert_eq!(decisions[0]["tool"], "Bash");
    assert_eq!(decisions[1]["id"], "toolu_2");
    assert_eq!(decisions[0]["verdict"], "allow");
    let rule = decisions[0]["rules"][0].as_str().unwrap();
    assert!(rule.starts_with("by-name [REDACTED:"), "{rule}");
    assert_eq!(noted(&exchange, "withheld"), Value::Null);
    assert_eq!(noted(&exchange, "model")["served"], "served");
}

#[tokio::test]
async fn a_refused_call_never_reaches_the_client() {
    let (exchange, judge) = (exchange(), ByName::default());
    let before = [begin(), text(0, "Now."), tool(1, "Read", "{}")].concat();
    let key = secret();
    let events = [
        &*before,
        &tool(2, "no_shell", &format!("{{\"key\":\"{key}\"}}")),
        &end(),
    ]
    .concat();
    let came = support::send(
        layer(&judge),
        call(&exchange, "x"),
        stream(&[events.as_bytes()]),
    )
    .await;
    assert_eq!(String::from_utf8(came.body).unwrap(), before);
    assert_eq!(
        came.cut.map(|refusal| refusal.code),
        Some(Code::PolicyDenied)
    );

    exchange.draft(|draft| {
        assert_eq!(draft.outcome, Some(Outcome::PolicyCut));
        let told = draft.refusal.as_ref().map(|refusal| refusal.code);
        assert_eq!(told, Some(Code::PolicyDenied));
    });
    let decisions = noted(&exchange, "tool_decisions");
    assert_eq!(decisions[1]["verdict"], "deny");
    assert_eq!(decisions[1]["code"], "policy_denied");
    assert_eq!(noted(&exchange, "withheld"), json!(["toolu_2"]));
    // The record has it all the same, masked.
    let recorded = recorded(&exchange);
    assert!(
        recorded.contains("no_shell") && !recorded.contains(&key),
        "{recorded}"
    );
    assert_eq!(noted(&exchange, "tool_calls")[1]["name"], "no_shell");
}

/// A judge that says nothing until it is told to.
struct Slow(Mutex<Option<oneshot::Receiver<Judged>>>);

impl JudgeToolCall for Slow {
    fn judge(&self, _: ToolCall) -> Judging {
        let answer = self.0.lock().unwrap().take().unwrap();
        Box::pin(async { answer.await.unwrap() })
    }
}

/// A stream under way that a slow judge has to look at, and the way to tell the judge.
async fn slow(
    exchange: &Exchange,
    answer: Answer,
) -> (
    std::pin::Pin<Box<impl Body<Data = Bytes, Error = tollbook_inspect::BodyError>>>,
    oneshot::Sender<Judged>,
) {
    let (say, answered) = oneshot::channel();
    let layer = support::layer().tools(Arc::new(Slow(Mutex::new(Some(answered)))));
    let answer = Arc::new(Mutex::new(Some(answer)));
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let answer = answer.lock().unwrap().take().unwrap();
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    let response = layer.layer(service).oneshot(call(exchange, "x")).await;
    (Box::pin(response.unwrap().into_body()), say)
}

#[tokio::test(start_paused = true)]
async fn while_somebody_thinks_the_caller_hears_pings_and_the_upstream_is_not_read() {
    let exchange = exchange();
    let (before, asked) = ([begin(), text(0, "Now.")].concat(), tool(1, "Bash", "{}"));
    let rest = end();
    let pieces = [&before, &asked, &rest].map(String::as_bytes);
    let (mut body, say) = slow(&exchange, stream(&pieces)).await;
    // The text is there at once.
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, before);
    for _ in 0..3 {
        let start = tokio::time::Instant::now();
        let ping = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(ping, "event: ping\ndata: {\"type\": \"ping\"}\n\n");
        assert_eq!(start.elapsed(), Duration::from_secs(10));
    }
    assert!(
        !recorded(&exchange).contains("message_stop"),
        "nothing is read ahead"
    );
    say.send(Judged::allow()).unwrap();
    let after = body.collect().await.unwrap().to_bytes();
    assert_eq!(after, [asked, rest].concat());
    assert_eq!(outcome(&exchange), Some(Outcome::Complete));
}

#[tokio::test(start_paused = true)]
async fn a_long_call_is_no_silence() {
    // The upstream takes its time to write the input.
    struct Stalled(Option<Bytes>);
    impl Body for Stalled {
        type Data = Bytes;
        type Error = std::io::Error;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            match self.0.take() {
                Some(bytes) => Poll::Ready(Some(Ok(http_body::Frame::data(bytes)))),
                None => Poll::Pending,
            }
        }
    }
    let asked = tool(0, "Bash", "{}");
    let beginning = Bytes::from([&begin(), &asked[..asked.len() - 20]].concat());
    let service = service_fn(move |_: Request<Full<Bytes>>| {
        let answer = Response::builder()
            .header("content-type", "text/event-stream")
            .header("content-length", "1000")
            .body(Stalled(Some(beginning.clone())))
            .unwrap();
        async move { Ok::<_, std::convert::Infallible>(answer) }
    });
    let layer = layer(&ByName::default()).ping_every(Duration::from_secs(3));
    let answer = layer.layer(service).oneshot(call(&exchange(), "x")).await;
    let answer = answer.unwrap();
    assert!(!answer.headers().contains_key("content-length"));
    let mut body = Box::pin(answer.into_body());
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert_eq!(first, begin());
    let start = tokio::time::Instant::now();
    let ping = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(ping.starts_with(b"event: ping"));
    assert_eq!(start.elapsed(), Duration::from_secs(3));
}

#[tokio::test]
async fn a_caller_that_leaves_ends_the_judging() {
    let exchange = exchange();
    let events = [begin(), tool(0, "Bash", "{}"), end()].concat();
    let (mut body, mut say) = slow(&exchange, stream(&[events.as_bytes()])).await;
    body.frame().await.unwrap().unwrap();
    assert!(
        tokio::time::timeout(Duration::from_millis(5), body.frame())
            .await
            .is_err()
    );
    drop(body);
    say.closed().await;
    assert_eq!(outcome(&exchange), Some(Outcome::ClientGone));
    assert_eq!(noted(&exchange, "withheld"), json!(["toolu_0"]));
}

#[tokio::test]
async fn a_stream_that_breaks_within_a_call_withholds_it() {
    for breaks in [false, true] {
        let (exchange, judge) = (exchange(), ByName::default());
        let asked = tool(0, "Bash", "{}");
        let events = [&begin(), &asked[..asked.len() - 9]].concat();
        let mut answer = stream(&[events.as_bytes()]);
        answer.body_mut().breaks = breaks;
        let came = support::send(layer(&judge), call(&exchange, "x"), answer).await;
        assert_eq!((&*came.body, came.broken), (begin().as_bytes(), breaks));
        assert_eq!(outcome(&exchange), Some(Outcome::UpstreamReset));
        assert_eq!(noted(&exchange, "withheld"), json!(["toolu_0"]));
        assert!(judge.asked.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_read_in_one_way_is_cut() {
    let (exchange, judge) = (exchange(), ByName::default());
    let stray = event(&json!({"type": "content_block_stop", "index": 7}));
    let events = [begin(), text(0, "x"), stray, tool(1, "Bash", "{}"), end()].concat();
    let came = support::send(
        layer(&judge),
        call(&exchange, "x"),
        stream(&[events.as_bytes()]),
    )
    .await;
    assert_eq!(came.body, [begin(), text(0, "x")].concat().as_bytes());
    assert_eq!(
        came.cut.map(|refusal| refusal.code),
        Some(Code::UpstreamInvalid)
    );
    assert_eq!(outcome(&exchange), Some(Outcome::PolicyCut));
}

fn message(tools: &[&str]) -> String {
    let mut content = vec![json!({"type": "text", "text": "Now."})];
    content.extend(tools.iter().map(|name| {
        json!({"type": "tool_use", "id": format!("id_{name}"), "name": name, "input": {"a": 1.0}})
    }));
    content.push(json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}));
    json!({"type": "message", "content": content}).to_string()
}

#[tokio::test]
async fn an_answer_that_is_no_stream_waits_for_all_of_its_calls() {
    let (exchange_, judge) = (exchange(), ByName::default());
    let fine = message(&["Bash", "Read"]);
    let came = support::send(layer(&judge), call(&exchange_, "x"), document(&fine)).await;
    assert_eq!((came.status, &*came.body), (200, fine.as_bytes()));
    assert_eq!(judge.asked.lock().unwrap().len(), 2);
    let decisions = noted(&exchange_, "tool_decisions");
    assert_eq!(decisions[0]["verdict"], "not_asked");
    assert_eq!(decisions[2]["tool"], "Read");
    assert_eq!(noted(&exchange_, "withheld"), Value::Null);

    let exchange = exchange();
    let refused = message(&["Bash", "no_shell", "Read"]);
    let came = support::send(layer(&judge), call(&exchange, "x"), document(&refused)).await;
    assert_eq!(came.status, 403);
    assert!(!String::from_utf8(came.body).unwrap().contains("Now."));
    assert_eq!(judge.asked.lock().unwrap().len(), 4, "nobody asks on");
    assert_eq!(outcome(&exchange), Some(Outcome::PolicyCut));
    assert_eq!(
        noted(&exchange, "withheld"),
        json!(["id_Bash", "id_no_shell", "id_Read"])
    );
    assert!(recorded(&exchange).contains("no_shell"));
}

#[tokio::test]
async fn the_results_of_a_batch_hold_calls_too() {
    let request = |exchange: &Exchange| {
        Request::get("/v1/messages/batches/msgbatch_1/results")
            .extension(exchange.clone())
            .extension(Principal::new(
                tollbook_exchange::PrincipalKind::Ci,
                "ci",
                "me",
            ))
            .body(Full::<Bytes>::default())
            .unwrap()
    };
    let lines = |tool: &str| {
        let message: Value = serde_json::from_str(&message(&[tool])).unwrap();
        let line = json!({"custom_id": "1", "result": {"type": "succeeded", "message": message}});
        format!("{line}\n{line}\n")
    };
    for (tool, status) in [("Bash", 200), ("no_shell", 403)] {
        let body = lines(tool);
        let answer = Response::builder()
            .header("content-type", "application/x-jsonl")
            .body(Chunks::of(&[body.as_bytes()]))
            .unwrap();
        let came = support::send(layer(&ByName::default()), request(&exchange()), answer).await;
        assert_eq!(came.status, status);
        assert_eq!(came.body == body.as_bytes(), status == 200);
    }
}

#[tokio::test]
async fn what_is_encoded_cannot_be_judged() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    let events = [begin(), tool(0, "no_shell", "{}"), end()].concat();
    encoder.write_all(events.as_bytes()).unwrap();
    let coded = encoder.finish().unwrap();
    let mut said = stream(&[&coded]);
    said.headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    let mut request = call(&exchange(), "x");
    request
        .headers_mut()
        .insert("accept-encoding", "gzip, br".parse().unwrap());
    let came = support::send(layer(&ByName::default()), request, said).await;
    assert_eq!(came.status, 502);
    let (head, _) = came.inner.unwrap();
    assert_eq!(head.headers["accept-encoding"], "identity");

    // An upstream that does not say so gets nothing through either.
    for pieces in [vec![&coded[..]], coded.chunks(7).collect()] {
        let exchange = exchange();
        let came = support::send(
            layer(&ByName::default()),
            call(&exchange, "x"),
            stream(&pieces),
        )
        .await;
        assert!(came.body.is_empty(), "{} bytes", came.body.len());
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder
        .write_all(message(&["no_shell"]).as_bytes())
        .unwrap();
    let mut answer = document("");
    answer.body_mut().pieces = [encoder.finish().unwrap().into()].into();
    let came = support::send(layer(&ByName::default()), call(&exchange(), "x"), answer).await;
    assert_eq!(came.status, 502);
}

#[tokio::test]
async fn without_a_principal_nothing_is_judged() {
    let mut request = call(&exchange(), "x");
    request.extensions_mut().remove::<Principal>();
    let came = support::send(layer(&ByName::default()), request, document("{}")).await;
    assert_eq!((came.status, came.inner.is_none()), (500, true));
}

#[tokio::test]
async fn an_error_of_the_upstream_passes_as_it_is() {
    let body = r#"{"type":"error","error":{"type":"overloaded_error","message":"x"}}"#;
    let mut answer = document(body);
    *answer.status_mut() = http::StatusCode::SERVICE_UNAVAILABLE;
    let came = support::send(layer(&ByName::default()), call(&exchange(), "x"), answer).await;
    assert_eq!((came.status, &*came.body), (503, body.as_bytes()));
}

#[tokio::test]
async fn a_cut_from_within_is_no_fault_of_the_upstream() {
    struct Denied(bool);
    impl Body for Denied {
        type Data = Bytes;
        type Error = Box<dyn std::error::Error + Send + Sync>;
        fn poll_frame(
            mut self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
            if !std::mem::replace(&mut self.0, true) {
                return Poll::Ready(Some(Ok(http_body::Frame::data(": waiting\n\n".into()))));
            }
            let refusal = Refusal::new(Code::ApprovalDenied, "somebody said no");
            Poll::Ready(Some(Err(Cut(refusal).into())))
        }
    }
    for layer in [support::layer(), layer(&ByName::default())] {
        let exchange = exchange();
        let service = service_fn(|_: Request<Full<Bytes>>| async {
            let answer = Response::builder()
                .header("content-type", "text/event-stream")
                .body(Denied(false));
            Ok::<_, std::convert::Infallible>(answer.unwrap())
        });
        let answer = layer.layer(service).oneshot(call(&exchange, "x")).await;
        let mut body = Box::pin(answer.unwrap().into_body());
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, ": waiting\n\n");
        let error = body.frame().await.unwrap().unwrap_err();
        let refusal = Cut::of(&error).map(|refusal| refusal.code);
        assert_eq!(refusal, Some(Code::ApprovalDenied));
        assert_eq!(outcome(&exchange), Some(Outcome::PolicyCut));
    }
}

/// Everything that a client, a record and a judge see of a stream that comes in these pieces.
fn seen(
    pieces: &[&[u8]],
) -> (
    Vec<u8>,
    Option<Refusal>,
    String,
    Value,
    Value,
    Option<Outcome>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(async {
        let exchange = exchange();
        let layer = layer(&ByName::default());
        let came = support::send(layer, call(&exchange, "x"), stream(pieces)).await;
        (
            came.body,
            came.cut,
            recorded(&exchange),
            noted(&exchange, "tool_decisions"),
            noted(&exchange, "withheld"),
            outcome(&exchange),
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn where_bytes_are_cut_does_not_matter(
        kind in 0..5,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let bad = "data: {\"type\":\"content_block_stop\",\"type\":\"ping\"}\n\n".to_owned();
        let events = match kind {
            0 => vec![begin(), text(0, "é"), tool(1, "Bash", "{\"a\":1}"), tool(2, "Read", "{}"), end()],
            1 => vec![begin(), tool(0, "Bash", "{}"), text(1, "x"), tool(2, "no", "{}"), end()],
            2 => vec![begin(), text(0, "x"), tool(1, "Bash", "{}"), bad, end()],
            3 => vec![begin(), tool(0, "Bash", "{}"), text(0, "again"), end()],
            _ => vec![begin(), tool(0, "Bash", "{}"), event(&json!({"type": "error", "error": {}}))],
        };
        let events = events.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(events.len() + 1)).collect();
        cuts.extend([0, events.len()]);
        cuts.sort_unstable();
        let bytes = events.as_bytes();
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]).collect();
        let whole = seen(&[bytes]);
        prop_assert_eq!(&seen(&pieces), &whole);
        if kind == 0 {
            prop_assert_eq!(&whole.0, bytes);
        }
    }
}
