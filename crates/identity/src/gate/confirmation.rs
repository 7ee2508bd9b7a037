//! Tokens that are worth nothing without a key (RFC 7800).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};

use crate::{PeerCertificate, Reason, Verified};

/// The confirmation that this gate can check: the thumbprint of a client certificate
/// (RFC 8705 §3.1).
const THUMBPRINT: &str = "cnf/x5t#S256";

impl Verified {
    /// Whether the token is worth nothing without the certificate that it names. What is handed out
    /// for it must not be worth more.
    pub(crate) fn is_bound(&self) -> bool {
        self.claims.contains_key(THUMBPRINT)
    }
}

/// Whether the caller has shown the key that the token is bound to, if it is bound to one.
///
/// A token bound to something else, such as a DPoP key, must not pass as if it were bound to
/// nothing (RFC 9449 §7.1).
pub(crate) fn confirm(
    claims: &Map<String, Value>,
    certificate: Option<PeerCertificate>,
) -> Result<(), Reason> {
    let mut bound = None;
    for (name, value) in claims {
        if name == THUMBPRINT {
            bound = Some(thumbprint(value).ok_or(Reason::ProofUnsupported)?);
        } else if name == "cnf" || name.starts_with("cnf/") {
            return Err(Reason::ProofUnsupported);
        }
    }
    match (bound, certificate) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(Reason::CertificateMissing),
        (Some(bound), Some(shown)) if bound.matches(&shown) => Ok(()),
        (Some(_), Some(_)) => Err(Reason::CertificateMismatch),
    }
}

fn thumbprint(value: &Value) -> Option<PeerCertificate> {
    let bytes = URL_SAFE_NO_PAD.decode(value.as_str()?).ok()?;
    bytes.try_into().ok().map(PeerCertificate)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_bound_to_a_key_is_nothing_without_it() {
        let (own, other) = (PeerCertificate([1; 32]), PeerCertificate([2; 32]));
        let text = URL_SAFE_NO_PAD.encode([1; 32]);
        for (claims, shown, expected) in [
            (json!({}), None, Ok(())),
            (json!({}), Some(own), Ok(())),
            (json!({ THUMBPRINT: text }), Some(own), Ok(())),
            (
                json!({ THUMBPRINT: text }),
                Some(other),
                Err(Reason::CertificateMismatch),
            ),
            (
                json!({ THUMBPRINT: text }),
                None,
                Err(Reason::CertificateMissing),
            ),
            (
                json!({ THUMBPRINT: "AQ" }),
                Some(own),
                Err(Reason::ProofUnsupported),
            ),
            (
                json!({ THUMBPRINT: 1 }),
                Some(own),
                Err(Reason::ProofUnsupported),
            ),
            (
                json!({"cnf/jkt": "x"}),
                Some(own),
                Err(Reason::ProofUnsupported),
            ),
            (json!({"cnf": "x"}), None, Err(Reason::ProofUnsupported)),
            (
                json!({ THUMBPRINT: text, "cnf/jkt": "x" }),
                Some(own),
                Err(Reason::ProofUnsupported),
            ),
        ] {
            let claims = claims.as_object().unwrap();
            assert_eq!(confirm(claims, shown), expected, "{claims:?}");
        }
    }
}
