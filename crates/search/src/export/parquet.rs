//! Apache Parquet (<https://parquet.apache.org/docs/file-format/>), for tables: a row for each
//! exchange, compressed with zstd.
//!
//! Columns keep their names, types and order; later ones come after those that are here. Each may
//! be null where the record has nothing, but lists, which are empty then.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use ::parquet::{
    basic::{Compression, ZstdLevel},
    column::writer::ColumnWriter,
    data_type::ByteArray,
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde_json::Value;

use super::{Form, micros, took};
use crate::{
    Error, ErrorKind,
    conversation::dollars,
    facts::{Spent, masked_in},
};

pub(super) struct Parquet {
    writer: Option<SerializedFileWriter<Written>>,
    written: Written,
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

/// The type of a column.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Bytes,
    Texts,
    Time,
    Whole,
    Real,
}

/// One value of a row.
enum Cell {
    Null,
    Bytes(Vec<u8>),
    Texts(Vec<String>),
    Whole(i64),
    Real(f64),
}

type Read = fn(&Value, Option<Spent>) -> Cell;

const COLUMNS: [(&str, Kind, Read); 37] = [
    ("id", Kind::Text, |record, _| text(record, "/id")),
    ("session", Kind::Text, |record, _| text(record, "/session")),
    ("log", Kind::Text, |record, _| text(record, "/ledger/log")),
    ("index", Kind::Whole, |record, _| {
        whole(record, "/ledger/intent_index")
    }),
    (
        "outcome_index",
        Kind::Whole,
        |record, _| match record["outcome"].is_null() {
            true => Cell::Null,
            false => whole(record, "/ledger/index"),
        },
    ),
    ("started", Kind::Time, |record, _| {
        some(micros(&record["started"]))
    }),
    ("ended", Kind::Time, |record, _| {
        some(micros(&record["ended"]))
    }),
    ("duration_us", Kind::Whole, |record, _| some(took(record))),
    ("connection", Kind::Text, |record, _| {
        text(record, "/connection")
    }),
    ("protocol", Kind::Text, |record, _| {
        text(record, "/protocol")
    }),
    ("principal_kind", Kind::Text, |record, _| {
        text(record, "/principal/kind")
    }),
    ("issuer", Kind::Text, |record, _| {
        text(record, "/principal/issuer")
    }),
    ("subject", Kind::Text, |record, _| {
        text(record, "/principal/subject")
    }),
    ("repository", Kind::Text, |record, _| {
        text(record, "/principal/claims/repository")
    }),
    ("action", Kind::Text, |record, _| {
        text(record, "/action/name")
    }),
    ("model_requested", Kind::Text, |record, _| {
        text(record, "/model/requested")
    }),
    ("model_served", Kind::Text, |record, _| {
        text(record, "/model/served")
    }),
    ("verdict", Kind::Text, |record, _| {
        text(record, "/decision/verdict")
    }),
    ("rules", Kind::Texts, |record, _| {
        names(&record["decision"]["rules"], "")
    }),
    ("policy_hash", Kind::Text, |record, _| {
        text(record, "/decision/policy_hash")
    }),
    ("approval", Kind::Text, |record, _| {
        text(record, "/decision/approval")
    }),
    ("outcome", Kind::Text, |record, _| text(record, "/outcome")),
    ("status", Kind::Whole, |record, _| whole(record, "/status")),
    ("refusal", Kind::Text, |record, _| {
        text(record, "/refusal/code")
    }),
    ("stop_reason", Kind::Text, |record, _| {
        text(record, "/stop_reason")
    }),
    ("tools", Kind::Texts, |record, _| {
        names(&record["tool_calls"], "name")
    }),
    ("masked", Kind::Whole, |record, _| {
        let counts = masked_in(record).filter_map(|one| one["count"].as_u64());
        unsigned(Some(counts.sum()))
    }),
    ("input_tokens", Kind::Whole, |_, spent| {
        unsigned(spent.map(|spent| spent.usage.input))
    }),
    ("output_tokens", Kind::Whole, |_, spent| {
        unsigned(spent.map(|spent| spent.usage.output))
    }),
    ("cache_read_tokens", Kind::Whole, |_, spent| {
        unsigned(spent.map(|spent| spent.usage.cache_read))
    }),
    ("cache_write_tokens", Kind::Whole, |_, spent| {
        let written =
            |spent: Spent| (spent.usage.cache_write).saturating_add(spent.usage.cache_write_1h);
        unsigned(spent.map(written))
    }),
    ("cost_usd", Kind::Real, |_, spent| {
        spent.map_or(Cell::Null, |spent| Cell::Real(dollars(spent.cost)))
    }),
    ("request_bytes", Kind::Whole, |record, _| {
        whole(record, "/request/bytes")
    }),
    ("response_bytes", Kind::Whole, |record, _| {
        whole(record, "/response/bytes")
    }),
    ("target", Kind::Text, |record, _| {
        text(record, "/request/target")
    }),
    ("request_body", Kind::Bytes, |record, _| {
        body(&record["request"]["body"])
    }),
    ("response_body", Kind::Bytes, |record, _| {
        body(&record["response"]["body"])
    }),
];

/// A row group has as many rows, or as many bytes unless one row has more: so much is held in
/// memory, and so much a reader takes at a time.
const ROWS: usize = 10_000;
const BYTES: usize = 16 << 20;

impl Parquet {
    pub(super) fn new() -> Self {
        Self {
            writer: None,
            written: Written::default(),
            columns: COLUMNS
                .iter()
                .map(|(_, kind, _)| Column::of(*kind))
                .collect(),
            rows: 0,
            bytes: 0,
        }
    }

    /// Writes the rows at hand as a group of their own.
    fn group(&mut self, to: &mut dyn Write) -> Result<(), Error> {
        let writer = self.writer.as_mut().ok_or(ErrorKind::Output)?;
        if self.rows > 0 {
            let mut group = writer.next_row_group().map_err(failed)?;
            for column in &mut self.columns {
                let mut place = group
                    .next_column()
                    .map_err(failed)?
                    .ok_or(ErrorKind::Output)?;
                column.write(place.untyped())?;
                place.close().map_err(failed)?;
            }
            group.close().map_err(failed)?;
            (self.rows, self.bytes) = (0, 0);
        }
        self.written.pass_on(to)
    }
}

impl Form for Parquet {
    fn begin(&mut self, to: &mut dyn Write) -> Result<(), Error> {
        let schema = parse_message_type(&schema()).map_err(failed)?;
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_created_by(concat!("tollbook ", env!("CARGO_PKG_VERSION")).to_owned());
        for (name, kind, _) in COLUMNS {
            if kind == Kind::Bytes {
                // No two bodies are the same.
                properties = properties.set_column_dictionary_enabled(name.into(), false);
            }
        }
        let writer = SerializedFileWriter::new(
            self.written.clone(),
            Arc::new(schema),
            Arc::new(properties.build()),
        );
        self.writer = Some(writer.map_err(failed)?);
        self.written.pass_on(to)
    }

    fn record(
        &mut self,
        record: &Value,
        spent: Option<Spent>,
        to: &mut dyn Write,
    ) -> Result<bool, Error> {
        for (column, (_, _, read)) in self.columns.iter_mut().zip(COLUMNS) {
            self.bytes += column.push(read(record, spent));
        }
        self.rows += 1;
        if self.rows >= ROWS || self.bytes >= BYTES {
            self.group(to)?;
        }
        Ok(true)
    }

    fn end(&mut self, to: &mut dyn Write) -> Result<(), Error> {
        self.group(to)?;
        let writer = self.writer.take().ok_or(ErrorKind::Output)?;
        writer.close().map_err(failed)?;
        self.written.pass_on(to)
    }
}

/// The values of one column, as the format's writer takes them: those that are there, and for each
/// place in a row whether one is (Dremel levels).
struct Column {
    values: Values,
    defined: Vec<i16>,
    /// For lists: 0 where a row begins.
    repeated: Option<Vec<i16>>,
}

enum Values {
    Bytes(Vec<ByteArray>),
    Whole(Vec<i64>),
    Real(Vec<f64>),
}

impl Column {
    fn of(kind: Kind) -> Self {
        Self {
            values: match kind {
                Kind::Text | Kind::Bytes | Kind::Texts => Values::Bytes(Vec::new()),
                Kind::Time | Kind::Whole => Values::Whole(Vec::new()),
                Kind::Real => Values::Real(Vec::new()),
            },
            defined: Vec::new(),
            repeated: (kind == Kind::Texts).then(Vec::new),
        }
    }

    /// Takes the value of one row, and tells about how many bytes it has. A value of another type
    /// than the column's is null.
    fn push(&mut self, cell: Cell) -> usize {
        match (&mut self.values, &mut self.repeated, cell) {
            (Values::Bytes(values), Some(repeated), Cell::Texts(texts)) => {
                let size = texts.iter().map(|text| text.len() + 8).sum();
                if texts.is_empty() {
                    self.defined.push(0);
                    repeated.push(0);
                }
                for (place, text) in texts.into_iter().enumerate() {
                    self.defined.push(1);
                    repeated.push(i16::from(place > 0));
                    values.push(text.into_bytes().into());
                }
                size
            }
            (Values::Bytes(values), None, Cell::Bytes(bytes)) => {
                let size = bytes.len() + 8;
                self.defined.push(1);
                values.push(bytes.into());
                size
            }
            (Values::Whole(values), None, Cell::Whole(number)) => {
                self.defined.push(1);
                values.push(number);
                8
            }
            (Values::Real(values), None, Cell::Real(number)) => {
                self.defined.push(1);
                values.push(number);
                8
            }
            (_, repeated, _) => {
                self.defined.push(0);
                if let Some(repeated) = repeated {
                    repeated.push(0);
                }
                1
            }
        }
    }

    fn write(&mut self, to: &mut ColumnWriter<'_>) -> Result<(), Error> {
        let defined = Some(&self.defined[..]);
        let repeated = self.repeated.as_deref();
        let written = match (&self.values, to) {
            (Values::Bytes(values), ColumnWriter::ByteArrayColumnWriter(to)) => {
                to.write_batch(values, defined, repeated)
            }
            (Values::Whole(values), ColumnWriter::Int64ColumnWriter(to)) => {
                to.write_batch(values, defined, repeated)
            }
            (Values::Real(values), ColumnWriter::DoubleColumnWriter(to)) => {
                to.write_batch(values, defined, repeated)
            }
            _ => return Err(ErrorKind::Output.into()),
        };
        written.map_err(failed)?;
        match &mut self.values {
            Values::Bytes(values) => values.clear(),
            Values::Whole(values) => values.clear(),
            Values::Real(values) => values.clear(),
        }
        self.defined.clear();
        if let Some(repeated) = &mut self.repeated {
            repeated.clear();
        }
        Ok(())
    }
}

/// What the format's writer wrote and nobody passed on yet: it wants to own what it writes to.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn pass_on(&self, to: &mut dyn Write) -> Result<(), Error> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(to.write_all(&bytes)?)
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn schema() -> String {
    let columns = COLUMNS.map(|(name, kind, _)| match kind {
        Kind::Text => format!("OPTIONAL BYTE_ARRAY {name} (STRING);"),
        Kind::Bytes => format!("OPTIONAL BYTE_ARRAY {name};"),
        Kind::Texts => format!(
            "REQUIRED GROUP {name} (LIST) {{ REPEATED GROUP list {{ REQUIRED BYTE_ARRAY element \
             (STRING); }} }}"
        ),
        Kind::Time => format!("OPTIONAL INT64 {name} (TIMESTAMP(MICROS,true));"),
        Kind::Whole => format!("OPTIONAL INT64 {name};"),
        Kind::Real => format!("OPTIONAL DOUBLE {name};"),
    });
    format!("message exchange {{ {} }}", columns.join(" "))
}

fn text(record: &Value, pointer: &str) -> Cell {
    match record.pointer(pointer) {
        Some(Value::String(text)) => Cell::Bytes(text.clone().into_bytes()),
        _ => Cell::Null,
    }
}

fn whole(record: &Value, pointer: &str) -> Cell {
    some(record.pointer(pointer).and_then(Value::as_i64))
}

fn unsigned(number: Option<u64>) -> Cell {
    some(number.and_then(|number| i64::try_from(number).ok()))
}

fn some(number: Option<i64>) -> Cell {
    number.map_or(Cell::Null, Cell::Whole)
}

fn names(list: &Value, key: &str) -> Cell {
    let all = list.as_array().into_iter().flatten();
    let all = all.filter_map(|one| one.as_str().or_else(|| one[key].as_str()));
    Cell::Texts(all.map(str::to_owned).collect())
}

/// The bytes of a body, which are base64 in a record where they are no text.
fn body(recorded: &Value) -> Cell {
    match recorded {
        Value::String(text) => Cell::Bytes(text.clone().into_bytes()),
        coded => coded["base64"]
            .as_str()
            .and_then(|coded| BASE64.decode(coded).ok())
            .map_or(Cell::Null, Cell::Bytes),
    }
}

fn failed(error: ParquetError) -> Error {
    Error::because(ErrorKind::Output, error)
}

#[cfg(test)]
mod tests {
    use ::parquet::{
        file::reader::{FileReader, SerializedFileReader},
        record::RowAccessor,
    };
    use bytes::Bytes;
    use serde_json::json;

    use super::*;

    fn written(records: &[Value]) -> SerializedFileReader<Bytes> {
        let (mut form, mut to) = (Parquet::new(), Vec::new());
        form.begin(&mut to).unwrap();
        for record in records {
            assert!(form.record(record, None, &mut to).unwrap());
        }
        form.end(&mut to).unwrap();
        SerializedFileReader::new(Bytes::from(to)).unwrap()
    }

    #[test]
    fn rows_have_lists_times_and_bytes() {
        let file = written(&[
            json!({
                "id": "a", "started": "2026-01-01T00:00:00.000001Z", "status": 200,
                "decision": { "rules": ["one", "two"] },
                "tool_calls": [{ "name": "Bash" }],
                "request": { "body": "text" },
                "response": { "body": { "base64": "/wA=" } },
            }),
            json!({ "id": "b" }),
        ]);
        let rows: Vec<_> = file
            .get_row_iter(None)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let place = |name: &str| COLUMNS.iter().position(|(is, ..)| *is == name).unwrap();
        let list = |row: usize, name: &str| {
            let list = rows[row].get_list(place(name)).unwrap();
            format!("{:?}", list.elements())
        };
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0].get_string(place("id")).unwrap(), "a");
        assert_eq!(list(0, "rules"), r#"[Str("one"), Str("two")]"#);
        assert_eq!(list(0, "tools"), r#"[Str("Bash")]"#);
        assert_eq!(
            (list(1, "rules"), list(1, "tools")),
            ("[]".to_owned(), "[]".to_owned())
        );
        assert_eq!(
            rows[0].get_bytes(place("request_body")).unwrap().data(),
            b"text"
        );
        assert_eq!(
            rows[0].get_bytes(place("response_body")).unwrap().data(),
            b"\xff\x00"
        );
        assert_eq!(rows[0].get_long(place("status")).unwrap(), 200);
        assert!(rows[1].get_long(place("status")).is_err(), "null");
    }

    /// What is held in memory has a bound.
    #[test]
    fn rows_go_out_in_groups() {
        let large = json!({ "id": "a", "request": { "body": "x".repeat(BYTES / 2) } });
        let file = written(&vec![large; 5]);
        assert_eq!(file.metadata().num_row_groups(), 3);
        assert_eq!(file.metadata().file_metadata().num_rows(), 5);
        let file = written(&[]);
        assert_eq!(file.metadata().num_row_groups(), 0);
        let names = file.metadata().file_metadata().schema_descr().root_schema();
        assert_eq!(names.get_fields().len(), COLUMNS.len());
    }
}
