//! Is anybody there?

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tollbook_exchange::{Action, Exchange, Masked, Outcome, http::Refusable};
use tollbook_wire_messages::Endpoint;
use tower_layer::Layer;
use tower_service::Service;

/// Answers the calls by which clients of the Claude API find out whether anybody is there:
/// `HEAD /` and `HEAD /api/hello` are answered 200 without a body and without asking anybody.
/// Everything else passes.
///
/// A client probes before it shows a credential, so this stands outside identity. The answer
/// tells a stranger nothing but that something listens.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProbeLayer {
    _private: (),
}

impl ProbeLayer {
    /// The layer; there is nothing to set.
    pub const fn new() -> Self {
        Self { _private: () }
    }
}

impl<S> Layer<S> for ProbeLayer {
    type Service = Probe<S>;

    fn layer(&self, inner: S) -> Probe<S> {
        Probe { inner }
    }
}

/// The service of [`ProbeLayer`].
#[derive(Clone, Copy, Debug)]
pub struct Probe<S> {
    inner: S,
}

impl<S, B, R> Service<Request<B>> for Probe<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<Refusable<R>>;
    type Error = S::Error;
    type Future = ProbeFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let endpoint = Endpoint::of(request.method().as_str(), request.uri().path());
        if endpoint != Some(Endpoint::Probe) {
            return ProbeFuture {
                inner: Some(self.inner.call(request)),
            };
        }
        if let Some(exchange) = request.extensions().get::<Exchange>() {
            note(exchange);
        }
        ProbeFuture { inner: None }
    }
}

fn note(exchange: &Exchange) {
    #[expect(
        clippy::disallowed_methods,
        reason = "a constant of the gate's own, without a caller's bytes"
    )]
    let action = Masked::assume_masked(Action::new(Endpoint::Probe.action()));
    exchange.draft(|draft| draft.action = Some(action));
    exchange.conclude(Outcome::Complete);
}

pin_project! {
    /// The inner service's answer, or the answer to a probe.
    #[derive(Debug)]
    pub struct ProbeFuture<F> {
        #[pin]
        inner: Option<F>,
    }
}

impl<F, R, E> Future for ProbeFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<Refusable<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(match self.project().inner.as_pin_mut() {
            Some(inner) => ready!(inner.poll(cx))?.map(Refusable::passed),
            None => Response::new(Refusable::own(Bytes::new())),
        }))
    }
}
