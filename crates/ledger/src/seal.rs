//! What a leaf says of bytes that are stored encrypted.

use sha2::{Digest, Sha256};

use crate::Hash;

/// What a leaf says of how its entry is stored.
///
/// The digest is over what lies on the disk, so that a log can be checked by those who cannot
/// decrypt it, and after the key was destroyed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The id of the key that the entry is encrypted with: random, and of no meaning elsewhere.
    /// Zeros in an entry that is stored as it is.
    pub key: [u8; 16],
    /// The [`SealedDigest`] over the entry as it is stored; zeros in one that is stored as it is.
    pub digest: Hash,
}

impl Seal {
    /// That of an entry that is stored as it is.
    pub const PLAIN: Self = Self {
        key: [0; 16],
        digest: Hash([0; 32]),
    };

    /// Whether the entry is stored as it is.
    pub fn is_plain(&self) -> bool {
        *self == Self::PLAIN
    }
}

/// A SHA-256 over the digests of all that an entry brings to the disk.
///
/// The input is the tag `tollbook-sealed-v1` and a zero byte, for each piece besides the envelope a
/// byte for its kind, its number as eight bytes, most significant first, and the digest of its stored
/// bytes; and last the digest of the stored envelope. Digests of pieces rather than pieces: what is
/// dropped when its key was destroyed can leave its digest behind, and the log is checked as before.
#[derive(Clone, Debug)]
pub struct SealedDigest(Sha256);

impl SealedDigest {
    /// The digest of nothing yet.
    pub fn new() -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"tollbook-sealed-v1\0");
        Self(hasher)
    }

    /// Takes the next piece of this kind by its number and digest.
    pub fn piece(&mut self, kind: u8, number: u64, digest: &Hash) {
        self.0.update([kind]);
        self.0.update(number.to_be_bytes());
        self.0.update(digest.0);
    }

    /// Ends with the digest of the stored envelope.
    pub fn finish(&self, envelope: &Hash) -> Hash {
        let mut hasher = self.0.clone();
        hasher.update(envelope.0);
        Hash(hasher.finalize().into())
    }
}

impl Default for SealedDigest {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kind_number_order_and_digest_all_count() {
        let digest = |envelope: u8, pieces: &[(u8, u64, u8)]| {
            let mut digest = SealedDigest::new();
            for (kind, number, of) in pieces {
                digest.piece(*kind, *number, &Hash([*of; 32]));
            }
            digest.finish(&Hash([envelope; 32]))
        };
        let digests = [
            digest(0, &[]),
            digest(1, &[]),
            digest(0, &[(0, 0, 0)]),
            digest(0, &[(1, 0, 0)]),
            digest(0, &[(0, 1, 0)]),
            digest(0, &[(0, 0, 1)]),
            digest(0, &[(0, 0, 0), (0, 1, 0)]),
            digest(0, &[(0, 1, 0), (0, 0, 0)]),
        ];
        for (n, one) in digests.iter().enumerate() {
            assert!(!digests[..n].contains(one), "digest {n}");
        }
    }
}
