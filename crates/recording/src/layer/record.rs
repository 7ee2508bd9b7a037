//! The layer that opens an exchange for every request and closes it whatever happens.

use std::{
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body;
use tollbook_exchange::{
    Exchange, ExchangeId, Level, Outcome, Redact, Refusal, Timestamp,
    http::{Refusable, refuse},
};
use tower_layer::Layer;
use tower_service::Service;

use super::{ResponseBody, head::Head, release::Held};
use crate::{Book, OnFailure, Page, Recorder, Release};

/// Records every request that comes through it. Put it outside of all layers that may refuse.
///
/// It notes the head of request and response, counts bytes, and tells from the way a response ends
/// how the exchange came out:
///
/// | what happens | outcome |
/// |---|---|
/// | the body ends | `complete`, or `upstream_error` for a status of 400 or more |
/// | a response bears a [`Refusal`] | what the refusal's code means |
/// | the body fails | `upstream_reset` |
/// | the caller is gone before the end | `client_gone` |
/// | the response cannot be recorded further | `policy_cut` |
/// | something panics, or the inner service fails without a response | `indeterminate` |
///
/// A layer inside that concludes the [`Exchange`] first has the last word. The exchange's id goes
/// to the caller in the header `x-tollbook-exchange`.
///
/// When nothing can be recorded, the request is refused and nothing inside is called.
#[derive(Clone, Debug)]
pub struct RecordLayer {
    book: Book,
    connection: Arc<str>,
    protocol: &'static str,
    head: Head,
    release: Option<Release>,
}

/// The service of [`RecordLayer`].
#[derive(Clone, Debug)]
pub struct Record<S> {
    layer: RecordLayer,
    inner: S,
}

impl RecordLayer {
    /// A layer that records for one connection. Header values and the target are withheld.
    pub fn new(
        recorder: Recorder,
        connection: impl Into<Arc<str>>,
        protocol: &'static str,
    ) -> Self {
        Self {
            book: Book::new(recorder, OnFailure::Block),
            connection: connection.into(),
            protocol,
            head: Head::default(),
            release: None,
        }
    }

    /// The same layer, which lets no byte of a response's body through before its record is durable.
    ///
    /// Where a layer inside tells how far the record is behind what came
    /// ([`settled`](tollbook_exchange::ResponseDraft::settled)), bytes also wait until the record
    /// has them. The head passes before: it is part of the record of the outcome.
    #[must_use]
    pub const fn release(mut self, release: Release) -> Self {
        self.release = Some(release);
        self
    }

    /// The same layer, with what becomes of a request that cannot be recorded; it is refused unless
    /// told. Which requests pass the [`CommitLayer`](crate::CommitLayer) decides, which must be
    /// there and be told the same.
    #[must_use]
    pub fn on_failure(mut self, policy: impl Into<Arc<OnFailure>>) -> Self {
        self.book = self.book.on_failure(policy);
        self
    }

    /// The same layer, which takes a header of this name for a credential whatever it is called:
    /// that of the connection's own credential, since callers know it under the same name.
    #[must_use]
    pub fn credential_header(mut self, name: &str) -> Self {
        self.head.credential = Some(name.to_ascii_lowercase().replace('_', "-").into());
        self
    }

    /// The same layer, with header values and the target kept as `redactor` masks them.
    /// Credentials stay out either way.
    #[must_use]
    pub fn redact(mut self, redactor: Arc<dyn Redact>) -> Self {
        self.head.redactor = Some(redactor);
        self
    }
}

impl<S> Layer<S> for RecordLayer {
    type Service = Record<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Record {
            layer: self.clone(),
            inner,
        }
    }
}

impl<S, Q, B> Service<Request<Q>> for Record<S>
where
    S: Service<Request<Q>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    Q: Send + 'static,
    B: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    // Boxed because it may wait for its turn before the inner service is called.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let next = self.inner.clone();
        let mut inner = mem::replace(&mut self.inner, next);
        let RecordLayer {
            book,
            connection,
            protocol,
            head,
            release,
        } = self.layer.clone();
        Box::pin(async move {
            let id = ExchangeId::generate();
            let exchange = Exchange::open(id, connection.as_ref(), protocol, Timestamp::now());
            if release.is_some() {
                exchange.draft(|draft| draft.level = Level::Release);
            }
            let page = match book.open(&exchange).await {
                Ok(page) => page,
                Err(refusal) => {
                    return Ok(refuse(refusal).map(|body| ResponseBody::unrecorded(body, None)));
                }
            };
            let recording = match page.into_recording() {
                Ok(recording) => recording,
                Err(page) => return unrecorded(request, page, head, inner).await,
            };
            head.request(&exchange, &request);
            let bodiless = request.method() == Method::HEAD;
            request.extensions_mut().insert(exchange.clone());

            let mut response = match inner.call(request).await {
                Ok(response) => response,
                Err(error) => {
                    exchange.conclude(Outcome::Indeterminate);
                    return Err(error);
                }
            };
            if let Some(refusal) = response.extensions().get::<Refusal>() {
                exchange.refused(refusal);
            }
            head.response(&exchange, response.headers());
            let status = response.status();
            exchange.draft(|draft| draft.response.status = Some(status.as_u16()));
            if let Ok(id) = HeaderValue::try_from(id.to_string()) {
                response.headers_mut().insert(EXCHANGE, id);
            }
            // RFC 9110 §6.4.1: these never have a body, so nobody will poll for its end.
            let bodiless = bodiless
                || status.is_informational()
                || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
            let held = release.filter(|_| !bodiless).map(Held::new);
            Ok(response.map(|body| {
                ResponseBody::recorded(Refusable::passed(body), recording, status, bodiless, held)
            }))
        })
    }
}

/// Lets a request go on that cannot be recorded, to where it is decided whether it passes.
async fn unrecorded<S, Q, B>(
    mut request: Request<Q>,
    page: Page,
    head: Head,
    mut inner: S,
) -> Result<Response<ResponseBody<B>>, S::Error>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    let exchange = page.exchange().clone();
    head.request(&exchange, &request);
    request.extensions_mut().insert(exchange.clone());
    let response = inner.call(request).await?;
    if let Some(refusal) = response.extensions().get::<Refusal>() {
        page.refused(refusal);
    }
    // No id goes to the caller: there is nothing to be found under it.
    Ok(response.map(|body| ResponseBody::unrecorded(Refusable::passed(body), Some(exchange))))
}

const EXCHANGE: HeaderName = HeaderName::from_static("x-tollbook-exchange");
