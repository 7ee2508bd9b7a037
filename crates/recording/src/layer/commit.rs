//! The layer that makes the request durable before it is forwarded.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tollbook_exchange::{
    Code, Exchange, Refusal,
    http::{Refusable, refuse},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Book, OnFailure, Recorder};

/// Lets a request pass when what was asked is durable. Put it right before the forwarder.
///
/// It writes the request's body as the draft has it by then. A request without [`Exchange`] is
/// refused as misassembled.
#[derive(Clone, Debug)]
pub struct CommitLayer {
    book: Book,
}

/// The service of [`CommitLayer`].
#[derive(Clone, Debug)]
pub struct Commit<S> {
    book: Book,
    inner: S,
}

impl CommitLayer {
    /// A layer that commits to this recorder, the one of the [`RecordLayer`](crate::RecordLayer).
    pub fn new(recorder: Recorder) -> Self {
        Self {
            book: Book::new(recorder, OnFailure::Block),
        }
    }

    /// The same layer, with what becomes of a request that cannot be recorded. The
    /// [`RecordLayer`](crate::RecordLayer) has to be told the same.
    #[must_use]
    pub fn on_failure(mut self, policy: impl Into<Arc<OnFailure>>) -> Self {
        self.book = self.book.on_failure(policy);
        self
    }
}

impl<S> Layer<S> for CommitLayer {
    type Service = Commit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Commit {
            book: self.book.clone(),
            inner,
        }
    }
}

impl<S, Q, B> Service<Request<Q>> for Commit<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
{
    type Response = Response<Refusable<B>>;
    type Error = S::Error;
    // Boxed because it waits for the journal first; a commit costs more than an allocation.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let book = self.book.clone();
        Box::pin(async move {
            let Some(exchange) = request.extensions().get::<Exchange>().cloned() else {
                return Ok(refuse(
                    Refusal::new(Code::Misassembled, "the request is not being recorded")
                        .because("no_exchange"),
                ));
            };
            if let Err(refusal) = book.commit(&exchange).await {
                return Ok(refuse(refusal));
            }
            inner
                .call(request)
                .await
                .map(|response| response.map(Refusable::passed))
        })
    }
}
