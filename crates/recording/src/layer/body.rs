//! The response on its way to the caller, watched to its end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::StatusCode;
use http_body::{Body, Frame, SizeHint};
use tollbook_exchange::{
    Exchange, Outcome,
    http::{Cut, Refusable},
};

use super::release::Held;
use crate::{Error, Recording, book::cut_off};

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Keeping = Pin<Box<dyn Future<Output = Result<(), Error>> + Send>>;

pin_project_lite::pin_project! {
    /// The body of a recorded response.
    ///
    /// It lets through what the inner body gives, frame by frame. When more of the response has
    /// gathered for the record than may be held, it first waits for the journal to take it. Where
    /// answers have to be durable first, each frame waits for that.
    pub struct ResponseBody<B> {
        // Dropped before the watch: layers inside finish their notes when their body is dropped.
        #[pin]
        inner: Option<Refusable<B>>,
        watch: Option<Watch>,
        held: Option<Box<Held>>,
        // What gathers for a record that nobody makes is thrown away.
        unrecorded: Option<Exchange>,
    }
}

/// The response could not be recorded further, so it was cut off.
#[derive(Debug, thiserror::Error)]
#[error("the response could not be recorded further and was cut off")]
pub struct NotRecorded(#[source] Cut);

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
    /// Whether some of what came waits here.
    withholds: bool,
}

impl<B: Body<Data = Bytes>> ResponseBody<B> {
    /// A body that is not recorded: that of the refusal to record, or of an `exchange` that passes
    /// without a record.
    pub(super) const fn unrecorded(inner: Refusable<B>, exchange: Option<Exchange>) -> Self {
        Self {
            inner: Some(inner),
            watch: None,
            held: None,
            unrecorded: exchange,
        }
    }

    /// A body that nobody will read if it is `bodiless`, whatever it holds.
    pub(super) fn recorded(
        inner: Refusable<B>,
        recording: Recording,
        status: StatusCode,
        bodiless: bool,
        held: Option<Held>,
    ) -> Self {
        let watch = Watch {
            recording,
            keeping: None,
            status,
            announced: inner.size_hint().exact(),
            sent: 0,
            ended: bodiless || inner.is_end_stream(),
            polling: false,
            withholds: false,
        };
        Self {
            inner: Some(inner),
            watch: Some(watch),
            held: held.map(Box::new),
            unrecorded: None,
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BoxError>>>;

impl<B> ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Lets pass what comes, as it comes.
    fn poll_passing(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let mut this = self.as_mut().project();
        let (Some(mut inner), Some(watch)) = (this.inner.as_mut().as_pin_mut(), this.watch) else {
            return Poll::Ready(None);
        };
        if let Err(error) = ready!(watch.poll_keep(cx)) {
            return self.cut(&error);
        }
        watch.polling = true;
        let polled = inner.as_mut().poll_frame(cx);
        watch.polling = false;
        match ready!(polled) {
            Some(Ok(frame)) => {
                watch.passed(&frame);
                // The end may not be polled for when it is known already: by the length, or because
                // nothing comes after trailers.
                watch.ended |= inner.is_end_stream() || frame.is_trailers();
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => self.broken(error.into()),
            None => {
                watch.ended = true;
                self.over();
                Poll::Ready(None)
            }
        }
    }

    /// Lets pass what is durable.
    fn poll_durable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        loop {
            let mut this = self.as_mut().project();
            let (Some(watch), Some(held)) = (this.watch.as_mut(), this.held.as_mut()) else {
                return Poll::Ready(None);
            };
            let recording = &watch.recording;
            if let Some(frame) = held.next() {
                watch.passed(&frame);
                watch.withholds = !held.is_empty();
                watch.ended |= held.is_empty() && matches!(held.end, Some(Ok(())));
                return Poll::Ready(Some(Ok(frame)));
            }
            let written = held.writing().map(|step| step.done.as_mut().poll(cx));
            match written {
                Some(Poll::Ready(Ok(()))) => {
                    held.written();
                    continue;
                }
                Some(Poll::Ready(Err(error))) => return self.cut(&error),
                Some(Poll::Pending) | None => {}
            }
            if held.is_empty()
                && let Some(end) = held.end.take()
            {
                return match end {
                    Err(error) => self.broken(error),
                    Ok(()) => {
                        watch.ended = true;
                        self.over();
                        Poll::Ready(None)
                    }
                };
            }
            if held.is_due(recording) {
                held.write(recording);
                continue;
            }
            if held.end.is_some() {
                if !held.is_stuck(recording) {
                    return Poll::Pending;
                }
                // What masking dropped from the record, because it broke off, passes nobody.
                return match held.end.take() {
                    Some(Err(error)) => self.broken(error),
                    _ => self.cut(&crate::ErrorKind::Corrupt.into()),
                };
            }
            if held.is_full() && held.is_stuck(recording) {
                return self.cut(&crate::ErrorKind::Deadline.into());
            }
            if held.has_room(recording) {
                let polled = match this.inner.as_mut().as_pin_mut() {
                    Some(mut inner) => {
                        watch.polling = true;
                        let polled = inner.as_mut().poll_frame(cx);
                        watch.polling = false;
                        if let Poll::Ready(Some(Ok(frame))) = &polled
                            && (inner.is_end_stream() || frame.is_trailers())
                        {
                            held.end = Some(Ok(()));
                        }
                        polled
                    }
                    None => Poll::Ready(None),
                };
                match polled {
                    Poll::Ready(Some(Ok(frame))) => {
                        held.came(frame, &watch.recording);
                        watch.withholds = true;
                        continue;
                    }
                    Poll::Ready(Some(Err(error))) => {
                        held.end = Some(Err(error.into()));
                        this.inner.set(None);
                        continue;
                    }
                    Poll::Ready(None) => {
                        held.end = Some(Ok(()));
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            if let Some(due) = held.due()
                && due.as_mut().poll(cx).is_ready()
            {
                held.elapsed();
                continue;
            }
            return Poll::Pending;
        }
    }

    /// The inner body failed.
    fn broken(mut self: Pin<&mut Self>, error: BoxError) -> Polled {
        if let Some(watch) = self.as_mut().project().watch {
            watch.conclude(Outcome::UpstreamReset);
        }
        self.over();
        Poll::Ready(Some(Err(error)))
    }

    /// What comes cannot be recorded.
    fn cut(mut self: Pin<&mut Self>, error: &Error) -> Polled {
        let refusal = cut_off(error);
        if let Some(watch) = self.as_mut().project().watch {
            let exchange = watch.recording.exchange();
            tracing::warn!(exchange = %exchange.id(), %error, "cut off: not recordable");
            // Also where the answer itself has come to a proper end: the caller does not have it.
            exchange.draft(|draft| draft.outcome = Some(Outcome::PolicyCut));
            exchange.refused(&refusal);
        }
        self.over();
        Poll::Ready(Some(Err(NotRecorded(Cut(refusal)).into())))
    }

    fn over(self: Pin<&mut Self>) {
        let mut this = self.project();
        this.inner.set(None);
        if let Some(watch) = this.watch {
            watch.withholds = false;
        }
        *this.watch = None;
        *this.held = None;
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if self.held.is_some() {
            return self.poll_durable(cx);
        }
        if self.watch.is_some() {
            return self.poll_passing(cx);
        }
        let this = self.as_mut().project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(None);
        };
        let polled = inner.poll_frame(cx).map_err(Into::into);
        if let Some(exchange) = this.unrecorded {
            exchange.draft(|draft| {
                draft.response.parts.clear();
                draft.response.pending = 0;
            });
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let inner = || self.inner.as_ref().is_none_or(Body::is_end_stream);
        match self.held.as_deref() {
            Some(held) => match held.end {
                Some(Ok(())) => held.is_empty(),
                Some(Err(_)) => false,
                None => held.is_empty() && inner(),
            },
            None => inner(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let gone = || SizeHint::with_exact(0);
        let inner = self.inner.as_ref().map_or_else(gone, Body::size_hint);
        let waits = self.held.as_ref().map_or(0, |held| held.size());
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower() + waits);
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper + waits);
        }
        hint
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

    fn passed(&mut self, frame: &Frame<Bytes>) {
        let Some(data) = frame.data_ref() else {
            return;
        };
        self.sent += data.len() as u64;
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
        } else if self.withholds {
            // The answer may have come to its end, only the caller does not have it.
            let exchange = self.recording.exchange();
            exchange.draft(|draft| draft.outcome = Some(Outcome::ClientGone));
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
