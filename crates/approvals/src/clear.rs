//! Waiting for people, and judging again what they let through.

use std::sync::{Arc, OnceLock};

use tokio::time::Instant;
use tollbook_exchange::{Code, Decision, Refusal, Verdict};

use crate::{ApprovalId, Approvals, Ask, Mode, hold::Hold, refusal};

/// How often a request may be let through by people and then meet rules that they were not shown.
const ROUNDS: usize = 4;

/// How a request waits for people.
#[derive(Clone, Debug, Default)]
pub struct Patience {
    /// Until when; `None` is until it is decided or its time is up.
    pub until: Option<Instant>,
    /// Whether the approval is cancelled when the caller leaves while it is held.
    pub cancel_when_gone: bool,
    /// The approval that is waited for, as soon as there is one, for those who look on.
    pub seen: Arc<OnceLock<ApprovalId>>,
}

impl Approvals {
    /// Waits until people have decided about a request whose decision is *approve*, then judges it
    /// again with `judge`, because time has passed. Gives the decision that lets it pass. Leave is used up
    /// by being given: it is for this one request.
    ///
    /// This is also the entry for what is no HTTP request of its own, such as a tool call.
    ///
    /// # Errors
    ///
    /// What the caller is to be told: that it was or is now denied, that nobody decided in time, that
    /// too many are open, or that the store or the book failed.
    pub async fn clear(
        &self,
        ask: Ask,
        patience: Patience,
        judge: impl Fn() -> Decision,
    ) -> Result<Decision, Refusal> {
        let hold = Hold {
            until: patience.until,
            cancel: patience.cancel_when_gone && ask.mode == Mode::Hold,
            seen: patience.seen,
        };
        let mut ask = Arc::new(ask);
        for _ in 0..ROUNDS {
            let passed = self.pass(&ask, &hold).await?;
            // Rules may have changed: what holds now counts.
            let decision = judge();
            if !decision.errors.is_empty() {
                return Err(policy_error(&decision));
            }
            match decision.verdict {
                Verdict::Allow => return Ok(decision.approved(passed.by)),
                Verdict::Approve if passed.covers(&decision.requires) => {
                    return Ok(decision.approved(passed.by));
                }
                // Rules that people were not shown: they have to be asked again.
                Verdict::Approve => {
                    ask = Arc::new(Ask {
                        decision,
                        ..(*ask).clone()
                    });
                }
                _ => return Err(policy_denied(&decision)),
            }
        }
        Err(refusal::contended())
    }
}

fn policy_denied(decision: &Decision) -> Refusal {
    let rules = match decision.rules.is_empty() {
        true => "no rule permits this".to_owned(),
        false => decision.rules.join(", "),
    };
    let message = match &decision.reason {
        Some(reason) => format!("tollbook_policy_denied: {rules}: {reason}"),
        None => format!("tollbook_policy_denied: {rules}"),
    };
    Refusal::new(Code::PolicyDenied, message).because("denied_at_execution")
}

fn policy_error(decision: &Decision) -> Refusal {
    let rules = decision.errors.join(", ");
    let message = format!("tollbook_policy_error: {rules}: a rule could not be evaluated");
    Refusal::new(Code::PolicyError, message)
}
