//! What clients say.

use std::fmt;

use crate::{Error, Frame, cursor::Cursor};

/// A client's message, borrowed from its frame.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Frontend<'a> {
    /// Run a text, which may be several statements.
    Query {
        /// The text.
        text: &'a str,
    },
    /// Make a statement of a text.
    Parse {
        /// The name it gets; empty for the one without a name.
        statement: &'a str,
        /// The text, one statement.
        text: &'a str,
        /// The types of its first parameters, as far as the client says; zero for one that it
        /// leaves open.
        types: Types<'a>,
    },
    /// Make a portal of a statement and its parameters.
    Bind(Bind<'a>),
    /// Ask what a statement or portal takes and gives.
    Describe(Target<'a>),
    /// Run a portal.
    Execute {
        /// Its name.
        portal: &'a str,
        /// The most rows to give, or zero for all.
        rows: i32,
    },
    /// Forget a statement or portal.
    Close(Target<'a>),
    /// Answer what there is to answer.
    Flush,
    /// The end of a series of messages: errors are left behind here.
    Sync,
    /// Call a function by its number.
    FunctionCall(Call<'a>),
    /// A piece of what is copied to the server.
    CopyData(&'a [u8]),
    /// All has been copied.
    CopyDone,
    /// The copying fails on the client's side, who says why.
    CopyFail {
        /// The client's reason.
        reason: &'a str,
    },
    /// A password, or a step of SASL or GSS: what it is depends on what was asked for.
    Secret(&'a [u8]),
    /// The session ends.
    Terminate,
}

/// A statement or a portal, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// A statement.
    Statement(&'a str),
    /// A portal.
    Portal(&'a str),
}

/// How a value is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// As text.
    #[default]
    Text,
    /// As the type's own bytes.
    Binary,
}

/// The formats of some values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formats<'a>(&'a [u8]);

/// The numbers of types, as PostgreSQL's table `pg_type` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Types<'a>(&'a [u8]);

/// The values of a row, or of parameters.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cells<'a> {
    count: usize,
    /// Lengths and values; they have been gone through once.
    bytes: &'a [u8],
}

/// A portal to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bind<'a> {
    /// The portal's name.
    pub portal: &'a str,
    /// The statement's. It comes second on the wire.
    pub statement: &'a str,
    /// The formats of the parameters.
    pub formats: Formats<'a>,
    /// The parameters.
    pub parameters: Cells<'a>,
    /// The formats that the columns of the result are wanted in.
    pub results: Formats<'a>,
}

/// A function to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// Its number, as `pg_proc` has it.
    pub function: u32,
    /// The formats of the arguments.
    pub formats: Formats<'a>,
    /// The arguments.
    pub arguments: Cells<'a>,
    /// The format that the result is wanted in.
    pub result: Format,
}

impl<'a> Frontend<'a> {
    /// Reads a client's frame.
    ///
    /// # Errors
    ///
    /// When it is not, to its last byte, what its type says, or of a type that clients do not send.
    pub fn read(frame: &'a Frame) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&frame.body);
        let read = match frame.tag {
            b'Q' => Self::Query {
                text: cursor.text()?,
            },
            b'P' => Self::Parse {
                statement: cursor.text()?,
                text: cursor.text()?,
                types: Types(cursor.many(4)?),
            },
            b'B' => Self::Bind(Bind {
                portal: cursor.text()?,
                statement: cursor.text()?,
                formats: Formats::read(&mut cursor)?,
                parameters: Cells::read(&mut cursor)?,
                results: Formats::read(&mut cursor)?,
            }),
            b'D' => Self::Describe(Target::read(&mut cursor)?),
            b'E' => Self::Execute {
                portal: cursor.text()?,
                rows: cursor.i32()?,
            },
            b'C' => Self::Close(Target::read(&mut cursor)?),
            b'H' => Self::Flush,
            b'S' => Self::Sync,
            b'F' => Self::FunctionCall(Call {
                function: cursor.u32()?,
                formats: Formats::read(&mut cursor)?,
                arguments: Cells::read(&mut cursor)?,
                result: Format::of(cursor.i16()?)?,
            }),
            b'd' => Self::CopyData(cursor.take(frame.body.len())?),
            b'c' => Self::CopyDone,
            b'f' => Self::CopyFail {
                reason: cursor.text()?,
            },
            b'p' => Self::Secret(cursor.take(frame.body.len())?),
            b'X' => Self::Terminate,
            tag => return Err(Error::Unexpected(tag)),
        };
        cursor.end()?;
        Ok(read)
    }
}

impl<'a> Target<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        match cursor.byte()? {
            b'S' => cursor.text().map(Self::Statement),
            b'P' => cursor.text().map(Self::Portal),
            _ => Err(Error::Code),
        }
    }
}

impl Format {
    pub(crate) const fn of(code: i16) -> Result<Self, Error> {
        match code {
            0 => Ok(Self::Text),
            1 => Ok(Self::Binary),
            _ => Err(Error::Code),
        }
    }
}

impl<'a> Formats<'a> {
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let codes = cursor.many(2)?;
        let known = |code: &[u8]| matches!(code, [0, 0 | 1]);
        match codes.chunks(2).all(known) {
            true => Ok(Self(codes)),
            false => Err(Error::Code),
        }
    }

    /// The format of the value at `index`: that of its own, or the one that is for all, or text if
    /// nothing is said. None if there are more values than formats.
    pub fn of(&self, index: usize) -> Option<Format> {
        let code = match self.0 {
            [] => return Some(Format::Text),
            [_, code] => *code,
            codes => *codes.get(2 * index + 1)?,
        };
        Format::of(code.into()).ok()
    }

    /// How many formats are said.
    pub const fn len(&self) -> usize {
        self.0.len() / 2
    }

    /// Whether none is.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Types<'_> {
    pub(crate) fn read<'a>(cursor: &mut Cursor<'a>) -> Result<Types<'a>, Error> {
        cursor.many(4).map(Types)
    }

    /// The numbers in their order.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        let (types, _) = self.0.as_chunks();
        types.iter().map(|number| u32::from_be_bytes(*number))
    }
}

impl<'a> Cells<'a> {
    /// Reads a count and as many values, each of which must be there.
    pub(crate) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let count = usize::from(cursor.u16()?);
        let bytes = cursor.rest();
        for _ in 0..count {
            cursor.value()?;
        }
        let length = bytes.len() - cursor.rest().len();
        Ok(Self {
            count,
            bytes: &bytes[..length],
        })
    }

    /// How many values there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The values in their order; none stands for NULL.
    pub fn iter(&self) -> impl Iterator<Item = Option<&'a [u8]>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || match cursor.is_empty() {
            true => None,
            // They were gone through before.
            false => cursor.value().ok(),
        })
    }
}

/// The kind of message, and nothing of what it holds.
impl fmt::Debug for Frontend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query { .. } => "Query",
            Self::Parse { .. } => "Parse",
            Self::Bind(_) => "Bind",
            Self::Describe(_) => "Describe",
            Self::Execute { .. } => "Execute",
            Self::Close(_) => "Close",
            Self::Flush => "Flush",
            Self::Sync => "Sync",
            Self::FunctionCall(_) => "FunctionCall",
            Self::CopyData(_) => "CopyData",
            Self::CopyDone => "CopyDone",
            Self::CopyFail { .. } => "CopyFail",
            Self::Secret(_) => "Secret",
            Self::Terminate => "Terminate",
        })
    }
}

impl fmt::Debug for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells")
            .field("count", &self.count)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, body: &'static [u8]) -> Result<(), Error> {
        Frontend::read(&Frame::new(tag, body)).map(|_| ())
    }

    #[test]
    fn a_bind_names_the_portal_first() {
        let body = b"p\0s\0\0\x01\0\x01\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0\0\x02\0\0\0\x01";
        let frame = Frame::new(b'B', &body[..]);
        let Ok(Frontend::Bind(bind)) = Frontend::read(&frame) else {
            panic!("no bind");
        };
        assert_eq!((bind.portal, bind.statement), ("p", "s"));
        let cells: Vec<_> = bind.parameters.iter().collect();
        assert_eq!(cells, [Some(&b"a"[..]), None, Some(&b""[..])]);
        assert_eq!(bind.parameters.len(), 3);
        let formats = |formats: Formats<'_>| [0, 1, 2].map(|index| formats.of(index));
        assert_eq!(formats(bind.formats), [Some(Format::Binary); 3]);
        let results = [Some(Format::Text), Some(Format::Binary), None];
        assert_eq!(formats(bind.results), results);
        assert!(!format!("{bind:?}").contains("61"), "{bind:?}");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (tag, body, error) in [
            (b'Q', &b"SELECT 1"[..], Error::Text),
            (b'Q', b"SELECT\0 1\0", Error::Length),
            (b'Q', b"\xff\0", Error::Text),
            (b'P', b"\0x\0\xff\xff", Error::Length),
            (b'P', b"\0x\0\0\x01\0\0", Error::Length),
            (b'B', b"\0\0\0\x01\0\x02\0\0\0\0", Error::Code),
            (b'B', b"\0\0\0\0\0\x01\0\0\0\x02a\0\0", Error::Length),
            (b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe\0\0", Error::Length),
            (b'D', b"Xx\0", Error::Code),
            (b'E', b"\0\0\0", Error::Length),
            (b'S', b"x", Error::Length),
            (b'T', b"", Error::Unexpected(b'T')),
            (0, b"", Error::Unexpected(0)),
        ] {
            assert_eq!(read(tag, body), Err(error), "{}", tag.escape_ascii());
        }
    }

    #[test]
    fn the_rest_is_read_as_it_is_written() {
        let is = |tag: u8, body: &'static [u8], told: &str| {
            let frame = Frame::new(tag, body);
            assert_eq!(format!("{:?}", Frontend::read(&frame).unwrap()), told);
        };
        is(b'P', b"q\0SELECT $1\0\0\x01\0\0\0\x19", "Parse");
        is(b'E', b"\0\0\0\0\x05", "Execute");
        is(b'C', b"Pq\0", "Close");
        is(
            b'F',
            b"\0\0\0\x07\0\0\0\x01\0\0\0\x01a\0\x01",
            "FunctionCall",
        );
        is(b'd', b"any\0thing", "CopyData");
        is(b'f', b"no\0", "CopyFail");
        is(b'p', b"hunter2\0", "Secret");
        for (tag, told) in [
            (b'H', "Flush"),
            (b'S', "Sync"),
            (b'c', "CopyDone"),
            (b'X', "Terminate"),
        ] {
            is(tag, b"", told);
        }
        let frame = Frame::new(b'P', &b"\0x\0\0\x02\0\0\0\x19\0\0\0\0"[..]);
        let Ok(Frontend::Parse { types, .. }) = Frontend::read(&frame) else {
            panic!("no parse");
        };
        assert_eq!(types.iter().collect::<Vec<_>>(), [25, 0]);
    }
}
