//! The gate's "not now".

use tollbook_exchange::{Code, Refusal, Retry};

/// Why a request may not pass now.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {id}: {message}", .code.as_str())]
#[non_exhaustive]
pub struct Refused {
    /// [`Code::BudgetExceeded`] or [`Code::LoopDetected`].
    pub code: Code,
    /// The id of the budget; `repeat` for the loop breaker.
    pub id: String,
    /// What the caller is told: the reason that the operator gives, or which limit it is.
    pub message: String,
    /// A stable word for the record: `budget_requests`, `budget_tokens`, `budget_cost`,
    /// `budget_counters`, `loop_detected`.
    pub reason: &'static str,
    /// In how many seconds the same request may pass, at least one. For a batch that never will, the
    /// length of the window.
    pub retry_after: u32,
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let Refused {
            code, id, message, ..
        } = refused;
        Self::new(code, format!("tollbook_{}: {id}: {message}", code.as_str()))
            .because(refused.reason)
            .retry(Retry::After(refused.retry_after))
    }
}
