//! What servers say.

use std::fmt;

use crate::{
    CancelKey, Error, Fields, Frame, Version,
    cursor::Cursor,
    frontend::{Cells, Format, Formats, Types},
};

/// A server's message, borrowed from its frame.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Backend<'a> {
    /// A step of authentication.
    Authentication(Authentication<'a>),
    /// What whoever wants to cancel has to know.
    KeyData(CancelKey),
    /// A setting has this value.
    ParameterStatus {
        /// Its name.
        name: &'a str,
        /// Its value.
        value: &'a str,
    },
    /// The server speaks less than it was asked for.
    Negotiate {
        /// The newest version it speaks.
        version: Version,
        /// The options that it does not know.
        options: Vec<&'a str>,
    },
    /// The next series of messages may come.
    Ready(Status),
    /// A statement was made.
    ParseComplete,
    /// A portal was made.
    BindComplete,
    /// A statement or portal was forgotten.
    CloseComplete,
    /// The types of a statement's parameters.
    ParameterDescription(Types<'a>),
    /// The columns of what comes.
    RowDescription(Columns<'a>),
    /// There are none.
    NoData,
    /// A row.
    DataRow(Cells<'a>),
    /// A portal has given as many rows as it was asked for.
    PortalSuspended,
    /// A statement has ended.
    CommandComplete {
        /// What it was and how many rows it was about, such as `INSERT 0 3`.
        tag: &'a str,
    },
    /// There was nothing to run.
    EmptyQuery,
    /// Something failed.
    Error(Fields<'a>),
    /// Something is to be known.
    Notice(Fields<'a>),
    /// Somebody notified a channel that the session listens to.
    Notification {
        /// The process of whoever did.
        process: u32,
        /// The channel.
        channel: &'a str,
        /// What was told.
        payload: &'a str,
    },
    /// The client may copy to the server.
    CopyIn(CopyFormat<'a>),
    /// The server copies to the client.
    CopyOut(CopyFormat<'a>),
    /// Both copy, as replication does.
    CopyBoth(CopyFormat<'a>),
    /// A piece of what is copied.
    CopyData(&'a [u8]),
    /// All has been copied.
    CopyDone,
    /// What a function that was called by its number gave; none for NULL.
    FunctionCall(Option<&'a [u8]>),
}

/// A step of authentication.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication<'a> {
    /// It succeeded.
    Ok,
    /// The password is wanted as it is.
    Cleartext,
    /// The password is wanted as a digest of MD5.
    Md5 {
        /// Its salt.
        salt: [u8; 4],
    },
    /// SASL begins.
    Sasl {
        /// The mechanisms that the server offers.
        mechanisms: Vec<&'a str>,
    },
    /// SASL goes on.
    SaslContinue(&'a [u8]),
    /// SASL ends.
    SaslFinal(&'a [u8]),
    /// A way that is not spoken here, such as Kerberos, GSS or SSPI, by its code.
    Other(u32),
}

/// Where a session stands between two series of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// In no transaction.
    Idle,
    /// In a transaction.
    InTransaction,
    /// In a transaction that failed, in which everything is refused until it ends.
    Failed,
}

/// The columns of a result.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Columns<'a> {
    count: usize,
    /// They have been gone through once.
    bytes: &'a [u8],
}

/// A column of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column<'a> {
    /// Its name, which a query can choose.
    pub name: &'a str,
    /// The table it comes from, as `pg_class` has it, or zero if it comes from an expression.
    pub table: u32,
    /// Its number in the table, or zero.
    pub attribute: i16,
    /// Its type, as `pg_type` has it.
    pub kind: u32,
    /// The bytes of its type, below zero for types of any length.
    pub size: i16,
    /// More about its type, such as the length of `varchar(10)`.
    pub modifier: i32,
    /// The format it comes in. What describes a statement says text of all.
    pub format: Format,
}

/// In which formats is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyFormat<'a> {
    /// The format of the whole.
    pub format: Format,
    /// Those of the columns.
    pub columns: Formats<'a>,
}

impl<'a> Backend<'a> {
    /// Reads a server's frame.
    ///
    /// # Errors
    ///
    /// When it is not, to its last byte, what its type says, or of a type that servers do not send.
    pub fn read(frame: &'a Frame) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&frame.body);
        let read = match frame.tag {
            b'R' => Self::Authentication(Authentication::read(&mut cursor)?),
            b'K' => Self::KeyData(CancelKey {
                process: cursor.u32()?,
                secret: frame.body.slice(4..),
            }),
            b'S' => Self::ParameterStatus {
                name: cursor.text()?,
                value: cursor.text()?,
            },
            b'v' => {
                let version = Version::of(cursor.u32()?);
                let count = cursor.u32()?;
                let options = (0..count).map(|_| cursor.text());
                Self::Negotiate {
                    version,
                    options: options.collect::<Result<_, _>>()?,
                }
            }
            b'Z' => Self::Ready(match cursor.byte()? {
                b'I' => Status::Idle,
                b'T' => Status::InTransaction,
                b'E' => Status::Failed,
                _ => return Err(Error::Code),
            }),
            b'1' => Self::ParseComplete,
            b'2' => Self::BindComplete,
            b'3' => Self::CloseComplete,
            b't' => Self::ParameterDescription(Types::read(&mut cursor)?),
            b'T' => Self::RowDescription(Columns::read(&mut cursor)?),
            b'n' => Self::NoData,
            b'D' => Self::DataRow(Cells::read(&mut cursor)?),
            b's' => Self::PortalSuspended,
            b'C' => Self::CommandComplete {
                tag: cursor.text()?,
            },
            b'I' => Self::EmptyQuery,
            b'E' => Self::Error(Fields::read(&mut cursor)?),
            b'N' => Self::Notice(Fields::read(&mut cursor)?),
            b'A' => Self::Notification {
                process: cursor.u32()?,
                channel: cursor.text()?,
                payload: cursor.text()?,
            },
            b'G' => Self::CopyIn(CopyFormat::read(&mut cursor)?),
            b'H' => Self::CopyOut(CopyFormat::read(&mut cursor)?),
            b'W' => Self::CopyBoth(CopyFormat::read(&mut cursor)?),
            b'd' => Self::CopyData(cursor.take(frame.body.len())?),
            b'c' => Self::CopyDone,
            b'V' => Self::FunctionCall(cursor.value()?),
            tag => return Err(Error::Unexpected(tag)),
        };
        match read {
            // Its length is the frame's.
            Self::KeyData(_) => {}
            _ => cursor.end()?,
        }
        Ok(read)
    }
}

impl<'a> Authentication<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let code = cursor.u32()?;
        let mut rest = || cursor.take(cursor.rest().len());
        Ok(match code {
            0 => Self::Ok,
            3 => Self::Cleartext,
            5 => Self::Md5 {
                salt: rest()?.try_into().map_err(|_| Error::Length)?,
            },
            10 => {
                let mut mechanisms = Vec::new();
                loop {
                    match cursor.text()? {
                        "" => break Self::Sasl { mechanisms },
                        name => mechanisms.push(name),
                    }
                }
            }
            11 => Self::SaslContinue(rest()?),
            12 => Self::SaslFinal(rest()?),
            code => {
                rest()?;
                Self::Other(code)
            }
        })
    }
}

impl Status {
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Idle => b'I',
            Self::InTransaction => b'T',
            Self::Failed => b'E',
        }
    }
}

impl<'a> Columns<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        let count = usize::from(cursor.u16()?);
        let bytes = cursor.rest();
        for _ in 0..count {
            Column::read(cursor)?;
        }
        let length = bytes.len() - cursor.rest().len();
        Ok(Self {
            count,
            bytes: &bytes[..length],
        })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count
    }

    /// Whether there are none, as of `SELECT` without anything.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The columns in their order.
    pub fn iter(&self) -> impl Iterator<Item = Column<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.bytes);
        std::iter::from_fn(move || match cursor.is_empty() {
            true => None,
            // They were gone through before.
            false => Column::read(&mut cursor).ok(),
        })
    }
}

impl<'a> Column<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        Ok(Self {
            name: cursor.text()?,
            table: cursor.u32()?,
            attribute: cursor.i16()?,
            kind: cursor.u32()?,
            size: cursor.i16()?,
            modifier: cursor.i32()?,
            format: Format::of(cursor.i16()?)?,
        })
    }
}

impl<'a> CopyFormat<'a> {
    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Error> {
        Ok(Self {
            format: Format::of(cursor.byte()?.into())?,
            columns: Formats::read(cursor)?,
        })
    }
}

/// The kind of message, and nothing of what it holds.
impl fmt::Debug for Backend<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Authentication(step) => return step.fmt(f),
            Self::KeyData(_) => "KeyData",
            Self::ParameterStatus { .. } => "ParameterStatus",
            Self::Negotiate { .. } => "Negotiate",
            Self::Ready(_) => "Ready",
            Self::ParseComplete => "ParseComplete",
            Self::BindComplete => "BindComplete",
            Self::CloseComplete => "CloseComplete",
            Self::ParameterDescription(_) => "ParameterDescription",
            Self::RowDescription(_) => "RowDescription",
            Self::NoData => "NoData",
            Self::DataRow(_) => "DataRow",
            Self::PortalSuspended => "PortalSuspended",
            Self::CommandComplete { .. } => "CommandComplete",
            Self::EmptyQuery => "EmptyQuery",
            Self::Error(_) => "Error",
            Self::Notice(_) => "Notice",
            Self::Notification { .. } => "Notification",
            Self::CopyIn(_) => "CopyIn",
            Self::CopyOut(_) => "CopyOut",
            Self::CopyBoth(_) => "CopyBoth",
            Self::CopyData(_) => "CopyData",
            Self::CopyDone => "CopyDone",
            Self::FunctionCall(_) => "FunctionCall",
        })
    }
}

impl fmt::Debug for Authentication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("Authentication::Ok"),
            Self::Cleartext => f.write_str("Authentication::Cleartext"),
            Self::Md5 { .. } => f.write_str("Authentication::Md5"),
            Self::Sasl { mechanisms } => write!(f, "Authentication::Sasl({mechanisms:?})"),
            Self::SaslContinue(_) => f.write_str("Authentication::SaslContinue"),
            Self::SaslFinal(_) => f.write_str("Authentication::SaslFinal"),
            Self::Other(code) => write!(f, "Authentication::Other({code})"),
        }
    }
}

impl fmt::Debug for Columns<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, body: &'static [u8]) -> Result<String, Error> {
        Backend::read(&Frame::new(tag, body)).map(|read| format!("{read:?}"))
    }

    #[test]
    fn a_description_tells_where_columns_come_from() {
        let one = b"id\0\0\0\x40\x01\0\x02\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0";
        let other = b"?column?\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\x01";
        let body = [&b"\0\x02"[..], one, other].concat();
        let frame = Frame::new(b'T', body.clone());
        let Ok(Backend::RowDescription(columns)) = Backend::read(&frame) else {
            panic!("no columns");
        };
        let columns: Vec<_> = columns.iter().collect();
        assert_eq!(columns.len(), 2);
        assert_eq!((columns[0].table, columns[0].attribute), (16_385, 2));
        assert_eq!((columns[0].kind, columns[0].size), (23, 4));
        assert_eq!((columns[1].name, columns[1].table), ("?column?", 0));
        assert_eq!(columns[1].format, Format::Binary);
        for cut in 0..body.len() {
            let frame = Frame::new(b'T', body[..cut].to_vec());
            assert!(Backend::read(&frame).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn messages_are_told_by_their_types() {
        for (tag, body, told) in [
            (b'R', &b"\0\0\0\0"[..], "Authentication::Ok"),
            (b'R', b"\0\0\0\x03", "Authentication::Cleartext"),
            (b'R', b"\0\0\0\x05abcd", "Authentication::Md5"),
            (
                b'R',
                b"\0\0\0\x0aSCRAM-SHA-256\0\0",
                "Authentication::Sasl([\"SCRAM-SHA-256\"])",
            ),
            (b'R', b"\0\0\0\x0bx", "Authentication::SaslContinue"),
            (b'R', b"\0\0\0\x0cx", "Authentication::SaslFinal"),
            (b'R', b"\0\0\0\x07", "Authentication::Other(7)"),
            (b'K', b"\0\0\0\x01abcd", "KeyData"),
            (b'S', b"server_version\x0018.1\0", "ParameterStatus"),
            (b'v', b"\0\x03\0\x02\0\0\0\x01_pq_.x\0", "Negotiate"),
            (b'Z', b"I", "Ready"),
            (b'1', b"", "ParseComplete"),
            (b't', b"\0\x01\0\0\0\x17", "ParameterDescription"),
            (b'D', b"\0\x02\0\0\0\x01a\xff\xff\xff\xff", "DataRow"),
            (b'C', b"SELECT 1\0", "CommandComplete"),
            (b'E', b"SERROR\0C42501\0Mno\0\0", "Error"),
            (b'A', b"\0\0\0\x01jobs\0secret\0", "Notification"),
            (b'H', b"\0\0\x02\0\0\0\0", "CopyOut"),
            (b'd', b"1\tann\n", "CopyData"),
            (b'V', b"\xff\xff\xff\xff", "FunctionCall"),
        ] {
            assert_eq!(read(tag, body).as_deref(), Ok(told));
        }
        for (tag, body) in [
            (b'Z', &b"X"[..]),
            (b'Z', b""),
            (b'1', b"x"),
            (b'D', b"\0\x02\0\0\0\x01a"),
            (b'v', b"\0\x03\0\x02\xff\xff\xff\xff"),
            (b'H', b"\x02\0\0"),
            (b'R', b"\0\0\0\x05abc"),
            (b'K', b"\0\0"),
            (b'Q', b"SELECT 1\0"),
        ] {
            assert!(read(tag, body).is_err(), "{}", tag.escape_ascii());
        }
    }
}
