//! With no rule matching, every byte is equal, both ways, whatever the bodies and the chunks.

use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::stage::{Stage, whole};

/// What the mirror got last, and what it is to answer.
#[derive(Default)]
struct Mirror {
    got: Mutex<Option<(String, HeaderMap, Bytes)>>,
    answer: Mutex<(String, Vec<Vec<u8>>)>,
}

impl Mirror {
    async fn start() -> (Arc<Self>, String) {
        let mirror = Arc::new(Self::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::clone(&mirror);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                socket.set_nodelay(true).unwrap();
                let shared = Arc::clone(&shared);
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let shared = Arc::clone(&shared);
                    async move { Ok::<_, Infallible>(shared.reflect(request).await) }
                });
                tokio::spawn(async move {
                    let io = TokioIo::new(socket);
                    drop(
                        auto::Builder::new(TokioExecutor::new())
                            .serve_connection(io, service)
                            .await,
                    );
                });
            }
        });
        (mirror, url)
    }

    async fn reflect(
        &self,
        request: Request<Incoming>,
    ) -> Response<impl http_body::Body<Data = Bytes, Error = Infallible> + use<>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        *self.got.lock().unwrap() = Some((head.uri.to_string(), head.headers, body));
        let (content_type, chunks) = self.answer.lock().unwrap().clone();
        let frames = chunks
            .into_iter()
            .map(|chunk| Ok(Frame::data(Bytes::from(chunk))));
        let body = StreamBody::new(Chunks(frames.collect::<Vec<_>>().into_iter()));
        Response::builder()
            .header("content-type", content_type)
            .body(body)
            .unwrap()
    }
}

/// Chunks one by one, each polled for on its own.
struct Chunks(std::vec::IntoIter<Result<Frame<Bytes>, Infallible>>);

impl futures_core::Stream for Chunks {
    type Item = Result<Frame<Bytes>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// A Messages call in any of the ways that JSON can be written.
fn call() -> impl Strategy<Value = String> {
    let space = prop::sample::select(vec!["", " ", "\n", "\t", "\r\n  "]);
    let text = prop_oneof![
        "[ -~]{0,40}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        "\\PC{0,20}".prop_map(|text| serde_json::to_string(&text).unwrap()),
        Just(r#""\u00e9\ud83e\udd80\/\b""#.to_owned()),
    ];
    let unknown = prop_oneof![
        Just("1e-7".to_owned()),
        Just("-0.0".to_owned()),
        Just("[1,[2,{\"a\":null}]]".to_owned()),
        Just("12345678901234567890123".to_owned()),
    ];
    (space, vec(text, 1..6), unknown).prop_map(|(s, texts, unknown)| {
        let messages: Vec<String> = texts
            .iter()
            .map(|text| format!("{{{s}\"role\":{s}\"user\",\"content\":{text}{s}}}"))
            .collect();
        format!(
            "{s}{{\"x_unknown\":{unknown},{s}\"model\"{s}:\"m\",\"max_tokens\":8,{s}\"messages\":[{}]}}{s}",
            messages.join(",")
        )
    })
}

/// An event stream, well formed or not quite, cut anywhere.
fn events() -> impl Strategy<Value = (String, Vec<Vec<u8>>)> {
    // Without `@`: what looks like an e-mail address by chance would be found.
    let text = "[ -?A-~]{0,12}".prop_map(|text| serde_json::to_string(&text).unwrap());
    let event = prop_oneof![
        Just("event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned()),
        Just(": a comment\n\n".to_owned()),
        Just("event: from_the_future\r\nid: 7\r\ndata: {\"type\":\"x\"}\r\n\r\n".to_owned()),
        text.clone().prop_map(|text| format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":{text}}}}}\n\n"
        )),
        text.prop_map(|text| format!(
            "event: content_block_delta\ndata:{{\"delta\":{{\"partial_json\":{text},\"type\":\
             \"input_json_delta\"}},\"index\":1,\"type\":\"content_block_delta\"}}\n\n"
        )),
    ];
    (vec(event, 0..8), any::<bool>(), vec(1usize..40, 1..6)).prop_map(|(events, ends, cuts)| {
        let mut stream = events.concat();
        if ends {
            stream.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
        }
        (
            "text/event-stream; charset=utf-8".to_owned(),
            cut(stream.as_bytes(), &cuts),
        )
    })
}

fn cut(mut bytes: &[u8], sizes: &[usize]) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    for size in sizes.iter().cycle() {
        if bytes.is_empty() {
            break;
        }
        let (chunk, rest) = bytes.split_at((*size).min(bytes.len()));
        chunks.push(chunk.to_vec());
        bytes = rest;
    }
    chunks
}

fn document() -> impl Strategy<Value = (String, Vec<Vec<u8>>)> {
    (call(), vec(1usize..60, 1..6))
        .prop_map(|(text, cuts)| ("application/json".to_owned(), cut(text.as_bytes(), &cuts)))
}

#[test]
fn every_byte_is_equal_both_ways() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stage, mirror) = runtime.block_on(async {
        let (mirror, url) = Mirror::start().await;
        (Stage::before(&url, "upstream-key", "", "").await, mirror)
    });
    let target = "/v1/messages?beta=true&odd=%2F..%2f'~";
    let mut runner = TestRunner::new(Config {
        cases: 192,
        ..Config::default()
    });
    let done = runner.run(
        &(
            call(),
            vec(1usize..200, 1..5),
            prop_oneof![events(), document()],
        ),
        |(body, cuts, answer)| {
            *mirror.answer.lock().unwrap() = answer.clone();
            let (status, came) = runtime.block_on(async {
                let chunks = cut(body.as_bytes(), &cuts).into_iter();
                let frames: Vec<_> = chunks
                    .map(|chunk| Ok(Frame::data(Bytes::from(chunk))))
                    .collect();
                let request = stage
                    .request(Method::POST, target)
                    .header("content-type", "application/json")
                    .header("anthropic-beta", "one,two")
                    .header("anthropic-beta", "three")
                    .header("anthropic-from-the-future", "kept as it is")
                    .header("cookie", "session=1")
                    .header("x-forwarded-for", "10.0.0.1")
                    .body(StreamBody::new(Chunks(frames.into_iter())))
                    .unwrap();
                let client =
                    hyper_util::client::legacy::Client::builder(TokioExecutor::new()).build_http();
                whole(client.request(request).await.unwrap()).await
            });
            let (uri, headers, got) = mirror.got.lock().unwrap().take().unwrap();
            prop_assert_eq!(status, 200);
            prop_assert_eq!(uri, target);
            prop_assert_eq!(&got[..], body.as_bytes());
            prop_assert_eq!(&came[..], &answer.1.concat()[..]);

            let all = |name: &str| headers.get_all(name).iter().cloned().collect::<Vec<_>>();
            prop_assert_eq!(all("anthropic-beta"), ["one,two", "three"]);
            prop_assert_eq!(all("anthropic-from-the-future"), ["kept as it is"]);
            prop_assert_eq!(all("x-api-key"), ["upstream-key"]);
            prop_assert_eq!(all("accept-encoding"), ["identity"]);
            for gone in ["authorization", "cookie", "x-forwarded-for"] {
                prop_assert!(all(gone).is_empty(), "{} went upstream", gone);
            }
            Ok(())
        },
    );
    done.unwrap();

    let records = runtime.block_on(stage.end());
    for record in &records.all {
        assert_eq!(record["findings"], Value::Array(Vec::new()), "{record}");
        // All that came is accounted for.
        let response = &record["response"];
        let count = |value: &Value| value.as_u64().unwrap();
        let (seen, unseen) = (
            count(&response["coverage"]["inspected"]),
            count(&response["coverage"]["uninspected"]),
        );
        assert_eq!(seen + unseen, count(&response["bytes"]), "{record}");
        if record["outcome"] == "complete" {
            assert_eq!(unseen, 0, "{record}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_bytes_pass_both_ways() {
    let (mirror, url) = Mirror::start().await;
    let stage = Stage::before(&url, "k", "", "").await;
    let bytes: Vec<u8> = (0..=255u8).cycle().take(100_000).collect();
    *mirror.answer.lock().unwrap() = (
        "application/octet-stream".to_owned(),
        cut(&bytes, &[7, 4096]),
    );
    let download = stage
        .request(Method::GET, "/v1/files/file_1/content")
        .body(Full::default())
        .unwrap();
    let (status, came) = whole(stage.send(download).await).await;
    assert_eq!(status, 200);
    assert!(came == bytes);

    *mirror.answer.lock().unwrap() = (
        "application/json".to_owned(),
        vec![b"{\"id\":\"file_1\"}".to_vec()],
    );
    let mut form =
        b"--b\r\ncontent-disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n".to_vec();
    form.extend_from_slice(&bytes);
    form.extend_from_slice(b"\r\n--b--\r\n");
    let upload = stage
        .request(Method::POST, "/v1/files")
        .header("content-type", "multipart/form-data; boundary=b")
        .body(Full::new(form.clone().into()))
        .unwrap();
    let (status, _) = whole(stage.send(upload).await).await;
    assert_eq!(status, 200);
    assert!(mirror.got.lock().unwrap().as_ref().unwrap().2 == form);

    let records = stage.end().await;
    assert_eq!(records.all[0]["action"]["name"], "files.content");
    assert_eq!(records.all[1]["action"]["name"], "files.upload");
    assert!(
        records.all[1]["request"]["body"]["base64"].is_string(),
        "bytes that are no text"
    );
}
