//! What is asked, as the JSON document that is scanned, shown and recorded.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use tollbook_wire_postgres::{Bind, Call, Cells, Format, Formats, Frontend, text_of};

use super::{
    names::{Portal, Statement},
    text::Text,
};

/// The document of a text that is run as it is.
pub(super) fn of_query(text: &Text) -> Vec<u8> {
    let mut document = Map::new();
    add_text(&mut document, text);
    written(document)
}

/// The document of a text that is prepared.
pub(super) fn of_parse(name: &str, text: &Text) -> Vec<u8> {
    let mut document = Map::new();
    add_text(&mut document, text);
    add_name(&mut document, name);
    written(document)
}

/// The document of a portal that is run; of one that nobody here knows, what is called so.
pub(super) fn of_execute(name: &str, portal: &Portal, text: &Text, rows: i32) -> Vec<u8> {
    let mut document = Map::new();
    let statement = portal.statement.as_deref();
    if let Some(statement) = statement {
        add_text(&mut document, text);
        add_name(&mut document, &statement.name);
    } else {
        document.insert("portal".to_owned(), json!(name));
    }
    if let Ok(Frontend::Bind(bind)) = Frontend::read(&portal.bind) {
        if statement.is_none() {
            add_name(&mut document, bind.statement);
        }
        if !bind.parameters.is_empty() {
            let parameters = parameters(&bind, statement);
            document.insert("parameters".to_owned(), parameters);
        }
    }
    if rows > 0 {
        document.insert("row_limit".to_owned(), json!(rows));
    }
    written(document)
}

/// The document of a portal that could not be made.
pub(super) fn of_bind(name: &str, portal: &Portal) -> Vec<u8> {
    match &portal.statement {
        Some(statement) => of_execute(name, portal, &statement.text, 0),
        None => of_execute(name, portal, &Text::unseen(), 0),
    }
}

/// The document of a function that is called by its number.
pub(super) fn of_call(call: &Call<'_>) -> Vec<u8> {
    let mut document = Map::new();
    document.insert("function".to_owned(), json!(call.function));
    let arguments = values(&call.arguments, &call.formats, |_| 0);
    document.insert("parameters".to_owned(), arguments);
    written(document)
}

fn parameters(bind: &Bind<'_>, statement: Option<&Statement>) -> Value {
    let kind = |index: usize| {
        let statement = statement?;
        let told = statement.types.get().and_then(|types| types.get(index));
        told.or_else(|| statement.given.get(index)).copied()
    };
    values(&bind.parameters, &bind.formats, |index| {
        kind(index).unwrap_or(0)
    })
}

fn values(cells: &Cells<'_>, formats: &Formats<'_>, kind: impl Fn(usize) -> u32) -> Value {
    let value = |(index, cell): (usize, Option<&[u8]>)| match cell {
        None => Value::Null,
        Some(cell) => {
            let format = formats.of(index).unwrap_or(Format::Binary);
            told(kind(index), format, cell)
        }
    };
    cells.iter().enumerate().map(value).collect()
}

/// A value: its text, or its bytes if nobody knows what they mean.
pub(super) fn told(kind: u32, format: Format, cell: &[u8]) -> Value {
    match text_of(kind, format, cell) {
        Some(text) => Value::String(text),
        // Of a type that nobody told, what is text is shown as text, so that secrets in it are found.
        None => match std::str::from_utf8(cell) {
            Ok(text) if !text.contains('\0') => json!({ "unknown": text }),
            _ => json!({ "base64": STANDARD.encode(cell) }),
        },
    }
}

fn add_text(document: &mut Map<String, Value>, text: &Text) {
    document.insert("statement".to_owned(), json!(text.text));
    if let Some(resolved) = &text.resolved {
        document.insert("resolved".to_owned(), json!(resolved));
    }
}

fn add_name(document: &mut Map<String, Value>, name: &str) {
    if !name.is_empty() {
        document.insert("statement_name".to_owned(), json!(name));
    }
}

fn written(document: Map<String, Value>) -> Vec<u8> {
    Value::Object(document).to_string().into_bytes()
}
