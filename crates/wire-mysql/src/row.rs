//! Rows, in both formats, and rows with other values.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Error, Shape,
    column::{Form, Kind},
    cursor::{Cursor, NULL, put_counted},
};

/// How the values of a row are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As text, of whatever type: what a query gives.
    #[default]
    Text,
    /// As the type's own bytes: what a prepared statement gives.
    Binary,
}

/// A row as it came, whose cells are read when somebody asks.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Row<'a> {
    /// How its values are written.
    pub format: Format,
    body: &'a [u8],
}

/// The cells of a row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cells<'a> {
    format: Format,
    shapes: &'a [Shape],
    nulls: &'a [u8],
    /// They have been gone through once.
    values: &'a [u8],
}

/// Writes a row cell by cell.
#[derive(Debug)]
pub struct RowWriter<'a> {
    format: Format,
    shapes: &'a [Shape],
    cells: usize,
    body: BytesMut,
}

impl<'a> Row<'a> {
    pub(crate) fn new(format: Format, body: &'a [u8]) -> Result<Self, Error> {
        match (format, body.first()) {
            (Format::Text, _) | (Format::Binary, Some(0)) => Ok(Self { format, body }),
            (Format::Binary, Some(other)) => Err(Error::Unexpected(*other)),
            (Format::Binary, None) => Err(Error::Length),
        }
    }

    /// Its cells, by the types of the columns.
    ///
    /// # Errors
    ///
    /// When it is not, to its last byte, as many cells of these types.
    pub fn cells(self, shapes: &'a [Shape]) -> Result<Cells<'a>, Error> {
        let mut cursor = Cursor::new(self.body);
        let nulls: &[u8] = match self.format {
            Format::Text => b"",
            Format::Binary => {
                cursor.byte()?;
                cursor.take((shapes.len() + RESERVED).div_ceil(8))?
            }
        };
        let cells = Cells {
            format: self.format,
            shapes,
            nulls,
            values: cursor.rest(),
        };
        for index in 0..shapes.len() {
            cells.cell(index, &mut cursor)?;
        }
        cursor.end()?;
        Ok(cells)
    }
}

impl<'a> Cells<'a> {
    /// How many there are.
    pub const fn len(&self) -> usize {
        self.shapes.len()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.shapes.is_empty()
    }

    /// The bytes of the cells in their order; none stands for NULL. In the binary format they are
    /// without what counts them.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let (cells, mut cursor) = (*self, Cursor::new(self.values));
        // They were gone through before.
        (0..self.shapes.len()).map_while(move |index| cells.cell(index, &mut cursor).ok())
    }

    fn cell(&self, index: usize, cursor: &mut Cursor<'a>) -> Result<Option<&'a [u8]>, Error> {
        match (self.format, self.shapes.get(index)) {
            (_, None) => Err(Error::Length),
            (Format::Text, Some(_)) => cursor.cell(),
            (Format::Binary, Some(_)) if bit(self.nulls, index + RESERVED) => Ok(None),
            (Format::Binary, Some(shape)) => value(cursor, shape.kind).map(Some),
        }
    }
}

impl<'a> RowWriter<'a> {
    /// A row without cells yet, for columns of these types.
    pub fn new(format: Format, shapes: &'a [Shape]) -> Self {
        let mut body = BytesMut::new();
        if format == Format::Binary {
            body.put_bytes(0, 1 + (shapes.len() + RESERVED).div_ceil(8));
        }
        Self {
            format,
            shapes,
            cells: 0,
            body,
        }
    }

    /// Appends a cell, as [`Cells::iter`] gives it; none stands for NULL.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] for more cells than there are columns, and in the binary format for a
    /// value that is not as long as those of its type: in the place of a number stands a number,
    /// or NULL. See [`Kind::takes_text`].
    pub fn cell(&mut self, value: Option<&[u8]>) -> Result<(), Error> {
        let shape = self.shapes.get(self.cells).ok_or(Error::Length)?;
        match (self.format, value) {
            (Format::Text, None) => self.body.put_u8(NULL),
            (Format::Text, Some(value)) => put_counted(&mut self.body, value),
            (Format::Binary, None) => {
                let place = self.cells + RESERVED;
                if let Some(byte) = self.body.get_mut(1 + place / 8) {
                    *byte |= 1 << (place % 8);
                }
            }
            (Format::Binary, Some(value)) => match shape.kind.form()? {
                Form::Fixed(length) if value.len() == length => self.body.extend_from_slice(value),
                Form::Moment if moment(shape.kind, value.len()) => {
                    put_counted(&mut self.body, value);
                }
                Form::Counted => put_counted(&mut self.body, value),
                Form::Fixed(_) | Form::Moment => return Err(Error::Length),
            },
        }
        self.cells += 1;
        Ok(())
    }

    /// The row as a payload.
    ///
    /// # Errors
    ///
    /// [`Error::Length`] if it has fewer cells than there are columns.
    pub fn finish(self) -> Result<Bytes, Error> {
        match self.cells == self.shapes.len() {
            true => Ok(self.body.freeze()),
            false => Err(Error::Length),
        }
    }
}

/// The bytes of a value in the binary format.
pub(crate) fn value<'a>(cursor: &mut Cursor<'a>, kind: Kind) -> Result<&'a [u8], Error> {
    match kind.form()? {
        Form::Fixed(length) => cursor.take(length),
        Form::Counted => cursor.counted(),
        Form::Moment => {
            let length = usize::from(cursor.byte()?);
            match moment(kind, length) {
                true => cursor.take(length),
                false => Err(Error::Length),
            }
        }
    }
}

/// Whether the bit of this number is set.
pub(crate) fn bit(bits: &[u8], number: usize) -> bool {
    let byte = bits.get(number / 8).copied().unwrap_or_default();
    byte & (1 << (number % 8)) != 0
}

/// Whether a date or time can be so long: what is zero at its end is left out.
const fn moment(kind: Kind, length: usize) -> bool {
    match kind {
        Kind::TIME => matches!(length, 0 | 8 | 12),
        _ => matches!(length, 0 | 4 | 7 | 11),
    }
}

impl fmt::Debug for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Row")
            .field("format", &self.format)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("count", &self.len())
            .field("bytes", &self.values.len())
            .finish_non_exhaustive()
    }
}

/// The first bits of a binary row's NULLs stand for nothing.
const RESERVED: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn shapes(kinds: &[Kind]) -> Vec<Shape> {
        let unsigned = false;
        let shape = |kind: &Kind| Shape {
            kind: *kind,
            unsigned,
        };
        kinds.iter().map(shape).collect()
    }

    fn written(format: Format, shapes: &[Shape], cells: &[Option<&[u8]>]) -> Result<Bytes, Error> {
        let mut row = RowWriter::new(format, shapes);
        for cell in cells {
            row.cell(*cell)?;
        }
        row.finish()
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let kinds = [
            Kind::LONG,
            Kind::VAR_STRING,
            Kind::DATE,
            Kind::TIME,
            Kind::NEWDECIMAL,
            Kind::TINY,
            Kind::NULL,
            Kind::BLOB,
        ];
        let shapes = shapes(&kinds);
        let long = vec![b'x'; 300];
        let cells = [
            Some(&b"\x01\0\0\0"[..]),
            Some(b""),
            Some(b"\xe9\x07\x0b\x16"),
            Some(b""),
            Some(b"-1.50"),
            None,
            None,
            Some(&long),
        ];
        for format in [Format::Text, Format::Binary] {
            let body = written(format, &shapes, &cells).unwrap();
            let read = Row::new(format, &body).unwrap().cells(&shapes).unwrap();
            assert_eq!(read.iter().collect::<Vec<_>>(), cells);
            assert_eq!(read.len(), cells.len());
            assert!(!format!("{read:?}").contains("120"));
            for cut in 1..body.len() {
                let row = Row::new(format, &body[..cut]).unwrap();
                assert_eq!(row.cells(&shapes), Err(Error::Length), "cut at {cut}");
            }
            let more = [&body[..], b"\0"].concat();
            let row = Row::new(format, &more).unwrap();
            assert_eq!(row.cells(&shapes), Err(Error::Length));
        }
    }

    #[test]
    fn no_value_stands_where_one_of_another_length_does() {
        for (kind, value) in [
            (Kind::LONG, &b"\x01"[..]),
            (Kind::NULL, b"x"),
            (Kind::DATE, b"\xe9\x07\x0b"),
            (Kind::TIME, b"\xe9\x07\x0b\x16"),
            (Kind::DATETIME, b"2025-11-22"),
        ] {
            let shapes = shapes(&[kind]);
            let row = written(Format::Binary, &shapes, &[Some(value)]);
            assert_eq!(row, Err(Error::Length), "{kind:?}");
        }
        let two = shapes(&[Kind::BLOB, Kind::BLOB]);
        let one = shapes(&[Kind::BLOB]);
        for format in [Format::Text, Format::Binary] {
            assert_eq!(written(format, &two, &[None]), Err(Error::Length));
            assert_eq!(written(format, &one, &[None; 2]), Err(Error::Length));
        }
    }

    #[test]
    fn a_type_that_is_not_known_has_no_end() {
        let shapes = shapes(&[Kind(99)]);
        let row = Row::new(Format::Binary, b"\0\0x").unwrap();
        assert_eq!(row.cells(&shapes), Err(Error::Code));
        assert_eq!(Row::new(Format::Binary, b"\x01"), Err(Error::Unexpected(1)));
        assert_eq!(Row::new(Format::Binary, b""), Err(Error::Length));
        // As text it can be read all the same.
        let row = Row::new(Format::Text, b"\x01x").unwrap();
        let cells = row.cells(&shapes).unwrap();
        assert_eq!(cells.iter().collect::<Vec<_>>(), [Some(&b"x"[..])]);
    }
}
