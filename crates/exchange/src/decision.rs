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
    /// Who has to approve, where the verdict is [`Verdict::Approve`] or was before they did.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub requires: Vec<Requirement>,
    /// The id of the approval or grant that let the exchange pass.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub approval: Option<String>,
    /// The ids of rules on trial that would have denied or asked for approval.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub shadow: Vec<String>,
}

/// So many different people of one group have to approve.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Requirement {
    /// The id of the rule that asks for it.
    pub rule: String,
    /// The group that approvers have to be in.
    pub group: String,
    /// How many different people: at least one.
    pub people: u32,
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
            requires: Vec::new(),
            approval: None,
            shadow: Vec::new(),
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

    /// The same decision, which passes when all of `requires` have approved.
    pub fn requiring(mut self, requires: Vec<Requirement>) -> Self {
        self.requires = requires;
        self
    }

    /// The same decision with the rules on trial that would have decided otherwise.
    pub fn with_shadow(mut self, shadow: Vec<String>) -> Self {
        self.shadow = shadow;
        self
    }

    /// The same decision, allowed by the approval or grant of this id.
    pub fn approved(mut self, approval: impl Into<String>) -> Self {
        self.verdict = Verdict::Allow;
        self.approval = Some(approval.into());
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
    /// Only when people have approved it.
    Approve,
}

impl Verdict {
    /// The name used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Approve => "approve",
        }
    }
}
