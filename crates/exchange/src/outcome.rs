//! How it ended.

use serde::{Deserialize, Serialize};

/// How an exchange ended. An HTTP status alone does not tell: a stream can fail after its 200.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The whole answer was relayed, to its proper end.
    Complete,
    /// The gate refused the request; nothing was forwarded.
    Denied,
    /// The upstream reported an error inside a stream that had begun well.
    ErrorEvent,
    /// The upstream answered with an error status, or could not be reached.
    UpstreamError,
    /// The upstream's answer broke off before its end.
    UpstreamReset,
    /// The caller left before the end.
    ClientGone,
    /// The gate itself cut the answer off.
    PolicyCut,
    /// Nobody knows: the gate stopped between forwarding and the end.
    Indeterminate,
}

impl Outcome {
    /// Every outcome, in the order of this type.
    pub const ALL: [Self; 8] = [
        Self::Complete,
        Self::Denied,
        Self::ErrorEvent,
        Self::UpstreamError,
        Self::UpstreamReset,
        Self::ClientGone,
        Self::PolicyCut,
        Self::Indeterminate,
    ];

    /// The name used in records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Denied => "denied",
            Self::ErrorEvent => "error_event",
            Self::UpstreamError => "upstream_error",
            Self::UpstreamReset => "upstream_reset",
            Self::ClientGone => "client_gone",
            Self::PolicyCut => "policy_cut",
            Self::Indeterminate => "indeterminate",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_has_one_name() {
        for outcome in Outcome::ALL {
            let json = serde_json::to_value(outcome).ok();
            assert_eq!(json, Some(serde_json::Value::from(outcome.as_str())));
        }
    }
}
