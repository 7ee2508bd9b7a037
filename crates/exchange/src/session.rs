//! Which session an exchange belongs to.

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{Principal, SessionId};

/// Claims that name one run of a job, the narrowest first. Any one of them stays the same for the
/// whole run, also when the token is renewed.
const RUN_CLAIMS: [&str; 4] = ["job_id", "run_id", "pipeline_id", "build_number"];

impl SessionId {
    /// The session of this principal that goes by `label`; without a label, of its run. `None` when
    /// nothing ties this exchange to another.
    ///
    /// The principal is part of the derivation, so a label is a name within one caller's sessions
    /// and nobody can write into another's. It is the same for every protocol.
    pub fn of(principal: &Principal, label: Option<&str>) -> Option<Self> {
        let run = || {
            RUN_CLAIMS
                .iter()
                .find_map(|name| match principal.claims.get(*name)? {
                    Value::String(run) => Some(format!("{name}={run}")),
                    Value::Number(run) => Some(format!("{name}={run}")),
                    _ => None,
                })
        };
        let label = label.map(|label| format!("label={label}")).or_else(run)?;
        let mut hash = Sha256::new();
        for part in [
            "tollbook session v1",
            &principal.issuer,
            &principal.subject,
            &label,
        ] {
            // The length keeps two neighbouring parts from being cut elsewhere.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let id = hash.finalize();
        id.first_chunk().copied().map(Self::derived)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PrincipalKind;

    fn caller(subject: &str) -> Principal {
        Principal::new(PrincipalKind::Ci, "ci", subject)
    }

    #[test]
    fn a_label_names_a_session_of_one_caller_only() {
        let mine = SessionId::of(&caller("me"), Some("s-1"));
        assert_eq!(mine, SessionId::of(&caller("me"), Some("s-1")));
        assert_ne!(mine, SessionId::of(&caller("you"), Some("s-1")));
        assert_ne!(mine, SessionId::of(&caller("me"), Some("s-2")));
    }

    #[test]
    fn a_run_is_a_session() {
        let run =
            |id: &str| caller("me").with_claims([("run_id".to_owned(), Value::from(id))].into());
        assert_eq!(
            SessionId::of(&run("7"), None),
            SessionId::of(&run("7"), None)
        );
        assert_ne!(
            SessionId::of(&run("7"), None),
            SessionId::of(&run("8"), None)
        );
        assert_eq!(SessionId::of(&caller("me"), None), None);
    }
}
