//! SPIFFE JWT-SVIDs.
//!
//! Format: <https://github.com/spiffe/spiffe/blob/main/standards/JWT-SVID.md>. `iss` is optional:
//! without it, the trust domain in the subject chooses among the trust domains that are configured.
//! `iat` is asked for all the same, because a life without a beginning has no length.

use tollbook_exchange::Principal;

use super::profile::{Description, GENERIC, Profile, Token};
use crate::{Algorithm, Reason};

pub(super) const PROFILE: Profile = Profile {
    // JWT-SVID §2.1 names the RSA and ECDSA families and no other.
    algorithms: &ALGORITHMS,
    // JWT-SVID §2.3.
    types: &["jwt", "jose"],
    // SPIFFE Trust Domain and Bundle §4.2.2. Keys without a use are taken as well: that is how
    // SPIRE's discovery provider publishes them. Keys for X.509 name their own use, and are not.
    key_uses: &["jwt-svid", "sig"],
    issuer_in_subject: true,
    problem,
    describe,
    ..GENERIC
};

const ALGORITHMS: [Algorithm; 8] = [
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Es256,
    Algorithm::Es384,
];

const SCHEME: &str = "spiffe://";

fn problem(issuer: &Description<'_>) -> Option<&'static str> {
    if let Some(domain) = issuer.identifier.strip_prefix(SCHEME)
        && !is_trust_domain(domain)
    {
        return Some("is no trust domain: spiffe:// and small letters, digits, dots, dashes");
    }
    let other = |algorithm| !ALGORITHMS.contains(algorithm);
    issuer
        .algorithms
        .iter()
        .any(other)
        .then_some("allows an algorithm that no JWT-SVID may use")
}

fn describe(token: &Token<'_>, principal: &mut Principal) -> Result<(), Reason> {
    let domain = trust_domain(token.subject).ok_or(Reason::SubjectInvalid)?;
    if token.identifier.starts_with(SCHEME) && token.identifier != domain {
        return Err(Reason::ClaimsContradict);
    }
    principal.stable_id = Some(token.subject.to_owned());
    Ok(())
}

/// The trust domain of a SPIFFE id, with its scheme (SPIFFE-ID §2).
pub(crate) fn trust_domain(id: &str) -> Option<&str> {
    let (domain, path) = id.strip_prefix(SCHEME)?.split_once('/')?;
    let is_segment = |segment: &str| {
        let is_path = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        !matches!(segment, "" | "." | "..") && segment.bytes().all(is_path)
    };
    (is_trust_domain(domain) && path.split('/').all(is_segment))
        .then(|| &id[..SCHEME.len() + domain.len()])
}

fn is_trust_domain(domain: &str) -> bool {
    let is_part =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
    (1..=255).contains(&domain.len()) && domain.bytes().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_a_trust_domain_and_a_path() {
        assert_eq!(
            trust_domain("spiffe://prod.example/ns/pay/sa/agent"),
            Some("spiffe://prod.example")
        );
        for id in [
            "spiffe://prod.example",
            "spiffe://prod.example/",
            "spiffe://prod.example//a",
            "spiffe://prod.example/a/",
            "spiffe://prod.example/a/../b",
            "spiffe://prod.example/a%2Fb",
            "spiffe://prod.example/a?b",
            "spiffe://Prod.example/a",
            "spiffe://prod.example:80/a",
            "spiffe://user@prod.example/a",
            "spiffe:///a",
            "SPIFFE://prod.example/a",
            "https://prod.example/a",
            "",
        ] {
            assert_eq!(trust_domain(id), None, "{id}");
        }
    }
}
