use std::error::Error as _;

use tollbook_exchange::Fact;

use super::*;
use crate::json::JsonErrorKind;

fn of(body: &str) -> Result<Action, FactsError> {
    facts(Endpoint::MessagesCreate, [], body.as_bytes())
}

/// A small request with some fields more.
fn with(fields: &str) -> String {
    format!(r#"{{"model":"m","messages":[]{fields}}}"#)
}

fn set(action: &Action, name: &str) -> Vec<String> {
    match action.fact(name) {
        Some(Fact::Set(set)) => set.iter().cloned().collect(),
        other => panic!("{name} is {other:?}"),
    }
}

#[test]
fn a_full_request_becomes_its_facts() {
    let body = r#"{
        "model": "claude-opus-4-5", "max_tokens": 1024, "stream": true,
        "system": [{"type":"text","text":"x","cache_control":{"type":"ephemeral"}}],
        "messages": [{"role":"user","content":"hi"},{"role":"assistant","content":[]},
            {"role":"user","content":[{"type":"text","text":"{\"model\":\"other\"}"}]}],
        "tools": [{"name":"Bash","input_schema":{"name":"inner"}},
            {"type":"custom","name":"Read"},
            {"type":"web_search_20250305","name":"web_search","max_uses":5},
            {"type":"advisor_20260301","name":"advisor","model":"claude-mythos-1"},
            {"type":"mcp_toolset","mcp_server_name":"x"}],
        "tool_choice": {"type":"tool","name":"Bash"},
        "thinking": {"type":"enabled","budget_tokens":2048},
        "mcp_servers": [{"type":"url","url":"https://MCP.example.com/sse","name":"x",
            "authorization_token":"hunter2"}, {"type":"other"}],
        "fallbacks": [{"model":"claude-sonnet-4-5"}],
        "container": {"skills":[]},
        "metadata": {"user_id":"{}"}, "not_known_yet": [1.5, null]
    }"#;
    let action = facts(
        Endpoint::MessagesCreate,
        ["a-1, b-2", "", "b-2,\tc-3 ,,"],
        body.as_bytes(),
    )
    .unwrap();
    assert_eq!(action.name, "messages.create");
    assert_eq!(action.text("model"), Some("claude-opus-4-5"));
    assert_eq!(
        set(&action, "models"),
        ["claude-mythos-1", "claude-opus-4-5", "claude-sonnet-4-5"]
    );
    assert_eq!(action.fact("max_tokens"), Some(&Fact::Long(1024)));
    assert_eq!(action.fact("messages"), Some(&Fact::Long(3)));
    for name in ["stream", "system", "thinking", "container"] {
        assert!(action.is(name), "{name}");
    }
    assert_eq!(
        set(&action, "tools"),
        [
            "Bash",
            "Read",
            "advisor",
            "advisor_20260301",
            "mcp_toolset",
            "web_search",
            "web_search_20250305"
        ]
    );
    assert_eq!(action.text("tool_choice"), Some("tool"));
    assert_eq!(set(&action, "mcp_servers"), ["mcp.example.com", "unknown"]);
    assert_eq!(set(&action, "betas"), ["a-1", "b-2", "c-3"]);
    let bytes = action.fact("body_bytes");
    assert_eq!(bytes, Some(&Fact::from(body.len())));
    assert_eq!(action.fact("body_scanned"), Some(&Fact::Bool(false)));
    assert!(!format!("{action:?}").contains("hunter2"));
}

#[test]
fn what_is_not_asked_for_is_off_and_the_sets_are_there() {
    for fields in [
        "",
        r#","stream":null,"tools":null,"system":null,"thinking":null,"container":null"#,
        r#","max_tokens":null,"tool_choice":null,"mcp_servers":null,"fallbacks":null"#,
        r#","stream":false,"tools":[],"thinking":{"type":"disabled"},"mcp_servers":[]"#,
    ] {
        let action = of(&with(fields)).unwrap();
        for name in ["stream", "system", "thinking", "container"] {
            assert_eq!(action.fact(name), Some(&Fact::Bool(false)), "{name}");
        }
        for name in ["tools", "mcp_servers", "betas"] {
            assert!(set(&action, name).is_empty(), "{name}");
        }
        assert_eq!(set(&action, "models"), ["m"]);
        assert_eq!(action.fact("max_tokens"), None);
        assert_eq!(action.fact("tool_choice"), None);
        assert_eq!(action.fact("requests"), None);
    }
}

#[test]
fn a_known_field_of_another_type_is_refused() {
    for (fields, field) in [
        (r#","stream":"true""#, "stream"),
        (r#","stream":1"#, "stream"),
        (r#","max_tokens":"9""#, "max_tokens"),
        (r#","max_tokens":1.5"#, "max_tokens"),
        (r#","max_tokens":9223372036854775808"#, "max_tokens"),
        (r#","tools":{}"#, "tools"),
        (r#","tools":["Bash"]"#, "tools"),
        (r#","tools":[["custom","Bash"]]"#, "tools"),
        (r#","tools":[{"name":7}]"#, "tools"),
        (r#","tools":[{"type":7,"name":"x"}]"#, "tools"),
        (r#","tools":[{"input_schema":{}}]"#, "tools"),
        (r#","tool_choice":"auto""#, "tool_choice"),
        (r#","tool_choice":{"name":"x"}"#, "tool_choice"),
        (r#","thinking":true"#, "thinking"),
        (r#","thinking":{}"#, "thinking"),
        (r#","thinking":["disabled"]"#, "thinking"),
        (r#","system":1"#, "system"),
        (r#","container":false"#, "container"),
        (
            r#","mcp_servers":{"url":"https://a.example"}"#,
            "mcp_servers",
        ),
        (r#","mcp_servers":["https://a.example"]"#, "mcp_servers"),
        (r#","mcp_servers":[{"url":1}]"#, "mcp_servers"),
        (r#","fallbacks":["m"]"#, "fallbacks"),
        (r#","fallbacks":[{}]"#, "fallbacks"),
    ] {
        assert_eq!(
            of(&with(fields)),
            Err(FactsError::WrongType(field)),
            "{fields}"
        );
    }
    for (body, field) in [
        (r#"{"model":1,"messages":[]}"#, "model"),
        (r#"{"model":null,"messages":[]}"#, "model"),
        (r#"{"model":["m"],"messages":[]}"#, "model"),
        (r#"{"model":"m","messages":"hi"}"#, "messages"),
        (r#"{"model":"m","messages":{"0":{}}}"#, "messages"),
        (r#"["m",[]]"#, "body"),
        ("null", "body"),
        ("\"m\"", "body"),
    ] {
        assert_eq!(of(body), Err(FactsError::WrongType(field)), "{body}");
    }
}

#[test]
fn a_request_that_does_not_say_what_it_wants_is_refused() {
    assert_eq!(of(r#"{"messages":[]}"#), Err(FactsError::Missing("model")));
    assert_eq!(of(r#"{"model":"m"}"#), Err(FactsError::Missing("messages")));
    assert_eq!(
        of(r#"{"model":"m","messages":null}"#),
        Err(FactsError::Missing("messages"))
    );
    assert_eq!(
        of(r#"{"Model":"m","messages":[]}"#),
        Err(FactsError::Missing("model"))
    );
}

#[test]
fn the_body_is_checked_before_it_is_judged() {
    let error = of(&with(r#","metadata":{"a":1,"a":2}"#)).unwrap_err();
    assert_eq!(error.reason(), "duplicate_name");
    assert!(
        error
            .source()
            .is_some_and(|source| source.is::<JsonError>())
    );
    let FactsError::Json(error) = of("").unwrap_err() else {
        panic!("an empty body is not JSON");
    };
    assert_eq!(error.kind, JsonErrorKind::UnexpectedEnd);
}

#[test]
fn escapes_hide_no_name() {
    let action = of(
        r#"{"m\u006fdel":"claude-\u006fpus","\u0074ools":[{"n\u0061me":"B\u0061sh"}],
            "messages":[],"mcp_servers":[{"url":"https:\/\/evil.\u0065xample\/"}]}"#,
    )
    .unwrap();
    assert_eq!(action.text("model"), Some("claude-opus"));
    assert_eq!(set(&action, "tools"), ["Bash"]);
    assert_eq!(set(&action, "mcp_servers"), ["evil.example"]);
}

#[test]
fn names_have_limits() {
    let long = "x".repeat(MAX_NAME + 1);
    assert_eq!(
        of(&format!(r#"{{"model":"{long}","messages":[]}}"#)),
        Err(FactsError::TooMany("model"))
    );
    let tools = |count: usize| -> String {
        let tools: Vec<String> = (0..count).map(|n| format!(r#"{{"name":"{n}"}}"#)).collect();
        with(&format!(r#","tools":[{}]"#, tools.join(",")))
    };
    assert_eq!(
        set(&of(&tools(MAX_NAMES)).unwrap(), "tools").len(),
        MAX_NAMES
    );
    assert_eq!(of(&tools(MAX_NAMES + 1)), Err(FactsError::TooMany("tools")));
    assert_eq!(
        facts(Endpoint::ModelList, [long.as_str()], b""),
        Err(FactsError::TooMany("anthropic-beta"))
    );
}

#[test]
fn a_batch_is_the_union_of_its_requests() {
    let body = r#"{"requests":[
        {"custom_id":"a","params":{"model":"m1","max_tokens":10,"messages":[{},{}],
            "tools":[{"name":"Bash"}]}},
        {"params":{"messages":[{}],"model":"m2","max_tokens":99,"thinking":{"type":"adaptive"},
            "mcp_servers":[{"url":"https://a.example"}]},"custom_id":"b"},
        {"custom_id":"c","params":{"model":"m1","max_tokens":20,"messages":[],"container":"c1",
            "tools":[{"name":"Read"}],"fallbacks":[{"model":"m3"}]}}]}"#;
    let action = facts(Endpoint::BatchCreate, [], body.as_bytes()).unwrap();
    assert_eq!(action.name, "batches.create");
    assert_eq!(action.fact("requests"), Some(&Fact::Long(3)));
    assert_eq!(action.fact("messages"), Some(&Fact::Long(3)));
    assert_eq!(action.fact("max_tokens"), Some(&Fact::Long(99)));
    assert_eq!(set(&action, "models"), ["m1", "m2", "m3"]);
    assert_eq!(set(&action, "tools"), ["Bash", "Read"]);
    assert_eq!(set(&action, "mcp_servers"), ["a.example"]);
    assert!(action.is("thinking") && action.is("container"));
    assert!(!action.is("stream") && !action.is("system"));
    assert_eq!(action.fact("model"), None);
}

#[test]
fn a_batch_with_one_request_that_cannot_be_judged_is_refused() {
    let good = r#"{"custom_id":"a","params":{"model":"m","messages":[]}}"#;
    for (last, expected) in [
        ("5", FactsError::WrongType("requests")),
        ("[]", FactsError::WrongType("requests")),
        ("{}", FactsError::WrongType("requests")),
        (r#"{"params":null}"#, FactsError::WrongType("params")),
        (
            r#"{"params":{"messages":[]}}"#,
            FactsError::Missing("model"),
        ),
        (
            r#"{"params":{"model":"m"}}"#,
            FactsError::Missing("messages"),
        ),
        (
            r#"{"params":{"model":"m","messages":[],"stream":"x"}}"#,
            FactsError::WrongType("stream"),
        ),
    ] {
        for body in [
            format!(r#"{{"requests":[{good},{last}]}}"#),
            format!(r#"{{"requests":[{last},{good}]}}"#),
        ] {
            let refused = facts(Endpoint::BatchCreate, [], body.as_bytes());
            assert_eq!(refused, Err(expected.clone()), "{body}");
        }
    }
    for (body, expected) in [
        ("{}", FactsError::Missing("requests")),
        (r#"{"requests":{}}"#, FactsError::WrongType("requests")),
        (r#"{"requests":null}"#, FactsError::WrongType("requests")),
    ] {
        assert_eq!(
            facts(Endpoint::BatchCreate, [], body.as_bytes()),
            Err(expected),
            "{body}"
        );
    }
}

#[test]
fn operations_without_json_have_few_facts() {
    let action = facts(Endpoint::FileUpload, ["files-api-2025-04-14"], b"--x\r\n").unwrap();
    assert_eq!(action.name, "files.upload");
    assert_eq!(action.fact("body_bytes"), Some(&Fact::Long(5)));
    assert_eq!(set(&action, "betas"), ["files-api-2025-04-14"]);

    for endpoint in Endpoint::ALL {
        if endpoint.body() == BodyKind::None {
            assert!(facts(*endpoint, [], b"").is_ok(), "{endpoint:?}");
            let refused = facts(*endpoint, [], b"{}");
            assert_eq!(refused, Err(FactsError::UnexpectedBody), "{endpoint:?}");
        }
    }
}

#[test]
fn no_error_repeats_the_body() {
    for body in [
        r#"{"model":"m","messages":"hunter2"}"#,
        r#"{"model":{"hunter2":1},"messages":[]}"#,
        r#"{"model":"m","messages":[],"stream":"hunter2"}"#,
        r#"{"model":"hunter2"#,
    ] {
        let error = of(body).unwrap_err();
        let mut shown = format!("{error} {error:?}");
        if let Some(source) = error.source() {
            shown += &source.to_string();
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

/// The texts of a body, as `place: text`.
fn texts_of(endpoint: Endpoint, body: &[u8]) -> Vec<String> {
    let mut seen = Vec::new();
    let action = read(endpoint, [], body, &mut |place, text| {
        seen.push(format!("{place:?}: {text}"));
    });
    assert_eq!(action, facts(endpoint, [], body), "texts change no fact");
    action.unwrap();
    seen
}

#[test]
fn every_text_comes_with_its_place() {
    let body = r#"{
        "model": "m", "max_tokens": 9,
        "system": [{"type":"text","text":"be\nkind","cache_control":{"type":"ephemeral"}}],
        "messages": [
            {"role":"user","content":"hi"},
            {"role":"assistant","content":[
                {"type":"thinking","thinking":"hm","signature":"c2lnbmF0dXJl"},
                {"type":"redacted_thinking","data":"ZGF0YQ=="},
                {"type":"text","text":"I look"},
                {"type":"tool_use","id":"toolu_1","name":"Bash","input":{"command":"ls \"x\"", "n":1}},
                {"type":"server_tool_use","id":"s_1","name":"web_search","input":{"query":"q"}},
                {"type":"web_search_tool_result","tool_use_id":"s_1","content":[
                    {"type":"web_search_result","title":"found","encrypted_content":"RU5D"}]}]},
            {"role":"user","content":[
                {"tool_use_id":"toolu_1","content":[{"type":"text","text":"a.txt"}],"type":"tool_result"},
                {"type":"tool_result","tool_use_id":"toolu_1","content":"b.txt"},
                {"type":"document","title":"T","source":{"type":"text","media_type":"text/plain","data":"D"}},
                {"type":"document","source":{"type":"content","content":[{"type":"text","text":"E"}]}},
                {"type":"search_result","title":"S","source":"http://x","content":[{"type":"text","text":"F"}]},
                {"type":"text","text":"thanks"}]},
            {"content":[{"text":"later","type":"text"}],"role":"system"}],
        "tools": [{"name":"Bash","description":"runs","input_schema":{"properties":{"a b":{"description":"arg"}}}}],
        "mcp_servers": [{"type":"url","url":"https://mcp.example.com/sse","name":"x"}],
        "metadata": {"user_id":"u 1"}
    }"#;
    let seen = texts_of(Endpoint::MessagesCreate, body.as_bytes());
    // Words of the protocol itself come too, but nobody minds them.
    let seen: Vec<&str> = (seen.iter().map(String::as_str))
        .filter(|text| {
            let other = ["ephemeral", "toolu_1", "s_1", "text/plain"];
            !other.iter().any(|word| text.ends_with(word))
        })
        .collect();
    assert_eq!(
        seen,
        [
            "System: be\nkind",
            "UserText: hi",
            "Thinking: hm",
            "AssistantText: I look",
            "ToolUse(\"Bash\"): ls \"x\"",
            r#"ToolUse("Bash"): {"command":"ls \"x\"","n":1}"#,
            "ToolUse(\"web_search\"): q",
            r#"ToolUse("web_search"): {"query":"q"}"#,
            "ToolResult: web_search_result",
            "ToolResult: found",
            "ToolResult: RU5D",
            "ToolResult: a.txt",
            "ToolResult: b.txt",
            "Document: T",
            "Document: D",
            "Document: E",
            "Document: S",
            "Document: http://x",
            "Document: F",
            "UserText: thanks",
            "System: later",
            "ToolDefinition: runs",
            "ToolDefinition: a b",
            "ToolDefinition: arg",
            "Other: https://mcp.example.com/sse",
            "McpServer: mcp.example.com",
            "Other: u 1",
        ]
    );
}

#[test]
fn a_batch_and_an_upload_have_texts_too() {
    let one = |text: &str| {
        format!(
            r#"{{"custom_id":"c 1","params":{{"model":"m","messages":[{{"role":"user","content":"{text}"}}]}}}}"#
        )
    };
    let body = format!(r#"{{"requests":[{},{}]}}"#, one("a"), one("b"));
    let seen = texts_of(Endpoint::BatchCreate, body.as_bytes());
    assert_eq!(
        seen,
        ["Other: c 1", "UserText: a", "Other: c 1", "UserText: b"]
    );
    assert_eq!(
        texts_of(Endpoint::FileUpload, b"--x\r\n"),
        ["Document: --x\r\n"]
    );
    assert!(texts_of(Endpoint::FileUpload, b"--x\xff").is_empty());
}

#[test]
fn what_nobody_can_read_is_named() {
    let long = "QUJD".repeat(16);
    for (content, unknown) in [
        (r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"QUJD"}}"#.to_owned(), &["images"][..]),
        (r#"{"type":"image","source":{"type":"url","url":"https://x/y.png"}}"#.to_owned(), &["images"]),
        (r#"{"source":{"data":"QUJD","type":"base64"},"type":"document"}"#.to_owned(), &["documents"]),
        (r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#.to_owned(), &["files"]),
        (r#"{"type":"document","source":{"type":"hologram"}}"#.to_owned(), &["documents"]),
        (r#"{"type":"container_upload","file_id":"f"}"#.to_owned(), &["files"]),
        (r#"{"type":"tool_result","content":[{"type":"image","source":{"type":"base64","data":"QUJD"}}]}"#.to_owned(), &["images"]),
        (format!(r#"{{"type":"brand_new","data":"{long}"}}"#), &["binary"]),
        (format!(r#"{{"type":"brand_new","x":{{"data":["{long}"]}}}}"#), &["binary"]),
        (format!(r#"{{"type":"new_tool_result","encrypted_content":"{long}"}}"#), &[]),
        (r#"{"type":"brand_new","data":"short"}"#.to_owned(), &[]),
        (r#"{"type":"document","source":{"type":"text","data":"x"}}"#.to_owned(), &[]),
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{content}]}}]}}"#);
        let action = of(&body).unwrap();
        assert_eq!(set(&action, "unknown"), unknown, "{content}");
    }
    assert!(set(&of(&with("")).unwrap(), "unknown").is_empty());
}

#[test]
fn repeated_calls_are_counted_at_the_end() {
    let call = |name: &str, input: &str| {
        format!(
            r#"{{"role":"assistant","content":[{{"type":"tool_use","id":"{name}{input_len}","name":"{name}","input":{input}}}]}},{{"role":"user","content":[{{"type":"tool_result","content":"x"}}]}}"#,
            input_len = input.len()
        )
    };
    let (a, same, other) = (
        call("Bash", r#"{"a":1,"b":"A"}"#),
        call("Bash", r#"{ "b" : "\u0041", "a" : 1 }"#),
        call("Bash", r#"{"a":2,"b":"A"}"#),
    );
    let read = call("Read", r#"{"a":1,"b":"A"}"#);
    for (calls, expected) in [
        (vec![], 0),
        (vec![&a], 1),
        (vec![&a, &same, &a], 3),
        (vec![&a, &a, &other], 1),
        (vec![&a, &other, &a, &a], 2),
        (vec![&a, &a, &read, &read], 2),
    ] {
        let calls: Vec<&str> = calls.into_iter().map(String::as_str).collect();
        let params = format!(r#"{{"model":"m","messages":[{}]}}"#, calls.join(","));
        let action = of(&params).unwrap();
        assert_eq!(
            action.fact("repeated_tool_calls"),
            Some(&Fact::Long(expected)),
            "{calls:?}"
        );
        let batch = format!(
            r#"{{"requests":[{{"params":{params}}},{{"params":{{"model":"m","messages":[]}}}}]}}"#
        );
        let action = facts(Endpoint::BatchCreate, [], batch.as_bytes()).unwrap();
        assert_eq!(
            action.fact("repeated_tool_calls"),
            Some(&Fact::Long(expected))
        );
    }
}

proptest::proptest! {
    /// Wherever a text is put into a request, it comes out.
    #[test]
    fn nothing_is_skipped(at in proptest::prelude::any::<proptest::sample::Index>()) {
        use serde_json::Value;

        const MARK: &str = "the needle, wherever it is";
        let request: Value = serde_json::from_str(r#"{
            "model": "m", "max_tokens": 9, "system": [{"type":"text","text":"","x":{"y":[""]}}],
            "messages": [
                {"role":"user","content":""}, {"role":"","content":""}, "",
                {"role":"assistant","name":"","content":[
                    {"type":"thinking","thinking":"","signature":"","x":""},
                    {"type":"redacted_thinking","data":""},
                    {"type":"text","text":"","citations":[{"cited_text":""}]},
                    {"type":"tool_use","id":"","name":"","input":{"a":[{"b":""}],"data":""},"x":""},
                    {"type":"tool_use","input":""},
                    {"type":"mcp_tool_use","id":"","name":"","server_name":"","input":{"a":""}},
                    {"type":"web_fetch_tool_result","content":{"content":{"source":{"data":""}}}},
                    {"type":"","data":"","a":{"signature":["",{"b":""}]}}, "", [""], [[{"type":"","a":""}]]]},
                {"role":"user","x":[""],"content":[
                    {"type":"tool_result","tool_use_id":"","content":[{"type":"text","text":""},
                        {"type":"image","source":{"type":"base64","data":"","media_type":""}}]},
                    {"type":"document","title":"","context":"","source":{"type":"text","data":""}},
                    {"type":"document","source":{"type":"url","url":""}},
                    {"type":"document","source":{"type":"","a":[""]}}, {"type":"document","source":""},
                    {"type":"document","source":{"type":"content","content":""}},
                    {"type":"search_result","title":"","source":"","content":[{"type":"text","text":""}]},
                    {"type":"container_upload","file_id":""}]},
                {"content":{"type":"text","text":""}}],
            "tools": [{"name":"t","type":"","description":"","input_schema":{"enum":["",{"x":""}]}}],
            "tool_choice": {"type":"auto","name":"","x":[""]},
            "thinking": {"type":"enabled","x":""},
            "mcp_servers": [{"type":"","url":"","name":"","authorization_token":""}],
            "fallbacks": [{"model":"n","x":""}], "container": {"id":"","skills":[{"skill_id":""}]},
            "stop_sequences": [""], "metadata": {"user_id":""}, "brand_new": {"a":{"b":""}}
        }"#).unwrap();
        let mut paths = Vec::new();
        collect(&request, String::new(), &mut paths);
        let path = &paths[at.index(paths.len())];
        // As a value, and where the member that says what it is comes last.
        for reversed in [false, true] {
            let mut request = request.clone();
            *request.pointer_mut(path).unwrap() = MARK.into();
            if reversed {
                reverse(&mut request);
            }
            let mut found = false;
            texts(&request, &mut |text| found |= text.contains(MARK));
            proptest::prop_assert!(found, "{path}");
        }
    }
}

fn texts(request: &serde_json::Value, seen: &mut dyn FnMut(&str)) {
    let body = request.to_string();
    crate::texts(Endpoint::MessagesCreate, body.as_bytes(), &mut |_, text| {
        seen(text);
    })
    .unwrap();
}

/// The paths of all empty strings.
fn collect(value: &serde_json::Value, path: String, paths: &mut Vec<String>) {
    use serde_json::Value;
    match value {
        Value::String(text) if text.is_empty() => paths.push(path),
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                collect(value, format!("{path}/{index}"), paths);
            }
        }
        Value::Object(members) => {
            for (name, value) in members {
                collect(value, format!("{path}/{name}"), paths);
            }
        }
        _ => {}
    }
}

/// Turns the order of all members round.
fn reverse(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::Array(list) => list.iter_mut().for_each(reverse),
        Value::Object(members) => {
            members.values_mut().for_each(reverse);
            let all: Vec<_> = std::mem::take(members).into_iter().collect();
            members.extend(all.into_iter().rev());
        }
        _ => {}
    }
}
