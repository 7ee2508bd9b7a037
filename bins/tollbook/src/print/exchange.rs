//! One exchange on a page.

use serde_json::Value;
use tollbook_search::Sql;

use super::{Tone, field, heading, inert, local, tone};

/// The most characters of a prompt or an answer on the page; `--json` has all of them.
const TEXT: usize = 2_000;
/// The most rows of a result of SQL on the page.
const ROWS: usize = 20;
/// The connections under which the gate notes what it does itself and what it is told to do.
const OWN: [&str; 2] = ["(gate)", "(admin)"];

/// The page of an exchange in its JSON form. `steps` are the records of what people did about its
/// approval, as far as they were found.
pub(crate) fn exchange(record: &Value, steps: &[Value]) -> Vec<String> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(inert);
    let mut page = vec![heading(&format!(
        "exchange {}",
        text("/id").unwrap_or_default()
    ))];
    let mut line = |name: &str, value: Option<String>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            page.push(field(name, &value));
        }
    };
    line("when", text("/started").map(|time| local(&time)));
    line("who", who(record));
    line("", behind(record));
    line("", shown(record));
    line("what", what(record));
    line("facts", facts(record));
    line("risk", risk(record));
    line("decision", decision(record));
    line("approval", approval(record, steps));
    line("outcome", outcome(record));
    line("erased", erased(record));
    line(
        "sealed",
        text("/unavailable/why").map(|why| format!("it cannot be opened here: {why}")),
    );
    line("durable", durable(record));
    line(
        "told",
        text("/refusal/message").map(|message| cut(&message)),
    );
    line("error", error(record));
    line("masked", masked(record));
    if let Some(sql) = Sql::of(record) {
        line("statement", Some(cut(&inert(&sql.statement))));
        let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "∅".to_owned());
        let values: Vec<String> = sql.parameters.iter().map(value).collect();
        line("values", Some(cut(&inert(&values.join(", ")))));
        line("result", Some(cut(&inert(&sql.tables(ROWS)))));
    }
    line("prompt", prompt(record).map(|prompt| cut(&inert(&prompt))));
    line("answer", answer(record).map(|answer| cut(&inert(&answer))));
    line("tools", tools(record));
    line("usage", usage(record));
    line("ledger", ledger(record));
    page
}

/// What of it is gone, since when, and why.
fn erased(record: &Value) -> Option<String> {
    let list = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts.filter_map(Value::as_str).map(inert).collect()
    };
    let erased = record.get("erased").filter(|erased| erased.is_object())?;
    let classes = match list(&erased["classes"]) {
        classes if classes.iter().any(|class| class == "metadata") => "all of it".to_owned(),
        classes => classes.join(" and "),
    };
    let told = erased["tombstones"].as_array().into_iter().flatten();
    let told = told.map(|tombstone| {
        let text = |pointer: &str| {
            tombstone
                .pointer(pointer)
                .and_then(Value::as_str)
                .map(inert)
        };
        let why = match text("/told/basis") {
            Some(basis) => format!(" ({basis})"),
            None => String::new(),
        };
        let time = text("/time").map(|time| local(&time)).unwrap_or_default();
        format!(
            "{time} by {}{why}, entry {}",
            text("/told/why").unwrap_or_default(),
            tombstone["index"]
        )
    });
    let told: Vec<String> = told.collect();
    Some(format!("{classes}: {}", told.join("; ")))
}

/// What was durable before what passed.
fn durable(record: &Value) -> Option<String> {
    Some(match record["level"].as_str()? {
        "intent" => "the request, before it went on".to_owned(),
        "release" => "the request before it went on, the answer before it passed".to_owned(),
        "spool" => tone(
            "nothing in time: it passed before it was recorded",
            Tone::Bad,
        ),
        other => inert(other),
    })
}

/// Who asked, in one line.
pub(crate) fn who(record: &Value) -> Option<String> {
    let principal = record
        .get("principal")
        .filter(|principal| principal.is_object())?;
    let name = |key: &str| principal.get(key).and_then(Value::as_str).map(inert);
    let mut who = format!("{} {}", name("issuer")?, name("subject")?);
    match principal.get("groups").and_then(Value::as_array) {
        Some(groups) if groups.is_empty() => {}
        Some(groups) => {
            let groups: Vec<_> = groups.iter().filter_map(Value::as_str).map(inert).collect();
            who.push_str(&format!(" ({})", groups.join(", ")));
        }
        None => who.push_str(" (groups unknown)"),
    }
    Some(who)
}

/// Whom a job or workload acts for, and in which run.
fn behind(record: &Value) -> Option<String> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(inert);
    let mut parts = Vec::new();
    match (text("/principal/actor/login"), text("/principal/actor/id")) {
        (Some(login), Some(id)) => parts.push(format!("started by {login} ({id})")),
        (Some(one), None) | (None, Some(one)) => parts.push(format!("started by {one}")),
        (None, None) => {}
    }
    if let Some(run) = text("/principal/run/id") {
        parts.push(match text("/principal/run/attempt") {
            Some(attempt) => format!("run {run}, attempt {attempt}"),
            None => format!("run {run}"),
        });
    }
    parts.extend(text("/principal/environment").map(|name| format!("environment {name}")));
    parts.extend(text("/principal/on_behalf_of").map(|whom| format!("for {whom}")));
    Some(parts.join(", "))
}

/// What the caller was let in with, where that was no token of an issuer.
fn shown(record: &Value) -> Option<String> {
    let access = record.pointer("/principal/access")?;
    let rules = words(&access["rules"]);
    let token = access["token"].as_str().map(inert);
    let mut line = match (token, rules.as_str()) {
        (Some(token), "") => format!("by gateway token {token}"),
        (Some(token), rules) => format!("by gateway token {token} of {rules}"),
        (None, "") => String::new(),
        (None, rules) => format!("by {rules}"),
    };
    if access["certificate"].is_string() {
        let also = if line.is_empty() { "by" } else { ", with" };
        line.push_str(&format!("{also} a client certificate"));
    }
    Some(line)
}

fn what(record: &Value) -> Option<String> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(inert);
    let call = match (text("/action/name"), text("/request/method")) {
        (Some(action), _) => action,
        (None, Some(method)) => {
            format!("{method} {}", text("/request/target").unwrap_or_default())
        }
        // The gate's own acts have neither.
        (None, None) => return None,
    };
    let mut what = format!("{call} through {}", text("/connection").unwrap_or_default());
    match (text("/model/requested"), text("/model/served")) {
        (Some(asked), Some(served)) if asked != served => {
            what.push_str(&format!(", model {asked} (served {served})"));
        }
        (Some(model), _) => what.push_str(&format!(", model {model}")),
        _ => {}
    }
    if record.pointer("/action/stream").and_then(Value::as_bool) == Some(true) {
        what.push_str(", streamed");
    }
    Some(what)
}

/// The facts of what is no call of a model: an event of the gate, or a call of the admin API.
fn facts(record: &Value) -> Option<String> {
    if !OWN.iter().any(|own| record["connection"] == *own) {
        return None;
    }
    let facts = record["action"].as_object()?.iter();
    let lines: Vec<String> = facts
        .filter(|(name, _)| *name != "name")
        .map(|(name, value)| format!("{}: {}", inert(name), value_of(value)))
        .collect();
    Some(lines.join("\n"))
}

/// What detectors say of the request.
fn risk(record: &Value) -> Option<String> {
    let labels = words(record.pointer("/action/labels")?);
    if labels.is_empty() {
        return None;
    }
    let risk = record.pointer("/action/risk").and_then(Value::as_i64);
    Some(match risk {
        Some(risk) => format!("{risk} of 100: {labels}"),
        None => labels,
    })
}

fn decision(record: &Value) -> Option<String> {
    let decision = record
        .get("decision")
        .filter(|decision| decision.is_object())?;
    let verdict = decision.get("verdict").and_then(Value::as_str)?;
    let passed = decision.get("approval").is_some_and(Value::is_string);
    let meant = match verdict {
        "allow" => Tone::Good,
        "approve" if passed => Tone::Good,
        "approve" => Tone::Plain,
        _ => Tone::Bad,
    };
    let rules = match words(decision.get("rules")?).as_str() {
        "" => "no rule".to_owned(),
        rules => rules.to_owned(),
    };
    let hash = decision
        .get("policy_hash")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let short: String = hash.chars().take("sha256:".len() + 12).collect();
    let mut line = format!(
        "{} by {rules} {}",
        tone(verdict, meant),
        tone(&format!("({short}…)"), Tone::Aside)
    );
    if let Some(reason) = decision.get("reason").and_then(Value::as_str) {
        line.push_str(&format!("\n{}", inert(reason)));
    }
    let broken = words(&decision["errors"]);
    if !broken.is_empty() {
        line.push_str(&format!("\ncannot be evaluated: {broken}"));
    }
    for one in decision["requires"].as_array().into_iter().flatten() {
        let text = |key: &str| inert(one[key].as_str().unwrap_or("?"));
        line.push_str(&format!(
            "\nneeds {} of {} ({})",
            one["people"],
            text("group"),
            text("rule")
        ));
    }
    let shadow = words(&decision["shadow"]);
    if !shadow.is_empty() {
        line.push_str(&format!(
            "\non trial: {shadow} would have decided otherwise"
        ));
    }
    Some(line)
}

/// By which approval or grant it passed, and what people did about that.
fn approval(record: &Value, steps: &[Value]) -> Option<String> {
    let by = record.pointer("/decision/approval").and_then(Value::as_str);
    let mut lines: Vec<String> = by
        .map(|by| format!("let through by {}", inert(by)))
        .into_iter()
        .collect();
    for step in steps {
        let text = |key: &str| step["action"][key].as_str().map(inert);
        let Some(name) = text("name") else { continue };
        let done = match name.rsplit('.').next() {
            // The word of one of several.
            Some("voted") => "approved",
            Some("granted") => "granted beforehand",
            Some(done) => done,
            None => continue,
        };
        let Some(person) = text("person") else {
            continue;
        };
        let at = step["started"].as_str().map(local).unwrap_or_default();
        let mut line = format!("{done} by {person}, {at}");
        if let Some(reason) = text("person_reason").or_else(|| text("why")) {
            line.push_str(&format!(": {reason}"));
        }
        lines.push(line);
    }
    Some(lines.join("\n"))
}

/// What became of the tool calls of the answer, where they were judged.
fn tools(record: &Value) -> Option<String> {
    let mut lines = Vec::new();
    for one in record["tool_decisions"].as_array().into_iter().flatten() {
        let text = |key: &str| one[key].as_str().map(inert);
        let (tool, verdict) = (text("tool")?, text("verdict")?);
        let (word, meant) = match &*verdict {
            "allow" => ("allow", Tone::Good),
            "not_asked" => ("not judged", Tone::Aside),
            other => (other, Tone::Bad),
        };
        let mut line = format!("{} {tool}", tone(word, meant));
        if verdict == "not_asked" {
            line.push_str(", which the API called itself");
        }
        let rules = words(&one["rules"]);
        if !rules.is_empty() {
            line.push_str(&format!(" by {rules}"));
        }
        if let Some(code) = text("code") {
            line.push_str(&format!(" ({code})"));
        }
        if let Some(by) = text("approval") {
            line.push_str(&format!(", let through by {by}"));
        }
        let shadow = words(&one["shadow"]);
        if !shadow.is_empty() {
            line.push_str(&format!(", on trial: {shadow}"));
        }
        lines.push(line);
    }
    let withheld = words(&record["withheld"]);
    if !withheld.is_empty() {
        lines.push(format!("did not reach the caller: {withheld}"));
    }
    Some(lines.join("\n"))
}

/// The texts of a list, made harmless.
fn words(list: &Value) -> String {
    let all = list.as_array().into_iter().flatten();
    let all: Vec<String> = all.filter_map(Value::as_str).map(inert).collect();
    all.join(", ")
}

/// A fact as a person reads it.
fn value_of(value: &Value) -> String {
    match value {
        Value::String(text) => inert(text),
        Value::Array(_) => words(value),
        other => other.to_string(),
    }
}

fn outcome(record: &Value) -> Option<String> {
    let outcome = record
        .get("outcome")
        .and_then(Value::as_str)
        .unwrap_or("still open");
    let meant = if outcome == "complete" {
        Tone::Good
    } else {
        Tone::Bad
    };
    let mut line = tone(outcome, meant);
    if let Some(status) = record.get("status").and_then(Value::as_u64) {
        line.push_str(&format!(", status {status}"));
    }
    if let Some(reason) = record.pointer("/refusal/reason").and_then(Value::as_str) {
        line.push_str(&format!(", because {reason}"));
    }
    if let Some(stop) = record.get("stop_reason").and_then(Value::as_str) {
        line.push_str(&format!(", {}", inert(stop)));
    }
    Some(line)
}

/// The error that the upstream answered with, or that ended its stream.
fn error(record: &Value) -> Option<String> {
    let error = record.get("error")?;
    let part = |key: &str| error.get(key).and_then(Value::as_str).map(inert);
    let line = match (part("type"), part("message")) {
        (Some(kind), Some(message)) => format!("{kind}: {message}"),
        (one, other) => one.or(other)?,
    };
    Some(cut(&line))
}

fn masked(record: &Value) -> Option<String> {
    let findings = record.get("findings")?.as_array()?;
    let lines: Vec<_> = findings
        .iter()
        .filter_map(|finding| {
            let text = |key: &str| finding.get(key).and_then(Value::as_str).map(inert);
            let count = finding.get("count").and_then(Value::as_u64)?;
            Some(format!("{count} × {} in {}", text("rule")?, text("place")?))
        })
        .collect();
    Some(lines.join("\n"))
}

/// What the user said last, without what the agent puts around it on its own: messages of the
/// system within the conversation, and reminders beside the user's text.
fn prompt(record: &Value) -> Option<String> {
    let body: Value = serde_json::from_str(record.pointer("/request/body")?.as_str()?).ok()?;
    let messages = body.get("messages")?.as_array()?;
    let is_users = |message: &&Value| message.get("role").and_then(Value::as_str) == Some("user");
    let content = messages.iter().rev().find(is_users)?.get("content")?;
    let is_reminder = |block: &&Value| {
        let text = block
            .get("text")
            .and_then(Value::as_str)
            .unwrap_or_default();
        text.trim_start().starts_with("<system-reminder>")
    };
    let own: Option<Vec<Value>> = content.as_array().map(|all| {
        all.iter()
            .filter(|block| !is_reminder(block))
            .cloned()
            .collect()
    });
    Some(match own {
        Some(own) if !own.is_empty() => blocks(&Value::Array(own)),
        _ => blocks(content),
    })
}

fn answer(record: &Value) -> Option<String> {
    record.pointer("/answer/content").map(blocks)
}

/// The readable parts of a message's content.
fn blocks(content: &Value) -> String {
    if let Some(text) = content.as_str() {
        return text.to_owned();
    }
    let block = |block: &Value| {
        let text = |key: &str| block.get(key).and_then(Value::as_str).unwrap_or_default();
        match text("type") {
            "text" => text("text").to_owned(),
            "thinking" => format!("[thinking] {}", text("thinking")),
            "tool_use" => {
                let input = block.get("input").cloned().unwrap_or_default();
                format!("[calls {}] {input}", text("name"))
            }
            "tool_result" => {
                format!(
                    "[tool result] {}",
                    block.get("content").map(blocks).unwrap_or_default()
                )
            }
            other => format!("[{other}]"),
        }
    };
    content
        .as_array()
        .map(|all| all.iter().map(block).collect::<Vec<_>>().join("\n"))
        .unwrap_or_default()
}

fn usage(record: &Value) -> Option<String> {
    let usage = record.get("usage").filter(|usage| usage.is_object())?;
    let parts = [
        ("input_tokens", "in"),
        ("output_tokens", "out"),
        ("cache_read_input_tokens", "read from cache"),
        ("cache_creation_input_tokens", "written to cache"),
    ];
    let parts: Vec<_> = parts
        .iter()
        .filter_map(|(key, name)| Some(format!("{} {name}", usage.get(*key)?.as_u64()?)))
        .collect();
    Some(format!("{} tokens", parts.join(", ")))
}

fn ledger(record: &Value) -> Option<String> {
    let log = record.pointer("/ledger/log")?.as_str()?;
    let index = record.pointer("/ledger/index").and_then(Value::as_u64);
    let intent = record
        .pointer("/ledger/intent_index")
        .and_then(Value::as_u64);
    Some(match (intent, index) {
        (Some(intent), Some(index)) => {
            format!("{log}, request at index {intent}, outcome at {index}")
        }
        (Some(intent), None) => format!("{log}, request at index {intent}"),
        (None, Some(index)) => format!("{log}, index {index}"),
        (None, None) => return None,
    })
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}… ({} bytes in all)", &text[..at], text.len()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_went_wrong_stands_on_the_page() {
        let record = json!({
            "id": "1",
            "outcome": "error_event",
            "error": { "type": "overloaded_error", "message": "too \u{1b}[2Jmuch" },
        });
        let page = anstream::adapter::strip_str(&exchange(&record, &[]).join("\n")).to_string();
        assert!(
            page.contains("  error      overloaded_error: too \\u{1b}[2Jmuch"),
            "{page}"
        );

        let record = json!({
            "id": "1",
            "outcome": "denied",
            "refusal": { "code": "policy_denied", "message": "not on a Friday" },
        });
        let page = anstream::adapter::strip_str(&exchange(&record, &[]).join("\n")).to_string();
        assert!(page.contains("  told       not on a Friday"), "{page}");
        assert!(!page.contains("error"), "{page}");
    }

    fn plain(record: &Value, steps: &[Value]) -> String {
        anstream::adapter::strip_str(&exchange(record, steps).join("\n")).to_string()
    }

    #[test]
    fn who_stands_behind_it_and_who_said_yes() {
        let record = json!({
            "id": "1",
            "connection": "claude",
            "principal": {
                "kind": "ci", "issuer": "ci", "subject": "repo:acme/pay", "groups": ["ci-payments"],
                "actor": { "id": "583231", "login": "otto\u{202e}" },
                "run": { "id": "42", "attempt": "2" },
                "environment": "production",
                "access": { "rules": ["payments-ci"], "token": "gwt_1" },
            },
            "request": { "method": "POST", "target": "/v1/messages" },
            "action": {
                "name": "messages.create", "labels": ["destructive-sql"], "risk": 80,
            },
            "decision": {
                "verdict": "approve", "rules": ["careful"], "policy_hash": "sha256:0123456789abcdef",
                "reason": "a lead looks at this",
                "requires": [{ "rule": "careful", "group": "leads", "people": 1 }],
                "approval": "apr_1", "shadow": ["no-opus"],
            },
            "tool_decisions": [
                { "tool": "Bash", "id": "a", "verdict": "deny", "rules": ["no-rm"], "code": "policy_denied" },
                { "tool": "Read", "id": "b", "verdict": "allow", "approval": "apr_2" },
                { "tool": "web_search", "id": "c", "verdict": "not_asked" },
            ],
            "withheld": ["a"],
        });
        let steps = [json!({
            "started": "-",
            "action": {
                "name": "approval.approved", "person": "person:ana", "person_reason": "go\u{1b}[2J",
            },
        })];
        let expected = "exchange 1
  who        ci repo:acme/pay (ci-payments)
             started by otto\\u{202e} (583231), run 42, attempt 2, environment production
             by gateway token gwt_1 of payments-ci
  what       messages.create through claude
  risk       80 of 100: destructive-sql
  decision   approve by careful (sha256:0123456789ab…)
             a lead looks at this
             needs 1 of leads (careful)
             on trial: no-opus would have decided otherwise
  approval   let through by apr_1
             approved by person:ana, -: go\\u{1b}[2J
  outcome    still open
  tools      deny Bash by no-rm (policy_denied)
             allow Read, let through by apr_2
             not judged web_search, which the API called itself
             did not reach the caller: a";
        assert_eq!(plain(&record, &steps), expected);
    }

    #[test]
    fn an_act_of_the_gate_says_what_it_was() {
        let record = json!({
            "id": "1",
            "connection": "(gate)",
            "action": { "name": "policy.reloaded", "before": "sha256:1", "policies": 3 },
            "request": { "method": null },
            "outcome": "complete",
        });
        let expected = "exchange 1
  what       policy.reloaded through (gate)
  facts      before: sha256:1
             policies: 3
  outcome    complete";
        assert_eq!(plain(&record, &[]), expected);
    }

    #[test]
    fn the_prompt_is_what_the_user_said() {
        let body = json!({ "messages": [
            { "role": "user", "content": "first" },
            { "role": "assistant", "content": "answer" },
            { "role": "user", "content": [
                { "type": "text", "text": "<system-reminder>of the agent</system-reminder>" },
                { "type": "text", "text": "then this" },
            ] },
            { "role": "system", "content": "available agents" },
        ] });
        let record = json!({ "request": { "body": body.to_string() } });
        assert_eq!(prompt(&record).as_deref(), Some("then this"));
        let alone = json!({ "messages": [{ "role": "user", "content": [
            { "type": "text", "text": "<system-reminder>alone</system-reminder>" },
        ] }] });
        let record = json!({ "request": { "body": alone.to_string() } });
        assert!(prompt(&record).unwrap().contains("alone"));
    }
}
