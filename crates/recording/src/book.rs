//! Opening, committing and keeping exchanges under what a connection says of failures.

use std::{fmt, sync::Arc};

use tollbook_exchange::{Code, Exchange, Level, Refusal, Retry};

use crate::{Error, ErrorKind, OnFailure, Recorder, Recording, failure, gap::Missed};

/// A recorder, and what becomes of the exchanges that it cannot take.
///
/// The tower layers use it, and so can whatever relays a protocol that is not HTTP.
#[derive(Clone, Debug)]
pub struct Book {
    recorder: Recorder,
    on_failure: Arc<OnFailure>,
}

/// An exchange that is open, with a record of it or, where its connection lets it pass nonetheless,
/// without one. Dropping it closes the exchange; see [`Recording`].
#[must_use = "dropping it closes the exchange"]
pub struct Page {
    exchange: Exchange,
    written: Written,
}

enum Written {
    Recorded(Recording),
    /// With the reason, and whom to tell when it is refused after all.
    Not(ErrorKind, Book),
}

impl Book {
    /// The book that `recorder` writes.
    pub fn new(recorder: Recorder, on_failure: impl Into<Arc<OnFailure>>) -> Self {
        Self {
            recorder,
            on_failure: on_failure.into(),
        }
    }

    /// The same, with what becomes of exchanges that cannot be recorded.
    #[must_use]
    pub fn on_failure(mut self, policy: impl Into<Arc<OnFailure>>) -> Self {
        self.on_failure = policy.into();
        self
    }

    /// Opens an exchange. It waits when too many are under way.
    ///
    /// # Errors
    ///
    /// When it cannot be recorded and its connection does not let it go on without.
    pub async fn open(&self, exchange: &Exchange) -> Result<Page, Refusal> {
        let written = match (self.recorder)
            .begin_under(exchange, &self.on_failure)
            .await
        {
            Ok(recording) => Written::Recorded(recording),
            Err(error) if self.on_failure.may_pass(error.kind()) => {
                // What may pass is not known yet.
                exchange.draft(|draft| draft.unrecorded = true);
                Written::Not(error.kind().clone(), self.clone())
            }
            Err(error) => {
                tracing::warn!(exchange = %exchange.id(), %error, "refused: not recordable");
                if failure::is_failure(error.kind()) {
                    self.missed(Missed::Refused, exchange, error.kind());
                }
                return Err(not_recordable(&error));
            }
        };
        Ok(Page {
            exchange: exchange.clone(),
            written,
        })
    }

    /// Makes durable what was asked, or lets it pass as its connection says. When this returns, it
    /// may be forwarded.
    ///
    /// # Errors
    ///
    /// When it may not.
    pub async fn commit(&self, exchange: &Exchange) -> Result<(), Refusal> {
        let written = if exchange.draft(|draft| draft.unrecorded) {
            Err(self.recorder.unable())
        } else {
            (self.recorder)
                .commit_under(exchange, &self.on_failure)
                .await
        };
        let Err(error) = written else {
            return Ok(());
        };
        let passes = || exchange.draft(|draft| self.on_failure.lets_pass(draft));
        if !failure::is_failure(error.kind()) || !passes() {
            tracing::warn!(exchange = %exchange.id(), %error, "refused: not recordable");
            return Err(not_recordable(&error));
        }
        self.missed(Missed::Passed, exchange, error.kind());
        exchange.draft(|draft| {
            draft.committed = true;
            // It may come to be written when nobody waits for it any more.
            draft.level = Level::Spool;
        });
        Ok(())
    }

    fn missed(&self, missed: Missed, exchange: &Exchange, why: &ErrorKind) {
        (self.recorder).missed(missed, exchange.connection(), why, &self.on_failure);
    }
}

impl Page {
    /// The exchange.
    pub const fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// Whether so much of the answer has gathered that it should be [kept](Self::keep) before more
    /// comes.
    pub fn is_full(&self) -> bool {
        match &self.written {
            Written::Recorded(recording) => recording.is_full(),
            Written::Not(..) => false,
        }
    }

    /// Hands what has gathered of the answer to the writer, when there is room for it.
    ///
    /// # Errors
    ///
    /// When no more of the answer may be let through.
    pub async fn keep(&self) -> Result<(), Refusal> {
        match &self.written {
            Written::Recorded(recording) => recording.keep().await.map_err(|e| cut_off(&e)),
            Written::Not(..) => Ok(()),
        }
    }

    /// Makes durable what has gathered of the answer. When this returns, that may be let through.
    ///
    /// # Errors
    ///
    /// When nothing of it may be let through.
    pub async fn release(&self) -> Result<(), Refusal> {
        match &self.written {
            Written::Recorded(recording) => recording.release().await.map_err(|e| cut_off(&e)),
            Written::Not(..) => Ok(()),
        }
    }

    /// Notes that the gate refuses it.
    pub fn refused(&self, refusal: &Refusal) {
        self.exchange.refused(refusal);
        if let Written::Not(why, book) = &self.written {
            book.missed(Missed::Refused, &self.exchange, why);
        }
    }

    /// The recording, or the page where there is none.
    #[cfg(feature = "tower")]
    pub(crate) fn into_recording(self) -> Result<Recording, Self> {
        match self.written {
            Written::Recorded(recording) => Ok(recording),
            Written::Not(..) => Err(self),
        }
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Page")
            .field("exchange", &self.exchange.id())
            .finish_non_exhaustive()
    }
}

/// Refuses because the exchange cannot be recorded.
fn not_recordable(error: &Error) -> Refusal {
    match error.kind() {
        // Another recorder, or an exchange that is over: put together wrongly.
        ErrorKind::NotOpen | ErrorKind::Twice => {
            return Refusal::new(Code::Misassembled, "the exchange is not open for recording")
                .because("exchange_not_open");
        }
        _ => {}
    }
    Refusal::new(
        Code::NotRecordable,
        "the exchange cannot be recorded, so it was not forwarded",
    )
    .because(failure::word(error.kind()))
    .retry(Retry::After(5))
}

/// Ends an answer because it cannot be recorded further.
pub(crate) fn cut_off(error: &Error) -> Refusal {
    let message = "the answer could not be recorded further, so it was cut off";
    Refusal::new(Code::NotRecordable, message)
        .because(failure::word(error.kind()))
        .retry(Retry::After(5))
}
