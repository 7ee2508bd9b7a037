//! Spans of OpenTelemetry, as lines of OTLP/JSON that the collector's file receiver reads
//! (<https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/>), with the attributes of the
//! semantic conventions for generative AI
//! (<https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/>), which are still under
//! development.
//!
//! A session is a trace, and an exchange a span of it. Messages are those that the exchange brings:
//! history that was sent again is in the spans before.

use std::io::Write;

use serde_json::{Value, json};

use super::{Form, micros};
use crate::{
    Error,
    blocks::{Block, Said, blocks},
    conversation::dollars,
    facts::Spent,
};

#[derive(Default)]
pub(super) struct Otlp {
    spans: Vec<Value>,
    bytes: usize,
}

/// How many spans go into one line, and how many bytes at most unless one has more.
const SPANS: usize = 100;
const BYTES: usize = 1 << 20;

impl Form for Otlp {
    fn record(
        &mut self,
        record: &Value,
        spent: Option<Spent>,
        to: &mut dyn Write,
    ) -> Result<bool, Error> {
        let span = span(record, spent);
        self.bytes += span.to_string().len();
        self.spans.push(span);
        if self.spans.len() >= SPANS || self.bytes >= BYTES {
            self.end(to)?;
        }
        Ok(true)
    }

    fn end(&mut self, to: &mut dyn Write) -> Result<(), Error> {
        let spans = std::mem::take(&mut self.spans);
        self.bytes = 0;
        if spans.is_empty() {
            return Ok(());
        }
        let line = json!({ "resourceSpans": [{
            "resource": { "attributes": [
                attribute("service.name", text("tollbook")),
                attribute("service.version", text(env!("CARGO_PKG_VERSION"))),
            ] },
            "scopeSpans": [{
                "scope": { "name": "tollbook", "version": env!("CARGO_PKG_VERSION") },
                "spans": spans,
                "schemaUrl": "https://opentelemetry.io/schemas/1.37.0",
            }],
        }] });
        writeln!(to, "{line}")?;
        Ok(())
    }
}

fn span(record: &Value, spent: Option<Spent>) -> Value {
    let at = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let action = at("/action/name").unwrap_or("unknown");
    let chat = action.starts_with("messages.") && record["request"]["method"] == "POST";
    let asked = at("/model/requested").or(at("/action/model"));
    let name = match asked {
        Some(model) if chat => format!("chat {model}"),
        _ => action.to_owned(),
    };
    let outcome = at("/outcome");
    let started = micros(&record["started"]).unwrap_or_default();
    let ended = micros(&record["ended"]).unwrap_or(started);
    let status = match outcome {
        Some("complete") => json!({ "code": 1 }),
        // It is still under way.
        None => json!({ "code": 0 }),
        Some(other) => json!({ "code": 2, "message": other }),
    };
    json!({
        "traceId": digits(at("/session").unwrap_or_default(), 0, 32),
        // The end of a version 7 UUID is random.
        "spanId": digits(at("/id").unwrap_or_default(), 16, 16),
        "name": name,
        // A client of the upstream; what the gate does itself is within it.
        "kind": if record["request"]["method"] == "" { 1 } else { 3 },
        "startTimeUnixNano": nanos(started),
        "endTimeUnixNano": nanos(ended),
        "attributes": attributes(record, spent, chat),
        "status": status,
    })
}

fn attributes(record: &Value, spent: Option<Spent>, chat: bool) -> Vec<Value> {
    let mut all = Vec::new();
    let mut put = |name: &str, value: Option<Value>| {
        all.extend(value.map(|value| attribute(name, value)));
    };
    let at = |pointer: &str| record.pointer(pointer).and_then(Value::as_str).map(text);
    let number = |pointer: &str| record.pointer(pointer).and_then(Value::as_u64).map(integer);
    if chat {
        put("gen_ai.operation.name", Some(text("chat")));
        put("gen_ai.provider.name", Some(text("anthropic")));
    }
    put("gen_ai.conversation.id", at("/session"));
    put(
        "gen_ai.request.model",
        at("/model/requested").or(at("/action/model")),
    );
    put("gen_ai.request.max_tokens", number("/action/max_tokens"));
    put("gen_ai.response.model", at("/model/served"));
    put("gen_ai.response.id", at("/answer/id"));
    let stop = at("/stop_reason").map(|stop| json!({ "arrayValue": { "values": [stop] } }));
    put("gen_ai.response.finish_reasons", stop);
    if let Some(Spent { usage, cost }) = spent {
        let written = usage.cache_write.saturating_add(usage.cache_write_1h);
        put("gen_ai.usage.input_tokens", Some(integer(usage.prompt())));
        put("gen_ai.usage.output_tokens", Some(integer(usage.output)));
        put(
            "gen_ai.usage.cache_read.input_tokens",
            Some(integer(usage.cache_read)),
        );
        put(
            "gen_ai.usage.cache_creation.input_tokens",
            Some(integer(written)),
        );
        put(
            "tollbook.cost_usd",
            Some(json!({ "doubleValue": dollars(cost) })),
        );
    }
    put("http.response.status_code", number("/status"));
    put("error.type", at("/error/type").or(at("/refusal/code")));
    put("enduser.id", at("/principal/subject"));
    put("tollbook.exchange.id", at("/id"));
    put("tollbook.connection", at("/connection"));
    put("tollbook.verdict", at("/decision/verdict"));
    put("tollbook.outcome", at("/outcome"));
    put("tollbook.ledger.log", at("/ledger/log"));
    put("tollbook.ledger.index", number("/ledger/intent_index"));
    if chat {
        let (asked, answered) = messages(&blocks(record));
        put("gen_ai.input.messages", asked.map(|asked| text(&asked)));
        put(
            "gen_ai.output.messages",
            answered.map(|answered| text(&answered)),
        );
    }
    all
}

/// What was brought, in the form of the conventions: input and output, as JSON.
fn messages(blocks: &[Block]) -> (Option<String>, Option<String>) {
    let (mut user, mut tool, mut model) = (Vec::new(), Vec::new(), Vec::new());
    for block in blocks.iter().filter(|block| block.brought) {
        let part = |kind: &str| json!({ "type": kind, "content": block.text });
        match &block.said {
            Said::Prompt(_) => user.push(part("text")),
            Said::Answer(_) => model.push(part("text")),
            Said::Thinking(_) => model.push(part("reasoning")),
            Said::Call {
                id, tool, input, ..
            } => model
                .push(json!({ "type": "tool_call", "id": id, "name": tool, "arguments": input })),
            Said::Result { id, .. } => {
                tool.push(
                    json!({ "type": "tool_call_response", "id": id, "response": block.text }),
                );
            }
            Said::System(_) | Said::Error(_) | Said::Other { .. } => {}
        }
    }
    let of = |role: &str, parts: Vec<Value>| {
        (!parts.is_empty()).then(|| json!({ "role": role, "parts": parts }))
    };
    let asked: Vec<Value> = of("tool", tool)
        .into_iter()
        .chain(of("user", user))
        .collect();
    let answered: Vec<Value> = of("assistant", model).into_iter().collect();
    let list = |all: Vec<Value>| (!all.is_empty()).then(|| Value::Array(all).to_string());
    (list(asked), list(answered))
}

/// So many hexadecimal digits of an id.
fn digits(id: &str, from: usize, length: usize) -> String {
    let digits = id.chars().filter(char::is_ascii_hexdigit);
    digits.skip(from).take(length).collect()
}

fn nanos(micros: i64) -> String {
    // Numbers of 64 bits are strings in OTLP/JSON.
    (i128::from(micros) * 1_000).to_string()
}

fn attribute(name: &str, value: Value) -> Value {
    json!({ "key": name, "value": value })
}

fn text(text: &str) -> Value {
    json!({ "stringValue": text })
}

fn integer(number: u64) -> Value {
    json!({ "intValue": number.to_string() })
}
