//! Columns of results, and types.

use std::{borrow::Cow, fmt};

use crate::{Error, Packet, cursor::Cursor};

/// A column of a result, or a parameter of a prepared statement ("ColumnDefinition41").
#[derive(Clone, PartialEq, Eq)]
pub struct Column<'a> {
    /// The database of the table that it comes from; empty if it comes from an expression.
    pub database: Cow<'a, str>,
    /// The table as the query names it.
    pub table: Cow<'a, str>,
    /// The table's own name, or the view's; empty if it comes from an expression.
    pub origin_table: Cow<'a, str>,
    /// The name, which a query can choose.
    pub name: Cow<'a, str>,
    /// The column's own name in its table; empty if it comes from an expression.
    pub origin_name: Cow<'a, str>,
    /// The collation of its texts, or [`BINARY`](crate::BINARY).
    pub collation: u16,
    /// The most bytes that a value of it shows.
    pub length: u32,
    /// Its type.
    pub kind: Kind,
    /// What else is true of it ("Column Definition Flags").
    pub flags: u16,
    /// Places behind the point; 31 where there is no fixed number.
    pub decimals: u8,
}

/// A type of values ("enum_field_types"), by its number.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(pub u8);

/// What has to be known of a column, or of a parameter, to read its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// The type.
    pub kind: Kind,
    /// Whether a number has no sign.
    pub unsigned: bool,
}

/// How values of a type stand in the binary format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// So many bytes.
    Fixed(usize),
    /// A date or time: a byte that counts, and so many.
    Moment,
    /// Bytes with their length before them.
    Counted,
}

impl<'a> Column<'a> {
    /// Reads the description of a column.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(packet: &'a Packet) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&packet.body);
        if cursor.counted()? != CATALOG {
            return Err(Error::Code);
        }
        // Names of columns without one are the texts of their expressions, with any bytes.
        let mut name = || cursor.counted().map(String::from_utf8_lossy);
        let (database, table, origin_table) = (name()?, name()?, name()?);
        let (name, origin_name) = (name()?, name()?);
        let mut fixed = Cursor::new(cursor.counted()?);
        // What COM_FIELD_LIST asks for has a default behind that.
        if !cursor.is_empty() {
            cursor.cell()?;
        }
        cursor.end()?;
        let column = Self {
            database,
            table,
            origin_table,
            name,
            origin_name,
            collation: fixed.u16()?,
            length: fixed.u32()?,
            kind: Kind(fixed.byte()?),
            flags: fixed.u16()?,
            decimals: fixed.byte()?,
        };
        fixed.take(2)?;
        fixed.end()?;
        Ok(column)
    }

    /// What has to be known of it to read its values.
    pub const fn shape(&self) -> Shape {
        Shape {
            kind: self.kind,
            unsigned: self.flags & UNSIGNED != 0,
        }
    }

    /// Whether it comes as it is from a column of a table or view: expressions have no origin.
    pub fn has_origin(&self) -> bool {
        !self.origin_table.is_empty() && !self.origin_name.is_empty()
    }
}

impl Kind {
    /// `DECIMAL` before MySQL 5.
    pub const DECIMAL: Self = Self(0);
    /// `TINYINT`, also for `BOOLEAN`.
    pub const TINY: Self = Self(1);
    /// `SMALLINT`.
    pub const SHORT: Self = Self(2);
    /// `INT`.
    pub const LONG: Self = Self(3);
    /// `FLOAT`.
    pub const FLOAT: Self = Self(4);
    /// `DOUBLE`.
    pub const DOUBLE: Self = Self(5);
    /// `NULL` itself.
    pub const NULL: Self = Self(6);
    /// `TIMESTAMP`.
    pub const TIMESTAMP: Self = Self(7);
    /// `BIGINT`.
    pub const LONGLONG: Self = Self(8);
    /// `MEDIUMINT`.
    pub const INT24: Self = Self(9);
    /// `DATE`.
    pub const DATE: Self = Self(10);
    /// `TIME`.
    pub const TIME: Self = Self(11);
    /// `DATETIME`.
    pub const DATETIME: Self = Self(12);
    /// `YEAR`.
    pub const YEAR: Self = Self(13);
    /// `VARCHAR`.
    pub const VARCHAR: Self = Self(15);
    /// `BIT`.
    pub const BIT: Self = Self(16);
    /// `VECTOR`, of MySQL 9.
    pub const VECTOR: Self = Self(242);
    /// `JSON`, of MySQL. In MariaDB it is a text.
    pub const JSON: Self = Self(245);
    /// `DECIMAL`.
    pub const NEWDECIMAL: Self = Self(246);
    /// `ENUM`.
    pub const ENUM: Self = Self(247);
    /// `SET`.
    pub const SET: Self = Self(248);
    /// `TINYBLOB` and `TINYTEXT`.
    pub const TINY_BLOB: Self = Self(249);
    /// `MEDIUMBLOB` and `MEDIUMTEXT`.
    pub const MEDIUM_BLOB: Self = Self(250);
    /// `LONGBLOB` and `LONGTEXT`.
    pub const LONG_BLOB: Self = Self(251);
    /// `BLOB` and `TEXT`.
    pub const BLOB: Self = Self(252);
    /// `VARCHAR` and `VARBINARY`.
    pub const VAR_STRING: Self = Self(253);
    /// `CHAR` and `BINARY`.
    pub const STRING: Self = Self(254);
    /// `GEOMETRY`.
    pub const GEOMETRY: Self = Self(255);

    /// Whether any text can stand in the place of a value, in the binary format too.
    pub const fn takes_text(self) -> bool {
        matches!(
            self,
            Self::VARCHAR
                | Self::ENUM
                | Self::SET
                | Self::TINY_BLOB
                | Self::MEDIUM_BLOB
                | Self::LONG_BLOB
                | Self::BLOB
                | Self::VAR_STRING
                | Self::STRING
        )
    }

    /// # Errors
    ///
    /// [`Error::Code`] for a type that is not known: where its values end nobody could tell.
    pub(crate) const fn form(self) -> Result<Form, Error> {
        Ok(match self {
            Self::NULL => Form::Fixed(0),
            Self::TINY => Form::Fixed(1),
            Self::SHORT | Self::YEAR => Form::Fixed(2),
            Self::LONG | Self::INT24 | Self::FLOAT => Form::Fixed(4),
            Self::LONGLONG | Self::DOUBLE => Form::Fixed(8),
            Self::TIMESTAMP | Self::DATE | Self::TIME | Self::DATETIME => Form::Moment,
            Self::DECIMAL
            | Self::VARCHAR
            | Self::BIT
            | Self::VECTOR
            | Self::JSON
            | Self::NEWDECIMAL
            | Self::ENUM
            | Self::SET
            | Self::TINY_BLOB
            | Self::MEDIUM_BLOB
            | Self::LONG_BLOB
            | Self::BLOB
            | Self::VAR_STRING
            | Self::STRING
            | Self::GEOMETRY => Form::Counted,
            _ => return Err(Error::Code),
        })
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kind({})", self.0)
    }
}

/// Names are what masking goes by, and may be the text of an expression.
impl fmt::Debug for Column<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Column")
            .field("kind", &self.kind)
            .field("flags", &self.flags)
            .field("has_origin", &self.has_origin())
            .finish_non_exhaustive()
    }
}

/// What stands in the place of a catalogue.
const CATALOG: &[u8] = b"def";
/// Among the flags of a column.
const UNSIGNED: u16 = 32;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};

    /// The description of a column, as servers write it.
    pub(crate) fn description(names: [&str; 5], kind: Kind, flags: u16) -> Packet {
        let mut out = BytesMut::new();
        for name in [&["def"], &names[..]].concat() {
            crate::cursor::put_counted(&mut out, name.as_bytes());
        }
        out.put_u8(12);
        out.put_u16_le(45);
        out.put_u32_le(80);
        out.put_u8(kind.0);
        out.put_u16_le(flags);
        out.put_u8(0);
        out.put_u16_le(0);
        Packet::new(out)
    }

    #[test]
    fn a_description_tells_where_a_column_comes_from() {
        let packet = description(["shop", "o", "orders", "n", "number"], Kind::LONG, 0x1021);
        let column = Column::read(&packet).unwrap();
        assert_eq!((&*column.database, &*column.table), ("shop", "o"));
        let origin = (&*column.origin_table, &*column.origin_name);
        assert_eq!((origin, &*column.name), (("orders", "number"), "n"));
        assert_eq!((column.collation, column.length), (45, 80));
        let kind = Kind::LONG;
        let unsigned = true;
        assert_eq!(column.shape(), Shape { kind, unsigned });
        assert!(column.has_origin());
        assert!(!format!("{column:?}").contains("orders"));
        for cut in 0..packet.body.len() {
            let packet = Packet::new(packet.body.slice(..cut));
            assert!(Column::read(&packet).is_err(), "cut at {cut}");
        }
        // A default, or that there is none.
        for behind in [&b"\xfb"[..], b"\x01x", b"\0"] {
            let packet = Packet::new([&packet.body, behind].concat());
            assert!(Column::read(&packet).is_ok());
        }
        let packet = Packet::new([&packet.body[..], b"\x01xy"].concat());
        assert!(Column::read(&packet).is_err());

        let packet = description(["", "", "", "1 + 1", ""], Kind::LONGLONG, 0);
        assert!(!Column::read(&packet).unwrap().has_origin());
    }
}
