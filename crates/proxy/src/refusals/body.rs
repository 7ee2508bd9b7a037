//! A response on its last step to the caller.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tollbook_exchange::http::{Cut, Refusable};

use super::{RenderRefusal, RequestInfo};

type BoxError = Box<dyn Error + Send + Sync>;

pin_project! {
    /// The body of a response that has passed [`RefusalLayer`](super::RefusalLayer).
    ///
    /// An event stream that a layer inside cuts off ends well here: with the protocol's last word
    /// instead of an error.
    pub struct RefusalsBody<B, R> {
        #[pin]
        inner: Option<Refusable<B>>,
        last: Option<LastWord<R>>,
        tail: Tail,
    }
}

/// All that is needed to say the last word.
pub(super) struct LastWord<R> {
    pub(super) render: Arc<R>,
    pub(super) user_agent: Option<String>,
    pub(super) exchange: Option<String>,
}

/// The last bytes that went to the caller, oldest first.
#[derive(Clone, Copy)]
struct Tail([u8; 3]);

impl<B, R> RefusalsBody<B, R> {
    /// The inner service's body, which ends with the `last` word if it is cut off.
    pub(super) const fn passed(body: B, last: Option<LastWord<R>>) -> Self {
        Self {
            inner: Some(Refusable::passed(body)),
            last,
            tail: Tail::AT_AN_EVENT,
        }
    }

    /// A body that the gate itself wrote.
    pub(super) fn own(body: Bytes) -> Self {
        Self {
            inner: Some(Refusable::own(body)),
            last: None,
            tail: Tail::AT_AN_EVENT,
        }
    }
}

impl<B, R> Body for RefusalsBody<B, R>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
    R: RenderRefusal,
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
        let error: BoxError = match ready!(inner.poll_frame(cx)) {
            Some(Err(error)) => error.into(),
            Some(Ok(frame)) => {
                if this.last.is_some()
                    && let Some(data) = frame.data_ref()
                {
                    this.tail.passed(data);
                }
                return Poll::Ready(Some(Ok(frame)));
            }
            None => return Poll::Ready(None),
        };
        this.inner.set(None);
        let last = this.last.take();
        let Some(event) = last.and_then(|last| last.say(&*error)) else {
            return Poll::Ready(Some(Err(error)));
        };
        let frame = if this.tail.at_an_event() {
            event
        } else {
            // What was cut in the middle of an event must not become a part of this one.
            let mut bytes = BytesMut::from(&b"\n\n"[..]);
            bytes.extend_from_slice(&event);
            bytes.freeze()
        };
        Poll::Ready(Some(Ok(Frame::data(frame))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            // It may become longer by the last word, or shorter because it is cut.
            Some(_) if self.last.is_some() => SizeHint::default(),
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<R: RenderRefusal> LastWord<R> {
    /// The event that ends the stream, if `error` is the gate's own.
    fn say(&self, error: &(dyn Error + 'static)) -> Option<Bytes> {
        let refusal = Cut::of(error)?;
        let request = RequestInfo::new(self.user_agent.as_deref(), self.exchange.as_deref());
        self.render.render_event(refusal, &request)
    }
}

impl Tail {
    /// What stands before the first byte counts as the end of an event.
    const AT_AN_EVENT: Self = Self(*b"\n\n\n");

    fn passed(&mut self, data: &[u8]) {
        for byte in data.iter().rev().take(3).rev() {
            self.0 = [self.0[1], self.0[2], *byte];
        }
    }

    /// Whether a blank line came last. Lines end in LF, CR or CR LF (WHATWG HTML, "Server-sent
    /// events").
    fn at_an_event(self) -> bool {
        let blank: [&[u8]; 5] = [b"\n\n", b"\r\r", b"\n\r", b"\n\r\n", b"\r\r\n"];
        blank.iter().any(|line| self.0.ends_with(line))
    }
}

impl<B, R> fmt::Debug for RefusalsBody<B, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusalsBody")
            .field("ended", &self.inner.is_none())
            .field("last_word", &self.last.is_some())
            .finish_non_exhaustive()
    }
}
