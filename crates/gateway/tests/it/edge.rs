//! The edge and the admin listener.

use std::{process::Command, time::Duration};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::stage::{Stage, parsed, whole};

#[tokio::test(flavor = "multi_thread")]
async fn http2_is_spoken() {
    let stage = Stage::set().await;
    let socket = TcpStream::connect(stage.gateway.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let (status, body) = whole(
        sender
            .send_request(stage.message("over http2", true))
            .await
            .unwrap(),
    )
    .await;
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&body).contains("message_stop"));
    drop(sender);
    driver.await.unwrap().unwrap();
    assert_eq!(stage.end().await.all[0]["outcome"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_spoken_where_it_is_configured() {
    let folder = tempfile::tempdir().unwrap();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let tls = format!("[gateway.tls]\ncert = {cert:?}\nkey = {key:?}\n");
    let stage = Stage::before("http://127.0.0.1:1", "k", "", &tls).await;
    let address = stage.gateway.address();
    let probe = tokio::task::spawn_blocking(move || {
        Command::new("curl")
            .args(["--silent", "--show-error", "--head", "--cacert"])
            .arg(cert)
            .args([
                "--resolve",
                &format!("localhost:{}:127.0.0.1", address.port()),
            ])
            .arg(format!(
                "https://localhost:{}/claude/api/hello",
                address.port()
            ))
            .output()
            .unwrap()
    })
    .await
    .unwrap();
    let answer = String::from_utf8_lossy(&probe.stdout).into_owned();
    assert!(
        answer.starts_with("HTTP/2 200"),
        "{answer}{}",
        String::from_utf8_lossy(&probe.stderr)
    );
    let records = stage.end().await;
    assert_eq!(records.all[0]["action"]["name"], "probe");
    assert_eq!(records.all[0]["outcome"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn pings_and_events_arrive_when_they_are_sent() {
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let stage = Stage::before(&url, "k", "", "").await;
    let (go, mut wait) = tokio::sync::mpsc::channel::<()>(1);
    let server = tokio::spawn(async move {
        let (mut socket, _) = upstream.accept().await.unwrap();
        assert!(socket.read(&mut [0; 65536]).await.unwrap() > 0);
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        socket.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..5 {
            let ping = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
            socket
                .write_all(format!("{:x}\r\n{ping}\r\n", ping.len()).as_bytes())
                .await
                .unwrap();
            // The next ping is sent only when this one has been seen on the other side.
            wait.recv().await.unwrap();
        }
        socket.write_all(b"0\r\n\r\n").await.unwrap();
    });
    let response = stage.send(stage.message("x", true)).await;
    let mut body = response.into_body();
    for _ in 0..5 {
        let frame = tokio::time::timeout(Duration::from_secs(5), body.frame()).await;
        let frame = frame.expect("the ping is not held back").unwrap().unwrap();
        assert_eq!(
            frame.into_data().unwrap(),
            "event: ping\ndata: {\"type\":\"ping\"}\n\n"
        );
        go.send(()).await.unwrap();
    }
    drop(body.collect().await);
    server.await.unwrap();
    // No message_stop came, so this was no complete answer, whatever the status said.
    assert_eq!(stage.end().await.all[0]["outcome"], "upstream_reset");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_be_read_in_two_ways_is_refused() {
    let stage = Stage::set().await;
    let send = async |head: &str| {
        let mut socket = TcpStream::connect(stage.gateway.address()).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read =
            tokio::time::timeout(Duration::from_secs(5), socket.read_to_end(&mut answer)).await;
        read.expect("the gate closes the connection").unwrap();
        String::from_utf8_lossy(&answer)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let two_hosts =
        "GET /claude/v1/models HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n";
    assert!(send(two_hosts).await.starts_with("HTTP/1.1 400"));
    let two_lengths = "POST /claude/v1/messages HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabcd";
    assert!(send(two_lengths).await.starts_with("HTTP/1.1 400"));
    let chunked_twice = "POST /claude/v1/messages HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n";
    assert!(send(chunked_twice).await.starts_with("HTTP/1.1 400"));
    let records = stage.end().await;
    assert_eq!(records.all[0]["refusal"]["code"], "malformed_request");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_cannot_record_forwards_nothing_and_says_so() {
    let stage = Stage::set().await;
    let admin = format!("http://{}/readyz", stage.gateway.admin());
    let ready = async || {
        let request = Request::get(&admin).body(Full::<Bytes>::default()).unwrap();
        let (status, body) = whole(stage.client.request(request).await.unwrap()).await;
        (status, parsed(&body))
    };
    assert_eq!(ready().await.0, 200);
    let (status, _) = whole(stage.send(stage.message("while it works", false)).await).await;
    assert_eq!(status, 200);

    // Whoever locks the journal stops the book as surely as a disk that is full.
    let mut locker = Command::new("python3")
        .args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1],isolation_level=None); c.execute('BEGIN EXCLUSIVE'); print('locked',flush=True); sys.stdin.read()"])
        .arg(stage.book().join("journal.db"))
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut locked = [0; 6];
    std::io::Read::read_exact(locker.stdout.as_mut().unwrap(), &mut locked).unwrap();
    let forwarded = stage.upstream.as_ref().unwrap().count();
    let response = stage.send(stage.message("while it does not", false)).await;
    let retry = response.headers()["x-should-retry"].clone();
    let (status, body) = whole(response).await;
    assert_eq!((status, retry.to_str().unwrap()), (503, "true"), "{body:?}");
    assert_eq!(
        stage.upstream.as_ref().unwrap().count(),
        forwarded,
        "nothing was forwarded"
    );
    // The request gave up a moment before the write is as late.
    let red = async {
        loop {
            let (status, body) = ready().await;
            if status == 503 {
                break body;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let body = tokio::time::timeout(Duration::from_secs(10), red)
        .await
        .unwrap();
    assert_ne!(body["checks"]["journal"], Value::from("ok"));
    drop(locker.stdin.take());
    locker.wait().unwrap();
    drop(stage.gateway.shutdown().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn open_answers_come_to_their_end_when_the_gateway_is_told_to_stop() {
    let stage = Stage::set().await;
    let response = stage
        .send(stage.message("[[slow]] one two three", true))
        .await;
    let reading =
        tokio::spawn(async move { response.into_body().collect().await.unwrap().to_bytes() });
    tokio::time::sleep(Duration::from_millis(30)).await;
    let records = stage.end().await;
    let body = reading.await.unwrap();
    assert!(String::from_utf8_lossy(&body).contains("message_stop"));
    assert_eq!(records.all[0]["outcome"], "complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_has_one_gateway() {
    let stage = Stage::set().await;
    let config = format!(
        "[gateway]\nlisten=\"127.0.0.1:0\"\nadmin=\"127.0.0.1:0\"\ndata=\"book\"\n\
         [[issuer]]\nname=\"i\"\nissuer=\"{}\"\naudience=\"a\"\n\
         [[connection]]\nname=\"c\"\nprotocol=\"claude\"\nupstream=\"http://127.0.0.1:1\"\n",
        stage.issuer.issuer_url()
    );
    let plan = tollbook_gateway::Plan::read(&config, stage.folder(), []).unwrap();
    assert!(tollbook_gateway::Gateway::start(plan).await.is_err());
    let (status, _) = whole(stage.send(stage.message("the first goes on", false)).await).await;
    assert_eq!(status, 200);
    assert_eq!(stage.end().await.all.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_streams_beyond_the_drain_deadline_are_in_the_book() {
    const STREAMS: usize = 32;
    // Takes every request and answers none.
    let upstream = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", upstream.local_addr().unwrap());
    let (taken, mut takes) = tokio::sync::mpsc::channel(STREAMS);
    let server = tokio::spawn(async move {
        let mut open = Vec::new();
        loop {
            let (socket, _) = upstream.accept().await.unwrap();
            open.push(socket);
            taken.send(()).await.unwrap();
        }
    });
    let stage = Stage::before(&url, "k", "", "").await;
    let socket = TcpStream::connect(stage.gateway.address()).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(socket))
            .await
            .unwrap();
    let driver = tokio::spawn(connection);
    let answers: Vec<_> = (0..STREAMS)
        .map(|_| tokio::spawn(sender.send_request(stage.message("wait", true))))
        .collect();
    for _ in 0..STREAMS {
        takes.recv().await.unwrap();
    }
    let records = stage.end().await;
    for answer in answers {
        assert!(answer.await.unwrap().is_err());
    }
    assert_eq!(records.all.len(), STREAMS);
    for record in &records.all {
        assert_eq!(record["outcome"], "client_gone");
    }
    // Nothing is left open that the next start would have to close.
    let book =
        tollbook_recording::Config::new(records.folder.path().join("book"), "localhost/tollbook");
    tollbook_recording::Recorder::open(book).unwrap().close();
    let reader = tollbook_recording::Reader::open(records.folder.path().join("book")).unwrap();
    let report = reader.verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
    let mut filter = tollbook_recording::Filter::default();
    filter.limit = u64::MAX;
    let all = reader.exchanges(&filter).unwrap();
    for exchange in all.iter().filter(|one| one.connection != "(gate)") {
        assert_eq!(exchange.outcome.as_deref(), Some("client_gone"));
    }
    server.abort();
    drop(driver.await);
}
