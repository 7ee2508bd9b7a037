//! Streams of events.

use bytes::Bytes;
use serde_json::{Value, json};
use tollbook_exchange::{Masked, Operator, ResponseShape};
use tollbook_masking::{
    Base, Masker,
    view::{BodyMasker, ViewError},
};

fn event(delta: &Value) -> String {
    let data = json!({"type": "content_block_delta", "index": 0, "delta": delta});
    format!("event: content_block_delta\ndata: {data}\n\n")
}

/// Sends a text in deltas and puts together what comes out.
pub(crate) fn through_deltas(masker: &Masker, kind: &str, member: &str, parts: &[&str]) -> String {
    let mut view = BodyMasker::new(
        masker,
        Some("text/event-stream; charset=utf-8"),
        "response.body",
    );
    let mut out = Vec::new();
    for part in parts {
        out.extend(
            view.push(event(&json!({"type": kind, member: part})).as_bytes())
                .unwrap(),
        );
    }
    let stop = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
    out.extend(view.push(stop.as_bytes()).unwrap());
    out.extend(view.finish().unwrap());
    let mut text = String::new();
    for part in &out {
        let part = std::str::from_utf8(part.as_inner()).unwrap();
        let data: Value = serde_json::from_str(part.split_once("data: ").unwrap().1).unwrap();
        if data["type"] == "content_block_delta" {
            assert_eq!(data["delta"]["type"], kind);
            text.push_str(data["delta"][member].as_str().unwrap());
        }
    }
    assert!(
        out.last()
            .unwrap()
            .as_inner()
            .ends_with(b"\"index\":0}\n\n")
    );
    text
}

const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
const STOP: &str =
    "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n";
const PING: &str = "event: ping\ndata: {\"type\": \"ping\"}\n\n";

/// With rules that begin with a word of their own only. Where a value is known by its own form, any
/// word may be the beginning of one, so most deltas wait for the next one.
fn view() -> BodyMasker {
    let masker = Masker::builtin();
    let profile = masker
        .profile(Base::None)
        .rule("aws-access-key-id", Operator::Redact)
        .rule("github-pat", Operator::Redact);
    BodyMasker::new(
        &profile.build().unwrap(),
        Some("text/event-stream"),
        "response.body",
    )
}

fn texts(parts: &[Masked<Bytes>]) -> Vec<&str> {
    parts
        .iter()
        .map(|part| std::str::from_utf8(part.as_inner()).unwrap())
        .collect()
}

/// A stream as the Messages API sends it.
fn stream() -> String {
    let mut stream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"content\":[],\"usage\":{\"input_tokens\":1}}}\n\n\
        event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n"
        .to_owned();
    stream.push_str(PING);
    for text in [
        "Hello",
        " wor",
        "ld. The",
        " is",
        " you",
        "?\n",
        "-",
        " -",
        "---",
        "- ",
        "<",
        "caf\u{e9} = 1,",
        " --",
        "\"x\": ",
    ] {
        stream.push_str(&event(&json!({"type": "text_delta", "text": text})));
    }
    stream.push_str(STOP);
    stream
        .push_str(": a comment\nevent: message_stop\r\ndata: {\"type\":\"message_stop\"}\r\n\r\n");
    stream
}

#[test]
fn a_stream_without_secrets_passes_byte_for_byte_however_it_comes() {
    let stream = stream();
    let every = Masker::builtin().profile(Base::Strict).build().unwrap();
    for masker in [None, Some(Masker::builtin()), Some(every)] {
        for size in [1, 7, 1000, stream.len()] {
            let mut view = match &masker {
                None => view(),
                Some(masker) => BodyMasker::new(masker, Some("text/event-stream"), "response.body"),
            };
            assert_eq!(view.shape(), ResponseShape::Events);
            let mut parts = Vec::new();
            for chunk in stream.as_bytes().chunks(size) {
                parts.extend(view.push(chunk).unwrap());
            }
            parts.extend(view.finish().unwrap());
            assert_eq!(texts(&parts).concat(), stream, "in chunks of {size}");
            assert_eq!(
                parts.len(),
                stream.matches("\n\n").count() + 1,
                "one part for each event"
            );
            assert!(view.found().is_empty());
            assert_eq!(view.coverage().inspected, stream.len() as u64);
        }
    }
}

#[test]
fn an_event_waits_for_the_next_delta_and_not_longer() {
    let text = |text: &str| event(&json!({"type": "text_delta", "text": text}));
    let mut view = BodyMasker::new(&Masker::builtin(), Some("text/event-stream"), "");
    assert!(view.push(text("Hello wor").as_bytes()).unwrap().is_empty());
    let came = view.push(text("ld, it").as_bytes()).unwrap();
    assert_eq!(texts(&came), [text("Hello wor")]);
    // What stands between the deltas of a text stays between them.
    let cited = event(&json!({"type": "citations_delta", "citation": {"cited_text": "x"}}));
    assert!(view.push(cited.as_bytes()).unwrap().is_empty());
    let came = view.push(text(" is. ").as_bytes()).unwrap();
    assert_eq!(texts(&came)[..2], [text("ld, it"), cited]);
}

#[test]
fn a_text_goes_on_where_its_block_began() {
    let mut view = view();
    let start = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"key AKIAIOS\"}}\n\n";
    let mut parts = view.push(start.as_bytes()).unwrap();
    let delta = event(&json!({"type": "text_delta", "text": "FODNN7EXAMPLE."}));
    parts.extend(view.push(delta.as_bytes()).unwrap());
    parts.extend(view.push(STOP.as_bytes()).unwrap());
    let out = texts(&parts).concat();
    assert!(
        out.contains(r#""text":"key [REDACTED:aws-access-key-id]""#),
        "{out}"
    );
    assert!(!out.contains("FODNN7") && parts.len() == 3, "{out}");
}

#[test]
fn texts_without_personal_data_are_the_same_in_the_end() {
    let texts = [
        "Hello", " wor", "ld 12", ":30, +4", "9 is", " m", "e@", " you", "?\n",
    ];
    let masked = through_deltas(&Masker::builtin(), "text_delta", "text", &texts);
    assert_eq!(masked, texts.concat());
}

#[test]
fn a_ping_passes_at_once_while_a_text_waits() {
    let mut view = view();
    let delta = |text: &str| event(&json!({"type": "text_delta", "text": text}));
    assert!(
        view.push(delta("key AKIAIOS").as_bytes())
            .unwrap()
            .is_empty()
    );
    for sign_of_life in [PING, ": still here\n\n"] {
        let parts = view.push(sign_of_life.as_bytes()).unwrap();
        let parts = texts(&parts);
        if sign_of_life == PING {
            assert!(parts[0].contains(r#""text":"key ""#), "{parts:?}");
        }
        assert_eq!(parts.last(), Some(&sign_of_life));
    }
    let last = view.push(delta("FODNN7EXAMPLE.").as_bytes()).unwrap();
    assert!(texts(&last)[0].contains(r#""text":"[REDACTED:aws-access-key-id].""#));
    assert_eq!(view.found()[0].place, "response.body:delta.text");
}

#[test]
fn what_waits_comes_before_whatever_ends_the_block() {
    let ends = [
        STOP.to_owned(),
        "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n".to_owned(),
    ];
    let began = event(&json!({"type": "thinking_delta", "thinking": "see ghp_"}));
    for end in ends {
        let mut view = view();
        assert!(view.push(began.as_bytes()).unwrap().is_empty());
        let parts = view.push(end.as_bytes()).unwrap();
        assert_eq!(texts(&parts), [&began, &end]);
        assert!(view.finish().unwrap().is_empty());
    }
    // What a ping has gone past comes in a delta of its own.
    let mut view = view();
    view.push(began.as_bytes()).unwrap();
    view.push(PING.as_bytes()).unwrap();
    let parts = view.push(STOP.as_bytes()).unwrap();
    let synthetic = event(&json!({"type": "thinking_delta", "thinking": "ghp_"}));
    let data =
        |text: &str| serde_json::from_str::<Value>(text.split_once("data: ").unwrap().1).unwrap();
    assert_eq!(texts(&parts).len(), 2);
    assert_eq!(data(texts(&parts)[0]), data(&synthetic));
    assert_eq!(texts(&parts)[1], STOP);
}

/// The beginning of a secret whose end never comes is as good as most of it.
#[test]
fn what_waits_in_a_block_that_is_cut_off_stays_back() {
    let error = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"m\"}}\n\n";
    let began = event(&json!({"type": "text_delta", "text": "see ghp_c4N4ryc4N4ryc4N4ry"}));
    let see = began.replace("ghp_c4N4ryc4N4ryc4N4ry", "");
    let mut by_error = view();
    by_error.push(began.as_bytes()).unwrap();
    assert_eq!(
        texts(&by_error.push(error.as_bytes()).unwrap()),
        [&*see, error]
    );
    let mut by_end = view();
    by_end.push(began.as_bytes()).unwrap();
    assert_eq!(texts(&by_end.finish().unwrap()), [&see]);
    let mut by_fault = view();
    by_fault.push(began.as_bytes()).unwrap();
    assert_eq!(texts(&by_fault.abort()), [&see]);
    for view in [by_end, by_fault] {
        assert_eq!(
            view.coverage().uninspected,
            "ghp_c4N4ryc4N4ryc4N4ry".len() as u64
        );
        assert_eq!(
            view.coverage().inspected + view.coverage().uninspected,
            began.len() as u64
        );
    }
}

#[test]
fn what_waits_and_is_a_match_comes_when_the_stream_breaks_off() {
    let mut view = view();
    view.push(event(&json!({"type": "text_delta", "text": KEY})).as_bytes())
        .unwrap();
    let cut_off = "event: content_block_delta\ndata: {\"type\":\"content_bl";
    view.push(cut_off.as_bytes()).unwrap();
    let parts = view.finish().unwrap();
    assert_eq!(texts(&parts).len(), 1);
    assert!(texts(&parts)[0].contains("[REDACTED:aws-access-key-id]"));
    assert_eq!(view.coverage().uninspected, cut_off.len() as u64);
}

#[test]
fn blocks_and_kinds_of_deltas_are_texts_of_their_own() {
    let delta = |index: u32, text: &str| {
        let data = json!({"type": "content_block_delta", "index": index, "delta": {"type": "text_delta", "text": text}});
        format!("data: {data}\n\n")
    };
    let mut view = view();
    let mut all = String::new();
    for event in [
        delta(0, "AKIAIOS"),
        delta(1, "FODNN7EXAMPLE"),
        delta(0, "FODNN7EXAMPLE "),
        delta(1, " ok"),
    ] {
        all.push_str(&texts(&view.push(event.as_bytes()).unwrap()).concat());
    }
    assert!(all.contains("[REDACTED:aws-access-key-id]"));
    assert!(all.contains(r#""index":1,"delta":{"type":"text_delta","text":"FODNN7EXAMPLE"}"#));
}

#[test]
fn a_kind_of_delta_that_nobody_knew_is_masked_all_the_same() {
    let masked = through_deltas(
        &Masker::builtin(),
        "summary_delta",
        "summary",
        &["AKIAIOS", "FODNN7EXAMPLE"],
    );
    assert_eq!(masked, "[REDACTED:aws-access-key-id]");
}

#[test]
fn a_password_in_a_tool_input_is_masked_by_its_name() {
    let masked = through_deltas(
        &Masker::builtin(),
        "input_json_delta",
        "partial_json",
        &[
            "{\"user\":\"a\",\"pass",
            "word\": \"correct horse b",
            "attery\\\" staple\",\"n\":1}",
        ],
    );
    assert_eq!(
        masked,
        r#"{"user":"a","password": "[REDACTED:json-sensitive-key]","n":1}"#
    );
}

#[test]
fn secrets_outside_of_deltas_are_masked() {
    let signature = "Ex4mpleOnly+Ex4mpleOnly/AKIAIOSFODNN7EXAMPLE/Ex4mpleOnly0000";
    for (event, masked) in [
        (
            format!(
                "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"message\":\"bad {KEY}\"}}}}\n\n"
            ),
            true,
        ),
        (
            format!(
                "data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"text\",\"text\":\"{KEY}\"}}}}\n\n"
            ),
            true,
        ),
        (format!(": {KEY}\ndata: {{}}\n\n"), true),
        (format!("data: {{\ndata: \"a\": \"{KEY}\"}}\n\n"), true),
        (
            format!(
                "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"citations_delta\",\"citation\":{{\"cited_text\":\"{KEY}\"}}}}}}\n\n"
            ),
            true,
        ),
        (
            format!(
                "data: {{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{{\"type\":\"signature_delta\",\"signature\":\"{signature}\"}}}}\n\n"
            ),
            false,
        ),
        (
            format!(
                "data: {{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{{\"type\":\"redacted_thinking\",\"data\":\"{signature}\"}}}}\n\n"
            ),
            false,
        ),
    ] {
        let mut view = view();
        let mut parts = view.push(event.as_bytes()).unwrap();
        parts.extend(view.finish().unwrap());
        let out = texts(&parts).concat();
        assert_eq!(out != event, masked, "{event}");
        if masked {
            assert!(
                !out.contains(KEY) && out.contains("[REDACTED:aws-access-key-id]"),
                "{out}"
            );
            assert!(
                out.ends_with("\n\n") && out.matches("\n\n").count() == 1,
                "{out}"
            );
        }
    }
}

#[test]
fn what_cannot_be_read_fails_after_what_could() {
    let good = event(&json!({"type": "text_delta", "text": "hi"}));
    for bad in [
        "data: [DONE]\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":\"x\",\"delta\":{\"type\":\"t\",\"text\":\"a\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"t\",\"text\":\"a\",\"text\":\"b\"}}\n\n",
        "data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"t\",\"te\\u0078t\":\"a\"}}\n\n",
        "data: {\"type\":\"ping\",\"type\":\"content_block_delta\"}\n\n",
        "data: {\"type\":\"content_block_\\u0064elta\"}\n\n",
    ] {
        let mut view = view();
        let parts = view.push(format!("{good}{bad}{good}").as_bytes()).unwrap();
        assert_eq!(texts(&parts), [&*good], "{bad}");
        assert_eq!(
            view.push(good.as_bytes()),
            Err(ViewError::MalformedEvent),
            "{bad}"
        );
        assert_eq!(view.finish(), Err(ViewError::MalformedEvent), "{bad}");
    }
}

#[test]
fn an_endless_event_fails() {
    let mut view = view();
    let mut result = view.push(b"data: ");
    for _ in 0..17 {
        result = view.push(&vec![b'a'; 1 << 20]);
    }
    assert_eq!(result, Err(ViewError::EventTooLong));
}
