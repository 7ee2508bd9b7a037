//! The HTTP form of a [`Refusal`], shared by every crate that holds a tower layer.
//!
//! A layer that refuses returns [`refuse`]: a small JSON body for those who use the layer alone,
//! and the [`Refusal`] itself in the response's extensions, from which the edge of the gateway
//! makes the error of the caller's protocol.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

use crate::{Refusal, Retry};

/// The refusal as a response: `{"code":"…","message":"…"}`.
pub fn refuse<B>(refusal: Refusal) -> Response<Refusable<B>> {
    let body = serde_json::json!({ "code": refusal.code, "message": refusal.message });
    let mut response = Response::new(Refusable::own(body.to_string().into()));
    *response.status_mut() =
        StatusCode::from_u16(refusal.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    if let Retry::After(seconds) = refusal.retry {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response.extensions_mut().insert(refusal);
    response
}

/// A refusal that came when the answer had begun: the error that ends the body.
///
/// A layer that cuts an answer off ends its body with one, and tells the [`Exchange`] the refusal
/// itself. The edge of the gateway makes the last word of the caller's protocol of it, such as an
/// error event.
///
/// [`Exchange`]: crate::Exchange
#[derive(Clone, Debug)]
pub struct Cut(pub Refusal);

impl Cut {
    /// The refusal that `error`, or what caused it, brings.
    pub fn of<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Refusal> {
        let mut error = Some(error);
        while let Some(this) = error {
            if let Some(Self(refusal)) = this.downcast_ref() {
                return Some(refusal);
            }
            error = this.source();
        }
        None
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the answer was cut off: {}", self.0.code.as_str())
    }
}

impl Error for Cut {}

pin_project_lite::pin_project! {
    /// The body of a layer that may refuse or answer itself: the inner service's body, or its own.
    #[derive(Debug)]
    pub struct Refusable<B> {
        #[pin]
        kind: Kind<B>,
    }
}

pin_project_lite::pin_project! {
    #[derive(Debug)]
    #[project = KindProj]
    enum Kind<B> {
        Passed { #[pin] body: B },
        Own { body: Option<Bytes> },
    }
}

pin_project_lite::pin_project! {
    /// What a layer answers that either lets a request pass or refuses it at once: the inner
    /// service's response, or the refusal.
    #[derive(Debug)]
    pub struct RefusableFuture<F> {
        #[pin]
        inner: Option<F>,
        refusal: Option<Refusal>,
    }
}

impl<F> RefusableFuture<F> {
    /// The inner service's response.
    pub const fn passed(inner: F) -> Self {
        Self {
            inner: Some(inner),
            refusal: None,
        }
    }

    /// A refusal; the inner service was not called.
    pub const fn refused(refusal: Refusal) -> Self {
        Self {
            inner: None,
            refusal: Some(refusal),
        }
    }
}

impl<F, R, E> Future for RefusableFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<Refusable<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Some(inner) = this.inner.as_pin_mut() {
            let response = ready!(inner.poll(cx))?;
            return Poll::Ready(Ok(response.map(Refusable::passed)));
        }
        match this.refusal.take() {
            Some(refusal) => Poll::Ready(Ok(refuse(refusal))),
            // Polled after it was ready, which a future may answer as it likes.
            None => Poll::Pending,
        }
    }
}

impl<B> Refusable<B> {
    /// The inner service's body.
    pub const fn passed(body: B) -> Self {
        Self {
            kind: Kind::Passed { body },
        }
    }

    /// A body that the gate itself wrote.
    pub fn own(body: Bytes) -> Self {
        Self {
            kind: Kind::Own {
                body: (!body.is_empty()).then_some(body),
            },
        }
    }
}

impl<B: Body<Data = Bytes>> Body for Refusable<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        Poll::Ready(match self.project().kind.project() {
            KindProj::Passed { body } => ready!(body.poll_frame(cx)),
            KindProj::Own { body } => body.take().map(|body| Ok(Frame::data(body))),
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Own { body } => body.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Own { body } => SizeHint::with_exact(body.as_ref().map_or(0, Bytes::len) as u64),
        }
    }
}
