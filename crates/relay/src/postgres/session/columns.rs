//! Columns of a result, kept.

use std::sync::Arc;

use tollbook_wire_postgres::{Columns, Format, Frame, Frontend};

use crate::postgres::{
    catalog::{NoAnswer, Relation},
    rows::Origins,
};

/// A column of a result.
#[derive(Clone, Debug)]
pub(in crate::postgres) struct ColumnOf {
    /// Its name, which a query can choose.
    pub(in crate::postgres) name: String,
    /// Its number in the table, or zero.
    pub(in crate::postgres) attribute: i16,
    /// Its type.
    pub(in crate::postgres) kind: u32,
    /// The format it comes in.
    pub(in crate::postgres) format: Format,
    /// What the table is, where it matters.
    pub(in crate::postgres) origin: Result<Option<Arc<Relation>>, NoAnswer>,
}

impl ColumnOf {
    /// The columns of a description.
    pub(in crate::postgres) fn all(columns: Columns<'_>, origins: &Origins) -> Arc<[Self]> {
        let of = columns.iter().map(|column| Self {
            name: column.name.to_owned(),
            attribute: column.attribute,
            kind: column.kind,
            format: column.format,
            origin: origins.of(column.table),
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
