//! The form in which a preset says what it knows.

use serde_json::{Map, Value};
use tollbook_exchange::{Actor, Principal, PrincipalKind, Run};

use crate::{Algorithm, Reason};

/// What is known about the tokens of one provider.
pub(crate) struct Profile {
    /// The issuer of all its customers, where it has only one.
    pub(crate) identifier: Option<&'static str>,
    /// What kind of callers it vouches for.
    pub(crate) kind: PrincipalKind,
    /// The claims that are kept; a star at the end stands for any rest.
    pub(crate) claims: &'static [&'static str],
    pub(crate) groups_claim: Option<&'static str>,
    pub(crate) groups_cut_at: Option<usize>,
    pub(crate) roles_claim: Option<&'static str>,
    pub(crate) algorithms: &'static [Algorithm],
    /// The longest life of its tokens, in seconds.
    pub(crate) max_lifetime: u32,
    /// The claims that name the party a token was handed out to; the first that is there counts.
    pub(crate) party_claims: &'static [&'static str],
    /// The types that tokens may be of, in small letters and without `application/`.
    pub(crate) types: &'static [&'static str],
    /// What keys for its tokens are for (`use`), where they say so.
    pub(crate) key_uses: &'static [&'static str],
    /// Whether tokens may come without `iss`, so that the subject names their issuer.
    pub(crate) issuer_in_subject: bool,
    /// What is wrong with an issuer of this preset.
    pub(crate) problem: fn(&Description<'_>) -> Option<&'static str>,
    /// Turns verified claims into attributes.
    pub(crate) describe: fn(&Token<'_>, &mut Principal) -> Result<(), Reason>,
}

/// An issuer as the operator describes it.
pub(crate) struct Description<'a> {
    pub(crate) identifier: &'a str,
    pub(crate) audience: &'a str,
    pub(crate) algorithms: &'a [Algorithm],
}

/// A token that held, as a preset sees it.
pub(crate) struct Token<'a> {
    /// The issuer's own name for itself.
    pub(crate) identifier: &'a str,
    pub(crate) subject: &'a str,
    /// All claims, flattened.
    pub(crate) claims: &'a Map<String, Value>,
    /// The kind of callers, if the operator named one.
    pub(crate) kind: Option<PrincipalKind>,
}

/// What is assumed about an issuer of which nothing is known, and by the other profiles where they
/// do not say otherwise.
pub(super) const GENERIC: Profile = Profile {
    identifier: None,
    kind: PrincipalKind::Service,
    claims: &["azp", "client_id"],
    groups_claim: None,
    groups_cut_at: None,
    roles_claim: None,
    algorithms: &Algorithm::DEFAULT,
    max_lifetime: 60 * 60,
    party_claims: &["azp"],
    // RFC 7519 §5.1 and RFC 9068 §2.1. A logout token or a proof of possession is signed by the
    // same key and must not pass for a credential.
    types: &["jwt", "at+jwt"],
    key_uses: &["sig"],
    issuer_in_subject: false,
    problem: |_| None,
    describe: |_, _| Ok(()),
};

/// The longest text that becomes an attribute, in bytes.
const ATTRIBUTE_LIMIT: usize = 512;

impl Token<'_> {
    /// A claim as a text; whole numbers are written out. None if it is missing or null.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Reason> {
        let text = match self.claims.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Number(number)) if !number.is_f64() => number.to_string(),
            Some(_) => return Err(Reason::ClaimType),
        };
        if text.len() > ATTRIBUTE_LIMIT {
            return Err(Reason::ClaimTooLarge);
        }
        if text.contains(char::is_control) {
            return Err(Reason::ClaimType);
        }
        // An empty text is how some providers say that there is none.
        Ok(Some(text).filter(|text| !text.is_empty()))
    }

    /// A claim that must be there.
    pub(super) fn required(&self, name: &str) -> Result<String, Reason> {
        self.text(name)?.ok_or(Reason::ClaimMissing)
    }

    /// Refuses a token whose claim says otherwise. A claim that is not there says nothing.
    pub(super) fn agrees(&self, name: &str, value: &str) -> Result<(), Reason> {
        match self.text(name)? {
            Some(claimed) if claimed != value => Err(Reason::ClaimsContradict),
            _ => Ok(()),
        }
    }

    /// The person that these claims name.
    pub(super) fn actor(&self, id: &str, login: &str) -> Result<Option<Actor>, Reason> {
        let (id, login) = (self.text(id)?, self.text(login)?);
        Ok((id.is_some() || login.is_some()).then_some(Actor { id, login }))
    }

    /// The run that this claim names.
    pub(super) fn run(&self, id: &str) -> Result<Option<Run>, Reason> {
        Ok(self.text(id)?.map(|id| Run { id, attempt: None }))
    }
}
