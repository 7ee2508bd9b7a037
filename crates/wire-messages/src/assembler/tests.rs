use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use tollbook_sse::Splitter;

use super::*;
use crate::{Input, error};

fn feed(assembler: &mut Assembler, kind: &str, data: &Value) {
    let text = format!("event: {kind}\ndata: {data}\n\n");
    assembler.event(&Frame::from_bytes(Bytes::from(text)));
}

fn assembled(events: &[Value]) -> (StreamEnd, Answer) {
    let mut assembler = Assembler::new(Endpoint::MessagesCreate);
    for event in events {
        feed(&mut assembler, event["type"].as_str().unwrap(), event);
    }
    (assembler.end(), assembler.finish())
}

fn start() -> Value {
    json!({"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant",
        "model":"claude-served","content":[],"stop_reason":null,"stop_sequence":null,
        "usage":{"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":1,
            "server_tool_use":null,"service_tier":"standard"}}})
}

fn block(index: u64, block: Value) -> Value {
    json!({"type":"content_block_start","index":index,"content_block":block})
}

fn delta(index: u64, kind: &str, field: &str, piece: &str) -> Value {
    json!({"type":"content_block_delta","index":index,"delta":{"type":kind,field:piece}})
}

fn finish(reason: &str) -> [Value; 2] {
    [
        json!({"type":"message_delta","delta":{"stop_reason":reason,"stop_sequence":null},
            "usage":{"output_tokens":25,"cache_read_input_tokens":null,"later_key":{"a":1}}}),
        json!({"type":"message_stop"}),
    ]
}

/// A stream with a block of every kind, in order and with everything between.
fn stream() -> Vec<Value> {
    let mut events = vec![
        start(),
        json!({"type":"ping"}),
        block(0, json!({"type":"thinking","thinking":"","signature":""})),
        delta(0, "thinking_delta", "thinking", "hm"),
        delta(0, "thinking_delta", "thinking", "m."),
        delta(0, "signature_delta", "signature", "Eq=="),
        json!({"type":"content_block_stop","index":0}),
        block(1, json!({"type":"text","text":""})),
        delta(1, "text_delta", "text", "one "),
        json!({"type":"ping"}),
        delta(1, "text_delta", "text", "t\u{f6}o"),
        json!({"type":"content_block_stop","index":1}),
        block(
            2,
            json!({"type":"tool_use","id":"toolu_1","name":"Bash","input":{}}),
        ),
        delta(2, "input_json_delta", "partial_json", ""),
        delta(2, "input_json_delta", "partial_json", "{\"comm"),
        delta(2, "input_json_delta", "partial_json", "and\":\"ls\"}"),
        json!({"type":"content_block_stop","index":2}),
        block(
            3,
            json!({"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}),
        ),
        delta(3, "input_json_delta", "partial_json", "{\"query\":\"x\"}"),
        json!({"type":"content_block_stop","index":3}),
        block(4, json!({"type":"redacted_thinking","data":"opaque"})),
        json!({"type":"content_block_stop","index":4}),
    ];
    events.extend(finish("tool_use"));
    events
}

#[test]
fn a_stream_becomes_the_answer_it_told() {
    let (end, answer) = assembled(&stream());
    assert_eq!(end, StreamEnd::Complete);
    assert_eq!(answer.ignored, 0);
    assert_eq!(
        Value::from(answer.into_result(Some("claude-asked"))),
        json!({
            "model": {"requested":"claude-asked","served":"claude-served"},
            "usage": {"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":25,
                "server_tool_use":null,"service_tier":"standard","later_key":{"a":1}},
            "stop_reason": "tool_use",
            "answer": {"id":"msg_1","role":"assistant","content":[
                {"type":"thinking","thinking":"hmm.","signature":"Eq=="},
                {"type":"text","text":"one t\u{f6}o"},
                {"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}},
                {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search",
                    "input":{"query":"x"}},
                {"type":"redacted_thinking","data":"opaque"}]},
            "tool_calls": [{"id":"toolu_1","name":"Bash","input":{"command":"ls"}}]
        })
    );
}

#[test]
fn a_whole_body_becomes_the_same_answer() {
    let (_, streamed) = assembled(&stream());
    let body = json!({"id":"msg_1","type":"message","role":"assistant","model":"claude-served",
        "content":[{"type":"thinking","thinking":"hmm.","signature":"Eq=="},
            {"type":"text","text":"one t\u{f6}o"},
            {"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls"}},
            {"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{"query":"x"}},
            {"type":"redacted_thinking","data":"opaque"}],
        "stop_reason":"tool_use","stop_sequence":null,
        "usage":{"input_tokens":9,"cache_read_input_tokens":4,"output_tokens":25,
            "server_tool_use":null,"service_tier":"standard","later_key":{"a":1}}});
    let mut assembler = Assembler::new(Endpoint::MessagesCreate);
    assembler.document(body.to_string().as_bytes());
    assert_eq!(assembler.end(), StreamEnd::Complete);
    let whole = assembler.finish();
    assert_eq!(whole.into_result(None), streamed.into_result(None));
}

#[test]
fn a_stream_that_ends_early_is_broken_wherever_it_is_cut() {
    let events = stream();
    for cut in 0..events.len() - 1 {
        assert_eq!(assembled(&events[..cut]).0, StreamEnd::Broken, "{cut}");
    }
    let (_, answer) = assembled(&events[..15]);
    assert_eq!(answer.stop_reason, None);
    let Some(Block::ToolUse { input, .. }) = answer.content.last() else {
        panic!("the call has begun");
    };
    assert!(*input == Input::Raw("{\"comm".to_owned()));
}

#[test]
fn an_error_ends_a_stream_and_keeps_what_came_before() {
    let mut assembler = Assembler::new(Endpoint::MessagesCreate);
    for event in &stream()[..9] {
        feed(&mut assembler, "x", event);
    }
    let event = error::event(529, "Overloaded", "req_1");
    assembler.event(&Frame::from_bytes(event.into()));
    assert_eq!(assembler.end(), StreamEnd::ErrorEvent);
    let result = assembler.finish().into_result(None);
    let expected = json!({"type":"overloaded_error","message":"Overloaded"});
    assert_eq!(result["error"], expected);
    assert_eq!(result["answer"]["content"][1]["text"], "one ");
}

#[test]
fn an_error_body_is_an_error() {
    let mut assembler = Assembler::new(Endpoint::MessagesCreate);
    assembler.document(&error::body(429, "slow down", "req_1"));
    assert_eq!(assembler.end(), StreamEnd::ErrorEvent);
    let result = assembler.finish().into_result(Some("m"));
    assert_eq!(
        Value::from(result),
        json!({"model":{"requested":"m"},
            "error":{"type":"rate_limit_error","message":"slow down"}})
    );
    // An error of another form is still one.
    let (end, answer) = assembled(&[json!({"type":"error","error":"gone"})]);
    assert_eq!(end, StreamEnd::ErrorEvent);
    assert_eq!(answer.error.unwrap().kind, "unknown");
}

#[test]
fn a_count_of_tokens_is_usage() {
    let mut assembler = Assembler::new(Endpoint::MessagesCountTokens);
    assembler.document(br#"{"input_tokens":2095}"#);
    assert_eq!(assembler.end(), StreamEnd::Complete);
    let result = assembler.finish().into_result(None);
    assert_eq!(Value::from(result), json!({"usage":{"input_tokens":2095}}));
}

#[test]
fn of_other_answers_only_an_error_is_kept() {
    let mut assembler = Assembler::new(Endpoint::FileContent);
    assembler.document(b"\x00 any bytes");
    assert_eq!(assembler.end(), StreamEnd::Complete);
    assert!(assembler.finish().into_result(None).is_empty());

    let mut assembler = Assembler::new(Endpoint::BatchGet);
    assembler.document(&error::body(404, "no such batch", "req_1"));
    assert_eq!(assembler.end(), StreamEnd::ErrorEvent);
}

#[test]
fn what_is_unknown_is_counted_and_breaks_nothing() {
    let mut events = stream();
    let unknown = [
        json!({"type":"session_update","x":1}),
        delta(1, "citations_delta", "citation", "x"),
        delta(9, "text_delta", "text", "no such block"),
        json!({"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":7}}),
        json!({"type":"content_block_start","index":1,"content_block":{"type":"text","text":"again"}}),
        json!({"type":"content_block_start","content_block":{}}),
        json!({"type":"content_block_delta","index":"1","delta":null}),
    ];
    for event in &unknown {
        events.insert(10, event.clone());
    }
    let (end, answer) = assembled(&events);
    assert_eq!(end, StreamEnd::Complete);
    assert_eq!(answer.ignored, unknown.len() as u64);
    let (_, clean) = assembled(&stream());
    assert_eq!(answer.content, clean.content);

    let mut assembler = Assembler::new(Endpoint::MessagesCreate);
    for text in [
        "event: x\ndata: {\n\n",
        "data: [1]\n\n",
        "event: message_stop\n\n",
        ": hi\n\n",
    ] {
        assembler.event(&Frame::from_bytes(Bytes::from(text)));
    }
    for body in [
        &b"<html>"[..],
        b"[]",
        b"{}",
        br#"{"data":[],"has_more":false}"#,
        b"",
    ] {
        assembler.document(body);
    }
    assert_eq!(assembler.end(), StreamEnd::Broken);
    let answer = assembler.finish();
    assert_eq!(answer.ignored, 8);
    assert!(answer.into_result(None).is_empty());
}

#[test]
fn a_tool_input_with_two_readings_stays_text() {
    for pieces in [r#"{"a":1,"a":2}"#, r#"{"a":"#, "{} {}", "nonsense"] {
        let (_, answer) = assembled(&[
            start(),
            block(0, json!({"type":"tool_use","id":"t","name":"n","input":{}})),
            delta(0, "input_json_delta", "partial_json", pieces),
        ]);
        let result = answer.into_result(None);
        assert_eq!(result["tool_calls"][0]["input"], pieces);
    }
    let (_, answer) = assembled(&[
        start(),
        block(0, json!({"type":"tool_use","id":"t","name":"n","input":{}})),
    ]);
    assert_eq!(
        answer.into_result(None)["tool_calls"][0]["input"],
        json!({})
    );
}

#[test]
fn memory_is_bounded_and_the_end_is_still_known() {
    let mut assembler = Assembler::with_limit(Endpoint::MessagesCreate, 1000);
    feed(&mut assembler, "x", &start());
    feed(
        &mut assembler,
        "x",
        &block(0, json!({"type":"text","text":""})),
    );
    for _ in 0..100 {
        feed(
            &mut assembler,
            "x",
            &delta(0, "text_delta", "text", &"y".repeat(100)),
        );
    }
    // Small enough for what room is left, but no longer a beginning.
    feed(&mut assembler, "x", &delta(0, "text_delta", "text", "z"));
    for event in finish("end_turn") {
        feed(&mut assembler, "x", &event);
    }
    assert_eq!(assembler.end(), StreamEnd::Complete);
    let answer = assembler.finish();
    assert!(answer.truncated);
    assert_eq!(answer.stop_reason.as_deref(), Some("end_turn"));
    assert_eq!(answer.usage["output_tokens"], 25);
    let result = answer.into_result(None);
    assert_eq!(result["answer"]["truncated"], true);
    let text = result["answer"]["content"][0]["text"].as_str().unwrap();
    assert!((100..1000).contains(&text.len()) && text.bytes().all(|byte| byte == b'y'));
}

#[test]
fn nothing_that_repeats_grows_without_bound() {
    let mut assembler = Assembler::with_limit(Endpoint::MessagesCreate, 10_000);
    for n in 0..10_000_u64 {
        feed(&mut assembler, "x", &block(n, json!({})));
        feed(
            &mut assembler,
            "x",
            &json!({"type":"message_delta","usage":{format!("key {n}"):"v".repeat(100)}}),
        );
    }
    let answer = assembler.finish();
    assert!(answer.truncated);
    assert!(answer.content.len() < 10_000 / BLOCK_COST);
    assert!(answer.usage.len() < HEAD_LIMIT / 100);
}

#[test]
fn a_body_beyond_the_limit_keeps_its_head() {
    let body = json!({"id":"msg_1","type":"message","role":"assistant","model":"m",
        "content":[{"type":"text","text":"y".repeat(2000)}],"stop_reason":"end_turn",
        "usage":{"output_tokens":3}});
    let mut assembler = Assembler::with_limit(Endpoint::MessagesCreate, 1000);
    assembler.document(body.to_string().as_bytes());
    let answer = assembler.finish();
    assert!(answer.truncated && answer.saw_stop && answer.content.is_empty());
    assert_eq!(answer.usage["output_tokens"], 3);
}

#[test]
fn no_debug_output_holds_a_text() {
    let mut assembler = Assembler::new(Endpoint::MessagesCreate);
    for event in [
        block(0, json!({"type":"text","text":"hunter2"})),
        block(
            1,
            json!({"type":"tool_use","id":"hunter2","name":"hunter2","input":"hunter2"}),
        ),
        block(2, json!({"type":"hunter2"})),
        json!({"type":"error","error":{"type":"hunter2","message":"hunter2"}}),
    ] {
        feed(&mut assembler, "x", &event);
    }
    let mut shown = format!("{assembler:?}");
    let answer = assembler.finish();
    assert_eq!(answer.content.len(), 3);
    shown += &format!("{answer:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
}

proptest! {
    /// However a text is cut into deltas, and whatever stream of bytes comes, nothing panics and
    /// the text is whole.
    #[test]
    fn cuts_do_not_matter(pieces in prop::collection::vec(any::<String>(), 0..12)) {
        let mut events = vec![start(), block(0, json!({"type":"text","text":""}))];
        events.extend(pieces.iter().map(|piece| delta(0, "text_delta", "text", piece)));
        let (_, answer) = assembled(&events);
        let text = Block::Text { text: pieces.concat() };
        prop_assert_eq!(answer.content, [text]);
    }

    #[test]
    fn no_event_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut splitter = Splitter::new(1 << 20);
        splitter.push(b"event: content_block_delta\ndata: ");
        splitter.push(&bytes);
        splitter.push(b"\n\n");
        let mut assembler = Assembler::new(Endpoint::MessagesCreate);
        while let Some(frame) = splitter.next_frame().unwrap() {
            assembler.event(&frame);
        }
        assembler.document(&bytes);
        let _ = assembler.finish().into_result(None);
    }
}
