//! Upstreams that do not answer as they should.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tollbook_exchange::{Code, Outcome, Refusal, Retry};

use crate::{
    allowed, assert_refused, builder, exchange, forward, outcome, send, text,
    upstream::{Upstream, ok, read_request},
};

#[tokio::test]
async fn an_upstream_that_is_not_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let exchange = exchange();
    let mut request = allowed("POST", "/", "{}");
    request.extensions_mut().insert(exchange.clone());
    let response = send(&forward(&url), request).await;
    assert_refused(&response, Code::UpstreamUnreachable);
    let refusal = response.extensions().get::<Refusal>().unwrap();
    assert_eq!(refusal.retry, Retry::Anytime);
    assert_eq!(outcome(&exchange), Some(Outcome::UpstreamError));
    assert_eq!(
        exchange.draft(|draft| draft
            .refusal
            .take()
            .map(|refusal| (refusal.code, refusal.reason))),
        Some((Code::UpstreamUnreachable, "upstream_unreachable"))
    );
}

#[tokio::test]
async fn a_name_nobody_knows_is_unreachable() {
    let response = send(&forward("http://upstream.invalid"), allowed("GET", "/", "")).await;
    assert_refused(&response, Code::UpstreamUnreachable);
    assert!(!text(response).await.contains("upstream.invalid"));
}

#[tokio::test]
async fn an_upstream_that_answers_too_late_is_given_up() {
    let upstream = Upstream::start(|mut stream| async move {
        read_request(&mut stream).await?;
        // Until the gate hangs up.
        stream.read_u8().await.map(drop)
    })
    .await;
    let limit = Duration::from_millis(100);
    let forward = builder(&upstream.url).head_timeout(limit).build().unwrap();
    let response = send(&forward, allowed("POST", "/", "{}")).await;
    assert_refused(&response, Code::UpstreamTimeout);
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_invalid() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx",
        "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n",
        "HTTP/1.1 200",
        "",
    ] {
        let upstream = Upstream::start(move |mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(garbage.as_bytes()).await
        })
        .await;
        let response = send(&forward(&upstream.url), allowed("POST", "/", "{}")).await;
        assert_refused(&response, Code::UpstreamInvalid);
        assert_eq!(upstream.connections(), 1, "{garbage:?} was asked for again");
    }
}

#[tokio::test]
async fn a_request_on_a_connection_that_ends_is_not_sent_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let upstream = Upstream::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_request(&mut stream).await?;
            count.fetch_add(1, Ordering::SeqCst);
            stream.write_all(&ok(b"first")).await?;
            read_request(&mut stream).await?;
            count.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    })
    .await;
    let forward = forward(&upstream.url);
    assert_eq!(
        text(send(&forward, allowed("POST", "/", "{}")).await).await,
        "first"
    );
    tokio::time::sleep(Duration::from_millis(50)).await;
    let response = send(&forward, allowed("POST", "/", "{}")).await;
    assert_refused(&response, Code::UpstreamInvalid);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
    assert_eq!(upstream.connections(), 1);
}
