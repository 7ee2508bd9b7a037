//! The fields of errors and notices.

use std::fmt;

use crate::{Error, cursor::Cursor};

/// What a field is about: the byte that stands before it ("Error and Notice Message Fields").
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Field(pub u8);

/// The fields of an error or a notice, in their order.
#[derive(Clone, PartialEq, Eq)]
pub struct Fields<'a>(Vec<(Field, &'a str)>);

impl Field {
    /// `ERROR`, `FATAL`, `NOTICE` and so on, in the language of the server.
    pub const SEVERITY: Self = Self(b'S');
    /// The same, never translated.
    pub const SEVERITY_PLAIN: Self = Self(b'V');
    /// The SQLSTATE code.
    pub const CODE: Self = Self(b'C');
    /// What happened.
    pub const MESSAGE: Self = Self(b'M');
    /// More of it. It may hold values of rows.
    pub const DETAIL: Self = Self(b'D');
    /// What may help.
    pub const HINT: Self = Self(b'H');
    /// Where in the text of the statement.
    pub const POSITION: Self = Self(b'P');
    /// Where in the text of an inner statement.
    pub const INNER_POSITION: Self = Self(b'p');
    /// The inner statement.
    pub const INNER_QUERY: Self = Self(b'q');
    /// In what it happened.
    pub const WHERE: Self = Self(b'W');
    /// The schema.
    pub const SCHEMA: Self = Self(b's');
    /// The table.
    pub const TABLE: Self = Self(b't');
    /// The column.
    pub const COLUMN: Self = Self(b'c');
    /// The type.
    pub const TYPE: Self = Self(b'd');
    /// The constraint.
    pub const CONSTRAINT: Self = Self(b'n');
}

impl<'a> Fields<'a> {
    /// Fields to be written, in this order.
    pub fn new(fields: impl IntoIterator<Item = (Field, &'a str)>) -> Self {
        Self(fields.into_iter().collect())
    }

    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let mut fields = Vec::new();
        loop {
            match cursor.byte()? {
                0 => break Ok(Self(fields)),
                field => fields.push((Field(field), cursor.text()?)),
            }
        }
    }

    /// One field, if it is there.
    pub fn field(&self, field: Field) -> Option<&'a str> {
        let mut known = self.0.iter();
        known
            .find(|(known, _)| *known == field)
            .map(|(_, text)| *text)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (Field, &'a str)> {
        self.0.iter().copied()
    }
}

/// Severity and code only: the rest may hold what stands in rows.
impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fields")
            .field("severity", &self.field(Field::SEVERITY))
            .field("code", &self.field(Field::CODE))
            .finish_non_exhaustive()
    }
}
