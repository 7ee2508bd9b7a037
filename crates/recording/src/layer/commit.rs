//! The layer that makes the request durable before it is forwarded.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use tollbook_exchange::{
    Code, Exchange, Level, Refusal,
    http::{Refusable, refuse},
};
use tower_layer::Layer;
use tower_service::Service;

use super::not_recordable;
use crate::{Error, OnFailure, Recorder, failure, gap::Missed};

/// Lets a request pass when what was asked is durable. Put it right before the forwarder.
///
/// It writes the request's body as the draft has it by then. A request without [`Exchange`] is
/// refused as misassembled.
#[derive(Clone, Debug)]
pub struct CommitLayer {
    recorder: Recorder,
    on_failure: Arc<OnFailure>,
}

/// The service of [`CommitLayer`].
#[derive(Clone, Debug)]
pub struct Commit<S> {
    recorder: Recorder,
    on_failure: Arc<OnFailure>,
    inner: S,
}

impl CommitLayer {
    /// A layer that commits to this recorder, the one of the [`RecordLayer`](crate::RecordLayer).
    pub fn new(recorder: Recorder) -> Self {
        Self {
            recorder,
            on_failure: Arc::default(),
        }
    }

    /// The same layer, with what becomes of a request that cannot be recorded. The
    /// [`RecordLayer`](crate::RecordLayer) has to be told the same.
    #[must_use]
    pub fn on_failure(mut self, policy: impl Into<Arc<OnFailure>>) -> Self {
        self.on_failure = policy.into();
        self
    }
}

impl<S> Layer<S> for CommitLayer {
    type Service = Commit<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Commit {
            recorder: self.recorder.clone(),
            on_failure: Arc::clone(&self.on_failure),
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
        let (recorder, policy) = (self.recorder.clone(), Arc::clone(&self.on_failure));
        Box::pin(async move {
            let Some(exchange) = request.extensions().get::<Exchange>().cloned() else {
                return Ok(refuse(
                    Refusal::new(Code::Misassembled, "the request is not being recorded")
                        .because("no_exchange"),
                ));
            };
            if let Err(error) = commit(&recorder, &exchange, &policy).await {
                tracing::warn!(exchange = %exchange.id(), %error, "refused: not recordable");
                return Ok(refuse(not_recordable(&error)));
            }
            inner
                .call(request)
                .await
                .map(|response| response.map(Refusable::passed))
        })
    }
}

/// Makes the request durable, or lets it pass as its connection says.
async fn commit(recorder: &Recorder, exchange: &Exchange, policy: &OnFailure) -> Result<(), Error> {
    let written = if exchange.draft(|draft| draft.unrecorded) {
        // The record layer could not open it. What may pass was not known yet.
        Err(recorder.unable())
    } else {
        recorder.commit_under(exchange, policy).await
    };
    let Err(error) = written else {
        return Ok(());
    };
    if !failure::is_failure(error.kind()) || !exchange.draft(|draft| policy.lets_pass(draft)) {
        return Err(error);
    }
    recorder.missed(Missed::Passed, exchange.connection(), error.kind(), policy);
    exchange.draft(|draft| {
        draft.committed = true;
        // It may come to be written when nobody waits for it any more.
        draft.level = Level::Spool;
    });
    Ok(())
}
