//! A digest over a body that is stored in parts.

use std::fmt;

use sha2::{Digest, Sha256};

use crate::Hash;

/// A salted SHA-256 over the stored parts of one body, their order, their times and their lengths.
///
/// The input is the tag `tollbook-content-v1` and a zero byte, the salt of the entry whose envelope
/// holds the digest, and for each part: its time and its length as eight bytes each, most
/// significant first, and its bytes. So no other division into parts has the same digest, and
/// nobody without the salt can test guesses about the body.
#[derive(Clone)]
pub struct ContentDigest {
    hasher: Sha256,
    parts: u64,
    bytes: u64,
}

impl ContentDigest {
    /// The digest of no parts.
    pub fn new(salt: &[u8; 32]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"tollbook-content-v1\0");
        hasher.update(salt);
        Self {
            hasher,
            parts: 0,
            bytes: 0,
        }
    }

    /// Takes the next part. `at` is its time in microseconds from the start of the exchange.
    pub fn part(&mut self, at: u64, bytes: &[u8]) {
        self.begin(at, bytes.len() as u64);
        self.more(bytes);
    }

    /// Begins a part of which the bytes come one piece after the other, by [`more`](Self::more):
    /// `length` of them, or the digest is that of nothing.
    pub fn begin(&mut self, at: u64, length: u64) {
        self.hasher.update(at.to_be_bytes());
        self.hasher.update(length.to_be_bytes());
        self.parts += 1;
    }

    /// Takes the next bytes of a part that was begun.
    pub fn more(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The number of parts so far.
    pub const fn parts(&self) -> u64 {
        self.parts
    }

    /// The number of bytes in them.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of the parts so far.
    pub fn finish(&self) -> Hash {
        Hash(self.hasher.clone().finalize().into())
    }
}

impl fmt::Debug for ContentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ContentDigest")
            .field("parts", &self.parts)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(salt: u8, parts: &[(u64, &[u8])]) -> Hash {
        let mut digest = ContentDigest::new(&[salt; 32]);
        parts.iter().for_each(|(at, bytes)| digest.part(*at, bytes));
        digest.finish()
    }

    #[test]
    fn salt_order_time_and_division_all_count() {
        let digests = [
            digest(0, &[]),
            digest(0, &[(0, b"")]),
            digest(0, &[(0, b"ab")]),
            digest(1, &[(0, b"ab")]),
            digest(0, &[(1, b"ab")]),
            digest(0, &[(0, b"a"), (0, b"b")]),
            digest(0, &[(0, b"b"), (0, b"a")]),
            digest(0, &[(0, b"ab"), (0, b"")]),
        ];
        for (n, digest) in digests.iter().enumerate() {
            assert!(!digests[..n].contains(digest), "digest {n}");
        }
    }
}
