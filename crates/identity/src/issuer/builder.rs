//! Checks what an operator says about an issuer.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::Url;
use tollbook_exchange::PrincipalKind;

use super::{Issuer, KeySource, kept};
use crate::{
    Algorithm, BuildError, Problem,
    keys::{KeySet, fetchable},
};

/// Describes an [`Issuer`]. Mistakes are collected and told together by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct IssuerBuilder {
    name: String,
    identifier: String,
    audience: String,
    algorithms: Vec<String>,
    authorized_parties: Vec<String>,
    groups_claim: Option<String>,
    groups_cut_at: Option<usize>,
    kind: PrincipalKind,
    claims: Vec<String>,
    leeway: Duration,
    max_lifetime: Duration,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Discover,
    Address(String),
    File(PathBuf),
    Json(String),
}

/// A token for Anthropic's own token exchange is a credential there.
const FOREIGN_AUDIENCE: &str = "api.anthropic.com";
const MOST_LEEWAY: u64 = 120;
const MOST_LIFETIME: u64 = 24 * 60 * 60;

impl IssuerBuilder {
    pub(super) fn new(name: String, identifier: String) -> Self {
        Self {
            name,
            identifier,
            audience: String::new(),
            algorithms: Algorithm::DEFAULT
                .map(|known| known.as_str().to_owned())
                .into(),
            authorized_parties: Vec::new(),
            groups_claim: None,
            groups_cut_at: None,
            kind: PrincipalKind::Service,
            claims: kept::DEFAULT.iter().map(|&name| name.to_owned()).collect(),
            leeway: Duration::from_secs(30),
            max_lifetime: Duration::from_secs(60 * 60),
            source: Source::Discover,
        }
    }

    /// The audience that tokens must name. Required.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// The algorithms that tokens may use, instead of `RS256`, `ES256` and `EdDSA`.
    pub fn algorithms<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.algorithms = names.into_iter().map(Into::into).collect();
        self
    }

    /// The parties (`azp`) that tokens may have been handed out to. With none named, a token for
    /// one audience needs no party, and a token for several must name our audience as its party.
    pub fn authorized_parties<S: Into<String>>(
        mut self,
        parties: impl IntoIterator<Item = S>,
    ) -> Self {
        self.authorized_parties = parties.into_iter().map(Into::into).collect();
        self
    }

    /// The claim that lists the caller's groups. Without one, tokens put nobody into a group.
    pub fn groups_claim(mut self, claim: impl Into<String>) -> Self {
        self.groups_claim = Some(claim.into());
        self
    }

    /// The number of groups at which the issuer silently cuts the list (Okta: 100). A list of
    /// exactly this length counts as unknown.
    pub fn groups_cut_at(mut self, groups: usize) -> Self {
        self.groups_cut_at = Some(groups);
        self
    }

    /// What kind of callers the issuer vouches for.
    pub fn kind(mut self, kind: PrincipalKind) -> Self {
        self.kind = kind;
        self
    }

    /// The claims that policies and the record may see, instead of the usual ones of CI systems.
    /// Only texts, numbers and yes-or-no values are taken.
    pub fn claims<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.claims = names.into_iter().map(Into::into).collect();
        self
    }

    /// How far the issuer's clock may be from ours: at most two minutes.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long tokens may live, from `iat` to `exp`: at most a day.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// Keys are found through `{identifier}/.well-known/openid-configuration`. The default.
    pub fn discover(mut self) -> Self {
        self.source = Source::Discover;
        self
    }

    /// Keys are at this address.
    pub fn jwks_url(mut self, url: impl Into<String>) -> Self {
        self.source = Source::Address(url.into());
        self
    }

    /// Keys are in this file, which is read again when it changes.
    pub fn jwks_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.source = Source::File(path.into());
        self
    }

    /// Keys are these: the text of a JSON Web Key Set (RFC 7517 §5).
    pub fn jwks_json(mut self, text: impl Into<String>) -> Self {
        self.source = Source::Json(text.into());
        self
    }

    /// The issuer.
    ///
    /// # Errors
    ///
    /// Every mistake in the description.
    pub fn build(self) -> Result<Issuer, BuildError> {
        let mut problems = Vec::new();
        self.check_names(&mut problems);
        let algorithms = self.known_algorithms(&mut problems);
        let leeway = self.seconds("leeway", self.leeway, 0, MOST_LEEWAY, &mut problems);
        let max_lifetime = self.seconds(
            "max_lifetime",
            self.max_lifetime,
            1,
            MOST_LIFETIME,
            &mut problems,
        );
        let source = match self.key_source() {
            Ok(source) if problems.is_empty() => source,
            Ok(_) => return Err(BuildError::new(problems)),
            Err(problem) => {
                problems.push(problem);
                return Err(BuildError::new(problems));
            }
        };
        Ok(Issuer {
            name: self.name,
            identifier: self.identifier,
            audience: self.audience,
            algorithms,
            authorized_parties: self.authorized_parties,
            groups_claim: self.groups_claim,
            groups_cut_at: self.groups_cut_at,
            kind: self.kind,
            claims: self.claims.into_iter().collect(),
            leeway,
            max_lifetime,
            source,
        })
    }

    fn check_names(&self, problems: &mut Vec<Problem>) {
        let issuer = || self.name.clone();
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if !(1..=64).contains(&self.name.len()) || !self.name.bytes().all(is_name) {
            problems.push(Problem::Name(self.name.clone()));
        }
        if self.identifier.is_empty() || self.identifier.contains(char::is_control) {
            problems.push(Problem::Identifier { issuer: issuer() });
        }
        if self.audience.is_empty() {
            problems.push(Problem::Audience { issuer: issuer() });
        } else if host_of(&self.audience).eq_ignore_ascii_case(FOREIGN_AUDIENCE) {
            problems.push(Problem::ForeignAudience {
                issuer: issuer(),
                audience: self.audience.clone(),
            });
        }
    }

    fn known_algorithms(&self, problems: &mut Vec<Problem>) -> Vec<Algorithm> {
        let mut known = Vec::new();
        for name in &self.algorithms {
            match Algorithm::from_name(name) {
                Some(algorithm) => known.push(algorithm),
                None => problems.push(Problem::Algorithm {
                    issuer: self.name.clone(),
                    algorithm: name.clone(),
                }),
            }
        }
        if self.algorithms.is_empty() {
            problems.push(Problem::NoAlgorithm {
                issuer: self.name.clone(),
            });
        }
        known
    }

    fn seconds(
        &self,
        what: &'static str,
        duration: Duration,
        least: u64,
        most: u64,
        problems: &mut Vec<Problem>,
    ) -> i64 {
        let seconds = duration.as_secs();
        if !(least..=most).contains(&seconds) {
            problems.push(Problem::Duration {
                issuer: self.name.clone(),
                what,
                least,
                most,
            });
        }
        i64::try_from(seconds).unwrap_or(0)
    }

    fn key_source(&self) -> Result<KeySource, Problem> {
        match &self.source {
            Source::Discover => self.address(&self.identifier).and_then(|url| {
                if url.query().is_some() {
                    return Err(self.url_problem(&self.identifier, "must not have a query"));
                }
                Ok(KeySource::Discovery(url))
            }),
            Source::Address(url) => self.address(url).map(KeySource::Address),
            Source::File(path) => Ok(KeySource::File(path.clone())),
            Source::Json(text) => {
                let problem = |fault| Problem::KeySet {
                    issuer: self.name.clone(),
                    fault,
                };
                let keys = KeySet::parse(&self.name, text.as_bytes())
                    .map_err(|fault| problem(fault.as_str()))?;
                if keys.is_empty() {
                    return Err(problem("has no usable key"));
                }
                Ok(KeySource::Fixed(Arc::new(keys)))
            }
        }
    }

    fn address(&self, url: &str) -> Result<Url, Problem> {
        fetchable(url).map_err(|fault| self.url_problem(url, fault))
    }

    fn url_problem(&self, url: &str, fault: &'static str) -> Problem {
        Problem::Url {
            issuer: self.name.clone(),
            url: url.to_owned(),
            fault,
        }
    }
}

/// The host in an audience that may or may not be written as an address.
fn host_of(audience: &str) -> &str {
    let rest = audience
        .split_once("://")
        .map_or(audience, |(_, rest)| rest);
    rest.split(['/', ':', '?', '#']).next().unwrap_or(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(builder: IssuerBuilder) -> String {
        builder.build().unwrap_err().to_string()
    }

    fn good() -> IssuerBuilder {
        Issuer::builder("ci", "https://issuer.example").audience("tollbook")
    }

    #[test]
    fn every_mistake_is_told_at_once() {
        let error = Issuer::builder("c i", "http://issuer.example")
            .algorithms(["HS256", "none", "RS256"])
            .leeway(Duration::from_secs(3600))
            .max_lifetime(Duration::ZERO)
            .build()
            .unwrap_err();
        assert_eq!(error.problems().len(), 7);
        assert_eq!(
            error.to_string(),
            "issuer name `c i` is not 1 to 64 letters, digits, `-`, `_` or `.`; \
             issuer `c i` has no audience; \
             issuer `c i`: algorithm `HS256` is not an asymmetric signature this gate knows; \
             issuer `c i`: algorithm `none` is not an asymmetric signature this gate knows; \
             issuer `c i`: leeway is outside 0 to 120 seconds; \
             issuer `c i`: max_lifetime is outside 1 to 86400 seconds; \
             issuer `c i`: `http://issuer.example` must be https, or http on a loopback address"
        );
    }

    #[test]
    fn a_good_description_builds() {
        assert!(good().build().is_ok());
        assert!(
            good()
                .jwks_url("https://keys.example/jwks?v=1")
                .build()
                .is_ok()
        );
        assert!(good().jwks_file("/etc/keys.json").build().is_ok());
    }

    #[test]
    fn an_issuer_that_is_never_fetched_may_have_any_name() {
        let issuer = Issuer::builder("k8s", "kubernetes/serviceaccount").audience("tollbook");
        assert!(issuer.clone().build().is_err());
        assert!(issuer.jwks_file("keys.json").build().is_ok());
    }

    #[test]
    fn the_providers_own_audience_is_refused() {
        for audience in [
            "https://api.anthropic.com",
            "https://API.anthropic.com/v1",
            "api.anthropic.com",
        ] {
            assert!(problems(good().audience(audience)).contains("replayed"));
        }
    }

    #[test]
    fn a_key_set_in_the_configuration_must_hold_a_key() {
        assert!(problems(good().jwks_json("[]")).contains("key set"));
        assert_eq!(
            problems(good().jwks_json(r#"{"keys":[]}"#)),
            "issuer `ci`: the key set has no usable key"
        );
        assert_eq!(
            problems(good().jwks_json(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)),
            "issuer `ci`: the key set has no usable key"
        );
    }

    #[test]
    fn no_algorithm_is_a_mistake() {
        assert_eq!(
            problems(good().algorithms::<String>([])),
            "issuer `ci` allows no algorithm"
        );
    }
}
