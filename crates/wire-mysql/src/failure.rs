//! Errors as servers tell them.

use std::{borrow::Cow, fmt};

use bytes::{BufMut, Bytes, BytesMut};

use crate::{Error, Packet, cursor::Cursor};

/// That something failed ("ERR_Packet").
#[derive(Clone, PartialEq, Eq)]
pub struct Failure<'a> {
    /// The number of the error.
    pub number: u16,
    /// Its SQLSTATE. What a server says before a client has signed in may have none.
    pub state: Option<&'a str>,
    /// What happened. It may hold values of rows. Servers cut it off at any byte, so what is no
    /// UTF-8 in it is left out of account.
    pub message: Cow<'a, str>,
}

/// A number of an error and the SQLSTATE that goes with it, for what a gate says itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The number.
    pub number: u16,
    /// The SQLSTATE.
    pub state: &'static str,
}

impl Code {
    /// `ER_SPECIFIC_ACCESS_DENIED_ERROR`: a right is missing. The session can go on.
    pub const DENIED: Self = Self::new(1227, "42000");
    /// `ER_ACCESS_DENIED_ERROR`: the user or the password is wrong.
    pub const SIGN_IN: Self = Self::new(1045, "28000");
    /// `ER_DBACCESS_DENIED_ERROR`: the user may not use the database.
    pub const DATABASE: Self = Self::new(1044, "42000");
    /// `ER_BAD_DB_ERROR`: there is no such database.
    pub const NO_DATABASE: Self = Self::new(1049, "42000");
    /// `ER_SECURE_TRANSPORT_REQUIRED`: TLS is required.
    pub const TLS: Self = Self::new(3159, "HY000");
    /// `ER_NOT_SUPPORTED_AUTH_MODE`: the way of authentication is not spoken.
    pub const PLUGIN: Self = Self::new(1251, "08004");
    /// `ER_HANDSHAKE_ERROR`: what the client said first was wrong.
    pub const HANDSHAKE: Self = Self::new(1043, "08S01");
    /// `ER_CON_COUNT_ERROR`: there are too many connections.
    pub const TOO_MANY: Self = Self::new(1040, "08004");
    /// `ER_SERVER_SHUTDOWN`: the session ends.
    pub const SHUTDOWN: Self = Self::new(1053, "08S01");
    /// `ER_QUERY_INTERRUPTED`: the statement was cancelled.
    pub const INTERRUPTED: Self = Self::new(1317, "70100");
    /// `ER_UNKNOWN_COM_ERROR`: a command that is not known.
    pub const COMMAND: Self = Self::new(1047, "08S01");
    /// `ER_NOT_ALLOWED_COMMAND`: a command that is not allowed, such as `LOAD DATA LOCAL`.
    pub const NOT_ALLOWED: Self = Self::new(1148, "42000");
    /// `ER_UNKNOWN_STMT_HANDLER`: there is no such prepared statement.
    pub const STATEMENT: Self = Self::new(1243, "HY000");
    /// `ER_NET_PACKET_TOO_LARGE`: a message is too long.
    pub const TOO_LONG: Self = Self::new(1153, "08S01");
    /// `ER_NET_PACKETS_OUT_OF_ORDER`: a packet is not the one that follows.
    pub const OUT_OF_ORDER: Self = Self::new(1156, "08S01");
    /// `ER_MALFORMED_PACKET`: a message is not what its type says.
    pub const MALFORMED: Self = Self::new(1835, "HY000");
    /// `ER_DISK_FULL`: there is no room.
    pub const DISK_FULL: Self = Self::new(1021, "HY000");
    /// `ER_UNKNOWN_ERROR`: anything else.
    pub const OTHER: Self = Self::new(1105, "HY000");
    /// `ER_CONNECT_TO_FOREIGN_DATA_SOURCE`: the server behind is not reachable.
    pub const UPSTREAM: Self = Self::new(1429, "HY000");

    const fn new(number: u16, state: &'static str) -> Self {
        Self { number, state }
    }
}

impl<'a> Failure<'a> {
    /// What a gate says itself.
    pub fn new(code: Code, message: impl Into<Cow<'a, str>>) -> Self {
        Self {
            number: code.number,
            state: Some(code.state),
            message: message.into(),
        }
    }

    /// Reads an error.
    ///
    /// # Errors
    ///
    /// When it is none. A report on progress, which MariaDB sends in the same form to those who
    /// ask for it, is [`Error::Unexpected`].
    pub fn read(packet: &'a Packet) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&packet.body);
        let first = cursor.byte()?;
        let number = match first {
            ERR => cursor.u16()?,
            other => return Err(Error::Unexpected(other)),
        };
        if number == PROGRESS {
            return Err(Error::Unexpected(ERR));
        }
        let state = match cursor.rest().first() {
            Some(b'#') => {
                cursor.byte()?;
                let state: &[u8] = cursor.take(STATE)?;
                match state.iter().all(u8::is_ascii_alphanumeric) {
                    true => Some(crate::cursor::utf8(state)?),
                    false => return Err(Error::Text),
                }
            }
            _ => None,
        };
        Ok(Self {
            number,
            state,
            message: String::from_utf8_lossy(cursor.take_rest()),
        })
    }

    /// The error as a payload. A message of more than 512 bytes is cut off there, as servers do.
    pub fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u8(ERR);
        out.put_u16_le(self.number);
        if let Some(state) = self.state {
            out.put_u8(b'#');
            out.extend_from_slice(state.as_bytes());
        }
        let end = self.message.floor_char_boundary(MESSAGE);
        out.extend_from_slice(&self.message.as_bytes()[..end]);
        out.freeze()
    }
}

/// Number and state only: the message may hold what stands in rows.
impl fmt::Debug for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Failure")
            .field("number", &self.number)
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

pub(crate) const ERR: u8 = 0xff;
/// The bytes of an SQLSTATE.
const STATE: usize = 5;
/// The longest message that clients have room for (`MYSQL_ERRMSG_SIZE`).
const MESSAGE: usize = 512;
/// Stands in the place of a number where MariaDB reports on progress.
const PROGRESS: u16 = 0xffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let failure = Failure::new(Code::DENIED, "denied by rule 7");
        let packet = Packet::new(failure.write());
        assert_eq!(&packet.body[..9], b"\xff\xcb\x04#42000");
        let read = Failure::read(&packet).unwrap();
        assert_eq!(read, failure);
        assert!(!format!("{read:?}").contains("rule"));
        for state in [Code::DENIED.state, Code::INTERRUPTED.state, Code::TLS.state] {
            assert_eq!(state.len(), STATE);
        }
        // In the middle of a character.
        let long = Failure::new(Code::OTHER, "é".repeat(300) + "x");
        assert_eq!(long.write().len(), 9 + 512);
        let odd = Failure::new(Code::OTHER, "x".to_owned() + &"é".repeat(300));
        assert_eq!(odd.write().len(), 9 + 511);
    }

    #[test]
    fn a_message_is_read_as_far_as_it_is_text() {
        let packet = Packet::new(&b"\xff\x01\x04cut \xc3"[..]);
        let failure = Failure::read(&packet).unwrap();
        assert_eq!((failure.state, &*failure.message), (None, "cut \u{fffd}"));
        for (body, error) in [
            (&b"\xff\x01"[..], Error::Length),
            (b"\xff\x01\x04#4200", Error::Length),
            (b"\xff\x01\x04#420\0\0no", Error::Text),
            (b"\xff\xff\xff\x01\x01\x02\0\0\0\0", Error::Unexpected(0xff)),
            (b"\0", Error::Unexpected(0)),
        ] {
            assert_eq!(Failure::read(&Packet::new(body)), Err(error));
        }
    }
}
