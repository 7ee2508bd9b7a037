//! HTTP archives, version 1.2 (<http://www.softwareishard.com/blog/har-12-spec/>).
//!
//! What the format has no place for stands in members that begin with an underscore, as it wants:
//! `_tollbook` says who, what was decided and where it is in the log, `_events` when each event of a
//! stream came.

use std::io::Write;

use serde_json::{Value, json};

use super::{Form, took};
use crate::{Error, conversation::dollars, facts::Spent};

#[derive(Default)]
pub(super) struct Har {
    some: bool,
}

impl Form for Har {
    fn begin(&mut self, to: &mut dyn Write) -> Result<(), Error> {
        let creator = json!({ "name": "tollbook", "version": env!("CARGO_PKG_VERSION") });
        write!(
            to,
            "{{\"log\":{{\"version\":\"1.2\",\"creator\":{creator},\"entries\":["
        )?;
        Ok(())
    }

    fn record(
        &mut self,
        record: &Value,
        spent: Option<Spent>,
        to: &mut dyn Write,
    ) -> Result<bool, Error> {
        let Some(entry) = entry(record, spent) else {
            return Ok(false);
        };
        let comma = if self.some { "," } else { "" };
        write!(to, "{comma}\n{entry}")?;
        self.some = true;
        Ok(true)
    }

    fn end(&mut self, to: &mut dyn Write) -> Result<(), Error> {
        writeln!(to, "\n]}}}}")?;
        Ok(())
    }
}

/// `None` for what was no call over HTTP, such as what the gate does itself.
fn entry(record: &Value, spent: Option<Spent>) -> Option<Value> {
    let method = record["request"]["method"]
        .as_str()
        .filter(|method| !method.is_empty())?;
    let time = took(record).unwrap_or_default();
    let wait = record["response"]["first_byte"].as_i64().unwrap_or(time);
    let wait = wait.clamp(0, time.max(0));
    let mut entry = json!({
        "startedDateTime": record["started"],
        "time": millis(time),
        "request": request(record, method),
        "response": response(record),
        "cache": {},
        // Until the first byte went to the caller; what of that was sending nobody measured.
        "timings": { "send": 0, "wait": millis(wait), "receive": millis(time - wait) },
        "_tollbook": {
            "id": record["id"],
            "session": record["session"],
            "connection": record["connection"],
            "principal": record["principal"],
            "action": record["action"]["name"],
            "decision": record["decision"],
            "outcome": record["outcome"],
            "findings": record["findings"],
            "usage": record["usage"],
            "cost_usd": spent.map(|spent| dollars(spent.cost)),
            "ledger": record["ledger"],
        },
    });
    if let Some(events) = record["response"]["events"].as_array() {
        let events = events.iter().map(|event| {
            let at = event["at"].as_i64().unwrap_or_default();
            json!({ "time": millis(at), "data": event["frame"] })
        });
        entry["_events"] = events.collect();
    }
    Some(entry)
}

fn request(record: &Value, method: &str) -> Value {
    let request = &record["request"];
    let target = request["target"].as_str().unwrap_or_default();
    let connection = record["connection"].as_str().unwrap_or_default();
    let host = request["headers"]["host"].as_str();
    // Calls are made to the gateway; where the caller did not say what it is called, nobody else is.
    let host = host.unwrap_or("tollbook.invalid");
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut shown = json!({
        "method": method,
        "url": format!("http://{host}/{connection}{target}"),
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers(&request["headers"]),
        "queryString": pairs(query),
        "headersSize": -1,
        "bodySize": request["bytes"].as_i64().unwrap_or(-1),
    });
    if let Some(text) = request["body"].as_str().filter(|text| !text.is_empty()) {
        let kind = media_type(&request["headers"]);
        shown["postData"] = json!({ "mimeType": kind, "params": [], "text": text });
    }
    shown
}

fn response(record: &Value) -> Value {
    let response = &record["response"];
    let size = response["bytes"].as_i64();
    let mut content = json!({
        "size": size.unwrap_or(0),
        "mimeType": media_type(&response["headers"]),
    });
    match &response["body"] {
        Value::String(text) => content["text"] = json!(text),
        Value::Object(coded) => {
            content["text"] = coded.get("base64").cloned().unwrap_or_default();
            content["encoding"] = json!("base64");
        }
        _ => {}
    }
    json!({
        // 0 is what browsers write for an answer that never came.
        "status": record["status"].as_u64().unwrap_or(0),
        "statusText": "",
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers(&response["headers"]),
        "content": content,
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": size.unwrap_or(-1),
    })
}

fn headers(headers: &Value) -> Value {
    let mut list = Vec::new();
    for (name, value) in headers.as_object().into_iter().flatten() {
        let values = match value {
            Value::Array(all) => all.iter().collect(),
            one => vec![one],
        };
        list.extend(
            values
                .iter()
                .map(|value| json!({ "name": name, "value": value })),
        );
    }
    Value::Array(list)
}

fn pairs(query: &str) -> Value {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        json!({ "name": name, "value": value })
    });
    pairs.collect()
}

fn media_type(headers: &Value) -> Value {
    match &headers["content-type"] {
        Value::String(kind) => json!(kind),
        _ => json!(""),
    }
}

fn millis(micros: i64) -> f64 {
    micros as f64 / 1e3
}
