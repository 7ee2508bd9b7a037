//! A token's header.

use serde_json::{Map, Value};

use crate::{Algorithm, Reason};

/// What the header of a token says, after everything that it must not say was refused.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
    /// The type, as [`media_type`] writes it. Which one is a credential is for the issuer to say.
    pub(crate) typ: Option<String>,
}

const KID_LIMIT: usize = 256;

/// Members that make the token's own choice of key count, or that change what is signed.
///
/// `x5c`, `x5t` and `x5t#S256` are left alone: issuers send them and nothing here reads them.
const REFUSED: [(&str, Reason); 7] = [
    ("crit", Reason::HeaderCrit),
    ("b64", Reason::HeaderB64),
    ("jwk", Reason::HeaderEmbeddedKey),
    ("jku", Reason::HeaderEmbeddedKey),
    ("x5u", Reason::HeaderEmbeddedKey),
    ("enc", Reason::HeaderEncrypted),
    ("zip", Reason::HeaderEncrypted),
];

impl Header {
    pub(crate) fn read(header: &Map<String, Value>) -> Result<Self, Reason> {
        let algorithm = header
            .get("alg")
            .and_then(Value::as_str)
            .and_then(Algorithm::from_name)
            .ok_or(Reason::AlgNotAllowed)?;
        for (member, reason) in REFUSED {
            if header.contains_key(member) {
                return Err(reason);
            }
        }
        let typ = match header.get("typ") {
            None => None,
            Some(Value::String(typ)) => Some(media_type(typ)),
            Some(_) => return Err(Reason::HeaderTyp),
        };
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if (1..=KID_LIMIT).contains(&kid.len()) => Some(kid.clone()),
            Some(_) => return Err(Reason::KidInvalid),
        };
        Ok(Self {
            algorithm,
            kid,
            typ,
        })
    }
}

/// A type in small letters and without the `application/` that may stand before it (RFC 7515
/// §4.1.9).
pub(crate) fn media_type(typ: &str) -> String {
    let typ = typ.to_ascii_lowercase();
    match typ.strip_prefix("application/") {
        Some(rest) => rest.to_owned(),
        None => typ,
    }
}
