//! Results: what the caller gets of them, and what the record keeps.

use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc};

use bytes::Bytes;
use serde_json::{Value, json};
use tollbook_exchange::{Coverage, Finding, Gap, Masked, Operator, Redact};
use tollbook_masking::{
    Masker,
    view::{Cell, Column as Named, ColumnKind, RowMasker},
};
use tollbook_wire_postgres::{Backend, Columns, Error, Format, Frame, RowWriter, text_of};

use super::{
    Rows,
    arrays::{self, Element},
    catalog::{Catalog, NoAnswer, Relation},
    columns::{Column, Form, LABEL, type_name},
    protected::{Protected, Protection, Uses},
    session::ColumnOf,
};
use crate::Masks;

/// How the results of a session are treated.
#[derive(Clone, Debug)]
pub struct Results {
    pub(super) masks: Masks,
    pub(super) level: Rows,
    pub(super) protected: Protected,
    pub(super) catalog: Option<Catalog>,
}

/// Masks the rows of one result. The record is as [`Rows`] says: lines of JSON, one for each row.
///
/// A cell of a protected column is concealed for the caller as for the record. Anything else is masked
/// by its column's name, by its type and by its content, in either format: for the record by the masker
/// of answers, for the caller by the one of the wire, if there is one.
pub struct ResultMask {
    columns: Vec<Column>,
    answers: Masker,
    record: Option<Side>,
    wire: Option<Side>,
    /// The wire's masker does the same as the record's.
    alike: bool,
    level: Rows,
    rows: u64,
    concealed: Vec<u32>,
    coverage: Coverage,
}

/// What a result came to.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// Rows that came.
    pub rows: u64,
    /// What was found. Places are columns, as in `rows:note`.
    pub found: Vec<Finding>,
    /// How much of the cells was looked at.
    pub coverage: Coverage,
}

/// Where columns come from, by the numbers of tables.
#[derive(Clone, Debug, Default)]
pub(super) struct Origins(BTreeMap<u32, Result<Option<Arc<Relation>>, NoAnswer>>);

/// One masker, and what it knows of the columns.
struct Side {
    flat: RowMasker,
    /// For elements of those that are arrays.
    elements: Vec<Option<RowMasker>>,
}

/// What becomes of a cell.
enum Becomes {
    Same,
    /// This, as [`Column::plain`] has it.
    Plain(Bytes),
    /// This, as it goes over the wire.
    Raw(Bytes),
    Null,
}

impl Results {
    /// For the results of a session that is masked so.
    pub fn new(masks: &Masks, level: Rows, protected: Protected, catalog: Option<Catalog>) -> Self {
        Self {
            masks: masks.clone(),
            level,
            protected,
            catalog,
        }
    }

    /// Forgets what is known of tables.
    pub(super) fn tables_changed(&self) {
        if let Some(catalog) = &self.catalog {
            catalog.forget();
        }
    }

    /// Whether anything of what the caller gets may be masked.
    pub(super) fn changes_what_is_sent(&self) -> bool {
        self.masks.wire.is_some() || !self.protected.is_empty()
    }

    /// Where the columns come from, as far as it matters and the server's catalog tells.
    pub(super) async fn look_up(&self, columns: Columns<'_>) -> Origins {
        let mut origins = Origins::default();
        if self.protected.is_empty() {
            return origins;
        }
        for column in columns.iter().filter(|column| column.table != 0) {
            if origins.0.contains_key(&column.table) {
                continue;
            }
            let relation = match &self.catalog {
                Some(catalog) => catalog.relation(column.table).await,
                None => Err(NoAnswer),
            };
            if relation.is_err() {
                tracing::warn!("the catalog does not answer: columns are masked as if protected");
            }
            origins.0.insert(column.table, relation);
        }
        origins
    }

    /// The mask of a result with these columns. `uses` is what [`Protected::uses`] says of the statements.
    pub(super) fn rows<'c>(
        &self,
        columns: impl IntoIterator<Item = &'c ColumnOf>,
        uses: &Uses,
    ) -> ResultMask {
        let columns = columns.into_iter().map(|told| {
            let mut column = Column {
                name: told.name.clone(),
                kind: told.kind,
                format: told.format,
                form: Form::of(told.kind),
                protection: None,
                origin: None,
            };
            self.protect(&mut column, told, uses);
            column
        });
        ResultMask::new(self, columns.collect())
    }

    /// By where the column comes from: a table's column, whatever it is called in the result; or an
    /// expression, in which a protected column may be.
    fn protect(&self, column: &mut Column, told: &ColumnOf, uses: &Uses) {
        if self.protected.is_empty() {
            return;
        }
        column.protection = match &told.origin {
            // An expression; or a table that a transaction has just made, or that is gone.
            Ok(None) => uses.expressions.max(self.protected.named(&column.name)),
            Ok(Some(relation)) => {
                let name = relation.columns.get(&told.attribute);
                let name = name.map_or(&*column.name, String::as_str);
                if let Some((schema, table)) = relation.names.first() {
                    column.origin = Some((schema.clone(), table.clone(), name.to_owned()));
                }
                match relation.view {
                    // What a view shows under this name may be the column itself.
                    true => self.protected.named(name),
                    false => self.protected.of(&relation.names, name),
                }
            }
            Err(NoAnswer) => self.protected.weightiest(),
        };
    }
}

impl Origins {
    /// What is known of a table; zero stands for none.
    pub(super) fn of(&self, table: u32) -> Result<Option<Arc<Relation>>, NoAnswer> {
        self.0.get(&table).cloned().unwrap_or(Ok(None))
    }
}

impl ResultMask {
    pub(super) fn new(results: &Results, columns: Vec<Column>) -> Self {
        let Masks { answers, wire, .. } = &results.masks;
        let recorded = !matches!(results.level, Rows::None | Rows::Digest);
        let alike = wire
            .as_ref()
            .is_some_and(|wire| recorded && wire.is_like(answers));
        Self {
            record: recorded.then(|| Side::new(answers, &columns)),
            wire: (wire.as_ref().filter(|_| !alike)).map(|wire| Side::new(wire, &columns)),
            alike,
            answers: answers.clone(),
            level: results.level,
            rows: 0,
            concealed: vec![0; columns.len()],
            coverage: Coverage::default(),
            columns,
        }
    }

    /// The line of the record that tells the columns.
    pub fn columns(&self) -> Masked<Bytes> {
        let told = self.columns.iter().map(|column| {
            let masked = |text: &str| self.answers.redact("columns", text).0.into_inner();
            let mut told = json!({ "name": masked(&column.name), "type": type_name(column.kind) });
            if let Some((schema, table, name)) = &column.origin {
                told["table"] = masked(&format!("{schema}.{table}")).into();
                told["column"] = masked(name).into();
            }
            told
        });
        line(&json!({ "columns": told.collect::<Vec<_>>() }))
    }

    /// Masks rows that came, the more at once the better: puts what the caller gets in their place, and
    /// gives the lines that are recorded of them.
    ///
    /// # Errors
    ///
    /// When one is no row of this result. Nothing may be passed on then.
    pub fn rows(&mut self, frames: &mut [Frame]) -> Result<Option<Masked<Bytes>>, Error> {
        let told = self.told(frames.len());
        let scanned = told > 0;
        let mut cells: Vec<Option<&[u8]>> = Vec::with_capacity(frames.len() * self.columns.len());
        for frame in &*frames {
            match Backend::read(frame)? {
                Backend::DataRow(row) if row.len() == self.columns.len() => {
                    cells.extend(row.iter());
                }
                _ => return Err(Error::Length),
            }
        }
        self.rows += frames.len() as u64;
        let protects = self
            .columns
            .iter()
            .any(|column| column.protection.is_some());
        if !scanned && !self.alike && self.wire.is_none() && !protects {
            return Ok(None);
        }
        let plain: Vec<Option<Cow<'_, [u8]>>> = cells
            .iter()
            .zip(self.columns.iter().cycle())
            .map(|(cell, column)| {
                let cell = cell.filter(|_| column.protection.is_none())?;
                Some(column.plain(cell).unwrap_or(Cow::Borrowed(cell)))
            })
            .collect();
        let mask = |side: &mut Option<Side>| match side {
            Some(side) => side.mask(&self.columns, &cells, &plain),
            None => Vec::new(),
        };
        let record = match scanned || self.alike {
            true => mask(&mut self.record),
            false => Vec::new(),
        };
        let wire = mask(&mut self.wire);
        let to_caller = if self.alike { &record } else { &wire };
        let width = self.columns.len();
        let mut lines = Vec::new();
        let mut changed = vec![None; frames.len()];
        for (index, changed) in changed.iter_mut().enumerate() {
            let from = index * width;
            let row = Row {
                columns: &self.columns,
                masker: &self.answers,
                cells: &cells[from..from + width],
                plain: &plain[from..from + width],
            };
            *changed = row.wire(to_caller.get(from..from + width).unwrap_or_default())?;
            for (column, (cell, told)) in self
                .columns
                .iter()
                .zip(row.cells.iter().zip(&mut self.concealed))
            {
                if let (Some(_), Some(cell)) = (column.protection, cell) {
                    *told = told.saturating_add(1);
                    self.coverage.skip(Gap::Opaque, cell.len() as u64);
                }
            }
            if index < told {
                row.line(
                    record.get(from..from + width).unwrap_or_default(),
                    &mut lines,
                );
            }
        }
        for (frame, changed) in frames.iter_mut().zip(changed) {
            if let Some(changed) = changed {
                *frame = changed;
            }
        }
        Ok((!lines.is_empty()).then(|| assembled(lines)))
    }

    /// What it came to.
    pub fn finish(self) -> Summary {
        let mut summary = Summary {
            rows: self.rows,
            coverage: self.coverage,
            ..Summary::default()
        };
        // What is found for the caller as well is not counted twice.
        if let Some(side) = self.record.or(self.wire) {
            side.tell(&mut summary);
        }
        for (column, count) in self.columns.iter().zip(self.concealed) {
            if count > 0 {
                let operator = column.protection.and_then(Protection::operator);
                let (place, _) = self.answers.redact("columns", &column.name);
                let place = format!("rows:{}", place.into_inner());
                let operator = operator.unwrap_or(Operator::Drop);
                let finding = Finding::new(LABEL, &*place, operator, count);
                Finding::merge(&mut summary.found, [finding]);
            }
        }
        summary
    }

    /// How many of so many more rows are told.
    fn told(&self, more: usize) -> usize {
        match self.level {
            Rows::All => more,
            Rows::First(most) => {
                let left = most.saturating_sub(self.rows);
                usize::try_from(left).map_or(more, |left| left.min(more))
            }
            Rows::None | Rows::Digest => 0,
        }
    }
}

/// One row.
struct Row<'r> {
    columns: &'r [Column],
    masker: &'r Masker,
    cells: &'r [Option<&'r [u8]>],
    plain: &'r [Option<Cow<'r, [u8]>>],
}

impl Row<'_> {
    /// What the caller gets in its place; none for the row as it came.
    fn wire(&self, becomes: &[Becomes]) -> Result<Option<Frame>, Error> {
        let mut out = Vec::with_capacity(self.cells.len());
        let mut changed = false;
        for (index, (cell, column)) in self.cells.iter().zip(self.columns).enumerate() {
            let Some(cell) = cell else {
                out.push(None);
                continue;
            };
            let other = match (column.protection, becomes.get(index)) {
                (Some(protection), _) => {
                    let plain = column.concealed(protection, self.masker, cell);
                    plain.and_then(|plain| column.wire(&plain))
                }
                (None, None | Some(Becomes::Same)) => {
                    out.push(Some(Cow::Borrowed(*cell)));
                    continue;
                }
                (None, Some(Becomes::Plain(plain))) => column.wire(plain),
                (None, Some(Becomes::Raw(raw))) => Some(raw.clone()),
                (None, Some(Becomes::Null)) => None,
            };
            changed = true;
            out.push(other.map(|other| Cow::Owned(other.to_vec())));
        }
        if !changed {
            return Ok(None);
        }
        let mut row = RowWriter::new();
        for cell in out {
            row.cell(cell.as_deref())?;
        }
        Ok(Some(row.finish()))
    }

    /// What the record keeps of it.
    fn line(&self, becomes: &[Becomes], out: &mut Vec<u8>) {
        let told = self.columns.iter().enumerate().map(|(index, column)| {
            let cell = self.cells.get(index).copied().flatten();
            let Some(cell) = cell else { return Value::Null };
            if let Some(protection) = column.protection {
                let plain = column.concealed(protection, self.masker, cell);
                return plain.map_or(Value::Null, |plain| column.told(&plain));
            }
            match becomes.get(index) {
                Some(Becomes::Plain(plain)) => column.told(plain),
                Some(Becomes::Raw(raw)) => {
                    let text = text_of(column.kind, column.format, raw);
                    text.map_or(Value::Null, Value::from)
                }
                Some(Becomes::Null) => Value::Null,
                // What nobody could look at is not kept.
                None => Value::Null,
                Some(Becomes::Same) => match self.plain.get(index) {
                    Some(Some(plain)) if column.plain(cell).is_some() => column.told(plain),
                    _ => json!({ "bytes": cell.len() }),
                },
            }
        });
        let told: Vec<Value> = told.collect();
        out.extend_from_slice(Value::from(told).to_string().as_bytes());
        out.push(b'\n');
    }
}

impl Side {
    fn new(masker: &Masker, columns: &[Column]) -> Self {
        let named: Vec<Named> = columns
            .iter()
            .map(|column| Named::new(&*column.name, column.form.masked_as()))
            .collect();
        let elements = columns.iter().map(|column| match column.form {
            Form::Array(element) => {
                let kind = match Form::of(element) {
                    Form::Json | Form::Jsonb => ColumnKind::Json,
                    _ => ColumnKind::Text,
                };
                Some(RowMasker::new(masker, &[Named::new(&*column.name, kind)]))
            }
            _ => None,
        });
        Self {
            elements: elements.collect(),
            flat: RowMasker::new(masker, &named),
        }
    }

    fn mask(
        &mut self,
        columns: &[Column],
        cells: &[Option<&[u8]>],
        plain: &[Option<Cow<'_, [u8]>>],
    ) -> Vec<Becomes> {
        let flat: Vec<Option<&[u8]>> = plain
            .iter()
            .zip(columns.iter().cycle())
            .map(|(cell, column)| match column.form {
                Form::Array(_) => None,
                _ => cell.as_deref(),
            })
            .collect();
        let masked = self.flat.mask(&flat).into_iter();
        masked
            .enumerate()
            .map(|(index, cell)| {
                let at = index % columns.len().max(1);
                let (column, elements) = (&columns[at], &mut self.elements[at]);
                match (elements, cells[index], &plain[index]) {
                    (Some(elements), Some(raw), Some(plain)) => array(elements, column, raw, plain),
                    _ => match cell {
                        Cell::Unchanged => Becomes::Same,
                        Cell::Masked(bytes) => Becomes::Plain(bytes.into_inner()),
                        _ => Becomes::Null,
                    },
                }
            })
            .collect()
    }

    fn tell(self, summary: &mut Summary) {
        for masker in self.elements.into_iter().flatten().chain([self.flat]) {
            let coverage = masker.coverage();
            summary.coverage.inspect(coverage.inspected);
            summary.coverage.skip(Gap::Opaque, coverage.gaps.opaque);
            Finding::merge(&mut summary.found, masker.found());
        }
    }
}

/// Masks the elements of an array, each by itself.
fn array(elements: &mut RowMasker, column: &Column, raw: &[u8], plain: &[u8]) -> Becomes {
    let versioned = matches!(column.form, Form::Array(3802)) && column.format == Format::Binary;
    let mut change = |element: &[u8]| {
        let (version, document) = element
            .split_at_checked(usize::from(versioned))
            .unwrap_or_default();
        match elements.mask(&[Some(document)]).pop() {
            None | Some(Cell::Unchanged) => Element::Same,
            Some(Cell::Masked(bytes)) => {
                Element::Other([version, bytes.as_inner()].concat().into())
            }
            Some(_) => Element::Null,
        }
    };
    match arrays::change(column.format, raw, &mut change) {
        Ok(None) => Becomes::Same,
        Ok(Some(changed)) => Becomes::Raw(changed),
        // It is looked at as a text, and nothing can stand in the place of a part of it.
        Err(arrays::Broken) => match elements.mask(&[Some(plain)]).pop() {
            None | Some(Cell::Unchanged) => Becomes::Same,
            Some(_) => Becomes::Null,
        },
    }
}

impl fmt::Debug for ResultMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResultMask")
            .field("columns", &self.columns.len())
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

/// A line of the record, of parts that are masked.
pub(super) fn line(value: &Value) -> Masked<Bytes> {
    let mut text = value.to_string().into_bytes();
    text.push(b'\n');
    assembled(text)
}

/// Lines of the record, of parts that are masked.
#[expect(
    clippy::disallowed_methods,
    reason = "each text in it came from the masking engine, or was scanned by it and left as it is"
)]
pub(super) fn assembled(lines: Vec<u8>) -> Masked<Bytes> {
    Masked::assume_masked(lines.into())
}

#[cfg(test)]
mod tests {
    use tollbook_sql::{Dialect, Settings, Statements};

    use super::*;
    use crate::postgres::{Lookup, LookupFuture, NoAnswer, Relation};

    fn key() -> String {
        ["AKIA", "IOSFODNN7EXAMPLE"].concat()
    }

    /// The table 100 is `app.users`, 101 one of its partitions, 102 a view, 103 is gone; of others nobody
    /// knows.
    struct Tables;

    impl Lookup for Tables {
        fn relation(&self, number: u32) -> LookupFuture<'_> {
            let name = |name: &str| ("app".to_owned(), name.to_owned());
            let names = match number {
                100 => vec![name("users")],
                101 => vec![name("users_2026"), name("users")],
                102 => vec![name("people")],
                103 => return Box::pin(async { Ok(None) }),
                _ => return Box::pin(async { Err(NoAnswer) }),
            };
            let columns = [(1, "id"), (2, "ssn")].map(|(at, name)| (at, name.to_owned()));
            let relation = Relation {
                names,
                view: number == 102,
                columns: columns.into(),
            };
            Box::pin(async { Ok(Some(relation)) })
        }
    }

    fn results(level: Rows, wire: bool) -> Results {
        let masker = Masker::builtin();
        let masks = Masks {
            requests: masker.clone(),
            answers: masker.clone(),
            wire: wire.then_some(masker),
        };
        let protected = [("users.ssn".to_owned(), Protection::Redact)];
        let catalog = Catalog::new(Tables);
        Results::new(&masks, level, Protected::new(protected), Some(catalog))
    }

    /// A description of columns: name, table, number in it, type, format.
    fn description(columns: &[(&str, u32, i16, u32, i16)]) -> Frame {
        let mut body = u16::try_from(columns.len()).unwrap().to_be_bytes().to_vec();
        for (name, table, attribute, kind, format) in columns {
            body.extend(name.as_bytes());
            body.push(0);
            body.extend(table.to_be_bytes());
            body.extend(attribute.to_be_bytes());
            body.extend(kind.to_be_bytes());
            body.extend([255, 255, 255, 255, 255, 255]);
            body.extend(format.to_be_bytes());
        }
        Frame::new(b'T', body)
    }

    fn row(cells: &[Option<&[u8]>]) -> Frame {
        let mut row = RowWriter::new();
        cells.iter().for_each(|cell| row.cell(*cell).unwrap());
        row.finish()
    }

    async fn mask(results: &Results, description: &Frame, statement: &str) -> ResultMask {
        let Ok(Backend::RowDescription(columns)) = Backend::read(description) else {
            panic!("no columns");
        };
        let settings = Settings {
            protected_columns: results.protected.names(),
            ..Settings::default()
        };
        let read = Statements::read(Dialect::Postgres, statement, &settings);
        let uses = results.protected.uses(&read);
        let origins = results.look_up(columns).await;
        results.rows(&*ColumnOf::all(columns, &origins), &uses)
    }

    fn cells(frame: &Frame) -> Vec<Option<String>> {
        let Ok(Backend::DataRow(cells)) = Backend::read(frame) else {
            panic!("no row")
        };
        let text = |cell: &[u8]| String::from_utf8_lossy(cell).into_owned();
        cells.iter().map(|cell| cell.map(text)).collect()
    }

    fn told(lines: Option<Masked<Bytes>>) -> String {
        let lines = lines.map(Masked::into_inner).unwrap_or_default();
        String::from_utf8(lines.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn the_caller_gets_what_came_and_the_record_what_may_be_kept() {
        let results = results(Rows::All, false);
        let columns = description(&[
            ("id", 0, 0, 23, 1),
            ("note", 0, 0, 25, 1),
            ("p", 0, 0, 600, 1),
        ]);
        let mut mask = mask(&results, &columns, "SELECT 1").await;
        let came = row(&[Some(&[0, 0, 1, 0]), Some(key().as_bytes()), Some(&[7; 16])]);
        let mut frames = [came.clone(), row(&[None, Some(b"x"), None])];
        let lines = told(mask.rows(&mut frames).unwrap());
        assert!(frames[0] == came);
        assert_eq!(
            lines,
            "[\"256\",\"[REDACTED:aws-access-key-id]\",{\"bytes\":16}]\n[null,\"x\",null]\n"
        );
        let columns = mask.columns().into_inner();
        let columns: Value = serde_json::from_slice(&columns).unwrap();
        assert_eq!(
            columns["columns"][0],
            json!({ "name": "id", "type": "int4" })
        );
        let summary = mask.finish();
        assert_eq!((summary.rows, summary.found.len()), (2, 1));
        assert_eq!(summary.found[0].place, "rows:note");
    }

    #[tokio::test]
    async fn a_masked_cell_is_of_its_columns_type() {
        let results = results(Rows::All, true);
        let document = format!("{{\"a\":\"{}\"}}", key());
        let versioned = [&b"\x01"[..], document.as_bytes()].concat();
        let columns = description(&[
            ("a", 0, 0, 3802, 1),
            ("b", 0, 0, 1009, 0),
            ("password", 0, 0, 17, 0),
        ]);
        let mut mask = mask(&results, &columns, "SELECT 1").await;
        let list = format!("{{a,\"{}\",NULL}}", key());
        let mut frames = [row(&[
            Some(&versioned),
            Some(list.as_bytes()),
            Some(b"\\x6162"),
        ])];
        let lines = told(mask.rows(&mut frames).unwrap());
        let masked = cells(&frames[0]);
        assert_eq!(
            masked[0].as_deref(),
            Some("\x01{\"a\":\"[REDACTED:aws-access-key-id]\"}")
        );
        assert_eq!(
            masked[1].as_deref(),
            Some("{a,\"[REDACTED:aws-access-key-id]\",NULL}")
        );
        assert!(masked[2].as_deref().unwrap().starts_with("\\x"));
        assert!(!lines.contains(&key()), "{lines}");
    }

    #[tokio::test]
    async fn a_protected_column_is_masked_by_where_it_comes_from() {
        let results = results(Rows::All, false);
        for (told, name, table, attribute, statement, hidden) in [
            ("its own name", "ssn", 100, 2, "SELECT ssn FROM users", true),
            ("an alias", "x", 100, 2, "SELECT ssn AS x FROM users", true),
            (
                "another column under its name",
                "ssn",
                100,
                1,
                "SELECT id AS ssn FROM users",
                false,
            ),
            (
                "a partition",
                "x",
                101,
                2,
                "SELECT ssn x FROM users_2026",
                true,
            ),
            ("a view", "ssn", 102, 2, "SELECT ssn FROM people", true),
            (
                "an expression",
                "x",
                0,
                0,
                "SELECT upper(ssn) x FROM users",
                true,
            ),
            (
                "an expression beside it",
                "n",
                0,
                0,
                "SELECT count(*) n FROM users",
                false,
            ),
            ("a whole row", "u", 0, 0, "SELECT u FROM users u", true),
            ("what a cursor gives", "x", 0, 0, "FETCH ALL FROM c", true),
            (
                "a table just made",
                "n",
                103,
                1,
                "SELECT n FROM made",
                false,
            ),
            (
                "what nobody can look up",
                "n",
                104,
                1,
                "SELECT n FROM other",
                true,
            ),
        ] {
            let columns = description(&[(name, table, attribute, 25, 0)]);
            let mut mask = mask(&results, &columns, statement).await;
            for _ in 0..10 {
                let mut frames = [row(&[Some(b"some value")])];
                let lines = super::tests::told(mask.rows(&mut frames).unwrap());
                let expected = match hidden {
                    true => "[REDACTED:protected-column]",
                    false => "some value",
                };
                assert_eq!(cells(&frames[0]), [Some(expected.to_owned())], "{told}");
                assert!(lines.contains(expected), "{told}: {lines}");
            }
            assert_eq!(mask.finish().found.is_empty(), !hidden, "{told}");
        }
    }

    #[tokio::test]
    async fn the_level_rules_what_is_told_and_not_what_is_masked() {
        let columns = description(&[("ssn", 100, 2, 25, 0)]);
        for (level, expected) in [
            (Rows::All, 3),
            (Rows::First(2), 2),
            (Rows::Digest, 0),
            (Rows::None, 0),
        ] {
            let results = results(level, false);
            let mut mask = mask(&results, &columns, "SELECT ssn FROM users").await;
            let mut lines = String::new();
            for _ in 0..3 {
                let mut frames = [row(&[Some(b"219-09-9999")])];
                lines.push_str(&told(mask.rows(&mut frames).unwrap()));
                assert_eq!(
                    cells(&frames[0]),
                    [Some("[REDACTED:protected-column]".to_owned())]
                );
            }
            assert_eq!(lines.lines().count(), expected, "{level:?}");
            let summary = mask.finish();
            assert_eq!(summary.rows, 3);
        }
    }

    #[tokio::test]
    async fn what_is_no_row_of_the_result_does_not_pass() {
        let results = results(Rows::All, false);
        let columns = description(&[("a", 0, 0, 25, 0)]);
        let mut mask = mask(&results, &columns, "SELECT 1").await;
        assert!(mask.rows(&mut [row(&[None, None])]).is_err());
        assert!(
            mask.rows(&mut [Frame::new(b'C', &b"SELECT 1\0"[..])])
                .is_err()
        );
    }
}
