//! The body of an answer that may have begun before its request was let through.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{self, Instant, Sleep};
use tollbook_exchange::{Refusal, http::Cut};

/// How a body that has begun goes on.
pub(super) enum Ending<R> {
    /// With the upstream's.
    Relay(R),
    /// With these bytes, and no more.
    Last(Bytes),
    /// With a refusal.
    Cut(Refusal),
    /// With an error of the inner service.
    Failed(Box<dyn Error + Send + Sync>),
}

type EndingFuture<R> = Pin<Box<dyn Future<Output = Ending<R>> + Send>>;

pin_project_lite::pin_project! {
    /// The inner service's body, or pings until people have decided and then the rest.
    ///
    /// A refusal ends it with the error [`Cut`]. When it is dropped, nobody waits any more.
    pub struct HeldBody<R> {
        #[pin]
        kind: Kind<R>,
    }
}

pin_project_lite::pin_project! {
    #[project = KindProj]
    enum Kind<R> {
        Passed { #[pin] body: R },
        Held { ending: EndingFuture<R>, ping: Bytes, every: Duration, next: Pin<Box<Sleep>> },
        Over,
    }
}

impl<R> HeldBody<R> {
    pub(super) const fn passed(body: R) -> Self {
        Self {
            kind: Kind::Passed { body },
        }
    }

    /// The first ping goes out at once: some proxies pass a head on only with the first byte.
    pub(super) fn held(ending: EndingFuture<R>, ping: Bytes, every: Duration) -> Self {
        Self {
            kind: Kind::Held {
                ending,
                ping,
                every,
                next: Box::pin(time::sleep(Duration::ZERO)),
            },
        }
    }
}

impl<R> Body for HeldBody<R>
where
    R: Body<Data = Bytes>,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut kind = self.project().kind;
        loop {
            let (next, answer) = match kind.as_mut().project() {
                KindProj::Over => return Poll::Ready(None),
                KindProj::Passed { body } => {
                    let frame = ready!(body.poll_frame(cx));
                    return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
                }
                KindProj::Held {
                    ending,
                    ping,
                    every,
                    next,
                } => match ending.as_mut().poll(cx) {
                    Poll::Ready(Ending::Relay(body)) => (Kind::Passed { body }, None),
                    Poll::Ready(Ending::Last(bytes)) => (Kind::Over, Some(Ok(Frame::data(bytes)))),
                    Poll::Ready(Ending::Cut(refusal)) => {
                        (Kind::Over, Some(Err(Cut(refusal).into())))
                    }
                    Poll::Ready(Ending::Failed(error)) => (Kind::Over, Some(Err(error))),
                    Poll::Pending => {
                        ready!(next.as_mut().poll(cx));
                        next.as_mut().reset(Instant::now() + *every);
                        return Poll::Ready(Some(Ok(Frame::data(ping.clone()))));
                    }
                },
            };
            kind.set(next);
            if answer.is_some() {
                return Poll::Ready(answer);
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Passed { body } => body.is_end_stream(),
            Kind::Held { .. } => false,
            Kind::Over => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Passed { body } => body.size_hint(),
            Kind::Held { .. } => SizeHint::default(),
            Kind::Over => SizeHint::with_exact(0),
        }
    }
}

impl<R> fmt::Debug for HeldBody<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldBody").finish_non_exhaustive()
    }
}
