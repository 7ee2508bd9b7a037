//! One exchange with all that is recorded of it, as JSON.

use std::sync::{Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use rusqlite::{OptionalExtension, Transaction};
use serde_json::{Map, Value, json};
use tollbook_exchange::{ExchangeId, ResponseShape};
use tollbook_ledger::Leaf;

use super::list::{self, Summary};
use crate::{
    Error, ErrorKind,
    body::{Part, Recipe},
    envelope::open_answer,
    erased::Tombstones,
    journal::shape_of,
    keys::{Class, KeyId},
    opener::{Content, Opener, brings},
};

/// The exchange that `id` names.
///
/// Keys are those of the design's contract, in its order; what a protocol adds comes after
/// `findings`. A body is a text if it is UTF-8 and `{"base64": …}` if not. A header that came more
/// than once has a list of values. Of what was erased it has what stands in lists, and in `erased`
/// which classes are gone and what the tombstones say; in `unavailable` what cannot be opened here,
/// and why.
pub(super) fn exchange(
    book: &Transaction<'_>,
    mut opener: Opener<'_>,
    tombstones: &Mutex<Tombstones>,
    id: &str,
) -> Result<Option<Value>, Error> {
    let Some((id, intent, closed)) = find(book, id)? else {
        return Ok(None);
    };
    let (leaf, ..) = entry(book, intent)?;
    {
        // First, and in this snapshot: what it says was erased is not shown any more.
        let mut tombstones = tombstones.lock().unwrap_or_else(PoisonError::into_inner);
        tombstones.read(book)?;
        opener.heed(&tombstones, KeyId(leaf.header.seal.key));
        if let Some(closed) = closed {
            let (leaf, ..) = entry(book, closed)?;
            opener.heed(&tombstones, KeyId(leaf.header.seal.key));
        }
    }
    let mut show = Show {
        book,
        opener,
        id,
        key: KeyId(leaf.header.seal.key),
        answers: Class::Answer,
        missing: Vec::new(),
        why: None,
    };
    let row = show.row()?;
    show.answers = Class::of_answer(&row.protocol);
    let (asked, recipe) = match show.envelope(intent)? {
        Some((envelope, recipe)) => (envelope, Some(recipe)),
        None => (
            json!({
                "id": row.id,
                "session": row.session,
                "connection": row.connection,
                "protocol": row.protocol,
                "started": row.started,
                "findings": [],
            }),
            None,
        ),
    };
    let ended = match closed {
        Some(closed) => match show.envelope(closed)? {
            Some((envelope, _)) => envelope,
            None => json!({
                "ended": row.ended,
                "outcome": row.outcome,
                "status": row.status,
                "findings": [],
            }),
        },
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
    put("request", show.request(&asked["request"], recipe.as_ref())?);
    put("response", show.response(&ended["response"])?);
    let findings = if closed.is_some() { &ended } else { &asked };
    put("findings", findings["findings"].clone());
    let told = show.result(&ended)?;
    for (key, value) in told {
        // A result cannot pass itself off as one of the keys above or below.
        if !RESERVED.contains(&key.as_str()) {
            put(&key, value);
        }
    }
    put(
        "ledger",
        json!({ "log": origin, "index": closed.unwrap_or(intent), "intent_index": intent }),
    );
    put("causes", json!([]));
    put("caused_by", Value::Null);
    show.tell_missing(tombstones, &mut put)?;
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

/// Leaf, salt and stored envelope of an entry.
type Stored<L> = (L, Option<Vec<u8>>, Vec<u8>);

/// The entry at this index.
fn entry(book: &Transaction<'_>, index: i64) -> Result<Stored<Leaf>, Error> {
    let entry: Option<Stored<Vec<u8>>> = book
        .prepare_cached("SELECT leaf, salt, envelope FROM entry WHERE seq = ?1")?
        .query_row([index], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let (leaf, salt, envelope) = entry.ok_or(ErrorKind::Corrupt)?;
    Ok((Leaf::from_bytes(&leaf)?, salt, envelope))
}

/// What is needed to show one exchange, and what of it could not be.
struct Show<'a> {
    book: &'a Transaction<'a>,
    opener: Opener<'a>,
    id: ExchangeId,
    key: KeyId,
    /// The class of its answer.
    answers: Class,
    missing: Vec<Class>,
    /// Why what is missing cannot be opened; none if it was erased.
    why: Option<ErrorKind>,
}

impl Show<'_> {
    fn row(&self) -> Result<Summary, Error> {
        let sql = format!("{} WHERE id = ?1", list::COLUMNS);
        let mut row = self.book.prepare_cached(&sql)?;
        Ok(row.query_row([self.id.as_bytes()], list::summary)?)
    }

    fn envelope(&mut self, index: i64) -> Result<Option<(Value, Recipe)>, Error> {
        let (leaf, salt, stored) = entry(self.book, index)?;
        let opened = self
            .opener
            .envelope(&leaf.header, salt.as_deref(), &stored)?;
        let Some(opened) = self.opened(Class::Metadata, opened) else {
            return Ok(None);
        };
        let envelope = serde_json::from_slice(&opened.envelope)
            .map_err(|error| Error::because(ErrorKind::Corrupt, error))?;
        Ok(Some((envelope, opened.recipe)))
    }

    fn request(&mut self, recorded: &Value, recipe: Option<&Recipe>) -> Result<Value, Error> {
        let body = match recipe {
            Some(recipe) => {
                let brings = brings(self.book, self.row()?.index)?.ok_or(ErrorKind::Corrupt)?;
                let mut body = Vec::new();
                let opened = self
                    .opener
                    .request(self.key, brings, recipe, &mut |piece| {
                        body.extend(piece);
                    })?;
                self.opened(Class::Request, opened).map(|()| body)
            }
            // Without its envelope nobody knows what it is made of.
            None => {
                self.missing.push(Class::Request);
                None
            }
        };
        Ok(json!({
            "method": recorded["method"],
            "target": recorded["target"],
            "headers": headers(&recorded["headers"]),
            "body": body.map_or(Value::Null, text),
            "bytes": recorded["bytes"],
            "coverage": recorded["coverage"],
        }))
    }

    /// The response, as far as it is recorded while the exchange is under way.
    fn response(&mut self, recorded: &Value) -> Result<Value, Error> {
        let mut shape = ResponseShape::Body;
        let mut parts: Vec<Part> = Vec::new();
        let answered = (self.key, self.answers);
        let opened = self.opener.answer(self.id, answered, &mut |kind, some| {
            shape = shape_of(kind);
            parts.extend(some.iter().cloned());
            Ok(())
        })?;
        let is_open = self.opened(self.answers, opened).is_some();
        let body = is_open.then(|| parts.iter().flat_map(|(_, data)| data).copied().collect());
        let mut shown = json!({
            "headers": headers(&recorded["headers"]),
            "body": body.map_or(Value::Null, text),
            "bytes": recorded["bytes"],
            "coverage": recorded["coverage"],
            "first_byte": recorded["first_byte"],
        });
        if is_open && shape == ResponseShape::Events {
            let events = parts.into_iter();
            shown["events"] = events
                .map(|(at, frame)| json!({ "at": at, "frame": text(frame.to_vec()) }))
                .collect();
        }
        Ok(shown)
    }

    /// What a layer made of the answer, as far as it can be opened.
    fn result(&mut self, ended: &Value) -> Result<Map<String, Value>, Error> {
        let mut result = ended["result"].as_object().cloned().unwrap_or_default();
        if let Some(sealed) = ended["answer"].as_str() {
            let key = self.opener.key(self.key, self.answers);
            let opened = key.open(|key| open_answer(self.id, key, sealed))?;
            result.extend(self.opened(self.answers, opened).into_iter().flatten());
        }
        Ok(result)
    }

    /// What was opened; notes what was not.
    fn opened<T>(&mut self, class: Class, content: Content<T>) -> Option<T> {
        let why = match content {
            Content::Open(opened) => return Some(opened),
            Content::Erased => None,
            Content::Closed(why) => Some(why),
        };
        if !self.missing.contains(&class) {
            self.missing.push(class);
        }
        self.why = self.why.take().or(why);
        None
    }

    /// Says what is missing.
    fn tell_missing(
        &mut self,
        tombstones: &Mutex<Tombstones>,
        put: &mut dyn FnMut(&str, Value) -> Option<Value>,
    ) -> Result<(), Error> {
        if self.missing.is_empty() {
            return Ok(());
        }
        let mut tombstones = tombstones.lock().unwrap_or_else(PoisonError::into_inner);
        tombstones.read(self.book)?;
        let (erased, unavailable): (Vec<Class>, Vec<Class>) = (self.missing.iter())
            .partition(|class| self.why.is_none() || tombstones.of(self.key, **class).is_some());
        if !erased.is_empty() {
            put("erased", tombstones.show(self.key, &erased));
        }
        if let (Some(why), false) = (&self.why, unavailable.is_empty()) {
            let classes: Vec<_> = unavailable.iter().map(|class| class.as_str()).collect();
            put(
                "unavailable",
                json!({ "classes": classes, "why": why.to_string() }),
            );
        }
        Ok(())
    }
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
    "erased",
    "unavailable",
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
