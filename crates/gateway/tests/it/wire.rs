//! Masking on the wire, for the connections that ask for it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tollbook_testkit::upstream::{ClaudeUpstream, STANDIN_API_KEY};

use crate::stage::{Stage, whole};

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_neither_leaves_nor_comes_back() {
    let upstream = ClaudeUpstream::start(Default::default()).await.unwrap();
    let masked = "mask = { record = \"default\", wire = \"default\" }";
    let stage = Stage::before(upstream.url(), STANDIN_API_KEY, masked, "").await;
    let secret = format!("{}{}", "ghp_", "c4N4ryC4N4ryC4N4ryC4N4ryC4N4ryC4N4ry");
    let text = format!("my key is {secret}, is it safe?");
    let mut answers = Vec::new();
    for stream in [false, true, true] {
        let (status, body) = whole(stage.send(stage.message(&text, stream)).await).await;
        assert_eq!(status, 200);
        answers.push(String::from_utf8(body.to_vec()).unwrap());
    }
    for answer in &answers {
        assert!(!answer.contains(&secret[10..]), "{answer}");
    }
    assert!(
        answers[0].contains("my key is [REDACTED:"),
        "{}",
        answers[0]
    );
    assert!(answers[1].ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"));
    let received = upstream.received();
    assert_eq!(received.len(), 3);
    for request in &received {
        let body = String::from_utf8(request.body.to_vec()).unwrap();
        assert!(
            !body.contains(&secret[10..]) && body.contains("[REDACTED:"),
            "{body}"
        );
    }
    // The same bytes for the same text, or nothing would ever be found in the prompt cache.
    assert_eq!(received[1].body, received[2].body);
    let records = stage.end().await;
    assert!(
        records
            .all
            .iter()
            .all(|record| record["outcome"] == "complete")
    );
}

/// What the caller gets of a stream in which the upstream itself writes a secret, cut across two
/// events; and whether the record has any of it.
async fn told(mask: &str) -> (String, bool) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let delta = |text: &str| {
        format!(
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{{\"type\":\"text_delta\",\"text\":\"{text}\"}}}}\n\n"
        )
    };
    let body = [
        delta("key ghp_c4N4ryC4N4"),
        delta("ryC4N4ryC4N4ryC4N4ryC4N4ry."),
        "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n"
            .to_owned(),
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned(),
    ]
    .concat();
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 65536]).await.unwrap() > 0);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all((head + &body).as_bytes()).await.unwrap();
    });
    let stage = Stage::before(&url, "k", mask, "").await;
    let (status, answer) = whole(stage.send(stage.message("hello", true)).await).await;
    assert_eq!(status, 200);
    server.await.unwrap();
    let records = stage.end().await;
    assert_eq!(records.all[0]["outcome"], "complete");
    let recorded = records.all[0].to_string().contains("C4N4ry");
    (String::from_utf8(answer.to_vec()).unwrap(), recorded)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_says_is_masked_for_the_caller_too() {
    let (answer, recorded) = told("mask = { wire = \"default\" }").await;
    assert!(
        !answer.contains("C4N4ry") && answer.contains("[REDACTED:"),
        "{answer}"
    );
    assert!(!recorded);

    // And only where the connection asks for it; the record is masked either way.
    let (answer, recorded) = told("mask = { wire = \"off\" }").await;
    assert!(
        answer.contains("ghp_c4N4ryC4N4") && !answer.contains("[REDACTED:"),
        "{answer}"
    );
    assert!(!recorded);
}
