//! Watching an answer while it passes.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tollbook_exchange::{Outcome, Refusal, http::Cut};

use crate::{
    Answers, CallsError,
    gate::{Gate, Next},
    request::media_type,
    tee::{End, MAX_DOCUMENT, Observer, Tee, invalid},
    tools::{Asker, unreadable},
};

type BoxError = Box<dyn Error + Send + Sync>;

/// Puts the observer into the path of the answer.
///
/// An event stream, and whatever is not JSON, passes as it comes. A JSON answer passes when it has
/// been read to its end: only then is it known that it is one. Where an `asker` has questions about
/// the calls in an answer, it passes when they are answered.
pub(crate) async fn observe<B>(
    response: Response<B>,
    answers: Answers,
    observer: Observer,
    asker: Option<Asker>,
) -> Result<Response<AnswerBody<B>>, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    if response.extensions().get::<Refusal>().is_some() {
        return Ok(response.map(AnswerBody::unobserved));
    }
    let (mut head, body) = response.into_parts();
    let media_type = media_type(&head.headers);
    let success = head.status.is_success();
    let json = media_type.is_some_and(|given| given.eq_ignore_ascii_case("application/json"));
    let events = media_type.is_some_and(|given| given.eq_ignore_ascii_case("text/event-stream"));
    let empty = head.status == StatusCode::NO_CONTENT || body.is_end_stream();
    if success && answers == Answers::Json && !json && !events && !empty {
        return Err(invalid(
            "the upstream's answer is of no type that this operation has",
        ));
    }
    let asker = asker.filter(|_| success && !empty);
    if asker.is_some() && is_encoded(&head.headers) {
        let message = "the upstream's answer has a content-encoding in which no call can be judged";
        return Err(invalid(message).because("response_encoded"));
    }
    let mut tee = Tee::new(observer, &head.headers, answers == Answers::Json)?;
    if empty {
        // Nobody polls for the end of nothing.
        tee.close(End::Reached).ok();
        return Ok(Response::from_parts(head, AnswerBody::unobserved(body)));
    }
    let body = match asker {
        Some(asker) if events => {
            // What is refused is missing, and a sign of life is more.
            head.headers.remove(header::CONTENT_LENGTH);
            AnswerBody::gated(body, tee, Gate::new(asker))
        }
        None if !(success && json && answers == Answers::Json) => AnswerBody::streamed(body, tee),
        asker => {
            let document = match read_document(body).await {
                Ok(document) => document,
                Err((outcome, refusal)) => {
                    tee.broken(outcome);
                    return Err(refusal);
                }
            };
            if answers == Answers::Json {
                tee.document(&document)?;
            } else {
                tee.whole(&document)?;
            }
            if let Some(asker) = asker {
                asker.document(&document).await?;
            }
            AnswerBody::whole(document)
        }
    };
    Ok(Response::from_parts(head, body))
}

/// The whole answer; or how it ended instead, and what to tell the caller.
async fn read_document<B>(body: B) -> Result<Bytes, (Outcome, Refusal)>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    match http_body_util::Limited::new(body, MAX_DOCUMENT)
        .collect()
        .await
    {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err((
            Outcome::UpstreamError,
            invalid("the upstream's answer is larger than the gateway reads"),
        )),
        Err(_) => Err((
            Outcome::UpstreamReset,
            invalid("the upstream's answer broke off").because("upstream_reset"),
        )),
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    codings.any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

pin_project_lite::pin_project! {
    /// An answer that is watched while it passes.
    #[derive(Debug)]
    pub struct AnswerBody<B> {
        #[pin]
        inner: Option<B>,
        whole: Option<Bytes>,
        gate: Option<Box<Gate>>,
        tee: Option<Tee>,
        trailers: Option<HeaderMap>,
    }
}

impl<B> AnswerBody<B> {
    const fn unobserved(inner: B) -> Self {
        Self {
            inner: Some(inner),
            whole: None,
            gate: None,
            tee: None,
            trailers: None,
        }
    }

    const fn streamed(inner: B, tee: Tee) -> Self {
        Self {
            inner: Some(inner),
            whole: None,
            gate: None,
            tee: Some(tee),
            trailers: None,
        }
    }

    fn gated(inner: B, tee: Tee, gate: Gate) -> Self {
        Self {
            inner: Some(inner),
            whole: None,
            gate: Some(Box::new(gate)),
            tee: Some(tee),
            trailers: None,
        }
    }

    const fn whole(body: Bytes) -> Self {
        Self {
            inner: None,
            whole: Some(body),
            gate: None,
            tee: None,
            trailers: None,
        }
    }
}

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

impl<B> AnswerBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// Passes what comes, as it comes.
    fn poll_streamed(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let mut this = self.as_mut().project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = match ready!(inner.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => Some(frame),
            Some(Err(error)) => return self.broken(error.into()),
            None => None,
        };
        // Whoever knows the length of an answer does not poll for its end, nor behind its trailers.
        let trailers = frame.as_ref().is_some_and(Frame::is_trailers);
        let ended = frame.is_none() || trailers || inner.is_end_stream();
        if let Some(tee) = this.tee.as_mut() {
            let data = frame.as_ref().and_then(Frame::data_ref);
            let mut read = data.map_or(Ok(()), |data| tee.push(data));
            if ended {
                read = read.and_then(|()| tee.close(End::Reached));
            }
            if read.is_err() {
                return self.cut(unreadable(CallsError::Unreadable));
            }
        }
        if ended {
            *this.tee = None;
        }
        Poll::Ready(frame.map(Ok))
    }

    /// Passes what comes, except for calls that have not been judged.
    fn poll_gated(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        loop {
            let mut this = self.as_mut().project();
            let (Some(gate), Some(tee)) = (this.gate.as_mut(), this.tee.as_mut()) else {
                let trailers = this.trailers.take();
                return Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))));
            };
            match ready!(gate.poll_next(cx, tee)) {
                Next::Pass(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Next::Cut(refusal) => return self.cut(refusal),
                Next::Done => {
                    if tee.close(End::Reached).is_err() {
                        return self.cut(unreadable(CallsError::Unreadable));
                    }
                    *this.gate = None;
                    *this.tee = None;
                    this.inner.set(None);
                    continue;
                }
                Next::Read => {}
            }
            let polled = match this.inner.as_mut().as_pin_mut() {
                Some(inner) => inner.poll_frame(cx),
                None => Poll::Ready(None),
            };
            match polled {
                Poll::Pending => {
                    let ping = gate.poll_quiet(cx);
                    return ping.map(|ping| Some(Ok(Frame::data(ping))));
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => gate.push(&data),
                    Err(frame) => {
                        *this.trailers = frame.into_trailers().ok();
                        gate.end();
                    }
                },
                Poll::Ready(Some(Err(error))) => return self.broken(error.into()),
                Poll::Ready(None) => gate.end(),
            }
        }
    }

    /// The inner body failed.
    fn broken(self: Pin<&mut Self>, error: BoxError) -> Polled {
        let mut this = self.project();
        if let Some(tee) = this.tee.as_mut() {
            match Cut::of(&*error) {
                // A layer inside has cut the answer off; the upstream is not to blame.
                Some(refusal) => tee.cut(refusal),
                None => tee.broken(Outcome::UpstreamReset),
            }
        }
        *this.gate = None;
        *this.tee = None;
        this.inner.set(None);
        Poll::Ready(Some(Err(BodyError::Inner(error))))
    }

    /// The gate ends the answer.
    fn cut(self: Pin<&mut Self>, refusal: Refusal) -> Polled {
        let mut this = self.project();
        if let Some(tee) = this.tee.as_mut() {
            tee.cut(&refusal);
        }
        *this.gate = None;
        *this.tee = None;
        this.inner.set(None);
        Poll::Ready(Some(Err(BodyError::Cut(Cut(refusal)))))
    }
}

impl<B> Body for AnswerBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = self.as_mut().project();
        if let Some(whole) = this.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        if this.gate.is_some() || this.trailers.is_some() {
            self.poll_gated(cx)
        } else {
            self.poll_streamed(cx)
        }
    }

    fn is_end_stream(&self) -> bool {
        // While an observer is there, it has a last word to note.
        let ended = self.tee.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream);
        self.whole.is_none() && self.trailers.is_none() && ended
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.whole, &self.inner) {
            (Some(whole), _) => SizeHint::with_exact(whole.len() as u64),
            (None, Some(_)) if self.gate.is_some() => SizeHint::default(),
            (None, Some(inner)) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
        }
    }
}

/// Why an answer broke off.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError {
    /// The inner body failed.
    Inner(BoxError),
    /// The gate ended the answer: it cannot be read, so it cannot be recorded; or a tool call in it
    /// may not pass.
    Cut(Cut),
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner(_) => "the upstream's answer broke off",
            Self::Cut(_) => "the gateway ended the answer",
        })
    }
}

impl Error for BodyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(match self {
            Self::Inner(error) => &**error,
            Self::Cut(cut) => cut,
        })
    }
}
