//! The response on its way to the caller, watched to its end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tollbook_exchange::{Outcome, http::Refusable};

use crate::{Error, Recording};

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type Keeping = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

pin_project_lite::pin_project! {
    /// The body of a recorded response.
    ///
    /// It lets through what the inner body gives, frame by frame. When more of the response has
    /// gathered for the record than may be held, it first waits for the journal to take it.
    pub struct ResponseBody<B> {
        // Dropped before the watch: layers inside finish their notes when their body is dropped.
        #[pin]
        inner: Option<Refusable<B>>,
        watch: Option<Watch>,
    }
}

/// The response could not be recorded further, so it was cut off.
#[derive(Debug, thiserror::Error)]
#[error("the response could not be recorded further and was cut off")]
pub struct NotRecorded(#[source] Error);

/// Sees how the response ends.
struct Watch {
    recording: Recording,
    /// Under way while the journal takes parts.
    keeping: Option<Keeping>,
    status: StatusCode,
    /// The length that the body announced.
    announced: Option<u64>,
    sent: u64,
    /// Whether all of the body has been let through.
    ended: bool,
    /// Whether the inner body is being polled; still so when this is dropped if that panicked.
    polling: bool,
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// A body that is not recorded: that of the refusal to record.
    pub(super) const fn unrecorded(inner: Refusable<B>) -> Self {
        Self {
            inner: Some(inner),
            watch: None,
        }
    }

    /// A body that nobody will read if it is `bodiless`, whatever it holds.
    pub(super) fn recorded(
        inner: Refusable<B>,
        recording: Recording,
        status: StatusCode,
        bodiless: bool,
    ) -> Self {
        let watch = Watch {
            recording,
            keeping: None,
            status,
            announced: inner.size_hint().exact(),
            sent: 0,
            ended: bodiless || inner.is_end_stream(),
            polling: false,
        };
        Self {
            inner: Some(inner),
            watch: Some(watch),
        }
    }
}

impl<B> Body for ResponseBody<B>
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
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(watch) = this.watch else {
            return inner.poll_frame(cx).map_err(Into::into);
        };
        if let Err(error) = ready!(watch.poll_keep(cx)) {
            watch.conclude(Outcome::PolicyCut);
            this.inner.set(None);
            *this.watch = None;
            return Poll::Ready(Some(Err(NotRecorded(error).into())));
        }
        watch.polling = true;
        let polled = inner.as_mut().poll_frame(cx);
        watch.polling = false;
        match ready!(polled) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    watch.passed(data.len());
                }
                // The end may not be polled for when it is known already: by the length, or because
                // nothing comes after trailers.
                watch.ended |= inner.is_end_stream() || frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                watch.conclude(Outcome::UpstreamReset);
                this.inner.set(None);
                *this.watch = None;
                Poll::Ready(Some(Err(error.into())))
            }
            None => {
                watch.ended = true;
                this.inner.set(None);
                *this.watch = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let gone = || SizeHint::with_exact(0);
        self.inner.as_ref().map_or_else(gone, Body::size_hint)
    }
}

impl Watch {
    /// Makes room for more of the response in the record.
    fn poll_keep(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.keeping.is_none() && self.recording.is_full() {
            self.keeping = Some(Box::pin(self.recording.keep()));
        }
        if let Some(keeping) = &mut self.keeping {
            ready!(keeping.as_mut().poll(cx))?;
            self.keeping = None;
        }
        Poll::Ready(Ok(()))
    }

    fn passed(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        let exchange = self.recording.exchange();
        let now = exchange.elapsed();
        exchange.draft(|draft| {
            draft.response.bytes = self.sent;
            draft.response.first_byte.get_or_insert(now);
        });
    }

    fn conclude(&self, outcome: Outcome) {
        self.recording.exchange().conclude(outcome);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if self.polling {
            self.conclude(Outcome::Indeterminate);
        } else if self.ended || self.announced == Some(self.sent) {
            // A server that knows the length stops polling when it has all of it.
            self.conclude(if self.status.as_u16() < 400 {
                Outcome::Complete
            } else {
                Outcome::UpstreamError
            });
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("recorded", &self.watch.is_some())
            .finish_non_exhaustive()
    }
}
