//! The handle that all layers share while an exchange is under way.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::{
    Action, Code, Coverage, Decision, ExchangeId, Finding, Level, Masked, Outcome, Principal,
    Refusal, SessionId, Timestamp,
};

/// One request at the gate and its result, while it is under way.
///
/// A cheap handle: clones share one [`Draft`]. Layers write into the draft what they learn; the
/// recorder turns it into rows. The handle itself does no I/O and never blocks for long.
#[derive(Clone)]
pub struct Exchange(Arc<Inner>);

struct Inner {
    id: ExchangeId,
    connection: String,
    protocol: &'static str,
    started: Timestamp,
    clock: Instant,
    draft: Mutex<Draft>,
    afterwards: Mutex<Vec<Afterwards>>,
}

/// What is to be done with the draft when nobody adds to it any more.
type Afterwards = Box<dyn FnOnce(&Draft) + Send>;

/// What is known so far about an exchange.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Draft {
    /// The session; the recorder uses one of its own for an exchange without.
    pub session: Option<SessionId>,
    /// Who asks. Set by the identity layer.
    pub principal: Option<Principal>,
    /// What is asked for, with every text masked. Set by the inspect layer.
    pub action: Option<Masked<Action>>,
    /// Whether it may pass. Set by the policy layer.
    pub decision: Option<Decision>,
    /// What was found in request and response.
    pub findings: Vec<Finding>,
    /// The request.
    pub request: RequestDraft,
    /// The response.
    pub response: ResponseDraft,
    /// Protocol-specific results, each under its key of the exchange's JSON form: `usage`,
    /// `model`, `stop_reason`, `answer`, `mask_tokens` and the like.
    pub result: Masked<Map<String, Value>>,
    /// The gate's own refusal: what the caller was told, and the reason it was not.
    pub refusal: Option<Refusal>,
    /// How it ended, once that is known.
    pub outcome: Option<Outcome>,
    /// Whether the request may be forwarded: it is durable, or its connection lets it pass
    /// although it cannot be. Set by the commit layer.
    pub committed: bool,
    /// What was durable before what passed. Set by the record layer.
    pub level: Level,
    /// Whether nothing of this exchange is recorded, because that was not possible and the
    /// connection lets some pass nonetheless. Set by the record layer.
    pub unrecorded: bool,
}

/// What is known of the request.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct RequestDraft {
    /// The method.
    pub method: String,
    /// The path and query as they came.
    pub target: Masked<String>,
    /// Header names in lower case, and values, in the order they came.
    pub headers: Masked<Vec<(String, String)>>,
    /// The body as it may be kept.
    pub body: Masked<Bytes>,
    /// Bytes of body that came over the wire.
    pub bytes: u64,
    /// How much of them was scanned.
    pub coverage: Coverage,
}

/// What is known of the response.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ResponseDraft {
    /// The status that the caller saw.
    pub status: Option<u16>,
    /// Header names in lower case, and values, in the order they came.
    pub headers: Masked<Vec<(String, String)>>,
    /// How the parts are cut.
    pub shape: ResponseShape,
    /// Parts that the recorder has not taken yet, oldest first.
    pub parts: Vec<ResponsePart>,
    /// Bytes in `parts`.
    pub pending: usize,
    /// Bytes of body that went to the caller.
    pub bytes: u64,
    /// How much of them was scanned.
    pub coverage: Coverage,
    /// Bytes that whoever makes the record of the body has looked at.
    pub seen: u64,
    /// The first so many of them are in the parts, as far as they may be kept: nothing of them is
    /// held back for what comes behind it.
    pub settled: u64,
    /// Microseconds from the start until the first byte of the body.
    pub first_byte: Option<u64>,
}

/// How the parts of a recorded response are cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseShape {
    /// Anywhere: together they are one body.
    #[default]
    Body,
    /// Each part is one server-sent event with its terminating blank line.
    Events,
}

/// A piece of a recorded response.
#[derive(Clone, Debug)]
pub struct ResponsePart {
    /// When it came, in microseconds from the start of the exchange.
    pub at: u64,
    /// Its bytes as they may be kept.
    pub bytes: Masked<Bytes>,
}

impl Exchange {
    /// Opens an exchange that has just begun.
    pub fn open(
        id: ExchangeId,
        connection: impl Into<String>,
        protocol: &'static str,
        started: Timestamp,
    ) -> Self {
        Self(Arc::new(Inner {
            id,
            connection: connection.into(),
            protocol,
            started,
            clock: Instant::now(),
            draft: Mutex::default(),
            afterwards: Mutex::default(),
        }))
    }

    /// The exchange's id.
    pub fn id(&self) -> ExchangeId {
        self.0.id
    }

    /// The name of the connection it came through.
    pub fn connection(&self) -> &str {
        &self.0.connection
    }

    /// The protocol of the connection.
    pub fn protocol(&self) -> &'static str {
        self.0.protocol
    }

    /// When it began.
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// Microseconds since it began, by a clock that never goes back.
    pub fn elapsed(&self) -> u64 {
        u64::try_from(self.0.clock.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Reads or changes the draft. Keep `with` short: every layer of this exchange waits for it.
    pub fn draft<T>(&self, with: impl FnOnce(&mut Draft) -> T) -> T {
        // A layer that panicked leaves its exchange to be closed, so the poison is of no use here.
        with(&mut self.0.draft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes who asks.
    pub fn identified(&self, principal: &Principal) {
        self.draft(|draft| draft.principal = Some(principal.clone()));
    }

    /// Notes the decision.
    pub fn decided(&self, decision: &Decision) {
        self.draft(|draft| draft.decision = Some(decision.clone()));
    }

    /// Notes what was found.
    pub fn found(&self, findings: impl IntoIterator<Item = Finding>) {
        self.draft(|draft| Finding::merge(&mut draft.findings, findings));
    }

    /// Notes a refusal and the outcome it means, unless the exchange was refused before.
    pub fn refused(&self, refusal: &Refusal) {
        self.draft(|draft| {
            if draft.refusal.is_none() {
                draft.refusal = Some(refusal.clone());
                draft.outcome.get_or_insert(match refusal.code {
                    Code::UpstreamUnreachable | Code::UpstreamInvalid | Code::UpstreamTimeout => {
                        Outcome::UpstreamError
                    }
                    _ => Outcome::Denied,
                });
            }
        });
    }

    /// Adds a piece of the response to what the recorder will take.
    pub fn answered(&self, bytes: Masked<Bytes>) {
        let at = self.elapsed();
        self.draft(|draft| {
            draft.response.pending += bytes.as_inner().len();
            draft.response.parts.push(ResponsePart { at, bytes });
        });
    }

    /// Runs `then` when the exchange is over: when the last handle is dropped and nobody can add to
    /// the draft any more. It runs on the thread that drops it, so it must be short and not block.
    pub fn afterwards(&self, then: impl FnOnce(&Draft) + Send + 'static) {
        let mut all = (self.0.afterwards.lock()).unwrap_or_else(PoisonError::into_inner);
        all.push(Box::new(then));
    }

    /// Notes how the exchange ended. The first word counts: what happened later happened because.
    pub fn conclude(&self, outcome: Outcome) {
        self.draft(|draft| {
            draft.outcome.get_or_insert(outcome);
        });
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let draft = (self.draft.get_mut()).unwrap_or_else(PoisonError::into_inner);
        let all = (self.afterwards.get_mut()).unwrap_or_else(PoisonError::into_inner);
        for then in all.drain(..) {
            then(draft);
        }
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange")
            .field("id", &self.id())
            .field("connection", &self.connection())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange() -> Exchange {
        Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
    }

    #[test]
    fn the_first_outcome_counts() {
        let exchange = exchange();
        exchange.conclude(Outcome::ErrorEvent);
        exchange.conclude(Outcome::ClientGone);
        assert_eq!(
            exchange.draft(|draft| draft.outcome),
            Some(Outcome::ErrorEvent)
        );
    }

    #[test]
    fn a_refusal_tells_upstream_faults_from_denials() {
        let denied = exchange();
        denied.refused(&Refusal::new(Code::PolicyDenied, "no"));
        assert_eq!(denied.draft(|draft| draft.outcome), Some(Outcome::Denied));

        let unreachable = exchange();
        unreachable.refused(&Refusal::new(Code::UpstreamUnreachable, "gone"));
        assert_eq!(
            unreachable.draft(|draft| draft.outcome),
            Some(Outcome::UpstreamError)
        );
    }

    #[test]
    fn what_comes_afterwards_sees_the_last_word_and_comes_once() {
        let exchange = exchange();
        let (said, heard) = std::sync::mpsc::channel();
        exchange.afterwards(move |draft| said.send(draft.outcome).unwrap());
        let other = exchange.clone();
        drop(exchange);
        assert!(heard.try_recv().is_err(), "a handle is left");
        other.conclude(Outcome::Complete);
        drop(other);
        assert_eq!(heard.iter().collect::<Vec<_>>(), [Some(Outcome::Complete)]);
    }

    #[test]
    fn a_panicking_layer_does_not_lock_the_others_out() {
        let exchange = exchange();
        let other = exchange.clone();
        let layer = std::thread::spawn(move || other.draft(|_| panic!("layer bug")));
        assert!(layer.join().is_err());
        exchange.conclude(Outcome::Indeterminate);
        assert_eq!(
            exchange.draft(|draft| draft.outcome),
            Some(Outcome::Indeterminate)
        );
    }
}
