//! Executions of prepared statements and their parameters.

use std::fmt;

use crate::{
    Error, Shape,
    column::Kind,
    cursor::Cursor,
    row::{bit, value},
};

/// A statement to be run ("COM_STMT_EXECUTE").
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Execute<'a> {
    /// The statement, or [`Self::LAST`].
    pub statement: u32,
    /// Whether rows are to be fetched: a server may open a cursor then.
    pub cursor: bool,
    rest: &'a [u8],
}

/// The parameters of an execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters<'a> {
    /// Their types, which hold for later executions that tell none.
    pub shapes: Vec<Shape>,
    /// Their values, in the binary format.
    pub values: Vec<Parameter<'a>>,
}

/// The value of a parameter.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Parameter<'a> {
    /// NULL.
    Null,
    /// What was sent before, in pieces.
    Long,
    /// The value's bytes.
    Value(&'a [u8]),
}

impl<'a> Execute<'a> {
    /// What MariaDB's clients call the statement that was prepared last, whose number they do not
    /// wait for.
    pub const LAST: u32 = u32::MAX;

    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let statement = cursor.u32()?;
        let flags = cursor.byte()?;
        // Another flag says that the count of the parameters stands before them: not offered.
        if flags & !CURSORS != 0 {
            return Err(Error::Code);
        }
        let _iterations = cursor.u32()?;
        Ok(Self {
            statement,
            cursor: flags != 0,
            rest: cursor.take_rest(),
        })
    }

    /// Reads the parameters of a statement that has `count` of them. `known` are the types that an
    /// earlier execution told, `is_long` tells of which ones pieces were sent.
    ///
    /// # Errors
    ///
    /// When what is there is not as many parameters, to its last byte; [`Error::Code`] for types
    /// that are not known, or not told.
    pub fn parameters(
        &self,
        count: u16,
        known: &[Shape],
        is_long: impl Fn(u16) -> bool,
    ) -> Result<Parameters<'a>, Error> {
        let mut cursor = Cursor::new(self.rest);
        if count == 0 {
            cursor.end()?;
            return Ok(Parameters {
                shapes: Vec::new(),
                values: Vec::new(),
            });
        }
        let nulls = cursor.take(usize::from(count).div_ceil(8))?;
        let shapes = match cursor.byte()? {
            0 if known.len() == usize::from(count) => known.to_vec(),
            1 => {
                let (pairs, _) = cursor.take(2 * usize::from(count))?.as_chunks();
                pairs.iter().map(shape).collect::<Result<_, _>>()?
            }
            _ => return Err(Error::Code),
        };
        let mut values = Vec::with_capacity(shapes.len());
        for (index, shape) in (0..count).zip(&shapes) {
            values.push(match () {
                () if is_long(index) => Parameter::Long,
                () if bit(nulls, index.into()) => Parameter::Null,
                () => Parameter::Value(value(&mut cursor, shape.kind)?),
            });
        }
        cursor.end()?;
        Ok(Parameters { shapes, values })
    }
}

fn shape([kind, flag]: &[u8; 2]) -> Result<Shape, Error> {
    match *flag {
        0 | UNSIGNED => Ok(Shape {
            kind: Kind(*kind),
            unsigned: *flag == UNSIGNED,
        }),
        _ => Err(Error::Code),
    }
}

impl fmt::Debug for Execute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execute")
            .field("statement", &self.statement)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Parameter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "Null",
            Self::Long => "Long",
            Self::Value(_) => "Value",
        })
    }
}

/// A cursor for reading, for updating, or a scrollable one.
const CURSORS: u8 = 7;
const UNSIGNED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Command, Packet};

    type Read = (Vec<Shape>, Vec<Option<Vec<u8>>>);

    fn parameters(
        rest: &[u8],
        count: u16,
        known: &[Shape],
        long: Option<u16>,
    ) -> Result<Read, Error> {
        let body = [b"\x17\x09\0\0\0\x01\x01\0\0\0", rest].concat();
        let packet = Packet::new(body);
        let Ok(Command::Execute(execute)) = Command::read(&packet) else {
            panic!("no execution");
        };
        assert_eq!((execute.statement, execute.cursor), (9, true));
        let read = execute.parameters(count, known, |index| Some(index) == long)?;
        assert!(!format!("{read:?}").contains("97"), "{read:?}");
        let values = read.values.iter().map(|value| match value {
            Parameter::Null => None,
            Parameter::Long => Some(b"long".to_vec()),
            Parameter::Value(value) => Some(value.to_vec()),
        });
        Ok((read.shapes, values.collect()))
    }

    #[test]
    fn parameters_are_read_by_their_types() {
        // A number without a sign, a text, NULL, a date.
        let types = b"\x08\x80\xfd\0\x06\0\x0a\0";
        let values = b"\x07\0\0\0\0\0\0\0\x02aa\x04\xe9\x07\x0b\x16";
        let rest = [b"\x04\x01", &types[..], values].concat();
        let (shapes, read) = parameters(&rest, 4, &[], None).unwrap();
        assert_eq!((shapes[0].kind, shapes[0].unsigned), (Kind::LONGLONG, true));
        let seven = 7u64.to_le_bytes();
        let date = b"\xe9\x07\x0b\x16";
        let told = [Some(&seven[..]), Some(b"aa"), None, Some(date)];
        let told = told.map(|value| value.map(<[u8]>::to_vec));
        assert_eq!(read, told);

        // The next execution tells no types, and its text came in pieces.
        let later = b"\x01\0\x04\xe9\x07\x0b\x16";
        let (_, read) = parameters(later, 4, &shapes, Some(1)).unwrap();
        let told = [None, Some(&b"long"[..]), Some(b""), Some(date)];
        let told = told.map(|value| value.map(<[u8]>::to_vec));
        assert_eq!(read, told);
        for cut in 0..rest.len() {
            assert!(parameters(&rest[..cut], 4, &[], None).is_err(), "{cut}");
        }
        let more = [&rest[..], b"\0"].concat();
        assert_eq!(parameters(&more, 4, &[], None), Err(Error::Length));
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(parameters(b"", 0, &[], None).is_ok());
        for (rest, count, error) in [
            (&b"\0"[..], 0, Error::Length),
            (b"\0\0", 1, Error::Code),   // no types, and none known
            (b"\0\x02", 1, Error::Code), // neither told nor not
            (b"\0\x01\x20\0\x01", 1, Error::Code), // a type that nobody knows
            (b"\0\x01\x03\x01\0\0\0\0", 1, Error::Code), // nor this flag
            (b"\0\x01\xfd\0\xfb", 1, Error::Code), // NULL where a length stands
            (b"\0\x01\x0a\0\x05\0\0\0\0\0", 1, Error::Length),
        ] {
            let read = parameters(rest, count, &[], None);
            assert_eq!(read, Err(error), "{}", rest.escape_ascii());
        }
        // The count stands before the parameters where query attributes were agreed on.
        let packet = Packet::new(&b"\x17\x09\0\0\0\x08\x01\0\0\0\0"[..]);
        assert_eq!(Command::read(&packet), Err(Error::Code));
    }
}
