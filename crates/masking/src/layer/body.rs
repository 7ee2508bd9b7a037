//! A response's body on its way back.

use std::{
    collections::VecDeque,
    fmt, mem,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use serde_json::json;
use tollbook_exchange::{Exchange, Masked, Operator, Outcome, ResponseShape};

use crate::{
    Masker, masked,
    masker::blocks,
    vault::{BodyRestorer, Restored},
    view::{BodyMasker, ViewError},
};

/// What ends a stream of events that cannot be masked on. The form is that of the Messages API.
const ERROR_EVENT: &[u8] =
    b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\
\"message\":\"the rest of the answer could not be masked and is withheld\"}}\n\n";

/// The key of the exchange's JSON form that tells what became of tokens.
const TOKENS: &str = "mask_tokens";

pin_project_lite::pin_project! {
    /// The inner service's body, masked where the layer is told to.
    pub struct ResponseBody<B: Body> {
        #[pin]
        body: B,
        work: Option<Box<Work<B::Error>>>,
    }
}

/// The state of a body that is changed.
struct Work<E> {
    mask: Option<(Masker, BodyMasker)>,
    /// Whether a rule of the masker lets nothing pass.
    blocks: bool,
    restore: Option<BodyRestorer>,
    /// What became of the tokens, once that is known.
    restored: Restored,
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

    pub(super) fn changed(
        body: B,
        mask: Option<(Masker, BodyMasker)>,
        restore: Option<BodyRestorer>,
        exchange: Option<Exchange>,
    ) -> Self {
        let blocks = |(masker, _): &(Masker, BodyMasker)| masker.uses(Operator::Block);
        let work = Work {
            blocks: mask.as_ref().is_some_and(blocks),
            mask,
            restore,
            restored: Restored::default(),
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
                    Ok(data) => work.push(data),
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
    fn push(&mut self, data: Bytes) {
        match &mut self.mask {
            None => self.give(data),
            Some((_, view)) => {
                let pushed = view.push(&data);
                self.take(pushed);
            }
        }
        if !self.done && self.blocks && self.is_blocked() {
            self.cut();
        }
    }

    fn take(&mut self, parts: Result<Vec<Masked<Bytes>>, ViewError>) {
        match parts {
            Ok(parts) => {
                for part in parts {
                    self.give(part.into_inner());
                }
            }
            Err(_) => self.cut(),
        }
    }

    fn give(&mut self, part: Bytes) {
        match &mut self.restore {
            None => self.ready.push_back(part),
            Some(restore) => self.ready.extend(restore.push(part)),
        }
    }

    fn is_blocked(&self) -> bool {
        let view = self.mask.as_ref();
        view.is_some_and(|(_, view)| blocks(&view.found()))
    }

    fn is_events(&self) -> bool {
        let view = self.mask.as_ref();
        view.is_some_and(|(_, view)| view.shape() == ResponseShape::Events)
    }

    /// The body broke off. What may be the beginning of a secret stays back.
    fn abort(&mut self) {
        if let Some((_, view)) = &mut self.mask {
            let rest = view.abort();
            self.take(Ok(rest));
        }
        self.end();
    }

    /// The body came to its end.
    fn finish(&mut self) {
        if let Some((_, view)) = &mut self.mask {
            let finished = view.finish();
            // A document comes out whole or not at all.
            if self.blocks && self.is_blocked() {
                return self.cut();
            }
            self.take(finished);
        }
        let is_scanned = |(_, view): &(Masker, BodyMasker)| view.coverage().uninspected == 0;
        // An event without its end is none: readers drop it too. Of any other body it is the rest.
        let is_whole = self.is_events() || self.mask.as_ref().is_none_or(is_scanned);
        if !self.done && !is_whole {
            self.cut();
        }
        self.mask_trailers();
        self.end();
    }

    /// The rest cannot be masked or may not pass, so there is none.
    fn cut(&mut self) {
        self.flush();
        if self.is_events() {
            self.ready.push_back(Bytes::from_static(ERROR_EVENT));
        }
        if let Some(exchange) = &self.exchange {
            exchange.conclude(Outcome::PolicyCut);
        }
        self.trailers = None;
        self.end();
    }

    fn end(&mut self) {
        if self.done {
            return;
        }
        self.flush();
        self.note();
        self.done = true;
    }

    /// What waits to be restored.
    fn flush(&mut self) {
        if let Some(mut restore) = self.restore.take() {
            self.ready.extend(restore.finish());
            self.restored = restore.counts();
        }
    }

    /// Notes once what was done.
    fn note(&mut self) {
        let Some(exchange) = self.exchange.take() else {
            return;
        };
        if let Some((_, view)) = &self.mask {
            exchange.found(view.found());
        }
        if self.restored != Restored::default() {
            exchange.draft(|draft| {
                let mut result = mem::take(&mut draft.result).into_inner();
                let Restored {
                    restored,
                    withheld,
                    unknown,
                } = self.restored;
                let told = json!({
                    "restored": restored, "withheld": withheld, "unknown": unknown,
                });
                result.insert(TOKENS.to_owned(), told);
                draft.result = masked(result);
            });
        }
    }

    fn mask_trailers(&mut self) {
        let (Some((masker, _)), Some(trailers)) = (&self.mask, &mut self.trailers) else {
            return;
        };
        for value in trailers.values_mut() {
            let scan = masker.mask(value.as_bytes());
            if !scan.matches.is_empty() {
                *value = HeaderValue::from_bytes(scan.masked.as_inner())
                    .unwrap_or_else(|_| HeaderValue::from_static(""));
            }
        }
    }
}

/// Clients hang up as soon as they have what they want.
impl<E> Drop for Work<E> {
    fn drop(&mut self) {
        if let Some(restore) = &self.restore {
            self.restored = restore.counts();
        }
        self.note();
    }
}

impl<B: Body + fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("body", &self.body)
            .field("changed", &self.work.is_some())
            .finish_non_exhaustive()
    }
}
