//! The Messages API, whole and streamed.

use std::time::Duration;

use serde_json::{Value, json};
use tollbook_testkit::upstream::{ClaudeUpstream, UpstreamConfig};

use crate::client::{Answer, ask, gunzip, post, request, send, start};

const SECRET: &str = "my key is ghp_0123456789abcdefghijABCDEFGHIJ012345, na\u{ef}ve \u{1f600}";

#[tokio::test]
async fn an_answer_echoes_the_prompt() {
    let upstream = start().await;
    let answer = ask(&upstream, SECRET, false).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), "application/json");
    let message = answer.json();
    assert_eq!(message["content"], json!([{"type":"text","text":SECRET}]));
    assert_eq!(message["stop_reason"], "end_turn");
    assert_eq!(message["model"], "claude-haiku-4-5");
    for (name, prefix) in [
        ("request-id", "req_"),
        ("anthropic-organization-id", "5ca1ab1e"),
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-output-tokens-remaining", "399999"),
        ("anthropic-ratelimit-tokens-reset", "20"),
    ] {
        assert!(answer.header(name).starts_with(prefix), "{name}");
    }
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_stream_follows_the_published_order() {
    let upstream = start().await;
    let answer = ask(&upstream, SECRET, true).await;
    assert_eq!(
        answer.header("content-type"),
        "text/event-stream; charset=utf-8"
    );
    assert!(answer.whole);
    let block = [
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
    ];
    assert_eq!(
        answer.order(),
        [
            &["message_start"][..],
            &block,
            &["message_delta", "message_stop"]
        ]
        .concat()
    );
    assert_eq!(answer.deltas("text"), SECRET);

    let events = answer.events();
    assert_eq!(events[2].0, "ping");
    let (first, last) = (&events[0].1["message"], &events[events.len() - 2].1);
    assert_eq!(
        (&first["content"], &first["stop_reason"]),
        (&json!([]), &Value::Null)
    );
    assert_eq!(last["delta"]["stop_reason"], "end_turn");
    for usage in [&first["usage"], &last["usage"]] {
        for key in [
            "input_tokens",
            "cache_creation_input_tokens",
            "cache_read_input_tokens",
        ] {
            assert!(usage[key].is_u64(), "{key}");
        }
    }
    assert!(first["usage"]["output_tokens"].as_u64() < last["usage"]["output_tokens"].as_u64());
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_secret_is_cut_at_places_that_the_seed_decides() {
    let mut cuts = Vec::new();
    for seed in [1, 1, 2] {
        let config = UpstreamConfig {
            seed,
            ..UpstreamConfig::default()
        };
        let upstream = ClaudeUpstream::start(config).await.unwrap();
        let answer = ask(&upstream, SECRET, true).await;
        let events = answer.events();
        let pieces = events
            .iter()
            .filter_map(|(_, data)| data["delta"]["text"].as_str());
        cuts.push(pieces.map(str::to_owned).collect::<Vec<_>>());
        upstream.shutdown().await;
    }
    assert_eq!(cuts[0], cuts[1]);
    assert_ne!(cuts[0], cuts[2]);
    assert!(
        cuts[0]
            .iter()
            .all(|piece| !piece.contains("ghp_0123456789"))
    );
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_answered() {
    let upstream = start().await;
    let prompt = r#"look [[tool:Bash {"command":"echo \"a\" && ls"}]]"#;
    let answer = ask(&upstream, prompt, true).await;
    assert_eq!(answer.deltas("text"), "look");
    assert_eq!(
        answer.deltas("partial_json"),
        r#"{"command":"echo \"a\" && ls"}"#
    );
    let events = answer.events();
    let pieces = events
        .iter()
        .filter(|(_, data)| data["delta"]["partial_json"].is_string());
    assert!(pieces.count() > 3);
    let call = events
        .iter()
        .find(|(_, data)| data["content_block"]["type"] == "tool_use")
        .map(|(_, data)| data["content_block"].clone())
        .unwrap();
    assert_eq!(
        (&call["name"], &call["input"]),
        (&json!("Bash"), &json!({}))
    );
    assert_eq!(
        events[events.len() - 2].1["delta"]["stop_reason"],
        "tool_use"
    );

    let whole = ask(&upstream, prompt, false).await.json();
    assert_eq!(
        whole["content"][1]["input"],
        json!({"command":"echo \"a\" && ls"})
    );
    assert_eq!(whole["stop_reason"], "tool_use");

    let next = json!({"model":"claude-haiku-4-5","max_tokens":9,"tools":[{"name":"Bash"}],
        "messages":[{"role":"user","content":prompt},
            {"role":"assistant","content":[{"type":"tool_use","id":call["id"],"name":"Bash","input":{}}]},
            {"role":"user","content":[{"type":"tool_result","tool_use_id":call["id"],"content":"a.txt"}]}]});
    let end = post(&upstream, &next).await.json();
    assert_eq!(
        end["content"],
        json!([{"type":"text","text":"The tool answered: a.txt"}])
    );
    assert_eq!(end["stop_reason"], "end_turn");
    upstream.shutdown().await;
}

#[tokio::test]
async fn thoughts_come_first_and_signed() {
    let upstream = start().await;
    let answer = ask(&upstream, "[[thinking]] hello", true).await;
    let starts: Vec<Value> = answer
        .events()
        .into_iter()
        .filter(|(name, _)| name == "content_block_start")
        .map(|(_, data)| data["content_block"]["type"].clone())
        .collect();
    assert_eq!(starts, ["thinking", "text"]);
    assert_eq!(answer.deltas("thinking"), "The user says: hello");
    assert!(answer.deltas("signature").len() > 100);

    let whole = ask(&upstream, "[[thinking]] hello", false).await.json();
    assert_eq!(whole["content"][0]["thinking"], "The user says: hello");
    assert_eq!(whole["content"][1]["text"], "hello");
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_prompt_can_ask_for_an_error() {
    let upstream = start().await;
    for (word, status, kind) in [
        ("[[429]]", 429, "rate_limit_error"),
        ("[[500]]", 500, "api_error"),
        ("[[529]]", 529, "overloaded_error"),
    ] {
        for stream in [false, true] {
            let answer = ask(&upstream, word, stream).await;
            assert_eq!(answer.status, status);
            let body = answer.json();
            assert_eq!(
                (&body["type"], &body["error"]["type"]),
                (&json!("error"), &json!(kind))
            );
            assert_eq!(body["request_id"], answer.header("request-id"));
            assert_eq!(answer.header("retry-after") == "1", status == 429);
        }
    }
    upstream.shutdown().await;
}

/// The names of events up to the last one, and the text that came.
fn broken(answer: &Answer) -> (Vec<String>, String) {
    (answer.order(), answer.deltas("text"))
}

#[tokio::test]
async fn a_stream_can_end_in_an_error_event() {
    let upstream = start().await;
    let answer = ask(&upstream, "[[error]] some text that is long enough", true).await;
    assert!(answer.whole);
    let (order, text) = broken(&answer);
    assert_eq!(order.last().map(String::as_str), Some("error"));
    assert!(!text.is_empty() && "some text that is long enough".starts_with(&text));
    assert!(!order.contains(&"message_stop".to_owned()));
    assert_eq!(ask(&upstream, "[[error]]", false).await.status, 529);

    // Without a text it comes in the last call; clients still make the calls before it.
    let answer = ask(
        &upstream,
        "[[error]][[tool:Bash {\"n\":1}]][[tool:Bash {\"n\":2222222222}]]",
        true,
    )
    .await;
    let order = answer.order();
    assert_eq!(order.last().map(String::as_str), Some("error"));
    let stops = order.iter().filter(|name| *name == "content_block_stop");
    assert_eq!(stops.count(), 1);
    let input = answer.deltas("partial_json");
    assert!(input.starts_with("{\"n\":1}{") && !input.ends_with('}'));
    upstream.shutdown().await;
}

#[tokio::test]
async fn an_answer_can_be_cut_off() {
    let upstream = start().await;
    let answer = ask(&upstream, "[[cut]] some text that is long enough", true).await;
    assert!(!answer.whole);
    let (order, text) = broken(&answer);
    assert_eq!(
        order.last().map(String::as_str),
        Some("content_block_delta")
    );
    assert!(!text.is_empty() && text.len() < 28);

    let answer = ask(&upstream, "[[cut]] x", false).await;
    assert!(!answer.whole && !answer.body.is_empty());
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_slow_stream_comes_event_by_event_with_pings() {
    let upstream = start().await;
    let answer = ask(
        &upstream,
        "[[slow]] a text of several pieces, as many as need be",
        true,
    )
    .await;
    let events = answer.events();
    assert!(answer.times.len() >= events.len());
    let spread = answer.times[answer.times.len() - 1] - answer.times[0];
    assert!(spread > Duration::from_millis(50) * 8, "{spread:?}");
    assert!(events.iter().filter(|(name, _)| name == "ping").count() > 1);
    upstream.shutdown().await;
}

#[tokio::test]
async fn an_answer_can_be_zipped_without_being_asked() {
    let upstream = start().await;
    for stream in [true, false] {
        let mut answer = ask(&upstream, "[[gzip]] hello there", stream).await;
        assert_eq!(answer.header("content-encoding"), "gzip");
        answer.body = gunzip(&answer.body);
        if stream {
            assert_eq!(answer.deltas("text"), "hello there");
            assert_eq!(
                answer.order().last().map(String::as_str),
                Some("message_stop")
            );
        } else {
            assert_eq!(answer.json()["content"][0]["text"], "hello there");
        }
    }
    upstream.shutdown().await;
}

#[tokio::test]
async fn long_answers_and_refusals() {
    let upstream = start().await;
    assert_eq!(
        ask(&upstream, "[[long:64]] abc", true)
            .await
            .deltas("text")
            .len(),
        65_536
    );
    let refused = ask(&upstream, "[[refusal]] no", false).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["stop_reason"]),
        (200, &json!("refusal"))
    );
    upstream.shutdown().await;
}

#[tokio::test]
async fn what_the_api_refuses_is_refused() {
    let upstream = start().await;
    let good =
        json!({"model":"claude-x","max_tokens":1,"messages":[{"role":"user","content":"x"}]});
    let mut cases = vec![
        (good.to_string(), 200),
        ("{".to_owned(), 400),
        ("[]".to_owned(), 400),
    ];
    for (field, value, status) in [
        ("model", Value::Null, 400),
        ("model", json!("gpt-4"), 404),
        ("max_tokens", json!("1"), 400),
        ("messages", json!([]), 400),
        ("messages", Value::Null, 400),
    ] {
        let mut body = good.clone();
        body[field] = value;
        cases.push((body.to_string(), status));
    }
    for (body, status) in cases {
        let answer = send(&upstream, request("POST", "/v1/messages", body.clone()))
            .await
            .unwrap();
        assert_eq!(answer.status, status, "{body}");
    }
    let large = vec![b' '; (32 << 20) + 1];
    // The server may close before all is sent, so that no answer can be read.
    if let Ok(answer) = send(&upstream, request("POST", "/v1/messages", large)).await {
        assert_eq!(answer.status, 413);
    }
    upstream.shutdown().await;
}
