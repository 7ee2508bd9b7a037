//! What is wrong with federation rules.

use std::fmt;

/// Rules that cannot be used, with every mistake at once.
#[derive(Debug)]
pub struct RulesError {
    problems: Vec<RuleProblem>,
}

impl RulesError {
    /// The mistakes, in the order in which they were found; never empty.
    pub fn problems(&self) -> &[RuleProblem] {
        &self.problems
    }

    /// `problems` is not empty.
    pub(super) const fn new(problems: Vec<RuleProblem>) -> Self {
        Self { problems }
    }
}

impl fmt::Display for RulesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for RulesError {}

/// One mistake in a federation rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleProblem {
    /// The id cannot stand in records, requests and policies.
    #[error("rule id `{0}` is not 1 to 64 letters, digits, `-`, `_` or `.`")]
    Id(String),
    /// Two rules of one id: a caller that asks for it would get either.
    #[error("rule id `{0}` is used twice")]
    DuplicateId(String),
    /// No issuer of this name is configured.
    #[error("rule `{rule}`: no issuer is called `{issuer}`")]
    UnknownIssuer {
        /// The rule.
        rule: String,
        /// The issuer as it was given.
        issuer: String,
    },
    /// The rule would speak for everybody whom the issuer knows.
    #[error("rule `{rule}` asks for no subject and no claim, so it would speak for every token")]
    NoMatcher {
        /// The rule.
        rule: String,
    },
    /// The issuer serves many customers, and the rule would speak for those of others too.
    #[error(
        "rule `{rule}`: everybody can have tokens from issuer `{issuer}`, so it must ask for the values of a claim \
         that names an owner, which is one of `{claims}`, or for a subject that begins with one"
    )]
    NotPinned {
        /// The rule.
        rule: String,
        /// The issuer.
        issuer: String,
        /// The claims of which one would do.
        claims: String,
    },
    /// A claim that says nothing about the caller, or that has no usable name.
    #[error("rule `{rule}`: claim `{claim}` {fault}")]
    Claim {
        /// The rule.
        rule: String,
        /// The claim.
        claim: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A value that does not mean what it seems to mean.
    #[error("rule `{rule}`: value `{value}` of claim `{claim}` {fault}")]
    Value {
        /// The rule.
        rule: String,
        /// The claim.
        claim: String,
        /// The value as it was given.
        value: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// An audience that cannot be asked for.
    #[error("rule `{rule}`: audience `{audience}` {fault}")]
    Audience {
        /// The rule.
        rule: String,
        /// The audience as it was given.
        audience: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A group that has no usable name.
    #[error("rule `{rule}`: group `{group}` is not 1 to 512 bytes without control characters")]
    Group {
        /// The rule.
        rule: String,
        /// The group as it was given.
        group: String,
    },
    /// Gateway tokens that would live too short or too long.
    #[error("rule `{rule}`: the lifetime is outside {least} to {most} seconds")]
    Lifetime {
        /// The rule.
        rule: String,
        /// The least it may be, in seconds.
        least: u64,
        /// The most it may be, in seconds.
        most: u64,
    },
}
