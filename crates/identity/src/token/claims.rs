//! What a verified token claims, held against what its issuer may claim.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use tollbook_exchange::{Groups, Principal, Timestamp};

use crate::{Issuer, Reason};

/// The claims of a token whose signature is good.
pub(crate) struct Claims(Map<String, Value>);

const SUBJECT_LIMIT: usize = 512;
const GROUP_LIMIT: usize = 512;
const CLAIM_LIMIT: usize = 1024;
/// 9999-12-31T23:59:59Z. A later time is a unit mistaken or an attempt to overflow a sum.
const LAST_SECOND: i64 = 253_402_300_799;

impl Claims {
    pub(crate) fn verified(claims: Map<String, Value>) -> Self {
        Self(claims)
    }

    /// The principal, if `issuer` may vouch for it here and now.
    pub(crate) fn principal(&self, issuer: &Issuer, now: Timestamp) -> Result<Principal, Reason> {
        self.in_time(issuer, now)?;
        self.for_us(issuer)?;
        Ok(Principal::new(issuer.kind, issuer.name(), self.subject()?)
            .with_groups(self.groups(issuer)?)
            .with_claims(self.kept(issuer)?))
    }

    fn in_time(&self, issuer: &Issuer, now: Timestamp) -> Result<(), Reason> {
        let now = now.as_micros().div_euclid(1_000_000);
        let (expires, issued) = (self.required_time("exp")?, self.required_time("iat")?);
        let begins = self.time("nbf")?;
        if expires <= issued {
            return Err(Reason::LifetimeInvalid);
        }
        if expires - issued > issuer.max_lifetime {
            return Err(Reason::LifetimeTooLong);
        }
        if now >= expires + issuer.leeway {
            return Err(Reason::Expired);
        }
        if begins.is_some_and(|begins| begins > now + issuer.leeway) {
            return Err(Reason::NotYetValid);
        }
        if issued > now + issuer.leeway {
            return Err(Reason::IssuedInFuture);
        }
        Ok(())
    }

    /// Whether the token is meant for this gate. A token for several audiences can be replayed by
    /// each of them to the others, so it must also say which party it was handed out to.
    fn for_us(&self, issuer: &Issuer) -> Result<(), Reason> {
        let audiences = match self.0.get("aud").ok_or(Reason::ClaimMissing)? {
            Value::String(audience) => vec![audience.as_str()],
            Value::Array(audiences) => audiences
                .iter()
                .map(|audience| audience.as_str().ok_or(Reason::ClaimType))
                .collect::<Result<_, _>>()?,
            _ => return Err(Reason::ClaimType),
        };
        if !audiences.contains(&issuer.audience.as_str()) {
            return Err(Reason::WrongAudience);
        }
        if audiences.len() == 1 && issuer.authorized_parties.is_empty() {
            return Ok(());
        }
        let party = match self.0.get("azp") {
            None => return Err(Reason::WrongParty),
            Some(Value::String(party)) => party,
            Some(_) => return Err(Reason::ClaimType),
        };
        let authorized = if issuer.authorized_parties.is_empty() {
            *party == issuer.audience
        } else {
            issuer.authorized_parties.contains(party)
        };
        authorized.then_some(()).ok_or(Reason::WrongParty)
    }

    fn subject(&self) -> Result<&str, Reason> {
        let subject = text(&self.0, "sub")?;
        let fits = (1..=SUBJECT_LIMIT).contains(&subject.len());
        if !fits || subject.contains(char::is_control) {
            return Err(Reason::SubjectInvalid);
        }
        Ok(subject)
    }

    /// The groups, or that the issuer left some out. Too many for a token, and Entra ID names the
    /// claim in `_claim_names` or sets `hasgroups` instead; Okta cuts the list without a word.
    fn groups(&self, issuer: &Issuer) -> Result<Groups, Reason> {
        let Some(claim) = &issuer.groups_claim else {
            return Ok(Groups::from_iter::<[&str; 0]>([]));
        };
        let elsewhere = self
            .0
            .get("_claim_names")
            .and_then(Value::as_object)
            .is_some_and(|names| names.contains_key(claim) || names.contains_key("groups"));
        let withheld = match self.0.get("hasgroups") {
            None | Some(Value::Bool(false)) => false,
            // Whatever else it says, it does not say that all groups are here.
            Some(_) => true,
        };
        if elsewhere || withheld {
            return Ok(Groups::Unknown);
        }
        let groups = match self.0.get(claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(group)) => vec![group.as_str()],
            Some(Value::Array(groups)) => groups
                .iter()
                .map(|group| group.as_str().ok_or(Reason::GroupsInvalid))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(Reason::GroupsInvalid),
        };
        let is_name = |group: &&str| {
            (1..=GROUP_LIMIT).contains(&group.len()) && !group.contains(char::is_control)
        };
        if !groups.iter().all(is_name) {
            return Err(Reason::GroupsInvalid);
        }
        if issuer.groups_cut_at == Some(groups.len()) {
            return Ok(Groups::Unknown);
        }
        Ok(groups.into_iter().collect())
    }

    /// The claims that policies and the record may see: scalars that the issuer's list names, and
    /// the hash of the token's id, by which two exchanges with one token are recognised.
    fn kept(&self, issuer: &Issuer) -> Result<BTreeMap<String, Value>, Reason> {
        let mut kept = BTreeMap::new();
        for (name, value) in &self.0 {
            if !issuer.claims.contains(name) {
                continue;
            }
            match value {
                Value::String(text) if text.len() > CLAIM_LIMIT => {
                    return Err(Reason::ClaimTooLarge);
                }
                Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                    kept.insert(name.clone(), value.clone());
                }
                Value::Null | Value::Array(_) | Value::Object(_) => {}
            }
        }
        if let Some(Value::String(id)) = self.0.get("jti") {
            kept.insert("jti_hash".to_owned(), Value::String(hash(id)));
        }
        Ok(kept)
    }

    fn required_time(&self, name: &str) -> Result<i64, Reason> {
        self.time(name)?.ok_or(Reason::ClaimMissing)
    }

    /// A time in whole seconds. RFC 7519 §2 would allow fractions; no issuer sends them, and a
    /// float is where rounding hides.
    fn time(&self, name: &str) -> Result<Option<i64>, Reason> {
        match self.0.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|seconds| (0..=LAST_SECOND).contains(seconds))
                .map(Some)
                .ok_or(Reason::ClaimType),
        }
    }
}

/// A required claim that is a text.
pub(super) fn text<'a>(claims: &'a Map<String, Value>, name: &str) -> Result<&'a str, Reason> {
    match claims.get(name) {
        None => Err(Reason::ClaimMissing),
        Some(Value::String(text)) => Ok(text),
        Some(_) => Err(Reason::ClaimType),
    }
}

fn hash(id: &str) -> String {
    let digest = Sha256::digest(id.as_bytes());
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
