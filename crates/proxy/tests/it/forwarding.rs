//! What reaches the upstream, and what comes back.

use std::process::Command;

use http::{Request, Response, StatusCode};
use proptest::{
    collection::vec,
    prelude::{any, prop_assert_eq},
    test_runner::{Config, TestRunner},
};
use tollbook_exchange::{Code, Decision, Outcome, Verdict};
use tollbook_proxy::ResponseBody;

use crate::{
    SECRET, allowed, assert_refused, builder, exchange, forward, outcome, send, text,
    upstream::{Upstream, ok},
};

#[tokio::test]
async fn paths_pass_byte_for_byte() {
    let upstream = Upstream::echoing_heads().await;
    let plain = forward(&upstream.url);
    let based = forward(&format!("{}/base/", upstream.url));
    for path in [
        "/v1/a%2Fb/../c//d/%7Ex?q='",
        "/",
        "//",
        "/?",
        "/v1/messages?beta=true",
        "/%2e%2e/./x;y=z/@:!$&'()*+,=?a?b=/../%00",
        "/ä",
    ] {
        let head = text(send(&plain, allowed("GET", path, "")).await).await;
        assert_eq!(head.lines().next(), Some(&*format!("GET {path} HTTP/1.1")));
        let head = text(send(&based, allowed("GET", path, "")).await).await;
        assert_eq!(
            head.lines().next(),
            Some(&*format!("GET /base{path} HTTP/1.1"))
        );
    }
    // Of an absolute address only the path counts.
    let absolute = allowed("GET", "http://elsewhere.example/x?y", "");
    let head = text(send(&plain, absolute).await).await;
    assert!(head.starts_with("GET /x?y HTTP/1.1\r\n"), "{head}");
}

#[test]
fn proxies_of_the_environment_are_not_used() {
    // The environment of this process is shared with other tests.
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "forwarding::paths_pass_byte_for_byte"])
        .envs(
            [
                "http_proxy",
                "HTTP_PROXY",
                "https_proxy",
                "HTTPS_PROXY",
                "all_proxy",
                "ALL_PROXY",
            ]
            .map(|name| (name, "http://127.0.0.1:9")),
        )
        .env_remove("NO_PROXY")
        .env_remove("no_proxy")
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&status.stdout);
    assert!(output.contains("1 passed"), "{output}");
}

#[tokio::test]
async fn targets_without_a_path_are_refused() {
    let upstream = Upstream::echoing_heads().await;
    let forward = forward(&upstream.url);
    for (method, target) in [
        ("OPTIONS", "*"),
        ("CONNECT", "host.example:443"),
        ("CONNECT", "/"),
    ] {
        let response = send(&forward, allowed(method, target, "")).await;
        assert_refused(&response, Code::MalformedRequest);
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn nothing_goes_out_that_was_not_allowed() {
    let upstream = Upstream::echoing_heads().await;
    let forward = forward(&upstream.url);
    let mut unjudged = allowed("POST", "/v1/messages", "{}");
    unjudged.extensions_mut().clear();
    let mut denied = unjudged.clone();
    let decision = Decision::new(Verdict::Deny, Vec::new(), "sha256:");
    denied.extensions_mut().insert(decision);
    for request in [unjudged, denied] {
        assert_refused(&send(&forward, request).await, Code::Misassembled);
    }
    assert_eq!(upstream.connections(), 0);
}

#[tokio::test]
async fn the_upstream_sees_its_own_credential_and_host_only() {
    let upstream = Upstream::echoing_heads().await;
    let mut request = allowed("POST", "/v1/messages", "{}");
    for (name, value) in [
        ("host", "gate.example"),
        ("authorization", "Bearer callers-own"),
        ("x-api-key", "callers-own"),
        ("cookie", "callers-own"),
        ("connection", "x-api-key, content-length, x-private"),
        ("x-private", "callers-own"),
        ("content-length", "2"),
        ("expect", "100-continue"),
        ("te", "trailers"),
        ("accept-encoding", "gzip, br"),
        ("x-forwarded-for", "callers-own"),
        ("anthropic-version", "2023-06-01"),
        ("anthropic-beta", "oauth-2025-04-20"),
        ("anthropic-beta", "other"),
    ] {
        let headers = request.headers_mut();
        headers.append(name, value.parse().unwrap());
    }
    let head = text(send(&forward(&upstream.url), request).await).await;
    let host = upstream.url.trim_start_matches("http://");
    assert_eq!(
        head,
        format!(
            "POST /v1/messages HTTP/1.1\r\n\
             anthropic-version: 2023-06-01\r\n\
             anthropic-beta: other\r\n\
             accept-encoding: identity\r\n\
             content-length: 2\r\n\
             x-api-key: {SECRET}\r\n\
             host: {host}\r\n\r\n"
        )
    );
}

#[tokio::test]
async fn without_a_body_only_methods_that_expect_one_tell_a_length() {
    let upstream = Upstream::echoing_heads().await;
    let forward = forward(&upstream.url);
    for (method, told) in [
        ("GET", false),
        ("HEAD", false),
        ("DELETE", false),
        ("POST", true),
    ] {
        let mut request = allowed(method, "/", "");
        request
            .headers_mut()
            .insert("content-length", "0".parse().unwrap());
        let response = send(&forward, request).await;
        if method == "HEAD" {
            assert!(response.headers().contains_key("content-length"));
            continue;
        }
        let head = text(response).await;
        assert_eq!(head.contains("content-length: 0"), told, "{method}: {head}");
        assert!(!head.contains("transfer-encoding"), "{method}: {head}");
    }
}

#[tokio::test]
async fn the_credential_is_never_echoed() {
    let upstream = Upstream::answering(|_, _| {
        format!(
            "HTTP/1.1 200 OK\r\nx-echo: key={SECRET};\r\nset-cookie: a=b\r\nx-tollbook-exchange: forged\r\n\
             request-id: req_1\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
             2\r\nok\r\n0\r\nx-sum: 7\r\nx-late-echo: {SECRET}\r\n\r\n"
        )
        .into_bytes()
    })
    .await;
    let response = send(&forward(&upstream.url), allowed("GET", "/", "")).await;
    assert_eq!(names(&response), ["request-id", "trailer"]);
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    let trailers = body.trailers().unwrap();
    assert_eq!(trailers.len(), 1);
    assert_eq!(trailers["x-sum"], "7");
    assert_eq!(body.to_bytes(), "ok");
}

fn names(response: &Response<ResponseBody>) -> Vec<&str> {
    response
        .headers()
        .keys()
        .map(|name| name.as_str())
        .collect()
}

#[tokio::test]
async fn redirects_pass_and_are_not_followed() {
    let elsewhere = Upstream::echoing_heads().await;
    let location = elsewhere.url.clone();
    let upstream = Upstream::answering(move |_, _| {
        format!(
            "HTTP/1.1 307 Temporary Redirect\r\nlocation: {location}/x\r\ncontent-length: 0\r\n\r\n"
        )
        .into_bytes()
    })
    .await;
    let response = send(&forward(&upstream.url), allowed("POST", "/", "{}")).await;
    assert_eq!(response.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(
        response.headers()["location"],
        format!("{}/x", elsewhere.url)
    );
    assert_eq!(elsewhere.connections(), 0);
    assert_eq!(upstream.connections(), 1);
}

#[tokio::test]
async fn errors_of_the_upstream_pass_as_they_are() {
    let upstream = Upstream::answering(|_, _| {
        b"HTTP/1.1 529 Busy\r\nretry-after: 3\r\ncontent-length: 4\r\n\r\nbusy".to_vec()
    })
    .await;
    let exchange = exchange();
    let mut request = allowed("POST", "/", "{}");
    request.extensions_mut().insert(exchange.clone());
    let response = send(&forward(&upstream.url), request).await;
    assert_eq!(response.status().as_u16(), 529);
    assert_eq!(response.headers()["retry-after"], "3");
    assert_eq!(text(response).await, "busy");
    assert_eq!(outcome(&exchange), Some(Outcome::UpstreamError));
}

#[tokio::test]
async fn connections_are_used_again() {
    let upstream = Upstream::echoing_heads().await;
    let forward = forward(&upstream.url);
    for _ in 0..3 {
        text(send(&forward, allowed("GET", "/", "")).await).await;
        // The connection returns to the pool once its own task has seen the end of the answer.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn bodies_pass_byte_for_byte_in_any_pieces() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let upstream = runtime.block_on(Upstream::answering(|head, body| {
        // The request says in which pieces its body is to come back.
        let sizes = head
            .lines()
            .find_map(|line| line.strip_prefix("x-pieces: "))
            .unwrap_or_default();
        let mut rest = body;
        let mut answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
        for size in sizes.split(',').filter_map(|size| size.parse().ok()) {
            let (piece, after) = rest.split_at(rest.len().min(size));
            rest = after;
            chunk(&mut answer, piece);
        }
        chunk(&mut answer, rest);
        answer.extend(b"0\r\n\r\n");
        answer
    }));
    let forward = builder(&upstream.url).build().unwrap();
    let bodies = (vec(any::<u8>(), 0..70_000), vec(1usize..9_000, 0..8));
    TestRunner::new(Config::with_cases(48))
        .run(&bodies, |(body, sizes)| {
            let sizes: Vec<String> = sizes.iter().map(usize::to_string).collect();
            let mut request = allowed("POST", "/", body.clone());
            let pieces = format!("0{}", sizes.join(",")).parse().unwrap();
            request.headers_mut().insert("x-pieces", pieces);
            let back = runtime.block_on(async {
                let response = send(&forward, request).await;
                let body = http_body_util::BodyExt::collect(response.into_body()).await;
                body.unwrap().to_bytes()
            });
            prop_assert_eq!(back, body);
            Ok(())
        })
        .unwrap();
}

fn chunk(answer: &mut Vec<u8>, piece: &[u8]) {
    if !piece.is_empty() {
        answer.extend(format!("{:x}\r\n", piece.len()).as_bytes());
        answer.extend(piece);
        answer.extend(b"\r\n");
    }
}

#[tokio::test]
async fn version_and_reason_of_the_upstream_stay_behind() {
    let upstream = Upstream::answering(|_, _| {
        format!("HTTP/1.0 200 {SECRET}\r\ncontent-length: 0\r\n\r\n").into_bytes()
    })
    .await;
    let response = send(&forward(&upstream.url), allowed("GET", "/", "")).await;
    assert_eq!(response.version(), http::Version::HTTP_11);
    assert!(!format!("{response:?}").contains(SECRET));
    assert!(response.extensions().is_empty());
}

#[tokio::test]
async fn extensions_of_the_request_stay_behind() {
    let upstream = Upstream::answering(|_, _| ok(b"")).await;
    let exchange = exchange();
    let mut request: Request<_> = allowed("GET", "/", "");
    request.extensions_mut().insert(exchange.clone());
    let response = send(&forward(&upstream.url), request).await;
    text(response).await;
    // Nothing in the pool keeps the exchange open.
    assert_eq!(outcome(&exchange), None);
    assert!(!format!("{:?}", forward(&upstream.url)).contains(SECRET));
}
