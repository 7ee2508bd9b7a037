//! A response's body on its way back.

use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use tollbook_exchange::{Exchange, Masked, Outcome, ResponseShape};

use crate::view::{BodyMasker, ViewError};

/// What ends a stream of events that cannot be masked on. The form is that of the Messages API.
const ERROR_EVENT: &[u8] =
    b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\
\"message\":\"the rest of the answer could not be masked and is withheld\"}}\n\n";

pin_project_lite::pin_project! {
    /// The inner service's body, masked where the layer is told to.
    pub struct ResponseBody<B: Body> {
        #[pin]
        body: B,
        work: Option<Box<Work<B::Error>>>,
    }
}

/// The state of a body that is masked.
struct Work<E> {
    view: BodyMasker,
    exchange: Option<Exchange>,
    ready: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    error: Option<E>,
    done: bool,
}

impl<B: Body> ResponseBody<B> {
    pub(super) const fn as_is(body: B) -> Self {
        Self { body, work: None }
    }

    pub(super) fn masked(body: B, view: BodyMasker, exchange: Option<Exchange>) -> Self {
        let work = Work {
            view,
            exchange,
            ready: VecDeque::new(),
            trailers: None,
            error: None,
            done: false,
        };
        Self {
            body,
            work: Some(Box::new(work)),
        }
    }
}

impl<B: Body<Data = Bytes>> Body for ResponseBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(work) = this.work else {
            return this.body.poll_frame(cx);
        };
        loop {
            if let Some(bytes) = work.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if work.done {
                let trailers = work
                    .trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(trailers)));
                return Poll::Ready(trailers.or_else(|| work.error.take().map(Err)));
            }
            match ready!(this.body.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        let pushed = work.view.push(&data);
                        work.take(pushed);
                    }
                    Err(frame) => {
                        work.trailers = frame.into_trailers().ok();
                        work.finish();
                    }
                },
                Some(Err(error)) => {
                    work.abort();
                    work.error = Some(error);
                }
                None => work.finish(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.work {
            None => self.body.is_end_stream(),
            Some(work) => {
                work.done
                    && work.ready.is_empty()
                    && work.trailers.is_none()
                    && work.error.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.work {
            None => self.body.size_hint(),
            Some(_) => SizeHint::default(),
        }
    }
}

impl<E> Work<E> {
    fn take(&mut self, parts: Result<Vec<Masked<Bytes>>, ViewError>) {
        match parts {
            Ok(parts) => self.ready.extend(parts.into_iter().map(Masked::into_inner)),
            Err(_) => self.cut(),
        }
    }

    /// The body broke off. What may be the beginning of a secret stays back.
    fn abort(&mut self) {
        let rest = self.view.abort();
        self.take(Ok(rest));
        self.end();
    }

    /// The body came to its end.
    fn finish(&mut self) {
        let finished = self.view.finish();
        self.take(finished);
        // An event without its end is none: readers drop it too. Of any other body it is the rest.
        let is_whole =
            self.view.shape() == ResponseShape::Events || self.view.coverage().uninspected == 0;
        if !self.done && !is_whole {
            self.cut();
        }
        self.end();
    }

    /// The rest cannot be masked, so there is none.
    fn cut(&mut self) {
        if self.view.shape() == ResponseShape::Events {
            self.ready.push_back(Bytes::from_static(ERROR_EVENT));
        }
        if let Some(exchange) = &self.exchange {
            exchange.conclude(Outcome::PolicyCut);
        }
        self.end();
    }

    fn end(&mut self) {
        if !self.done
            && let Some(exchange) = &self.exchange
        {
            exchange.found(self.view.found());
        }
        self.done = true;
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("body", &self.body)
            .field("masked", &self.work.is_some())
            .finish_non_exhaustive()
    }
}
