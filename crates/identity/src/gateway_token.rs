//! The gate's own tokens: opaque, short-lived, and kept as a hash only.

mod record;

use std::{fmt, str::FromStr};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use zeroize::{Zeroize, Zeroizing};

pub use self::record::{Revoked, TokenRecord};
use crate::{
    TokenHash,
    digest::{from_hex, sha256, write_hex},
};

/// A gateway token: `gws_` and 43 characters of base64url, which are 256 random bits.
///
/// There is nothing in it to read or to forge. Wiped from memory on drop; `Debug` prints nothing.
pub struct GatewayToken(Zeroizing<String>);

impl GatewayToken {
    /// What every gateway token begins with, so that secret scanners find one that leaked.
    pub const PREFIX: &str = "gws_";

    const LENGTH: usize = Self::PREFIX.len() + 43;

    /// The token that these random bytes make.
    pub fn from_random(mut bytes: [u8; 32]) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(Self::LENGTH));
        text.push_str(Self::PREFIX);
        URL_SAFE_NO_PAD.encode_string(bytes, &mut text);
        bytes.zeroize();
        Self(text)
    }

    /// The token's hash, if `text` has the form of a gateway token.
    pub fn hash_of(text: &str) -> Option<TokenHash> {
        let secret = text.strip_prefix(Self::PREFIX)?;
        let mut bytes = Zeroizing::new([0; 32]);
        // The one spelling: a decoder that took others would give one token several hashes, and a
        // revocation would miss some.
        let length = URL_SAFE_NO_PAD.decode_slice(secret, bytes.as_mut()).ok()?;
        (length == 32 && text.len() == Self::LENGTH).then(|| TokenHash(sha256(text.as_bytes())))
    }

    /// The hash under which the token is kept.
    pub fn hash(&self) -> TokenHash {
        TokenHash(sha256(self.0.as_bytes()))
    }

    /// The secret itself. Keep it out of everything that is written or shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for GatewayToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("GatewayToken(..)")
    }
}

/// Names a gateway token in records, logs and commands: the first 16 hexadecimal digits of its
/// hash. It opens nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId([u8; 8]);

impl TokenId {
    /// The id that goes with a hash.
    pub fn of(hash: &TokenHash) -> Self {
        let mut id = [0; 8];
        id.copy_from_slice(&hash.0[..8]);
        Self(id)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(f, &self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

/// A text that is no token id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token id is 16 lower-case hexadecimal digits")]
pub struct NotATokenId;

impl FromStr for TokenId {
    type Err = NotATokenId;

    fn from_str(text: &str) -> Result<Self, NotATokenId> {
        from_hex(text).map(Self).ok_or(NotATokenId)
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_form_and_one_hash() {
        let token = GatewayToken::from_random([0xA5; 32]);
        assert_eq!(token.expose().len(), 47);
        assert_eq!(GatewayToken::hash_of(token.expose()), Some(token.hash()));
        assert_eq!(format!("{token:?}"), "GatewayToken(..)");
    }

    #[test]
    fn what_only_looks_like_a_token_has_no_hash() {
        let good = GatewayToken::from_random([0xA5; 32]).expose().to_owned();
        // The last character carries four spare bits, which must be zero.
        let spare = format!("{}V", &good[..46]);
        for text in [
            "",
            "gws_",
            &good[4..],
            &good[..46],
            &format!("{good}A"),
            &format!("{good}="),
            &good.replace("gws_", "GWS_"),
            &good.replace("gws_", "gws_+"),
            &spare,
        ] {
            assert_eq!(GatewayToken::hash_of(text), None, "{text}");
        }
    }

    #[test]
    fn an_id_is_the_beginning_of_the_hash() {
        let hash = GatewayToken::from_random([1; 32]).hash();
        let id = TokenId::of(&hash);
        assert!(hash.to_string().starts_with(&id.to_string()));
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("0123".parse::<TokenId>(), Err(NotATokenId));
    }
}
