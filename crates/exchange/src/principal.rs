//! Who asks.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The verified caller of an exchange.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Principal {
    /// What kind of caller this is.
    pub kind: PrincipalKind,
    /// The configured name of the issuer that vouched for the caller.
    pub issuer: String,
    /// The issuer's name for the caller; unique within the issuer.
    pub subject: String,
    /// The groups the caller is known to be in.
    pub groups: Groups,
    /// Verified claims that policies and the record may use. Never the token itself.
    pub claims: BTreeMap<String, Value>,
    /// The issuer's immutable id for the caller, where it has one: it survives renaming and is
    /// never given out twice, which a subject does not promise.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stable_id: Option<String>,
    /// The roles that the issuer gives the caller.
    #[serde(skip_serializing_if = "BTreeSet::is_empty", default)]
    pub roles: BTreeSet<String>,
    /// The person behind a job or workload, as far as the issuer says.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub actor: Option<Actor>,
    /// The run of a job.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub run: Option<Run>,
    /// The deployment environment that a job runs in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub environment: Option<String>,
    /// Whom the caller acts for, as `issuer/id`, where a token exchange said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub on_behalf_of: Option<String>,
    /// What the caller was let in with.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access: Option<Access>,
}

/// The person behind a job or workload. A login may change hands; an id does not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The issuer's immutable id for the person.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<String>,
    /// The name the person goes by.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub login: Option<String>,
}

/// One run of a job.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// The issuer's id for the run.
    pub id: String,
    /// Which attempt of the run it is.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub attempt: Option<String>,
}

/// What a caller was let in with. Names things, opens nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The federation rules that spoke for the caller.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub rules: Vec<String>,
    /// The id of the gateway token that was shown, which is not the token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub token: Option<String>,
    /// Names the issuer's token behind it: the beginning of its id's SHA-256, in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub assertion: Option<String>,
    /// The SHA-256 of the client certificate, in hexadecimal, where one was shown.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certificate: Option<String>,
    /// When the person behind the caller signed in, in seconds since 1970; where the issuer does not
    /// say, when it made their token.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signed_in: Option<i64>,
    /// Whether the issuer itself says when the person signed in. A token that is only new may have
    /// been renewed in silence.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub sign_in_told: bool,
    /// When what the caller was let in with ends, in seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires: Option<i64>,
}

impl Principal {
    /// A principal in no group and without claims.
    pub fn new(kind: PrincipalKind, issuer: impl Into<String>, subject: impl Into<String>) -> Self {
        Self {
            kind,
            issuer: issuer.into(),
            subject: subject.into(),
            groups: Groups::Known(BTreeSet::new()),
            claims: BTreeMap::new(),
            stable_id: None,
            roles: BTreeSet::new(),
            actor: None,
            run: None,
            environment: None,
            on_behalf_of: None,
            access: None,
        }
    }

    /// Names the caller for good: `issuer/stable id`, or `issuer/subject` where the issuer has no
    /// stable id. Two principals with one identity are one caller.
    pub fn identity(&self) -> String {
        let id = self.stable_id.as_deref().unwrap_or(&self.subject);
        format!("{}/{id}", self.issuer)
    }

    /// The same principal in these groups.
    #[must_use]
    pub fn with_groups(mut self, groups: Groups) -> Self {
        self.groups = groups;
        self
    }

    /// The same principal with these claims.
    #[must_use]
    pub fn with_claims(mut self, claims: BTreeMap<String, Value>) -> Self {
        self.claims = claims;
        self
    }
}

/// What kind of caller a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PrincipalKind {
    /// A job of a continuous-integration system.
    Ci,
    /// A person.
    Human,
    /// A workload or service account.
    Service,
    /// An account of the gateway's own machine. The system vouches for it, and no request at the
    /// gate comes from one.
    Local,
}

impl PrincipalKind {
    /// The name used in records and policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Human => "human",
            Self::Service => "service",
            Self::Local => "local",
        }
    }
}

/// The groups of a principal.
///
/// An issuer that had to leave groups out says so; such groups are *unknown*, which is not the
/// same as none: a rule that needs a group does not match, and a rule that forbids one denies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Groups {
    /// Exactly these groups.
    Known(BTreeSet<String>),
    /// The issuer did not say. Written as `null`.
    Unknown,
}

impl Groups {
    /// The known groups in order; none when they are unknown.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Self::Known(groups) => Some(groups),
            Self::Unknown => None,
        }
        .into_iter()
        .flatten()
        .map(String::as_str)
    }

    /// Whether the issuer said which groups the principal is in.
    pub const fn is_known(&self) -> bool {
        matches!(self, Self::Known(_))
    }
}

impl<S: Into<String>> FromIterator<S> for Groups {
    fn from_iter<I: IntoIterator<Item = S>>(groups: I) -> Self {
        Self::Known(groups.into_iter().map(Into::into).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_the_stable_id_where_there_is_one() {
        let mut job = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay:ref:refs/heads/main");
        assert_eq!(job.identity(), "ci/repo:acme/pay:ref:refs/heads/main");
        job.stable_id = Some("123456".to_owned());
        assert_eq!(job.identity(), "ci/123456");
    }

    #[test]
    fn unknown_groups_are_null_and_known_ones_a_list() {
        let known = Groups::from_iter(["b", "a"]);
        assert_eq!(
            serde_json::to_string(&known).ok().as_deref(),
            Some(r#"["a","b"]"#)
        );
        assert_eq!(
            serde_json::to_string(&Groups::Unknown).ok().as_deref(),
            Some("null")
        );
        assert_eq!(
            serde_json::from_str::<Groups>("null").ok(),
            Some(Groups::Unknown)
        );
    }
}
