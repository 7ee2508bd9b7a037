//! Whether it may pass.

use serde::{Deserialize, Serialize};

/// The verdict about one exchange and what led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct Decision {
    /// The verdict.
    pub verdict: Verdict,
    /// The ids of the rules that determined it. Empty when nothing permitted.
    pub rules: Vec<String>,
    /// The reason a determining rule gives for itself, for the caller's eyes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// The ids of rules that could not be evaluated. Any of them makes the verdict a denial.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub errors: Vec<String>,
    /// Names the exact set of rules that was asked: `sha256:` and 64 hexadecimal digits.
    pub policy_hash: String,
}

impl Decision {
    /// A decision that `rules` of the set `policy_hash` led to.
    pub fn new(verdict: Verdict, rules: Vec<String>, policy_hash: impl Into<String>) -> Self {
        Self {
            verdict,
            rules,
            reason: None,
            errors: Vec::new(),
            policy_hash: policy_hash.into(),
        }
    }

    /// The same decision with the reason that its rule gives.
    pub fn with_reason(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// The same decision with the rules that failed.
    pub fn with_errors(mut self, errors: Vec<String>) -> Self {
        self.errors = errors;
        self
    }

    /// Whether the exchange may pass.
    pub const fn is_allow(&self) -> bool {
        matches!(self.verdict, Verdict::Allow)
    }
}

/// May it pass?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Verdict {
    /// Yes.
    Allow,
    /// No.
    Deny,
}

impl Verdict {
    /// The name used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}
