//! The tower layer that knows who asks.

mod body;
mod refusal;

use std::{
    future::poll_fn,
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, header::AUTHORIZATION};
use http_body::Body;
use http_body_util::BodyExt;
use tollbook_exchange::{Exchange, Outcome, Refusal, http::Refusable};
use tower_layer::Layer;
use tower_service::Service;

pub use self::body::RevocableBody;
use self::refusal::unauthorized;
use crate::{
    Admitted, Authenticate, Credentials, PeerCertificate, Rejection, Watch, credentials::X_API_KEY,
};

/// Lets nobody through who is not somebody.
///
/// A verified caller becomes the request's `Principal` extension and is noted in its [`Exchange`].
/// Anybody else gets the same 401 whatever was wrong; the reason goes into the exchange. No byte of
/// a body is looked at before that, and a stranger cannot make the gate hold one: of its body at
/// most 1 MiB is taken, for a second, and thrown away.
///
/// A caller whose credential is revoked meanwhile is let go: as long as there is no answer it gets
/// the 401, and an answer that has begun ends with a [`Cut`](tollbook_exchange::http::Cut).
///
/// The credential stays in the request's headers, marked as sensitive so that printing them does
/// not show it. The forwarder takes it out. The certificate of the connection is what the edge has
/// put into the request's extensions as a [`PeerCertificate`].
#[derive(Debug)]
pub struct IdentityLayer<A> {
    authenticator: Arc<A>,
}

impl<A: Authenticate> IdentityLayer<A> {
    /// A layer that asks `authenticator`.
    pub fn new(authenticator: A) -> Self {
        Self {
            authenticator: Arc::new(authenticator),
        }
    }
}

impl<A> Clone for IdentityLayer<A> {
    fn clone(&self) -> Self {
        Self {
            authenticator: Arc::clone(&self.authenticator),
        }
    }
}

impl<A, S> Layer<S> for IdentityLayer<A> {
    type Service = Identity<A, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Identity {
            authenticator: Arc::clone(&self.authenticator),
            inner,
        }
    }
}

/// The service of [`IdentityLayer`].
#[derive(Debug)]
pub struct Identity<A, S> {
    authenticator: Arc<A>,
    inner: S,
}

impl<A, S: Clone> Clone for Identity<A, S> {
    fn clone(&self) -> Self {
        Self {
            authenticator: Arc::clone(&self.authenticator),
            inner: self.inner.clone(),
        }
    }
}

impl<A, S, B, ResBody> Service<Request<B>> for Identity<A, S>
where
    A: Authenticate,
    S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + 'static,
{
    type Response = Response<Refusable<RevocableBody<ResBody>>>;
    type Error = S::Error;
    // Boxed: the authenticator's future has no name that could stand in a struct.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        // The service that was found ready is the one to call; the clone takes its place.
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let authenticator = Arc::clone(&self.authenticator);
        let credentials = credentials(&request);
        mark_sensitive(request.headers_mut());
        Box::pin(async move {
            let exchange = request.extensions().get::<Exchange>().cloned();
            let admitted = match credentials {
                Ok(credentials) => authenticator.admit(&credentials).await,
                Err(rejection) => Err(rejection),
            };
            let (principal, mut revoked) = match admitted {
                Ok(Admitted { principal, revoked }) => (principal, revoked),
                Err(rejection) => {
                    let refusal = refused(exchange.as_ref(), &rejection);
                    drain(request.into_body()).await;
                    return Ok(unauthorized(refusal));
                }
            };
            if let Some(exchange) = &exchange {
                exchange.identified(&principal);
            }
            request.extensions_mut().insert(principal);
            match unless(&mut revoked, inner.call(request)).await {
                Ok(answered) => Ok(answered?
                    .map(|body| Refusable::passed(RevocableBody::new(body, revoked, exchange)))),
                Err(rejection) => Ok(unauthorized(refused(exchange.as_ref(), &rejection))),
            }
        })
    }
}

fn credentials<B>(request: &Request<B>) -> Result<Credentials, Rejection> {
    let credentials = Credentials::from_headers(request.headers())?;
    Ok(match request.extensions().get::<PeerCertificate>() {
        Some(certificate) => credentials.with_certificate(*certificate),
        None => credentials,
    })
}

/// What `work` ends with, unless the caller's credential ends first. The work is dropped then.
async fn unless<T>(revoked: &mut Watch, work: impl Future<Output = T>) -> Result<T, Rejection> {
    let mut work = pin!(work);
    poll_fn(|cx| match Pin::new(&mut *revoked).poll(cx) {
        Poll::Ready(rejection) => Poll::Ready(Err(rejection)),
        Poll::Pending => work.as_mut().poll(cx).map(Ok),
    })
    .await
}

/// The refusal, noted in the exchange.
fn refused(exchange: Option<&Exchange>, rejection: &Rejection) -> Refusal {
    let refusal = rejection.refusal();
    if let Some(exchange) = exchange {
        note(exchange, &refusal);
    }
    refusal
}

fn note(exchange: &Exchange, refusal: &Refusal) {
    // Before the refusal, which would make a denial of it. What was forwarded was not denied but
    // cut off; what was held until now was, even if its answer had begun.
    if exchange.draft(|draft| draft.committed) {
        exchange.conclude(Outcome::PolicyCut);
    }
    exchange.refused(refusal);
}

/// Takes a little of what a stranger sends, and looks at none of it. A connection that is closed on
/// a client which still sends is reset, and then the client never sees that it has to renew its
/// credential.
async fn drain<B: Body<Data = Bytes>>(body: B) {
    let mut body = pin!(body);
    let drained = async {
        let mut taken = 0;
        while taken < DRAIN
            && let Some(Ok(frame)) = body.frame().await
        {
            taken += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    tokio::time::timeout(DRAIN_TIME, drained).await.ok();
}

const DRAIN: usize = 1 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(1);

fn mark_sensitive(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if name == AUTHORIZATION || name == X_API_KEY {
            value.set_sensitive(true);
        }
    }
}

#[cfg(test)]
mod tests;
