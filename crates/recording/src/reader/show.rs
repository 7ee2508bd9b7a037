//! One exchange with all that is recorded of it, as JSON.

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rusqlite::{OptionalExtension, Transaction};
use serde_json::{Map, Value, json};
use tollbook_exchange::{ExchangeId, ResponseShape};

use crate::{
    Error, ErrorKind,
    database::unsigned,
    journal::{REQUEST, shape_of},
};

/// The exchange that `id` names.
///
/// Keys are those of the design's contract, in its order; what a protocol adds comes after
/// `findings`. A body is a text if it is UTF-8 and `{"base64": …}` if not. A header that came more
/// than once has a list of values.
pub(super) fn exchange(book: &Transaction<'_>, id: &str) -> Result<Option<Value>, Error> {
    let Some((id, intent, closed)) = find(book, id)? else {
        return Ok(None);
    };
    let asked = envelope(book, intent)?;
    let ended = match closed {
        Some(closed) => envelope(book, closed)?,
        None => Value::Null,
    };
    let origin: String = book.query_row("SELECT note FROM head", [], |row| row.get(0))?;
    let origin = origin.lines().next().unwrap_or_default();

    let mut shown = Map::new();
    let mut put = |key: &str, value: Value| shown.insert(key.to_owned(), value);
    for key in ["id", "session", "connection", "protocol", "started"] {
        put(key, asked[key].clone());
    }
    put("ended", ended["ended"].clone());
    let level = [&ended["level"], &asked["level"]];
    let level = level.into_iter().find(|level| !level.is_null());
    put("level", level.cloned().unwrap_or_default());
    for key in ["principal", "action", "decision"] {
        put(key, asked[key].clone());
    }
    put("outcome", ended["outcome"].clone());
    put("status", ended["status"].clone());
    if !ended["refusal"].is_null() {
        put("refusal", ended["refusal"].clone());
    }
    put("request", request(book, id, &asked["request"])?);
    put("response", response(book, id, &ended["response"])?);
    let findings = if closed.is_some() { &ended } else { &asked };
    put("findings", findings["findings"].clone());
    if let Value::Object(result) = &ended["result"] {
        for (key, value) in result {
            // A result cannot pass itself off as one of the keys above or below.
            if !RESERVED.contains(&key.as_str()) {
                put(key, value.clone());
            }
        }
    }
    put(
        "ledger",
        json!({ "log": origin, "index": closed.unwrap_or(intent), "intent_index": intent }),
    );
    put("causes", json!([]));
    put("caused_by", Value::Null);
    Ok(Some(Value::Object(shown)))
}

/// The whole id of the exchange that `id` names.
pub(super) fn exchange_id(book: &Transaction<'_>, id: &str) -> Result<Option<ExchangeId>, Error> {
    Ok(find(book, id)?.map(|(id, ..)| id))
}

/// The id of the exchange with its intent's and its outcome's index.
type Found = (ExchangeId, i64, Option<i64>);

fn find(book: &Transaction<'_>, id: &str) -> Result<Option<Found>, Error> {
    let [least, greatest] = range(id)?;
    let mut named = book.prepare_cached(
        "SELECT id, intent, closed FROM exchange WHERE id BETWEEN ?1 AND ?2 LIMIT 2",
    )?;
    let mut named = named.query([least, greatest])?;
    let Some(row) = named.next()? else {
        return Ok(None);
    };
    let found = (
        ExchangeId::from_bytes(row.get(0)?),
        row.get(1)?,
        row.get(2)?,
    );
    if named.next()?.is_some() {
        return Err(ErrorKind::Ambiguous.into());
    }
    Ok(Some(found))
}

/// The least and the greatest id that begin with these digits.
fn range(id: &str) -> Result<[[u8; 16]; 2], Error> {
    let mut least = [0x00_u8; 16];
    let mut greatest = [0xff_u8; 16];
    let mut digits = 0;
    for (place, character) in id.chars().enumerate() {
        if character == '-' && matches!(place, 8 | 13 | 18 | 23) {
            continue;
        }
        let digit = character
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok());
        let digit = digit.ok_or(ErrorKind::Id)?;
        let byte = digits / 2;
        if byte >= 16 {
            return Err(ErrorKind::Id.into());
        }
        let (shift, kept) = if digits % 2 == 0 {
            (4, 0x0f)
        } else {
            (0, 0xf0)
        };
        least[byte] = (least[byte] & kept) | (digit << shift);
        greatest[byte] = (greatest[byte] & kept) | (digit << shift);
        digits += 1;
    }
    if digits < 8 {
        return Err(ErrorKind::Id.into());
    }
    Ok([least, greatest])
}

fn envelope(book: &Transaction<'_>, index: i64) -> Result<Value, Error> {
    let envelope: Option<Vec<u8>> = book
        .prepare_cached("SELECT envelope FROM entry WHERE seq = ?1")?
        .query_row([index], |row| row.get(0))
        .optional()?;
    let envelope = envelope.ok_or(ErrorKind::Corrupt)?;
    serde_json::from_slice(&envelope).map_err(|error| Error::because(ErrorKind::Corrupt, error))
}

fn request(book: &Transaction<'_>, id: ExchangeId, recorded: &Value) -> Result<Value, Error> {
    let (_, parts) = parts(book, id, true)?;
    Ok(json!({
        "method": recorded["method"],
        "target": recorded["target"],
        "headers": headers(&recorded["headers"]),
        "body": text(whole(&parts)),
        "bytes": recorded["bytes"],
        "coverage": recorded["coverage"],
    }))
}

/// The response, as far as it is recorded while the exchange is under way.
fn response(book: &Transaction<'_>, id: ExchangeId, recorded: &Value) -> Result<Value, Error> {
    let (shape, parts) = parts(book, id, false)?;
    let mut shown = json!({
        "headers": headers(&recorded["headers"]),
        "body": text(whole(&parts)),
        "bytes": recorded["bytes"],
        "coverage": recorded["coverage"],
        "first_byte": recorded["first_byte"],
    });
    if shape == ResponseShape::Events {
        let events = parts.into_iter();
        shown["events"] = events
            .map(|(at, frame)| json!({ "at": at, "frame": text(frame) }))
            .collect();
    }
    Ok(shown)
}

type Parts = (ResponseShape, Vec<(u64, Vec<u8>)>);

fn parts(book: &Transaction<'_>, id: ExchangeId, of_request: bool) -> Result<Parts, Error> {
    let mut stored = book.prepare_cached(
        "SELECT kind, at, data FROM part WHERE exchange = ?1 AND (kind = ?2) = ?3
         ORDER BY kind, ordinal",
    )?;
    let mut stored = stored.query(rusqlite::params![id.as_bytes(), REQUEST, of_request])?;
    let mut shape = ResponseShape::Body;
    let mut parts = Vec::new();
    while let Some(part) = stored.next()? {
        shape = shape_of(part.get(0)?);
        parts.push((unsigned(part.get(1)?)?, part.get(2)?));
    }
    Ok((shape, parts))
}

fn whole(parts: &[(u64, Vec<u8>)]) -> Vec<u8> {
    parts.iter().flat_map(|(_, data)| data).copied().collect()
}

fn text(bytes: Vec<u8>) -> Value {
    match String::from_utf8(bytes) {
        Ok(text) => Value::String(text),
        Err(error) => json!({ "base64": BASE64.encode(error.as_bytes()) }),
    }
}

fn headers(recorded: &Value) -> Value {
    let mut headers: Map<String, Value> = Map::new();
    for pair in recorded.as_array().into_iter().flatten() {
        let (Some(name), value) = (pair[0].as_str(), pair[1].clone()) else {
            continue;
        };
        match headers.get_mut(name) {
            None => {
                headers.insert(name.to_owned(), value);
            }
            Some(Value::Array(values)) => values.push(value),
            Some(first) => *first = json!([first.take(), value]),
        }
    }
    Value::Object(headers)
}

const RESERVED: &[&str] = &[
    "id",
    "session",
    "connection",
    "protocol",
    "started",
    "ended",
    "level",
    "principal",
    "action",
    "decision",
    "outcome",
    "status",
    "refusal",
    "request",
    "response",
    "findings",
    "ledger",
    "causes",
    "caused_by",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_or_its_beginning_is_a_range() {
        let [least, greatest] = range("0198c0de-0").unwrap();
        assert_eq!(least[..5], [0x01, 0x98, 0xc0, 0xde, 0x00]);
        assert_eq!(greatest[..6], [0x01, 0x98, 0xc0, 0xde, 0x0f, 0xff]);

        let id = ExchangeId::generate();
        assert_eq!(range(&id.to_string()).unwrap(), [*id.as_bytes(); 2]);
        for wrong in [
            "",
            "0198c0d",
            "0198c0de-0000-7000-8000-0000000000000",
            "0198-c0de",
            "x198c0de",
        ] {
            assert_eq!(range(wrong).unwrap_err().kind(), &ErrorKind::Id, "{wrong}");
        }
    }

    #[test]
    fn headers_that_came_twice_have_a_list() {
        let shown = headers(&json!([["a", "1"], ["b", "2"], ["a", "3"], ["a", "4"]]));
        assert_eq!(shown, json!({ "a": ["1", "3", "4"], "b": "2" }));
    }

    #[test]
    fn bytes_that_are_no_text_are_base64() {
        assert_eq!(text(b"\xff\x00".to_vec()), json!({ "base64": "/wA=" }));
    }
}
