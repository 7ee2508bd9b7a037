//! An answer that ends when its caller is nobody any more.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollbook_exchange::{Exchange, http::Cut};

use super::note;
use crate::Watch;

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// The inner service's body, until the caller's credential is revoked. It ends with a [`Cut`]
    /// then, and the inner body is dropped.
    pub struct RevocableBody<B> {
        // Nothing once it has ended.
        #[pin]
        inner: Option<B>,
        revoked: Watch,
        exchange: Option<Exchange>,
    }
}

impl<B> RevocableBody<B> {
    pub(super) const fn new(inner: B, revoked: Watch, exchange: Option<Exchange>) -> Self {
        Self {
            inner: Some(inner),
            revoked,
            exchange,
        }
    }
}

impl<B> Body for RevocableBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut this = self.project();
        let Some(inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(rejection) = Pin::new(&mut *this.revoked).poll(cx) {
            let refusal = rejection.refusal();
            if let Some(exchange) = this.exchange.take() {
                note(&exchange, &refusal);
            }
            this.inner.set(None);
            return Poll::Ready(Some(Err(Cut(refusal).into())));
        }
        let polled = ready!(inner.poll_frame(cx));
        if !matches!(polled, Some(Ok(_))) {
            this.inner.set(None);
            *this.exchange = None;
        }
        Poll::Ready(polled.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let gone = || SizeHint::with_exact(0);
        self.inner.as_ref().map_or_else(gone, Body::size_hint)
    }
}

impl<B> fmt::Debug for RevocableBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocableBody")
            .field("ended", &self.inner.is_none())
            .finish_non_exhaustive()
    }
}
