//! One exchange on a page.

use serde_json::Value;

use super::{Tone, field, heading, inert, local, tone};

/// The most characters of a prompt or an answer on the page; `--json` has all of them.
const TEXT: usize = 2_000;

/// The page of an exchange in its JSON form.
pub(crate) fn exchange(record: &Value) -> Vec<String> {
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
    line("what", what(record));
    line("decision", decision(record));
    line("outcome", outcome(record));
    line(
        "told",
        text("/refusal/message").map(|message| cut(&message)),
    );
    line("error", error(record));
    line("masked", masked(record));
    line("prompt", prompt(record).map(|prompt| cut(&inert(&prompt))));
    line("answer", answer(record).map(|answer| cut(&inert(&answer))));
    line("usage", usage(record));
    line("ledger", ledger(record));
    page
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

fn what(record: &Value) -> Option<String> {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(inert);
    let method = text("/request/method")?;
    let call = match text("/action/name") {
        Some(action) => action,
        None => format!("{method} {}", text("/request/target").unwrap_or_default()),
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

fn decision(record: &Value) -> Option<String> {
    let decision = record
        .get("decision")
        .filter(|decision| decision.is_object())?;
    let verdict = decision.get("verdict").and_then(Value::as_str)?;
    let meant = if verdict == "allow" {
        Tone::Good
    } else {
        Tone::Bad
    };
    let rules: Vec<_> = decision
        .get("rules")?
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .map(inert)
        .collect();
    let rules = if rules.is_empty() {
        "no rule".to_owned()
    } else {
        rules.join(", ")
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
    Some(line)
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
        let page = anstream::adapter::strip_str(&exchange(&record).join("\n")).to_string();
        assert!(
            page.contains("  error      overloaded_error: too \\u{1b}[2Jmuch"),
            "{page}"
        );

        let record = json!({
            "id": "1",
            "outcome": "denied",
            "refusal": { "code": "policy_denied", "message": "not on a Friday" },
        });
        let page = anstream::adapter::strip_str(&exchange(&record).join("\n")).to_string();
        assert!(page.contains("  told       not on a Friday"), "{page}");
        assert!(!page.contains("error"), "{page}");
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
