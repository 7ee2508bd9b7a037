//! What a connection begins with.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use crate::{Error, cursor::Cursor};

/// The longest thing that a connection may begin with, as PostgreSQL has it
/// (`MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_OPENING: usize = 10_000;

/// The first thing that a client says, before its messages have tags.
///
/// Behind a request for encryption nothing may have come already: it would be read as if it had come
/// encrypted (CVE-2021-23214). See [`opening`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opening {
    /// A request for TLS, to be answered with the byte `S` or `N`.
    Tls,
    /// A request for GSS encryption, to be answered with `G` or `N`.
    Gss,
    /// A request to cancel what a session is doing. Nothing is answered.
    Cancel(CancelKey),
    /// The beginning of a session.
    Startup(Startup),
}

/// What tells a session to whoever wants to cancel in it.
#[derive(Clone, PartialEq, Eq)]
pub struct CancelKey {
    /// The number of the process.
    pub process: u32,
    /// The secret: 4 bytes up to version 3.0, up to 256 from 3.2.
    pub secret: Bytes,
}

/// A version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// The version before the point.
    pub major: u16,
    /// The one behind it.
    pub minor: u16,
}

/// The beginning of a session.
#[derive(Clone, PartialEq, Eq)]
pub struct Startup {
    /// The version that the client would speak. Its minor version may be one that nobody knows: a
    /// server that is asked for more than it speaks says so, see [`negotiate`](crate::negotiate).
    pub version: Version,
    /// The settings: `user`, `database`, and others.
    pub parameters: Vec<(String, String)>,
}

/// Whether a connection begins with TLS right away, as PostgreSQL 17 and later allow: the first byte
/// is that of a TLS handshake and of no opening.
pub fn is_direct_tls(wire: &[u8]) -> bool {
    wire.first() == Some(&0x16)
}

/// Takes the opening out of `wire`, if it is there as a whole.
///
/// # Errors
///
/// When the length or the code is none of this protocol, or a session begins with another major
/// version than 3. Also when anything has come behind a request for encryption.
pub fn opening(wire: &mut BytesMut) -> Result<Option<Opening>, Error> {
    let Some(head) = wire.first_chunk::<4>() else {
        return Ok(None);
    };
    let length = usize::try_from(u32::from_be_bytes(*head)).map_err(|_| Error::Opening)?;
    if !(HEAD..=MAX_OPENING).contains(&length) {
        return Err(Error::Opening);
    }
    if wire.len() < length {
        return Ok(None);
    }
    let mut packet = wire.split_to(length).freeze();
    packet.advance(4);
    let code = packet.get_u32();
    let encrypted = |what| match packet.is_empty() && wire.is_empty() {
        true => Ok(Some(what)),
        false => Err(Error::Opening),
    };
    match code {
        TLS => encrypted(Opening::Tls),
        GSS => encrypted(Opening::Gss),
        CANCEL => CancelKey::read(packet).map(|key| Some(Opening::Cancel(key))),
        _ => {
            let version = Version::of(code);
            if version.major != Version::V3_0.major {
                return Err(Error::Version {
                    major: version.major,
                    minor: version.minor,
                });
            }
            Startup::read(version, &packet).map(|startup| Some(Opening::Startup(startup)))
        }
    }
}

impl Version {
    /// What every client and server since PostgreSQL 7.4 speaks.
    pub const V3_0: Self = Self { major: 3, minor: 0 };
    /// That of PostgreSQL 18; 3.1 was never used.
    pub const V3_2: Self = Self { major: 3, minor: 2 };

    /// The version of this code.
    pub(crate) const fn of(code: u32) -> Self {
        let [a, b, c, d] = code.to_be_bytes();
        Self {
            major: u16::from_be_bytes([a, b]),
            minor: u16::from_be_bytes([c, d]),
        }
    }

    pub(crate) const fn code(self) -> u32 {
        let ([a, b], [c, d]) = (self.major.to_be_bytes(), self.minor.to_be_bytes());
        u32::from_be_bytes([a, b, c, d])
    }
}

impl CancelKey {
    fn read(mut packet: Bytes) -> Result<Self, Error> {
        if !(8..=4 + MAX_SECRET).contains(&packet.len()) {
            return Err(Error::Opening);
        }
        Ok(Self {
            process: packet.get_u32(),
            secret: packet,
        })
    }
}

impl Startup {
    /// The value of a parameter. Of one that stands there twice, the last: that is what the server
    /// takes.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut known = self.parameters.iter().rev();
        known
            .find(|(known, _)| known == name)
            .map(|(_, value)| &**value)
    }

    /// Names of options of the protocol itself, which begin with `_pq_.`.
    pub fn options(&self) -> impl Iterator<Item = &str> {
        let names = self.parameters.iter().map(|(name, _)| &**name);
        names.filter(|name| name.starts_with("_pq_."))
    }

    fn read(version: Version, packet: &[u8]) -> Result<Self, Error> {
        let mut cursor = Cursor::new(packet);
        let mut parameters = Vec::new();
        loop {
            match cursor.text()? {
                "" => break,
                name => parameters.push((name.to_owned(), cursor.text()?.to_owned())),
            }
        }
        cursor.end()?;
        Ok(Self {
            version,
            parameters,
        })
    }
}

/// The secret is not shown.
impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey")
            .field("process", &self.process)
            .finish_non_exhaustive()
    }
}

/// Only names are shown: some clients put secrets into their settings.
impl fmt::Debug for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.parameters.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Startup")
            .field("version", &self.version)
            .field("parameters", &names)
            .finish()
    }
}

/// A length and a code.
const HEAD: usize = 8;
pub(crate) const TLS: u32 = 80_877_103;
const GSS: u32 = 80_877_104;
pub(crate) const CANCEL: u32 = 80_877_102;
/// The longest secret of version 3.2.
const MAX_SECRET: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(code: u32, rest: &[u8]) -> BytesMut {
        let length = u32::try_from(8 + rest.len()).unwrap();
        let all = [&length.to_be_bytes()[..], &code.to_be_bytes(), rest].concat();
        BytesMut::from(&all[..])
    }

    #[test]
    fn each_opening_is_told_by_its_code() {
        let tls = packet(TLS, b"");
        for cut in 0..tls.len() {
            assert_eq!(opening(&mut BytesMut::from(&tls[..cut])), Ok(None));
        }
        assert_eq!(opening(&mut tls.clone()), Ok(Some(Opening::Tls)));
        assert_eq!(opening(&mut packet(GSS, b"")), Ok(Some(Opening::Gss)));
        let key = |secret: &[u8]| opening(&mut packet(CANCEL, &[b"\0\0\0\x07", secret].concat()));
        for length in [4, 32, 256] {
            let Ok(Some(Opening::Cancel(key))) = key(&vec![1; length]) else {
                panic!("no key of {length} bytes");
            };
            assert_eq!((key.process, key.secret.len()), (7, length));
        }
        for length in [0, 3, 257] {
            assert_eq!(key(&vec![1; length]), Err(Error::Opening), "{length}");
        }
    }

    #[test]
    fn nothing_may_come_behind_a_request_for_encryption() {
        for code in [TLS, GSS] {
            let mut wire = packet(code, b"");
            wire.extend_from_slice(b"Q");
            assert_eq!(opening(&mut wire), Err(Error::Opening));
            assert_eq!(opening(&mut packet(code, b"Q")), Err(Error::Opening));
        }
    }

    #[test]
    fn a_session_begins_with_its_settings() {
        let settings = b"user\0ann\0database\0orders\0user\0bob\0_pq_.x\0\0\0";
        let Ok(Some(Opening::Startup(startup))) = opening(&mut packet(196_610, settings)) else {
            panic!("no session");
        };
        assert_eq!(startup.version, Version::V3_2);
        assert_eq!(startup.parameter("user"), Some("bob"));
        assert_eq!(startup.parameter("database"), Some("orders"));
        assert_eq!(startup.parameter("options"), None);
        assert_eq!(startup.options().collect::<Vec<_>>(), ["_pq_.x"]);
        assert!(!format!("{startup:?}").contains("ann"));

        // A minor version that nobody knows is no mistake: it is negotiated.
        assert!(opening(&mut packet(0x0003_270f, b"user\0a\0\0")).is_ok());
        for (code, rest, error) in [
            (
                0x0002_0000,
                &b"\0"[..],
                Error::Version { major: 2, minor: 0 },
            ),
            (196_608, b"user\0a\0", Error::Text),
            (196_608, b"user\0a", Error::Text),
            (196_608, b"user\0\xff\0\0", Error::Text),
            (196_608, b"user\0a\0\0x", Error::Length),
        ] {
            assert_eq!(opening(&mut packet(code, rest)), Err(error));
        }
    }

    #[test]
    fn what_speaks_another_protocol_is_told_at_once() {
        for text in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01\x02\0",
            b"\0\0\0\x07",
        ] {
            assert_eq!(opening(&mut BytesMut::from(text)), Err(Error::Opening));
        }
        assert!(is_direct_tls(b"\x16\x03\x01"));
        assert!(!is_direct_tls(b"\0\0\0\x08"));
    }
}
