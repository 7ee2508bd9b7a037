//! What clients ask.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Execute, Packet, cursor::Cursor};

/// A client's command, borrowed from its packet.
///
/// Texts of SQL are bytes: in the literals of a text in UTF-8 there may be any, where a driver puts
/// binary values into it. No ASCII byte is ever part of a longer character there.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command<'a> {
    /// Run a text, which may be several statements.
    Query {
        /// The text.
        text: &'a [u8],
    },
    /// Use a database from here on.
    UseDatabase {
        /// Its name.
        name: &'a str,
    },
    /// Tell of the columns of a table.
    FieldList {
        /// The table's name.
        table: &'a str,
        /// Which columns, as `LIKE` has it.
        pattern: &'a str,
    },
    /// Make a statement of a text.
    Prepare {
        /// The text, one statement.
        text: &'a [u8],
    },
    /// Run a statement.
    Execute(Execute<'a>),
    /// A piece of a parameter, for the next execution. Nothing is answered.
    LongData {
        /// The statement.
        statement: u32,
        /// The parameter, from zero.
        parameter: u16,
        /// The piece.
        data: &'a [u8],
    },
    /// Give some rows of what an execution opened a cursor on.
    Fetch {
        /// The statement.
        statement: u32,
        /// How many rows at most.
        rows: u32,
    },
    /// Forget what a statement was sent and close its cursor.
    Reset {
        /// The statement.
        statement: u32,
    },
    /// Forget a statement. Nothing is answered.
    Close {
        /// The statement.
        statement: u32,
    },
    /// Run a statement for several sets of parameters, as MariaDB has it. It is not offered.
    BulkExecute {
        /// The statement.
        statement: u32,
    },
    /// Whether a query may be several statements from here on.
    SetMultiStatements(bool),
    /// Begin as if just signed in.
    ResetConnection,
    /// Sign in again as another. Whether anybody may is for a gate to say; what proves it is not
    /// read here.
    ChangeUser,
    /// End a session.
    Kill {
        /// The number of its connection.
        connection: u32,
    },
    /// Tell what the sessions do.
    Processes,
    /// Tell how the server is.
    Statistics,
    /// Is the server there?
    Ping,
    /// The session ends. Nothing is answered.
    Quit,
    /// A command of replication, by its code: to read the log of a server, or to be a replica.
    Replication(u8),
    /// A command that is for whoever runs the server, by its code: to shut it down, to make or drop
    /// a database without a statement, to clone it.
    Administration(u8),
}

impl<'a> Command<'a> {
    /// Reads a client's command.
    ///
    /// # Errors
    ///
    /// When it is not, to its last byte, what its type says, or of a type that clients do not send;
    /// [`Error::Sequence`] when it does not begin a count, as each command does.
    pub fn read(packet: &'a Packet) -> Result<Self, Error> {
        if packet.sequence != 0 {
            return Err(Error::Sequence {
                got: packet.sequence,
                expected: 0,
            });
        }
        let mut cursor = Cursor::new(&packet.body);
        let read = match cursor.byte()? {
            QUIT => Self::Quit,
            USE_DATABASE => Self::UseDatabase {
                name: crate::cursor::utf8(cursor.take_rest())?,
            },
            QUERY => Self::Query {
                text: cursor.take_rest(),
            },
            0x04 => Self::FieldList {
                table: cursor.text()?,
                pattern: crate::cursor::utf8(cursor.take_rest())?,
            },
            0x09 => Self::Statistics,
            0x0a => Self::Processes,
            KILL => Self::Kill {
                connection: cursor.u32()?,
            },
            PING => Self::Ping,
            0x11 => {
                cursor.take_rest();
                Self::ChangeUser
            }
            PREPARE => Self::Prepare {
                text: cursor.take_rest(),
            },
            0x17 => Self::Execute(Execute::read(&mut cursor)?),
            0x18 => Self::LongData {
                statement: cursor.u32()?,
                parameter: cursor.u16()?,
                data: cursor.take_rest(),
            },
            CLOSE => Self::Close {
                statement: cursor.u32()?,
            },
            0x1a => Self::Reset {
                statement: cursor.u32()?,
            },
            0x1b => Self::SetMultiStatements(match cursor.u16()? {
                0 => true,
                1 => false,
                _ => return Err(Error::Code),
            }),
            0x1c => Self::Fetch {
                statement: cursor.u32()?,
                rows: cursor.u32()?,
            },
            RESET_CONNECTION => Self::ResetConnection,
            0xfa => {
                let statement = cursor.u32()?;
                cursor.take_rest();
                Self::BulkExecute { statement }
            }
            // COM_BINLOG_DUMP, COM_TABLE_DUMP, COM_REGISTER_SLAVE, COM_BINLOG_DUMP_GTID,
            // COM_SUBSCRIBE_GROUP_REPLICATION_STREAM
            code @ (0x12 | 0x13 | 0x15 | 0x1e | 0x21) => {
                cursor.take_rest();
                Self::Replication(code)
            }
            // COM_CREATE_DB, COM_DROP_DB, COM_REFRESH, COM_SHUTDOWN, COM_DEBUG, COM_CLONE
            code @ (0x05..=0x08 | 0x0d | 0x20) => {
                cursor.take_rest();
                Self::Administration(code)
            }
            code => return Err(Error::Unexpected(code)),
        };
        cursor.end()?;
        Ok(read)
    }
}

/// A text to be run.
pub fn query(text: &[u8]) -> Bytes {
    with(QUERY, text)
}

/// A statement to be made of a text.
pub fn prepare(text: &[u8]) -> Bytes {
    with(PREPARE, text)
}

/// A database to be used from here on.
pub fn use_database(name: &str) -> Bytes {
    with(USE_DATABASE, name.as_bytes())
}

/// A statement to be forgotten.
pub fn close(statement: u32) -> Bytes {
    with(CLOSE, &statement.to_le_bytes())
}

/// A session to be ended, by the number of its connection at the server.
pub fn kill(connection: u32) -> Bytes {
    with(KILL, &connection.to_le_bytes())
}

/// Asks whether the server is there.
pub fn ping() -> Bytes {
    with(PING, b"")
}

/// Asks for a session as if just signed in.
pub fn reset_connection() -> Bytes {
    with(RESET_CONNECTION, b"")
}

/// The end of a session.
pub fn quit() -> Bytes {
    with(QUIT, b"")
}

fn with(code: u8, rest: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + rest.len());
    out.put_u8(code);
    out.extend_from_slice(rest);
    out.freeze()
}

/// The kind of command, and nothing of what it holds.
impl fmt::Debug for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Query { .. } => "Query",
            Self::UseDatabase { .. } => "UseDatabase",
            Self::FieldList { .. } => "FieldList",
            Self::Prepare { .. } => "Prepare",
            Self::Execute(execute) => return execute.fmt(f),
            Self::LongData { .. } => "LongData",
            Self::Fetch { .. } => "Fetch",
            Self::Reset { .. } => "Reset",
            Self::Close { .. } => "Close",
            Self::BulkExecute { .. } => "BulkExecute",
            Self::SetMultiStatements(_) => "SetMultiStatements",
            Self::ResetConnection => "ResetConnection",
            Self::ChangeUser => "ChangeUser",
            Self::Kill { .. } => "Kill",
            Self::Processes => "Processes",
            Self::Statistics => "Statistics",
            Self::Ping => "Ping",
            Self::Quit => "Quit",
            Self::Replication(code) => return write!(f, "Replication({code:#04x})"),
            Self::Administration(code) => return write!(f, "Administration({code:#04x})"),
        })
    }
}

const QUIT: u8 = 0x01;
const USE_DATABASE: u8 = 0x02;
const QUERY: u8 = 0x03;
const KILL: u8 = 0x0c;
const PING: u8 = 0x0e;
const PREPARE: u8 = 0x16;
const CLOSE: u8 = 0x19;
const RESET_CONNECTION: u8 = 0x1f;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: impl Into<Bytes>) -> Result<String, Error> {
        Command::read(&Packet::new(body)).map(|read| format!("{read:?}"))
    }

    #[test]
    fn commands_are_told_by_their_first_byte() {
        for (body, told) in [
            (&b"\x01"[..], "Quit"),
            (b"\x02orders", "UseDatabase"),
            (b"\x03SELECT 1", "Query"),
            (b"\x04orders\0%", "FieldList"),
            (b"\x09", "Statistics"),
            (b"\x0a", "Processes"),
            (b"\x0c\x07\0\0\0", "Kill"),
            (b"\x0e", "Ping"),
            (b"\x11ann\0\x14", "ChangeUser"),
            (b"\x16SELECT ?", "Prepare"),
            (
                b"\x17\x01\0\0\0\0\x01\0\0\0",
                "Execute { statement: 1, .. }",
            ),
            (b"\x18\x01\0\0\0\x02\0data", "LongData"),
            (b"\x19\x01\0\0\0", "Close"),
            (b"\x1a\x01\0\0\0", "Reset"),
            (b"\x1b\0\0", "SetMultiStatements"),
            (b"\x1c\x01\0\0\0\x0a\0\0\0", "Fetch"),
            (b"\x1f", "ResetConnection"),
            (b"\xfa\x01\0\0\0\x80\0", "BulkExecute"),
            (b"\x12\x04\0\0\0", "Replication(0x12)"),
            (b"\x15", "Replication(0x15)"),
            (b"\x1e", "Replication(0x1e)"),
            (b"\x08\0", "Administration(0x08)"),
            (b"\x06orders", "Administration(0x06)"),
        ] {
            assert_eq!(read(body).as_deref(), Ok(told));
        }
        for (body, told) in [
            (query(b"SELECT \xff"), "Query"),
            (prepare(b"SELECT ?"), "Prepare"),
            (use_database("orders"), "UseDatabase"),
            (close(9), "Close"),
            (kill(9), "Kill"),
            (ping(), "Ping"),
            (reset_connection(), "ResetConnection"),
            (quit(), "Quit"),
        ] {
            assert_eq!(read(body).as_deref(), Ok(told));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (body, error) in [
            (&b""[..], Error::Length),
            (b"\x01x", Error::Length),
            (b"\x02\xff", Error::Text),
            (b"\x04orders", Error::Text),
            (b"\x0c\x07\0\0", Error::Length),
            (b"\x18\x01\0\0\0\x02", Error::Length),
            (b"\x19\x01\0\0\0\0", Error::Length),
            (b"\x1b\x02\0", Error::Code),
            (b"\0", Error::Unexpected(0)),
            (b"\x0b", Error::Unexpected(0x0b)),
            (b"\x1d", Error::Unexpected(0x1d)),
            (b"\xfb", Error::Unexpected(0xfb)),
        ] {
            assert_eq!(read(body), Err(error), "{}", body.escape_ascii());
        }
        let later = Packet {
            sequence: 1,
            body: ping(),
        };
        let (got, expected) = (1, 0);
        assert_eq!(
            Command::read(&later),
            Err(Error::Sequence { got, expected })
        );
    }
}
