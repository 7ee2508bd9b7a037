//! Holding a request until people have decided, and using their decision.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio::time::{self, Instant};
use tollbook_exchange::Refusal;

use crate::{
    Approval, ApprovalId, Approvals, Ask, Asked, Error, Passed, Refused, State, Ticket, Use,
    refusal,
};

/// How often a request asks anew when the approval it waited for was used by an equal one, lapsed
/// or was cancelled.
const ROUNDS: usize = 16;

/// How a request is held.
#[derive(Clone, Debug)]
pub(crate) struct Hold {
    /// Until when; `None` is until it is decided or its time is up.
    pub(crate) until: Option<Instant>,
    /// Whether the approval is cancelled when the caller leaves.
    pub(crate) cancel: bool,
    /// The approval that is waited for, for those who look on.
    pub(crate) seen: Arc<OnceLock<ApprovalId>>,
}

impl Approvals {
    /// Asks, and waits at most so long for leave to pass. Leave is used up by being given: it is
    /// for this one request.
    ///
    /// Whoever may have to be judged again by then uses [`clear`](Self::clear).
    ///
    /// # Errors
    ///
    /// What the caller is to be told: denied, expired, still pending, too many, or that the store
    /// or the book failed.
    pub async fn hold(&self, ask: Ask, at_most: Duration) -> Result<Passed, Refusal> {
        let hold = Hold {
            until: Some(Instant::now() + at_most),
            cancel: false,
            seen: Arc::default(),
        };
        self.pass(&Arc::new(ask), &hold).await
    }

    /// Uses an approved approval for this request, which has to be the one that was approved. Of
    /// any number that try at once, one succeeds.
    ///
    /// # Errors
    ///
    /// When it is not approved, was used, is not for this request, the request's credential has
    /// ended, or the step cannot be taken.
    pub async fn consume(&self, id: &ApprovalId, ask: &Ask) -> Result<Passed, Error> {
        let (owner, connection) = (ask.owner(), ask.connection.clone());
        let (digests, exchange) = (ask.digests.clone(), ask.exchange);
        let ended = ask.credential_end();
        let used = self
            .step(id.clone(), None, exchange, move |approval, now| {
                // It stays approved, for the same request with a credential that counts.
                if ended.is_some_and(|ended| now >= ended) {
                    return Err(Refused::CredentialEnded);
                }
                let by = Use {
                    owner: &owner,
                    connection: &connection,
                    digests: &digests,
                    exchange,
                };
                approval.consume(now, by)
            })
            .await?;
        Ok(Passed {
            by: used.id.to_string(),
            requires: used.requires,
        })
    }

    pub(crate) async fn pass(&self, ask: &Arc<Ask>, hold: &Hold) -> Result<Passed, Refusal> {
        for _ in 0..ROUNDS {
            let approval = match self.ask(ask).await? {
                Asked::Granted(passed) => return Ok(passed),
                // Not waited for: who is told at once has no time to wait in.
                Asked::Ready(ticket) => ticket.approval().clone(),
                Asked::Waiting(ticket) => self.wait(ticket, ask, hold).await?,
            };
            match approval.state {
                State::Approved => match self.consume(&approval.id, ask).await {
                    Ok(passed) => return Ok(passed),
                    Err(Error::Refused(Refused::CredentialEnded)) => {
                        return Err(refusal::credential_ended(Some(&approval.id)));
                    }
                    // An equal request was faster, or it lapsed just now: ask anew.
                    Err(Error::Refused(_)) => {}
                    Err(error) => return Err(refusal::failed(&error)),
                },
                State::Denied => return Err(refusal::denied(&approval)),
                State::Expired => return Err(refusal::expired(&approval.id)),
                _ => {}
            }
        }
        Err(refusal::contended())
    }

    async fn wait(&self, ticket: Ticket, ask: &Ask, hold: &Hold) -> Result<Approval, Refusal> {
        // Held requests are kept whole, so one caller may not have any number of them.
        let waiting = &self.0.waiting;
        let place = waiting.place(ask.principal.identity(), self.0.limits.held);
        let Some(_place) = place else {
            return Err(refusal::too_many());
        };
        // The first one counts: it is what the head of an answer names.
        let _first = hold.seen.set(ticket.id().clone());
        let mut ticket = ticket.cancel_on_drop(hold.cancel);
        let decided = match hold.until {
            None => ticket.decided().await.cloned(),
            // Only the wait is cut short, never the use of what was decided.
            Some(until) => match time::timeout_at(until, ticket.decided()).await {
                Ok(decided) => decided.cloned(),
                Err(_) => {
                    // The caller has not left; it is told to come again.
                    ticket = ticket.cancel_on_drop(false);
                    let page = self.0.page.as_deref();
                    return Err(refusal::pending(ticket.id(), page, ask.mode));
                }
            },
        };
        decided.map_err(|error| refusal::failed(&error))
    }
}
