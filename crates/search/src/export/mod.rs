//! Exchanges on their way to other programs, one after the other in bounded memory.

mod csv;
mod har;
mod ocsf;
mod otlp;
mod parquet;

use std::{fmt, io::Write, str::FromStr};

use serde_json::Value;
use tollbook_budget::Prices;
use tollbook_recording::Reader;

use crate::{Clock, Error, Index, Query, facts::Spent};

/// A format that other programs read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object a line: an exchange in its JSON form.
    Jsonl,
    /// A line of comma-separated values for each exchange, without what was said (RFC 4180).
    Csv,
    /// An HTTP archive, version 1.2. Only what was an HTTP call is in it.
    Har,
    /// One event of the Open Cybersecurity Schema Framework 1.8 a line, of the class API Activity.
    Ocsf,
    /// Spans of OpenTelemetry with the attributes for generative AI, as OTLP/JSON, some to a line.
    Otlp,
    /// A table in Apache Parquet, a row for each exchange, compressed with zstd.
    ///
    /// The columns that CSV has, with times as timestamps in microseconds (`started`, `ended`),
    /// `duration_us`, and lists for `rules` and `tools`; and beside them `log`, `outcome_index`,
    /// `principal_kind` (for `kind`), `policy_hash`, `target`, and as bytes `request_body` and
    /// `response_body`, which are null where contents are left out. Names, types and order stay;
    /// columns to come are put after these.
    Parquet,
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 6] = [
        Self::Jsonl,
        Self::Csv,
        Self::Har,
        Self::Ocsf,
        Self::Otlp,
        Self::Parquet,
    ];

    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jsonl => "jsonl",
            Self::Csv => "csv",
            Self::Har => "har",
            Self::Ocsf => "ocsf",
            Self::Otlp => "otlp",
            Self::Parquet => "parquet",
        }
    }

    /// Whether it is lines of text, so that one export can be written after another into one file.
    pub const fn is_lines(self) -> bool {
        matches!(self, Self::Jsonl | Self::Ocsf | Self::Otlp)
    }

    /// Whether it is text.
    pub const fn is_text(self) -> bool {
        !matches!(self, Self::Parquet)
    }

    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Jsonl | Self::Ocsf => "application/x-ndjson",
            Self::Csv => "text/csv",
            Self::Har | Self::Otlp => "application/json",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        let is = |format: &Self| format.as_str() == text;
        Self::ALL.into_iter().find(is).ok_or(UnknownFormat(()))
    }
}

/// There is no such format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is one of jsonl, csv, har, ocsf, otlp and parquet")]
pub struct UnknownFormat(());

/// What is written how.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ExportOptions {
    /// The format.
    pub format: Format,
    /// Whether what was said is written, masked as it is in the book.
    pub contents: bool,
    /// Only exchanges of which the first entry comes after this index: where an export before ended.
    pub after: Option<u64>,
}

impl ExportOptions {
    /// Everything in this format.
    pub const fn new(format: Format) -> Self {
        Self {
            format,
            contents: true,
            after: None,
        }
    }
}

/// What was exported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Exported {
    /// How many exchanges were written.
    pub exchanges: u64,
    /// How many the format has no form for.
    pub left_out: u64,
    /// Where the next export goes on from: the index of the first entry of the last exchange before
    /// the first that is not over yet.
    pub last: Option<u64>,
}

/// How many exchanges are looked up at a time.
const PAGE: usize = 500;

impl Index {
    /// Writes the exchanges that the query takes, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Output`](crate::ErrorKind::Output) when it cannot be written, and others when
    /// book or index cannot be read. What was written by then is no whole file.
    pub fn export(
        &self,
        book: &Reader,
        query: &Query,
        clock: &Clock,
        options: &ExportOptions,
        to: &mut dyn Write,
    ) -> Result<Exported, Error> {
        let mut done = Exported {
            last: options.after,
            ..Exported::default()
        };
        let mut encoder = Encoder::begin(options.format, options.contents, to)?;
        let (mut at, mut open) = (options.after, None);
        loop {
            let indexes = self.indexes_after(query, clock, PAGE, at)?;
            for summary in book.summaries(&indexes)? {
                let Some(record) = book.exchange(&summary.id.to_string())? else {
                    continue;
                };
                if record["outcome"].is_null() {
                    open.get_or_insert(summary.index);
                }
                if encoder.record(record, self.prices(), to)? {
                    done.exchanges += 1;
                } else {
                    done.left_out += 1;
                }
            }
            match indexes.last() {
                Some(last) => at = Some(*last),
                None => break,
            }
        }
        // What is not over yet is written, and comes again in the next export, as a whole.
        done.last = match open {
            Some(open) => open.checked_sub(1),
            None => at,
        };
        encoder.end(to)?;
        to.flush()?;
        Ok(done)
    }
}

/// Writes exchanges in a format, one after the other, for those who found them themselves.
///
/// ```
/// use serde_json::json;
/// use tollbook_budget::Prices;
/// use tollbook_search::{Encoder, Format};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let mut to = Vec::new();
/// let mut encoder = Encoder::begin(Format::Jsonl, true, &mut to)?;
/// encoder.record(json!({ "id": "018f" }), &Prices::built_in()?, &mut to)?;
/// encoder.end(&mut to)?;
/// assert_eq!(to, b"{\"schema\":\"tollbook.exchange/1\",\"id\":\"018f\"}\n");
/// # Ok(())
/// # }
/// ```
pub struct Encoder {
    form: Box<dyn Form + Send>,
    contents: bool,
}

impl Encoder {
    /// Writes what comes before the first exchange. Without `contents`, nothing of what was said is
    /// written.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Output`](crate::ErrorKind::Output) when it cannot be written.
    pub fn begin(format: Format, contents: bool, to: &mut dyn Write) -> Result<Self, Error> {
        let mut form: Box<dyn Form + Send> = match format {
            Format::Jsonl => Box::new(Lines(native)),
            Format::Csv => Box::new(csv::Csv),
            Format::Har => Box::new(har::Har::default()),
            Format::Ocsf => Box::new(Lines(ocsf::event)),
            Format::Otlp => Box::new(otlp::Otlp::default()),
            Format::Parquet => Box::new(parquet::Parquet::new()),
        };
        form.begin(to)?;
        Ok(Self { form, contents })
    }

    /// Writes an exchange, in the JSON form that the book's reader has. Whether the format has a
    /// form for it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Output`](crate::ErrorKind::Output) when it cannot be written.
    pub fn record(
        &mut self,
        mut record: Value,
        prices: &Prices,
        to: &mut dyn Write,
    ) -> Result<bool, Error> {
        let spent = Spent::of(&record, prices);
        if !self.contents {
            leave_out_contents(&mut record);
        }
        self.form.record(&record, spent, to)
    }

    /// Writes what comes after the last exchange.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Output`](crate::ErrorKind::Output) when it cannot be written.
    pub fn end(mut self, to: &mut dyn Write) -> Result<(), Error> {
        self.form.end(to)
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

/// One format, as it is written.
trait Form {
    /// What comes before the first exchange.
    fn begin(&mut self, _: &mut dyn Write) -> Result<(), Error> {
        Ok(())
    }

    /// An exchange. Whether the format has a form for it.
    fn record(
        &mut self,
        record: &Value,
        spent: Option<Spent>,
        to: &mut dyn Write,
    ) -> Result<bool, Error>;

    /// What comes after the last one.
    fn end(&mut self, _: &mut dyn Write) -> Result<(), Error> {
        Ok(())
    }
}

/// A format that has a line of JSON for each exchange.
struct Lines(fn(&Value, Option<Spent>) -> Value);

impl Form for Lines {
    fn record(
        &mut self,
        record: &Value,
        spent: Option<Spent>,
        to: &mut dyn Write,
    ) -> Result<bool, Error> {
        writeln!(to, "{}", (self.0)(record, spent))?;
        Ok(true)
    }
}

/// The form that `exchanges show --json` has, with the version of that first.
fn native(record: &Value, _: Option<Spent>) -> Value {
    let mut line = serde_json::Map::new();
    line.insert("schema".to_owned(), "tollbook.exchange/1".into());
    for (key, value) in record.as_object().into_iter().flatten() {
        line.insert(key.clone(), value.clone());
    }
    Value::Object(line)
}

/// Takes out what was said. What is known about it stays.
fn leave_out_contents(record: &mut Value) {
    for side in ["request", "response"] {
        if let Some(side) = record.get_mut(side).and_then(Value::as_object_mut) {
            side.remove("body");
            side.remove("events");
        }
    }
    if let Some(record) = record.as_object_mut() {
        record.remove("answer");
    }
    for call in record["tool_calls"].as_array_mut().into_iter().flatten() {
        if let Some(call) = call.as_object_mut() {
            call.remove("input");
        }
    }
}

/// A time of a record in microseconds since 1970.
fn micros(time: &Value) -> Option<i64> {
    let time: tollbook_exchange::Timestamp = time.as_str()?.parse().ok()?;
    Some(time.as_micros())
}

/// How long an exchange took, in microseconds; nothing while it is under way.
fn took(record: &Value) -> Option<i64> {
    Some(micros(&record["ended"])?.saturating_sub(micros(&record["started"])?))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn formats_go_by_their_names() {
        for format in Format::ALL {
            assert_eq!(format.as_str().parse(), Ok(format));
        }
        assert_eq!("xml".parse::<Format>(), Err(UnknownFormat(())));
    }

    #[test]
    fn without_contents_nothing_is_said() {
        let mut record = json!({
            "request": { "body": "a secret", "bytes": 8 },
            "response": { "body": "a secret", "events": [{ "frame": "a secret" }], "bytes": 8 },
            "answer": { "content": "a secret" },
            "tool_calls": [{ "name": "Bash", "input": "a secret" }],
        });
        leave_out_contents(&mut record);
        assert!(!record.to_string().contains("secret"), "{record}");
        assert_eq!(record["tool_calls"][0]["name"], "Bash");
    }
}
