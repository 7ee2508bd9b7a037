//! What is recorded of an answer: one exchange that runs, and the lines of its body.

use std::{collections::VecDeque, mem, sync::Arc};

use aws_lc_rs::hmac;
use bytes::Bytes;
use serde_json::{Map, Value, json};
use tollbook_approvals::Payload;
use tollbook_exchange::{Masked, Outcome};
use tollbook_identity::Authenticate;
use tollbook_masking::Masker;
use tollbook_wire_postgres::{CopyFormat, Error, Field, Fields, Format, Frame};

use super::{columns::ColumnOf, names::Portal};
use crate::{
    Gate, Open,
    postgres::{CopyMask, ResultMask, Results, Rows, Summary, Uses},
};

/// An exchange whose statement was forwarded and whose answer is recorded.
#[derive(Debug)]
pub(super) struct Running {
    /// The exchange. Dropping the last handle closes it.
    pub(super) open: Arc<Open>,
    /// What it runs, if that is a portal.
    pub(super) portal: Option<Arc<Portal>>,
    results: Arc<Results>,
    uses: Uses,
    result: Option<ResultMask>,
    /// What is copied out and masked.
    copy: Option<CopyMask>,
    copies: VecDeque<tollbook_sql::Copied>,
    columns: Vec<String>,
    tags: Vec<Value>,
    rows: u64,
    /// Bytes of rows and of what was copied, as they came.
    bytes: u64,
    copied: Option<Copied>,
    digest: Option<hmac::Context>,
    sqlstate: Option<String>,
    forwarded: u64,
    first: Option<u64>,
}

/// What was copied.
#[derive(Debug)]
struct Copied {
    /// `in` or `out`, as the server sees it.
    way: &'static str,
    /// Whether it is text.
    is_text: bool,
    bytes: u64,
    lines: u64,
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl Running {
    /// The record of what is forwarded now.
    pub(super) fn new<A: Authenticate>(
        open: Open,
        portal: Option<Arc<Portal>>,
        results: &Arc<Results>,
        mut uses: Uses,
        gate: &Gate<A>,
    ) -> Self {
        let copies = mem::take(&mut uses.copies).into();
        let keep = results.level;
        let digest = (keep == Rows::Digest).then(|| {
            let id = open.exchange().id();
            // Digests of approvals are keyed by a secret of the gate; this one keys that of the rows.
            let digests = gate.parts().approvals.digests(Payload {
                head: &[b"rows of a result", id.as_bytes()],
                body: b"",
                semantic: None,
            });
            let key = hmac::Key::new(hmac::HMAC_SHA256, digests.exact.as_bytes());
            hmac::Context::with_key(&key)
        });
        let forwarded = open.exchange().elapsed();
        Self {
            open: Arc::new(open),
            portal,
            results: Arc::clone(results),
            uses,
            result: None,
            copy: None,
            copies,
            columns: Vec::new(),
            tags: Vec::new(),
            rows: 0,
            bytes: 0,
            copied: None,
            digest,
            sqlstate: None,
            forwarded,
            first: None,
        }
    }

    /// It is sent now.
    pub(super) fn forwarded(&mut self) {
        self.forwarded = self.open.exchange().elapsed();
    }

    /// A result with these columns begins.
    pub(super) fn begins(&mut self, columns: &[ColumnOf]) {
        let result = self.results.rows(columns, &self.uses);
        self.open.answered(result.columns());
        self.result = Some(result);
        self.columns = columns.iter().map(|column| column.name.clone()).collect();
    }

    /// Rows come. Puts what the client gets in their place.
    ///
    /// # Errors
    ///
    /// When one of them is no row of this result.
    pub(super) fn rows(&mut self, rows: &mut [Frame]) -> Result<(), Error> {
        if self.result.is_none() {
            let described = self.portal.as_ref().and_then(|portal| portal.columns());
            // Where nobody described it, the server was asked: there is no row without columns.
            let columns = described.ok_or(Error::Unexpected(b'D'))?;
            self.begins(&columns);
        }
        self.first.get_or_insert(self.open.exchange().elapsed());
        let Some(result) = &mut self.result else {
            return Ok(());
        };
        let mut bytes = 0;
        for row in &*rows {
            bytes += row.body.len() as u64;
            if let Some(digest) = &mut self.digest {
                digest.update(&(row.body.len() as u64).to_be_bytes());
                digest.update(&row.body);
            }
        }
        let record = result.rows(rows)?;
        self.rows += rows.len() as u64;
        self.bytes += bytes;
        if let Some(record) = record {
            self.open.answered(record);
        }
        Ok(())
    }

    /// A statement has ended.
    pub(super) fn ended(&mut self, tag: &str) {
        self.end_copy();
        self.end_result();
        let changes = ["CREATE", "ALTER", "DROP", "IMPORT"];
        if changes.iter().any(|word| tag.starts_with(word)) {
            self.results.tables_changed();
        }
        self.tags.push(json!(tag));
        self.line(&json!({ "command": tag }));
    }

    /// There was nothing to run, or a portal gave as many rows as were asked for.
    pub(super) fn paused(&mut self, word: &str) {
        self.end_result();
        self.line(&json!({ "command": word }));
    }

    /// Something failed. Gives what the client gets, if it is another than came.
    pub(super) fn failed(&mut self, fields: &Fields<'_>) -> Result<Option<Frame>, Error> {
        self.end_copy();
        self.end_result();
        if self.sqlstate.is_none() {
            self.sqlstate = fields.field(Field::CODE).map(str::to_owned);
        }
        let (frame, line) = self.results.error(fields, &self.uses)?;
        self.open.answered(line);
        self.open.exchange().conclude(Outcome::UpstreamError);
        Ok(frame)
    }

    /// What it has to do with protected columns.
    pub(super) const fn uses(&self) -> &Uses {
        &self.uses
    }

    /// The server says something on its own.
    pub(super) fn said(&mut self, line: Masked<Bytes>) {
        self.first.get_or_insert(self.open.exchange().elapsed());
        self.open.answered(line);
    }

    /// What a function gave. Gives what the client gets, if it is another than came.
    pub(super) fn returned(&mut self, value: Option<&[u8]>) -> Option<Frame> {
        let (frame, line) = self.results.result_of_call(value);
        self.said(line);
        frame
    }

    /// The server copies to the client.
    ///
    /// # Errors
    ///
    /// When it has to be masked, and nobody knows how it is written.
    pub(super) fn copies_out(&mut self, format: CopyFormat<'_>) -> Result<(), Error> {
        let copied = self.copies.pop_front();
        let limit = tollbook_sql::Settings::MAX_BYTES.max(LONGEST_ROW);
        match self.results.copy(format, copied.as_ref(), limit) {
            Ok(mask) => self.copy = Some(mask),
            Err(error) if self.results.changes_what_is_sent() => return Err(error),
            Err(_) => {}
        }
        self.copies("out", format.format == Format::Text);
        Ok(())
    }

    /// A piece of what the server copies. Gives what the client gets, if it is another than came.
    ///
    /// # Errors
    ///
    /// When it is not written as its statement says.
    pub(super) fn copied_out(&mut self, data: &[u8]) -> Result<Option<Bytes>, Error> {
        let Some(mask) = &mut self.copy else {
            self.copy(data);
            return Ok(None);
        };
        self.first.get_or_insert(self.open.exchange().elapsed());
        if let Some(digest) = &mut self.digest {
            digest.update(data);
        }
        self.bytes += data.len() as u64;
        let piece = mask.data(data)?;
        if let Some(lines) = piece.lines {
            self.open.answered(lines);
        }
        Ok(piece.wire)
    }

    /// Copying begins.
    pub(super) fn copies(&mut self, way: &'static str, is_text: bool) {
        self.copied = Some(Copied {
            way,
            is_text,
            bytes: 0,
            lines: 0,
            begun: Vec::new(),
        });
    }

    /// A piece of what is copied.
    pub(super) fn copy(&mut self, data: &[u8]) {
        self.first.get_or_insert(self.open.exchange().elapsed());
        if let Some(digest) = &mut self.digest {
            digest.update(data);
        }
        let Some(copied) = &mut self.copied else {
            return;
        };
        copied.bytes += data.len() as u64;
        self.bytes += data.len() as u64;
        if !copied.is_text {
            self.open.exchange().draft(|draft| {
                (draft.response.coverage).skip(tollbook_exchange::Gap::Opaque, data.len() as u64);
            });
            return;
        }
        let before = copied.lines;
        copied.lines += memchr::memchr_iter(b'\n', data).count() as u64;
        let keeps = match self.results.level {
            Rows::All => true,
            Rows::First(most) => before < most,
            Rows::None | Rows::Digest => false,
        };
        if !keeps {
            return;
        }
        copied.begun.extend_from_slice(data);
        let end = match memchr::memrchr(b'\n', &copied.begun) {
            Some(end) => end + 1,
            None if copied.begun.len() >= LINE => copied.begun.len(),
            None => return,
        };
        let rest = copied.begun.split_off(end);
        let whole = std::mem::replace(&mut copied.begun, rest);
        self.copied_lines(&whole);
    }

    fn copied_lines(&mut self, lines: &[u8]) {
        let key = match self.copied.as_ref().map(|copied| copied.way) {
            Some("in") => "copied_in",
            _ => "copied_out",
        };
        self.line(&json!({ key: String::from_utf8_lossy(lines) }));
    }

    fn end_copy(&mut self) {
        if let Some(mask) = self.copy.take() {
            self.copied = None;
            // What was cut off in the middle of a row ends here all the same.
            let (line, summary) = mask.finish();
            self.open.answered(line);
            self.rows += summary.rows;
            self.summed(summary);
            return;
        }
        let rest = match &mut self.copied {
            Some(copied) => std::mem::take(&mut copied.begun),
            None => return,
        };
        if !rest.is_empty() {
            self.copied_lines(&rest);
        }
        if let Some(copied) = self.copied.take() {
            self.line(&json!({ "copy": copied.way, "bytes": copied.bytes, "lines": copied.lines }));
        }
    }

    /// Nothing more comes. The exchange closes when its last handle is dropped.
    pub(super) fn finish(mut self, outcome: Outcome) -> Arc<Open> {
        self.end_copy();
        self.end_result();
        self.open.exchange().conclude(outcome);
        let exchange = self.open.exchange();
        let complete = exchange.elapsed();
        let mut result = Map::new();
        result.insert("command_tags".to_owned(), Value::Array(self.tags));
        result.insert("rows".to_owned(), json!(self.rows));
        result.insert("row_bytes".to_owned(), json!(self.bytes));
        if !self.columns.is_empty() {
            result.insert("columns".to_owned(), json!(self.columns));
        }
        if let Some(sqlstate) = self.sqlstate {
            result.insert("sqlstate".to_owned(), json!(sqlstate));
        }
        if let Some(digest) = self.digest {
            let digest = digest.sign();
            let hex = digest.as_ref().iter().map(|byte| format!("{byte:02x}"));
            let digest = format!("hmac-sha256:{}", hex.collect::<String>());
            result.insert("rows_digest".to_owned(), json!(digest));
        }
        result.insert(
            "timings".to_owned(),
            json!({ "forwarded": self.forwarded, "first": self.first, "complete": complete }),
        );
        note(&self.results.masks.answers, &self.open, result);
        exchange.draft(|draft| {
            draft.response.bytes = self.bytes;
            draft.response.first_byte = self.first;
        });
        self.open
    }

    /// The server threw it away, because something before it failed.
    pub(super) fn skip(self) {
        self.open.exchange().conclude(Outcome::UpstreamError);
        let mut result = Map::new();
        result.insert("skipped".to_owned(), json!(true));
        note(&self.results.masks.answers, &self.open, result);
    }

    fn end_result(&mut self) {
        let Some(result) = self.result.take() else {
            return;
        };
        self.summed(result.finish());
    }

    fn summed(&self, summary: Summary) {
        let Summary {
            found, coverage, ..
        } = summary;
        let exchange = self.open.exchange();
        exchange.found(found);
        exchange.draft(|draft| {
            let all = &mut draft.response.coverage;
            all.inspected += coverage.inspected;
            all.uninspected += coverage.uninspected;
            all.gaps.opaque += coverage.gaps.opaque;
        });
    }

    /// A line of the record.
    fn line(&mut self, line: &Value) {
        self.first.get_or_insert(self.open.exchange().elapsed());
        line_of(&self.results.masks.answers, &self.open, line);
    }
}

/// Masks a line and adds it to the record of an answer.
pub(super) fn line_of(masker: &Masker, open: &Open, line: &Value) {
    let mut text = line.to_string();
    text.push('\n');
    let scan = masker.json(text.as_bytes(), "response");
    let exchange = open.exchange();
    exchange.found(scan.found);
    exchange.draft(|draft| draft.response.coverage.inspected += scan.coverage.inspected);
    open.answered(scan.masked);
}

/// Adds to what is told of the result.
pub(super) fn note(masker: &Masker, open: &Open, result: Map<String, Value>) {
    let scan = masker.json(Value::Object(result).to_string().as_bytes(), "result");
    let masked = serde_json::from_slice::<Map<String, Value>>(scan.masked.as_inner());
    let masked = masked.unwrap_or_default();
    open.exchange().draft(|draft| {
        let mut all = std::mem::take(&mut draft.result).into_inner();
        all.extend(masked);
        #[expect(
            clippy::disallowed_methods,
            reason = "read back from what the masker wrote, right above"
        )]
        let all = Masked::assume_masked(all);
        draft.result = all;
    });
}

/// The longest row of what is copied out.
const LONGEST_ROW: usize = 64 << 20;
/// A longer line is recorded in pieces.
const LINE: usize = 256 << 10;
