//! What a server says beside rows: errors, notices, notifications, results of calls.

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Map, Value, json};
use tollbook_exchange::{Masked, Redact};
use tollbook_masking::Masker;
use tollbook_wire_postgres::{Error, Field, Fields, Frame, error, notice};

use super::{
    columns::LABEL,
    protected::Uses,
    rows::{Results, line},
};

/// What becomes of a message: the frame for the caller, if it is another than came, and the line of the
/// record.
pub type Told = (Option<Frame>, Masked<Bytes>);

impl Results {
    /// An error. Its detail may hold what stands in rows: `Key (ssn)=(…) already exists`.
    ///
    /// # Errors
    ///
    /// None for fields that were read from a frame.
    pub fn error(&self, fields: &Fields<'_>, uses: &Uses) -> Result<Told, Error> {
        self.told("error", fields, uses, error)
    }

    /// A notice.
    ///
    /// # Errors
    ///
    /// None for fields that were read from a frame.
    pub fn notice(&self, fields: &Fields<'_>, uses: &Uses) -> Result<Told, Error> {
        self.told("notice", fields, uses, notice)
    }

    /// What somebody tells those who listen.
    pub fn notification(&self, process: u32, channel: &str, payload: &str) -> Told {
        let masked =
            |masker: &Masker, text: &str| masker.redact("notification", text).0.into_inner();
        let frame = self.masks.wire.as_ref().and_then(|wire| {
            let other = masked(wire, payload);
            (other != payload).then(|| {
                let mut body = BytesMut::new();
                body.put_u32(process);
                for text in [channel, &*other] {
                    // Placeholders have no zero byte, and what was read has none.
                    body.put_slice(text.as_bytes());
                    body.put_u8(0);
                }
                Frame::new(b'A', body)
            })
        });
        let answers = &self.masks.answers;
        let told = json!({ "notification": {
            "channel": masked(answers, channel),
            "payload": masked(answers, payload),
        }});
        (frame, line(&told))
    }

    /// What a function gave that was called by its number. Its type is not told: where something is found
    /// in it, the caller gets null. Where columns are protected, it may be one of their values.
    pub fn result_of_call(&self, value: Option<&[u8]>) -> Told {
        let told = json!({ "result": value.map(|value| json!({ "bytes": value.len() })) });
        let found = |masker: &Masker| {
            value.is_some_and(|value| masker.mask(value).masked.into_inner() != value)
        };
        let hidden = value.is_some() && !self.protected.is_empty();
        let hidden = hidden || self.masks.wire.as_ref().is_some_and(found);
        let null = || Frame::new(b'V', (-1_i32).to_be_bytes().to_vec());
        (hidden.then(null), line(&told))
    }

    fn told(
        &self,
        what: &str,
        fields: &Fields<'_>,
        uses: &Uses,
        write: fn(&Fields<'_>) -> Result<Frame, Error>,
    ) -> Result<Told, Error> {
        let code = fields.field(Field::CODE).unwrap_or_default();
        // What is said of values that do not fit, and of rows that may not be, has them in it.
        let values =
            !self.protected.is_empty() && (code.starts_with("22") || code.starts_with("23"));
        // What does not exist or is not allowed is named in quotes, and is no value.
        let conceals = values || uses.any && !code.starts_with("42");
        let hide = |field: Field, text: &str| match field {
            Field::DETAIL | Field::WHERE | Field::INNER_QUERY if conceals => {
                format!("[REDACTED:{LABEL}]")
            }
            Field::MESSAGE if conceals => without_quoted(text),
            _ => text.to_owned(),
        };
        let masked = |masker: &Masker, field: Field, text: &str| {
            masker.redact(what, &hide(field, text)).0.into_inner()
        };
        let wire = self.masks.wire.as_ref();
        let mut other = Vec::new();
        let mut changed = false;
        let mut told = Map::new();
        for (field, text) in fields.iter() {
            let to_caller = match (is_plain(field), wire) {
                (true, _) => text.to_owned(),
                (false, Some(wire)) => masked(wire, field, text),
                (false, None) => hide(field, text),
            };
            changed |= to_caller != text;
            other.push((field, to_caller));
            if let Some(name) = name(field) {
                let text = match is_plain(field) {
                    true => text.to_owned(),
                    false => masked(&self.masks.answers, field, text),
                };
                // The first of its kind: the severity comes twice.
                told.entry(name).or_insert(Value::from(text));
            }
        }
        let frame = match changed {
            true => {
                let fields = other.iter().map(|(field, text)| (*field, &**text));
                Some(write(&Fields::new(fields))?)
            }
            false => None,
        };
        Ok((frame, line(&json!({ what: told }))))
    }
}

/// Fields in which no value of a row can be.
const fn is_plain(field: Field) -> bool {
    matches!(
        field,
        Field::SEVERITY
            | Field::SEVERITY_PLAIN
            | Field::CODE
            | Field::POSITION
            | Field::INNER_POSITION
            | Field(b'F' | b'L' | b'R')
    )
}

/// The name of a field in the record.
const fn name(field: Field) -> Option<&'static str> {
    Some(match field {
        Field::SEVERITY | Field::SEVERITY_PLAIN => "severity",
        Field::CODE => "code",
        Field::MESSAGE => "message",
        Field::DETAIL => "detail",
        Field::HINT => "hint",
        Field::POSITION => "position",
        Field::WHERE => "where",
        Field::SCHEMA => "schema",
        Field::TABLE => "table",
        Field::COLUMN => "column",
        Field::TYPE => "type",
        Field::CONSTRAINT => "constraint",
        _ => return None,
    })
}

/// A text with what stands in quotes left out, where a value may stand.
fn without_quoted(text: &str) -> String {
    let mut parts = text.split('"');
    let mut out = parts.next().unwrap_or_default().to_owned();
    let mut inside = true;
    for part in parts {
        out.push('"');
        match inside {
            true => out.push_str(&format!("[REDACTED:{LABEL}]")),
            false => out.push_str(part),
        }
        inside = !inside;
    }
    out
}

#[cfg(test)]
mod tests {
    use tollbook_wire_postgres::Backend;

    use super::*;
    use crate::{
        Masks,
        postgres::{Protected, Protection, Rows},
    };

    fn key() -> String {
        ["AKIA", "IOSFODNN7EXAMPLE"].concat()
    }

    fn results(wire: bool, protected: &[&str]) -> Results {
        let masker = Masker::builtin();
        let masks = Masks {
            requests: masker.clone(),
            answers: masker.clone(),
            wire: wire.then_some(masker),
        };
        let protected = protected
            .iter()
            .map(|name| ((*name).to_owned(), Protection::Redact));
        Results::new(&masks, Rows::All, Protected::new(protected), None)
    }

    fn text(line: Masked<Bytes>) -> String {
        String::from_utf8(line.into_inner().to_vec()).unwrap()
    }

    #[test]
    fn what_an_error_says_of_values_is_masked() {
        let detail = format!("Key (token)=({}) already exists.", key());
        let fields = Fields::new([
            (Field::SEVERITY, "ERROR"),
            (Field::CODE, "23505"),
            (Field::MESSAGE, "duplicate key"),
            (Field::DETAIL, &detail),
        ]);
        let (frame, told) = results(false, &[])
            .error(&fields, &Uses::default())
            .unwrap();
        assert!(frame.is_none());
        let told: Value = serde_json::from_str(&text(told)).unwrap();
        let detail = "Key (token)=([REDACTED:aws-access-key-id]) already exists.";
        assert_eq!(
            told,
            json!({ "error": {
                "severity": "ERROR", "code": "23505", "message": "duplicate key", "detail": detail,
            }})
        );
        let (frame, _) = results(true, &[]).error(&fields, &Uses::default()).unwrap();
        let frame = frame.unwrap();
        let Ok(Backend::Error(read)) = Backend::read(&frame) else {
            panic!("no error")
        };
        let detail = read.field(Field::DETAIL).unwrap();
        assert!(detail.contains("[REDACTED:") && !detail.contains(&key()));
        assert_eq!(read.field(Field::CODE), Some("23505"));
    }

    #[test]
    fn where_columns_are_protected_an_error_shows_none_of_their_values() {
        let fields = Fields::new([
            (Field::CODE, "22P02"),
            (
                Field::MESSAGE,
                "invalid input syntax for type integer: \"219-09-9999\"",
            ),
            (Field::DETAIL, "Failing row contains (1, 219-09-9999)."),
        ]);
        let (frame, told) = results(false, &["users.ssn"])
            .error(&fields, &Uses::default())
            .unwrap();
        assert!(!text(told).contains("9999"));
        let frame = frame.unwrap();
        let Ok(Backend::Error(read)) = Backend::read(&frame) else {
            panic!("no error")
        };
        let message = read.field(Field::MESSAGE).unwrap();
        assert_eq!(
            message,
            "invalid input syntax for type integer: \"[REDACTED:protected-column]\""
        );
        assert_eq!(
            read.field(Field::DETAIL),
            Some("[REDACTED:protected-column]")
        );
        assert_eq!(without_quoted("a \"b"), "a \"[REDACTED:protected-column]");
    }

    #[test]
    fn payloads_of_notifications_are_masked() {
        let payload = format!("use {}", key());
        let (frame, told) = results(true, &[]).notification(7, "jobs", &payload);
        let frame = frame.unwrap();
        let read = Backend::read(&frame).unwrap();
        let masked = "use [REDACTED:aws-access-key-id]";
        assert!(
            read == Backend::Notification {
                process: 7,
                channel: "jobs",
                payload: masked
            }
        );
        assert!(text(told).contains(masked));
        let (frame, told) = results(false, &[]).notification(7, "jobs", &payload);
        assert!(frame.is_none() && text(told).contains(masked));
    }

    #[test]
    fn a_result_of_a_call_is_null_where_something_is_found_in_it() {
        let frame = |results: Results, value: &[u8]| results.result_of_call(Some(value)).0;
        assert!(frame(results(true, &[]), b"\0\0\0\x07").is_none());
        let null = Frame::new(b'V', vec![255; 4]);
        assert_eq!(
            frame(results(true, &[]), key().as_bytes()),
            Some(null.clone())
        );
        assert_eq!(frame(results(false, &["ssn"]), b"x"), Some(null));
    }
}
