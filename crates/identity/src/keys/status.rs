//! What an operator may want to know about an issuer's keys.

use std::time::Duration;

use super::load::LoadError;

/// The keys of one issuer, for readiness and for `doctor`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyStatus {
    /// The configured name of the issuer.
    pub name: String,
    /// The number of keys that may be used now. Without any, nobody passes.
    pub keys: usize,
    /// How long ago the keys were last loaded; none if they never were, or are in the
    /// configuration.
    pub fetched_ago: Option<Duration>,
    /// Whether loads fail and the keys are over an hour old: in less than a day nobody will pass.
    pub stale: bool,
    /// Why the last load failed; none if it did not.
    pub last_error: Option<KeyFault>,
}

/// What kind of trouble a load of keys had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeyFault {
    /// No answer, or none with status 200.
    Unreachable,
    /// An answer that took more than five seconds.
    TooSlow,
    /// A document of more than 512 KiB.
    TooLarge,
    /// A discovery document that is not the issuer's, or that names no key set to fetch.
    Discovery,
    /// A file that cannot be read.
    File,
    /// A document that is no key set.
    KeySet,
}

impl KeyFault {
    /// The kind as one stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TooSlow => "too_slow",
            Self::TooLarge => "too_large",
            Self::Discovery => "discovery",
            Self::File => "file",
            Self::KeySet => "key_set",
        }
    }
}

impl From<&LoadError> for KeyFault {
    fn from(error: &LoadError) -> Self {
        match error {
            LoadError::Fetch { .. } => Self::Unreachable,
            LoadError::TooSlow { .. } => Self::TooSlow,
            LoadError::TooLarge { .. } => Self::TooLarge,
            LoadError::Discovery(_) => Self::Discovery,
            LoadError::File(_) => Self::File,
            LoadError::Set(_) => Self::KeySet,
        }
    }
}
