//! Events of the Open Cybersecurity Schema Framework 1.8, of the class API Activity (6003), with the
//! profiles `security_control` and `ai_operation` (<https://schema.ocsf.io/1.8.0/classes/api_activity>).
//!
//! The framework has no place for what was said. Names of the book that it has no attribute for
//! stand under `unmapped`.

use serde_json::{Map, Value, json};

use super::{micros, took};
use crate::{conversation::dollars, facts::Spent};

/// API Activity.
const CLASS: i64 = 6_003;

pub(super) fn event(record: &Value, spent: Option<Spent>) -> Value {
    let activity = activity(record);
    let (verdict, outcome) = (
        record["decision"]["verdict"].as_str(),
        record["outcome"].as_str(),
    );
    let failed = outcome != Some("complete");
    let denied = outcome == Some("denied") || outcome == Some("policy_cut");
    let mut profiles = vec!["security_control"];
    let mut event = json!({
        "activity_id": activity,
        "category_uid": 6,
        "class_uid": CLASS,
        "type_uid": CLASS * 100 + activity,
        // Informational; low where something was refused.
        "severity_id": if denied { 2 } else { 1 },
        "time": micros(&record["started"]).unwrap_or_default() / 1_000,
        "status_id": if outcome.is_none() { 0 } else if failed { 2 } else { 1 },
        "status": if outcome.is_none() { "Unknown" } else if failed { "Failure" } else { "Success" },
        "action_id": if denied { 2 } else { 1 },
        "disposition_id": if denied { 2 } else { 1 },
        "actor": actor(record),
        "api": api(record),
        // Where from is not recorded; who is.
        "src_endpoint": { "name": record["principal"]["subject"].as_str().unwrap_or("unknown") },
        "unmapped": {
            "connection": record["connection"],
            "protocol": record["protocol"],
            "outcome": record["outcome"],
            "ended": record["ended"],
            "decision": record["decision"],
            "findings": record["findings"],
            "refusal": record["refusal"],
            "ledger": record["ledger"],
            "cost_usd": spent.map(|spent| dollars(spent.cost)),
        },
    });
    put(&mut event, "status_code", outcome.map(Value::from));
    put(
        &mut event,
        "status_detail",
        record.pointer("/refusal/reason").cloned(),
    );
    let rules = record["decision"]["rules"].as_array();
    let rules: Vec<&str> = rules
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if verdict.is_some() && !rules.is_empty() {
        let version = &record["decision"]["policy_hash"];
        event["policy"] = json!({ "name": rules.join(", "), "version": version });
    }
    http(record, &mut event);
    if let Some(model) = model(record) {
        profiles.push("ai_operation");
        event["ai_model"] = json!({ "name": model, "ai_provider": "Anthropic" });
        let mut context = json!({
            "uid": record["session"],
            "ai_role_id": 2,
            "service": { "name": "Claude API" },
        });
        if let Some(Spent { usage, .. }) = spent {
            context["prompt_tokens"] = json!(usage.prompt());
            context["completion_tokens"] = json!(usage.output);
            context["total_tokens"] = json!(usage.prompt().saturating_add(usage.output));
        }
        event["message_context"] = context;
    }
    event["metadata"] = json!({
        "version": "1.8.0",
        "profiles": profiles,
        "product": {
            "name": "Tollbook",
            "vendor_name": "Tollbook",
            "version": env!("CARGO_PKG_VERSION"),
        },
        "uid": record["id"],
        "correlation_uid": record["session"],
        "log_name": record["ledger"]["log"],
        "sequence": record["ledger"]["intent_index"],
    });
    event
}

/// What the call does to what the upstream keeps.
fn activity(record: &Value) -> i64 {
    const CREATE: i64 = 1;
    const READ: i64 = 2;
    const UPDATE: i64 = 3;
    const DELETE: i64 = 4;
    const OTHER: i64 = 99;
    let action = record["action"]["name"].as_str().unwrap_or_default();
    let (last, method) = (
        action.rsplit('.').next().unwrap_or_default(),
        record["request"]["method"].as_str().unwrap_or_default(),
    );
    match (last, method) {
        ("create" | "upload", _) => CREATE,
        ("list" | "get" | "show" | "retrieve" | "download" | "results" | "count_tokens", _) => READ,
        ("delete", _) | (_, "DELETE") => DELETE,
        ("update", _) | (_, "PUT" | "PATCH") => UPDATE,
        (_, "GET" | "HEAD") => READ,
        (_, "POST") => CREATE,
        _ => OTHER,
    }
}

fn actor(record: &Value) -> Value {
    let caller = &record["principal"];
    let text = |key: &str| caller[key].as_str();
    let mut user = Map::new();
    let mut is = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            user.insert(key.to_owned(), value);
        }
    };
    is("name", Some(text("subject").unwrap_or("unknown").into()));
    is(
        "uid",
        text("stable_id").or(text("subject")).map(Value::from),
    );
    is("domain", text("issuer").map(Value::from));
    // User, or service.
    is(
        "type_id",
        Some(match text("kind") {
            Some("human") => 1.into(),
            Some(_) => 4.into(),
            None => 0.into(),
        }),
    );
    let groups = caller["groups"].as_array().map(|groups| {
        let groups = groups.iter().map(|group| json!({ "name": group }));
        groups.collect::<Value>()
    });
    is("groups", groups.filter(|groups| groups != &json!([])));
    let mut session = json!({ "uid": record["session"] });
    put(&mut session, "issuer", text("issuer").map(Value::from));
    json!({ "user": user, "session": session })
}

fn api(record: &Value) -> Value {
    let name = record["action"]["name"].as_str();
    let method = record["request"]["method"].as_str();
    let mut api = json!({
        "operation": name.or(method).unwrap_or("unknown"),
        "service": { "name": record["connection"] },
        "request": { "uid": record["id"] },
    });
    let mut response = json!({});
    put(
        &mut response,
        "code",
        record["status"].as_i64().map(Value::from),
    );
    let error = record
        .pointer("/error/type")
        .or(record.pointer("/refusal/code"));
    put(&mut response, "error", error.cloned());
    let told = record
        .pointer("/error/message")
        .or(record.pointer("/refusal/message"));
    put(&mut response, "error_message", told.cloned());
    if response != json!({}) {
        api["response"] = response;
    }
    api
}

fn http(record: &Value, event: &mut Value) {
    let request = &record["request"];
    let Some(method) = request["method"]
        .as_str()
        .filter(|method| !method.is_empty())
    else {
        return;
    };
    let target = request["target"].as_str().unwrap_or_default();
    let mut asked = json!({ "http_method": method, "url": { "path": target } });
    put(
        &mut asked,
        "user_agent",
        request.pointer("/headers/user-agent").cloned(),
    );
    put(
        &mut asked,
        "body_length",
        request["bytes"].as_i64().map(Value::from),
    );
    event["http_request"] = asked;
    if let Some(status) = record["status"].as_i64() {
        let mut answered = json!({ "code": status });
        let length = record["response"]["bytes"].as_i64();
        put(&mut answered, "body_length", length.map(Value::from));
        put(
            &mut answered,
            "latency",
            took(record).map(|took| (took / 1_000).into()),
        );
        event["http_response"] = answered;
    }
}

fn model(record: &Value) -> Option<&str> {
    let model = &record["model"];
    let asked = &record["action"]["model"];
    [&model["served"], &model["requested"], asked]
        .into_iter()
        .find_map(Value::as_str)
}

fn put(to: &mut Value, key: &str, value: Option<Value>) {
    if let Some(value) = value.filter(|value| !value.is_null()) {
        to[key] = value;
    }
}
