//! Sides that break off, break the protocol, or do not read, and a book that cannot be written.

use std::time::Duration;

use tollbook_identity::Reason;
use tollbook_recording::Release;
use tollbook_relay::postgres::{End, Rows};
use tollbook_wire_postgres::Frame;

use crate::support::{self, Client, World, direct, execute, server, sync, told};

fn query(text: &str) -> Frame {
    tollbook_wire_postgres::query(text).unwrap()
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_a_closed_record() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let mut client = world.client().await;
    let who = told(&client.query("SELECT pg_backend_pid()").await);
    let pid = who[1].strip_prefix("D ").unwrap().to_owned();
    client.send([query("SELECT pg_sleep(20)")]).await;
    let mut other = Client::without().await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    other
        .query(&format!("SELECT pg_terminate_backend({pid})"))
        .await;
    // What describes the result may have come.
    let mut last = client.next().await.unwrap();
    if last.tag == b'T' {
        last = client.next().await.unwrap();
    }
    assert_eq!(told(&[last]), ["E FATAL 57P01"]);
    assert!(client.next().await.is_none());
    assert!(matches!(client.ended().await, End::Server));
    let all = world.exchanges(2).await;
    assert_eq!(all[1]["outcome"], "upstream_error");
    assert_eq!(all[1]["sqlstate"], "57P01");
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_to_the_client() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    // A server that breaks off without a word.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stream, accepted) =
        tokio::join!(tokio::net::TcpStream::connect(address), listener.accept());
    let mut client = world.session(stream.unwrap(), direct().await.1, 64 << 10);
    client.send([query("SELECT 1")]).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(accepted);
    let last = client.next().await.unwrap();
    assert_eq!(told(&[last]), ["E FATAL 08006"]);
    assert_eq!(world.exchanges(1).await[0]["outcome"], "upstream_reset");
}

#[tokio::test]
async fn garbage_ends_the_session() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    for garbage in [
        &b"\xff\0\0\0\x04"[..],
        b"Q\0\0\0\x05x",
        b"Z\0\0\0\x05I",
        b"p\0\0\0\x05x",
    ] {
        let mut client = world.client().await;
        client.write(garbage).await;
        let last = client.next().await.unwrap();
        assert_eq!(told(&[last]), ["E FATAL 08P01"]);
        assert!(matches!(client.ended().await, End::Fault(_)));
    }
}

#[tokio::test]
async fn nobody_is_thrown_out_in_the_middle_of_a_statement() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let client = world.client().await;
    client.stop.cancel();
    let mut client = client;
    assert_eq!(told(&[client.next().await.unwrap()]), ["E FATAL 57P01"]);
    assert!(matches!(client.ended().await, End::Stopped));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_run() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let mut client = world.client().await;
    client.query("CREATE TEMP TABLE kept (a int)").await;
    world.recorder.close();
    let got = told(&client.query("INSERT INTO kept VALUES (1)").await);
    assert_eq!(got, ["E ERROR 53100", "Z idle"]);
    let prepared = [
        support::parse("", "SELECT 1"),
        support::bind("", "", &[]),
        execute("", 0),
        sync(),
    ];
    client.send(prepared).await;
    let got = told(&client.until_ready(1).await);
    assert!(got.contains(&"E ERROR 53100".to_owned()), "{got:?}");
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_reading() {
    let Some(_server) = server() else {
        return;
    };
    for release in [
        None,
        Some(Release::new(64 << 10, Duration::from_millis(100))),
    ] {
        let mut choice = support::Choice {
            release,
            ..support::Choice::default()
        };
        choice.options.rows = Rows::First(10);
        let world = World::with(choice);
        let (server, parameters) = direct().await;
        let mut client = world.session(server, parameters, 4 << 10);
        let before = resident();
        client
            .send([query(
                "SELECT repeat('x', 200), n FROM generate_series(1, 100000) n",
            )])
            .await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        let grown = resident().saturating_sub(before);
        assert!(
            grown < 16 << 20,
            "{grown} bytes for a client that does not read"
        );
        let mut rows = 0;
        loop {
            match client.next().await.unwrap().tag {
                b'D' => rows += 1,
                b'Z' => break,
                _ => {}
            }
        }
        assert_eq!(rows, 100_000);
        client.end().await;
        let all = world.exchanges(1).await;
        assert_eq!(all[0]["rows"], 100_000);
        assert_eq!(support::lines(&all[0]).len(), 12);
    }
}

/// Bytes of memory that this process has now.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = status.split_whitespace().nth(1).unwrap().parse().unwrap();
    pages * 4096
}

#[tokio::test]
async fn a_digest_of_the_rows_stands_for_them() {
    let Some(_server) = server() else {
        return;
    };
    let mut choice = support::Choice::default();
    choice.options.rows = Rows::Digest;
    let world = World::with(choice);
    let mut client = world.client().await;
    client.query("SELECT 1 AS a").await;
    client.end().await;
    let all = world.exchanges(1).await;
    let digest = all[0]["rows_digest"].as_str().unwrap();
    assert!(digest.starts_with("hmac-sha256:"));
    assert_eq!(support::lines(&all[0]).len(), 2);
}

#[tokio::test]
async fn a_credential_that_ends_lets_what_runs_end() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::new();
    let (ends, ended) = tokio::sync::oneshot::channel::<()>();
    let (server, parameters) = direct().await;
    let mut client = world.session_of(server, parameters, 64 << 10, async move {
        drop(ended.await);
        Reason::BadSignature.into()
    });
    client.send([query("SELECT pg_sleep(0.5), 1")]).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    ends.send(()).unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    client.send([query("SELECT 2")]).await;
    let got = told(&client.until_ready(1).await);
    assert_eq!(got[1], "D |1");
    assert_eq!(told(&[client.next().await.unwrap()]), ["E FATAL 57P01"]);
    assert!(matches!(client.ended().await, End::Stopped));
    let all = world.exchanges(1).await;
    assert_eq!((all.len(), &all[0]["outcome"]), (1, &"complete".into()));
}

#[tokio::test]
async fn what_is_copied_in_does_not_gather_in_memory() {
    let Some(_server) = server() else {
        return;
    };
    let world = World::with(support::Choice {
        release: None,
        ..support::Choice::default()
    });
    let mut client = world.client().await;
    client.query("CREATE TEMP TABLE much (text text)").await;
    client.send([query("COPY much FROM STDIN")]).await;
    while client.next().await.unwrap().tag != b'G' {}
    let line = format!("{}\n", "x ".repeat(2000));
    let before = resident();
    let mut most = 0;
    for _ in 0..100 {
        let piece = (0..40).map(|_| Frame::new(b'd', line.clone()));
        client.send(piece).await;
        most = most.max(resident().saturating_sub(before));
    }
    client.send([Frame::new(b'c', &b""[..])]).await;
    assert_eq!(told(&client.until_ready(1).await)[0], "C COPY 4000");
    // Other tests may take memory in the same process meanwhile.
    assert!(most < 20 << 20, "{most} bytes for 16 MB that were copied");
    client.end().await;
}
