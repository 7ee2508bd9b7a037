//! Checks what an operator says about an issuer.

use std::{path::PathBuf, sync::Arc, time::Duration};

use reqwest::Url;
use tollbook_exchange::PrincipalKind;

use super::{Issuer, KeySource, Preset, preset::Description};
use crate::{
    Algorithm, BuildError, Problem,
    keys::{KeySet, fetchable},
    token::media_type,
};

/// Describes an [`Issuer`]. Mistakes are collected and told together by [`build`](Self::build).
#[derive(Clone, Debug)]
#[must_use]
pub struct IssuerBuilder {
    name: String,
    identifier: String,
    audience: String,
    preset: Preset,
    algorithms: Option<Vec<String>>,
    authorized_parties: Vec<String>,
    groups_claim: Option<String>,
    groups_cut_at: Option<usize>,
    roles_claim: Option<String>,
    kind: Option<PrincipalKind>,
    claims: Option<Vec<String>>,
    token_type: Option<String>,
    leeway: Duration,
    max_lifetime: Option<Duration>,
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
            preset: Preset::Generic,
            algorithms: None,
            authorized_parties: Vec::new(),
            groups_claim: None,
            groups_cut_at: None,
            roles_claim: None,
            kind: None,
            claims: None,
            token_type: None,
            leeway: Duration::from_secs(30),
            max_lifetime: None,
            source: Source::Discover,
        }
    }

    /// What is known about the issuer's tokens. It stands for everything that no other call names,
    /// whatever the order of the calls.
    pub fn preset(mut self, preset: Preset) -> Self {
        self.preset = preset;
        self
    }

    /// The audience that tokens must name. Required.
    pub fn audience(mut self, audience: impl Into<String>) -> Self {
        self.audience = audience.into();
        self
    }

    /// The algorithms that tokens may use, instead of the preset's: `RS256`, `ES256` and `EdDSA`
    /// for most.
    pub fn algorithms<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.algorithms = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The type (`typ`, RFC 8725 §3.11) that tokens must be of, such as `at+jwt`; a token without
    /// one is refused then. Unless told otherwise a token needs no type, and one that has it is
    /// `JWT` or `at+jwt`, a JWT-SVID `JWT` or `JOSE`.
    pub fn token_type(mut self, typ: impl Into<String>) -> Self {
        self.token_type = Some(typ.into());
        self
    }

    /// The parties (`azp`; `appid` of Entra's first version, `cid` of Okta) that tokens may have
    /// been handed out to. With none named, a token for one audience needs no party, and a token
    /// for several must name our audience as its party.
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

    /// The claim that lists the caller's roles. Without one, tokens give nobody a role.
    pub fn roles_claim(mut self, claim: impl Into<String>) -> Self {
        self.roles_claim = Some(claim.into());
        self
    }

    /// What kind of callers the issuer vouches for. A preset that can tell still takes a token for
    /// a service's that says so of itself, because only people may approve.
    pub fn kind(mut self, kind: PrincipalKind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// The claims that policies and the record may see, instead of the preset's; a star at the end
    /// of a name stands for any rest, and the member `b` of a claim `a` is called `a/b`. Only
    /// texts, numbers and yes-or-no values are taken.
    pub fn claims<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.claims = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// How far the issuer's clock may be from ours: at most two minutes.
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.leeway = leeway;
        self
    }

    /// How long tokens may live, from `iat` to `exp`: at most a day.
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
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
    pub fn build(mut self) -> Result<Issuer, BuildError> {
        let profile = self.preset.profile();
        if let (true, Some(identifier)) = (self.identifier.is_empty(), profile.identifier) {
            identifier.clone_into(&mut self.identifier);
        }
        let mut problems = Vec::new();
        self.check_names(&mut problems);
        let algorithms = self.known_algorithms(&mut problems);
        let token_type = self.checked_type(&mut problems);
        let leeway = self.seconds("leeway", self.leeway, 0, MOST_LEEWAY, &mut problems);
        let max_lifetime = match self.max_lifetime {
            Some(life) => self.seconds("max_lifetime", life, 1, MOST_LIFETIME, &mut problems),
            None => profile.max_lifetime.into(),
        };
        let description = Description {
            identifier: &self.identifier,
            audience: &self.audience,
            algorithms: &algorithms,
        };
        if let Some(fault) = (profile.problem)(&description) {
            problems.push(Problem::Preset {
                issuer: self.name.clone(),
                preset: self.preset.as_str(),
                fault,
            });
        }
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
            groups_claim: self
                .groups_claim
                .or_else(|| profile.groups_claim.map(str::to_owned)),
            groups_cut_at: self.groups_cut_at.or(profile.groups_cut_at),
            roles_claim: self
                .roles_claim
                .or_else(|| profile.roles_claim.map(str::to_owned)),
            kind: self.kind,
            preset: self.preset,
            kept: match &self.claims {
                Some(names) => names.iter().collect(),
                None => self.preset.kept().into_iter().collect(),
            },
            token_type,
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
        let Some(names) = &self.algorithms else {
            return self.preset.profile().algorithms.to_vec();
        };
        let mut known = Vec::new();
        for name in names {
            match Algorithm::from_name(name) {
                Some(algorithm) => known.push(algorithm),
                None => problems.push(Problem::Algorithm {
                    issuer: self.name.clone(),
                    algorithm: name.clone(),
                }),
            }
        }
        if names.is_empty() {
            problems.push(Problem::NoAlgorithm {
                issuer: self.name.clone(),
            });
        }
        known
    }

    fn checked_type(&self, problems: &mut Vec<Problem>) -> Option<String> {
        let typ = media_type(self.token_type.as_deref()?);
        // RFC 6838 §4.2, as far as token types go.
        let is_type = |byte: u8| byte.is_ascii_alphanumeric() || b"+-._".contains(&byte);
        if !(1..=64).contains(&typ.len()) || !typ.bytes().all(is_type) {
            problems.push(Problem::TokenType {
                issuer: self.name.clone(),
            });
        }
        Some(typ)
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
            Source::Discover if self.identifier.starts_with("spiffe://") => Err(self.url_problem(
                &self.identifier,
                "has no discovery document, so its keys must be named",
            )),
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
                let uses = self.preset.profile().key_uses;
                let keys = KeySet::parse(&self.name, text.as_bytes(), uses)
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
    fn a_preset_knows_what_the_operator_does_not_say() {
        let github = Issuer::builder("ci", "")
            .audience("tollbook")
            .preset(Preset::GithubActions);
        let issuer = github.clone().build().unwrap();
        assert_eq!(
            issuer.identifier(),
            "https://token.actions.githubusercontent.com"
        );
        assert_eq!(issuer.max_lifetime, 900);
        assert!(issuer.is_shared());
        assert!(issuer.kept.has("repository_id"));
        assert!(!issuer.kept.has("tid"));

        // Said before the preset or after it, the operator's word counts.
        let said = |builder: IssuerBuilder| {
            builder
                .max_lifetime(Duration::from_secs(60))
                .algorithms(["ES384"])
                .claims(["mine"])
                .groups_claim("teams")
        };
        for builder in [
            said(github.clone()),
            said(Issuer::builder("ci", "").audience("tollbook")).preset(Preset::GithubActions),
        ] {
            let issuer = builder.build().unwrap();
            assert_eq!(issuer.max_lifetime, 60);
            assert_eq!(issuer.algorithms, [Algorithm::Es384]);
            assert_eq!(issuer.groups_claim.as_deref(), Some("teams"));
            assert!(issuer.kept.has("mine") && !issuer.kept.has("repository_id"));
        }

        let enterprise = "https://token.actions.githubusercontent.com/acme";
        let issuer = Issuer::builder("ci", enterprise)
            .audience("tollbook")
            .preset(Preset::GithubActions)
            .build()
            .unwrap();
        assert_eq!(issuer.identifier(), enterprise);
        assert!(!issuer.is_shared());
    }

    #[test]
    fn issuers_of_everybody_are_shared_without_a_preset_too() {
        for (identifier, shared) in [
            ("https://token.actions.githubusercontent.com", true),
            ("https://gitlab.com", true),
            ("https://agent.buildkite.com", true),
            ("https://accounts.google.com", true),
            ("https://gitlab.acme.example", false),
            ("https://acme.okta.com/oauth2/default", false),
        ] {
            let issuer = Issuer::builder("x", identifier).audience("tollbook");
            assert_eq!(issuer.build().unwrap().is_shared(), shared, "{identifier}");
        }
    }

    #[test]
    fn what_a_preset_cannot_be_used_for_is_a_mistake() {
        use Preset::{CircleCi, Entra, Kubernetes, Okta, Spiffe};
        let org = "https://oidc.circleci.com/org/c9035eb6-6eb2-4c85-8a81-d9ed6a1d1d1e";
        let tenant = "https://login.microsoftonline.com/8a0c6e0d-5f5c-4a7c-8a3b-111111111111/v2.0";
        for (preset, identifier, audience, good) in [
            (Entra, tenant, "api", true),
            (Entra, "https://sts.windows.net/8a0c6e0d/", "api", true),
            (
                Entra,
                "https://login.microsoftonline.com/common/v2.0",
                "api",
                false,
            ),
            (
                Entra,
                "https://login.microsoftonline.com/Organizations/v2.0",
                "api",
                false,
            ),
            (
                Entra,
                "https://login.microsoftonline.com/consumers/v2.0",
                "api",
                false,
            ),
            (
                Entra,
                "https://login.microsoftonline.com/{tenantid}/v2.0",
                "api",
                false,
            ),
            (CircleCi, org, "tollbook", true),
            (CircleCi, "https://oidc.circleci.com", "tollbook", false),
            (
                CircleCi,
                "https://oidc.circleci.com/org/acme",
                "tollbook",
                false,
            ),
            (
                Okta,
                "https://acme.okta.com/oauth2/default",
                "tollbook",
                true,
            ),
            (Okta, "https://acme.okta.com", "tollbook", false),
            (Kubernetes, "https://k8s.example", "tollbook", true),
            (
                Kubernetes,
                "https://k8s.example",
                "https://k8s.example",
                false,
            ),
            (
                Kubernetes,
                "https://k8s.example",
                "https://kubernetes.default.svc",
                false,
            ),
            (
                Kubernetes,
                "https://k8s.example",
                "https://kubernetes.default.svc.cluster.local",
                false,
            ),
            (
                Kubernetes,
                "https://k8s.example",
                "kubernetes.default.svc",
                false,
            ),
            (Spiffe, "https://spire.example", "tollbook", true),
            (Spiffe, "spiffe://Prod.example", "tollbook", false),
            (Spiffe, "spiffe://prod.example/path", "tollbook", false),
        ] {
            let issuer = Issuer::builder("x", identifier)
                .audience(audience)
                .preset(preset)
                .jwks_file("keys.json");
            assert_eq!(
                issuer.build().is_ok(),
                good,
                "{preset:?} {identifier} {audience}"
            );
        }

        let workloads = Issuer::builder("mesh", "spiffe://prod.example")
            .audience("tollbook")
            .preset(Spiffe);
        assert_eq!(
            problems(workloads.clone()),
            "issuer `mesh`: `spiffe://prod.example` has no discovery document, so its keys must \
             be named"
        );
        let workloads = workloads.jwks_url("https://spire.example/bundle");
        assert!(workloads.clone().build().is_ok());
        assert_eq!(
            problems(workloads.algorithms(["ES256", "EdDSA"])),
            "issuer `mesh`: preset `spiffe`: allows an algorithm that no JWT-SVID may use"
        );
    }

    #[test]
    fn a_token_type_is_a_media_type() {
        for (typ, good) in [
            ("at+jwt", true),
            ("application/AT+JWT", true),
            ("", false),
            ("a b", false),
        ] {
            assert_eq!(good_type(typ).is_ok(), good, "{typ:?}");
        }
        fn good_type(typ: &str) -> Result<Issuer, BuildError> {
            good().token_type(typ).build()
        }
    }

    #[test]
    fn no_algorithm_is_a_mistake() {
        assert_eq!(
            problems(good().algorithms::<String>([])),
            "issuer `ci` allows no algorithm"
        );
    }
}
