//! Every bad input: the answer, and the record of it.

use bytes::Bytes;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::Value;

use crate::stage::{Stage, parsed, whole};

fn json_call(stage: &Stage, body: &[u8]) -> Request<Full<Bytes>> {
    stage
        .request(Method::POST, "/v1/messages")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::copy_from_slice(body)))
        .unwrap()
}

/// What it is, the call, and the status, type and code that it must be refused with.
type Case<'a> = (&'a str, Request<Full<Bytes>>, u16, &'a str, &'a str);

fn nested(depth: usize) -> Vec<u8> {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"model":"m","max_tokens":1,"messages":{open}{close}}}"#).into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_request_is_refused_in_the_words_of_the_api_and_recorded() {
    let stage = Stage::set().await;
    let good: &[u8] = br#"{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}]}"#;
    let bare = |path: &str| {
        stage
            .request(Method::GET, path)
            .body(Full::default())
            .unwrap()
    };
    let with = |name: &str, value: &str| {
        let mut request = json_call(&stage, good);
        let name = http::HeaderName::try_from(name).unwrap();
        request.headers_mut().insert(name, value.parse().unwrap());
        request
    };
    let claim = |sign: &dyn Fn() -> String| {
        let mut request = json_call(&stage, good);
        let token = format!("Bearer {}", sign());
        request
            .headers_mut()
            .insert("authorization", token.parse().unwrap());
        request
    };
    let token = || {
        stage
            .issuer
            .token("me")
            .audience("tollbook")
            .groups(["developers"])
    };
    let other = tollbook_testkit::issuer::OidcIssuer::start(Default::default())
        .await
        .unwrap();

    let mut cases: Vec<Case<'_>> = vec![
        (
            "truncated",
            json_call(&stage, &good[..40]),
            400,
            "invalid_request_error",
            "malformed_body",
        ),
        (
            "member twice",
            json_call(
                &stage,
                br#"{"model":"a","model":"b","max_tokens":1,"messages":[]}"#,
            ),
            400,
            "invalid_request_error",
            "malformed_body",
        ),
        (
            "member twice, escaped",
            json_call(
                &stage,
                br#"{"model":"a","mod\u0065l":"b","max_tokens":1,"messages":[]}"#,
            ),
            400,
            "invalid_request_error",
            "malformed_body",
        ),
        (
            "no UTF-8",
            json_call(
                &stage,
                b"{\"model\":\"\xff\",\"max_tokens\":1,\"messages\":[]}",
            ),
            400,
            "invalid_request_error",
            "malformed_body",
        ),
        (
            "too deep",
            json_call(&stage, &nested(200)),
            400,
            "invalid_request_error",
            "malformed_body",
        ),
        (
            "no model",
            json_call(&stage, br#"{"messages":[]}"#),
            400,
            "invalid_request_error",
            "malformed_body",
        ),
        (
            "trailing data",
            json_call(&stage, &[good, b"{}"].concat()),
            400,
            "invalid_request_error",
            "malformed_body",
        ),
        (
            "a type of text",
            with("content-type", "text/plain"),
            400,
            "invalid_request_error",
            "unsupported_content_type",
        ),
        (
            "gzip",
            with("content-encoding", "gzip"),
            400,
            "invalid_request_error",
            "unsupported_encoding",
        ),
        (
            "unknown path",
            bare("/v1/unknown"),
            404,
            "not_found_error",
            "unknown_route",
        ),
        (
            "encoded path",
            bare("/v1/mod%65ls"),
            404,
            "not_found_error",
            "unknown_route",
        ),
        (
            "dotted path",
            bare("/v1/x/../models"),
            404,
            "not_found_error",
            "unknown_route",
        ),
        (
            "two keys",
            with("x-api-key", "another"),
            400,
            "invalid_request_error",
            "malformed_request",
        ),
        (
            "expired",
            claim(&|| {
                token()
                    .issued(std::time::SystemTime::now() - std::time::Duration::from_secs(900))
                    .sign()
                    .unwrap()
            }),
            401,
            "authentication_error",
            "authentication_failed",
        ),
        (
            "wrong audience",
            claim(&|| stage.issuer.token("me").audience("other").sign().unwrap()),
            401,
            "authentication_error",
            "authentication_failed",
        ),
        (
            "unknown issuer",
            claim(&|| other.token("me").audience("tollbook").sign().unwrap()),
            401,
            "authentication_error",
            "authentication_failed",
        ),
        (
            "unsigned",
            claim(&|| {
                let signed = token().sign().unwrap();
                format!("{}.", signed.rsplit_once('.').unwrap().0)
            }),
            401,
            "authentication_error",
            "authentication_failed",
        ),
        (
            "oversized token",
            claim(&|| "x".repeat(20_000)),
            401,
            "authentication_error",
            "authentication_failed",
        ),
        (
            "no group",
            claim(&|| {
                stage
                    .issuer
                    .token("me")
                    .audience("tollbook")
                    .groups(["visitors"])
                    .sign()
                    .unwrap()
            }),
            403,
            "permission_error",
            "policy_denied",
        ),
    ];
    let nowhere = Request::get(format!(
        "http://{}/elsewhere/v1/models",
        stage.gateway.address()
    ));
    cases.push((
        "no connection",
        nowhere.body(Full::default()).unwrap(),
        404,
        "not_found_error",
        "unknown_connection",
    ));

    let count = cases.len();
    let mut reasons = Vec::new();
    let mut codes = Vec::new();
    let mut opaque = std::collections::BTreeSet::new();
    for (case, request, status, kind, code) in cases {
        let response = stage.send(request).await;
        let id = response.headers()["x-tollbook-exchange"]
            .to_str()
            .unwrap()
            .to_owned();
        assert_eq!(
            response.headers()["request-id"].to_str().unwrap(),
            id,
            "{case}"
        );
        // A client that can renew its credential is not told to leave it at that.
        let retry = response.headers().get("x-should-retry");
        let expected = (status != 401).then_some("false");
        assert_eq!(
            retry.map(|value| value.to_str().unwrap()),
            expected,
            "{case}"
        );
        let (got, body) = whole(response).await;
        let body = parsed(&body);
        assert_eq!(
            (got, body["error"]["type"].as_str().unwrap()),
            (status, kind),
            "{case}: {body}"
        );
        assert_eq!(body["type"], "error", "{case}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(&id), "{case}: {message}");
        if status == 401 {
            opaque.insert(message.replace(&id, "ID"));
        }
        codes.push((case, code));
    }
    assert_eq!(opaque.len(), 1, "one 401 for every cause: {opaque:?}");
    assert_eq!(
        stage.upstream.as_ref().unwrap().count(),
        0,
        "nothing was forwarded"
    );

    let records = stage.end().await;
    assert_eq!(records.all.len(), count);
    for (record, (case, code)) in records.all.iter().zip(codes) {
        assert_eq!(record["outcome"], "denied", "{case}: {record}");
        assert_eq!(record["refusal"]["code"], code, "{case}: {record}");
        if code == "authentication_failed" {
            reasons.push(record["refusal"]["reason"].as_str().unwrap().to_owned());
            assert_eq!(record["principal"], Value::Null, "{case}");
        }
    }
    assert_eq!(
        reasons,
        [
            "expired",
            "wrong_audience",
            "unknown_issuer",
            "bad_signature",
            "token_too_large"
        ]
    );
    // A body that was refused is in the book as it came.
    assert_eq!(records.all[0]["request"]["bytes"], 40);
    assert!(
        records.all[0]["request"]["body"]
            .as_str()
            .unwrap()
            .starts_with(r#"{"model":"m""#)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_limit_is_refused_before_it_is_read() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    let stage = Stage::set().await;
    let mut socket = tokio::net::TcpStream::connect(stage.gateway.address())
        .await
        .unwrap();
    let head = format!(
        "POST /claude/v1/messages HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        stage.token(),
        33 << 20
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = socket.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..read]).into_owned();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("request_too_large"), "{answer}");
    drop(socket);

    // Just under the limit passes, and is in the book to the last byte. A slow machine may take
    // longer to write it than a request is kept waiting for; then a client asks again, as told.
    let text = "a ".repeat((31 << 20) / 2);
    let mut status = 503;
    for _ in 0..10 {
        let response = stage.send(stage.message(&text, false)).await;
        let again = response.headers().get("x-should-retry") == Some(&"true".parse().unwrap());
        status = whole(response).await.0;
        if status != 503 {
            break;
        }
        assert!(again, "only what may be tried again is");
    }
    assert_eq!(status, 200);
    let records = stage.end().await;
    assert_eq!(records.all[0]["refusal"]["code"], "body_too_large");
    let passed = records.all.last().unwrap();
    assert_eq!(passed["outcome"], "complete");
    let body = passed["request"]["body"].as_str().unwrap();
    assert!(body.len() > 31 << 20 && body.contains(&text));
}

#[tokio::test(flavor = "multi_thread")]
async fn upstreams_that_fail_are_502_or_504_and_recorded() {
    use tokio::io::AsyncWriteExt;

    // Nobody there.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    // Answers that are no HTTP, no JSON, too short, and of the wrong type.
    let bad = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bad_address = bad.local_addr().unwrap();
    let answers: [&[u8]; 4] = [
        b"SSH-2.0-nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\nno json!!",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{\"type\":",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: 4\r\n\r\n<p/>",
    ];
    let server = tokio::spawn(async move {
        for answer in answers {
            let (mut socket, _) = bad.accept().await.unwrap();
            let mut head = [0; 65536];
            let read = tokio::io::AsyncReadExt::read(&mut socket, &mut head)
                .await
                .unwrap();
            assert!(read > 0);
            socket.write_all(answer).await.unwrap();
        }
    });
    // Accepts and says nothing.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap();

    let expect = async |address: std::net::SocketAddr, calls: usize, status: u16, kind: &str| {
        let stage = Stage::before(
            &format!("http://{address}"),
            "k",
            "head_timeout = \"300ms\"",
            "",
        )
        .await;
        for _ in 0..calls {
            let (got, body) = whole(stage.send(stage.message("x", false)).await).await;
            let body = parsed(&body);
            assert_eq!(
                (got, body["error"]["type"].as_str().unwrap()),
                (status, kind),
                "{body}"
            );
            assert!(
                !body.to_string().contains(&address.port().to_string()),
                "{body}"
            );
        }
        let records = stage.end().await;
        assert_eq!(records.all.len(), calls);
        records
            .all
            .iter()
            .map(|record| record["outcome"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(expect(gone, 1, 502, "api_error").await, ["upstream_error"]);
    assert_eq!(
        expect(bad_address, 4, 502, "api_error").await,
        [
            "upstream_error",
            "upstream_error",
            "upstream_reset",
            "upstream_error"
        ]
    );
    assert_eq!(
        expect(silent_address, 1, 504, "timeout_error").await,
        ["upstream_error"]
    );
    server.await.unwrap();
}
