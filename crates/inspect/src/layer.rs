//! The layer and its service.

use std::{
    error::Error,
    future::Future,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, request::Parts};
use http_body::Body;
use http_body_util::Full;
use tollbook_exchange::{
    Action, Code, Coverage, Exchange, Fact, Findings, Masked, Principal, Redact, Refusal,
    http::{Refusable, refuse},
};
use tollbook_masking::Masker;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    Accepts, AnswerBody, Protocol,
    answer::{self, Observer},
    request, session,
};

/// Bodies larger than this are read on a thread that may be busy for a while.
const INLINE: usize = 256 << 10;

/// Reads the requests and watches the answers of one protocol. See the
/// [crate documentation](crate).
#[derive(Debug)]
pub struct InspectLayer<P> {
    shared: Arc<Shared<P>>,
}

/// The service of [`InspectLayer`].
#[derive(Debug)]
pub struct Inspect<S, P> {
    inner: S,
    shared: Arc<Shared<P>>,
}

#[derive(Clone, Debug)]
struct Shared<P> {
    protocol: P,
    masker: Masker,
    max_body: usize,
    progress: Duration,
}

impl<P> InspectLayer<P> {
    /// Reads `protocol` and scans with `masker`, in bodies of at most 32 MiB.
    pub fn new(protocol: P, masker: Masker) -> Self {
        let shared = Shared {
            protocol,
            masker,
            max_body: 32 << 20,
            progress: request::PROGRESS,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Takes bodies of at most `bytes` bytes.
    #[must_use]
    pub fn max_body(mut self, bytes: usize) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).max_body = bytes;
        self
    }

    /// Waits at most `time` for the next byte of a body.
    #[must_use]
    pub fn progress_timeout(mut self, time: Duration) -> Self
    where
        P: Clone,
    {
        Arc::make_mut(&mut self.shared).progress = time;
        self
    }
}

impl<P> Clone for InspectLayer<P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S, P> Layer<S> for InspectLayer<P> {
    type Service = Inspect<S, P>;

    fn layer(&self, inner: S) -> Self::Service {
        Inspect {
            inner,
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S: Clone, P> Clone for Inspect<S, P> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<S, P, B, R> Service<Request<B>> for Inspect<S, P>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    P: Protocol,
    B: Body<Data = Bytes> + Send + 'static,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Refusable<AnswerBody<R>>>;
    type Error = S::Error;
    // Boxed, because the body is awaited before the inner service is called.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let ready = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, ready);
        let shared = Arc::clone(&self.shared);
        Box::pin(async move {
            let (mut head, body) = request.into_parts();
            let read = match shared.read(&mut head, body).await {
                Ok(read) => read,
                Err(refusal) => return Ok(refuse(refusal)),
            };
            let exchange = head.extensions.get::<Exchange>().cloned();
            let reader = shared
                .protocol
                .reader(read.operation, read.action.as_inner());
            let answers = shared.protocol.answers(read.operation);
            let response = inner
                .call(Request::from_parts(head, Full::new(read.body)))
                .await?;
            let observer = Observer {
                masker: shared.masker.clone(),
                exchange,
                reader,
            };
            Ok(match answer::observe(response, answers, observer).await {
                Ok(response) => response.map(Refusable::passed),
                Err(refusal) => refuse(refusal),
            })
        })
    }
}

/// A request that was read.
struct Read<O> {
    operation: O,
    body: Bytes,
    action: Masked<Action>,
}

impl<P: Protocol> Shared<P> {
    /// Reads the request and leaves [`Action`] and [`Findings`] in its extensions.
    async fn read<B>(
        self: &Arc<Self>,
        head: &mut Parts,
        body: B,
    ) -> Result<Read<P::Operation>, Refusal>
    where
        B: Body<Data = Bytes>,
    {
        let exchange = head.extensions.get::<Exchange>().cloned();
        if let (Some(exchange), Some(principal)) = (&exchange, head.extensions.get::<Principal>()) {
            let session = session::session(principal, self.protocol.session_label(head));
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

        // Scanned before it is judged to be well formed, so that the record shows what came.
        let findings = self.scan(accepts, &body).await;
        if let Some(exchange) = &exchange {
            exchange.found(findings.found.iter().cloned());
            exchange.draft(|draft| {
                draft.request.body = findings.masked.clone();
                draft.request.bytes = body.len() as u64;
                draft.request.coverage = findings.coverage;
            });
        }
        let action = self.action(operation, accepts, head, &body, &findings)?;
        let masked = self.masked(&action);
        if let Some(exchange) = &exchange {
            exchange.draft(|draft| draft.action = Some(masked.clone()));
        }
        head.extensions.insert(action);
        head.extensions.insert(findings);
        Ok(Read {
            operation,
            body,
            action: masked,
        })
    }

    fn action(
        &self,
        operation: P::Operation,
        accepts: Accepts,
        head: &Parts,
        body: &Bytes,
        findings: &Findings,
    ) -> Result<Action, Refusal> {
        let action = self
            .protocol
            .facts(operation, head, body)
            .map_err(|malformed| {
                Refusal::new(Code::MalformedBody, malformed.message).because(malformed.reason)
            })?;
        Ok(if accepts == Accepts::Nothing {
            action
        } else {
            action.with("body_scanned", findings.coverage.uninspected == 0)
        })
    }

    async fn scan(self: &Arc<Self>, accepts: Accepts, body: &Bytes) -> Findings {
        if body.len() <= INLINE {
            return scan(&self.masker, accepts, body);
        }
        let (shared, copy) = (Arc::clone(self), body.clone());
        let scanned =
            tokio::task::spawn_blocking(move || scan(&shared.masker, accepts, &copy)).await;
        // A scan that did not finish has inspected nothing, and policy refuses what was not.
        scanned.unwrap_or_else(|_| {
            let coverage = Coverage {
                inspected: 0,
                uninspected: body.len() as u64,
            };
            Findings::new(Vec::new(), Masked::default(), coverage)
        })
    }

    /// The action with every text in it masked.
    fn masked(&self, action: &Action) -> Masked<Action> {
        let redact = |text: &String| self.masker.redact("action", text).0.into_inner();
        let mut masked = action.clone();
        for fact in masked.facts.values_mut() {
            match fact {
                Fact::Text(text) => *text = redact(text),
                Fact::Set(names) => *names = names.iter().map(redact).collect(),
                _ => {}
            }
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "every text in it was redacted just now"
        )]
        Masked::assume_masked(masked)
    }
}

fn scan(masker: &Masker, accepts: Accepts, body: &Bytes) -> Findings {
    match accepts {
        Accepts::Json => {
            let scan = masker.json(body, "request.body");
            Findings::new(scan.found, scan.masked, scan.coverage)
        }
        _ => {
            let scan = masker.mask(body);
            let coverage = Coverage {
                inspected: body.len() as u64,
                uninspected: 0,
            };
            let found = scan.findings("request.body");
            Findings::new(found, scan.masked, coverage)
        }
    }
}
