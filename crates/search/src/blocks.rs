//! What is said in an exchange, cut into blocks: the texts, thoughts, tool calls and results of a
//! request of the Messages API and of its answer.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Sql, query::Place};

/// One block of a conversation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    pub(crate) said: Said,
    /// What full text finds it by.
    pub(crate) text: String,
    /// Whether this exchange brings it: it comes after the last answer in the request, or in the
    /// answer. Everything else is history that was sent again, or the setting.
    pub(crate) brought: bool,
}

impl Block {
    pub(crate) fn new(said: Said, brought: bool) -> Self {
        let text = said.text();
        Self {
            said,
            text,
            brought,
        }
    }

    /// Tells it from every other block of a session, as far as people care.
    pub(crate) fn mark(&self) -> i64 {
        let mut hash = Sha256::new();
        hash.update(self.said.place().name());
        if let Said::Call { id, .. } | Said::Result { id, .. } = &self.said {
            hash.update(id);
        }
        hash.update([0]);
        hash.update(&self.text);
        let digest = hash.finalize();
        digest
            .first_chunk()
            .map_or(0, |chunk| i64::from_be_bytes(*chunk))
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Said {
    /// The system prompt, and what clients put beside the user's words on their own.
    System(String),
    /// By the user.
    Prompt(String),
    /// By the model.
    Answer(String),
    /// By upstream or gate, instead of an answer.
    Error(String),
    /// The model to itself; empty where the API leaves it out.
    Thinking(String),
    /// A tool is called. `server` if the API calls it itself.
    Call {
        id: String,
        tool: String,
        input: Value,
        server: bool,
    },
    /// What a tool gave back.
    Result {
        id: String,
        text: String,
        failed: bool,
    },
    /// Anything else, with the name of its kind: an image, a document.
    Other {
        kind: String,
        by_model: bool,
        text: String,
    },
}

impl Said {
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::System(_) => Place::System,
            Self::Prompt(_) => Place::Prompt,
            Self::Answer(_) | Self::Error(_) => Place::Answer,
            Self::Thinking(_) => Place::Thinking,
            Self::Call { .. } => Place::Input,
            Self::Result { .. } => Place::Result,
            Self::Other { by_model: true, .. } => Place::Answer,
            Self::Other { .. } => Place::Prompt,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::System(text)
            | Self::Prompt(text)
            | Self::Answer(text)
            | Self::Error(text)
            | Self::Thinking(text)
            | Self::Result { text, .. }
            | Self::Other { text, .. } => text.clone(),
            Self::Call { input, .. } => leaves(input),
        }
    }
}

/// What an exchange says, in order: the setting and history, what is asked, and the answer.
pub(crate) fn blocks(record: &Value) -> Vec<Block> {
    let mut all = Vec::new();
    if let Some(sql) = Sql::of(record) {
        let parameters = sql.parameters.iter().flatten();
        let asked: Vec<&str> = std::iter::once(&sql.statement)
            .chain(parameters)
            .map(String::as_str)
            .collect();
        loose(Said::Prompt(asked.join("\n").trim().to_owned()), &mut all);
        loose(Said::Answer(sql.words()), &mut all);
        let told = record["refusal"]["message"].as_str().unwrap_or_default();
        loose(Said::Error(told.to_owned()), &mut all);
        return all;
    }
    let body = &record["request"]["body"];
    let asked: Option<Value> = body
        .as_str()
        .and_then(|body| serde_json::from_str(body).ok());
    match &asked {
        Some(asked) if asked["messages"].is_array() => request(asked, &mut all),
        Some(asked) => loose(Said::Prompt(leaves(asked)), &mut all),
        None => loose(
            Said::Prompt(body.as_str().unwrap_or_default().to_owned()),
            &mut all,
        ),
    }
    match record["answer"]["content"].as_array() {
        Some(content) => {
            for block in content {
                all.push(Block::new(said(block, "assistant"), true));
            }
        }
        None if record["error"].is_null() => {
            let body = record["response"]["body"].as_str().unwrap_or_default();
            let text = match serde_json::from_str::<Value>(body) {
                Ok(answer) => leaves(&answer),
                Err(_) => body.to_owned(),
            };
            loose(Said::Answer(text), &mut all);
        }
        None => {}
    }
    for told in [&record["error"]["message"], &record["refusal"]["message"]] {
        let told = told.as_str().unwrap_or_default();
        loose(Said::Error(told.to_owned()), &mut all);
    }
    all
}

/// Something that no conversation has.
fn loose(said: Said, all: &mut Vec<Block>) {
    let block = Block::new(said, true);
    if !block.text.is_empty() {
        all.push(block);
    }
}

fn request(asked: &Value, all: &mut Vec<Block>) {
    let setting = |said| Block::new(said, false);
    match &asked["system"] {
        Value::String(text) => all.push(setting(Said::System(text.clone()))),
        Value::Array(blocks) => {
            let texts = blocks.iter().filter_map(|block| block["text"].as_str());
            all.extend(texts.map(|text| setting(Said::System(text.to_owned()))));
        }
        _ => {}
    }
    let messages = asked["messages"].as_array().map_or(&[][..], Vec::as_slice);
    let is_answer = |message: &Value| message["role"] == "assistant";
    // An answer at the end is one that the model is to go on with: the caller's own words.
    let last = messages.len().saturating_sub(1);
    let answered = messages[..last].iter().rposition(is_answer);
    for (place, message) in messages.iter().enumerate() {
        let brought = answered.is_none_or(|answered| place > answered);
        let role = message["role"].as_str().unwrap_or_default();
        match &message["content"] {
            Value::String(text) => all.push(Block::new(by(role, text.clone()), brought)),
            Value::Array(blocks) => {
                let said = blocks.iter().map(|block| said(block, role));
                all.extend(said.map(|said| Block::new(said, brought)));
            }
            _ => {}
        }
    }
}

fn by(role: &str, text: String) -> Said {
    match role {
        "assistant" => Said::Answer(text),
        "system" => Said::System(text),
        _ if text.trim_start().starts_with("<system-reminder>") => Said::System(text),
        _ => Said::Prompt(text),
    }
}

fn said(block: &Value, role: &str) -> Said {
    let text = |key: &str| block[key].as_str().unwrap_or_default().to_owned();
    let kind = block["type"].as_str().unwrap_or_default();
    match kind {
        "text" => by(role, text("text")),
        "thinking" => Said::Thinking(text("thinking")),
        "tool_use" | "server_tool_use" | "mcp_tool_use" => Said::Call {
            id: text("id"),
            tool: text("name"),
            input: block["input"].clone(),
            server: kind != "tool_use",
        },
        _ if kind.ends_with("tool_result") => Said::Result {
            id: text("tool_use_id"),
            text: spoken(&block["content"]),
            failed: block["is_error"] == true,
        },
        _ => Said::Other {
            kind: kind.to_owned(),
            by_model: role == "assistant",
            text: spoken(block),
        },
    }
}

/// Members of the API's blocks that are no words of anybody: kinds, ids, and bytes in some coding.
const DUMB: [&str; 9] = [
    "type",
    "id",
    "data",
    "signature",
    "encrypted_content",
    "encrypted_index",
    "media_type",
    "tool_use_id",
    "cache_control",
];

/// The texts and numbers within a value, a line each.
pub(crate) fn leaves(value: &Value) -> String {
    within(value, &[])
}

/// Those of a block of the API that somebody said.
pub(crate) fn spoken(value: &Value) -> String {
    within(value, &DUMB)
}

fn within(value: &Value, dumb: &[&str]) -> String {
    let mut text = String::new();
    // No stack of calls: how deep values are nested is up to those who send them.
    let mut open = vec![value];
    while let Some(value) = open.pop() {
        match value {
            Value::String(leaf) => line(&mut text, leaf),
            Value::Number(leaf) => line(&mut text, &leaf.to_string()),
            Value::Array(all) => open.extend(all.iter().rev()),
            Value::Object(members) => {
                // The text of a document is in `data` too.
                let plain = members.get("type").is_some_and(|kind| kind == "text");
                let spoken = members.iter().filter(|(name, value)| {
                    !dumb.contains(&name.as_str())
                        || (plain && *name == "data" && value.is_string())
                });
                let spoken: Vec<&Value> = spoken.map(|(_, value)| value).collect();
                open.extend(spoken.into_iter().rev());
            }
            Value::Null | Value::Bool(_) => {}
        }
    }
    text
}

fn line(text: &mut String, leaf: &str) {
    if !text.is_empty() {
        text.push('\n');
    }
    text.push_str(leaf);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_tool_is_given_is_said_whatever_it_is_called() {
        let call = json!({
            "type": "tool_use", "id": "t1", "name": "sql",
            "input": { "type": "sql", "data": "DROP TABLE users", "id": 7 },
        });
        assert_eq!(said(&call, "assistant").text(), "sql\nDROP TABLE users\n7");
        let image = json!({ "type": "image", "source": { "type": "base64", "data": "iVBORw0" } });
        assert_eq!(said(&image, "user").text(), "");
    }

    #[test]
    fn what_comes_after_the_last_answer_is_new() {
        let body = json!({
            "system": [{ "type": "text", "text": "be kind" }],
            "messages": [
                { "role": "user", "content": "list" },
                { "role": "assistant", "content": [
                    { "type": "thinking", "thinking": "hm", "signature": "x" },
                    { "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": "ls\n-l", "n": 2 } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "t1", "content": [{ "type": "text", "text": "a b" }], "is_error": true },
                    { "type": "text", "text": " <system-reminder>quiet</system-reminder>" },
                    { "type": "image", "source": { "type": "base64", "media_type": "image/png", "data": "AAAA" } },
                ] },
            ],
        });
        let record = json!({
            "request": { "body": body.to_string() },
            "answer": { "content": [{ "type": "text", "text": "done" }] },
        });
        let all = blocks(&record);
        let told: Vec<_> = all
            .iter()
            .map(|block| (block.said.place().name(), block.text.clone(), block.brought))
            .collect();
        let told: Vec<_> = told
            .iter()
            .map(|(place, text, new)| (*place, &**text, *new))
            .collect();
        assert_eq!(
            told,
            [
                ("system", "be kind", false),
                ("prompt", "list", false),
                ("thinking", "hm", false),
                ("input", "ls\n-l\n2", false),
                ("result", "a b", true),
                ("system", " <system-reminder>quiet</system-reminder>", true),
                ("prompt", "", true),
                ("answer", "done", true),
            ]
        );
    }

    #[test]
    fn a_block_has_the_same_mark_wherever_it_stands() {
        let call = |more: &str| {
            let text = format!(
                r#"{{"type":"tool_use","id":"t","name":"Bash","input":{{"command":"ls"}}{more}}}"#
            );
            Block::new(
                said(&serde_json::from_str(&text).unwrap(), "assistant"),
                true,
            )
            .mark()
        };
        assert_eq!(call(""), call(r#","cache_control":{"type":"ephemeral"}"#));
        let mark = |said| Block::new(said, true).mark();
        assert_ne!(
            mark(Said::Prompt("a".into())),
            mark(Said::Answer("a".into()))
        );
    }
}
