//! What a request means, so that one that is asked now can be found among those that were recorded.
//!
//! What is recorded was masked and what is asked now was not, so it is masked with the same rules
//! first. Then what clients vary on their own is left out, in two steps; the crate's front page has the
//! list.

use std::{borrow::Cow, cmp::Reverse, collections::BTreeSet, sync::LazyLock};

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tollbook_masking::Masker;
use tollbook_wire_messages::semantic;

/// The meaning of a body, with what varies on its own left out.
pub(crate) struct Meaning {
    value: Value,
    stream: bool,
}

/// What is kept of a meaning to find it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Print {
    pub(crate) exact: Hash,
    pub(crate) alike: Hash,
    pub(crate) stream: bool,
    /// The number of messages.
    pub(crate) messages: usize,
    /// The first thing the user says, which tells one conversation of a session from another.
    opening: Hash,
    /// The setting: every outermost member but the messages, lists by their elements.
    setting: BTreeSet<(String, Hash)>,
}

pub(crate) type Hash = [u8; 32];

/// How close a recorded request is to one that is asked: whether both want a stream, belong to the
/// same conversation and have as many messages, and how much of the setting is not the same. The
/// greater, the closer.
pub(crate) type Closeness = (bool, bool, bool, Reverse<usize>);

/// The most places that are told of a difference.
const MAX_PLACES: usize = 5;

impl Meaning {
    /// Of a body that was recorded, and so was masked. `None` for what is not strict JSON.
    pub(crate) fn of_recorded(body: &[u8], masker: &Masker) -> Option<Self> {
        // Masked once more: what one pass leaves may be the beginning of what the next one finds.
        Self::of(masker.json(body, "").masked.as_inner())
    }

    /// Of a body as it is asked now.
    pub(crate) fn of_asked(body: &[u8], masker: &Masker) -> Option<Self> {
        Self::of_recorded(masker.json(body, "").masked.as_inner(), masker)
    }

    fn of(masked: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Head {
            #[serde(default)]
            stream: Value,
        }

        let bytes = semantic(masked).ok()?.bytes;
        let mut value: Value = serde_json::from_slice(&bytes).ok()?;
        without_cache_control(&mut value);
        each_text(&mut value, &|text| {
            if let Cow::Owned(plain) = HASHED.replace_all(text, "[REDACTED:$1]") {
                *text = plain;
            }
        });
        let head: Option<Head> = serde_json::from_slice(masked).ok();
        Some(Self {
            value,
            stream: head.is_some_and(|head| head.stream == true),
        })
    }

    pub(crate) fn print(&self) -> Print {
        let messages = self.value["messages"].as_array();
        let said: Option<Vec<Value>> = messages.map(|all| all.iter().map(said).collect());
        let opening = said.iter().flatten().find(|one| one["role"] == "user");
        let mut setting = BTreeSet::new();
        for (name, value) in self.value.as_object().into_iter().flatten() {
            match value {
                _ if name == "messages" => {}
                Value::Array(elements) => {
                    setting.insert((name.clone(), hash(&json!(elements.len()))));
                    setting.extend(elements.iter().map(|one| (format!("{name}[]"), hash(one))));
                }
                value => drop(setting.insert((name.clone(), hash(value)))),
            }
        }
        Print {
            exact: hash(&json!([self.stream, self.value])),
            alike: match &said {
                Some(said) => hash(&json!([self.stream, said])),
                None => hash(&json!([self.stream, self.value])),
            },
            stream: self.stream,
            messages: messages.map_or(0, Vec::len),
            opening: hash(&json!(opening)),
            setting,
        }
    }

    /// Where this differs from what was recorded, at most five places. Never what stands there.
    pub(crate) fn differs(&self, recorded: &Self) -> Vec<String> {
        let mut places = Vec::new();
        if self.stream != recorded.stream {
            places.push("stream".to_owned());
        }
        differs(&self.value, &recorded.value, "", &mut places);
        places
    }
}

impl Print {
    pub(crate) fn closeness(&self, recorded: &Self) -> Closeness {
        (
            self.stream == recorded.stream,
            self.opening == recorded.opening,
            self.messages == recorded.messages,
            Reverse(self.setting.symmetric_difference(&recorded.setting).count()),
        )
    }
}

/// What is said in a message, without what changes from run to run.
fn said(message: &Value) -> Value {
    let blocks = match &message["content"] {
        Value::String(text) => vec![json!({ "type": "text", "text": text })],
        Value::Array(blocks) => blocks.clone(),
        other => vec![other.clone()],
    };
    let own = |block: &Value| {
        let text = block["text"].as_str().unwrap_or_default();
        let kind = block["type"].as_str().unwrap_or_default();
        !text.trim_start().starts_with("<system-reminder>")
            && !matches!(kind, "thinking" | "redacted_thinking")
    };
    let blocks: Vec<Value> = blocks.into_iter().filter(own).map(plain).collect();
    json!({ "role": message["role"], "content": blocks })
}

fn plain(mut block: Value) -> Value {
    if let Value::Object(members) = &mut block {
        match members.get("type").and_then(Value::as_str) {
            Some("tool_use") => drop(members.remove("id")),
            Some("tool_result") => drop(members.remove("tool_use_id")),
            _ => {}
        }
    }
    each_text(&mut block, &|text| {
        if let Cow::Owned(plain) = VARIES.replace_all(text.trim(), "~") {
            *text = plain;
        } else if text.trim().len() < text.len() {
            *text = text.trim().to_owned();
        }
    });
    block
}

/// Takes `cache_control` from where the API knows it: elsewhere it is somebody's data.
fn without_cache_control(request: &mut Value) {
    let Value::Object(members) = request else {
        return;
    };
    members.remove("cache_control");
    for (name, value) in members {
        match &**name {
            "system" | "tools" => blocks(value),
            "messages" => {
                for message in value.as_array_mut().into_iter().flatten() {
                    // What is no message has no content; to index it would be a panic.
                    message.get_mut("content").into_iter().for_each(blocks);
                }
            }
            _ => {}
        }
    }

    fn blocks(list: &mut Value) {
        for block in list.as_array_mut().into_iter().flatten() {
            let Value::Object(members) = block else {
                continue;
            };
            members.remove("cache_control");
            if members
                .get("type")
                .is_some_and(|kind| kind == "tool_result")
            {
                members.get_mut("content").into_iter().for_each(blocks);
            }
        }
    }
}

fn each_text(value: &mut Value, change: &impl Fn(&mut String)) {
    match value {
        Value::String(text) => change(text),
        Value::Array(values) => values.iter_mut().for_each(|value| each_text(value, change)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|value| each_text(value, change)),
        _ => {}
    }
}

fn differs(asked: &Value, recorded: &Value, at: &str, places: &mut Vec<String>) {
    if asked == recorded || places.len() >= MAX_PLACES {
        return;
    }
    match (asked, recorded) {
        (Value::Object(one), Value::Object(other)) => {
            // Those that only one of them has come after those of the first.
            let more = other.iter().filter(|(name, _)| !one.contains_key(*name));
            for (name, _) in one.iter().chain(more) {
                let side = |members: &Map<String, Value>| members.get(name).cloned();
                let (one, other) = (side(one), side(other));
                let below = if at.is_empty() {
                    name.clone()
                } else {
                    format!("{at}.{name}")
                };
                match (one, other) {
                    (Some(one), Some(other)) => differs(&one, &other, &below, places),
                    (Some(_), None) => note(places, format!("{below} (was not there)")),
                    _ => note(places, format!("{below} (is not there)")),
                }
            }
        }
        (Value::Array(one), Value::Array(other)) => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differs(one, other, &format!("{at}[{index}]"), places);
            }
            if one.len() != other.len() {
                let text = format!("{at} ({} instead of {})", one.len(), other.len());
                note(places, text);
            }
        }
        _ => note(places, at.to_owned()),
    }
}

fn note(places: &mut Vec<String>, place: String) {
    if places.len() < MAX_PLACES {
        places.push(place);
    }
}

fn hash(value: &Value) -> Hash {
    Sha256::digest(value.to_string()).into()
}

fn pattern(text: &str) -> Regex {
    #[expect(clippy::expect_used, reason = "constants, which the tests compile")]
    Regex::new(text).expect("a constant pattern compiles")
}

/// `[REDACTED:rule#…]`.
static HASHED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?-u)\[REDACTED:([a-z0-9.-]+)#[A-Z2-7]{13}\]"));

/// UUIDs, dates with or without a time, and times of day. In ASCII: nobody writes them otherwise.
static VARIES: LazyLock<Regex> = LazyLock::new(|| {
    pattern(concat!(
        r"(?i-u)[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        r"|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?",
        r"|\b\d{2}:\d{2}:\d{2}(?:\.\d+)?\b",
    ))
});

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(body: &Value) -> Meaning {
        Meaning::of_asked(body.to_string().as_bytes(), &Masker::builtin()).unwrap()
    }

    fn recorded(body: &Value) -> Meaning {
        let masker = Masker::builtin();
        let kept = masker.json(body.to_string().as_bytes(), "");
        Meaning::of_recorded(kept.masked.as_inner(), &masker).unwrap()
    }

    fn body() -> Value {
        json!({
            "model": "claude-haiku-4-5", "max_tokens": 100, "stream": true,
            "metadata": { "user_id": "u-1" },
            "system": [
                { "type": "text", "text": "x-anthropic-billing-header: cc_version=2.1.1; cch=0a1b2;" },
                { "type": "text", "text": "You are kind.", "cache_control": { "type": "ephemeral" } },
            ],
            "tools": [{ "name": "Bash", "input_schema": { "type": "object" } }],
            "messages": [
                { "role": "user", "content": concat!("my key is AKIA", "IOSFODNN7EXAMPLE, use it") },
                { "role": "assistant", "content": [
                    { "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": "ls" } },
                ] },
                { "role": "user", "content": [
                    { "type": "tool_result", "tool_use_id": "t1", "content": [
                        { "type": "text", "text": "a", "cache_control": { "type": "ephemeral" } },
                    ] },
                    { "type": "text", "text": "<system-reminder>Today is 2026-01-02.</system-reminder>" },
                ] },
            ],
        })
    }

    #[test]
    fn a_request_means_what_its_masked_record_means() {
        let (now, then) = (asked(&body()).print(), recorded(&body()).print());
        assert_eq!(now, then);

        // What clients vary from call to call.
        let mut other = body();
        other["max_tokens"] = json!(7);
        other["metadata"]["user_id"] = json!("u-2");
        other["system"][0]["text"] =
            json!("x-anthropic-billing-header: cc_version=2.1.1; cch=ffff0;");
        other["system"][1]["cache_control"] = Value::Null;
        other["messages"][2]["content"][0]["content"][0]["cache_control"] = json!(null);
        assert_eq!(asked(&other).print().exact, then.exact);

        // A hash of the record, made with a key that is not at hand.
        let mut hashed = body();
        hashed["messages"][0]["content"] =
            json!("my key is [REDACTED:aws-access-key-id#ABCDEFGHIJ234], use it");
        assert_eq!(recorded(&hashed).print().exact, then.exact);
    }

    #[test]
    fn what_is_said_tells_requests_apart_and_the_setting_does_not() {
        let then = recorded(&body());
        type Change = fn(&mut Value);
        let setting: [(&str, Change); 5] = [
            ("model", |body| body["model"] = json!("claude-opus-4-5")),
            ("system[0].text", |body| {
                body["system"][1]["text"] = json!("Be curt.");
            }),
            ("tools[0].name", |body| {
                body["tools"][0]["name"] = json!("Shell");
            }),
            ("messages[2].content[1].text", |body| {
                body["messages"][2]["content"][1]["text"] =
                    json!("<system-reminder>It is late.</system-reminder>");
            }),
            ("messages[1].content[0].id", |body| {
                body["messages"][1]["content"][0]["id"] = json!("t2");
            }),
        ];
        for (place, change) in setting {
            let mut other = body();
            change(&mut other);
            let other = asked(&other);
            assert_ne!(other.print().exact, then.print().exact, "{place}");
            assert_eq!(other.print().alike, then.print().alike, "{place}");
            assert_eq!(other.differs(&then), [place]);
        }
        let said: [(&str, Change); 4] = [
            ("messages[0].content", |body| {
                body["messages"][0]["content"] = json!("something else");
            }),
            ("messages[1].content[0].input.command", |body| {
                body["messages"][1]["content"][0]["input"]["command"] = json!("rm");
            }),
            ("messages[2].content[0].content[0].text", |body| {
                body["messages"][2]["content"][0]["content"][0]["text"] = json!("b");
            }),
            ("stream", |body| body["stream"] = json!(false)),
        ];
        for (place, change) in said {
            let mut other = body();
            change(&mut other);
            let other = asked(&other);
            assert_ne!(other.print().alike, then.print().alike, "{place}");
            assert_eq!(other.differs(&then), [place]);
        }
        // A secret at the same place is the same to both; nothing of it is told.
        let mut other = body();
        other["messages"][0]["content"] =
            json!(concat!("my key is AKIA", "IOSFODNN7EXAMPLF, use it"));
        assert_eq!(asked(&other).print().exact, then.print().exact);
    }

    #[test]
    fn ids_and_times_within_texts_are_alike() {
        let of = |text: &str| {
            let body = json!({ "messages": [{ "role": "user", "content": text }] });
            asked(&body).print()
        };
        let one = of("run 0b6c5f1e-8a8b-4f6e-9d6b-1c2d3e4f5a6b at 2026-01-02T03:04:05Z, 12:13:14");
        let other = of("run ffffffff-8a8b-4f6e-9d6b-1c2d3e4f5a6b at 2027-11-12 13:14, 23:59:59.5");
        assert_ne!(one.exact, other.exact);
        assert_eq!(one.alike, other.alike);
        assert_ne!(one.alike, of("run it at once").alike);
    }

    #[test]
    fn bodies_of_any_shape_have_a_meaning() {
        for body in [
            json!(null),
            json!([1, "a"]),
            json!({ "messages": "hello", "system": 7, "tools": { "a": 1 } }),
            json!({ "messages": [null, "a", 1, [[]], { "content": 5 }, { "content": [null, "a", []] }] }),
            json!({ "messages": [{ "content": [{ "type": "tool_result", "content": "a" }] }], "system": [null] }),
        ] {
            let meaning = asked(&body);
            assert_eq!(meaning.print(), recorded(&body).print(), "{body}");
            assert!(meaning.differs(&recorded(&body)).is_empty(), "{body}");
        }
    }

    #[test]
    fn at_most_five_places_are_told() {
        let many = |text: &str| json!({ "messages": vec![text; 9] });
        let (one, other) = (asked(&many("a")), asked(&many("b")));
        assert_eq!(one.differs(&other).len(), 5);
        let mut longer = many("a");
        longer["messages"].as_array_mut().unwrap().push(json!("c"));
        longer["top_k"] = json!(1);
        let places = asked(&longer).differs(&one);
        assert_eq!(
            places,
            ["messages (10 instead of 9)", "top_k (was not there)"]
        );
    }
}
