//! That something is done: OK and EOF.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Capabilities, Error, Packet,
    cursor::{Cursor, put_counted, put_number},
};

/// The end of a statement, of its columns or of its rows ("OK_Packet", "EOF_Packet").
///
/// Its form depends on what was agreed on, and may so be another to a client than from a server:
/// [`Self::read`] takes what holds with the server, and the three that write what holds with the
/// client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Done<'a> {
    /// The rows that were changed.
    pub changed: u64,
    /// The number that a row got by itself (`LAST_INSERT_ID`).
    pub inserted: u64,
    /// Where the session stands.
    pub status: Status,
    /// How many warnings there are.
    pub warnings: u16,
    /// What the server says to it, such as `Rows matched: 1  Changed: 1  Warnings: 0`.
    pub info: &'a [u8],
    /// Changes of the session's state, which have been gone through once.
    changes: &'a [u8],
}

/// Where a session stands ("SERVER_STATUS_flags_enum").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status(pub u16);

/// A change of the session's state.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change<'a> {
    /// A variable has this value.
    Variable {
        /// Its name.
        name: &'a [u8],
        /// Its value.
        value: &'a [u8],
    },
    /// This is the database that names without one belong to.
    Database(&'a [u8]),
    /// Another change, by its type.
    Other(u8),
}

impl<'a> Done<'a> {
    /// What a gate says itself.
    pub const fn new(status: Status) -> Self {
        Self {
            changed: 0,
            inserted: 0,
            status,
            warnings: 0,
            info: b"",
            changes: b"",
        }
    }

    /// Reads an OK or an EOF. That it is one is told by what came before: see
    /// [`Answer`](crate::Answer).
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn read(packet: &'a Packet, agreed: Capabilities) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&packet.body);
        let first = cursor.byte()?;
        if !matches!(first, OK | END) {
            return Err(Error::Unexpected(first));
        }
        if first == END && packet.body.len() == EOF_LENGTH {
            let warnings = cursor.u16()?;
            let status = Status(cursor.u16()?);
            return Ok(Self {
                warnings,
                ..Self::new(status)
            });
        }
        let (changed, inserted) = (cursor.number()?, cursor.number()?);
        let (status, warnings) = (Status(cursor.u16()?), cursor.u16()?);
        let (mut info, mut changes) = (&b""[..], &b""[..]);
        if agreed.has(Capabilities::SESSION_TRACK) {
            if !cursor.is_empty() {
                info = cursor.counted()?;
            }
            if status.has(Status::STATE_CHANGED) && !cursor.is_empty() {
                changes = cursor.counted()?;
                let mut through = Cursor::new(changes);
                while !through.is_empty() {
                    change(&mut through)?;
                }
            }
            cursor.end()?;
        } else if !cursor.is_empty() {
            // The documentation has it to the end, and servers count it none the less.
            let mut counted = cursor;
            info = match counted.counted() {
                Ok(info) if counted.is_empty() => info,
                _ => cursor.take_rest(),
            };
        }
        Ok(Self {
            changed,
            inserted,
            status,
            warnings,
            info,
            changes,
        })
    }

    /// The same as another status has it.
    #[must_use]
    pub const fn with(self, status: Status) -> Self {
        Self { status, ..self }
    }

    /// The same with another text.
    #[must_use]
    pub const fn saying(self, info: &'a [u8]) -> Self {
        Self { info, ..self }
    }

    /// The changes of the session's state. The last says what holds.
    pub fn changes(&self) -> impl Iterator<Item = Change<'a>> + use<'a> {
        let mut cursor = Cursor::new(self.changes);
        let mut variables = Cursor::new(b"");
        std::iter::from_fn(move || {
            loop {
                // MariaDB tells of several variables at once.
                if !variables.is_empty() {
                    let (name, value) = (variables.counted().ok()?, variables.counted().ok()?);
                    break Some(Change::Variable { name, value });
                }
                if cursor.is_empty() {
                    break None;
                }
                // They were gone through before.
                let (kind, data) = change(&mut cursor).ok()?;
                match kind {
                    VARIABLES => variables = data,
                    DATABASE => {
                        let mut data = data;
                        break data.counted().ok().map(Change::Database);
                    }
                    kind => break Some(Change::Other(kind)),
                }
            }
        })
    }

    /// An OK, as the end of what has no rows.
    pub fn write(&self, agreed: Capabilities) -> Bytes {
        self.put(OK, agreed)
    }

    /// The end of columns; none where nothing stands there.
    pub fn write_end_of_columns(&self, agreed: Capabilities) -> Option<Bytes> {
        (!agreed.has(Capabilities::DEPRECATE_EOF)).then(|| self.eof())
    }

    /// The end of rows.
    pub fn write_end_of_rows(&self, agreed: Capabilities) -> Bytes {
        match agreed.has(Capabilities::DEPRECATE_EOF) {
            true => self.put(END, agreed),
            false => self.eof(),
        }
    }

    fn eof(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(EOF_LENGTH);
        out.put_u8(END);
        out.put_u16_le(self.warnings);
        // An EOF has no room for changes; servers leave the mark of them all the same.
        out.put_u16_le(self.status.0);
        out.freeze()
    }

    fn put(&self, first: u8, agreed: Capabilities) -> Bytes {
        let tracks = agreed.has(Capabilities::SESSION_TRACK) && !self.changes.is_empty();
        let status = match tracks {
            true => self.status.and(Status::STATE_CHANGED),
            false => self.status.without(Status::STATE_CHANGED),
        };
        let mut out = BytesMut::new();
        out.put_u8(first);
        put_number(&mut out, self.changed);
        put_number(&mut out, self.inserted);
        out.put_u16_le(status.0);
        out.put_u16_le(self.warnings);
        if tracks || !self.info.is_empty() {
            put_counted(&mut out, self.info);
        }
        if tracks {
            put_counted(&mut out, self.changes);
        }
        out.freeze()
    }
}

impl Status {
    /// A transaction is open.
    pub const IN_TRANSACTION: Self = Self(1);
    /// Each statement is a transaction.
    pub const AUTOCOMMIT: Self = Self(1 << 1);
    /// Another result follows.
    pub const MORE_RESULTS: Self = Self(1 << 3);
    /// Rows are to be fetched.
    pub const CURSOR: Self = Self(1 << 6);
    /// All rows have been fetched.
    pub const LAST_ROW: Self = Self(1 << 7);
    /// Backslashes stand for themselves in literals of SQL.
    pub const NO_BACKSLASH_ESCAPES: Self = Self(1 << 9);
    /// Values of variables that a `CALL` sets come as a result.
    pub const OUT_PARAMETERS: Self = Self(1 << 12);
    /// The open transaction only reads.
    pub const READ_ONLY: Self = Self(1 << 13);
    /// The session's state has changed.
    pub const STATE_CHANGED: Self = Self(1 << 14);

    /// Whether all of `others` are there.
    pub const fn has(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// This without the others.
    #[must_use]
    pub const fn without(self, others: Self) -> Self {
        Self(self.0 & !others.0)
    }
}

/// A change and what is in it, which is checked as far as it is known.
fn change<'a>(cursor: &mut Cursor<'a>) -> Result<(u8, Cursor<'a>), Error> {
    let kind = cursor.byte()?;
    let data = Cursor::new(cursor.counted()?);
    let mut through = data;
    match kind {
        VARIABLES => {
            while !through.is_empty() {
                through.counted()?;
                through.counted()?;
            }
        }
        DATABASE => {
            through.counted()?;
            through.end()?;
        }
        _ => {}
    }
    Ok((kind, data))
}

/// Numbers only: the text of a server may hold what stands in rows.
impl fmt::Debug for Done<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Done")
            .field("changed", &self.changed)
            .field("status", &self.status)
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

/// The kind of change.
impl fmt::Debug for Change<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable { .. } => f.write_str("Variable"),
            Self::Database(_) => f.write_str("Database"),
            Self::Other(kind) => write!(f, "Other({kind})"),
        }
    }
}

const OK: u8 = 0x00;
pub(crate) const END: u8 = 0xfe;
pub(crate) const EOF_LENGTH: usize = 5;
const VARIABLES: u8 = 0;
const DATABASE: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACKING: Capabilities = Capabilities::OFFERED;

    fn told<'a>(packet: &'a Packet, agreed: Capabilities) -> Done<'a> {
        Done::read(packet, agreed).unwrap()
    }

    #[test]
    fn changes_of_the_state_are_told() {
        let mut changes = BytesMut::new();
        for change in [
            &b"\0\x0f\x0aautocommit\x03OFF"[..],
            b"\x01\x07\x06orders",
            // Two at once, as MariaDB has them.
            b"\0\x08\x01a\x011\x01b\x012",
            b"\x05\x09\x08I_______",
        ] {
            changes.extend_from_slice(change);
        }
        let mut body = BytesMut::from(&b"\0\x03\x07\x02\x40\x01\0\x02hi"[..]);
        put_counted(&mut body, &changes);
        let packet = Packet::new(body.clone());
        let done = told(&packet, TRACKING);
        assert_eq!((done.changed, done.inserted, done.warnings), (3, 7, 1));
        assert_eq!(done.info, b"hi");
        let variable = |name, value| Change::Variable { name, value };
        let all: Vec<_> = done.changes().collect();
        assert_eq!(
            all,
            [
                variable(b"autocommit", b"OFF"),
                Change::Database(b"orders"),
                variable(b"a", b"1"),
                variable(b"b", b"2"),
                Change::Other(5),
            ]
        );
        assert!(!format!("{done:?}{all:?}").contains("orders"));
        assert_eq!(done.write(TRACKING), packet.body);

        // A client that does not track the state gets the same without it.
        let plain = TRACKING.without(Capabilities::SESSION_TRACK);
        let packet = Packet::new(done.write(plain));
        assert_eq!(&packet.body[..], b"\0\x03\x07\x02\0\x01\0\x02hi");
        assert_eq!(told(&packet, plain).info, b"hi");
        for cut in 7..body.len() {
            if cut == 7 || cut == 10 {
                continue; // what may be missing
            }
            let packet = Packet::new(body[..cut].to_vec());
            assert!(Done::read(&packet, TRACKING).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn an_end_is_written_as_its_reader_expects_it() {
        let old = TRACKING.without(Capabilities::DEPRECATE_EOF);
        let status = Status::AUTOCOMMIT.and(Status::MORE_RESULTS);
        let packet = Packet::new(&b"\xfe\x02\0\x0a\0"[..]);
        let done = told(&packet, old);
        assert_eq!((done.warnings, done.status), (2, status));
        assert_eq!(done.write_end_of_rows(old), packet.body);
        assert_eq!(done.write_end_of_columns(old), Some(packet.body.clone()));
        assert_eq!(done.write_end_of_columns(TRACKING), None);

        let end = Packet::new(done.write_end_of_rows(TRACKING));
        assert_eq!(&end.body[..], b"\xfe\0\0\x0a\0\x02\0");
        assert_eq!(told(&end, TRACKING), done);
    }

    #[test]
    fn a_text_is_read_whether_it_is_counted_or_not() {
        let plain = TRACKING.without(Capabilities::SESSION_TRACK);
        for (body, info) in [
            (&b"\0\0\0\x02\0\0\0"[..], &b""[..]),
            (b"\0\0\0\x02\0\0\0\x02hi", b"hi"),
            (b"\0\0\0\x02\0\0\0hi", b"hi"),
        ] {
            assert_eq!(told(&Packet::new(body), plain).info, info);
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for (body, error) in [
            (&b"\x01"[..], Error::Unexpected(1)),
            (b"", Error::Length),
            (b"\xfe\0\0", Error::Length),
            (b"\0\0\0\x02\0\0\0\x02h", Error::Length),
            (b"\0\0\0\x02\0\0\0\x01hi", Error::Length),
            (b"\0\0\0\x02\x40\0\0\0\x03\x01\x01\x05", Error::Length),
            (b"\0\xff\0\x02\0\0\0", Error::Code),
        ] {
            let packet = Packet::new(body);
            assert_eq!(Done::read(&packet, TRACKING), Err(error));
        }
    }
}
