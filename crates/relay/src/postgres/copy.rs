//! `COPY … TO STDOUT`: rows without a description.

use std::{borrow::Cow, fmt};

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};
use tollbook_exchange::{Finding, Gap, Masked};
use tollbook_masking::{
    Masker,
    view::{Cell, Column as Named, ColumnKind, RowMasker},
};
use tollbook_sql::Copied;
use tollbook_wire_postgres::{CopyFormat, Error, Format};

use super::{
    Rows,
    columns::LABEL,
    protected::Protection,
    rows::{Results, Summary, assembled, line},
};

/// Masks what a server copies to its client, in text, as CSV or in binary.
///
/// The columns are those that the text of the statement names; without names they are told by their
/// numbers. Cells are masked as texts: of binary ones, those that are no text and in which something
/// is found become null.
pub struct CopyMask {
    form: Form,
    names: Vec<String>,
    protections: Vec<Option<Protection>>,
    answers: Masker,
    record: Option<RowMasker>,
    wire: Option<RowMasker>,
    alike: bool,
    level: Rows,
    /// What has come of a row that is not whole.
    begun: BytesMut,
    limit: usize,
    /// What stands before the rows has been passed.
    started: bool,
    bytes: u64,
    rows: u64,
    concealed: u32,
    skipped: u64,
}

/// How cells are written.
#[derive(Clone, Debug)]
enum Form {
    Text {
        delimiter: u8,
        null: Vec<u8>,
        header: bool,
    },
    Csv {
        delimiter: u8,
        null: Vec<u8>,
        quote: u8,
        escape: u8,
        header: bool,
    },
    Binary,
}

/// What one message of copied data becomes.
#[derive(Default)]
pub struct Piece {
    /// What the caller gets, if it is another than came; empty for nothing yet.
    pub wire: Option<Bytes>,
    /// Lines of the record.
    pub lines: Option<Masked<Bytes>>,
}

impl Results {
    /// The mask of what is copied in this format. `copied` is what the text of the statement says.
    ///
    /// # Errors
    ///
    /// When nobody can say how it is written, such as for a statement that was not parsed. Then the server
    /// has to be stopped, unless neither the record nor the caller is to have it masked.
    pub fn copy(
        &self,
        format: CopyFormat<'_>,
        copied: Option<&Copied>,
        limit: usize,
    ) -> Result<CopyMask, Error> {
        let byte = |sign: char| u8::try_from(sign).map_err(|_| Error::Code);
        let form = match (format.format, copied) {
            (Format::Binary, _) => Form::Binary,
            (Format::Text, None) => return Err(Error::Code),
            (Format::Text, Some(copied)) if copied.csv => Form::Csv {
                delimiter: byte(copied.delimiter)?,
                null: copied.null.clone().unwrap_or_default().into_bytes(),
                quote: byte(copied.quote)?,
                escape: byte(copied.escape)?,
                header: copied.header,
            },
            (Format::Text, Some(copied)) => Form::Text {
                delimiter: byte(copied.delimiter)?,
                null: copied.null.clone().unwrap_or("\\N".to_owned()).into_bytes(),
                header: copied.header,
            },
        };
        let count = format.columns.len();
        let said = copied.map(|copied| &*copied.columns).unwrap_or_default();
        let names: Vec<String> = (0..count)
            .map(|index| match said.get(index) {
                Some(name) => name.trim_matches('"').to_owned(),
                None => format!("column{}", index + 1),
            })
            .collect();
        let protections = names.iter().map(|name| self.protected.named(name));
        let kind = ColumnKind::Text;
        let named: Vec<Named> = names.iter().map(|name| Named::new(&**name, kind)).collect();
        let side = |masker: &Masker| RowMasker::new(masker, &named);
        let recorded = self.level != Rows::None;
        let wire = self.masks.wire.as_ref();
        let alike = wire.is_some_and(|wire| recorded && wire.is_like(&self.masks.answers));
        Ok(CopyMask {
            form,
            protections: protections.collect(),
            names,
            answers: self.masks.answers.clone(),
            record: recorded.then(|| side(&self.masks.answers)),
            wire: wire.filter(|_| !alike).map(side),
            alike,
            level: self.level,
            begun: BytesMut::new(),
            limit,
            started: false,
            bytes: 0,
            rows: 0,
            concealed: 0,
            skipped: 0,
        })
    }
}

impl CopyMask {
    /// Masks a piece of what is copied.
    ///
    /// # Errors
    ///
    /// When it is not written as the statement says, or a row is longer than the limit. Nothing may be
    /// passed on then.
    pub fn data(&mut self, piece: &[u8]) -> Result<Piece, Error> {
        self.bytes += piece.len() as u64;
        let changes =
            self.alike || self.wire.is_some() || self.protections.iter().any(Option::is_some);
        if !changes && self.told() == 0 {
            return Ok(Piece::default());
        }
        self.begun.extend_from_slice(piece);
        let (mut out, mut lines) = (Vec::new(), Vec::new());
        while let Some(length) = self.next(&mut out)? {
            let row = self.begun.split_to(length);
            self.row(&row, &mut out, &mut lines)?;
        }
        if self.begun.len() > self.limit {
            return Err(Error::TooLong {
                bytes: self.begun.len() as u64,
                limit: self.limit as u64,
            });
        }
        Ok(Piece {
            wire: (changes && out != piece).then(|| out.into()),
            lines: (!lines.is_empty()).then(|| assembled(lines)),
        })
    }

    /// What it came to when everything has come, or was cut off. The last line of the record tells how much
    /// was copied.
    pub fn finish(mut self) -> (Masked<Bytes>, Summary) {
        let told = json!({ "copy": "out", "bytes": self.bytes, "rows": self.rows });
        let mut summary = Summary {
            rows: self.rows,
            ..Summary::default()
        };
        if let Some(side) = self.record.take().or(self.wire.take()) {
            let coverage = side.coverage();
            summary.coverage.inspect(coverage.inspected);
            Finding::merge(&mut summary.found, side.found());
        }
        summary.coverage.skip(Gap::Opaque, self.skipped);
        if self.concealed > 0 {
            let operator = tollbook_exchange::Operator::Redact;
            let finding = Finding::new(LABEL, "rows", operator, self.concealed);
            Finding::merge(&mut summary.found, [finding]);
        }
        (line(&told), summary)
    }

    /// How long the next row is, if it has come; what stands before and behind rows is passed on.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<usize>, Error> {
        match &self.form {
            Form::Binary => self.next_binary(out),
            Form::Text { header, .. } => {
                let end = memchr(&self.begun, b'\n');
                Ok(self.behind_header(*header, end, out))
            }
            Form::Csv {
                quote,
                escape,
                header,
                ..
            } => {
                let end = end_of_csv(&self.begun, *quote, *escape);
                Ok(self.behind_header(*header, end, out))
            }
        }
    }

    /// The names pass; what is left of them is a row of no length.
    fn behind_header(
        &mut self,
        header: bool,
        end: Option<usize>,
        out: &mut Vec<u8>,
    ) -> Option<usize> {
        let length = end? + 1;
        if self.started || !header {
            self.started = true;
            return Some(length);
        }
        self.started = true;
        out.extend_from_slice(&self.begun.split_to(length));
        Some(0)
    }

    fn next_binary(&mut self, out: &mut Vec<u8>) -> Result<Option<usize>, Error> {
        if !self.started {
            let Some(head) = self.begun.get(..19) else {
                return Ok(None);
            };
            if !head.starts_with(b"PGCOPY\n\xff\r\n\0") {
                return Err(Error::Code);
            }
            let more = head
                .last_chunk::<4>()
                .map_or(0, |more| u32::from_be_bytes(*more));
            let length = usize::try_from(more).map_err(|_| Error::Length)?;
            let length = length
                .checked_add(19)
                .filter(|all| *all <= self.limit)
                .ok_or(Error::Length)?;
            if self.begun.len() < length {
                return Ok(None);
            }
            out.extend_from_slice(&self.begun.split_to(length));
            self.started = true;
        }
        let Some(count) = self.begun.first_chunk::<2>() else {
            return Ok(None);
        };
        let count = i16::from_be_bytes(*count);
        if count == -1 {
            out.extend_from_slice(&self.begun.split_to(2));
            return Ok(None);
        }
        let mut at = 2;
        for _ in 0..usize::try_from(count).map_err(|_| Error::Length)? {
            let Some(length) = self.begun.get(at..).and_then(<[u8]>::first_chunk::<4>) else {
                return Ok(None);
            };
            at += 4;
            match i32::from_be_bytes(*length) {
                -1 => {}
                length => at += usize::try_from(length).map_err(|_| Error::Length)?,
            }
        }
        Ok((at <= self.begun.len()).then_some(at))
    }

    fn row(&mut self, row: &[u8], out: &mut Vec<u8>, lines: &mut Vec<u8>) -> Result<(), Error> {
        if row.is_empty() {
            return Ok(());
        }
        let (cells, end) = self.cells(row)?;
        if cells.len() != self.names.len() {
            return Err(Error::Length);
        }
        let told = self.told() > 0;
        self.rows += 1;
        let plain: Vec<Option<&[u8]>> = (cells.iter().zip(&self.protections))
            .map(|((_, cell), protection)| cell.as_deref().filter(|_| protection.is_none()))
            .collect();
        let mask = |side: &mut Option<RowMasker>| match side {
            Some(side) => side.mask(&plain),
            None => Vec::new(),
        };
        let record = if told || self.alike {
            mask(&mut self.record)
        } else {
            Vec::new()
        };
        let wire = mask(&mut self.wire);
        let to_caller = if self.alike { &record } else { &wire };
        let concealed = |index: usize, cell: &[u8]| {
            let protection = self.protections.get(index).copied().flatten()?;
            let operator = protection.operator();
            Some(operator.map(|operator| self.answers.conceal(LABEL, operator, cell).into_inner()))
        };
        let mut told_cells = Vec::new();
        if matches!(self.form, Form::Binary) {
            out.extend_from_slice(&row[..2]);
        }
        for (index, (written, cell)) in cells.iter().enumerate() {
            if index > 0 {
                self.separate(out);
            }
            let Some(cell) = cell.as_deref() else {
                out.extend_from_slice(written);
                told_cells.push(Value::Null);
                continue;
            };
            let hidden = concealed(index, cell);
            if hidden.is_some() {
                self.concealed = self.concealed.saturating_add(1);
                self.skipped += cell.len() as u64;
            }
            let other = match (&hidden, to_caller.get(index)) {
                (Some(hidden), _) => Some(hidden.clone()),
                (None, Some(Cell::Masked(masked))) => Some(Some(masked.as_inner().clone())),
                (None, None | Some(Cell::Unchanged)) => None,
                (None, Some(_)) => Some(None),
            };
            match other {
                None => out.extend_from_slice(written),
                Some(other) => self.write(other.as_deref(), cell, out),
            }
            let text = |text: &[u8]| match std::str::from_utf8(text) {
                Ok(text) => Value::from(text),
                Err(_) => json!({ "bytes": text.len() }),
            };
            told_cells.push(match (hidden, record.get(index)) {
                (Some(hidden), _) => hidden.map_or(Value::Null, |hidden| text(&hidden)),
                (None, Some(Cell::Masked(masked))) => text(masked.as_inner()),
                (None, None | Some(Cell::Unchanged)) => text(cell),
                (None, Some(_)) => Value::Null,
            });
        }
        out.extend_from_slice(end);
        if told {
            lines.extend_from_slice(Value::from(told_cells).to_string().as_bytes());
            lines.push(b'\n');
        }
        Ok(())
    }

    /// How many more rows are told.
    const fn told(&self) -> u64 {
        match self.level {
            Rows::All => 1,
            Rows::First(most) => most.saturating_sub(self.rows),
            Rows::None | Rows::Digest => 0,
        }
    }

    /// The cells of a row, each as it is written and as it is; and what ends the row.
    fn cells<'r>(&self, row: &'r [u8]) -> Result<(Vec<Written<'r>>, &'r [u8]), Error> {
        match &self.form {
            Form::Binary => Ok((binary_cells(row)?, b"")),
            Form::Text {
                delimiter, null, ..
            } => {
                let (row, end) = split_end(row);
                Ok((text_cells(row, *delimiter, null), end))
            }
            Form::Csv {
                delimiter,
                null,
                quote,
                escape,
                ..
            } => {
                let (row, end) = split_end(row);
                Ok((csv_cells(row, *delimiter, null, *quote, *escape), end))
            }
        }
    }

    fn separate(&self, out: &mut Vec<u8>) {
        match self.form {
            Form::Binary => {}
            Form::Text { delimiter, .. } | Form::Csv { delimiter, .. } => out.push(delimiter),
        }
    }

    /// Writes a cell that takes the place of `was`.
    fn write(&self, cell: Option<&[u8]>, was: &[u8], out: &mut Vec<u8>) {
        match (&self.form, cell) {
            (Form::Text { null, .. } | Form::Csv { null, .. }, None) => out.extend_from_slice(null),
            (Form::Text { delimiter, .. }, Some(cell)) => {
                for byte in cell {
                    match byte {
                        b'\\' => out.extend_from_slice(b"\\\\"),
                        b'\n' => out.extend_from_slice(b"\\n"),
                        b'\r' => out.extend_from_slice(b"\\r"),
                        b'\t' => out.extend_from_slice(b"\\t"),
                        byte if byte == delimiter => out.extend_from_slice(&[b'\\', *byte]),
                        byte => out.push(*byte),
                    }
                }
            }
            (Form::Csv { quote, escape, .. }, Some(cell)) => {
                out.push(*quote);
                for byte in cell {
                    if byte == quote || byte == escape {
                        out.push(*escape);
                    }
                    out.push(*byte);
                }
                out.push(*quote);
            }
            (Form::Binary, cell) => {
                // What was no text cannot become one.
                let cell = cell.filter(|_| std::str::from_utf8(was).is_ok() && !was.contains(&0));
                let length = cell.map_or(-1, |cell| i32::try_from(cell.len()).unwrap_or(-1));
                out.put_i32(length);
                out.extend_from_slice(cell.unwrap_or_default());
            }
        }
    }
}

/// Nothing of what is copied.
impl fmt::Debug for CopyMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyMask")
            .field("columns", &self.names.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Piece").finish_non_exhaustive()
    }
}

/// A cell as it is written, and as it is; none for null.
type Written<'r> = (&'r [u8], Option<Cow<'r, [u8]>>);

fn split_end(row: &[u8]) -> (&[u8], &[u8]) {
    let end = match row {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    };
    row.split_at(row.len() - end)
}

fn text_cells<'r>(row: &'r [u8], delimiter: u8, null: &[u8]) -> Vec<Written<'r>> {
    let mut cells = Vec::new();
    let (mut from, mut at) = (0, 0);
    loop {
        match row.get(at) {
            Some(b'\\') => at += 2,
            Some(byte) if *byte != delimiter => at += 1,
            end => {
                let written = row.get(from..at.min(row.len())).unwrap_or_default();
                let cell = (written != null).then(|| unescaped(written));
                cells.push((written, cell));
                if end.is_none() {
                    return cells;
                }
                at += 1;
                from = at;
            }
        }
    }
}

/// As `CopyAttributeOutText` in PostgreSQL's source writes it.
fn unescaped(written: &[u8]) -> Cow<'_, [u8]> {
    if memchr(written, b'\\').is_none() {
        return written.into();
    }
    let mut out = Vec::with_capacity(written.len());
    let mut bytes = written.iter();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'\\' => match bytes.next() {
                Some(b'b') => 8,
                Some(b'f') => 12,
                Some(b'n') => b'\n',
                Some(b'r') => b'\r',
                Some(b't') => b'\t',
                Some(b'v') => 11,
                Some(byte) => *byte,
                None => b'\\',
            },
            byte => *byte,
        });
    }
    out.into()
}

fn csv_cells<'r>(
    row: &'r [u8],
    delimiter: u8,
    null: &[u8],
    quote: u8,
    escape: u8,
) -> Vec<Written<'r>> {
    let mut cells = Vec::new();
    let (mut from, mut at, mut inside, mut quoted) = (0, 0, false, false);
    let mut cell = Vec::new();
    loop {
        match row.get(at) {
            Some(byte)
                if inside
                    && *byte == escape
                    && row
                        .get(at + 1)
                        .is_some_and(|next| *next == quote || *next == escape) =>
            {
                cell.push(row[at + 1]);
                at += 2;
            }
            Some(byte) if *byte == quote => {
                inside = !inside;
                quoted = true;
                at += 1;
            }
            Some(byte) if inside || *byte != delimiter => {
                cell.push(*byte);
                at += 1;
            }
            end => {
                let written = &row[from..at];
                let is_null = !quoted && written == null;
                let value = std::mem::take(&mut cell);
                cells.push((written, (!is_null).then(|| value.into())));
                if end.is_none() {
                    return cells;
                }
                at += 1;
                from = at;
                quoted = false;
            }
        }
    }
}

/// Where the line feed stands that ends a row of CSV: one that is in no quotes.
fn end_of_csv(text: &[u8], quote: u8, escape: u8) -> Option<usize> {
    let (mut inside, mut at) = (false, 0);
    loop {
        let byte = *text.get(at)?;
        if inside && byte == escape && escape != quote {
            at += 2;
            continue;
        }
        // A doubled quote goes out and in again.
        if byte == quote {
            inside = !inside;
        } else if byte == b'\n' && !inside {
            return Some(at);
        }
        at += 1;
    }
}

fn binary_cells(row: &[u8]) -> Result<Vec<Written<'_>>, Error> {
    let mut cells = Vec::new();
    let mut rest = row.get(2..).unwrap_or_default();
    while let Some((length, behind)) = rest.split_first_chunk::<4>() {
        let length = i32::from_be_bytes(*length);
        let bytes = match length {
            -1 => 0,
            length => usize::try_from(length).map_err(|_| Error::Length)?,
        };
        let cell = behind.get(..bytes).ok_or(Error::Length)?;
        let written = rest.get(..4 + bytes).ok_or(Error::Length)?;
        cells.push((written, (length != -1).then_some(cell.into())));
        rest = &behind[bytes..];
    }
    Ok(cells)
}

fn memchr(text: &[u8], sign: u8) -> Option<usize> {
    text.iter().position(|byte| *byte == sign)
}

#[cfg(test)]
mod tests {
    use tollbook_sql::{Dialect, Settings, Statements};
    use tollbook_wire_postgres::Backend;

    use super::*;
    use crate::{Masks, postgres::Protected};

    fn key() -> String {
        ["AKIA", "IOSFODNN7EXAMPLE"].concat()
    }

    fn mask(statement: &str, binary: bool, count: u8, wire: bool) -> CopyMask {
        let masker = Masker::builtin();
        let masks = Masks {
            requests: masker.clone(),
            answers: masker.clone(),
            wire: wire.then_some(masker),
        };
        let protected = Protected::new([("users.ssn".to_owned(), Protection::Partial)]);
        let results = Results::new(&masks, Rows::All, protected, None);
        let read = Statements::read(Dialect::Postgres, statement, &Settings::default());
        let copied = read
            .iter()
            .next()
            .and_then(|statement| statement.copy.clone());
        let mut body = vec![u8::from(binary), 0, count];
        body.extend(std::iter::repeat_n([0, u8::from(binary)], count.into()).flatten());
        let frame = tollbook_wire_postgres::Frame::new(b'H', body);
        let Ok(Backend::CopyOut(format)) = Backend::read(&frame) else {
            panic!("no copy")
        };
        results.copy(format, copied.as_ref(), 1 << 20).unwrap()
    }

    /// What the caller gets of these bytes, and what is told, wherever they are cut.
    fn copied(make: impl Fn() -> CopyMask, bytes: &[u8]) -> (Vec<u8>, String) {
        let mut seen = None;
        for cut in 0..=bytes.len() {
            let mut mask = make();
            let (mut out, mut lines) = (Vec::new(), String::new());
            for piece in [&bytes[..cut], &bytes[cut..]] {
                let got = mask.data(piece).unwrap();
                out.extend(got.wire.as_deref().unwrap_or(piece));
                let told = got.lines.map(Masked::into_inner).unwrap_or_default();
                lines.push_str(std::str::from_utf8(&told).unwrap());
            }
            let (last, _) = mask.finish();
            lines.push_str(std::str::from_utf8(last.as_inner()).unwrap());
            let all = (out, lines);
            assert_eq!(
                seen.get_or_insert_with(|| all.clone()),
                &all,
                "cut at {cut}"
            );
        }
        seen.unwrap()
    }

    #[test]
    fn text_is_masked_cell_by_cell() {
        let bytes = format!("1\t219-09-9999\ta\\tb {}\n2\t\\N\tx\n", key());
        let make = || mask("COPY users (id, ssn, note) TO STDOUT", false, 3, true);
        let (out, told) = copied(make, bytes.as_bytes());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "1\t***-**-9999\ta\\tb [REDACTED:aws-access-key-id]\n2\t\\N\tx\n"
        );
        let (rows, last) = told.trim_end().rsplit_once('\n').unwrap();
        assert_eq!(
            rows,
            "[\"1\",\"***-**-9999\",\"a\\tb [REDACTED:aws-access-key-id]\"]\n[\"2\",null,\"x\"]"
        );
        let last: Value = serde_json::from_str(last).unwrap();
        assert_eq!(
            last,
            json!({ "copy": "out", "bytes": bytes.len(), "rows": 2 })
        );
    }

    #[test]
    fn csv_is_masked_also_over_lines_and_quotes() {
        let bytes = format!("id,note\n1,\"a\"\"b\n{}\"\n2,\n3,\"\"\n", key());
        let make = || mask("COPY notes TO STDOUT (FORMAT csv, HEADER)", false, 2, true);
        let (out, told) = copied(make, bytes.as_bytes());
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "id,note\n1,\"a\"\"b\n[REDACTED:aws-access-key-id]\"\n2,\n3,\"\"\n"
        );
        assert!(told.contains("[\"2\",null]\n[\"3\",\"\"]\n"), "{told}");
    }

    #[test]
    fn binary_keeps_its_form() {
        let row = |cells: &[&[u8]]| {
            let mut row = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
            for cell in cells {
                row.extend(u32::try_from(cell.len()).unwrap().to_be_bytes());
                row.extend(*cell);
            }
            row
        };
        let around = |row: Vec<u8>| {
            [
                &b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0"[..],
                &row,
                &[255, 255],
            ]
            .concat()
        };
        let bytes = around(row(&[&[0, 0, 0, 7], key().as_bytes()]));
        let make = || {
            mask(
                "COPY (SELECT id, note FROM notes) TO STDOUT (FORMAT binary)",
                true,
                2,
                true,
            )
        };
        let (out, told) = copied(make, &bytes);
        assert_eq!(
            out,
            around(row(&[&[0, 0, 0, 7], b"[REDACTED:aws-access-key-id]"]))
        );
        assert!(!told.contains(&key()), "{told}");
    }

    #[test]
    fn what_is_not_masked_for_the_caller_passes_byte_for_byte() {
        let mut mask = mask("COPY notes TO STDOUT", false, 1, false);
        let piece = mask.data(format!("{}\n", key()).as_bytes()).unwrap();
        assert!(piece.wire.is_none());
        assert_eq!(
            piece.lines.unwrap().as_inner(),
            "[\"[REDACTED:aws-access-key-id]\"]\n"
        );
        assert!(mask.data(b"a\tb\n").is_err(), "another number of cells");
        assert!(!format!("{mask:?}").contains('a'.to_string().repeat(2).as_str()));
    }
}
