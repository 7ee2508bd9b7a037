//! Masking on the wire, for the connections that ask for it.

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

#[tokio::test(flavor = "multi_thread")]
async fn what_the_upstream_says_is_masked_for_the_caller_too() {
    // The upstream writes a secret that no request held, cut across its events.
    let upstream = ClaudeUpstream::start(Default::default()).await.unwrap();
    let masked = "mask = { wire = \"default\" }";
    let stage = Stage::before(upstream.url(), STANDIN_API_KEY, masked, "").await;
    // Neither half is a secret; the echo of a tool's input joins what the request kept apart.
    let text = r#"[[tool:Bash {"command":"AKIAC4N4RYC4N4RY\u0043\u0034\u004e\u0034"}]]"#;
    let mut request = stage.message("", true);
    let body = serde_json::json!({
        "model": "claude-haiku-4-5", "max_tokens": 64, "stream": true,
        "tools": [{"name": "Bash", "input_schema": {"type": "object"}}],
        "messages": [{"role": "user", "content": text}],
    });
    *request.body_mut() = http_body_util::Full::new(body.to_string().into());
    let (status, answer) = whole(stage.send(request).await).await;
    assert_eq!(status, 200);
    let answer = String::from_utf8(answer.to_vec()).unwrap();
    assert!(!answer.contains("C4N4RYC4N4RYC4N4"), "{answer}");
    assert_eq!(stage.end().await.all[0]["outcome"], "complete");
}
