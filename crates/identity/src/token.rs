//! A signed token in compact form (RFC 7515 §7.1), read so that it has one meaning only.

mod claims;
mod flat;
mod header;
mod json;
mod recent;
mod verified;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::crypto::aws_lc;
use serde_json::{Map, Value};

pub use self::verified::{SigningKey, Verified};
pub(crate) use self::{
    claims::Claims,
    header::{Header, media_type},
    json::{JsonFault, object},
    recent::{Held, Recent},
};
use crate::{Algorithm, Reason, issuer::trust_domain, keys::Key};

/// A token whose signature nobody has checked. Its claims are hearsay: they may choose the issuer
/// whose keys are tried, and nothing else.
pub(crate) struct Unverified<'a> {
    header: Header,
    claims: Map<String, Value>,
    /// Header and claims with the dot between them: what was signed.
    message: &'a [u8],
    signature: Vec<u8>,
}

const TOKEN_LIMIT: usize = 16 * 1024;
const HEADER_LIMIT: usize = 4 * 1024;

impl<'a> Unverified<'a> {
    pub(crate) fn parse(token: &'a str) -> Result<Self, Reason> {
        if token.len() > TOKEN_LIMIT {
            return Err(Reason::TokenTooLarge);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Reason::TokenNotThreeParts);
        };
        let message = &token.as_bytes()[..header.len() + 1 + claims.len()];

        let header = decode(header)?;
        if header.len() > HEADER_LIMIT {
            return Err(Reason::HeaderTooLarge);
        }
        let header = object(&header).map_err(|fault| match fault {
            JsonFault::NotAnObject => Reason::HeaderNotJson,
            JsonFault::DuplicateMember => Reason::HeaderDuplicateMember,
        })?;
        let header = Header::read(&header)?;
        let claims = object(&decode(claims)?).map_err(|fault| match fault {
            JsonFault::NotAnObject => Reason::ClaimsNotJson,
            JsonFault::DuplicateMember => Reason::ClaimsDuplicateMember,
        })?;
        Ok(Self {
            header,
            claims,
            message,
            signature: decode(signature)?,
        })
    }

    /// The issuer that the token says it is from: `iss`, or where it has none the trust domain of a
    /// subject that is a SPIFFE id.
    pub(crate) fn issuer(&self) -> Result<&str, Reason> {
        if self.names_issuer() {
            return claims::text(&self.claims, "iss");
        }
        let subject = self.claims.get("sub").and_then(Value::as_str);
        subject.and_then(trust_domain).ok_or(Reason::ClaimMissing)
    }

    /// Whether the token has an `iss`.
    pub(crate) fn names_issuer(&self) -> bool {
        self.claims.contains_key("iss")
    }

    pub(crate) fn typ(&self) -> Option<&str> {
        self.header.typ.as_deref()
    }

    pub(crate) fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    pub(crate) fn kid(&self) -> Option<&str> {
        self.header.kid.as_deref()
    }

    /// The claims, if `key` made the signature with the token's algorithm.
    pub(crate) fn verify(self, key: &Key) -> Result<Claims<'a>, Reason> {
        if !key.takes(self.header.algorithm) {
            return Err(Reason::KeyAlgMismatch);
        }
        // The provider by name, not the process's default: which one that is depends on what other
        // crates of the process enabled or installed.
        let verifier = (aws_lc::DEFAULT_PROVIDER.verifier_factory)(
            &self.header.algorithm.as_jwt(),
            key.decoding(),
        )
        .map_err(|_| Reason::KeyUnusable)?;
        verifier
            .verify(self.message, &self.signature)
            .map_err(|_| Reason::BadSignature)?;
        Ok(Claims::verified(self.claims, self.message))
    }
}

/// Base64url without padding, and without the spare bits that give one text several spellings.
fn decode(part: &str) -> Result<Vec<u8>, Reason> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Reason::TokenBadBase64)
}
