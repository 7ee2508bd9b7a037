//! The layer over a service that always answers; `tests/it` has revocations under way.

use std::convert::Infallible;

use http::HeaderValue;
use tollbook_exchange::{Code, ExchangeId, Principal, PrincipalKind, Timestamp};
use tower::{ServiceExt, service_fn};

use super::*;
use crate::Reason;

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
) -> Response<Refusable<RevocableBody<String>>> {
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
            &[("authorization", "Digest Z29vZA==")][..],
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

#[tokio::test]
async fn the_password_of_basic_and_the_certificate_of_the_connection_are_handed_on() {
    /// Knows one token, and only over one connection.
    struct Bound;

    impl Authenticate for Bound {
        async fn authenticate(&self, credentials: &Credentials) -> Result<Principal, Rejection> {
            match (credentials.expose(), credentials.certificate()) {
                ("good", Some(PeerCertificate([7, ..]))) => {
                    Ok(Principal::new(PrincipalKind::Ci, "ci", "repo:a/b"))
                }
                _ => Err(Reason::CertificateMissing.into()),
            }
        }
    }

    let inner = service_fn(|_: Request<String>| async {
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let service = IdentityLayer::new(Bound).layer(inner);
    // `git:good`
    for (certificate, status) in [(Some([7; 32]), 200), (Some([8; 32]), 401), (None, 401)] {
        let mut request = Request::new(String::new());
        let basic = HeaderValue::from_static("Basic Z2l0Omdvb2Q=");
        request.headers_mut().insert(AUTHORIZATION, basic);
        // Nobody proves a certificate by a header.
        let claimed = HeaderValue::from_static("07");
        request.headers_mut().insert("x-client-cert", claimed);
        if let Some(certificate) = certificate {
            request
                .extensions_mut()
                .insert(PeerCertificate(certificate));
        }
        let response = service.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
    }
}
