//! What an answer says, piece by piece and when.

use std::time::Duration;

use serde_json::Value;
use tollbook_sse::Frame;

use super::{BlockKind, What};
use crate::RecordedExchange;

pub(super) fn opened(recorded: &RecordedExchange) -> What {
    let text = |pointer| recorded.text(pointer).map(str::to_owned);
    What::Opened {
        exchange: recorded.id().to_owned(),
        started: text("/started").unwrap_or_default(),
        subject: text("/principal/subject"),
        action: recorded.action().to_owned(),
        model: text("/action/model"),
    }
}

pub(super) fn ended(recorded: &RecordedExchange) -> What {
    let text = |pointer| recorded.text(pointer).map(str::to_owned);
    What::Ended {
        outcome: text("/outcome"),
        status: recorded.status(),
        stop_reason: text("/stop_reason"),
        told: text("/refusal/message").or_else(|| text("/error/message")),
        took: recorded.took(),
    }
}

/// The pieces of the answer, each with the time from the start of the exchange until it came.
pub(super) fn answered(recorded: &RecordedExchange) -> Vec<(Duration, What)> {
    let mut all = Vec::new();
    if recorded.is_stream() {
        for (at, part) in recorded.parts() {
            let frame = Frame::from_bytes(part.clone());
            let event: Value = serde_json::from_slice(&frame.data()).unwrap_or_default();
            all.extend(piece(&event).map(|what| (*at, what)));
        }
        return all;
    }
    let at = recorded
        .parts()
        .first()
        .map_or(recorded.took(), |(at, _)| *at);
    let content = recorded.record()["answer"]["content"].as_array();
    for block in content.into_iter().flatten() {
        all.push((at, began(block)));
        let text = match block["type"].as_str() {
            Some("text") => block["text"].as_str().map(str::to_owned),
            Some("thinking") => block["thinking"].as_str().map(str::to_owned),
            Some("tool_use") => Some(match &block["input"] {
                Value::String(raw) => raw.clone(),
                input => input.to_string(),
            }),
            _ => None,
        };
        all.extend(text.map(|text| (at, What::Piece(text))));
    }
    if content.is_none()
        && let Some(tokens) = recorded.record()["usage"]["input_tokens"].as_u64()
    {
        let kind = BlockKind::Text;
        all.push((at, What::Began { kind, tool: None }));
        all.push((at, What::Piece(format!("{tokens} tokens"))));
    }
    all
}

fn piece(event: &Value) -> Option<What> {
    match event["type"].as_str()? {
        "content_block_start" => Some(began(&event["content_block"])),
        "content_block_delta" => {
            let delta = &event["delta"];
            let text = ["text", "thinking", "partial_json"]
                .iter()
                .find_map(|name| delta[*name].as_str())?;
            (!text.is_empty()).then(|| What::Piece(text.to_owned()))
        }
        _ => None,
    }
}

fn began(block: &Value) -> What {
    let named = |name: &str| block[name].as_str().map(str::to_owned);
    let (kind, tool) = match block["type"].as_str() {
        Some("text") => (BlockKind::Text, None),
        Some("thinking") => (BlockKind::Thinking, None),
        Some("tool_use" | "server_tool_use") => (BlockKind::Call, named("name")),
        _ => (BlockKind::Other, named("type")),
    };
    What::Began { kind, tool }
}
