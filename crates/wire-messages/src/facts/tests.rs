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
