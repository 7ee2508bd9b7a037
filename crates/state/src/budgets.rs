//! The counters of budgets.

use tollbook_budget::Budgets;

use crate::{Error, ErrorKind, State};

impl State {
    /// Keeps the counters as they are now. Call it every few seconds while the
    /// [`revision`](Budgets::revision) changes, and at the end: what was spent since the last call is
    /// forgotten when the process crashes.
    ///
    /// # Errors
    ///
    /// When they are not kept.
    pub async fn keep_budgets(&self, budgets: &Budgets) -> Result<(), Error> {
        self.put(BUDGETS, budgets.snapshot()).await
    }

    /// Puts the counters back that were kept last, if there are any. Call it before the first
    /// request.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub async fn restore_budgets(&self, budgets: &Budgets) -> Result<(), Error> {
        match self.get(BUDGETS).await? {
            Some(snapshot) => budgets
                .restore(&snapshot)
                .map_err(|error| Error::because(ErrorKind::Corrupt, error)),
            None => Ok(()),
        }
    }
}

const BUDGETS: &str = "budgets";
