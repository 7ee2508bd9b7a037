//! Packets: a length of three bytes, a number, a payload; and messages of one or several.

use std::fmt;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::Error;

/// One message as it came, in one packet or joined from several.
#[derive(Clone, PartialEq, Eq)]
pub struct Packet {
    /// The number of its first packet.
    pub sequence: u8,
    /// The payload.
    pub body: Bytes,
}

/// Cuts a stream into messages of a bounded length.
///
/// A payload of [`MAX_PACKET`] bytes goes on in the next packet. The length of a message is judged
/// with each head that comes, by the first byte where that tells what the message is: what may hold
/// data of a user may be as long as the limit allows, any other no longer than [`Self::SMALL`].
///
/// A message that need not be read does not have to be held: between two messages, and until the
/// end of the next one, [`Self::piece`] hands on what has come.
#[derive(Debug)]
pub struct Packets {
    limit: usize,
    phase: Phase,
    /// What of a long message has come.
    joined: BytesMut,
    /// The number of its first packet.
    first: u8,
    /// The number that the next packet of the message has; none between two messages.
    following: Option<u8>,
    /// How much of the packet's payload has not been handed on.
    left: usize,
}

/// A part of a message that is not held.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// A packet begins. It is the last of its message if it is shorter than [`MAX_PACKET`].
    Head(Head),
    /// Some of its payload.
    Data(Bytes),
}

/// What stands before a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The bytes of the payload.
    pub length: u32,
    /// The number of the packet.
    pub sequence: u8,
}

/// Numbers the packets that go to one side.
///
/// Each command begins a count, which goes on through its answer, whoever sends. So a gate that
/// leaves a message out, or says one of its own, counts for each side apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sequence(u8);

/// The longest payload of a packet, in bytes: 16 MiB without one.
pub const MAX_PACKET: usize = 0xff_ffff;

/// Who sends what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// What goes either way before a session is signed in.
    SigningIn,
    /// Commands of a client.
    Commands,
    /// Answers of a server, and rows may begin with any byte.
    Answers,
}

impl Packet {
    /// A message of this payload, the first of a count.
    pub fn new(body: impl Into<Bytes>) -> Self {
        Self {
            sequence: 0,
            body: body.into(),
        }
    }

    /// What comes behind it in the same count.
    pub fn next(&self) -> Sequence {
        let more = self.body.len() / MAX_PACKET;
        // Numbers begin again behind 255.
        let more = u8::try_from(more & 0xff).unwrap_or_default();
        Sequence(self.sequence.wrapping_add(more).wrapping_add(1))
    }
}

impl Packets {
    /// How long a message may be that holds no data: names, numbers, settings.
    pub const SMALL: usize = 1 << 16;

    /// For what either side sends until a session is signed in.
    pub fn of_signing_in() -> Self {
        Self::new(Self::SMALL, Phase::SigningIn)
    }

    /// For a client's commands. `limit` is for a whole message, in bytes.
    pub fn of_clients(limit: usize) -> Self {
        Self::new(limit, Phase::Commands)
    }

    /// For a server's answers.
    pub fn of_servers(limit: usize) -> Self {
        Self::new(limit, Phase::Answers)
    }

    fn new(limit: usize, phase: Phase) -> Self {
        Self {
            limit,
            phase,
            joined: BytesMut::new(),
            first: 0,
            following: None,
            left: 0,
        }
    }

    /// Takes the next message out of `wire`, if it is there as a whole.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] as soon as a length tells so, and [`Error::Sequence`] for a packet that
    /// does not follow the one before it in the same message. The connection is out of step then
    /// and can only be closed. [`Error::Length`] in the middle of a message that
    /// [`Self::piece`] has begun to hand on.
    pub fn next(&mut self, wire: &mut BytesMut) -> Result<Option<Packet>, Error> {
        if self.left > 0 || (self.following.is_some() && self.joined.is_empty()) {
            return Err(Error::Length);
        }
        loop {
            let Some(head) = self.head(wire)? else {
                return Ok(None);
            };
            let length = head.length as usize;
            let whole = self.joined.len() + length;
            // What type a message is of stands behind the head of its first packet.
            let limit = match wire.get(HEAD) {
                _ if !self.joined.is_empty() || whole <= Self::SMALL => self.limit,
                None => return Ok(None),
                Some(first) => self.limit_of(*first),
            };
            if whole > limit {
                return Err(Error::TooLong {
                    bytes: whole as u64,
                    limit: limit as u64,
                });
            }
            if wire.len() < HEAD + length {
                // What is missing will come: room for it is taken once.
                wire.reserve(HEAD + length - wire.len());
                return Ok(None);
            }
            wire.advance(HEAD);
            let payload = wire.split_to(length);
            if self.following.is_none() {
                self.first = head.sequence;
            }
            if length == MAX_PACKET {
                self.following = Some(head.sequence.wrapping_add(1));
                match self.joined.is_empty() {
                    true => self.joined = payload,
                    false => self.joined.extend_from_slice(&payload),
                }
                continue;
            }
            self.following = None;
            let body = match self.joined.is_empty() {
                true => payload,
                false => {
                    self.joined.extend_from_slice(&payload);
                    std::mem::take(&mut self.joined)
                }
            };
            return Ok(Some(Packet {
                sequence: self.first,
                body: body.freeze(),
            }));
        }
    }

    /// Takes what has come of the next message out of `wire`, so that none of it is held. Its
    /// length has no limit.
    ///
    /// # Errors
    ///
    /// [`Error::Sequence`], as [`Self::next`] has it; [`Error::Length`] in the middle of a message
    /// that it has begun to join.
    pub fn piece(&mut self, wire: &mut BytesMut) -> Result<Option<Piece>, Error> {
        if !self.joined.is_empty() {
            return Err(Error::Length);
        }
        if self.left > 0 {
            if wire.is_empty() {
                return Ok(None);
            }
            let data = wire.split_to(self.left.min(wire.len())).freeze();
            self.left -= data.len();
            return Ok(Some(Piece::Data(data)));
        }
        let Some(head) = self.head(wire)? else {
            return Ok(None);
        };
        wire.advance(HEAD);
        self.left = head.length as usize;
        let more = self.left == MAX_PACKET;
        self.following = more.then(|| head.sequence.wrapping_add(1));
        Ok(Some(Piece::Head(head)))
    }

    /// The head of the next packet, if it has come: how long a message is can be asked before it is
    /// read or handed on.
    ///
    /// # Errors
    ///
    /// [`Error::Sequence`].
    pub fn head(&self, wire: &[u8]) -> Result<Option<Head>, Error> {
        let Some([a, b, c, sequence]) = wire.first_chunk::<HEAD>() else {
            return Ok(None);
        };
        match self.following {
            Some(expected) if expected != *sequence => Err(Error::Sequence {
                got: *sequence,
                expected,
            }),
            _ => Ok(Some(Head {
                length: u32::from_le_bytes([*a, *b, *c, 0]),
                sequence: *sequence,
            })),
        }
    }

    /// Whether a message has come to its end and the next has not begun to be taken.
    pub const fn is_between(&self) -> bool {
        self.left == 0 && self.following.is_none()
    }

    fn limit_of(&self, first: u8) -> usize {
        let long = match self.phase {
            Phase::SigningIn => false,
            // COM_QUERY, COM_STMT_PREPARE, COM_STMT_EXECUTE, COM_STMT_SEND_LONG_DATA,
            // COM_STMT_BULK_EXECUTE
            Phase::Commands => matches!(first, 0x03 | 0x16..=0x18 | 0xfa),
            Phase::Answers => true,
        };
        match long {
            true => self.limit,
            false => self.limit.min(Self::SMALL),
        }
    }
}

impl Head {
    /// Whether the message goes on in another packet.
    pub const fn goes_on(self) -> bool {
        self.length as usize == MAX_PACKET
    }
}

impl Sequence {
    /// The count of a new command, or of a new connection.
    pub const fn new() -> Self {
        Self(0)
    }

    /// The number of the next packet.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Appends a message as it stands on the wire, in as many packets as it takes.
    pub fn write(&mut self, body: &[u8], out: &mut BytesMut) {
        let mut rest = body;
        loop {
            let length = rest.len().min(MAX_PACKET);
            let (payload, behind) = rest.split_at(length);
            out.reserve(HEAD + length);
            self.write_head(length, out);
            out.extend_from_slice(payload);
            rest = behind;
            if length < MAX_PACKET {
                break;
            }
        }
    }

    /// Appends a piece of a message that is handed on, with its number in this count.
    pub fn write_piece(&mut self, piece: &Piece, out: &mut BytesMut) {
        match piece {
            Piece::Head(head) => self.write_head(head.length as usize, out),
            Piece::Data(data) => out.extend_from_slice(data),
        }
    }

    fn write_head(&mut self, length: usize, out: &mut BytesMut) {
        out.put_uint_le(length as u64, 3);
        out.put_u8(self.0);
        self.0 = self.0.wrapping_add(1);
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Packet")
            .field("sequence", &self.sequence)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Head(head) => f.debug_tuple("Head").field(head).finish(),
            Self::Data(data) => f.debug_tuple("Data").field(&data.len()).finish(),
        }
    }
}

/// A length and a number.
const HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(first: u8, bodies: &[&[u8]]) -> BytesMut {
        let (mut out, mut sequence) = (BytesMut::new(), Sequence(first));
        for body in bodies {
            sequence.write(body, &mut out);
        }
        out
    }

    #[test]
    fn a_length_is_judged_before_the_payload_comes() {
        let next = |bytes: &[u8]| {
            let mut packets = Packets::of_clients(1 << 20);
            packets.next(&mut BytesMut::from(bytes))
        };
        assert_eq!(next(b"\0\0"), Ok(None));
        assert_eq!(next(b"\0\0\x10\0"), Ok(None));
        assert_eq!(next(b"\0\0\x10\0\x03"), Ok(None));
        let (bytes, limit) = ((1 << 20) + 1, 1 << 20);
        let too_long = |bytes, limit| Err(Error::TooLong { bytes, limit });
        assert_eq!(next(b"\x01\0\x10\0\x03"), too_long(bytes, limit));
        // A name is not a megabyte long.
        assert_eq!(next(b"\0\0\x10\0\x02"), too_long(1 << 20, 1 << 16));
        let mut packets = Packets::of_signing_in();
        let mut wire = BytesMut::from(&b"\0\0\x10\0\x03"[..]);
        assert_eq!(packets.next(&mut wire), too_long(1 << 20, 1 << 16));
    }

    #[test]
    fn a_message_goes_on_where_its_packet_is_full() {
        for extra in [0, 1, 70_000] {
            let body = vec![3; MAX_PACKET + extra];
            let wire = written(255, &[&body, b"\x0e"]);
            assert_eq!(wire.len(), body.len() + 1 + 3 * HEAD);
            assert_eq!(&wire[..4], b"\xff\xff\xff\xff");
            assert_eq!(wire[HEAD + MAX_PACKET + 3], 0);
            let mut packets = Packets::of_clients(1 << 25);
            let mut come = wire.clone();
            let packet = packets.next(&mut come).unwrap().unwrap();
            assert_eq!((packet.sequence, packet.body.len()), (255, body.len()));
            assert_eq!(packet.next().number(), 1);
            let packet = packets.next(&mut come).unwrap().unwrap();
            assert_eq!((packet.sequence, &packet.body[..]), (1, &b"\x0e"[..]));
            assert!(packets.is_between());

            // The whole is bounded, not each packet.
            let mut packets = Packets::of_clients(MAX_PACKET);
            let result = packets.next(&mut wire.clone());
            assert_eq!(result.is_err(), extra > 0, "{extra}");
            let mut packets = Packets::of_clients(1 << 25);
            let mut wrong = wire;
            wrong[HEAD + MAX_PACKET + 3] = 7;
            let out_of_step = Error::Sequence {
                got: 7,
                expected: 0,
            };
            assert_eq!(packets.next(&mut wrong), Err(out_of_step));
        }
    }

    #[test]
    fn what_is_handed_on_is_the_same_with_another_number() {
        let body = vec![7; MAX_PACKET + 9];
        let mut wire = written(4, &[&body, b"end"]);
        let mut packets = Packets::of_servers(100);
        assert!(packets.head(&wire).unwrap().unwrap().goes_on());
        let (mut out, mut sequence, mut come) = (BytesMut::new(), Sequence(9), BytesMut::new());
        let mut most = 0;
        loop {
            let part = wire.len().min(1 << 20);
            come.extend_from_slice(&wire.split_to(part));
            while let Some(piece) = packets.piece(&mut come).unwrap() {
                sequence.write_piece(&piece, &mut out);
                if packets.is_between() {
                    break;
                }
            }
            most = most.max(come.len());
            if packets.is_between() {
                break;
            }
            assert_eq!(packets.next(&mut come), Err(Error::Length));
        }
        assert!(most <= 1 << 20);
        let last = packets.next(&mut come).unwrap().unwrap();
        assert_eq!((last.sequence, &last.body[..]), (6, &b"end"[..]));
        assert_eq!(out, written(9, &[&body]));
    }

    #[test]
    fn no_debug_output_shows_a_body() {
        let packet = Packet::new(&b"hunter2"[..]);
        assert!(!format!("{packet:?}").contains("hunter"));
        let piece = Piece::Data(packet.body);
        assert_eq!(format!("{piece:?}"), "Data(7)");
    }
}
