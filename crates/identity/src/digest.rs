//! SHA-256 values, each kind a type of its own.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

macro_rules! digests {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        ///
        /// Its text form, in JSON too, is 64 lower-case hexadecimal digits. `Debug` shows the
        /// first 16.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The digest that `text` writes, if it is 64 lower-case hexadecimal digits.
            pub fn parse(text: &str) -> Option<Self> {
                from_hex(text).map(Self)
            }

            /// The bytes.
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// Whether both are the same, in a time that does not tell where they differ.
            #[must_use]
            pub fn matches(&self, other: &Self) -> bool {
                verify_slices_are_equal(&self.0, &other.0).is_ok()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_hex(f, &self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "("))?;
                write_hex(f, &self.0[..8])?;
                f.write_str("..)")
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::parse(&text).ok_or_else(|| D::Error::custom("not a SHA-256 in hexadecimal"))
            }
        }
    )*};
}

digests! {
    /// The SHA-256 of a gateway token: all that is kept of one.
    TokenHash;
    /// Names an issuer's token by what cannot be turned back into it.
    AssertionHash;
    /// Tells an issuer's key from every other, and from itself with another algorithm.
    KeyFingerprint;
    /// The SHA-256 of the DER form of the certificate that a client proved to hold when its TLS
    /// connection was made (RFC 8705 §3.1).
    ///
    /// The edge that made the connection puts it into the extensions of every request that comes
    /// over it. Nothing else may: a value taken from a header would be the caller's own word.
    PeerCertificate;
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

pub(crate) fn write_hex(f: &mut impl fmt::Write, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The bytes that `text` writes in lower-case hexadecimal, if they are `N`.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    fn digit(byte: u8) -> Option<u8> {
        match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        }
    }
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_read_as_it_is_written_and_in_no_other_spelling() {
        let digest = TokenHash(sha256(b"abc"));
        let text = digest.to_string();
        assert_eq!(
            text,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(TokenHash::parse(&text), Some(digest));
        let json = serde_json::to_string(&digest).unwrap();
        assert_eq!(serde_json::from_str::<TokenHash>(&json).unwrap(), digest);
        assert_eq!(TokenHash::parse(&text.to_uppercase()), None);
        assert_eq!(TokenHash::parse(&text[1..]), None);
        assert_eq!(TokenHash::parse(&text.replace("ba", "+a")), None);
    }

    #[test]
    fn equal_digests_match_and_others_do_not() {
        let digest = TokenHash([7; 32]);
        assert!(digest.matches(&TokenHash([7; 32])));
        let mut other = digest;
        other.0[31] ^= 1;
        assert!(!digest.matches(&other));
    }
}
