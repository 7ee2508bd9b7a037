//! Bodies of requests to the Messages API.

use serde_json::{Value, json};

use super::{super::Random, Sources, text, written};

const TOOLS: &[(&str, &str)] = &[
    ("Bash", "command"),
    ("Read", "file_path"),
    ("Edit", "new_string"),
    ("Grep", "pattern"),
    ("Write", "content"),
    ("WebFetch", "url"),
];

pub(super) fn body(sources: &Sources, random: &mut Random) -> String {
    let prose = |random: &mut Random, least: usize| {
        let mut out = String::new();
        while out.len() < least {
            out.push_str(&sources.sentence(random));
            out.push(' ');
        }
        out
    };
    let tools: Vec<Value> = TOOLS
        .iter()
        .map(|(name, field)| {
            json!({
                "name": name,
                "description": prose(random, 200),
                "input_schema": {
                    "type": "object",
                    "properties": { *field: { "type": "string", "description": prose(random, 40) } },
                    "required": [field],
                },
            })
        })
        .collect();
    let mut messages = vec![json!({ "role": "user", "content": written::talk(sources, random) })];
    for _ in 0..random.within(1, 10) {
        turn(sources, random, &mut messages);
    }
    json!({
        "model": "claude-opus-4-6",
        "max_tokens": 32000,
        "stream": true,
        "metadata": { "user_id": format!("user_{}_account__session_{}", random.hex(64), random.uuid()) },
        "system": [{ "type": "text", "text": prose(random, 2000), "cache_control": { "type": "ephemeral" } }],
        "tools": tools,
        "messages": messages,
    })
    .to_string()
}

/// The model calls a tool, and gets its answer.
fn turn(sources: &Sources, random: &mut Random, messages: &mut Vec<Value>) {
    let (tool, field) = TOOLS[random.below(TOOLS.len())];
    let id = format!(
        "toolu_{}",
        random.text(
            "abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ123456789",
            24
        )
    );
    let input = match tool {
        "Edit" | "Write" => text(sources, random).text,
        "Read" => sources.path(random).to_owned(),
        _ => format!(
            "grep -rn {} {} | head -{}",
            sources.name(random),
            sources.path(random),
            random.within(5, 90)
        ),
    };
    messages.push(json!({ "role": "assistant", "content": [
        { "type": "text", "text": sources.sentence(random) },
        { "type": "tool_use", "id": id, "name": tool, "input": { field: input } },
    ] }));
    let answer = text(sources, random).text;
    let content = if random.once_in(3) {
        json!([{ "type": "text", "text": answer }])
    } else {
        json!(answer)
    };
    messages.push(json!({ "role": "user", "content": [
        { "type": "tool_result", "tool_use_id": id, "content": content, "is_error": false },
    ] }));
}
