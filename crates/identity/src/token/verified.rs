//! What a token that held says.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tollbook_exchange::Principal;

use crate::{Algorithm, KeyFingerprint};

/// A token that held: whom it is about, until when, and everything it says.
#[derive(Clone)]
#[non_exhaustive]
pub struct Verified {
    /// Whom the token is about.
    pub principal: Principal,
    /// When the token ends (`exp`), in seconds since 1970.
    pub expires: i64,
    /// When the token was made (`iat`), in seconds since 1970.
    pub issued: i64,
    /// Names the token without opening anything: the SHA-256 of the issuer's identifier, a zero
    /// byte and the token's id (`jti`), or where the issuer gives none, of the signed part of the
    /// token. The signature is left out of it, because ECDSA signatures have a second spelling.
    pub assertion: [u8; 32],
    /// All claims, for rules to match. A member `b` of an object `a` is called `a/b`, or `ab` where
    /// `a` ends in a slash; lists stay lists.
    pub claims: Map<String, Value>,
    /// The key that signed the token.
    pub signed_by: SigningKey,
}

/// Names the key that signed a token, so that whatever came of the token can end with the key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SigningKey {
    /// The issuer's own name for itself.
    pub issuer: String,
    /// The key's id (`kid`) in the token, if that had one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kid: Option<String>,
    /// The algorithm it signs with.
    pub algorithm: Algorithm,
    /// Tells the key from every other.
    pub fingerprint: KeyFingerprint,
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The claims are whatever the issuer knows about a person.
        f.debug_struct("Verified")
            .field("issuer", &self.principal.issuer)
            .field("subject", &self.principal.subject)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
