//! Columns of a result, kept.

use std::sync::Arc;

use tollbook_wire_postgres::{Columns, Format, Frame, Frontend};

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ColumnOf {
    /// Its name, which a query can choose.
    pub(super) name: String,
    /// The table it comes from, or zero.
    pub(super) table: u32,
    /// Its number in the table, or zero.
    pub(super) attribute: i16,
    /// Its type.
    pub(super) kind: u32,
    /// The format it comes in.
    pub(super) format: Format,
}

impl ColumnOf {
    /// The columns of a description.
    pub(super) fn all(columns: Columns<'_>) -> Arc<[Self]> {
        let of = columns.iter().map(|column| Self {
            name: column.name.to_owned(),
            table: column.table,
            attribute: column.attribute,
            kind: column.kind,
            format: column.format,
        });
        of.collect()
    }

    /// The same columns in the formats that a Bind asks for.
    pub(super) fn formatted(columns: &Arc<[Self]>, bind: &Frame) -> Arc<[Self]> {
        let Ok(Frontend::Bind(bind)) = Frontend::read(bind) else {
            return Arc::clone(columns);
        };
        if bind.results.is_empty() {
            return Arc::clone(columns);
        }
        let format = |(index, column): (usize, &Self)| Self {
            format: bind.results.of(index).unwrap_or_default(),
            ..column.clone()
        };
        columns.iter().enumerate().map(format).collect()
    }
}
