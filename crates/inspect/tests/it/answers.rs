use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use http::Response;
use tollbook_exchange::{Code, Exchange, Outcome, ResponseShape};

use crate::support::{Answer, Chunks, call, exchange, layer, secret, send};

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"model\":\"served\",\"content\":[],\"usage\":{\"input_tokens\":3,\"output_tokens\":1}}}\n\n\
    event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const STOP: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n\
    event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":9}}\n\n\
    event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";

fn delta(text: &str) -> String {
    format!(
        "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
    )
}

fn stream(pieces: &[&[u8]]) -> Answer {
    Response::builder()
        .header("content-type", "text/event-stream")
        .body(Chunks::of(pieces))
        .unwrap()
}

/// The recorded parts, joined.
fn recorded(exchange: &Exchange) -> String {
    exchange.draft(|draft| {
        let parts = draft
            .response
            .parts
            .iter()
            .map(|part| part.bytes.as_inner().to_vec());
        String::from_utf8(parts.collect::<Vec<_>>().concat()).unwrap()
    })
}

#[tokio::test]
async fn the_caller_gets_every_byte_and_the_record_a_masked_copy() {
    let exchange = exchange();
    let secret = secret();
    let (first, second) = secret.split_at(11);
    let events = [
        START,
        &delta("key: "),
        &delta(first),
        &delta(second),
        &delta(", ok?"),
        STOP,
    ]
    .concat();
    // Cut where no event ends.
    let pieces: Vec<&[u8]> = events.as_bytes().chunks(17).collect();
    let outcome = send(layer(), call(&exchange, "x"), stream(&pieces)).await;
    assert_eq!(outcome.body, events.as_bytes());

    let recorded = recorded(&exchange);
    assert!(
        !recorded.contains(first) && !recorded.contains(second),
        "{recorded}"
    );
    exchange.draft(|draft| {
        assert_eq!(draft.response.shape, ResponseShape::Events);
        assert_eq!(draft.response.coverage.inspected, events.len() as u64);
        assert_eq!(draft.outcome, Some(Outcome::Complete));
        let result = draft.result.as_inner();
        let text = result["answer"]["content"][0]["text"].as_str().unwrap();
        assert!(
            text.starts_with("key: [REDACTED:") && text.ends_with(", ok?"),
            "{text}"
        );
        assert_eq!(result["model"]["requested"], "m");
        assert_eq!(result["model"]["served"], "served");
        assert_eq!(result["usage"]["output_tokens"], 9);
        assert_eq!(result["stop_reason"], "end_turn");
    });
}

#[tokio::test]
async fn a_compressed_answer_passes_compressed_and_is_recorded_plain() {
    for said in [true, false] {
        let exchange = exchange();
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder
            .write_all([START, &delta("plain words"), STOP].concat().as_bytes())
            .unwrap();
        let coded = encoder.finish().unwrap();
        let pieces: Vec<&[u8]> = coded.chunks(13).collect();
        let mut answer = stream(&pieces);
        if said {
            answer
                .headers_mut()
                .insert("content-encoding", "gzip".parse().unwrap());
        }
        let outcome = send(layer(), call(&exchange, "x"), answer).await;
        assert_eq!(outcome.body, coded);
        // Where the text is cut into events is up to the masking.
        exchange.draft(|draft| {
            let answer = &draft.result.as_inner()["answer"];
            assert_eq!(answer["content"][0]["text"], "plain words");
        });
        assert_eq!(
            exchange.draft(|draft| draft.outcome),
            Some(Outcome::Complete)
        );
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_recorded_does_not_pass() {
    let mut brotli = stream(&[b"\x0b\x02\x80"]);
    brotli
        .headers_mut()
        .insert("content-encoding", "br".parse().unwrap());
    assert_eq!(
        send(layer(), call(&exchange(), "x"), brotli).await.status,
        502
    );

    let page = Response::builder()
        .header("content-type", "text/html")
        .body(Chunks::of(&[b"<p>"]))
        .unwrap();
    assert_eq!(
        send(layer(), call(&exchange(), "x"), page).await.status,
        502
    );

    let exchange = exchange();
    let json = Response::builder().header("content-type", "application/json");
    let outcome = send(
        layer(),
        call(&exchange, "x"),
        json.body(Chunks::of(&[b"{\"a\":", b"oops"])).unwrap(),
    )
    .await;
    assert_eq!(outcome.status, 502);
    assert_eq!(
        recorded(&exchange),
        "{\"a\":oops",
        "someone has to find out what it was"
    );
}

#[tokio::test]
async fn a_stream_that_becomes_unreadable_is_cut() {
    let exchange = exchange();
    let bad = "event: content_block_delta\ndata: {\"type\":oops}\n\n";
    let pieces = [
        START.as_bytes(),
        bad.as_bytes(),
        b"event: never\ndata: {}\n\n",
    ];
    let outcome = send(layer(), call(&exchange, "x"), stream(&pieces)).await;
    assert_eq!(outcome.body, START.as_bytes());
    assert_eq!(
        outcome.cut.map(|refusal| refusal.code),
        Some(Code::UpstreamInvalid)
    );
    exchange.draft(|draft| {
        assert_eq!(draft.outcome, Some(Outcome::PolicyCut));
        let told = draft.refusal.as_ref().map(|refusal| refusal.code);
        assert_eq!(told, Some(Code::UpstreamInvalid));
    });
}

#[tokio::test]
async fn what_is_unreadable_does_not_pass_behind_what_is_not() {
    let bad = "event: content_block_delta\ndata: {\"type\":oops}\n\n";
    // All in one piece, and at the end of a piece that the end of the stream follows.
    for rest in ["", STOP] {
        let exchange = exchange();
        let piece = [START, bad, rest].concat();
        let answer = stream(&[piece.as_bytes()]);
        let outcome = send(layer(), call(&exchange, "x"), answer).await;
        assert_eq!(outcome.body, b"", "what is in no record passes nobody");
        let told = outcome.cut.map(|refusal| refusal.code);
        assert_eq!(told, Some(Code::UpstreamInvalid));
        assert_eq!(recorded(&exchange), START);
        exchange.draft(|draft| assert_eq!(draft.outcome, Some(Outcome::PolicyCut)));
    }
}

#[tokio::test]
async fn ends_are_told_apart() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    let cases = [
        (
            stream(&[START.as_bytes(), STOP.as_bytes()]),
            Outcome::Complete,
        ),
        (
            stream(&[START.as_bytes(), error.as_bytes()]),
            Outcome::ErrorEvent,
        ),
        (stream(&[START.as_bytes()]), Outcome::UpstreamReset),
        (
            {
                let mut broken = stream(&[START.as_bytes()]);
                broken.body_mut().breaks = true;
                broken
            },
            Outcome::UpstreamReset,
        ),
    ];
    for (answer, expected) in cases {
        let exchange = exchange();
        let breaks = answer.body().breaks;
        let outcome = send(layer(), call(&exchange, "x"), answer).await;
        assert_eq!(
            outcome.broken, breaks,
            "what breaks off here breaks off there"
        );
        assert_eq!(exchange.draft(|draft| draft.outcome), Some(expected));
    }
}

#[tokio::test]
async fn a_caller_that_leaves_is_told_from_one_that_has_heard_it_all() {
    use http_body_util::BodyExt;
    use tower::{Layer, ServiceExt, service_fn};

    for (events, expected) in [
        (START.to_owned(), Outcome::ClientGone),
        ([START, STOP].concat(), Outcome::Complete),
    ] {
        let exchange = exchange();
        let answer = stream(&[events.as_bytes(), b": more\n\n"]);
        let answer = std::sync::Arc::new(std::sync::Mutex::new(Some(answer)));
        let service = service_fn(
            move |_: http::Request<http_body_util::Full<bytes::Bytes>>| {
                let answer = answer.lock().unwrap().take().unwrap();
                async move { Ok::<_, std::convert::Infallible>(answer) }
            },
        );
        let response = layer()
            .layer(service)
            .oneshot(call(&exchange, "x"))
            .await
            .unwrap();
        let mut body = Box::pin(response.into_body());
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(exchange.draft(|draft| draft.outcome), Some(expected));
    }
}

#[tokio::test]
async fn what_the_upstream_does_wrong_is_not_the_callers_leaving() {
    let mut broken_gzip = Response::builder()
        .header("content-type", "application/json")
        .body(Chunks::of(&[b"\x1f\x8bno gzip"]))
        .unwrap();
    broken_gzip
        .headers_mut()
        .insert("content-encoding", "gzip".parse().unwrap());
    let too_long = Response::builder().header("content-type", "application/json");
    let too_long = too_long
        .body(Chunks::of(&[&[b' '; 9 << 20][..]; 4]))
        .unwrap();
    let mut reset = Response::builder()
        .header("content-type", "application/json")
        .body(Chunks::of(&[b"{"]))
        .unwrap();
    reset.body_mut().breaks = true;
    for (answer, expected) in [
        (broken_gzip, Outcome::UpstreamError),
        (too_long, Outcome::UpstreamError),
        (reset, Outcome::UpstreamReset),
    ] {
        let exchange = exchange();
        assert_eq!(
            send(layer(), call(&exchange, "x"), answer).await.status,
            502
        );
        assert_eq!(exchange.draft(|draft| draft.outcome), Some(expected));
    }
}

#[tokio::test]
async fn an_empty_answer_has_an_end() {
    let exchange = exchange();
    let answer = Response::builder()
        .status(204)
        .body(Chunks::default())
        .unwrap();
    assert_eq!(
        send(layer(), call(&exchange, "x"), answer).await.status,
        204
    );
    assert_eq!(
        exchange.draft(|draft| draft.outcome),
        None,
        "the record layer says how"
    );
}

#[tokio::test]
async fn a_file_passes_whatever_it_is() {
    let request = |exchange: &Exchange| {
        http::Request::get("/v1/files/file_1/content")
            .extension(exchange.clone())
            .body(http_body_util::Full::<bytes::Bytes>::default())
            .unwrap()
    };
    for (content_type, file) in [
        ("application/json", &b"\xef\xbb\xbfno json"[..]),
        ("application/octet-stream", b"\x1f\x8b no gzip"),
        ("application/octet-stream", b"\x1f\x9d compress"),
    ] {
        let exchange = exchange();
        let answer = Response::builder()
            .header("content-type", content_type)
            .body(Chunks::of(&[file]))
            .unwrap();
        let outcome = send(layer(), request(&exchange), answer).await;
        assert_eq!(
            (outcome.status, &outcome.body[..], outcome.broken),
            (200, file, false)
        );
    }
}
