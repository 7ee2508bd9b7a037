//! The digest of a body whose pieces are other than its parts.

use tollbook_ledger::ContentDigest;

use crate::recording::MAX_PART;

/// The digest of a request's body, which comes in other pieces than those that the digest has.
pub(super) struct Parted {
    pub(super) digest: ContentDigest,
    /// Bytes that are announced and did not begin a part yet, and that are missing in the one that
    /// did.
    ahead: u64,
    missing: u64,
}

impl Parted {
    pub(super) fn new(salt: &[u8; 32], bytes: u64) -> Self {
        Self {
            digest: ContentDigest::new(salt),
            ahead: bytes,
            missing: 0,
        }
    }

    pub(super) fn more(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.missing == 0 {
                // More than was announced is another body in any case.
                self.missing = self.ahead.clamp(1, MAX_PART as u64);
                self.ahead = self.ahead.saturating_sub(self.missing);
                self.digest.begin(0, self.missing);
            }
            let most = usize::try_from(self.missing).unwrap_or(usize::MAX);
            let (now, rest) = piece.split_at(piece.len().min(most));
            self.digest.more(now);
            self.missing -= now.len() as u64;
            piece = rest;
        }
    }
}
