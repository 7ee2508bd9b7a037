//! What the tree is built over.

use sha2::{Digest, Sha256};

use crate::{Error, Hash};

/// The length of a leaf of version 1.
pub const LEAF_BYTES: usize = HEADER_BYTES + 32;

/// One leaf of the log: a small fixed record that commits to an entry without telling about it.
///
/// Version 1, all numbers most significant byte first:
///
/// | offset | bytes | field |
/// |---|---|---|
/// | 0 | 1 | version, 1 |
/// | 1 | 1 | [`Kind`] |
/// | 2 | 2 | flags, 0 |
/// | 4 | 8 | sequence: the leaf's index in the log |
/// | 12 | 8 | time in microseconds since 1970-01-01T00:00:00Z, signed |
/// | 20 | 16 | id of the exchange |
/// | 36 | 16 | id of the session |
/// | 52 | 32 | [`commitment`] to the 52 bytes before, the salt and the envelope |
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
    /// The leaf's index in the log.
    pub sequence: u64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub time: i64,
    /// The id of the exchange.
    pub exchange: [u8; 16],
    /// The id of the session.
    pub session: [u8; 16],
}

/// What kind of entry a leaf stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// What was asked, written before anything was forwarded. In a leaf: 1.
    Intent,
    /// How it ended. In a leaf: 2.
    Outcome,
}

/// Commits to an entry: SHA-256 over the tag `tollbook-envelope-v1` and a zero byte, the leaf's
/// header, the salt and the envelope.
///
/// All but the envelope have a fixed length, so no two entries have the same input. The header is
/// part of it so that a byte changed anywhere in a leaf is found at that leaf, and not only as a
/// wrong root. Without the salt nobody can test guesses about the envelope.
pub fn commitment(header: &Header, salt: &[u8; 32], envelope: &[u8]) -> Hash {
    let mut hasher = Sha256::new();
    hasher.update(b"tollbook-envelope-v1\0");
    hasher.update(header.to_bytes());
    hasher.update(salt);
    hasher.update(envelope);
    Hash(hasher.finalize().into())
}

impl Leaf {
    /// The leaf of the entry with this header, salt and envelope.
    pub fn seal(header: Header, salt: &[u8; 32], envelope: &[u8]) -> Self {
        Self {
            header,
            commitment: commitment(&header, salt, envelope),
        }
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    ///
    /// [`Error::Leaf`] for another length, version or kind, and for flags, of which this version
    /// has none.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let bytes: &[u8; LEAF_BYTES] = bytes.try_into().map_err(|_| Error::Leaf)?;
        let (&[version, kind, ref flags @ ..], rest) = split::<4>(bytes)?;
        let (sequence, rest) = split::<8>(rest)?;
        let (time, rest) = split::<8>(rest)?;
        let (exchange, rest) = split::<16>(rest)?;
        let (session, rest) = split::<16>(rest)?;
        let (commitment, _) = split::<32>(rest)?;
        if version != VERSION || *flags != [0, 0] {
            return Err(Error::Leaf);
        }
        Ok(Self {
            header: Header {
                kind: Kind::from_byte(kind).ok_or(Error::Leaf)?,
                sequence: u64::from_be_bytes(*sequence),
                time: i64::from_be_bytes(*time),
                exchange: *exchange,
                session: *session,
            },
            commitment: Hash(*commitment),
        })
    }

    /// Whether the leaf is the one of this salt and envelope.
    pub fn opens_with(&self, salt: &[u8; 32], envelope: &[u8]) -> bool {
        self.commitment == commitment(&self.header, salt, envelope)
    }

    /// The bytes that the tree is built over.
    pub fn to_bytes(&self) -> [u8; LEAF_BYTES] {
        let mut bytes = [0; LEAF_BYTES];
        let (header, commitment) = bytes.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(&self.header.to_bytes());
        commitment.copy_from_slice(&self.commitment.0);
        bytes
    }
}

impl Header {
    fn to_bytes(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0] = VERSION;
        bytes[1] = self.kind.to_byte();
        bytes[4..12].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[12..20].copy_from_slice(&self.time.to_be_bytes());
        bytes[20..36].copy_from_slice(&self.exchange);
        bytes[36..52].copy_from_slice(&self.session);
        bytes
    }
}

impl Kind {
    /// The kind as it stands in a leaf.
    pub const fn to_byte(self) -> u8 {
        match self {
            Self::Intent => 1,
            Self::Outcome => 2,
        }
    }

    /// The kind that stands in a leaf as this byte.
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Intent),
            2 => Some(Self::Outcome),
            _ => None,
        }
    }
}

fn split<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Error> {
    bytes.split_first_chunk().ok_or(Error::Leaf)
}

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 52;

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf() -> Leaf {
        let header = Header {
            kind: Kind::Outcome,
            sequence: 0x0102_0304_0506_0708,
            time: -2,
            exchange: [0xaa; 16],
            session: [0xbb; 16],
        };
        Leaf::seal(header, &[0xcc; 32], b"envelope")
    }

    /// The layout is read by verifiers that other people keep: it never changes.
    #[test]
    fn the_layout_of_version_1_is_fixed() {
        let hex: String = leaf()
            .to_bytes()
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(
            hex,
            "01020000\
             0102030405060708\
             fffffffffffffffe\
             aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\
             bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\
             4a86f7422f4816772994a5249785831b8b36bcdd5b4d9fd12020b25eb4274777"
        );
        assert_eq!(Leaf::from_bytes(&leaf().to_bytes()), Ok(leaf()));
    }

    #[test]
    fn a_bit_changed_anywhere_is_seen_at_the_leaf() {
        let bytes = leaf().to_bytes();
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            let opens =
                Leaf::from_bytes(&changed).is_ok_and(|l| l.opens_with(&[0xcc; 32], b"envelope"));
            assert!(!opens, "bit {bit}");
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
