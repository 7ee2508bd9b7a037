//! The tower layer that knows who asks.

use std::{
    mem,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
use http_body::Body;
use http_body_util::BodyExt;
use tollbook_exchange::{
    Code, Exchange, Refusal,
    http::{Refusable, refuse},
};
use tower_layer::Layer;
use tower_service::Service;

use crate::{Authenticate, Credentials, Reason, Rejection, credentials::X_API_KEY};

/// Lets nobody through who is not somebody.
///
/// A verified caller becomes the request's `Principal` extension and is noted in its [`Exchange`].
/// Anybody else gets the same 401 whatever was wrong; the reason goes into the exchange. No byte of
/// a body is looked at before that, and a stranger cannot make the gate hold one: of its body at
/// most 1 MiB is taken, for a second, and thrown away.
///
/// The credential stays in the request's headers, marked as sensitive so that printing them does
/// not show it. The forwarder takes it out.
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
    type Response = Response<Refusable<ResBody>>;
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
        let credentials = Credentials::from_headers(request.headers());
        mark_sensitive(request.headers_mut());
        Box::pin(async move {
            let exchange = request.extensions().get::<Exchange>().cloned();
            let identified = match credentials {
                Ok(credentials) => authenticator.authenticate(&credentials).await,
                Err(rejection) => Err(rejection),
            };
            match identified {
                Ok(principal) => {
                    if let Some(exchange) = exchange {
                        exchange.identified(&principal);
                    }
                    request.extensions_mut().insert(principal);
                    Ok(inner.call(request).await?.map(Refusable::passed))
                }
                Err(rejection) => {
                    let refusal = refusal(&rejection);
                    if let Some(exchange) = exchange {
                        exchange.refused(&refusal);
                    }
                    drain(request.into_body()).await;
                    Ok(unauthorized(refusal))
                }
            }
        })
    }
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

fn refusal(rejection: &Rejection) -> Refusal {
    // The one fault that a caller may be told: it can see for itself what it sent, and nothing was
    // checked yet.
    if rejection.reason() == Reason::AmbiguousCredential.as_str() {
        Refusal::new(
            Code::MalformedRequest,
            "The request carries two different credentials; send one.",
        )
    } else {
        Refusal::new(
            Code::AuthenticationFailed,
            "The request carries no acceptable credential.",
        )
    }
    .because(rejection.reason())
}

fn unauthorized<B>(refusal: Refusal) -> Response<Refusable<B>> {
    let challenges = refusal.code == Code::AuthenticationFailed;
    let mut response = refuse(refusal);
    if challenges {
        // RFC 9110 §15.5.2: a 401 names the scheme.
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn mark_sensitive(headers: &mut HeaderMap) {
    for (name, value) in headers.iter_mut() {
        if name == AUTHORIZATION || name == X_API_KEY {
            value.set_sensitive(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use tollbook_exchange::{ExchangeId, Outcome, Principal, PrincipalKind, Timestamp};
    use tower::{ServiceExt, service_fn};

    use super::*;

    /// Knows one token and takes every other for a forgery.
    struct OneToken;

    impl Authenticate for OneToken {
        async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Rejection> {
            match credentials.expose() {
                "good" => Ok(Principal::new(PrincipalKind::Ci, "ci", "repo:a/b")),
                _ => Err(Reason::BadSignature.into()),
            }
        }
    }

    fn exchange() -> Exchange {
        Exchange::open(ExchangeId::generate(), "claude", "claude", Timestamp::now())
    }

    /// Sends a request through the layer to a service that answers with the subject.
    async fn send(
        headers: &[(&'static str, &'static str)],
        exchange: Option<&Exchange>,
    ) -> Response<Refusable<String>> {
        let mut request = Request::new(String::new());
        for &(name, value) in headers {
            request
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        if let Some(exchange) = exchange {
            request.extensions_mut().insert(exchange.clone());
        }
        let inner = service_fn(|request: Request<String>| async move {
            assert!(!format!("{:?}", request.headers()).contains("good"));
            let principal = request.extensions().get::<Principal>().unwrap();
            let mut response = Response::new(String::new());
            response
                .headers_mut()
                .insert("subject", principal.subject.parse().unwrap());
            Ok::<_, Infallible>(response)
        });
        let service = IdentityLayer::new(OneToken).layer(inner);
        service.oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn a_strangers_body_is_taken_so_that_the_answer_can_be_read() {
        use std::sync::atomic::{AtomicUsize, Ordering};

        struct Pieces(Arc<AtomicUsize>);
        impl Body for Pieces {
            type Data = Bytes;
            type Error = Infallible;
            fn poll_frame(
                self: Pin<&mut Self>,
                _: &mut Context<'_>,
            ) -> Poll<Option<Result<http_body::Frame<Bytes>, Infallible>>> {
                self.0.fetch_add(1, Ordering::Relaxed);
                Poll::Ready(Some(Ok(http_body::Frame::data(Bytes::from_static(
                    &[0; 4096],
                )))))
            }
        }
        let polled = Arc::new(AtomicUsize::new(0));
        let inner = service_fn(|_: Request<Pieces>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        });
        let service = IdentityLayer::new(OneToken).layer(inner);
        let response = service
            .oneshot(Request::new(Pieces(Arc::clone(&polled))))
            .await
            .unwrap();
        assert_eq!(response.status(), 401);
        // To its limit, as this body has no end.
        assert_eq!(polled.load(Ordering::Relaxed), DRAIN / 4096);
    }

    #[tokio::test]
    async fn a_known_caller_passes_and_is_noted() {
        let exchange = exchange();
        let response = send(&[("authorization", "Bearer good")], Some(&exchange)).await;
        assert_eq!(response.headers()["subject"], "repo:a/b");
        let noted = exchange.draft(|draft| draft.principal.clone());
        assert_eq!(
            noted.map(|principal| principal.subject).as_deref(),
            Some("repo:a/b")
        );
    }

    #[tokio::test]
    async fn the_layer_works_without_an_exchange() {
        assert_eq!(send(&[("x-api-key", "good")], None).await.status(), 200);
        assert_eq!(send(&[], None).await.status(), 401);
    }

    #[tokio::test]
    async fn every_rejection_looks_the_same_and_only_the_record_knows() {
        let mut answers = Vec::new();
        for (headers, reason) in [
            (&[][..], "missing_credential"),
            (&[("authorization", "Bearer bad")][..], "bad_signature"),
            (
                &[("authorization", "Basic Z29vZA==")][..],
                "unsupported_scheme",
            ),
        ] {
            let exchange = exchange();
            let response = send(headers, Some(&exchange)).await;
            assert_eq!(
                exchange.draft(|draft| {
                    let refusal = draft.refusal.take().unwrap();
                    (refusal.code, refusal.reason, draft.outcome)
                }),
                (Code::AuthenticationFailed, reason, Some(Outcome::Denied))
            );
            let refusal = response.extensions().get::<Refusal>().unwrap();
            answers.push((
                response.status(),
                response.headers().clone(),
                refusal.message.clone(),
            ));
        }
        assert_eq!(answers[0].0, 401);
        assert_eq!(answers[0].1["www-authenticate"], "Bearer");
        assert!(answers.iter().all(|answer| *answer == answers[0]));
    }

    #[tokio::test]
    async fn two_credentials_that_differ_are_a_malformed_request() {
        let headers = [("authorization", "Bearer good"), ("x-api-key", "other")];
        let response = send(&headers, None).await;
        assert_eq!(response.status(), 400);
        assert!(response.headers().get("www-authenticate").is_none());
        let refusal = response.extensions().get::<Refusal>().unwrap();
        assert_eq!(refusal.reason, "ambiguous_credential");
    }
}
