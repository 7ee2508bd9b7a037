//! Waiting for a decision.

use std::time::Duration;

use tokio::{sync::watch, time};

use crate::{Approval, ApprovalId, Approvals, Error, Refused, State};

/// A place in the queue for the decision about one approval. Any number can wait for one.
#[derive(Debug)]
#[must_use]
pub struct Ticket {
    engine: Approvals,
    approval: Approval,
    watch: watch::Receiver<()>,
    cancel: bool,
}

impl Ticket {
    pub(crate) const fn new(
        engine: Approvals,
        approval: Approval,
        watch: watch::Receiver<()>,
    ) -> Self {
        Self {
            engine,
            approval,
            watch,
            cancel: false,
        }
    }

    /// The approval's name.
    pub const fn id(&self) -> &ApprovalId {
        &self.approval.id
    }

    /// The approval as it was seen last.
    pub const fn approval(&self) -> &Approval {
        &self.approval
    }

    /// Gives the approval up when this ticket is dropped while it is pending and nobody else waits
    /// for it. It is cancelled at the next [`sweep`](Approvals::sweep).
    pub const fn cancel_on_drop(mut self, cancel: bool) -> Self {
        self.cancel = cancel;
        self
    }

    /// Waits until the approval is pending no more, and gives it as it then is.
    ///
    /// Those of this process are woken at once; what another gateway decides is seen within
    /// [`Limits::poll`](crate::Limits::poll). It ends at the latest when the approval's time does.
    ///
    /// # Errors
    ///
    /// When the store or the witness fails, and when the record is gone.
    pub async fn decided(&mut self) -> Result<&Approval, Error> {
        loop {
            // Before the look, so that no step between the look and the wait is missed.
            self.watch.mark_unchanged();
            self.approval = self.engine.show(&self.approval.id).await?;
            if self.approval.state != State::Pending {
                break;
            }
            let now = self.engine.0.clock.now();
            let left = (self.approval.expires.as_micros()).saturating_sub(now.as_micros());
            let Some(left) = u64::try_from(left).ok().filter(|left| *left > 0) else {
                let id = self.approval.id.clone();
                let ended = self.engine.step(id, None, None, Approval::expire).await;
                match ended {
                    // Somebody was faster: look again.
                    Ok(_) | Err(Error::Refused(Refused::Over(_) | Refused::TooEarly)) => continue,
                    Err(error) => return Err(error),
                }
            };
            let wait = Duration::from_micros(left).min(self.engine.0.limits.poll);
            // Woken, or time to look: either way the store says what is.
            let _woken = time::timeout(wait, self.watch.changed()).await;
        }
        Ok(&self.approval)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let cancel = self.cancel && self.approval.state == State::Pending;
        self.engine.0.waiting.leave(&self.approval.id, cancel);
    }
}
