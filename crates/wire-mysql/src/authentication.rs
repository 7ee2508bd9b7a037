//! What a server says while a client signs in.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Capabilities, Done, Error, Failure, Packet,
    cursor::{Cursor, put_ended},
};

/// A server's step of authentication, behind its greeting.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authentication<'a> {
    /// It succeeded.
    Done(Done<'a>),
    /// It failed.
    Failed(Failure<'a>),
    /// It goes on in another way.
    Switch {
        /// The name of that way.
        plugin: &'a str,
        /// What it begins with, such as a scramble.
        data: &'a [u8],
    },
    /// It goes on in the same way.
    More(&'a [u8]),
}

impl<'a> Authentication<'a> {
    /// Reads what a server says while a client signs in. `agreed` is what holds with that server.
    ///
    /// # Errors
    ///
    /// When it is none of these: also when the server asks for a password as before MySQL 4.1 or
    /// for another factor.
    pub fn read(packet: &'a Packet, agreed: Capabilities) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&packet.body);
        match cursor.byte()? {
            0x00 => Done::read(packet, agreed).map(Self::Done),
            0xff => Failure::read(packet).map(Self::Failed),
            SWITCH if cursor.is_empty() => Err(Error::Version),
            SWITCH => Ok(Self::Switch {
                plugin: cursor.text()?,
                data: cursor.take_rest(),
            }),
            MORE => Ok(Self::More(cursor.take_rest())),
            other => Err(Error::Unexpected(other)),
        }
    }
}

/// Asks a client to go on in another way of authentication.
///
/// # Errors
///
/// [`Error::Zero`] for a name with a zero byte.
pub fn switch(plugin: &str, data: &[u8]) -> Result<Bytes, Error> {
    let mut out = BytesMut::new();
    out.put_u8(SWITCH);
    put_ended(&mut out, plugin.as_bytes())?;
    out.extend_from_slice(data);
    Ok(out.freeze())
}

/// Goes on in the same way.
pub fn more(data: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(1 + data.len());
    out.put_u8(MORE);
    out.extend_from_slice(data);
    out.freeze()
}

/// The kind of step, and nothing of what it holds.
impl fmt::Debug for Authentication<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done(_) => f.write_str("Done"),
            Self::Failed(failure) => failure.fmt(f),
            Self::Switch { plugin, .. } => write!(f, "Switch({plugin:?})"),
            Self::More(_) => f.write_str("More"),
        }
    }
}

const SWITCH: u8 = 0xfe;
const MORE: u8 = 0x01;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Plugin;

    #[test]
    fn steps_are_told_by_their_first_byte() {
        let read = |body: &[u8]| {
            let packet = Packet::new(body.to_vec());
            let read = Authentication::read(&packet, Capabilities::OFFERED);
            read.map(|read| format!("{read:?}"))
        };
        let is = |body: &[u8], told: &str| assert_eq!(read(body).as_deref(), Ok(told));
        is(b"\0\0\0\x02\0\0\0", "Done");
        is(
            b"\xff\x15\x04#28000Access denied",
            "Failure { number: 1045, state: Some(\"28000\"), .. }",
        );
        is(
            &switch("client_ed25519", &[7; 32]).unwrap(),
            "Switch(\"client_ed25519\")",
        );
        is(&more(&[Plugin::FULL]), "More");
        for (body, error) in [
            (&b"\xfe"[..], Error::Version),
            (b"\xfex", Error::Text),
            (b"\x02dialog\0", Error::Unexpected(2)),
            (b"", Error::Length),
        ] {
            assert_eq!(read(body), Err(error));
        }
        assert_eq!(switch("a\0b", b""), Err(Error::Zero));
    }
}
