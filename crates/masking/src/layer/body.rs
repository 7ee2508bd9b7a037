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
use tollbook_exchange::{
    Code, Exchange, Finding, Masked, Operator, Outcome, Refusal, ResponseShape, http::Cut,
};

use super::BoxError;
use crate::{
    Masker, masked,
    vault::{BodyRestorer, Restored},
    view::{BodyMasker, Decoder, Undecodable, ViewError},
};

/// The key of the exchange's JSON form that tells what became of tokens.
const TOKENS: &str = "mask_tokens";

pin_project_lite::pin_project! {
    /// The inner service's body, masked where the layer is told to.
    ///
    /// What cannot be masked on, or may not pass, ends with [`Cut`] as the body's error.
    pub struct ResponseBody<B> {
        #[pin]
        body: Option<B>,
        work: Option<Box<Work>>,
    }
}

/// The state of a body that is changed.
pub(super) struct Work {
    decoder: Decoder,
    mask: Option<(Masker, BodyMasker)>,
    /// Whether a rule of the masker lets nothing pass.
    blocks: bool,
    restore: Option<BodyRestorer>,
    /// What became of the tokens, once that is known.
    restored: Restored,
    exchange: Option<Exchange>,
    ready: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    error: Option<BoxError>,
    done: bool,
    /// It comes in one piece, and nothing of it has passed.
    is_whole: bool,
}

impl<B> ResponseBody<B> {
    pub(super) const fn as_is(body: B) -> Self {
        Self {
            body: Some(body),
            work: None,
        }
    }

    /// What is changed as it comes.
    pub(super) fn changed(body: B, work: Work) -> Self {
        Self {
            body: Some(body),
            work: Some(Box::new(work)),
        }
    }

    /// What was changed as a whole.
    pub(super) fn whole(work: Work) -> Self {
        Self {
            body: None,
            work: Some(Box::new(work)),
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
        let Some(work) = this.work else {
            return match this.body.as_pin_mut() {
                Some(body) => body.poll_frame(cx).map_err(Into::into),
                None => Poll::Ready(None),
            };
        };
        loop {
            if let Some(bytes) = work.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if work.done {
                // What cannot be masked on is not read on either.
                this.body.set(None);
                let trailers = work
                    .trailers
                    .take()
                    .map(|trailers| Ok(Frame::trailers(trailers)));
                return Poll::Ready(trailers.or_else(|| work.error.take().map(Err)));
            }
            let Some(body) = this.body.as_mut().as_pin_mut() else {
                work.finish();
                continue;
            };
            match ready!(body.poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => work.push(data),
                    Err(frame) => {
                        work.trailers = frame.into_trailers().ok();
                        work.finish();
                    }
                },
                Some(Err(error)) => {
                    work.abort();
                    work.error = Some(error.into());
                }
                None => work.finish(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.work {
            None => self.body.as_ref().is_none_or(Body::is_end_stream),
            Some(work) => {
                work.done
                    && work.ready.is_empty()
                    && work.trailers.is_none()
                    && work.error.is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.work, &self.body) {
            (None, Some(body)) => body.size_hint(),
            (Some(work), _) if work.done && work.error.is_none() => {
                SizeHint::with_exact(work.ready.iter().map(|part| part.len() as u64).sum())
            }
            _ => SizeHint::default(),
        }
    }
}

impl Work {
    pub(super) fn new(
        decoder: Decoder,
        mask: Option<(Masker, BodyMasker)>,
        restore: Option<BodyRestorer>,
        exchange: Option<Exchange>,
    ) -> Self {
        let blocks = |(masker, _): &(Masker, BodyMasker)| masker.uses(Operator::Block);
        Self {
            decoder,
            blocks: mask.as_ref().is_some_and(blocks),
            mask,
            restore,
            restored: Restored::default(),
            exchange,
            ready: VecDeque::new(),
            trailers: None,
            error: None,
            done: false,
            is_whole: false,
        }
    }

    /// Takes all of a body that came whole.
    ///
    /// # Errors
    ///
    /// Instead of a body that would end with it.
    pub(super) fn take_whole(
        &mut self,
        body: Bytes,
        trailers: Option<HeaderMap>,
    ) -> Result<(), Refusal> {
        self.is_whole = true;
        self.trailers = trailers;
        self.push(body);
        if !self.done {
            self.finish();
        }
        let error = self.error.take();
        let refusal = error.as_deref().and_then(|error| Cut::of(error)).cloned();
        refusal.map_or(Ok(()), Err)
    }

    fn push(&mut self, data: Bytes) {
        if self.decoder.is_identity() {
            self.plain(data);
        } else {
            let mut decoder = mem::replace(&mut self.decoder, Decoder::identity());
            let decoded = decoder.decode(&data, |plain| {
                self.plain(Bytes::copy_from_slice(plain));
                Ok::<_, Undecodable>(())
            });
            self.decoder = decoder;
            if decoded.is_err() {
                self.cut(unmaskable());
            }
        }
        if let Some(refusal) = self.blocked() {
            self.cut(refusal);
        }
    }

    fn plain(&mut self, data: Bytes) {
        if self.done || data.is_empty() {
            return;
        }
        match &mut self.mask {
            None => self.give(data),
            Some((_, view)) => {
                let pushed = view.push(&data);
                self.take(pushed);
            }
        }
    }

    fn take(&mut self, parts: Result<Vec<Masked<Bytes>>, ViewError>) {
        match parts {
            Ok(parts) => {
                for part in parts {
                    self.give(part.into_inner());
                }
            }
            Err(_) => self.cut(unmaskable()),
        }
    }

    fn give(&mut self, part: Bytes) {
        match &mut self.restore {
            None => self.ready.push_back(part),
            Some(restore) => self.ready.extend(restore.push(part)),
        }
    }

    /// Why it may not pass on, if something was found that lets nothing pass.
    fn blocked(&self) -> Option<Refusal> {
        let (_, view) = self.mask.as_ref().filter(|_| self.blocks)?;
        view.is_blocked().then(|| Finding::blocked(&view.found()))?
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
        let mut decoder = mem::replace(&mut self.decoder, Decoder::identity());
        let decoded = decoder.finish(|plain| {
            self.plain(Bytes::copy_from_slice(plain));
            Ok::<_, Undecodable>(())
        });
        if decoded.is_err() {
            return self.cut(unmaskable());
        }
        if let Some((_, view)) = &mut self.mask
            && !self.done
        {
            let finished = view.finish();
            // What ends here is not given out before it is known to be allowed.
            if let Some(refusal) = self.blocked() {
                return self.cut(refusal);
            }
            self.take(finished);
        }
        let is_scanned = |(_, view): &(Masker, BodyMasker)| view.coverage().uninspected == 0;
        // An event without its end is none: readers drop it too. Of any other body it is the rest.
        let is_whole = self.is_events() || self.mask.as_ref().is_none_or(is_scanned);
        if !is_whole {
            self.cut(unmaskable());
        }
        self.mask_trailers();
        self.end();
    }

    /// The rest cannot be masked or may not pass, so there is none.
    fn cut(&mut self, refusal: Refusal) {
        if self.done {
            return;
        }
        self.flush();
        if let Some(exchange) = &self.exchange {
            exchange.draft(|draft| {
                // Whoever reads answers further in has seen the end of this one.
                if matches!(draft.outcome, None | Some(Outcome::Complete)) {
                    draft.outcome = (!self.is_whole).then_some(Outcome::PolicyCut);
                }
            });
            exchange.refused(&refusal);
        }
        self.trailers = None;
        self.error = Some(Cut(refusal).into());
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

fn unmaskable() -> Refusal {
    let message = "the rest of the answer could not be masked and is withheld";
    Refusal::new(Code::UpstreamInvalid, message).because("unmaskable")
}

/// Clients hang up as soon as they have what they want.
impl Drop for Work {
    fn drop(&mut self) {
        if let Some(restore) = &self.restore {
            self.restored = restore.counts();
        }
        self.note();
    }
}

impl<B: fmt::Debug> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("body", &self.body)
            .field("changed", &self.work.is_some())
            .finish_non_exhaustive()
    }
}
