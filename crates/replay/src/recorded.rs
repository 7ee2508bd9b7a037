//! One exchange out of the book, as far as replaying is concerned.

use std::{fmt, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use bytes::Bytes;
use serde_json::Value;
use tollbook_exchange::Timestamp;
use tollbook_wire_messages::Endpoint;

/// One exchange out of the book: what was asked, and what was answered when.
///
/// `Debug` shows its shape and none of its contents.
#[derive(Clone)]
pub struct RecordedExchange {
    record: Value,
    body: Bytes,
    parts: Vec<(Duration, Bytes)>,
}

impl RecordedExchange {
    /// From the JSON form in which [`Reader::exchange`](tollbook_recording::Reader::exchange) gives
    /// it. What is missing there counts as empty.
    pub fn from_json(record: Value) -> Self {
        let body = bytes(&record["request"]["body"]);
        let response = &record["response"];
        let parts = match response["events"].as_array() {
            Some(events) => events
                .iter()
                .map(|event| (micros(&event["at"]), bytes(&event["frame"])))
                .collect(),
            None => {
                let whole = bytes(&response["body"]);
                let took = took(&record);
                let at = match response["first_byte"].as_u64() {
                    Some(first) => Duration::from_micros(first),
                    None => took,
                };
                if whole.is_empty() {
                    Vec::new()
                } else {
                    vec![(at, whole)]
                }
            }
        };
        Self {
            record,
            body,
            parts,
        }
    }

    /// All that is recorded, in the form that it came in.
    pub const fn record(&self) -> &Value {
        &self.record
    }

    /// The id of the exchange.
    pub fn id(&self) -> &str {
        self.text("/id").unwrap_or_default()
    }

    /// What was asked for, such as `messages.create`; empty if that was never known.
    pub fn action(&self) -> &str {
        self.text("/action/name").unwrap_or_default()
    }

    /// The operation of the Messages API that was called; `None` for what is none.
    pub fn endpoint(&self) -> Option<Endpoint> {
        if self.text("/protocol") != Some("claude") {
            return None;
        }
        Endpoint::of(self.method(), path(self.target()))
    }

    /// The method of the request.
    pub fn method(&self) -> &str {
        self.text("/request/method").unwrap_or_default()
    }

    /// Path and query of the request, below the place where the connection was mounted.
    pub fn target(&self) -> &str {
        self.text("/request/target").unwrap_or_default()
    }

    /// The masked body of the request.
    pub const fn body(&self) -> &Bytes {
        &self.body
    }

    /// The first value of a header of the request, by its name in lower case.
    pub fn request_header(&self, name: &str) -> Option<&str> {
        first(&self.record["request"]["headers"][name])
    }

    /// The first value of a header of the response, by its name in lower case.
    pub fn response_header(&self, name: &str) -> Option<&str> {
        first(&self.record["response"]["headers"][name])
    }

    /// The status that the caller saw.
    pub fn status(&self) -> Option<u16> {
        let status = self.record["status"].as_u64()?;
        u16::try_from(status).ok()
    }

    /// How it ended; `None` while it was under way.
    pub fn outcome(&self) -> Option<&str> {
        self.text("/outcome")
    }

    /// The masked parts of the answer, each with the time from the start of the exchange until it
    /// came. Of a stream each part is one event; anything else is one part.
    pub fn parts(&self) -> &[(Duration, Bytes)] {
        &self.parts
    }

    /// Whether the answer is a stream of events.
    pub fn is_stream(&self) -> bool {
        self.record["response"]["events"].is_array()
    }

    /// Whether the record still has the request and the answer: neither was erased, and no key is
    /// missing that opens them.
    pub fn is_whole(&self) -> bool {
        self.record["erased"].is_null() && self.record["unavailable"].is_null()
    }

    /// Whether the gate let the request pass, by its rules or because people approved it.
    pub fn is_allowed(&self) -> bool {
        // What waits for approval has another verdict until somebody gave it.
        self.text("/decision/verdict") == Some("allow")
    }

    /// When it began; `None` if the record does not say.
    pub fn started(&self) -> Option<Timestamp> {
        self.text("/started")?.parse().ok()
    }

    /// How long it took, as far as it is known.
    pub fn took(&self) -> Duration {
        took(&self.record)
    }

    /// How many places of the request were masked, and so are not what was asked.
    pub fn placeholders(&self) -> usize {
        let text = String::from_utf8_lossy(&self.body);
        text.matches(PLACEHOLDER).count()
    }

    pub(crate) fn text(&self, pointer: &str) -> Option<&str> {
        self.record.pointer(pointer)?.as_str()
    }
}

impl fmt::Debug for RecordedExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordedExchange")
            .field("id", &self.id())
            .field("body", &self.body.len())
            .field("parts", &self.parts.len())
            .finish_non_exhaustive()
    }
}

/// What stands where something was masked begins like this.
const PLACEHOLDER: &str = "[REDACTED:";

/// The part of a target before the query.
pub(crate) fn path(target: &str) -> &str {
    target.split_once('?').map_or(target, |(path, _)| path)
}

/// A body in the form of the record: a text, or base64 if it is none.
fn bytes(recorded: &Value) -> Bytes {
    match recorded {
        Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
        other => {
            let decoded = other["base64"].as_str().map(|text| BASE64.decode(text));
            decoded
                .and_then(Result::ok)
                .map(Bytes::from)
                .unwrap_or_default()
        }
    }
}

fn first(header: &Value) -> Option<&str> {
    header.as_str().or_else(|| header.get(0)?.as_str())
}

fn micros(value: &Value) -> Duration {
    Duration::from_micros(value.as_u64().unwrap_or_default())
}

fn took(record: &Value) -> Duration {
    let time = |key: &str| {
        let time: Timestamp = record[key].as_str()?.parse().ok()?;
        Some(time.as_micros())
    };
    let took = time("ended").zip(time("started")).map(|(ended, started)| {
        let micros = ended.saturating_sub(started);
        Duration::from_micros(u64::try_from(micros).unwrap_or_default())
    });
    took.unwrap_or_default()
}
