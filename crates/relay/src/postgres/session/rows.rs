//! Rows: what the client gets of them, and what is recorded.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;
use tollbook_exchange::{Coverage, Finding, Masked};
use tollbook_masking::view::{Cell, Column, ColumnKind, RowMasker};
use tollbook_wire_postgres::{Backend, Error, Format, Frame, RowWriter, text_of};

use super::{columns::ColumnOf, document::told};
use crate::Masks;

/// Masks the rows of one result.
#[derive(Debug)]
pub(super) struct ResultMask {
    columns: Vec<(u32, Format)>,
    record: RowMasker,
    wire: Option<RowMasker>,
}

impl ResultMask {
    /// For a result with these columns.
    pub(super) fn new(masks: &Masks, columns: &[ColumnOf]) -> Self {
        let named: Vec<Column> = columns
            .iter()
            .map(|column| Column::new(&*column.name, kind_of(column.kind)))
            .collect();
        Self {
            columns: (columns.iter())
                .map(|column| (column.kind, column.format))
                .collect(),
            record: RowMasker::new(&masks.answers, &named),
            wire: masks.wire.as_ref().map(|wire| RowMasker::new(wire, &named)),
        }
    }

    /// Takes rows: `send` gets what the client gets, and the record of the first `kept` of them, a line
    /// each, is given.
    ///
    /// # Errors
    ///
    /// When one of them is no row of this result.
    pub(super) fn rows(
        &mut self,
        rows: &[Frame],
        kept: usize,
        send: &mut impl FnMut(&Frame),
    ) -> Result<Masked<Bytes>, Error> {
        let whole = if self.wire.is_some() {
            rows.len()
        } else {
            kept
        };
        let mut cells: Vec<Option<Cow<'_, [u8]>>> = Vec::new();
        for row in &rows[..whole] {
            let Backend::DataRow(read) = Backend::read(row)? else {
                return Err(Error::Unexpected(row.tag));
            };
            if read.len() != self.columns.len() {
                return Err(Error::Length);
            }
            for (cell, (kind, format)) in read.iter().zip(&self.columns) {
                cells.push(cell.map(|cell| as_text(*kind, *format, cell)));
            }
        }
        let texts: Vec<Option<&[u8]>> = cells.iter().map(Option::as_deref).collect();
        match &mut self.wire {
            None => rows.iter().for_each(&mut *send),
            Some(wire) => {
                let masked = wire.mask(&texts);
                let width = self.columns.len();
                for (index, row) in rows.iter().enumerate() {
                    let all = masked.get(index * width..(index + 1) * width);
                    send(&rewritten(row, all.unwrap_or_default(), &self.columns)?);
                }
            }
        }
        let width = self.columns.len();
        let texts = texts.get(..kept * width).unwrap_or_default();
        let masked = self.record.mask(texts);
        let mut record = Vec::with_capacity(kept * (16 + 8 * width));
        for index in 0..kept {
            record.push(b'[');
            for place in index * width..(index + 1) * width {
                if place > index * width {
                    record.push(b',');
                }
                let (kind, format) = self.columns[place - index * width];
                let value = match (&masked[place], texts[place]) {
                    (Cell::Unchanged, Some(text)) => kept_value(kind, format, text),
                    (Cell::Masked(text), _) => {
                        Value::String(String::from_utf8_lossy(text.as_inner()).into_owned())
                    }
                    _ => Value::Null,
                };
                // Writing into memory does not fail.
                drop(serde_json::to_writer(&mut record, &value));
            }
            record.extend_from_slice(b"]\n");
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "each cell went through the masker, right above"
        )]
        let record = Masked::assume_masked(Bytes::from(record));
        Ok(record)
    }

    /// What was found, and how much was looked at.
    pub(super) fn finish(self) -> (Vec<Finding>, Coverage) {
        (self.record.found(), self.record.coverage())
    }
}

/// The cell as text, or as it is where nobody knows what it means.
fn as_text(kind: u32, format: Format, cell: &[u8]) -> Cow<'_, [u8]> {
    match format {
        Format::Text => Cow::Borrowed(cell),
        Format::Binary => match text_of(kind, format, cell) {
            Some(text) => Cow::Owned(text.into_bytes()),
            None => Cow::Borrowed(cell),
        },
    }
}

/// What is recorded of a cell in which nothing is masked.
fn kept_value(kind: u32, format: Format, text: &[u8]) -> Value {
    match std::str::from_utf8(text) {
        Ok(text) => Value::String(text.to_owned()),
        Err(_) => told(kind, format, text),
    }
}

/// The row with what is masked in its cells, in their formats.
fn rewritten(row: &Frame, masked: &[Cell], columns: &[(u32, Format)]) -> Result<Frame, Error> {
    if masked.iter().all(|cell| *cell == Cell::Unchanged) {
        return Ok(row.clone());
    }
    let Backend::DataRow(read) = Backend::read(row)? else {
        return Err(Error::Unexpected(row.tag));
    };
    let mut writer = RowWriter::new();
    for ((cell, masked), (kind, format)) in read.iter().zip(masked).zip(columns) {
        match masked {
            Cell::Unchanged => writer.cell(cell)?,
            Cell::Masked(text) if *format == Format::Text || is_text(*kind) => {
                writer.cell(Some(text.as_inner()))?;
            }
            // Its binary form is not known to take the masked text.
            _ => writer.cell(None)?,
        }
    }
    Ok(writer.finish())
}

/// Whether the binary form of a type is its text.
const fn is_text(kind: u32) -> bool {
    matches!(kind, 18 | 19 | 25 | 114 | 142 | 1042 | 1043)
}

/// What the cells of a type are, as far as it matters for masking.
const fn kind_of(kind: u32) -> ColumnKind {
    match kind {
        16 => ColumnKind::Bool,
        17 => ColumnKind::Bytes,
        20 | 21 | 23 | 26 | 28 | 700 | 701 | 1700 => ColumnKind::Number,
        114 | 3802 => ColumnKind::Json,
        1082 | 1083 | 1114 | 1184 | 1186 | 1266 => ColumnKind::Date,
        _ => ColumnKind::Text,
    }
}
