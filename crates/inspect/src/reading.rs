//! One parse and one scan of a request.

use std::{fmt, mem, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, header, request::Parts};
use http_body::Body;
use tollbook_detection::{Detected, Detectors};
use tollbook_exchange::{
    Action, Code, Coverage, Exchange, Finding, Findings, Gap, Masked, Principal, Refusal, SessionId,
};
use tollbook_masking::{Masker, view::BodyMasker};

use crate::{
    Accepts, ChooseMasker, JudgeToolCall, Malformed, Protocol, RecordMaskers,
    detect::{self, Look},
    request,
    tools::Asker,
};

/// Bodies larger than this are read on a thread that may be busy for a while.
pub(crate) const INLINE: usize = 256 << 10;

/// What a layer and its services share.
#[derive(Clone)]
pub(crate) struct Shared<P> {
    pub(crate) protocol: P,
    pub(crate) maskers: Arc<dyn ChooseMasker>,
    pub(crate) detectors: Option<Detectors>,
    pub(crate) judge: Option<Arc<dyn JudgeToolCall>>,
    pub(crate) quiet: Duration,
    pub(crate) max_body: usize,
    pub(crate) progress: Duration,
}

/// A request that was read.
pub(crate) struct Read<O> {
    pub(crate) operation: O,
    pub(crate) body: Bytes,
    pub(crate) action: Masked<Action>,
    /// What masks the answer.
    pub(crate) masker: Masker,
    /// Who will ask about the calls in the answer.
    pub(crate) asker: Option<Asker>,
}

/// What came of looking at a body.
struct Looked {
    findings: Findings,
    action: Result<Action, Malformed>,
    detected: Option<Detected>,
}

impl<P: Protocol> Shared<P> {
    /// Reads the request and leaves [`Action`] and [`Findings`] in its extensions.
    pub(crate) async fn read<B>(
        self: &Arc<Self>,
        head: &mut Parts,
        body: B,
    ) -> Result<Read<P::Operation>, Refusal>
    where
        B: Body<Data = Bytes>,
    {
        let exchange = head.extensions.get::<Exchange>().cloned();
        let RecordMaskers {
            requests: masker,
            answers,
        } = self.maskers.choose(head.extensions.get::<Principal>());
        if let (Some(exchange), Some(principal)) = (&exchange, head.extensions.get::<Principal>()) {
            let session = SessionId::of(principal, self.protocol.session_label(head));
            exchange.draft(|draft| draft.session = session);
        }
        let Some(operation) = self.protocol.operation(head) else {
            let message = "this connection has no such operation";
            request::drain(body).await;
            return Err(Refusal::new(Code::UnknownRoute, message));
        };
        let accepts = self.protocol.accepts(operation);
        if let Err(refusal) = request::check_head(head, accepts, self.max_body) {
            // What is announced as too long is too long to be taken, too.
            if refusal.code != Code::BodyTooLarge {
                request::drain(body).await;
            }
            return Err(refusal);
        }
        let body = request::read(body, self.max_body, self.progress).await?;
        if accepts == Accepts::Nothing && !body.is_empty() {
            return Err(Refusal::new(
                Code::MalformedBody,
                "this operation takes no body",
            ));
        }

        let Looked {
            findings,
            action,
            detected,
        } = self.look(operation, accepts, head, &body, &masker).await?;
        // Noted before it is judged to be well formed, so that the record shows what came.
        if let Some(exchange) = &exchange {
            exchange.found(findings.found.iter().cloned());
            exchange.draft(|draft| {
                draft.request.body = findings.masked.clone();
                draft.request.bytes = body.len() as u64;
                draft.request.coverage = findings.coverage;
            });
        }
        if let Some(refusal) = Finding::blocked(&findings.found) {
            return Err(refusal);
        }
        let action = action.map_err(|malformed| {
            Refusal::new(Code::MalformedBody, malformed.message).because(malformed.reason)
        })?;
        let secrets = masker.has_secret(&findings.found);
        let findings = (findings, secrets);
        let (action, findings) = complete(accepts, action, findings, detected, exchange.as_ref());
        let masked = masker.action(&action);
        if let Some(exchange) = &exchange {
            exchange.draft(|draft| draft.action = Some(masked.clone()));
        }
        let asker = self.asker(operation, head, exchange, &action, &answers)?;
        head.extensions.insert(action);
        head.extensions.insert(findings);
        Ok(Read {
            operation,
            body,
            action: masked,
            masker: answers,
            asker,
        })
    }

    async fn look(
        self: &Arc<Self>,
        operation: P::Operation,
        accepts: Accepts,
        head: &mut Parts,
        body: &Bytes,
        masker: &Masker,
    ) -> Result<Looked, Refusal> {
        if body.len() <= INLINE {
            return Ok(self.look_now(operation, accepts, head, body, masker));
        }
        let exchange = head.extensions.get::<Exchange>().cloned();
        let length = body.len() as u64;
        let (shared, body, masker) = (Arc::clone(self), body.clone(), masker.clone());
        let lent = mem::replace(head, http::Request::new(()).into_parts().0);
        let looked = tokio::task::spawn_blocking(move || {
            let looked = shared.look_now(operation, accepts, &lent, &body, &masker);
            (looked, lent)
        });
        match looked.await {
            Ok((looked, lent)) => {
                *head = lent;
                Ok(looked)
            }
            // What was not looked at cannot be judged.
            Err(_) => {
                if let Some(exchange) = exchange {
                    exchange.draft(|draft| {
                        draft.request.bytes = length;
                        draft.request.coverage.skip(Gap::Unreadable, length);
                    });
                }
                let message = "the gateway has met a fault of its own";
                Err(Refusal::new(Code::Misassembled, message).because("scan_failed"))
            }
        }
    }

    fn look_now(
        &self,
        operation: P::Operation,
        accepts: Accepts,
        head: &Parts,
        body: &Bytes,
        masker: &Masker,
    ) -> Looked {
        let findings = scan(masker, accepts, head, body);
        let mut look = Look::new(self.detectors.as_ref());
        let mut texts = |place, text: &str| look.text(place, text);
        let action = self.protocol.facts(operation, head, body, &mut texts);
        Looked {
            findings,
            action,
            detected: look.finish(),
        }
    }

    /// Who will ask about the calls in the answer to this request, if somebody judges them.
    fn asker(
        &self,
        operation: P::Operation,
        head: &mut Parts,
        exchange: Option<Exchange>,
        action: &Action,
        masker: &Masker,
    ) -> Result<Option<Asker>, Refusal> {
        let judge = self.judge.as_ref().filter(|judge| judge.is_asked());
        let (Some(judge), Some(hold)) = (judge, self.protocol.calls(operation)) else {
            return Ok(None);
        };
        let Some(principal) = head.extensions.get::<Principal>().cloned() else {
            let message = "nobody is known whose tool calls could be judged";
            return Err(Refusal::new(Code::Misassembled, message).because("no_principal"));
        };
        // What is encoded could not be judged on its way back.
        head.headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        Ok(Some(Asker {
            judge: Arc::clone(judge),
            hold,
            exchange,
            principal,
            model: action.text("model").map(str::to_owned),
            masker: masker.clone(),
            detectors: self.detectors.clone(),
            quiet: self.quiet,
        }))
    }
}

/// Adds what the looking found to action, findings and exchange.
fn complete(
    accepts: Accepts,
    action: Action,
    (mut findings, secrets): (Findings, bool),
    detected: Option<Detected>,
    exchange: Option<&Exchange>,
) -> (Action, Findings) {
    if accepts == Accepts::Nothing {
        return (action, findings);
    }
    let action = action.with("body_scanned", findings.coverage.uninspected == 0);
    let action = detect::with_facts(action, secrets, detected.as_ref());
    if let Some(detected) = detected {
        let detected = detected.findings("request.body");
        if let Some(exchange) = exchange {
            exchange.found(detected.iter().cloned());
        }
        findings.found.extend(detected);
    }
    (action, findings)
}

fn scan(masker: &Masker, accepts: Accepts, head: &Parts, body: &Bytes) -> Findings {
    const PLACE: &str = "request.body";

    if accepts == Accepts::Json {
        let scan = masker.json(body, PLACE);
        return Findings::new(scan.found, scan.masked, scan.coverage);
    }
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok());
    let view = BodyMasker::new(masker, content_type, PLACE).limit(body.len());
    view.whole(body).unwrap_or_else(|_| {
        // What cannot be read is neither kept nor taken for scanned.
        let mut coverage = Coverage::default();
        coverage.skip(Gap::Unreadable, body.len() as u64);
        Findings::new(Vec::new(), Masked::default(), coverage)
    })
}

impl<P: fmt::Debug> fmt::Debug for Shared<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("protocol", &self.protocol)
            .field("detectors", &self.detectors)
            .field("tools", &self.judge.is_some())
            .field("max_body", &self.max_body)
            .finish_non_exhaustive()
    }
}
