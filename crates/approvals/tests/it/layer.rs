//! The layer: holding, letting through, refusing, in time that a test turns.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, sleep};
use tollbook_approvals::{Approval, ApprovalId, ApprovalLayer, Filter, HeldBody, Semantic, State};
use tollbook_exchange::{
    Action, Code, Coverage, Decision, Exchange, ExchangeId, Finding, Findings, Outcome, Principal,
    Refusal, Timestamp, Verdict,
    http::{Cut, Refusable, refuse},
};
use tower::{Layer, ServiceExt, service_fn};

use crate::{World, decision, job, masked};

const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

type Answer = Response<Refusable<HeldBody<Refusable<Full<Bytes>>>>>;

/// The layer between a caller and an upstream that answers as it is told.
struct Gate {
    world: World,
    layer: ApprovalLayer,
    upstream: Arc<Upstream>,
    rules: Arc<Mutex<Decision>>,
}

#[derive(Default)]
struct Upstream {
    answers: Mutex<VecDeque<Response<Refusable<Full<Bytes>>>>>,
    seen: Mutex<Vec<Seen>>,
}

#[derive(Clone, Debug)]
struct Seen {
    at: Instant,
    headers: HeaderMap,
    body: Bytes,
    decision: Option<Decision>,
}

impl Gate {
    fn new(change: impl FnOnce(ApprovalLayer) -> ApprovalLayer) -> Self {
        let world = World::new();
        let rules = Arc::new(Mutex::new(decision("r:leads:1")));
        let judge = {
            let rules = Arc::clone(&rules);
            move |_: &Principal, _: &Action, _: &[Finding]| rules.lock().unwrap().clone()
        };
        let layer = ApprovalLayer::new(world.approvals.clone(), "claude", "claude", judge)
            .upstream("https://api.test")
            .bound_headers([header::HeaderName::from_static("anthropic-beta")])
            .meaning(|_, body| {
                let text = String::from_utf8_lossy(body).replace(",\"stream\":true", "");
                Some(Semantic {
                    canonical: text.into_bytes(),
                    max_tokens: None,
                })
            })
            .streams(Bytes::from_static(PING.as_bytes()), |status, _, body| {
                format!(
                    "event: error {status} {}\n\n",
                    String::from_utf8_lossy(body)
                )
                .into()
            });
        Self {
            world,
            layer: change(layer),
            upstream: Arc::default(),
            rules,
        }
    }

    fn answers(&self, status: u16, headers: &[(&'static str, &'static str)], body: &'static str) {
        let mut response = Response::new(Refusable::passed(Full::new(Bytes::from_static(
            body.as_bytes(),
        ))));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        self.upstream.answers.lock().unwrap().push_back(response);
    }

    fn answers_stream(&self) {
        self.answers(
            200,
            &[("content-type", "text/event-stream")],
            "event: done\n\n",
        );
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let upstream = Arc::clone(&self.upstream);
        let inner = service_fn(move |request: Request<Full<Bytes>>| {
            let upstream = Arc::clone(&upstream);
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                upstream.seen.lock().unwrap().push(Seen {
                    at: Instant::now(),
                    headers: head.headers,
                    body,
                    decision: head.extensions.get().cloned(),
                });
                let answer = upstream.answers.lock().unwrap().pop_front();
                Ok::<_, Infallible>(
                    answer.unwrap_or_else(|| Response::new(Refusable::own("fine".into()))),
                )
            }
        });
        self.layer.layer(inner).oneshot(request).await.unwrap()
    }

    /// Sends in a task of its own, so that time can be turned.
    fn sent(self: &Arc<Self>, request: Request<Full<Bytes>>) -> tokio::task::JoinHandle<Answer> {
        let gate = Arc::clone(self);
        tokio::spawn(async move { gate.send(request).await })
    }

    async fn pending(&self) -> Approval {
        let all = self
            .world
            .approvals
            .list(&Filter::state(State::Pending))
            .await
            .unwrap();
        assert_eq!(all.len(), 1);
        all.into_iter().next().unwrap()
    }

    async fn approve(&self) -> ApprovalId {
        let id = self.pending().await.id;
        let gus = self.world.human("gus", &["leads", "security"]);
        self.world.approve(&id, &gus).await.unwrap();
        id
    }

    async fn deny(&self) -> ApprovalId {
        let id = self.pending().await.id;
        let gus = self.world.human("gus", &["leads"]);
        self.world.deny(&id, &gus).await.unwrap();
        id
    }

    fn seen(&self) -> Vec<Seen> {
        self.upstream.seen.lock().unwrap().clone()
    }
}

fn exchange() -> Exchange {
    Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
}

fn request(body: &str, exchange: &Exchange) -> Request<Full<Bytes>> {
    let mut request = Request::post("https://gate.test/v1/messages?beta=true")
        .header("content-type", "application/json")
        .header("accept-encoding", "gzip")
        .header("anthropic-beta", "one")
        .body(Full::new(Bytes::from(body.to_owned())))
        .unwrap();
    let action = Action::new("messages.create").with("stream", body.contains("stream"));
    exchange.draft(|draft| draft.action = Some(masked(action.clone())));
    let shown = masked(Bytes::from(body.to_owned()));
    let extensions = request.extensions_mut();
    extensions.insert(exchange.clone());
    extensions.insert(job());
    extensions.insert(action);
    extensions.insert(Findings::new(Vec::new(), shown, Coverage::default()));
    extensions.insert(decision("r:leads:1"));
    request
}

const PLAIN: &str = r#"{"model":"m"}"#;
const STREAM: &str = r#"{"model":"m","stream":true}"#;

fn refusal(answer: &Answer) -> Refusal {
    let refusal = answer.extensions().get::<Refusal>().unwrap().clone();
    assert_eq!(answer.status(), refusal.code.status());
    refusal
}

/// The frames of a body with the second each came in, and the refusal that ended it.
async fn frames(answer: Answer) -> (Vec<(u64, String)>, Option<Refusal>) {
    let begun = Instant::now();
    let mut body = answer.into_body();
    let mut frames = Vec::new();
    loop {
        match body.frame().await {
            None => return (frames, None),
            Some(Err(error)) => {
                let cut = Cut::of(&*error).unwrap().clone();
                assert!(body.frame().await.is_none(), "over");
                return (frames, Some(cut));
            }
            Some(Ok(frame)) => {
                let data = String::from_utf8(frame.into_data().unwrap().to_vec()).unwrap();
                frames.push((begun.elapsed().as_secs(), data));
            }
        }
    }
}

fn pings(at: impl IntoIterator<Item = u64>) -> Vec<(u64, String)> {
    at.into_iter().map(|at| (at, PING.to_owned())).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_passes_untouched() {
    let gate = Gate::new(|layer| layer);
    let allow = Decision::new(Verdict::Allow, Vec::new(), "sha256:one");
    let mut request = request(PLAIN, &exchange());
    request.extensions_mut().insert(allow.clone());
    let answer = gate.send(request).await;
    assert_eq!(
        answer.into_body().collect().await.unwrap().to_bytes(),
        "fine"
    );
    assert_eq!(gate.seen()[0].body, PLAIN);
    assert_eq!(gate.seen()[0].decision, Some(allow));
    assert!(gate.world.log.noted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_nobody_judged_or_somebody_denied_does_not_pass() {
    let gate = Gate::new(|layer| layer);
    let deny = Decision::new(Verdict::Deny, Vec::new(), "sha256:one");
    let broken = decision("r:leads:1").with_errors(vec!["r".to_owned()]);
    for left in [None, Some(deny), Some(broken), Some(decision(""))] {
        let mut request = request(PLAIN, &exchange());
        request.extensions_mut().remove::<Decision>();
        if let Some(decision) = left.clone() {
            request.extensions_mut().insert(decision);
        }
        assert_eq!(
            refusal(&gate.send(request).await).code,
            Code::Misassembled,
            "{left:?}"
        );
    }
    let mut request = request(PLAIN, &exchange());
    request.extensions_mut().remove::<Principal>();
    assert_eq!(refusal(&gate.send(request).await).code, Code::Misassembled);
    assert!(gate.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_is_held_and_goes_on_as_it_came() {
    let gate = Arc::new(Gate::new(|layer| layer));
    gate.answers(201, &[("x-upstream", "yes")], "answer");
    let exchange = exchange();
    let sent = gate.sent(request(PLAIN, &exchange));
    sleep(Duration::from_secs(20)).await;
    assert!(gate.seen().is_empty());
    let id = gate.approve().await;
    let answer = sent.await.unwrap();
    assert_eq!(answer.status(), 201);
    assert_eq!(answer.headers()["x-upstream"], "yes");
    let seen = gate.seen();
    assert_eq!(seen[0].body, PLAIN);
    assert_eq!(seen[0].headers["accept-encoding"], "gzip");
    let decision = seen[0].decision.clone().unwrap();
    assert!(decision.is_allow());
    assert_eq!(decision.approval.as_deref(), Some(id.as_str()));
    assert_eq!(decision.rules, ["r"], "why it was held is kept");
    assert_eq!(
        exchange.draft(|draft| draft.decision.clone()),
        Some(decision)
    );
    let approval = gate.world.approvals.show(&id).await.unwrap();
    assert_eq!(approval.consumed_by, Some(exchange.id()));
}

/// Equal requests wait for one approval, and each of them is kept in memory whole.
#[tokio::test(start_paused = true)]
async fn one_caller_does_not_have_any_number_of_requests_held() {
    let gate = Arc::new(Gate::new(|layer| layer));
    let held: Vec<_> = (0..100)
        .map(|_| gate.sent(request(STREAM, &exchange())))
        .collect();
    sleep(Duration::from_secs(1)).await;
    let one_more = gate.send(request(STREAM, &exchange())).await;
    assert_eq!(refusal(&one_more).code, Code::TooManyApprovals);
    let mut other = request(STREAM, &exchange());
    let mut caller = job();
    caller.stable_id = Some("another".to_owned());
    other.extensions_mut().insert(caller);
    let other = gate.sent(other);
    sleep(Duration::from_secs(1)).await;
    assert!(!other.is_finished(), "others are held as ever");
    other.abort();
    held.iter().for_each(tokio::task::JoinHandle::abort);
    sleep(Duration::from_secs(1)).await;
    let again = gate.sent(request(STREAM, &exchange()));
    sleep(Duration::from_secs(1)).await;
    assert!(!again.is_finished(), "whoever leaves makes room");
    again.abort();
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_is_too_long_is_a_conflict_and_the_retry_passes() {
    let gate = Arc::new(Gate::new(|layer| layer));
    let held = exchange();
    let begun = Instant::now();
    let answer = gate.send(request(PLAIN, &held)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(50));
    let refused = refusal(&answer);
    assert_eq!(refused.code, Code::ApprovalPending);
    assert_eq!(answer.headers()["retry-after"], "1");
    assert_eq!(held.draft(|draft| draft.outcome), Some(Outcome::Denied));
    let sent = gate.sent(request(PLAIN, &exchange()));
    sleep(Duration::from_secs(1)).await;
    let id = gate.approve().await;
    assert!(
        refused.message.contains(id.as_str()),
        "one approval for both"
    );
    assert_eq!(sent.await.unwrap().status(), 200);
    // It was for one request.
    let answer = gate.send(request(PLAIN, &exchange())).await;
    assert_eq!(refusal(&answer).code, Code::ApprovalPending);
}

#[tokio::test(start_paused = true)]
async fn a_quick_decision_keeps_the_upstreams_head() {
    let gate = Arc::new(Gate::new(|layer| layer));
    gate.answers(529, &[], "overloaded");
    let sent = gate.sent(request(STREAM, &exchange()));
    sleep(Duration::from_secs(14)).await;
    gate.approve().await;
    let answer = sent.await.unwrap();
    assert_eq!(answer.status(), 529, "the client retries by itself");
    assert_eq!(gate.seen().len(), 1);
    assert_eq!(gate.seen()[0].headers["accept-encoding"], "gzip");
}

#[tokio::test(start_paused = true)]
async fn a_stream_hears_pings_until_it_begins() {
    let gate = Arc::new(Gate::new(|layer| layer));
    gate.answers_stream();
    let exchange = exchange();
    let begun = Instant::now();
    let answer = gate.send(request(STREAM, &exchange)).await;
    assert_eq!(begun.elapsed(), Duration::from_secs(15));
    assert_eq!(answer.status(), 200);
    assert!(
        answer.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/event-stream")
    );
    let id = gate.pending().await.id;
    assert_eq!(answer.headers()["x-tollbook-approval"], id.as_str());
    let reading = tokio::spawn(frames(answer));
    sleep(Duration::from_secs(61)).await;
    gate.approve().await;
    let (frames, cut) = reading.await.unwrap();
    let mut expected = pings((0..7).map(|ping| ping * 10));
    expected.push((61, "event: done\n\n".to_owned()));
    assert_eq!(frames, expected);
    assert_eq!(cut, None);
    let seen = gate.seen();
    assert_eq!(seen[0].body, STREAM);
    assert!(
        seen[0].headers.get("accept-encoding").is_none(),
        "the head names no encoding"
    );
    assert!(seen[0].decision.as_ref().unwrap().is_allow());
    assert!(
        exchange
            .draft(|draft| draft.decision.clone())
            .unwrap()
            .is_allow()
    );
}

#[tokio::test(start_paused = true)]
async fn a_denied_stream_is_cut_and_its_twin_is_told_at_once() {
    let gate = Arc::new(Gate::new(|layer| layer));
    let held = exchange();
    let reading = tokio::spawn(frames(gate.send(request(STREAM, &held)).await));
    sleep(Duration::from_secs(5)).await;
    let id = gate.deny().await;
    let (frames, cut) = reading.await.unwrap();
    assert_eq!(frames, pings([0]));
    let cut = cut.unwrap();
    assert_eq!(cut.code, Code::ApprovalDenied);
    assert_eq!(held.draft(|draft| draft.refusal.clone()), Some(cut));
    assert_eq!(held.draft(|draft| draft.outcome), Some(Outcome::Denied));
    let begun = Instant::now();
    let twin = refusal(&gate.send(request(PLAIN, &exchange())).await);
    assert_eq!(begun.elapsed(), Duration::ZERO);
    assert_eq!(twin.code, Code::ApprovalDenied);
    assert!(twin.message.contains(id.as_str()));
    assert!(gate.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_nobody_decides_about_ends() {
    let gate = Gate::new(|layer| layer);
    let (frames, cut) = frames(gate.send(request(STREAM, &exchange())).await).await;
    assert_eq!(frames.len(), 89, "885 seconds");
    assert_eq!(cut.unwrap().code, Code::ApprovalExpired);
    assert!(gate.seen().is_empty());
}

/// A held stream whose upstream answers as it was told to before.
async fn late(gate: Arc<Gate>) -> (Vec<String>, Option<Refusal>) {
    let reading = tokio::spawn(frames(gate.send(request(STREAM, &exchange())).await));
    gate.approve().await;
    let (frames, cut) = reading.await.unwrap();
    let told = frames
        .into_iter()
        .map(|(_, data)| data)
        .filter(|data| data != PING);
    (told.collect(), cut)
}

#[tokio::test(start_paused = true)]
async fn what_a_client_would_have_retried_is_retried() {
    for (status, headers, waits) in [
        (529, &[][..], 500),
        (429, &[("retry-after", "3")][..], 3000),
        (500, &[("retry-after", "10")][..], 10_000),
    ] {
        let gate = Arc::new(Gate::new(|layer| layer));
        gate.answers(status, headers, "later");
        gate.answers_stream();
        let (told, cut) = late(Arc::clone(&gate)).await;
        assert_eq!((told, cut), (vec!["event: done\n\n".to_owned()], None));
        let seen = gate.seen();
        assert_eq!(seen.len(), 2);
        assert_eq!((seen[1].at - seen[0].at).as_millis(), waits);
        assert_eq!(seen[1].body, STREAM);
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_retried_ends_the_stream() {
    for (status, headers, tries) in [
        (400, &[][..], 1),
        (529, &[][..], 3),
        (429, &[("retry-after", "11")][..], 1),
        (429, &[("retry-after", "tomorrow")][..], 1),
        (500, &[("x-should-retry", "false")][..], 1),
    ] {
        let gate = Arc::new(Gate::new(|layer| layer));
        for _ in 0..5 {
            gate.answers(status, headers, "body");
        }
        let (told, cut) = late(Arc::clone(&gate)).await;
        assert_eq!(told.len(), 1);
        assert!(
            told[0].starts_with(&format!("event: error {status}")),
            "{told:?}"
        );
        assert!(told[0].ends_with("body\n\n"));
        assert_eq!(cut, None);
        assert_eq!(gate.seen().len(), tries, "{status} {headers:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_no_stream_does_not_follow_one() {
    for headers in [
        &[("content-type", "application/json")][..],
        &[
            ("content-type", "text/event-stream"),
            ("content-encoding", "gzip"),
        ][..],
        &[][..],
    ] {
        let gate = Arc::new(Gate::new(|layer| layer));
        gate.answers(200, headers, "{}");
        let (told, cut) = late(gate).await;
        assert!(told.is_empty());
        assert_eq!(cut.unwrap().code, Code::UpstreamInvalid);
    }
    // A layer behind that refuses is heard as it is.
    let gate = Arc::new(Gate::new(|layer| layer));
    let not_recordable = Refusal::new(Code::NotRecordable, "no");
    (gate.upstream.answers.lock().unwrap()).push_back(refuse(not_recordable.clone()));
    assert_eq!(late(gate).await.1, Some(not_recordable));
}

#[tokio::test(start_paused = true)]
async fn a_rule_that_came_in_the_meantime_counts() {
    let deny = Decision::new(Verdict::Deny, vec!["new".to_owned()], "sha256:two");
    let broken = Decision::new(Verdict::Allow, Vec::new(), "sha256:two");
    let broken = broken.with_errors(vec!["new".to_owned()]);
    for (now, code) in [
        (deny, Code::PolicyDenied),
        (broken, Code::PolicyError),
        (decision(""), Code::Misassembled),
    ] {
        let gate = Arc::new(Gate::new(|layer| layer));
        let sent = gate.sent(request(PLAIN, &exchange()));
        sleep(Duration::from_secs(1)).await;
        *gate.rules.lock().unwrap() = now;
        gate.approve().await;
        assert_eq!(refusal(&sent.await.unwrap()).code, code);
        assert!(gate.seen().is_empty());
    }

    // What was approved is not what is asked now: asked again, for that.
    let gate = Arc::new(Gate::new(|layer| layer));
    let sent = gate.sent(request(PLAIN, &exchange()));
    sleep(Duration::from_secs(1)).await;
    *gate.rules.lock().unwrap() = decision("r:leads:1 new:security:1");
    let first = gate.approve().await;
    sleep(Duration::from_secs(1)).await;
    assert!(gate.seen().is_empty());
    let again = gate.pending().await;
    assert_ne!(again.id, first);
    for (name, group) in [("gus", "leads"), ("hal", "security")] {
        let voter = gate.world.human(name, &[group]);
        gate.world.approve(&again.id, &voter).await.unwrap();
    }
    assert_eq!(sent.await.unwrap().status(), 200);

    // What nobody asks for any more passes by what was given.
    let gate = Arc::new(Gate::new(|layer| layer));
    let sent = gate.sent(request(PLAIN, &exchange()));
    sleep(Duration::from_secs(1)).await;
    *gate.rules.lock().unwrap() = Decision::new(Verdict::Allow, Vec::new(), "sha256:two");
    let id = gate.approve().await;
    assert_eq!(sent.await.unwrap().status(), 200);
    let decision = gate.seen()[0].decision.clone().unwrap();
    assert_eq!(decision.approval.as_deref(), Some(id.as_str()));
}

#[tokio::test(start_paused = true)]
async fn each_part_of_a_request_is_bound() {
    type Change = fn(&mut Request<Full<Bytes>>);
    let cases: &[(&str, Change)] = &[
        ("method", |it| *it.method_mut() = http::Method::PUT),
        ("path", |it| {
            *it.uri_mut() = "https://gate.test/v1/other?beta=true".parse().unwrap();
        }),
        ("query", |it| {
            *it.uri_mut() = "https://gate.test/v1/messages?beta=false".parse().unwrap();
        }),
        ("no query", |it| {
            *it.uri_mut() = "https://gate.test/v1/messages".parse().unwrap();
        }),
        ("content type", |it| {
            it.headers_mut()
                .insert("content-type", HeaderValue::from_static("text/plain"));
        }),
        ("no content type", |it| {
            it.headers_mut().remove("content-type");
        }),
        ("bound header", |it| {
            it.headers_mut()
                .insert("anthropic-beta", HeaderValue::from_static("two"));
        }),
        ("bound header twice", |it| {
            it.headers_mut()
                .append("anthropic-beta", HeaderValue::from_static("two"));
        }),
        ("body", |it| {
            *it.body_mut() = Full::new(Bytes::from_static(br#"{"model":"n"}"#));
        }),
        ("one space", |it| {
            *it.body_mut() = Full::new(Bytes::from_static(br#"{"model": "m"}"#));
        }),
        ("identity", |it| {
            it.extensions_mut()
                .get_mut::<Principal>()
                .unwrap()
                .stable_id = None;
        }),
    ];
    for (what, change) in cases {
        let gate = Arc::new(Gate::new(ApprovalLayer::fail_fast));
        gate.send(request(PLAIN, &exchange())).await;
        gate.approve().await;
        let mut other = request(PLAIN, &exchange());
        change(&mut other);
        let answer = gate.send(other).await;
        assert_eq!(refusal(&answer).code, Code::ApprovalPending, "{what}");
        assert!(gate.seen().is_empty(), "{what}");
        // What is not bound may differ; the approved one passes.
        let mut same = request(PLAIN, &exchange());
        same.headers_mut()
            .insert("user-agent", HeaderValue::from_static("other"));
        assert_eq!(gate.send(same).await.status(), 200, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn fail_fast_tells_at_once_and_passes_later() {
    let gate = Gate::new(ApprovalLayer::fail_fast);
    for body in [PLAIN, STREAM] {
        let begun = Instant::now();
        let answer = gate.send(request(body, &exchange())).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(refusal(&answer).code, Code::ApprovalPending);
        assert!(answer.headers().get("retry-after").is_none());
    }
    gate.approve().await;
    assert_eq!(gate.send(request(PLAIN, &exchange())).await.status(), 200);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_leaves_it_pending_or_not() {
    for cancel in [false, true] {
        let gate = Arc::new(Gate::new(|layer| layer.cancel_when_gone(cancel)));
        let answer = gate.send(request(STREAM, &exchange())).await;
        let reading = tokio::spawn(frames(answer));
        sleep(Duration::from_secs(30)).await;
        let id = gate.pending().await.id;
        reading.abort();
        assert!(reading.await.is_err());
        gate.world.approvals.sweep().await.unwrap();
        let state = gate.world.approvals.show(&id).await.unwrap().state;
        let expected = if cancel {
            State::Cancelled
        } else {
            State::Pending
        };
        assert_eq!(state, expected);
        assert!(gate.seen().is_empty());
    }
    // A caller that was told to come again has not left.
    let gate = Gate::new(|layer| layer.cancel_when_gone(true));
    gate.send(request(PLAIN, &exchange())).await;
    gate.world.approvals.sweep().await.unwrap();
    gate.pending().await;
}

#[tokio::test(start_paused = true)]
async fn alone_it_shows_nothing_that_nobody_masked() {
    let gate = Gate::new(ApprovalLayer::fail_fast);
    let mut request = request(PLAIN, &exchange());
    request.extensions_mut().remove::<Exchange>();
    request.extensions_mut().remove::<Findings>();
    request.extensions_mut().insert(
        Action::new("messages.create")
            .with("model", "secret")
            .with("risk", 7_i64),
    );
    gate.send(request).await;
    let approval = gate.pending().await;
    assert_eq!(approval.risk, 7);
    assert!(!serde_json::to_string(&approval).unwrap().contains("secret"));
}

/// The threads that serve connections are not held up by the digest of megabytes.
#[tokio::test(start_paused = true)]
async fn a_large_body_is_digested_on_a_thread_of_its_own() {
    for (length, elsewhere) in [(256 << 10, false), ((256 << 10) + 1, true)] {
        let threads = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&threads);
        let gate = Arc::new(Gate::new(|layer| {
            layer.fail_fast().meaning(move |_, body| {
                seen.lock().unwrap().push(std::thread::current().id());
                Some(Semantic {
                    canonical: body.to_vec(),
                    max_tokens: None,
                })
            })
        }));
        let body = "x".repeat(length);
        let told = gate.send(request(&body, &exchange())).await;
        assert_eq!(refusal(&told).code, Code::ApprovalPending);
        let thread = threads.lock().unwrap()[0];
        assert_eq!(thread != std::thread::current().id(), elsewhere, "{length}");
        // What was digested there is what was approved.
        gate.approve().await;
        gate.answers(200, &[], "answer");
        let passed = gate.send(request(&body, &exchange())).await;
        assert_eq!(passed.status(), 200);
        assert_eq!(gate.seen()[0].body, body);
    }
}
