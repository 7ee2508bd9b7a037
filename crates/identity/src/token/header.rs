//! A token's header.

use serde_json::{Map, Value};

use crate::{Algorithm, Reason};

/// What the header of a token says, after everything that it must not say was refused.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<String>,
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
        if header.get("typ").is_some_and(|typ| !is_access_token(typ)) {
            return Err(Reason::HeaderTyp);
        }
        let kid = match header.get("kid") {
            None => None,
            Some(Value::String(kid)) if (1..=KID_LIMIT).contains(&kid.len()) => Some(kid.clone()),
            Some(_) => return Err(Reason::KidInvalid),
        };
        Ok(Self { algorithm, kid })
    }
}

/// `JWT` (RFC 7519 §5.1) or `at+jwt` (RFC 9068 §2.1), with or without `application/`, in any case
/// (RFC 7515 §4.1.9). A logout token or a proof of possession is signed by the same key and must
/// not pass for a credential.
fn is_access_token(typ: &Value) -> bool {
    typ.as_str().is_some_and(|typ| {
        let typ = typ.to_ascii_lowercase();
        matches!(
            typ.strip_prefix("application/").unwrap_or(&typ),
            "jwt" | "at+jwt"
        )
    })
}
