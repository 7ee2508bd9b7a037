//! Answers that come in pieces.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::{Notify, mpsc},
    time::{sleep, timeout},
};
use tollbook_exchange::Outcome;
use tollbook_proxy::ResponseBody;

use crate::{
    allowed, builder, exchange, forward, outcome, send,
    upstream::{Upstream, read_request},
};

const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

async fn next(body: &mut ResponseBody) -> Option<Bytes> {
    let frame = timeout(Duration::from_secs(5), body.frame()).await;
    let frame = frame.expect("a frame in time")?;
    Some(frame.unwrap().into_data().unwrap())
}

#[tokio::test]
async fn every_event_passes_before_the_next_is_sent() {
    let (received, wait) = mpsc::channel::<()>(1);
    let wait = Arc::new(tokio::sync::Mutex::new(wait));
    let upstream = Upstream::start(move |mut stream| {
        let wait = Arc::clone(&wait);
        async move {
            read_request(&mut stream).await?;
            stream.write_all(HEAD).await?;
            for _ in 0..3 {
                stream.write_all(b"f\r\nevent: ping\r\n\r\n\r\n").await?;
                // The next is sent only when this one has arrived.
                wait.lock().await.recv().await;
            }
            stream.write_all(b"0\r\n\r\n").await
        }
    })
    .await;
    let response = send(&forward(&upstream.url), allowed("POST", "/", "{}")).await;
    assert_eq!(response.headers()["x-accel-buffering"], "no");
    let mut body = response.into_body();
    for _ in 0..3 {
        assert_eq!(
            next(&mut body).await.as_deref(),
            Some(&b"event: ping\r\n\r\n"[..])
        );
        received.send(()).await.unwrap();
    }
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn a_silent_upstream_ends_the_stream_with_an_error() {
    let upstream = Upstream::start(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(HEAD).await?;
        stream.write_all(b"2\r\nhi\r\n").await?;
        // Until the gate hangs up.
        stream.read_u8().await.map(drop)
    })
    .await;
    let limit = Duration::from_millis(150);
    let forward = builder(&upstream.url).idle_timeout(limit).build().unwrap();
    let exchange = exchange();
    let mut request = allowed("POST", "/", "{}");
    request.extensions_mut().insert(exchange.clone());
    let mut body = send(&forward, request).await.into_body();
    assert_eq!(next(&mut body).await.as_deref(), Some(&b"hi"[..]));
    let error = body.frame().await.unwrap().unwrap_err();
    assert!(error.is_timeout());
    assert_eq!(
        error.to_string(),
        "the upstream fell silent within its answer"
    );
    assert!(body.frame().await.is_none());
    assert_eq!(outcome(&exchange), Some(Outcome::UpstreamReset));
}

#[tokio::test]
async fn only_the_silence_is_limited_and_not_the_whole() {
    let upstream = Upstream::start(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(HEAD).await?;
        for _ in 0..5 {
            sleep(Duration::from_millis(100)).await;
            stream.write_all(b"2\r\nhi\r\n").await?;
        }
        stream.write_all(b"0\r\n\r\n").await
    })
    .await;
    let limit = Duration::from_millis(300);
    let forward = builder(&upstream.url)
        .head_timeout(limit)
        .idle_timeout(limit)
        .build()
        .unwrap();
    let mut body = send(&forward, allowed("POST", "/", "{}")).await.into_body();
    for _ in 0..5 {
        assert_eq!(next(&mut body).await.as_deref(), Some(&b"hi"[..]));
    }
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn a_slow_caller_is_not_taken_for_a_silent_upstream() {
    let upstream = Upstream::start(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(HEAD).await?;
        sleep(Duration::from_millis(50)).await;
        stream.write_all(b"2\r\nhi\r\n").await?;
        sleep(Duration::from_millis(500)).await;
        stream.write_all(b"2\r\nho\r\n0\r\n\r\n").await
    })
    .await;
    let limit = Duration::from_millis(300);
    let forward = builder(&upstream.url).idle_timeout(limit).build().unwrap();
    let mut body = send(&forward, allowed("POST", "/", "{}")).await.into_body();
    assert_eq!(next(&mut body).await.as_deref(), Some(&b"hi"[..]));
    // Longer than the limit; but nobody waited for the upstream.
    sleep(Duration::from_millis(350)).await;
    assert_eq!(next(&mut body).await.as_deref(), Some(&b"ho"[..]));
    assert_eq!(next(&mut body).await, None);
}

#[tokio::test]
async fn an_answer_that_breaks_off_ends_with_an_error() {
    for head in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\nnonsense\r\n",
    ] {
        let upstream = Upstream::start(move |mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(head.as_bytes()).await
        })
        .await;
        let exchange = exchange();
        let mut request = allowed("POST", "/", "{}");
        request.extensions_mut().insert(exchange.clone());
        let mut body = send(&forward(&upstream.url), request).await.into_body();
        assert_eq!(next(&mut body).await.as_deref(), Some(&b"hi"[..]));
        let error = body.frame().await.unwrap().unwrap_err();
        assert!(!error.is_timeout());
        assert_eq!(error.to_string(), "the upstream's answer broke off");
        assert!(body.frame().await.is_none());
        assert_eq!(outcome(&exchange), Some(Outcome::UpstreamReset));
    }
}

#[tokio::test]
async fn the_upstream_is_not_read_ahead_of_the_caller() {
    const TOTAL: usize = 64 << 20;
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let upstream = Upstream::start(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_request(&mut stream).await?;
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {TOTAL}\r\n\r\n");
            stream.write_all(head.as_bytes()).await?;
            let piece = vec![b'x'; 64 << 10];
            for _ in 0..TOTAL / piece.len() {
                stream.write_all(&piece).await?;
                count.fetch_add(piece.len(), Ordering::SeqCst);
            }
            Ok(())
        }
    })
    .await;
    let response = send(&forward(&upstream.url), allowed("GET", "/", "")).await;
    sleep(Duration::from_millis(300)).await;
    let ahead = written.load(Ordering::SeqCst);
    println!("{ahead} bytes were written before anybody read");
    // What the buffers of the kernel and of the connection hold.
    assert!(ahead < TOTAL / 4, "{ahead} bytes were read ahead");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body.len(), TOTAL);
}

#[tokio::test]
async fn a_caller_that_leaves_takes_the_upstream_with_it() {
    let gone = Arc::new(Notify::new());
    let notify = Arc::clone(&gone);
    let upstream = Upstream::start(move |mut stream| {
        let notify = Arc::clone(&notify);
        async move {
            read_request(&mut stream).await?;
            stream.write_all(HEAD).await?;
            stream.write_all(b"2\r\nhi\r\n").await?;
            let end = stream.read_u8().await;
            assert_eq!(
                end.map_err(|error| error.kind()),
                Err(io::ErrorKind::UnexpectedEof)
            );
            notify.notify_one();
            Ok(())
        }
    })
    .await;
    let mut body = send(&forward(&upstream.url), allowed("POST", "/", "{}"))
        .await
        .into_body();
    assert_eq!(next(&mut body).await.as_deref(), Some(&b"hi"[..]));
    drop(body);
    timeout(Duration::from_secs(5), gone.notified())
        .await
        .unwrap();
}
