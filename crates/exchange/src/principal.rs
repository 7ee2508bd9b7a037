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
        }
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
}

impl PrincipalKind {
    /// The name used in records and policies.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ci => "ci",
            Self::Human => "human",
            Self::Service => "service",
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
