//! What a verified token claims, held against what its issuer may claim.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use tollbook_exchange::{Access, Groups, Principal, PrincipalKind, Timestamp};

use super::{SigningKey, Verified, flat::flat};
use crate::{
    Issuer, Reason,
    digest::{sha256, write_hex},
    issuer,
};

/// The claims of a token whose signature is good.
pub(crate) struct Claims<'a> {
    claims: Map<String, Value>,
    /// What was signed.
    message: &'a [u8],
}

/// When a token counts, in seconds since 1970.
#[derive(Clone, Copy)]
pub(crate) struct Times {
    expires: i64,
    issued: i64,
    begins: Option<i64>,
}

const SUBJECT_LIMIT: usize = 512;
const NAME_LIMIT: usize = 512;
const CLAIM_LIMIT: usize = 1024;
/// 9999-12-31T23:59:59Z. A later time is a unit mistaken or an attempt to overflow a sum.
const LAST_SECOND: i64 = 253_402_300_799;

impl<'a> Claims<'a> {
    pub(super) fn verified(claims: Map<String, Value>, message: &'a [u8]) -> Self {
        Self { claims, message }
    }

    /// Whom the token is about, if `issuer` may vouch for it here and now, and when it counts.
    pub(crate) fn hold(
        self,
        issuer: &Issuer,
        signed_by: SigningKey,
        now: Timestamp,
    ) -> Result<(Verified, Times), Reason> {
        let times = self.times()?;
        times.check(issuer, now)?;
        self.for_us(issuer)?;
        let subject = self.subject()?.to_owned();
        let assertion = self.assertion(issuer);
        let (signed_in, access) = (self.time("auth_time")?, self.access());

        let claims = Self {
            claims: flat(self.claims)?,
            message: self.message,
        };
        let kind = issuer.kind.unwrap_or(issuer.preset.profile().kind);
        let mut principal = Principal::new(kind, issuer.name(), subject)
            .with_groups(claims.groups(issuer)?)
            .with_claims(claims.kept(issuer)?);
        principal.roles = claims.roles(issuer)?;
        let token = issuer::Token {
            identifier: issuer.identifier(),
            subject: &principal.subject.clone(),
            claims: &claims.claims,
            kind: issuer.kind,
        };
        (issuer.preset.profile().describe)(&token, &mut principal)?;
        principal.access = Some(Access {
            signed_in: match signed_in {
                // Nobody signs in after the token about it was made.
                Some(time) => Some(time.min(times.issued)),
                None if principal.kind == PrincipalKind::Human => Some(times.issued),
                None => None,
            },
            sign_in_told: signed_in.is_some(),
            expires: Some(times.expires),
            ..access
        });
        let verified = Verified {
            principal,
            expires: times.expires,
            issued: times.issued,
            assertion,
            claims: claims.claims,
            signed_by,
        };
        Ok((verified, times))
    }

    fn times(&self) -> Result<Times, Reason> {
        Ok(Times {
            expires: self.required_time("exp")?,
            issued: self.required_time("iat")?,
            begins: self.time("nbf")?,
        })
    }

    /// Whether the token is meant for this gate. A token for several audiences can be replayed by
    /// each of them to the others, so it must also say which party it was handed out to.
    fn for_us(&self, issuer: &Issuer) -> Result<(), Reason> {
        let audiences = match self.claims.get("aud").ok_or(Reason::ClaimMissing)? {
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
        let names = issuer.preset.profile().party_claims;
        let party = match names.iter().find_map(|name| self.claims.get(*name)) {
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
        let subject = text(&self.claims, "sub")?;
        let fits = (1..=SUBJECT_LIMIT).contains(&subject.len());
        if !fits || subject.contains(char::is_control) {
            return Err(Reason::SubjectInvalid);
        }
        Ok(subject)
    }

    /// The token's id, which its issuer gives to no other.
    fn id(&self) -> Option<&str> {
        let id = self.claims.get("jti")?.as_str()?;
        (!id.is_empty()).then_some(id)
    }

    fn assertion(&self, issuer: &Issuer) -> [u8; 32] {
        match self.id() {
            Some(id) => sha256(&[issuer.identifier().as_bytes(), b"\0", id.as_bytes()].concat()),
            None => sha256(self.message),
        }
    }

    fn access(&self) -> Access {
        let digest = match self.id() {
            Some(id) => sha256(id.as_bytes()),
            None => sha256(self.message),
        };
        Access {
            assertion: Some(hex(&digest[..8])),
            ..Access::default()
        }
    }

    /// The groups, or that the issuer left some out. Too many for a token, and Entra ID names the
    /// claim in `_claim_names` or sets `hasgroups` instead; Okta cuts the list without a word.
    fn groups(&self, issuer: &Issuer) -> Result<Groups, Reason> {
        let Some(claim) = &issuer.groups_claim else {
            return Ok(Groups::from_iter::<[&str; 0]>([]));
        };
        let elsewhere = [claim, "groups"]
            .iter()
            .any(|claim| self.claims.contains_key(&format!("_claim_names/{claim}")));
        let withheld = match self.claims.get("hasgroups") {
            None | Some(Value::Bool(false)) => false,
            // Whatever else it says, it does not say that all groups are here.
            Some(_) => true,
        };
        if elsewhere || withheld {
            return Ok(Groups::Unknown);
        }
        let groups = self.names(claim, Reason::GroupsInvalid)?;
        if issuer.groups_cut_at == Some(groups.len()) {
            return Ok(Groups::Unknown);
        }
        Ok(groups.into_iter().collect())
    }

    fn roles(&self, issuer: &Issuer) -> Result<BTreeSet<String>, Reason> {
        let Some(claim) = &issuer.roles_claim else {
            return Ok(BTreeSet::new());
        };
        let roles = self.names(claim, Reason::RolesInvalid)?;
        Ok(roles.into_iter().map(str::to_owned).collect())
    }

    /// A list of names, or one name alone.
    fn names(&self, claim: &str, invalid: Reason) -> Result<Vec<&str>, Reason> {
        let names = match self.claims.get(claim) {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::String(name)) => vec![name.as_str()],
            Some(Value::Array(names)) => names
                .iter()
                .map(|name| name.as_str().ok_or(invalid))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(invalid),
        };
        let is_name = |name: &&str| {
            (1..=NAME_LIMIT).contains(&name.len()) && !name.contains(char::is_control)
        };
        if names.iter().all(is_name) {
            Ok(names)
        } else {
            Err(invalid)
        }
    }

    /// The claims that policies and the record may see: scalars that the issuer's list names, and
    /// the hash of the token's id, by which two exchanges with one token are recognised.
    fn kept(&self, issuer: &Issuer) -> Result<BTreeMap<String, Value>, Reason> {
        let mut kept = BTreeMap::new();
        for (name, value) in &self.claims {
            if !issuer.kept.has(name) {
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
        if let Some(id) = self.id() {
            let hash = format!("sha256:{}", hex(&sha256(id.as_bytes())));
            kept.insert("jti_hash".to_owned(), Value::String(hash));
        }
        Ok(kept)
    }

    fn required_time(&self, name: &str) -> Result<i64, Reason> {
        self.time(name)?.ok_or(Reason::ClaimMissing)
    }

    /// A time in whole seconds. RFC 7519 §2 would allow fractions; no issuer sends them, and a
    /// float is where rounding hides.
    fn time(&self, name: &str) -> Result<Option<i64>, Reason> {
        match self.claims.get(name) {
            None => Ok(None),
            Some(value) => value
                .as_i64()
                .filter(|seconds| (0..=LAST_SECOND).contains(seconds))
                .map(Some)
                .ok_or(Reason::ClaimType),
        }
    }
}

impl Times {
    /// Whether the token counts at this time.
    pub(crate) fn check(&self, issuer: &Issuer, now: Timestamp) -> Result<(), Reason> {
        let now = now.as_micros().div_euclid(1_000_000);
        let Self {
            expires,
            issued,
            begins,
        } = *self;
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

    #[cfg(test)]
    pub(super) fn for_test(issued: i64, expires: i64) -> Self {
        Self {
            expires,
            issued,
            begins: None,
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

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    // A `String` takes whatever is written to it.
    write_hex(&mut text, bytes).ok();
    text
}
