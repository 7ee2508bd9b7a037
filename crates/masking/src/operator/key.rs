//! The key of a tenant.

use std::{fmt, sync::Arc};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

/// A secret key, from which hashes and tokens are made. Whoever has it can try values; without it
/// nobody can tell one value from another. It prints nothing and is wiped.
#[derive(Clone)]
pub struct MaskKey(Arc<Zeroizing<[u8; 32]>>);

impl MaskKey {
    /// The key of these bytes, which should be random.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }

    /// Another key, for one purpose or one scope. The parts are told apart by their lengths.
    #[must_use]
    pub fn derive(&self, parts: &[&[u8]]) -> Self {
        Self::new(self.digest(parts))
    }

    /// Whether this is a clone of `other`. Keys that were made apart count as different.
    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// HMAC-SHA-256 (RFC 2104) of the parts, each behind its length.
    #[expect(clippy::expect_used, reason = "HMAC takes keys of every length")]
    pub(crate) fn digest(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0[..]).expect("any length");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for MaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskKey(..)")
    }
}
