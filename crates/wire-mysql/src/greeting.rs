//! What a server says first.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    Capabilities, Error, Failure, Packet, Status,
    cursor::{Cursor, put_ended},
};

/// The first message of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened<'a> {
    /// It can be signed in to ("Protocol::HandshakeV10").
    Greeting(Greeting),
    /// It takes no more connections, or none from here.
    Refused(Failure<'a>),
}

/// A server's greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Greeting {
    /// The server's version, such as `8.4.6` or `5.5.5-10.11.14-MariaDB`.
    pub version: String,
    /// The number of the connection, by which `KILL` names it.
    pub connection: u32,
    /// What answers of clients are made with.
    pub scramble: Scramble,
    /// What the server can do.
    pub capabilities: Capabilities,
    /// The collation that texts are in unless told.
    pub collation: u8,
    /// Where the session stands.
    pub status: Status,
    /// The way of authentication that the server begins with.
    pub plugin: String,
}

/// The random bytes of a greeting.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Scramble([u8; SCRAMBLE]);

impl<'a> Opened<'a> {
    /// Reads the first message of a server.
    ///
    /// # Errors
    ///
    /// [`Error::Version`] for a server that does not know of the protocol of MySQL 4.1 or of
    /// plugins, and when the message is no greeting.
    pub fn read(packet: &'a Packet) -> Result<Self, Error> {
        let mut cursor = Cursor::new(&packet.body);
        match cursor.byte()? {
            0xff => Failure::read(packet).map(Self::Refused),
            VERSION => Greeting::read(&mut cursor).map(Self::Greeting),
            _ => Err(Error::Version),
        }
    }
}

impl Greeting {
    fn read(cursor: &mut Cursor<'_>) -> Result<Self, Error> {
        let version = cursor.text()?.to_owned();
        let connection = cursor.u32()?;
        let begin: [u8; 8] = cursor.array()?;
        cursor.byte()?;
        let low = cursor.u16()?;
        let collation = cursor.byte()?;
        let status = Status(cursor.u16()?);
        let high = cursor.u16()?;
        let capabilities = Capabilities(u32::from(high) << 16 | u32::from(low));
        if !capabilities.has(Capabilities::PLUGIN_AUTH | Capabilities::SECURE_CONNECTION) {
            return Err(Error::Version);
        }
        let length = cursor.byte()?;
        // A MariaDB server has capabilities of its own in here, if it does not name MYSQL.
        cursor.take(RESERVED)?;
        if usize::from(length) != SCRAMBLE + 1 {
            return Err(Error::Length);
        }
        let end: [u8; SCRAMBLE - 8] = cursor.array()?;
        cursor.byte()?;
        // MySQL before 5.5.10 has no zero byte behind the name.
        let plugin = match memchr::memchr(0, cursor.rest()) {
            Some(_) => cursor.text()?,
            None => crate::cursor::utf8(cursor.take_rest())?,
        };
        cursor.end()?;
        let mut scramble = [0; SCRAMBLE];
        scramble[..8].copy_from_slice(&begin);
        scramble[8..].copy_from_slice(&end);
        Ok(Self {
            version,
            connection,
            scramble: Scramble(scramble),
            capabilities,
            collation,
            status,
            plugin: plugin.to_owned(),
        })
    }

    /// The greeting as a payload.
    ///
    /// # Errors
    ///
    /// [`Error::Zero`] for a text that has a zero byte.
    pub fn write(&self) -> Result<Bytes, Error> {
        let [low, high] = halves(self.capabilities);
        let Scramble(scramble) = &self.scramble;
        let mut out = BytesMut::new();
        out.put_u8(VERSION);
        put_ended(&mut out, self.version.as_bytes())?;
        out.put_u32_le(self.connection);
        out.extend_from_slice(&scramble[..8]);
        out.put_u8(0);
        out.extend_from_slice(&low);
        out.put_u8(self.collation);
        out.put_u16_le(self.status.0);
        out.extend_from_slice(&high);
        out.put_u8(SCRAMBLE_AND_ZERO);
        out.put_bytes(0, RESERVED);
        out.extend_from_slice(&scramble[8..]);
        out.put_u8(0);
        put_ended(&mut out, self.plugin.as_bytes())?;
        Ok(out.freeze())
    }
}

impl Scramble {
    /// Makes one of random bytes. None of it is zero, which some clients take for the end, nor `$`,
    /// which MySQL leaves out as well; each byte keeps almost seven bits.
    pub fn of(random: [u8; SCRAMBLE]) -> Self {
        Self(random.map(|byte| match byte & 0x7f {
            0 => 1,
            b'$' => b'%',
            byte => byte,
        }))
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; SCRAMBLE] {
        &self.0
    }
}

/// What was said to be random is nobody's to read in a log.
impl fmt::Debug for Scramble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scramble").finish_non_exhaustive()
    }
}

fn halves(capabilities: Capabilities) -> [[u8; 2]; 2] {
    let [a, b, c, d] = capabilities.0.to_le_bytes();
    [[a, b], [c, d]]
}

/// The version of the greeting. Number 9 is from before MySQL 3.21.
const VERSION: u8 = 10;
/// The bytes of a scramble.
pub(crate) const SCRAMBLE: usize = 20;
const SCRAMBLE_AND_ZERO: u8 = 21;
const RESERVED: usize = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_is_read_as_it_is_written() {
        let mut random = [0; SCRAMBLE];
        for (place, byte) in (0..).zip(&mut random) {
            *byte = place * 13;
        }
        random[3] = b'$' | 0x80;
        let greeting = Greeting {
            version: "8.4.6".to_owned(),
            connection: 70_000,
            scramble: Scramble::of(random),
            capabilities: Capabilities::OFFERED | Capabilities::SSL,
            collation: crate::UTF8MB4,
            status: Status::AUTOCOMMIT,
            plugin: "caching_sha2_password".to_owned(),
        };
        let packet = Packet::new(greeting.write().unwrap());
        assert_eq!(
            Opened::read(&packet),
            Ok(Opened::Greeting(greeting.clone()))
        );
        for cut in 0..packet.body.len() - 1 {
            let packet = Packet::new(packet.body.slice(..cut));
            let read = Opened::read(&packet);
            // The name of the plugin may have no end.
            let named =
                matches!(&read, Ok(Opened::Greeting(read)) if read.plugin != greeting.plugin);
            assert!(read.is_err() || named, "cut at {cut}");
        }
        let bytes = greeting.scramble.as_bytes();
        assert!(bytes.iter().all(|byte| !matches!(byte, 0 | b'$' | 0x80..)));
        let shown = format!("{greeting:?}");
        assert!(shown.ends_with("plugin: \"caching_sha2_password\" }"));
        assert!(shown.contains("Scramble { .. }"));
        let zero = Greeting {
            version: "8\0".to_owned(),
            ..greeting
        };
        assert_eq!(zero.write(), Err(Error::Zero));
    }

    #[test]
    fn a_server_that_takes_nobody_says_why() {
        let packet = Packet::new(&b"\xff\x10\x04Too many connections"[..]);
        let Ok(Opened::Refused(failure)) = Opened::read(&packet) else {
            panic!("not refused");
        };
        assert_eq!((failure.number, failure.state), (1040, None));
        assert_eq!(failure.message, "Too many connections");
    }

    #[test]
    fn what_speaks_another_protocol_is_told_at_once() {
        for body in [&b"SSH-2.0-x"[..], b"\x09old\0", b"HTTP/1.1"] {
            let packet = Packet::new(body);
            assert_eq!(Opened::read(&packet), Err(Error::Version));
        }
    }
}
