//! What the gate itself does, in the book.
//!
//! An approval that is asked for, given or spent, a revocation, a new set of policies: each is an
//! exchange of its own on the connection `(gate)`, durable before it takes effect.

use std::fmt;

use tollbook_exchange::{
    Action, Code, Exchange, ExchangeId, Fact, Outcome, Principal, Refusal, Timestamp,
};
use tollbook_masking::Masker;
use tollbook_recording::Recorder;

/// Writes events. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Events {
    recorder: Recorder,
    masker: Masker,
}

/// Something that the gate did or that was done to it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Event {
    action: Action,
    principal: Option<Principal>,
    refusal: Option<Refusal>,
}

impl Event {
    /// An event of this name, such as `policy.reload`.
    pub(crate) fn new(name: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self {
            action: Action::new(name),
            principal: None,
            refusal: None,
        }
    }

    /// The same event with one more fact.
    pub(crate) fn with(mut self, name: &'static str, fact: impl Into<Fact>) -> Self {
        self.action = self.action.with(name, fact);
        self
    }

    /// The same event, with a fact if there is one.
    pub(crate) fn maybe(self, name: &'static str, fact: Option<impl Into<Fact>>) -> Self {
        match fact {
            Some(fact) => self.with(name, fact),
            None => self,
        }
    }

    /// The same event, caused by this principal.
    pub(crate) fn by(mut self, principal: Option<&Principal>) -> Self {
        self.principal = principal.cloned();
        self
    }

    /// The same event, which came to nothing for this reason.
    pub(crate) fn refused(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }
}

impl Events {
    /// The connection under which events stand in the book.
    pub(crate) const CONNECTION: &str = "(gate)";
    /// Their protocol.
    pub(crate) const PROTOCOL: &str = "tollbook";

    pub(crate) const fn new(recorder: Recorder, masker: Masker) -> Self {
        Self { recorder, masker }
    }

    /// Writes an event. It is durable when this returns.
    ///
    /// # Errors
    ///
    /// When it could not be written: then what it tells of must not take effect.
    pub(crate) async fn note(&self, event: Event) -> Result<ExchangeId, tollbook_recording::Error> {
        let id = ExchangeId::generate();
        let exchange = Exchange::open(id, Self::CONNECTION, Self::PROTOCOL, Timestamp::now());
        let recording = self.recorder.begin(&exchange).await?;
        if let Some(principal) = &event.principal {
            exchange.identified(principal);
        }
        let action = self.masker.action(&event.action);
        exchange.draft(|draft| draft.action = Some(action));
        let written = self.recorder.commit(&exchange).await;
        match (&written, &event.refusal) {
            // It may come to be written when nobody waits for it any more. Then the book says that
            // it did not happen.
            (Err(_), _) => {
                let message = "it could not be recorded in time, so it did not happen";
                exchange.refused(&Refusal::new(Code::NotRecordable, message));
            }
            (Ok(_), Some(refusal)) => exchange.refused(refusal),
            (Ok(_), None) => exchange.conclude(Outcome::Complete),
        }
        drop(recording);
        written.map(|_| id)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}
