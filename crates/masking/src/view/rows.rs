//! Rows of a result of a database.

use std::fmt;

use bytes::Bytes;
use tollbook_exchange::{Coverage, Finding, Gap, Masked, Operator};

use crate::{
    Kind, Masker,
    batch::{Batch, MIN_TEXT, spans_named},
    engine::{Rules, Span},
    json::{self, Found, MIN_NUMBER, Name, Path, is_value},
    masked,
};

/// Masks the rows of one result, cell by cell.
///
/// A column whose name says what is in it, such as `password`, is judged by the rules of that name
/// first. Then cells that hold no text by their type pass. What is left is scanned, each cell as a
/// text of its own that stands under the name of its column.
///
/// ```
/// use tollbook_masking::{
///     Masker,
///     view::{Cell, Column, ColumnKind, RowMasker},
/// };
///
/// let columns = [
///     Column::new("id", ColumnKind::Number),
///     Column::new("note", ColumnKind::Text),
/// ];
/// let mut rows = RowMasker::new(&Masker::builtin(), &columns);
/// let cells = rows.mask(&[Some(b"7"), Some(b"key AKIAIOSFODNN7EXAMPLE"), Some(b"8"), None]);
/// let Cell::Masked(note) = &cells[1] else { panic!() };
/// assert_eq!(note.as_inner().as_ref(), b"key [REDACTED:aws-access-key-id]");
/// assert_eq!([&cells[0], &cells[2], &cells[3]], [&Cell::Unchanged; 3]);
/// ```
pub struct RowMasker {
    masker: Masker,
    columns: Vec<Prepared>,
    found: Found,
    coverage: Coverage,
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Column {
    /// The name, as the result tells it.
    pub name: String,
    /// What its cells are.
    pub kind: ColumnKind,
}

/// What the cells of a column are, as far as it decides how they are masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnKind {
    /// Text in any encoding that ASCII is part of.
    Text,
    /// Bytes, scanned as a text is.
    Bytes,
    /// A JSON document in each cell.
    Json,
    /// A number, in its decimal form. One that is masked becomes null if the masked form is none.
    Number,
    /// True or false. Passes.
    Bool,
    /// A date or a time. Judged by the column's name only, and becomes null.
    Date,
    /// Anything else that is no text. Judged by the column's name only, and becomes null.
    Other,
}

/// What becomes of a cell.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cell {
    /// It stays as it came.
    Unchanged,
    /// This takes its place.
    Masked(Masked<Bytes>),
    /// It is masked, and its type has no other form for that.
    Null,
}

/// A column, with what is known by its name.
struct Prepared {
    name: Name,
    path: Path,
    kind: ColumnKind,
    rules: Rules,
}

impl RowMasker {
    /// A masker for the rows of a result with these columns.
    pub fn new(masker: &Masker, columns: &[Column]) -> Self {
        let prepare = |column: &Column| {
            let name = column.name.as_bytes();
            let mut path = Path::default();
            path.push_member(Some(name));
            Prepared {
                name: Name::of(name),
                path,
                kind: column.kind,
                rules: masker.engine.members(&masker.profile.on, name),
            }
        };
        Self {
            masker: masker.gathering(),
            columns: columns.iter().map(prepare).collect(),
            found: Found::default(),
            coverage: Coverage::default(),
        }
    }

    /// Masks rows, given as their cells one after the other; `None` is null. Gives what becomes of
    /// each. How rows are spread over calls does not matter, except for speed: the more at once,
    /// the better.
    pub fn mask(&mut self, cells: &[Option<&[u8]>]) -> Vec<Cell> {
        let mut result = vec![Cell::Unchanged; cells.len()];
        let mut batch = Batch::default();
        batch.scratch.reserve(crate::batch::FULL * 2);
        let columns = std::mem::take(&mut self.columns);
        for (index, (cell, column)) in cells.iter().zip(columns.iter().cycle()).enumerate() {
            let Some(cell) = cell else { continue };
            self.cell(index, cell, column, &mut batch, &mut result);
            if batch.is_full() {
                self.flush(&mut batch, &columns, &mut result);
            }
        }
        self.flush(&mut batch, &columns, &mut result);
        self.columns = columns;
        result
    }

    /// What was found so far. Places are columns, as in `rows:note`.
    pub fn found(&self) -> Vec<Finding> {
        let mut found = self
            .found
            .findings(&self.masker.engine, &self.masker.profile, "rows");
        self.masker.tell_digests(&mut found);
        found
    }

    /// How many bytes of cells were scanned. Those whose type says that they hold no text are in
    /// the gaps.
    pub const fn coverage(&self) -> Coverage {
        self.coverage
    }

    fn cell(
        &mut self,
        index: usize,
        cell: &[u8],
        column: &Prepared,
        batch: &mut Batch<usize>,
        result: &mut [Cell],
    ) {
        let length = cell.len() as u64;
        if column.kind == ColumnKind::Bool {
            return self.coverage.skip(Gap::Opaque, length);
        }
        if column.kind == ColumnKind::Json {
            result[index] = self.document(cell, column);
            return;
        }
        if let Some(rule) = self.by_name(cell, column) {
            self.coverage.inspect(length);
            let spans = self.known(cell, column, rule);
            result[index] = self.masked(cell, column, &spans);
            return;
        }
        match column.kind {
            ColumnKind::Bool | ColumnKind::Json | ColumnKind::Date | ColumnKind::Other => {
                self.coverage.skip(Gap::Opaque, length);
            }
            ColumnKind::Number if !is_integer(cell) || cell.len() < MIN_NUMBER => {
                self.coverage.inspect(length);
            }
            ColumnKind::Text | ColumnKind::Bytes | ColumnKind::Number => {
                self.coverage.inspect(length);
                if cell.len() >= MIN_TEXT {
                    let start = batch.scratch.bytes.len();
                    batch.scratch.bytes.extend_from_slice(cell);
                    batch.add(index, column.name.as_bytes(), start);
                }
            }
        }
    }

    /// The rule that the column's name leads to, if the cell is what the rule looks for.
    fn by_name(&self, cell: &[u8], column: &Prepared) -> Option<usize> {
        column.rules.iter().find(|index| {
            let rule = &self.masker.engine.rules[*index];
            // A number or a date is no secret because of a name such as `token`.
            let counts = match column.kind {
                ColumnKind::Text | ColumnKind::Bytes => true,
                _ => rule.kind == Kind::Personal,
            };
            counts && is_value(rule, cell)
        })
    }

    /// A rule that knows the whole cell by its looks tells more than the column's name.
    fn known(&self, cell: &[u8], column: &Prepared, rule: usize) -> Vec<Span> {
        let (engine, profile) = (&self.masker.engine, &self.masker.profile);
        let whole = Span {
            start: 0,
            end: cell.len(),
            rule,
        };
        let spans = spans_named(engine, &profile.on, column.name.as_bytes(), cell);
        match &spans[..] {
            [only] if only.start == 0 && only.end == whole.end => spans,
            _ => vec![whole],
        }
    }

    fn flush(&mut self, batch: &mut Batch<usize>, columns: &[Prepared], result: &mut [Cell]) {
        let masker = self.masker.clone();
        batch.flush(&masker.engine, &masker.profile.on, |index, text, spans| {
            result[index] = self.masked(text, &columns[index % columns.len()], spans);
        });
    }

    fn masked(&mut self, cell: &[u8], column: &Prepared, spans: &[Span]) -> Cell {
        let (engine, profile) = (&self.masker.engine, &self.masker.profile);
        let (mut out, mut at) = (Vec::with_capacity(cell.len()), 0);
        for span in spans {
            self.found.add(span.rule, &column.path.told_with(""), 1);
            out.extend_from_slice(&cell[at..span.start]);
            let value = &cell[span.start..span.end];
            profile.write(&engine.rules[span.rule], span.rule, value, &mut out);
            at = span.end;
        }
        out.extend_from_slice(&cell[at..]);
        if out == cell {
            return Cell::Unchanged;
        }
        if spans
            .iter()
            .any(|span| profile.operator(span.rule) == Operator::Drop)
        {
            out.clear();
        }
        match column.kind {
            // A document that is none is a text.
            ColumnKind::Text | ColumnKind::Bytes | ColumnKind::Json => {
                Cell::Masked(masked(out.into()))
            }
            ColumnKind::Number if is_integer(&out) => Cell::Masked(masked(out.into())),
            _ => Cell::Null,
        }
    }

    fn document(&mut self, cell: &[u8], column: &Prepared) -> Cell {
        let (engine, profile) = (&self.masker.engine, &self.masker.profile);
        self.coverage.inspect(cell.len() as u64);
        let Ok(scanned) = json::scan_named(engine, profile, cell, column.name, column.rules) else {
            // No document, so it is a text, and need not become one.
            let spans = engine.spans(&profile.on, cell, true);
            return self.masked(cell, column, &spans);
        };
        for (rule, path, count) in scanned.found.iter() {
            self.found.add(rule, &column.path.told_with(path), count);
        }
        if scanned.edits.is_empty() {
            Cell::Unchanged
        } else {
            Cell::Masked(masked(json::splice(cell, &scanned.edits).into()))
        }
    }
}

impl Column {
    /// A column of this name.
    pub fn new(name: impl Into<String>, kind: ColumnKind) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }
}

impl fmt::Debug for RowMasker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowMasker")
            .field("columns", &self.columns.len())
            .finish_non_exhaustive()
    }
}

fn is_integer(cell: &[u8]) -> bool {
    let digits = cell.strip_prefix(b"-").unwrap_or(cell);
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}
