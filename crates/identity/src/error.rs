//! What is wrong with a configuration.

use std::fmt;

/// An issuer or an authenticator that cannot be built, with every mistake at once.
#[derive(Debug)]
pub struct BuildError {
    problems: Vec<Problem>,
}

impl BuildError {
    /// The mistakes, in the order in which they were found; never empty.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// `problems` is not empty.
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }
}

impl From<Problem> for BuildError {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
        }
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self.problems.first()? {
            Problem::Client { source } => Some(source),
            _ => None,
        }
    }
}

/// One mistake in a configuration.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The name cannot stand in records and policies.
    #[error("issuer name `{0}` is not 1 to 64 letters, digits, `-`, `_` or `.`")]
    Name(String),
    /// The issuer's own name for itself is empty or has control characters.
    #[error("issuer `{issuer}` has no usable issuer identifier")]
    Identifier {
        /// The issuer.
        issuer: String,
    },
    /// An address that must not be fetched.
    #[error("issuer `{issuer}`: `{url}` {fault}")]
    Url {
        /// The issuer.
        issuer: String,
        /// The address as it was given.
        url: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// Without an audience every token of the issuer would do, whomever it was made for.
    #[error("issuer `{issuer}` has no audience")]
    Audience {
        /// The issuer.
        issuer: String,
    },
    /// The provider's own audience: whoever sees such a token can spend it there.
    #[error(
        "issuer `{issuer}`: audience `{audience}` is the provider's own, so a token for it could be replayed there"
    )]
    ForeignAudience {
        /// The issuer.
        issuer: String,
        /// The audience.
        audience: String,
    },
    /// The list of algorithms is empty.
    #[error("issuer `{issuer}` allows no algorithm")]
    NoAlgorithm {
        /// The issuer.
        issuer: String,
    },
    /// An algorithm that is unknown, symmetric or none at all.
    #[error(
        "issuer `{issuer}`: algorithm `{algorithm}` is not an asymmetric signature this gate knows"
    )]
    Algorithm {
        /// The issuer.
        issuer: String,
        /// The algorithm as it was given.
        algorithm: String,
    },
    /// A duration that would take the check away.
    #[error("issuer `{issuer}`: {what} is outside {least} to {most} seconds")]
    Duration {
        /// The issuer.
        issuer: String,
        /// Which duration.
        what: &'static str,
        /// The least it may be, in seconds.
        least: u64,
        /// The most it may be, in seconds.
        most: u64,
    },
    /// A key set given in the configuration that cannot be used.
    #[error("issuer `{issuer}`: the key set {fault}")]
    KeySet {
        /// The issuer.
        issuer: String,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A description that does not go with its preset.
    #[error("issuer `{issuer}`: preset `{preset}`: {fault}")]
    Preset {
        /// The issuer.
        issuer: String,
        /// The preset.
        preset: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A token type that no header could have.
    #[error("issuer `{issuer}`: token_type is no media type")]
    TokenType {
        /// The issuer.
        issuer: String,
    },
    /// No issuer at all: nobody could ever pass.
    #[error("no issuer is configured")]
    NoIssuer,
    /// Two issuers of one name: records could not tell them apart.
    #[error("issuer name `{0}` is used twice")]
    DuplicateName(String),
    /// Two issuers with one identifier: a token would belong to both.
    #[error("issuer identifier `{0}` is used twice")]
    DuplicateIdentifier(String),
    /// The HTTP client for discovery and key sets cannot be made.
    #[error("cannot make the client that fetches key sets")]
    Client {
        /// Why not.
        source: crate::FetchError,
    },
}
