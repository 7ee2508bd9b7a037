//! What an answer took.

use serde_json::{Map, Value};
use tollbook_exchange::Draft;

/// What one answer took, as the Messages API reports it
/// (<https://platform.claude.com/docs/en/api/messages>, `usage`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// Tokens of the prompt that no cache held: `input_tokens`.
    pub input: u64,
    /// Tokens of the answer: `output_tokens`.
    pub output: u64,
    /// Tokens written to a cache for five minutes.
    pub cache_write: u64,
    /// Tokens written to a cache for an hour.
    pub cache_write_1h: u64,
    /// Tokens read from a cache: `cache_read_input_tokens`.
    pub cache_read: u64,
    /// Web searches that the upstream made: `server_tool_use.web_search_requests`.
    pub web_searches: u64,
    /// Whether the answer was made in fast mode: `speed`.
    pub fast: bool,
}

impl Usage {
    /// So many tokens of prompt and answer.
    pub fn tokens(input: u64, output: u64) -> Self {
        Self {
            input,
            output,
            ..Self::default()
        }
    }

    /// Reads a `usage` object. What is missing or no count is nothing.
    ///
    /// Where the object counts `iterations` on their own (an answer that took several passes), the
    /// larger of their sum and the total counts.
    pub fn from_object(usage: &Map<String, Value>) -> Self {
        let mut total = Self::one(usage);
        let passes = usage.get("iterations").and_then(Value::as_array);
        let mut sum = Self::default();
        for pass in passes.into_iter().flatten().filter_map(Value::as_object) {
            let pass = Self::one(pass);
            sum.input = sum.input.saturating_add(pass.input);
            sum.output = sum.output.saturating_add(pass.output);
            sum.cache_write = sum.cache_write.saturating_add(pass.cache_write);
            sum.cache_write_1h = sum.cache_write_1h.saturating_add(pass.cache_write_1h);
            sum.cache_read = sum.cache_read.saturating_add(pass.cache_read);
        }
        total.input = total.input.max(sum.input);
        total.output = total.output.max(sum.output);
        total.cache_write = total.cache_write.max(sum.cache_write);
        total.cache_write_1h = total.cache_write_1h.max(sum.cache_write_1h);
        total.cache_read = total.cache_read.max(sum.cache_read);
        total
    }

    /// All tokens of the prompt, wherever they came from.
    pub fn prompt(&self) -> u64 {
        (self.input)
            .saturating_add(self.cache_write)
            .saturating_add(self.cache_write_1h)
            .saturating_add(self.cache_read)
    }

    fn one(usage: &Map<String, Value>) -> Self {
        let written = count(usage, "cache_creation_input_tokens");
        let kinds = usage.get("cache_creation").and_then(Value::as_object);
        let hour = kinds.map_or(0, |kinds| count(kinds, "ephemeral_1h_input_tokens"));
        let five = kinds.map_or(0, |kinds| count(kinds, "ephemeral_5m_input_tokens"));
        let tools = usage.get("server_tool_use").and_then(Value::as_object);
        Self {
            input: count(usage, "input_tokens"),
            output: count(usage, "output_tokens"),
            // What the total has and the kinds do not name is of the kind that is the default.
            cache_write: five.max(written.saturating_sub(hour)),
            cache_write_1h: hour,
            cache_read: count(usage, "cache_read_input_tokens"),
            web_searches: tools.map_or(0, |tools| count(tools, "web_search_requests")),
            fast: usage.get("speed").and_then(Value::as_str) == Some("fast"),
        }
    }
}

/// What a finished exchange took, and of whom.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bill {
    /// What the answer took.
    pub usage: Usage,
    /// The model that answered, or else the one that was asked for.
    pub model: Option<String>,
    /// The region the answer was made in, where the upstream says so: `usage.inference_geo`.
    pub region: Option<String>,
}

impl Bill {
    /// A bill of this model.
    pub fn new(model: impl Into<String>, usage: Usage) -> Self {
        Self {
            usage,
            model: Some(model.into()),
            region: None,
        }
    }

    /// What the draft of a finished exchange says. `None` when the upstream said nothing of usage.
    ///
    /// The count of an answer's tokens comes with its last events. A caller who hangs up before them
    /// would be counted hardly anything, so an answer that has no end counts as at least one token
    /// for every three bytes of what it said.
    pub fn of(draft: &Draft) -> Option<Self> {
        let result = draft.result.as_inner();
        let object = result.get("usage").and_then(Value::as_object)?;
        let mut usage = Usage::from_object(object);
        if result.get("stop_reason").is_none_or(Value::is_null) {
            let said = (result.get("answer"))
                .and_then(|answer| answer.get("content"))
                .map_or(0, text_bytes);
            usage.output = usage.output.max(said.div_ceil(3));
        }
        let model = result.get("model");
        let name = |key| model?.get(key)?.as_str().map(str::to_owned);
        Some(Self {
            usage,
            model: name("served").or_else(|| name("requested")),
            region: (object.get("inference_geo"))
                .and_then(Value::as_str)
                .map(str::to_owned),
        })
    }
}

fn count(object: &Map<String, Value>, name: &str) -> u64 {
    object.get(name).and_then(Value::as_u64).unwrap_or(0)
}

/// Bytes in all texts of a value.
fn text_bytes(value: &Value) -> u64 {
    match value {
        Value::String(text) => text.len() as u64,
        Value::Array(all) => all.iter().map(text_bytes).sum(),
        Value::Object(all) => all.values().map(text_bytes).sum(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tollbook_exchange::{Exchange, ExchangeId, Masked, Timestamp};

    use super::*;

    fn usage(value: &Value) -> Usage {
        Usage::from_object(value.as_object().unwrap())
    }

    #[test]
    fn usage_is_read_with_its_kinds_of_caches() {
        let read = usage(&json!({
            "input_tokens": 10, "output_tokens": 20, "cache_read_input_tokens": 40,
            "cache_creation_input_tokens": 100,
            "cache_creation": {"ephemeral_5m_input_tokens": 70, "ephemeral_1h_input_tokens": 30},
            "server_tool_use": {"web_search_requests": 2}, "speed": "fast",
        }));
        let expected = Usage {
            input: 10,
            output: 20,
            cache_write: 70,
            cache_write_1h: 30,
            cache_read: 40,
            web_searches: 2,
            fast: true,
        };
        assert_eq!(read, expected);
        assert_eq!(read.prompt(), 150);
    }

    #[test]
    fn a_cache_write_of_no_kind_is_of_the_default_kind() {
        let read = usage(&json!({"cache_creation_input_tokens": 9, "cache_creation": null}));
        assert_eq!((read.cache_write, read.cache_write_1h), (9, 0));
    }

    #[test]
    fn passes_count_where_the_total_leaves_them_out() {
        let read = usage(
            &json!({"input_tokens": 5, "output_tokens": 50, "iterations": [
            {"type": "compaction", "input_tokens": 900, "output_tokens": 30},
            {"type": "message", "input_tokens": 5, "output_tokens": 20}]}),
        );
        assert_eq!((read.input, read.output), (905, 50));
    }

    #[test]
    fn nonsense_counts_nothing() {
        let read = usage(
            &json!({"input_tokens": -4, "output_tokens": "9", "iterations": 3,
            "cache_creation": [], "server_tool_use": 1, "speed": 2}),
        );
        assert_eq!(read, Usage::default());
    }

    #[expect(clippy::disallowed_methods, reason = "the test's own text")]
    fn draft(result: Value) -> Option<Bill> {
        let exchange = Exchange::open(ExchangeId::generate(), "c", "claude", Timestamp::now());
        let Value::Object(result) = result else {
            return None;
        };
        exchange.draft(|draft| {
            draft.result = Masked::assume_masked(result);
            Bill::of(draft)
        })
    }

    #[test]
    fn an_answer_without_an_end_counts_by_what_it_said() {
        let mut result = json!({
            "model": {"requested": "claude-opus-5", "served": "claude-opus-5-20260724"},
            "usage": {"input_tokens": 7, "output_tokens": 1, "inference_geo": "us"},
            "answer": {"content": [{"type": "text", "text": "x".repeat(596)}]},
        });
        let cut = draft(result.clone()).unwrap();
        assert_eq!(cut.usage, Usage::tokens(7, 200));
        assert_eq!(cut.model.as_deref(), Some("claude-opus-5-20260724"));
        assert_eq!(cut.region.as_deref(), Some("us"));

        result["stop_reason"] = json!("end_turn");
        assert_eq!(draft(result).unwrap().usage, Usage::tokens(7, 1));
    }

    #[test]
    fn no_usage_is_no_bill() {
        assert_eq!(
            draft(json!({"model": {"requested": "claude-opus-5"}})),
            None
        );
    }
}
