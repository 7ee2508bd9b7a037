//! The tower layer.

use std::{
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tollbook_exchange::{
    Action, Code, Decision, Exchange, Findings, Principal, Refusal, Verdict,
    http::{Refusable, RefusableFuture},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::Decide;

/// Judges every request and lets none pass that is denied.
///
/// A request that people have to approve passes inward with [`Verdict::Approve`]: a layer behind
/// this one holds it and turns its [`Decision`] into one that allows. The forwarder sends nothing
/// that is not allowed, so without such a layer the request is refused there.
#[derive(Debug)]
pub struct PolicyLayer<D> {
    judge: Arc<Judge<D>>,
}

#[derive(Debug)]
struct Judge<D> {
    decide: D,
    connection: String,
    protocol: String,
}

impl<D: Decide> PolicyLayer<D> {
    /// Lets `decide` judge the requests of this connection.
    pub fn new(decide: D, connection: impl Into<String>, protocol: impl Into<String>) -> Self {
        Self {
            judge: Arc::new(Judge {
                decide,
                connection: connection.into(),
                protocol: protocol.into(),
            }),
        }
    }
}

impl<D> Clone for PolicyLayer<D> {
    fn clone(&self) -> Self {
        Self {
            judge: Arc::clone(&self.judge),
        }
    }
}

impl<S, D> Layer<S> for PolicyLayer<D> {
    type Service = Policy<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        Policy {
            inner,
            judge: Arc::clone(&self.judge),
        }
    }
}

/// The service of [`PolicyLayer`].
#[derive(Debug)]
pub struct Policy<S, D> {
    inner: S,
    judge: Arc<Judge<D>>,
}

impl<S: Clone, D> Clone for Policy<S, D> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            judge: Arc::clone(&self.judge),
        }
    }
}

impl<S, D, B, R> Service<Request<B>> for Policy<S, D>
where
    S: Service<Request<B>, Response = Response<R>>,
    D: Decide,
{
    type Response = Response<Refusable<R>>;
    type Error = S::Error;
    type Future = RefusableFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        match self.judge.judge(&mut request) {
            Ok(()) => RefusableFuture::passed(self.inner.call(request)),
            Err(refusal) => {
                if let Some(exchange) = request.extensions().get::<Exchange>() {
                    exchange.refused(&refusal);
                }
                RefusableFuture::refused(refusal)
            }
        }
    }
}

impl<D: Decide> Judge<D> {
    /// Puts the decision into the request, and refuses what is denied.
    fn judge<B>(&self, request: &mut Request<B>) -> Result<(), Refusal> {
        let extensions = request.extensions();
        let Some(principal) = extensions.get::<Principal>() else {
            return Err(
                Refusal::new(Code::PolicyDenied, denied("no rule permits this", None))
                    .because("no_principal"),
            );
        };
        let Some(action) = extensions.get::<Action>() else {
            return Err(Refusal::new(
                Code::Misassembled,
                "the gate cannot judge a request that it did not inspect",
            )
            .because("no_action"));
        };
        let decision = match extensions.get::<Findings>() {
            Some(findings) => self.decide(principal, action, findings),
            // Nobody scanned, whatever the action says of itself.
            None => {
                let action = action.clone().with("body_scanned", false);
                self.decide(principal, &action, &Findings::default())
            }
        };
        if let Some(exchange) = extensions.get::<Exchange>() {
            exchange.decided(&decision);
        }
        let verdict = refusal(&decision);
        request.extensions_mut().insert(decision);
        verdict.map_or(Ok(()), Err)
    }

    fn decide(&self, principal: &Principal, action: &Action, findings: &Findings) -> Decision {
        self.decide.decide(
            principal,
            &self.connection,
            &self.protocol,
            action,
            &findings.found,
        )
    }
}

/// What a caller is told about a decision: nothing where it may pass, or where people decide.
///
/// For those who ask for decisions without the layer, such as about tool calls.
pub fn refusal(decision: &Decision) -> Option<Refusal> {
    let reason = decision.reason.as_deref();
    if !decision.errors.is_empty() {
        let rules = decision.errors.join(", ");
        let message = format!("tollbook_policy_error: {rules}: a rule could not be evaluated");
        return Some(Refusal::new(Code::PolicyError, message));
    }
    match decision.verdict {
        Verdict::Allow => return None,
        // People decide, in a layer further in. Where there is none the forwarder refuses.
        Verdict::Approve if !decision.requires.is_empty() => return None,
        Verdict::Approve => {
            let message = "tollbook_policy_error: nobody can approve this";
            return Some(Refusal::new(Code::PolicyError, message).because("no_approvers"));
        }
        _ => {}
    }
    Some(if decision.rules.is_empty() {
        Refusal::new(Code::PolicyDenied, denied("no rule permits this", reason))
            .because("no_permit")
    } else {
        let rules = decision.rules.join(", ");
        Refusal::new(Code::PolicyDenied, denied(&rules, reason))
    })
}

fn denied(rules: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("tollbook_policy_denied: {rules}: {reason}"),
        None => format!("tollbook_policy_denied: {rules}"),
    }
}
