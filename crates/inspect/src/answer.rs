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
use tollbook_exchange::{Code, Exchange, Masked, Outcome, Refusal, ResponseShape};
use tollbook_masking::{
    Masker,
    view::{BodyMasker, ViewError},
};

use crate::{
    Answers, ReadAnswer,
    decode::{Decoder, Undecodable},
    request::media_type,
};

/// The largest answer that is read as one document before it passes.
const MAX_DOCUMENT: usize = 32 << 20;

/// What watches one answer.
pub(crate) struct Observer {
    pub(crate) masker: Masker,
    pub(crate) exchange: Option<Exchange>,
    pub(crate) reader: Box<dyn ReadAnswer>,
}

/// Puts the observer into the path of the answer.
///
/// An event stream, and whatever is not JSON, passes as it comes. A JSON answer passes when it has
/// been read to its end: only then is it known that it is one.
pub(crate) async fn observe<B>(
    response: Response<B>,
    answers: Answers,
    observer: Observer,
) -> Result<Response<AnswerBody<B>>, Refusal>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    if response.extensions().get::<Refusal>().is_some() {
        return Ok(response.map(AnswerBody::unobserved));
    }
    let (head, body) = response.into_parts();
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
    let mut tee = Tee::new(observer, &head.headers, answers == Answers::Json)?;
    if empty {
        // Nobody polls for the end of nothing.
        tee.close(End::Reached).ok();
        return Ok(Response::from_parts(head, AnswerBody::unobserved(body)));
    }
    if !(success && json && answers == Answers::Json) {
        let body = AnswerBody::streamed(body, tee);
        return Ok(Response::from_parts(head, body));
    }
    let document = match read_document(body).await {
        Ok(document) => tee.document(document)?,
        Err((outcome, refusal)) => {
            tee.broken(outcome);
            return Err(refusal);
        }
    };
    Ok(Response::from_parts(head, AnswerBody::whole(document)))
}

/// The whole answer; or how it ended instead, and what to tell the caller.
async fn read_document<B>(body: B) -> Result<Bytes, (Outcome, Refusal)>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
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

fn invalid(message: &str) -> Refusal {
    Refusal::new(Code::UpstreamInvalid, message)
}

pin_project_lite::pin_project! {
    /// An answer that is watched while it passes.
    #[derive(Debug)]
    pub struct AnswerBody<B> {
        #[pin]
        inner: Option<B>,
        whole: Option<Bytes>,
        tee: Option<Tee>,
    }
}

impl<B> AnswerBody<B> {
    const fn unobserved(inner: B) -> Self {
        Self {
            inner: Some(inner),
            whole: None,
            tee: None,
        }
    }

    const fn streamed(inner: B, tee: Tee) -> Self {
        Self {
            inner: Some(inner),
            whole: None,
            tee: Some(tee),
        }
    }

    const fn whole(body: Bytes) -> Self {
        Self {
            inner: None,
            whole: Some(body),
            tee: None,
        }
    }
}

impl<B: Body<Data = Bytes>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = BodyError<B::Error>;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let mut this = self.project();
        if let Some(whole) = this.whole.take() {
            return Poll::Ready(Some(Ok(Frame::data(whole))));
        }
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let frame = ready!(inner.as_mut().poll_frame(cx));
        // Whoever knows the length of an answer does not poll for its end, nor behind its trailers.
        let trailers = matches!(&frame, Some(Ok(frame)) if frame.is_trailers());
        let ended = trailers || inner.is_end_stream();
        let Some(tee) = this.tee.as_mut() else {
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::Inner)));
        };
        let cut = match &frame {
            Some(Ok(frame)) => frame
                .data_ref()
                .map_or(Ok(()), |data| tee.push(data))
                .and_then(|()| {
                    if ended {
                        tee.close(End::Reached)
                    } else {
                        Ok(())
                    }
                }),
            Some(Err(_)) => {
                tee.broken(Outcome::UpstreamReset);
                Ok(())
            }
            None => tee.close(End::Reached),
        };
        Poll::Ready(match (cut, frame) {
            (Ok(()), frame) => {
                if ended {
                    *this.tee = None;
                }
                frame.map(|frame| frame.map_err(BodyError::Inner))
            }
            (Err(Unreadable), _) => {
                let last = tee.cut();
                this.inner.set(None);
                *this.tee = None;
                Some(last.map(Frame::data).ok_or(BodyError::Unreadable))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        // While an observer is there, it has a last word to note.
        let ended = self.tee.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream);
        self.whole.is_none() && ended
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.whole, &self.inner) {
            (Some(whole), _) => SizeHint::with_exact(whole.len() as u64),
            (None, Some(inner)) => inner.size_hint(),
            (None, None) => SizeHint::with_exact(0),
        }
    }
}

/// Why an answer broke off.
#[derive(Debug)]
#[non_exhaustive]
pub enum BodyError<E> {
    /// The inner body failed.
    Inner(E),
    /// The answer cannot be read, so it cannot be recorded, so it does not pass.
    Unreadable,
}

impl<E> fmt::Display for BodyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Inner(_) => "the upstream's answer broke off",
            Self::Unreadable => "the upstream's answer cannot be read",
        })
    }
}

impl<E: fmt::Debug> Error for BodyError<E> {}

/// The copy of an answer that goes into the record.
struct Tee {
    exchange: Option<Exchange>,
    decoder: Decoder,
    masker: BodyMasker,
    reader: Option<Box<dyn ReadAnswer>>,
    kind: Kind,
}

/// What the reader is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Each part is an event.
    Events,
    /// The one part is a document.
    Document,
    /// Parts that the protocol gives no meaning.
    Opaque,
}

/// How watching an answer ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// It came to its end.
    Reached,
    /// The upstream broke it off, or the gate did.
    Broken,
    /// The caller no longer takes it.
    Dropped,
}

/// The answer is not what its head says.
struct Unreadable;

impl From<ViewError> for Unreadable {
    fn from(_: ViewError) -> Self {
        Self
    }
}

impl From<Undecodable> for Unreadable {
    fn from(_: Undecodable) -> Self {
        Self
    }
}

impl Tee {
    fn new(observer: Observer, headers: &HeaderMap, sniffed: bool) -> Result<Self, Refusal> {
        let decoder = Decoder::new(headers, sniffed).map_err(|_| {
            invalid("the upstream's answer has a content-encoding that cannot be recorded")
        })?;
        let content_type = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok());
        let masker = BodyMasker::new(&observer.masker, content_type, "response.body");
        let json =
            media_type(headers).is_some_and(|given| given.eq_ignore_ascii_case("application/json"));
        let kind = match masker.shape() {
            ResponseShape::Events => Kind::Events,
            _ if json => Kind::Document,
            _ => Kind::Opaque,
        };
        if let Some(exchange) = &observer.exchange {
            exchange.draft(|draft| draft.response.shape = masker.shape());
        }
        Ok(Self {
            exchange: observer.exchange,
            decoder,
            masker,
            reader: Some(observer.reader),
            kind,
        })
    }

    /// Takes a whole JSON answer and gives it back if it is one.
    fn document(mut self, body: Bytes) -> Result<Bytes, Refusal> {
        let mut plain = Vec::new();
        let coded = !matches!(self.decoder, Decoder::Identity);
        let exchange = self.exchange.clone();
        // Said before the watching ends here: whoever is at fault, it is not the caller.
        let unreadable = || {
            if let Some(exchange) = &exchange {
                exchange.conclude(Outcome::UpstreamError);
            }
            invalid("the upstream's answer is no JSON")
        };
        if coded {
            let mut keep = |piece: &[u8]| {
                if plain.len() + piece.len() > MAX_DOCUMENT {
                    return Err(Unreadable);
                }
                plain.extend_from_slice(piece);
                Ok(())
            };
            self.decoder
                .decode(&body, &mut keep)
                .map_err(|_| unreadable())?;
            self.decoder.finish(&mut keep).map_err(|_| unreadable())?;
        }
        self.decoder = Decoder::Identity;
        let plain = if coded { &plain[..] } else { &body[..] };
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(plain).is_ok();
        // What is no JSON is still recorded: someone has to find out what it was.
        let read = self.push(plain).and_then(|()| self.close(End::Reached));
        if is_json && read.is_ok() {
            Ok(body)
        } else {
            Err(unreadable())
        }
    }

    /// Takes the next bytes as they came.
    fn push(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let Self {
            exchange,
            decoder,
            masker,
            reader,
            kind,
        } = self;
        decoder.decode(bytes, |plain| {
            note(exchange.as_ref(), reader, *kind, masker.push(plain)?);
            Ok(())
        })
    }

    /// Ends the watching: whatever is held back is noted now, and what the answer said.
    fn close(&mut self, end: End) -> Result<(), Unreadable> {
        if self.reader.is_none() {
            return Ok(());
        }
        let Self {
            exchange,
            decoder,
            masker,
            reader,
            kind,
        } = self;
        let read = if end == End::Reached {
            let decoded = decoder.finish(|plain| {
                note(exchange.as_ref(), reader, *kind, masker.push(plain)?);
                Ok::<_, Unreadable>(())
            });
            masker.finish().map_err(Unreadable::from).and_then(|parts| {
                note(exchange.as_ref(), reader, *kind, parts);
                decoded
            })
        } else {
            note(exchange.as_ref(), reader, *kind, masker.abort());
            Ok(())
        };
        let Some(reader) = self.reader.take() else {
            return read;
        };
        let (result, outcome) = reader.finish();
        if let Some(exchange) = &self.exchange {
            exchange.found(self.masker.found());
            let coverage = self.masker.coverage();
            exchange.draft(|draft| {
                draft.response.coverage = coverage;
                #[expect(clippy::disallowed_methods, reason = "read from masked parts only")]
                let result = Masked::assume_masked(result);
                draft.result = result;
            });
            match (end, outcome) {
                (End::Reached, Some(outcome)) if read.is_ok() => exchange.conclude(outcome),
                // Clients hang up as soon as they have the last event; that is a proper end too.
                (End::Dropped, Some(said @ (Outcome::Complete | Outcome::ErrorEvent))) => {
                    exchange.conclude(said);
                }
                (End::Dropped, _) => exchange.conclude(Outcome::ClientGone),
                _ => {}
            }
        }
        read
    }

    /// The inner body failed.
    fn broken(&mut self, outcome: Outcome) {
        if let Some(exchange) = &self.exchange {
            exchange.conclude(outcome);
        }
        // The held rest is noted; that it is not a whole answer is what the outcome says.
        self.close(End::Broken).ok();
    }

    /// The gate cuts the answer off. The last bytes for the caller, where the protocol has some.
    fn cut(&mut self) -> Option<Bytes> {
        if let Some(exchange) = &self.exchange {
            exchange.conclude(Outcome::PolicyCut);
        }
        self.close(End::Broken).ok();
        let id = self
            .exchange
            .as_ref()
            .map(|exchange| exchange.id().to_string());
        (self.kind == Kind::Events).then(|| {
            let message = "the gateway cannot read the upstream's answer and ends it here";
            tollbook_wire_messages::error::event(502, message, id.as_deref().unwrap_or("")).into()
        })
    }
}

impl Drop for Tee {
    fn drop(&mut self) {
        self.close(End::Dropped).ok();
    }
}

impl fmt::Debug for Tee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tee")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

fn note(
    exchange: Option<&Exchange>,
    reader: &mut Option<Box<dyn ReadAnswer>>,
    kind: Kind,
    parts: Vec<Masked<Bytes>>,
) {
    for part in parts {
        match (kind, &mut *reader) {
            (Kind::Events, Some(reader)) => {
                reader.event(&tollbook_sse::Frame::from_bytes(part.as_inner().clone()));
            }
            (Kind::Document, Some(reader)) => reader.document(part.as_inner()),
            _ => {}
        }
        if let Some(exchange) = exchange {
            exchange.answered(part);
        }
    }
}
