//! The official SDKs against the gate.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
};

use serde_json::{Value, json};
use tollbook_testkit::upstream::STANDIN_API_KEY;

use crate::{clients, stage::Stage};

#[test]
fn the_python_sdk_works_through_the_gate() {
    let stage = Stage::set();
    let mut command = Command::new(clients::python());
    command.arg(clients::script("sdk.py"));
    let cases = drive(&stage, command, "python");
    check(&stage, &cases, "python");
    // How this SDK names what went wrong.
    let class = |case: &str| {
        cases[case]["error"]["class"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(class("no_identity"), "AuthenticationError");
    assert_eq!(class("denied"), "PermissionDeniedError");
    stage.end();
}

#[test]
fn the_typescript_sdk_works_through_the_gate() {
    let stage = Stage::set();
    let node = clients::node();
    // A module is resolved from where it lies, so it has to lie beside its node_modules.
    let script = node.join("sdk.mjs");
    std::fs::copy(clients::script("sdk.mjs"), &script).unwrap();
    let mut command = Command::new("node");
    command.arg(script);
    let cases = drive(&stage, command, "typescript");
    check(&stage, &cases, "typescript");
    let class = |case: &str| {
        cases[case]["error"]["class"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(class("no_identity"), "AuthenticationError");
    assert_eq!(class("denied"), "PermissionDeniedError");
    stage.end();
}

fn drive(stage: &Stage, mut command: Command, subject: &str) -> BTreeMap<String, Value> {
    let output = command
        .env("GATE", &stage.base)
        .env("TOKEN", stage.token(subject))
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("ANTHROPIC_AUTH_TOKEN")
        .env_remove("ANTHROPIC_BASE_URL")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let lines = String::from_utf8(output.stdout).unwrap();
    let cases: BTreeMap<String, Value> = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|case| (case["case"].as_str().unwrap().to_owned(), case))
        .collect();
    assert_eq!(cases.len(), 14, "{lines}{told}");
    cases
}

fn check(stage: &Stage, cases: &BTreeMap<String, Value>, language: &str) {
    let ok = |case: &str| {
        let ok = &cases[case]["ok"];
        assert!(!ok.is_null(), "{case}: {}", cases[case]);
        ok
    };
    let error = |case: &str| {
        let error = &cases[case]["error"];
        assert!(!error.is_null(), "{case}: {}", cases[case]);
        error
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();

    // What works, works as without a gate.
    assert!(text(&ok("plain")["text"]).contains(&format!("hello from {language}")));
    assert_eq!(ok("plain")["stop"], "end_turn");
    assert!(
        text(&ok("plain")["request_id"]).starts_with("req_"),
        "the upstream's id passes"
    );
    assert!(text(&ok("streamed")["text"]).contains(&format!("stream this from {language}")));
    assert_eq!(
        ok("thinking"),
        &json!({"blocks": ["thinking", "text"], "signed": true})
    );
    let tool = json!({"stop": "tool_use", "name": "weather", "input": {"city": "Oslo"}, "then": "end_turn"});
    assert_eq!(ok("tool_use"), &tool);
    assert_eq!(
        ok("tool_use_streamed"),
        &json!({"stop": "tool_use", "input": {"city": "Bergen"}})
    );
    assert!(ok("count_tokens")["tokens"].as_u64().unwrap() > 0);
    assert!(!ok("models")["models"].as_array().unwrap().is_empty());
    assert!(!text(&ok("leaves")["saw"]).is_empty());

    // What fails, fails in the words of the API.
    assert_eq!(error("no_identity")["status"], 401);
    assert_eq!(error("no_identity")["type"], "authentication_error");
    for denied in ["denied", "denied_streamed"] {
        assert_eq!(error(denied)["status"], 403, "{denied}");
        assert_eq!(error(denied)["type"], "permission_error", "{denied}");
        let message = text(&error(denied)["message"]);
        assert!(message.contains("no-forbidden-model"), "{message}");
        assert!(
            message.contains("this model is not approved for pipelines"),
            "{message}"
        );
    }
    assert_eq!(error("overloaded")["status"], 529);
    assert_eq!(error("overloaded")["type"], "overloaded_error");
    assert_eq!(error("error_in_stream")["type"], "overloaded_error");
    assert!(!error("cut_stream").is_null());

    // Every call is in the book, in order, with its outcome.
    let book = stage.exchanges(15, |_| true);
    let outcomes: Vec<_> = book
        .iter()
        .map(|summary| {
            let part = |key: &str| summary[key].as_str().unwrap_or("-").to_owned();
            format!("{} {}", part("action"), part("outcome"))
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            "messages.create complete",
            "messages.create complete",
            "messages.create complete",
            "messages.create complete",
            "messages.create complete",
            "messages.create complete",
            "messages.count_tokens complete",
            "models.list complete",
            "- denied",
            "messages.create denied",
            "messages.create denied",
            "messages.create upstream_error",
            "messages.create error_event",
            "messages.create upstream_reset",
            "messages.create client_gone",
        ]
    );

    // One of them in full.
    let record = stage.exchange(&book[4]["id"]);
    assert_eq!(record["principal"]["issuer"], "ci");
    assert_eq!(record["principal"]["subject"], language);
    assert_eq!(record["principal"]["groups"], json!(["developers"]));
    assert_eq!(record["principal"]["claims"]["repository"], "acme/payments");
    assert_eq!(record["decision"]["verdict"], "allow");
    assert_eq!(
        record["decision"]["rules"],
        json!(["connection.claude.allow"])
    );
    assert_eq!(record["model"]["requested"], "claude-haiku-4-5");
    let record = stage.exchange(&book[5]["id"]);
    assert_eq!(record["tool_calls"][0]["input"], json!({"city": "Bergen"}));
    assert_eq!(record["stop_reason"], "tool_use");
    assert!(record["usage"]["cache_read_input_tokens"].is_u64());
    assert!(record["response"]["events"].as_array().unwrap().len() > 5);
    // The reason of the 401 is in the record and nowhere else.
    let record = stage.exchange(&book[8]["id"]);
    assert_eq!(record["refusal"]["code"], "authentication_failed");
    assert!(!text(&error("no_identity")["message"]).contains(&text(&record["refusal"]["reason"])));
    // The caller's token went nowhere, the connection's credential only upstream.
    for received in stage.upstream.received() {
        assert_eq!(received.headers.get("authorization"), None);
        assert_eq!(received.headers.get("x-api-key").unwrap(), STANDIN_API_KEY);
    }
}
