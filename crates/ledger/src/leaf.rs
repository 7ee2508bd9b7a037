//! What the tree is built over.

use sha2::{Digest, Sha256};

use crate::{Error, Hash, Link, Seal};

/// The length of a leaf of version 3.
pub const LEAF_BYTES: usize = HEADER_BYTES + 32 + CHECK_BYTES;

/// One leaf of the log: a small fixed record that commits to an entry without telling about it.
///
/// Version 3, all numbers most significant byte first:
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | version, 3 |
/// | 1 | 1 | [`Kind`] |
/// | 2 | 2 | in a start, heartbeat or state the seconds until the next heartbeat, else 0 |
/// | 4 | 8 | sequence: the leaf's index in the log |
/// | 12 | 8 | time in microseconds since 1970-01-01T00:00:00Z, signed |
/// | 20 | 16 | id of the exchange; zeros in an entry of no exchange |
/// | 36 | 16 | id of the session; zeros in the book's own entries |
/// | 52 | 8 | ordinal: the number of entries of the session before this one |
/// | 60 | 4 | exchanges of the session without an outcome after this entry |
/// | 64 | 32 | leaf hash of the session's entry before this one; zeros in the first |
/// | 96 | 16 | id of the key that the entry is encrypted with; zeros where it is stored as it is |
/// | 112 | 32 | [`SealedDigest`](crate::SealedDigest) over what is stored; zeros where it is stored as it is |
/// | 144 | 32 | [`commitment`] to the 144 bytes before, the salt and the envelope |
/// | 176 | 8 | the first bytes of a SHA-256 over the tag `tollbook-leaf-v3`, a zero byte and the 176 before |
///
/// The last field proves nothing, for anybody can compute it. It names the leaf in which a byte went
/// wrong, where the commitment cannot be opened because there is no key, or no key any more.
///
/// Sequence and tree tie the leaf to the log as a whole; ordinal, count and previous hash tie it to
/// its session, so that the records of one session are seen to be without a gap also where
/// the others are not there to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// All of the leaf but the commitment.
    pub header: Header,
    /// Binds salt and envelope to the header.
    pub commitment: Hash,
}

/// The part of a [`Leaf`] that is not hidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What kind of entry this is.
    pub kind: Kind,
    /// In a start, heartbeat or state the seconds within which the next heartbeat comes, else 0.
    pub period: u16,
    /// The leaf's index in the log.
    pub sequence: u64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// The id of the exchange; zeros in an entry of no exchange.
    pub exchange: [u8; 16],
    /// The id of the session; [`BOOK`](crate::BOOK) in the book's own entries.
    pub session: [u8; 16],
    /// Its place in the session.
    pub link: Link,
    /// How the entry is stored.
    pub seal: Seal,
}

/// What kind of entry a leaf stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What was asked, written before anything was forwarded. In a leaf: 1.
    Intent,
    /// How it ended. In a leaf: 2.
    Outcome,
    /// A session has been idle, and its records are counted. It may go on later. In a leaf: 3.
    Close,
    /// The recorder lives, and counts what is open. In a leaf: 4.
    Heartbeat,
    /// A recorder began to write the book. In a leaf: 5.
    Start,
    /// It stopped in good order. In a leaf: 6.
    Stop,
    /// The room on its disk became little, or enough again. In a leaf: 7.
    State,
    /// Keys are destroyed, so that what they encrypted is erased. In a leaf: 8.
    Tombstone,
    /// Something must not be erased, or may be again. In a leaf: 9.
    Hold,
}

/// Commits to an entry: SHA-256 over the tag `tollbook-entry-v3` and a zero byte, the leaf's header,
/// and the [`salted`] digest of its envelope.
///
/// The header is part of it so that a byte changed anywhere in a leaf is found at that leaf, and not
/// only as a wrong root.
pub fn commitment(header: &Header, salted: &Hash) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"tollbook-entry-v3\0");
    hasher.update(header.to_bytes());
    hasher.update(salted.0);
    Hash(hasher.finalize().into())
}

/// The salted digest of an envelope: SHA-256 over the tag `tollbook-envelope-v3` and a zero byte,
/// the salt and the envelope.
///
/// Without the salt nobody can test guesses about the envelope.
pub fn salted(salt: &[u8; 32], envelope: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"tollbook-envelope-v3\0");
    hasher.update(salt);
    hasher.update(envelope);
    Hash(hasher.finalize().into())
}

impl Leaf {
    /// The leaf of the entry with this header, salt and envelope.
    pub fn seal(header: Header, salt: &[u8; 32], envelope: &[u8]) -> Self {
        Self::of(header, &salted(salt, envelope))
    }

    /// The leaf of the entry with this header and [`salted`] digest.
    pub fn of(header: Header, salted: &Hash) -> Self {
        Self {
            header,
            commitment: commitment(&header, salted),
        }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Leaf`] for another length, version or kind, or when a byte of it was changed.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let leaf = Self::peek(bytes)?;
        if bytes.ends_with(&check(bytes)) {
            Ok(leaf)
        } else {
            Err(Error::Leaf)
        }
    }

    /// Reads a leaf in which a byte may be wrong.
    pub(crate) fn peek(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: &[u8; LEAF_BYTES] = bytes.try_into().map_err(|_| Error::Leaf)?;
        let (&[version, kind], rest) = split::<2>(bytes)?;
        let (period, rest) = split::<2>(rest)?;
        let (sequence, rest) = split::<8>(rest)?;
        let (time, rest) = split::<8>(rest)?;
        let (exchange, rest) = split::<16>(rest)?;
        let (session, rest) = split::<16>(rest)?;
        let (ordinal, rest) = split::<8>(rest)?;
        let (open, rest) = split::<4>(rest)?;
        let (previous, rest) = split::<32>(rest)?;
        let (key, rest) = split::<16>(rest)?;
        let (digest, rest) = split::<32>(rest)?;
        let (commitment, _) = split::<32>(rest)?;
        if version != VERSION {
            return Err(Error::Leaf);
        }
        Ok(Self {
            header: Header {
                kind: Kind::from_byte(kind).ok_or(Error::Leaf)?,
                period: u16::from_be_bytes(*period),
                sequence: u64::from_be_bytes(*sequence),
                time: i64::from_be_bytes(*time),
                exchange: *exchange,
                session: *session,
                link: Link {
                    ordinal: u64::from_be_bytes(*ordinal),
                    open: u32::from_be_bytes(*open),
                    previous: Hash(*previous),
                },
                seal: Seal {
                    key: *key,
                    digest: Hash(*digest),
                },
            },
            commitment: Hash(*commitment),
        })
    }

    /// Whether the leaf is the one of this salt and envelope.
    pub fn opens_with(&self, salt: &[u8; 32], envelope: &[u8]) -> bool {
        self.commitment == commitment(&self.header, &salted(salt, envelope))
    }

    /// The bytes that the tree is built over.
    pub fn to_bytes(&self) -> [u8; LEAF_BYTES] {
        let mut bytes = [0; LEAF_BYTES];
        let (header, rest) = bytes.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&self.header.to_bytes());
        rest[..32].copy_from_slice(&self.commitment.0);
        let check = check(&bytes);
        bytes[LEAF_BYTES - CHECK_BYTES..].copy_from_slice(&check);
        bytes
    }
}

impl Header {
    /// Whether the entry belongs to the only exchange of its session.
    pub fn is_alone(&self) -> bool {
        self.session == self.exchange && self.session != crate::BOOK
    }

    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = VERSION;
        bytes[1] = self.kind.to_byte();
        bytes[2..4].copy_from_slice(&self.period.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.time.to_be_bytes());
        bytes[20..36].copy_from_slice(&self.exchange);
        bytes[36..52].copy_from_slice(&self.session);
        bytes[52..60].copy_from_slice(&self.link.ordinal.to_be_bytes());
        bytes[60..64].copy_from_slice(&self.link.open.to_be_bytes());
        bytes[64..96].copy_from_slice(&self.link.previous.0);
        bytes[96..112].copy_from_slice(&self.seal.key);
        bytes[112..144].copy_from_slice(&self.seal.digest.0);
        bytes
    }
}

impl Kind {
    /// The kind as it stands in a leaf.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Intent => 1,
            Self::Outcome => 2,
            Self::Close => 3,
            Self::Heartbeat => 4,
            Self::Start => 5,
            Self::Stop => 6,
            Self::State => 7,
            Self::Tombstone => 8,
            Self::Hold => 9,
        }
    }

    /// The kind that stands in a leaf as this byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Intent),
            2 => Some(Self::Outcome),
            3 => Some(Self::Close),
            4 => Some(Self::Heartbeat),
            5 => Some(Self::Start),
            6 => Some(Self::Stop),
            7 => Some(Self::State),
            8 => Some(Self::Tombstone),
            9 => Some(Self::Hold),
            _ => None,
        }
    }

    /// The name that an envelope of this kind has.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Intent => "intent",
            Self::Outcome => "outcome",
            Self::Close => "close",
            Self::Heartbeat => "heartbeat",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::State => "state",
            Self::Tombstone => "tombstone",
            Self::Hold => "hold",
        }
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Error> {
    bytes.split_first_chunk().ok_or(Error::Leaf)
}

/// The check of a leaf with these bytes, whatever stands in its place.
fn check(leaf: &[u8]) -> [u8; CHECK_BYTES] {
    let end = leaf.len().saturating_sub(CHECK_BYTES);
    let digest = Hash::of(&[b"tollbook-leaf-v3\0", &leaf[..end]]).0;
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest[..CHECK_BYTES]);
    check
}

const VERSION: u8 = 3;
const HEADER_BYTES: usize = 144;
const CHECK_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        let header = Header {
            kind: Kind::Outcome,
            period: 0x0d0e,
            sequence: 0x0102_0304_0506_0708,
            time: -2,
            exchange: [0xaa; 16],
            session: [0xbb; 16],
            link: Link {
                ordinal: 0x1112_1314_1516_1718,
                open: 0x2122_2324,
                previous: Hash([0xdd; 32]),
            },
            seal: Seal {
                key: [0xee; 16],
                digest: Hash([0xff; 32]),
            },
        };
        Leaf::seal(header, &[0xcc; 32], b"envelope")
    }

    /// The layout is read by verifiers that other people keep: it never changes.
    #[test]
    fn the_layout_of_version_3_is_fixed() {
        let hex: String = leaf()
            .to_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "03020d0e\
             0102030405060708\
             fffffffffffffffe\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\
             1112131415161718\
             21222324\
             dddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddddd\
             eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee\
             ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff\
             194b450e253c848034fcd927543c9acfc8befa096d3019fd44b5e23a53ea2ad5\
             c7fe122477609281"
        );
        assert_eq!(Leaf::from_bytes(&leaf().to_bytes()), Ok(leaf()));
    }

    #[test]
    fn a_bit_changed_anywhere_is_seen_at_the_leaf() {
        let bytes = leaf().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Leaf::from_bytes(&changed), Err(Error::Leaf), "bit {bit}");
            // Who changes a leaf can mend its check, and then does not open the commitment.
            let mended = check(&changed);
            changed[LEAF_BYTES - CHECK_BYTES..].copy_from_slice(&mended);
            let opens =
                Leaf::from_bytes(&changed).is_ok_and(|l| l.opens_with(&[0xcc; 32], b"envelope"));
            assert!(!opens || changed == bytes, "bit {bit}");
        }
        assert!(leaf().opens_with(&[0xcc; 32], b"envelope"));
        assert!(!leaf().opens_with(&[0xcd; 32], b"envelope"));
        assert!(!leaf().opens_with(&[0xcc; 32], b"envelopf"));
    }

    #[test]
    fn a_leaf_of_another_length_is_refused() {
        let bytes = leaf().to_bytes();
        assert_eq!(Leaf::from_bytes(&bytes[1..]), Err(Error::Leaf));
        assert_eq!(
            Leaf::from_bytes(&[&bytes[..], &[0]].concat()),
            Err(Error::Leaf)
        );
    }
}
