//! The tower layer that knows who asks.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::{
    HeaderMap, HeaderValue, Request, Response,
    header::{AUTHORIZATION, WWW_AUTHENTICATE},
};
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
/// Anybody else gets the same 401 whatever was wrong; the reason goes into the exchange. The body
/// is not touched before that, so a stranger cannot make the gate read or hold one.
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
    B: Send + 'static,
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
                    Ok(unauthorized(refusal))
                }
            }
        })
    }
}

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

    /// Sends a request through the layer to a service that answers with the subject. Its body is
    /// no body at all: a layer that wanted to read one would not compile.
    async fn send(
        headers: &[(&'static str, &'static str)],
        exchange: Option<&Exchange>,
    ) -> Response<Refusable<String>> {
        let mut request = Request::new(());
        for &(name, value) in headers {
            request
                .headers_mut()
                .append(name, HeaderValue::from_static(value));
        }
        if let Some(exchange) = exchange {
            request.extensions_mut().insert(exchange.clone());
        }
        let inner = service_fn(|request: Request<()>| async move {
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
                exchange.draft(|draft| (draft.refusal, draft.outcome)),
                (
                    Some((Code::AuthenticationFailed, reason)),
                    Some(Outcome::Denied)
                )
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
