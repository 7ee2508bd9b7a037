//! The body of an answer, on its way.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tollbook_exchange::{Exchange, Outcome, http::Refusable};

use super::headers;
use crate::Credential;

pin_project! {
    /// The body of what [`Forward`](crate::Forward) answers: the upstream's, frame by frame as it
    /// comes, or that of a refusal.
    ///
    /// Nothing is read ahead: the upstream is asked for more when somebody asks this body.
    #[derive(Debug)]
    pub struct ResponseBody {
        #[pin]
        inner: Refusable<Relayed>,
    }
}

impl ResponseBody {
    pub(super) const fn new(inner: Refusable<Relayed>) -> Self {
        Self { inner }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// The upstream's answer broke off.
#[derive(Debug, thiserror::Error)]
#[error("{}", match .source {
    Some(_) => "the upstream's answer broke off",
    None => "the upstream fell silent within its answer",
})]
pub struct BodyError {
    source: Option<hyper::Error>,
}

impl BodyError {
    /// Whether the upstream was silent for longer than the idle timeout. Otherwise the connection
    /// broke or what came over it was no HTTP.
    pub const fn is_timeout(&self) -> bool {
        self.source.is_none()
    }
}

/// The upstream's body, watched.
pub(super) struct Relayed {
    /// Gone when it failed, and its connection with it.
    body: Option<Incoming>,
    credential: Option<Credential>,
    exchange: Option<Exchange>,
    limit: Duration,
    /// Runs while somebody waits for the upstream, and only then: a caller that reads slowly is
    /// not the upstream's fault.
    silence: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Relayed {
    pub(super) const fn new(
        body: Incoming,
        credential: Option<Credential>,
        exchange: Option<Exchange>,
        limit: Duration,
    ) -> Self {
        Self {
            body: Some(body),
            credential,
            exchange,
            limit,
            silence: None,
            waiting: false,
        }
    }

    fn fail(&mut self, source: Option<hyper::Error>) -> BodyError {
        self.body = None;
        self.silence = None;
        if let Some(exchange) = &self.exchange {
            exchange.conclude(Outcome::UpstreamReset);
        }
        BodyError { source }
    }

    fn pass(&self, frame: Frame<Bytes>) -> Frame<Bytes> {
        match frame.into_trailers() {
            Ok(trailers) => Frame::trailers(headers::trailers(&trailers, self.credential.as_ref())),
            Err(frame) => frame,
        }
    }

    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let silence = self
            .silence
            .get_or_insert_with(|| Box::pin(sleep(self.limit)));
        if !self.waiting {
            self.waiting = true;
            silence.as_mut().reset(Instant::now() + self.limit);
        }
        silence.as_mut().poll(cx)
    }
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = Pin::new(body).poll_frame(cx) else {
            ready!(self.poll_silence(cx));
            return Poll::Ready(Some(Err(self.fail(None))));
        };
        self.waiting = false;
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(Ok(self.pass(frame))),
            Some(Err(error)) => Some(Err(self.fail(Some(error)))),
            None => None,
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body
            .as_ref()
            .map_or_else(SizeHint::default, Incoming::size_hint)
    }
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayed")
            .field("open", &self.body.is_some())
            .finish_non_exhaustive()
    }
}
