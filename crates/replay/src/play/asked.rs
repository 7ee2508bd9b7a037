//! What a request brings to the conversation: history that is sent again is not told again.

use std::collections::HashMap;

use serde_json::Value;

use super::What;
use crate::RecordedExchange;

/// What comes after the last answer in a request: the user's words, and what tools gave back.
pub(super) fn asked(recorded: &RecordedExchange, tools: &HashMap<String, String>) -> Vec<What> {
    let body: Value = serde_json::from_slice(recorded.body()).unwrap_or_default();
    let Some(messages) = body["messages"].as_array() else {
        return Vec::new();
    };
    let is_answer = |message: &Value| message["role"] == "assistant";
    let after = messages
        .iter()
        .rposition(is_answer)
        .map_or(0, |last| last + 1);
    let mut all = Vec::new();
    for message in &messages[after..] {
        match &message["content"] {
            Value::String(text) => said(text, &mut all),
            Value::Array(blocks) => {
                for block in blocks {
                    match block["type"].as_str() {
                        Some("text") => said(block["text"].as_str().unwrap_or_default(), &mut all),
                        Some("tool_result") => all.push(result(block, tools)),
                        kind => all.push(What::Asked {
                            tool: None,
                            text: format!("[{}]", kind.unwrap_or("unknown")),
                            failed: false,
                        }),
                    }
                }
            }
            _ => {}
        }
    }
    all
}

/// The user's words; what clients put beside them on their own is left out.
fn said(text: &str, all: &mut Vec<What>) {
    if !text.trim_start().starts_with("<system-reminder>") {
        all.push(What::Asked {
            tool: None,
            text: text.to_owned(),
            failed: false,
        });
    }
}

fn result(block: &Value, tools: &HashMap<String, String>) -> What {
    let id = block["tool_use_id"].as_str().unwrap_or_default();
    let text = match &block["content"] {
        Value::String(text) => text.clone(),
        Value::Array(blocks) => {
            let texts = blocks.iter().map(|block| {
                let kind = block["type"].as_str().unwrap_or("unknown");
                block["text"]
                    .as_str()
                    .map_or_else(|| format!("[{kind}]"), str::to_owned)
            });
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    };
    What::Asked {
        tool: Some(tools.get(id).cloned().unwrap_or_else(|| "tool".to_owned())),
        text,
        failed: block["is_error"] == true,
    }
}
