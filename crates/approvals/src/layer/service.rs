//! The service of the layer.

use std::{
    error::Error,
    mem,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header, request::Parts};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::time::{self, Instant};
use tollbook_exchange::{
    Code, Decision, Exchange, Refusal, Verdict,
    http::{Refusable, refuse},
};
use tower_service::Service;

use super::{
    HeldBody,
    body::Ending,
    clearance::{Candidate, misassembled},
    late,
    settings::{Settings, Streams},
};
use crate::{ApprovalId, Mode};

/// Names the approval that a held stream waits for.
const APPROVAL: HeaderName = HeaderName::from_static("x-tollbook-approval");

/// The service of [`ApprovalLayer`](super::ApprovalLayer).
#[derive(Clone, Debug)]
pub struct Approve<S> {
    inner: S,
    settings: Arc<Settings>,
}

impl<S> Approve<S> {
    pub(super) const fn new(inner: S, settings: Arc<Settings>) -> Self {
        Self { inner, settings }
    }
}

impl<S, B, R> Service<Request<B>> for Approve<S>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = Response<Refusable<HeldBody<R>>>;
    type Error = S::Error;
    // Boxed because the body is read and people are waited for before the inner service is called.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let ready = self.inner.clone();
        let inner = mem::replace(&mut self.inner, ready);
        let settings = Arc::clone(&self.settings);
        Box::pin(async move {
            let exchange = request.extensions().get::<Exchange>().cloned();
            let (mut head, body) = request.into_parts();
            let way = match read(&settings, body).await {
                Ok(body) => choose(settings, &mut head, body).await,
                Err(refusal) => Err(refusal),
            };
            match way {
                Ok(Way::Pass(body)) => {
                    let mut inner = inner;
                    let request = Request::from_parts(head, Full::new(body));
                    let response = inner.call(request).await?;
                    Ok(response.map(|body| Refusable::passed(HeldBody::passed(body))))
                }
                Ok(Way::Stream(held)) => Ok(stream(inner, head, *held)),
                Err(refusal) => {
                    if let Some(exchange) = exchange {
                        exchange.refused(&refusal);
                    }
                    Ok(refuse(refusal))
                }
            }
        })
    }
}

/// What becomes of a request.
enum Way {
    /// It goes on now.
    Pass(Bytes),
    /// Its head is answered now; it goes on when people have decided.
    Stream(Box<HeldRequest>),
}

struct HeldRequest {
    body: Bytes,
    clearing: Pin<Box<dyn Future<Output = Result<Decision, Refusal>> + Send>>,
    seen: Arc<OnceLock<ApprovalId>>,
    streams: Streams,
}

/// Lets pass, waits, or refuses.
async fn choose(settings: Arc<Settings>, head: &mut Parts, body: Bytes) -> Result<Way, Refusal> {
    let Some(decision) = head.extensions.get::<Decision>().cloned() else {
        return Err(misassembled("no_decision"));
    };
    match decision.verdict {
        Verdict::Allow => return Ok(Way::Pass(body)),
        Verdict::Approve if decision.errors.is_empty() => {}
        // Policy refuses these itself, unless the layers were put together in another way.
        _ => return Err(misassembled("not_allowed")),
    }
    let candidate = Candidate::of(&settings, head, &body, decision).await?;
    let streams = settings.streams.clone();
    let streams = streams.filter(|_| candidate.wants_stream() && settings.mode == Mode::Hold);
    let until = match (&streams, settings.mode) {
        (Some(_), _) => None,
        (None, Mode::Hold) => Some(Instant::now() + settings.hold),
        (None, Mode::FailFast) => Some(Instant::now()),
    };
    let exchange = candidate.exchange().cloned();
    let (seen, quiet) = (Arc::default(), settings.quiet);
    let mut clearing = Box::pin(candidate.clear(settings, until, Arc::clone(&seen)));
    let decided = match streams {
        None => clearing.await,
        Some(streams) => match time::timeout(quiet, &mut clearing).await {
            Ok(decided) => decided,
            Err(_) => {
                return Ok(Way::Stream(Box::new(HeldRequest {
                    body,
                    clearing,
                    seen,
                    streams,
                })));
            }
        },
    };
    pass(head, exchange.as_ref(), decided?);
    Ok(Way::Pass(body))
}

/// Puts the decision that lets it pass in the place of the one that held it.
fn pass(head: &mut Parts, exchange: Option<&Exchange>, decision: Decision) {
    if let Some(exchange) = exchange {
        exchange.decided(&decision);
    }
    head.extensions.insert(decision);
}

/// The answer whose head comes before the decision.
fn stream<S, R>(inner: S, mut head: Parts, held: HeldRequest) -> Response<Refusable<HeldBody<R>>>
where
    S: Service<Request<Full<Bytes>>, Response = Response<R>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>> + Send,
    R: Body<Data = Bytes> + Send + 'static,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let HeldRequest {
        body,
        clearing,
        seen,
        streams,
    } = held;
    let late_error = Arc::clone(&streams.late_error);
    let ending = async move {
        let exchange = head.extensions.get::<Exchange>().cloned();
        let ending = match clearing.await {
            Ok(decision) => {
                pass(&mut head, exchange.as_ref(), decision);
                // The head of our answer is out and names no encoding.
                head.headers.remove(header::ACCEPT_ENCODING);
                late::forward(inner, head, body, &*late_error).await
            }
            Err(refusal) => Ending::Cut(refusal),
        };
        if let (Ending::Cut(refusal), Some(exchange)) = (&ending, &exchange) {
            exchange.refused(refusal);
        }
        ending
    };
    let body = HeldBody::held(Box::pin(ending), streams.ping, streams.every);
    let mut response = Response::new(Refusable::passed(body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream; charset=utf-8"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Some(Ok(id)) = seen.get().map(|id| HeaderValue::from_str(id.as_str())) {
        headers.insert(APPROVAL, id);
    }
    response
}

/// The whole body. Inspect has it in memory already; alone, the layer reads it itself.
async fn read<B>(settings: &Settings, body: B) -> Result<Bytes, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    match Limited::new(body, settings.max_body).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = "the body is larger than this connection takes";
            Err(Refusal::new(Code::BodyTooLarge, message))
        }
        Err(_) => {
            let message = "the body broke off before its end";
            Err(Refusal::new(Code::MalformedBody, message).because("body_broke_off"))
        }
    }
}
