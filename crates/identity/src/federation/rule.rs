//! One federation rule.

use std::{collections::BTreeSet, time::Duration};

use serde_json::Value;

use super::{
    RuleProblem,
    matcher::{Matcher, Pattern},
    pin,
};
use crate::{
    OidcAuthenticator, PeerCertificate, Verified,
    digest::{sha256, write_hex},
};

/// Whom an issuer's token speaks for here, and for how long.
#[derive(Clone, Debug)]
pub struct Rule {
    pub(super) id: String,
    pub(super) issuer: String,
    matchers: Vec<Matcher>,
    audience: Option<String>,
    pub(super) groups: BTreeSet<String>,
    /// Seconds.
    lifetime: i64,
    service_account: Option<String>,
    certificate: bool,
    digest: String,
}

const LEAST_LIFETIME: u64 = 60;
const MOST_LIFETIME: u64 = 24 * 60 * 60;
const DEFAULT_LIFETIME: Duration = Duration::from_secs(10 * 60);
const ID_LIMIT: usize = 64;
const GROUP_LIMIT: usize = 512;
/// Claims that are there to check the token and say nothing about the caller.
const NOT_ABOUT_THE_CALLER: &[&str] = &["aud", "exp", "iat", "iss", "jti", "nbf"];

impl Rule {
    /// Starts a rule for tokens of the issuer with this configured name.
    ///
    /// `id` is what callers ask for, and what records name. Gateway tokens live for ten minutes
    /// unless told otherwise.
    pub fn builder(id: impl Into<String>, issuer: impl Into<String>) -> RuleBuilder {
        RuleBuilder {
            id: id.into(),
            issuer: issuer.into(),
            claims: Vec::new(),
            audience: None,
            groups: BTreeSet::new(),
            lifetime: DEFAULT_LIFETIME,
            service_account: None,
            certificate: false,
        }
    }

    /// What callers ask for, and what records name.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The configured name of the issuer.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The groups that it gives.
    pub const fn groups(&self) -> &BTreeSet<String> {
        &self.groups
    }

    /// How long a gateway token lives at most, in seconds.
    pub const fn lifetime(&self) -> i64 {
        self.lifetime
    }

    /// Whether it asks for a client certificate and binds gateway tokens to it.
    pub const fn requires_certificate(&self) -> bool {
        self.certificate
    }

    /// Names the wording of the rule: it changes when anything in the rule does.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether it lets a caller ask for this service account.
    pub(crate) fn serves(&self, service_account: Option<&str>) -> bool {
        match (&self.service_account, service_account) {
            (Some(own), Some(asked)) => own == asked,
            // Without one of its own the name means nothing here.
            _ => true,
        }
    }

    /// Whether it speaks for a token that was shown over a connection with this certificate.
    pub(crate) fn speaks_for(
        &self,
        verified: &Verified,
        certificate: Option<PeerCertificate>,
    ) -> bool {
        verified.principal.issuer == self.issuer
            && (certificate.is_some() || !self.certificate)
            && self
                .audience
                .as_ref()
                .is_none_or(|audience| is_for(verified, audience))
            && self
                .matchers
                .iter()
                .all(|matcher| matcher.takes(&verified.claims))
    }
}

/// Whether the token names `audience`.
fn is_for(verified: &Verified, audience: &str) -> bool {
    match verified.claims.get("aud") {
        Some(Value::String(only)) => only == audience,
        Some(Value::Array(all)) => all.iter().any(|one| one == audience),
        _ => false,
    }
}

/// Describes a [`Rule`]. Mistakes are told by [`Rules::new`](super::Rules::new), those of all rules
/// together.
///
/// Values of claims are compared as a whole and byte for byte; numbers and truth values are
/// written as in JSON; of a list, one item must match. A `*` at the end of a value stands for
/// anything that begins like it, a `*` at its beginning for anything that ends like it, and `*`
/// alone for any value at all. Nowhere else may there be one, and nothing stands for a `*` itself.
#[derive(Clone, Debug)]
#[must_use]
pub struct RuleBuilder {
    id: String,
    issuer: String,
    claims: Vec<(String, Vec<String>)>,
    audience: Option<String>,
    groups: BTreeSet<String>,
    lifetime: Duration,
    service_account: Option<String>,
    certificate: bool,
}

impl RuleBuilder {
    /// Asks for a claim of this value. All claims that are asked for must be there.
    ///
    /// A member `b` of a claim `a` is called `a/b`, or `ab` where `a` ends in a slash.
    pub fn claim(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.claim_in(name, [value])
    }

    /// Asks for a claim of one of these values.
    pub fn claim_in<V: Into<String>>(
        mut self,
        name: impl Into<String>,
        values: impl IntoIterator<Item = V>,
    ) -> Self {
        let values = values.into_iter().map(Into::into).collect();
        self.claims.push((name.into(), values));
        self
    }

    /// Asks for this subject; the same as the claim `sub`.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.claim("sub", subject)
    }

    /// Asks for one of these subjects.
    pub fn subject_in<V: Into<String>>(self, subjects: impl IntoIterator<Item = V>) -> Self {
        self.claim_in("sub", subjects)
    }

    /// Asks for an audience beside the one that every token of the issuer must have.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = Some(audience.into());
        self
    }

    /// Puts the caller into these groups too.
    ///
    /// A caller of whom the issuer does not say all groups stays in unknown groups.
    pub fn groups<G: Into<String>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.groups.extend(groups.into_iter().map(Into::into));
        self
    }

    /// Lets gateway tokens live at most this long, in whole seconds: a minute to a day.
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Refuses callers that ask for another service account than this one. Callers that ask for
    /// none pass.
    pub fn service_account(mut self, id: impl Into<String>) -> Self {
        self.service_account = Some(id.into());
        self
    }

    /// Asks for a client certificate, and binds gateway tokens to it (RFC 8705 §3).
    pub const fn require_certificate(mut self, required: bool) -> Self {
        self.certificate = required;
        self
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// The rule, or every mistake in it.
    pub(super) fn check(self, oidc: &OidcAuthenticator) -> Result<Rule, Vec<RuleProblem>> {
        let mut problems = Vec::new();
        if !is_id(&self.id) {
            problems.push(RuleProblem::Id(self.id.clone()));
        }
        let matchers = self.matchers(&mut problems);
        self.check_reach(oidc, &matchers, &mut problems);
        self.check_gifts(&mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let digest = self.digest();
        Ok(Rule {
            id: self.id,
            issuer: self.issuer,
            matchers,
            audience: self.audience,
            groups: self.groups,
            lifetime: i64::try_from(self.lifetime.as_secs()).unwrap_or(i64::MAX),
            service_account: self.service_account,
            certificate: self.certificate,
            digest,
        })
    }

    fn matchers(&self, problems: &mut Vec<RuleProblem>) -> Vec<Matcher> {
        let mut matchers = Vec::new();
        for (claim, values) in &self.claims {
            let fault = if claim.is_empty() {
                Some("has no name")
            } else if NOT_ABOUT_THE_CALLER.contains(&claim.as_str()) {
                Some("says nothing about the caller")
            } else if values.is_empty() {
                Some("is asked for with no value, so the rule would never speak")
            } else {
                None
            };
            if let Some(fault) = fault {
                problems.push(RuleProblem::Claim {
                    rule: self.id.clone(),
                    claim: claim.clone(),
                    fault,
                });
            }
            let mut patterns = Vec::new();
            for value in values {
                let pattern = Pattern::parse(value).and_then(|pattern| {
                    if pin::cuts_a_name(claim, &pattern) {
                        Err("would also take longer names: put the `*` after a separator")
                    } else {
                        Ok(pattern)
                    }
                });
                match pattern {
                    Ok(pattern) => patterns.push(pattern),
                    Err(fault) => problems.push(RuleProblem::Value {
                        rule: self.id.clone(),
                        claim: claim.clone(),
                        value: value.clone(),
                        fault,
                    }),
                }
            }
            matchers.push(Matcher {
                claim: claim.clone(),
                patterns,
            });
        }
        matchers
    }

    /// Whether the rule speaks for those it should, as far as that can be seen.
    fn check_reach(
        &self,
        oidc: &OidcAuthenticator,
        matchers: &[Matcher],
        problems: &mut Vec<RuleProblem>,
    ) {
        let narrows = |matcher: &Matcher| !matcher.patterns.contains(&Pattern::Any);
        if !matchers.iter().any(narrows) {
            problems.push(RuleProblem::NoMatcher {
                rule: self.id.clone(),
            });
        }
        match oidc.issuer(&self.issuer) {
            None => problems.push(RuleProblem::UnknownIssuer {
                rule: self.id.clone(),
                issuer: self.issuer.clone(),
            }),
            Some(issuer) => {
                let owner_claims = issuer.owner_claims();
                let pins = |matcher| pin::pins(matcher, owner_claims);
                if issuer.is_shared() && !matchers.iter().any(pins) {
                    problems.push(RuleProblem::NotPinned {
                        rule: self.id.clone(),
                        issuer: self.issuer.clone(),
                        claims: owner_claims.join("`, `"),
                    });
                }
            }
        }
        let fault = match self.audience.as_deref() {
            Some("") => "is empty",
            Some(audience) if audience.contains("api.anthropic.com") => {
                "is the provider's own, so a token for it could be replayed there"
            }
            _ => return,
        };
        problems.push(RuleProblem::Audience {
            rule: self.id.clone(),
            audience: self.audience.clone().unwrap_or_default(),
            fault,
        });
    }

    /// Whether what the rule gives can be given.
    fn check_gifts(&self, problems: &mut Vec<RuleProblem>) {
        for group in &self.groups {
            if !(1..=GROUP_LIMIT).contains(&group.len()) || group.contains(char::is_control) {
                problems.push(RuleProblem::Group {
                    rule: self.id.clone(),
                    group: group.clone(),
                });
            }
        }
        if !(LEAST_LIFETIME..=MOST_LIFETIME).contains(&self.lifetime.as_secs()) {
            problems.push(RuleProblem::Lifetime {
                rule: self.id.clone(),
                least: LEAST_LIFETIME,
                most: MOST_LIFETIME,
            });
        }
    }

    fn digest(&self) -> String {
        let mut claims = self.claims.clone();
        claims.iter_mut().for_each(|(_, values)| values.sort());
        claims.sort();
        let wording = serde_json::json!([
            self.id,
            self.issuer,
            claims,
            self.audience,
            self.groups,
            self.lifetime.as_secs(),
            self.service_account,
            self.certificate,
        ]);
        let mut digest = String::with_capacity(16);
        // Writing to a string cannot fail.
        write_hex(&mut digest, &sha256(wording.to_string().as_bytes())[..8]).ok();
        digest
    }
}

fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=ID_LIMIT).contains(&text.len()) && text.bytes().all(fits)
}
