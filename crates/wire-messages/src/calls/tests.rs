use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::Endpoint;

/// An event as the API writes it.
fn event(data: &Value) -> String {
    let kind = data["type"].as_str().unwrap();
    format!("event: {kind}\ndata: {data}\n\n")
}

fn start(index: u64, block: &Value) -> String {
    event(&json!({"type": "content_block_start", "index": index, "content_block": block}))
}

fn tool(index: u64, name: &str) -> String {
    let id = format!("toolu_{index}");
    start(
        index,
        &json!({"type": "tool_use", "id": id, "name": name, "input": {}}),
    )
}

fn text(index: u64) -> String {
    start(index, &json!({"type": "text", "text": ""}))
}

fn delta(index: u64, delta: &Value) -> String {
    event(&json!({"type": "content_block_delta", "index": index, "delta": delta}))
}

fn says(index: u64, text: &str) -> String {
    delta(index, &json!({"type": "text_delta", "text": text}))
}

fn input(index: u64, piece: &str) -> String {
    delta(
        index,
        &json!({"type": "input_json_delta", "partial_json": piece}),
    )
}

fn stop(index: u64) -> String {
    event(&json!({"type": "content_block_stop", "index": index}))
}

fn begin() -> String {
    event(&json!({"type": "message_start", "message": {"id": "msg_1", "content": []}}))
}

fn end() -> String {
    [
        event(&json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}})),
        event(&json!({"type": "message_stop"})),
    ]
    .concat()
}

/// What became of a stream.
#[derive(Debug, Default, PartialEq)]
struct Came {
    passed: String,
    /// The calls that were judged, as `name(input)`.
    judged: Vec<String>,
    error: Option<CallsError>,
    withheld: Vec<String>,
    ran: Vec<String>,
}

/// Sends pieces through a gate that lets tools pass unless they are called `no…`.
fn send<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Came {
    let mut gate = CallGate::new();
    let mut came = Came::default();
    let mut pieces = pieces.into_iter();
    let mut passed = Vec::new();
    let mut ended = false;
    'all: loop {
        loop {
            match gate.step() {
                Ok(Step::Pass(bytes)) => passed.extend(bytes),
                Ok(Step::Judge(call)) => {
                    let question = if call.parsed { "" } else { "?" };
                    came.judged
                        .push(format!("{}({}){question}", call.name, call.input));
                    if call.name.starts_with("no") {
                        break 'all;
                    }
                    gate.release();
                }
                Ok(Step::More) => break,
                Err(error) => {
                    came.error = Some(error);
                    break 'all;
                }
            }
        }
        match pieces.next() {
            Some(piece) => gate.push(piece),
            None if ended => break,
            None => {
                gate.finish();
                ended = true;
            }
        }
    }
    let withheld = gate.withheld();
    came.withheld = withheld.iter().map(|(id, _)| (*id).to_owned()).collect();
    came.ran = (gate.take_ran().iter())
        .map(|ran| format!("{} {}", ran.kind, ran.name))
        .collect();
    came.passed = String::from_utf8_lossy(&passed).into_owned();
    came
}

fn whole(stream: &str) -> Came {
    send([stream.as_bytes()])
}

#[test]
fn what_is_allowed_passes_byte_for_byte() {
    let stream = [
        begin(),
        text(0),
        says(0, "Let me look."),
        stop(0),
        "event: ping\r\ndata: {\"type\": \"ping\"}\r\n\r\n".to_owned(),
        tool(1, "Bash"),
        input(1, ""),
        input(1, "{\"command\": \"l"),
        ": comment\n\n".to_owned(),
        input(1, "s\", \"n\": 1.0}"),
        stop(1),
        tool(2, "Read"),
        stop(2),
        end(),
    ]
    .concat();
    let came = whole(&stream);
    assert_eq!(came.passed, stream);
    assert_eq!(
        came.judged,
        [r#"Bash({"command":"ls","n":1.0})"#, "Read({})"]
    );
    assert_eq!((came.error, came.withheld.len()), (None, 0));
}

#[test]
fn nothing_of_a_refused_call_passes_nor_anything_behind_it() {
    let before = [
        begin(),
        text(0),
        says(0, "Now."),
        stop(0),
        tool(1, "ok"),
        stop(1),
    ]
    .concat();
    let stream = [&*before, &tool(2, "no"), &input(2, "{}"), &stop(2), &end()].concat();
    let came = whole(&stream);
    assert_eq!(came.passed, before);
    assert_eq!(came.withheld, ["toolu_2"]);
}

#[test]
fn texts_pass_while_nothing_waits_and_a_call_waits_for_its_end() {
    let mut gate = CallGate::new();
    for event in [begin(), text(0), says(0, "a"), says(0, "b"), stop(0)] {
        gate.push(event.as_bytes());
        assert_eq!(gate.step(), Ok(Step::Pass(event.into())));
        assert!(!gate.is_holding());
    }
    for event in [tool(1, "Bash"), input(1, "{")] {
        gate.push(event.as_bytes());
        assert_eq!(gate.step(), Ok(Step::More));
        assert!(gate.is_holding());
    }
    gate.push([input(1, "}"), stop(1), end()].concat().as_bytes());
    assert!(matches!(gate.step(), Ok(Step::Judge(_))));
    // Whoever judges has all the time it takes.
    for _ in 0..3 {
        assert_eq!(gate.step(), Ok(Step::More));
    }
    assert_eq!(gate.withheld(), [("toolu_1", "Bash")]);
}

#[test]
fn blocks_may_come_interleaved() {
    let stream = [
        begin(),
        tool(0, "a"),
        text(1),
        input(0, "{\"x\":"),
        tool(2, "b"),
        says(1, "meanwhile"),
        input(2, "[]"),
        stop(2),
        input(0, "1}"),
        stop(1),
        stop(0),
        end(),
    ]
    .concat();
    let came = whole(&stream);
    assert_eq!(came.passed, stream);
    assert_eq!(came.judged, ["b([])", "a({\"x\":1})"]);
    // One that may pass behind one that may not stays where it is.
    let refused = whole(&stream.replace("\"a\"", "\"no\""));
    assert_eq!(refused.passed, begin());
    assert_eq!(refused.judged, ["b([])", "no({\"x\":1})"]);
    assert_eq!(refused.withheld, ["toolu_0", "toolu_2"]);
}

#[test]
fn an_input_is_what_clients_make_of_it() {
    let block = |input: Value| {
        start(
            0,
            &json!({"type": "tool_use", "id": "t", "name": "Bash", "input": input}),
        )
    };
    for (events, expected) in [
        ([block(json!({"a": 1})), String::new()], "Bash({\"a\":1})"),
        ([block(json!({})), input(0, "{\"a\":")], "Bash({\"a\":)?"),
        (
            [block(json!({})), input(0, "{\"a\":1,\"a\":2}")],
            "Bash({\"a\":1,\"a\":2})?",
        ),
        ([block(Value::Null), String::new()], "Bash({})"),
        (
            [block(json!({})), input(0, "{\"\\u0061\" :\t1e2 }")],
            "Bash({\"\\u0061\":1e2})",
        ),
    ] {
        let stream = [begin(), events.concat(), stop(0), end()].concat();
        let came = whole(&stream);
        assert_eq!(came.judged, [expected]);
        assert_eq!(came.passed, stream);
    }
    // One client takes the first, another the second.
    let stream = [
        begin(),
        block(json!({"a": 1})),
        input(0, "{\"a\":2}"),
        stop(0),
    ]
    .concat();
    assert_eq!(whole(&stream).error, Some(CallsError::Unreadable));
}

#[test]
fn what_the_api_called_itself_passes_and_is_listed() {
    let server =
        json!({"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}});
    let mcp = json!({"type": "mcp_tool_use", "id": "mcptoolu_1", "name": "echo", "server_name": "x", "input": {}});
    let stream = [
        begin(),
        start(0, &server),
        input(0, "{}"),
        stop(0),
        start(1, &mcp),
        stop(1),
        end(),
    ]
    .concat();
    let came = whole(&stream);
    assert_eq!(came.passed, stream);
    assert_eq!(
        came.ran,
        ["server_tool_use web_search", "mcp_tool_use echo"]
    );
    assert!(came.judged.is_empty());
}

#[test]
fn a_call_of_a_kind_that_nobody_knows_is_a_call() {
    let block = json!({"type": "remote_tool_use", "id": "t", "name": "Bash"});
    let came = whole(&[begin(), start(0, &block), stop(0), end()].concat());
    assert_eq!(came.judged, ["Bash({})"]);
}

#[test]
fn what_two_clients_may_read_in_two_ways_does_not_pass() {
    let call = |data: &str| format!("data: {data}\n\n");
    let renamed = tool(1, "Bash").replace("event: content_block_start", "event: ping");
    for (what, events) in [
        ("a delta before its block", input(1, "{}")),
        ("an end before its block", stop(1)),
        ("a second beginning", [tool(1, "a"), tool(1, "b")].concat()),
        (
            "a block that comes back",
            [text(1), stop(1), tool(1, "b")].concat(),
        ),
        (
            "a delta behind the end",
            [tool(1, "a"), stop(1), input(1, "x")].concat(),
        ),
        ("two ends", [tool(1, "a"), stop(1), stop(1)].concat()),
        (
            "an end of the message within a call",
            [tool(1, "a"), end()].concat(),
        ),
        ("a second message", begin()),
        ("an event under another name", [renamed, stop(1)].concat()),
        (
            "an event twice",
            "data: {\"type\":\"ping\",\"type\":\"content_block_stop\"}\n\n".to_owned(),
        ),
        ("no JSON", call("{oops}")),
        ("no object", call("[1]")),
        ("no type", call("{}")),
        (
            "an index that is none",
            call(r#"{"type":"content_block_start","index":"1","content_block":{"type":"text"}}"#),
        ),
        (
            "no index",
            call(r#"{"type":"content_block_start","content_block":{"type":"text"}}"#),
        ),
        (
            "no block",
            call(r#"{"type":"content_block_start","index":1}"#),
        ),
        (
            "a call without a name",
            start(1, &json!({"type": "tool_use", "id": "t"})),
        ),
        (
            "a call without an id",
            start(1, &json!({"type": "tool_use", "name": "t"})),
        ),
        ("a text in a call", [tool(1, "a"), says(1, "x")].concat()),
        ("a call in the beginning", String::new()),
    ] {
        let first = if what == "a call in the beginning" {
            event(&json!({"type": "message_start", "message": {"content": [{"type": "tool_use"}]}}))
        } else {
            [begin(), text(0), stop(0)].concat()
        };
        let came = whole(&[&*first, &events, &end()].concat());
        assert_eq!(came.error, Some(CallsError::Unreadable), "{what}");
        assert!(!came.passed.contains("message_stop"), "{what}");
    }
}

#[test]
fn an_error_of_the_upstream_passes_and_the_call_it_ends_does_not() {
    let error = event(&json!({"type": "error", "error": {"type": "overloaded_error"}}));
    let stream = [begin(), tool(0, "a"), input(0, "{"), text(1), error.clone()].concat();
    let came = whole(&stream);
    assert_eq!(came.passed, [begin(), text(1), error].concat());
    assert_eq!(came.withheld, ["toolu_0"]);
    assert_eq!(came.error, None);
}

#[test]
fn a_call_that_breaks_off_does_not_pass() {
    let all = [begin(), tool(0, "a"), input(0, "{}")].concat();
    for stream in [
        all.clone(),
        all.clone() + "event: content_block_stop\ndata: {\"ty",
    ] {
        let came = whole(&stream);
        assert_eq!(came.passed, begin());
        assert_eq!(came.withheld, ["toolu_0"]);
        assert!(came.judged.is_empty());
    }
    // Some clients take the last event even without its blank line.
    let last = stop(0);
    let came = whole(&(all.clone() + last.trim_end()));
    assert_eq!(came.judged, ["a({})"]);
    assert_eq!(came.passed, all + last.trim_end());
}

#[test]
fn a_call_that_is_too_large_does_not_pass() {
    let mut stream = [begin(), tool(0, "a")].concat();
    let piece = "x".repeat(1 << 20);
    for _ in 0..5 {
        stream += &input(0, &piece);
    }
    let came = whole(&stream);
    assert_eq!(came.error, Some(CallsError::TooLarge));
    assert_eq!(came.passed, begin());
}

#[test]
fn an_event_that_ends_with_the_stream_is_read() {
    let came = whole(&(begin() + &tool(0, "yes") + &stop(0) + "data: {\"ty: c\r\r"));
    assert_eq!(came.error, Some(CallsError::Unreadable));
    // Without its blank line it is no event, and nobody will read it.
    let came = whole(&(begin() + "data: {\"ty: c\r"));
    assert_eq!((came.error, came.passed), (None, begin()));
}

#[test]
fn a_whole_answer_holds_its_calls() {
    let call = |id: &str| json!({"type": "tool_use", "id": id, "name": "Bash", "input": {"command": "ls"}});
    let server = json!({"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}});
    let message = json!({"type": "message", "content": [{"type": "text", "text": "x"}, call("a"), server, call("b")]});
    let (calls_, ran) = calls(Endpoint::MessagesCreate, message.to_string().as_bytes()).unwrap();
    let ids: Vec<&str> = calls_.iter().map(|call| &*call.id).collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(calls_[0].input, r#"{"command":"ls"}"#);
    assert_eq!(ran[0].name, "web_search");

    let line = json!({"custom_id": "1", "result": {"type": "succeeded", "message": message}});
    let failed = json!({"custom_id": "2", "result": {"type": "errored", "error": {}}});
    let lines = format!("{line}\n\n{failed}\r\n{line}");
    let (calls_, ran) = calls(Endpoint::BatchResults, lines.as_bytes()).unwrap();
    assert_eq!((calls_.len(), ran.len()), (4, 2));

    for (endpoint, body, count) in [
        (Endpoint::MessagesCreate, r#"{"content":"text"}"#, Ok(0)),
        (Endpoint::MessagesCreate, r#"{"content":null}"#, Ok(0)),
        (Endpoint::MessagesCreate, r#"{"type":"error"}"#, Ok(0)),
        (Endpoint::FileContent, "whatever", Ok(0)),
        (
            Endpoint::MessagesCreate,
            r#"[{"content":[]}]"#,
            Err(CallsError::Unreadable),
        ),
        (
            Endpoint::MessagesCreate,
            r#"{"content":{"0":{}}}"#,
            Err(CallsError::Unreadable),
        ),
        (
            Endpoint::MessagesCreate,
            r#"{"content":[["tool_use"]]}"#,
            Err(CallsError::Unreadable),
        ),
        (
            Endpoint::MessagesCreate,
            r#"{"content":[{"type":"tool_use","name":"x"}]}"#,
            Err(CallsError::Unreadable),
        ),
        (
            Endpoint::MessagesCreate,
            r#"{"content":[],"content":[]}"#,
            Err(CallsError::Unreadable),
        ),
        (Endpoint::BatchResults, "{}\n{", Err(CallsError::Unreadable)),
    ] {
        let found = calls(endpoint, body.as_bytes()).map(|(calls, _)| calls.len());
        assert_eq!(found, count, "{body}");
    }
}

#[test]
fn nothing_shows_what_a_call_says() {
    let call = Call::new("hunter2".into(), "hunter2".into(), "hunter2".into()).unwrap();
    assert!(!format!("{call:?}").contains("hunter2"));
}

/// Streams of all kinds of events, right and wrong.
fn streams() -> impl Strategy<Value = String> {
    let index = 0..3_u64;
    let one = prop_oneof![
        index.clone().prop_map(text),
        index.clone().prop_map(|index| tool(index, "yes")),
        index.clone().prop_map(|index| tool(index, "no")),
        index.clone().prop_map(|index| says(index, "é\u{2028}")),
        index.clone().prop_map(|index| input(index, "{\"a\": 1}")),
        index.prop_map(stop),
        Just(": c\r\r".to_owned()),
        Just("event: ping\r\ndata: {\"type\":\r\ndata: \"ping\"}\r\n\r\n".to_owned()),
        Just(end()),
        Just(event(&json!({"type": "error", "error": {}}))),
        Just("data: {\"ty".to_owned()),
    ];
    let orderly = (0..3_u64).prop_map(|kind| match kind {
        0 => vec![
            text(0),
            says(0, "x"),
            stop(0),
            tool(1, "yes"),
            input(1, "{}"),
            stop(1),
        ],
        1 => vec![
            tool(0, "yes"),
            text(1),
            stop(0),
            says(1, "x"),
            stop(1),
            tool(2, "no"),
            stop(2),
        ],
        _ => vec![
            tool(0, "yes"),
            tool(1, "yes"),
            stop(1),
            input(0, "{"),
            stop(0),
        ],
    });
    (orderly, prop::collection::vec(one, 0..8))
        .prop_map(|(first, more)| [vec![begin()], first, more].concat().concat())
}

proptest! {
    #[test]
    fn where_bytes_are_cut_does_not_matter(
        stream in streams(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let bytes = stream.as_bytes();
        let cut = send(cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]));
        prop_assert_eq!(&cut, &whole(&stream));
        let single = send(bytes.chunks(1));
        prop_assert_eq!(&single, &cut);
        // What passes is a part of what came; where nothing is withheld or wrong, all of it.
        if cut.error.is_none() && cut.withheld.is_empty() && !stream.ends_with("data: {\"ty") {
            prop_assert_eq!(cut.passed, stream);
        }
    }

    #[test]
    fn any_bytes_are_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..256)) {
        send([&bytes[..]]);
    }
}

#[test]
fn the_texts_of_a_call_are_those_of_the_request_that_brings_it_back() {
    let texts = |input: &str| {
        let call = Call::new("t".into(), "Bash".into(), input.into()).unwrap();
        let mut seen = Vec::new();
        call.texts(&mut |place, text| seen.push(format!("{place:?} {text}")));
        seen
    };
    assert_eq!(
        texts(r#"{"a": ["ls"]}"#),
        [r#"ToolUse("Bash") ls"#, r#"ToolUse("Bash") {"a":["ls"]}"#]
    );
    assert_eq!(texts(r#"{"a": "#), [r#"ToolUse("Bash") {"a": "#]);
}
