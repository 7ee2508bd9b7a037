//! The copy of an answer that goes into the record.

use std::{collections::VecDeque, fmt};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use tollbook_exchange::{Code, Exchange, Masked, Outcome, Refusal, ResponseShape};
use tollbook_masking::{
    Masker,
    view::{BodyMasker, Decoder, Undecodable, ViewError},
};

use crate::{ReadAnswer, request::media_type, tools};

/// The largest answer that is read as one document before it passes.
pub(crate) const MAX_DOCUMENT: usize = 32 << 20;

/// What watches one answer.
pub(crate) struct Observer {
    pub(crate) masker: Masker,
    pub(crate) exchange: Option<Exchange>,
    pub(crate) reader: Box<dyn ReadAnswer>,
}

/// The copy of an answer that goes into the record.
pub(crate) struct Tee {
    exchange: Option<Exchange>,
    decoder: Decoder,
    masker: BodyMasker,
    reader: Option<Box<dyn ReadAnswer>>,
    kind: Kind,
    progress: Progress,
}

/// How far the record is behind what came.
#[derive(Default)]
struct Progress {
    /// Bytes that came.
    seen: u64,
    /// What they are without their coding.
    plain: u64,
    /// Both numbers, after each piece that is not wholly in the record.
    behind: VecDeque<(u64, u64)>,
    /// The bytes that are.
    settled: u64,
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
pub(crate) enum End {
    /// It came to its end.
    Reached,
    /// The upstream broke it off, or the gate did.
    Broken,
    /// The caller no longer takes it.
    Dropped,
}

/// The answer is not what its head says.
#[derive(Debug)]
pub(crate) struct Unreadable;

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
    pub(crate) fn new(
        observer: Observer,
        headers: &HeaderMap,
        sniffed: bool,
    ) -> Result<Self, Refusal> {
        let codings = headers.get_all(header::CONTENT_ENCODING).iter();
        let codings = codings.map(HeaderValue::as_bytes);
        let decoder = Decoder::new(codings, sniffed).map_err(|_| {
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
            progress: Progress::default(),
        })
    }

    /// Takes a whole JSON answer, if it is one.
    pub(crate) fn document(mut self, body: &[u8]) -> Result<(), Refusal> {
        let mut plain = Vec::new();
        let coded = !self.decoder.is_identity();
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
                .decode(body, &mut keep)
                .map_err(|_| unreadable())?;
            self.decoder.finish(&mut keep).map_err(|_| unreadable())?;
        }
        self.decoder = Decoder::identity();
        let plain = if coded { &plain[..] } else { body };
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(plain).is_ok();
        // What is no JSON is still recorded: someone has to find out what it was.
        let read = self.push(plain).and_then(|()| self.close(End::Reached));
        if is_json && read.is_ok() {
            Ok(())
        } else {
            Err(unreadable())
        }
    }

    /// Takes the next bytes as they came.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), Unreadable> {
        let Self {
            exchange,
            decoder,
            masker,
            reader,
            kind,
            progress,
        } = self;
        let read = decoder.decode(bytes, |plain| {
            progress.plain += plain.len() as u64;
            note(exchange.as_ref(), reader, *kind, masker.push(plain)?);
            readable(masker)
        });
        if read.is_ok() {
            progress.pushed(bytes.len(), masker.held());
            progress.tell(exchange.as_ref());
        }
        read
    }

    /// Ends the watching: whatever is held back is noted now, and what the answer said.
    pub(crate) fn close(&mut self, end: End) -> Result<(), Unreadable> {
        if self.reader.is_none() {
            return Ok(());
        }
        let Self {
            exchange,
            decoder,
            masker,
            reader,
            kind,
            progress,
        } = self;
        let read = if end == End::Reached {
            let decoded = decoder.finish(|plain| {
                note(exchange.as_ref(), reader, *kind, masker.push(plain)?);
                readable(masker)
            });
            masker.finish().map_err(Unreadable::from).and_then(|parts| {
                note(exchange.as_ref(), reader, *kind, parts);
                readable(masker)?;
                decoded
            })
        } else {
            note(exchange.as_ref(), reader, *kind, masker.abort());
            Ok(())
        };
        if end == End::Reached && read.is_ok() {
            progress.ended();
            progress.tell(exchange.as_ref());
        }
        let Some(reader) = self.reader.take() else {
            return read;
        };
        let (result, outcome) = reader.finish();
        if let Some(exchange) = &self.exchange {
            exchange.found(self.masker.found());
            let coverage = self.masker.coverage();
            exchange.draft(|draft| draft.response.coverage = coverage);
            // Read from masked parts only.
            tools::result(exchange, |all| all.extend(result));
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

    /// Takes a whole answer of any kind.
    pub(crate) fn whole(mut self, body: &[u8]) -> Result<(), Refusal> {
        let read = self.push(body).and_then(|()| self.close(End::Reached));
        read.map_err(|_| invalid("the upstream's answer cannot be read"))
    }

    /// Whether the answer turned out to be coded.
    pub(crate) const fn is_coded(&self) -> bool {
        self.decoder.is_coded()
    }

    /// The inner body failed.
    pub(crate) fn broken(&mut self, outcome: Outcome) {
        if let Some(exchange) = &self.exchange {
            exchange.conclude(outcome);
        }
        // The held rest is noted; that it is not a whole answer is what the outcome says.
        self.close(End::Broken).ok();
    }

    /// The gate cuts the answer off with this refusal.
    pub(crate) fn cut(&mut self, refusal: &Refusal) {
        if let Some(exchange) = &self.exchange {
            exchange.conclude(Outcome::PolicyCut);
            exchange.refused(refusal);
        }
        self.close(End::Broken).ok();
    }
}

impl Progress {
    /// So much more came, and of all that came so many last bytes, without their coding, are not in
    /// the record.
    fn pushed(&mut self, bytes: usize, held: Option<usize>) {
        self.seen += bytes as u64;
        if held == Some(0) {
            self.ended();
            return;
        }
        match self.behind.back_mut() {
            // A piece in which nothing of the text came belongs to the one before.
            Some((seen, plain)) if *plain == self.plain => *seen = self.seen,
            _ => self.behind.push_back((self.seen, self.plain)),
        }
        let Some(held) = held else {
            return;
        };
        let done = self.plain.saturating_sub(held as u64);
        while let Some((seen, _)) = self.behind.pop_front_if(|(_, plain)| *plain <= done) {
            self.settled = seen;
        }
    }

    /// All that came is in the record, as far as it may be kept.
    fn ended(&mut self) {
        self.settled = self.seen;
        self.behind.clear();
    }

    fn tell(&self, exchange: Option<&Exchange>) {
        if let Some(exchange) = exchange {
            exchange.draft(|draft| {
                draft.response.seen = self.seen;
                draft.response.settled = self.settled;
            });
        }
    }
}

pub(crate) fn invalid(message: &str) -> Refusal {
    Refusal::new(Code::UpstreamInvalid, message)
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

/// Refuses what came with a fault behind something good: the good part is noted by then, and the
/// rest would pass without a record.
const fn readable(masker: &BodyMasker) -> Result<(), Unreadable> {
    match masker.is_failed() {
        true => Err(Unreadable),
        false => Ok(()),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_back_is_not_settled() {
        let mut progress = Progress::default();
        // Coded: what comes and what it is without its coding have other lengths.
        for (bytes, plain, held, settled) in [
            (10, 100, Some(0), 10),
            (5, 50, Some(20), 10),
            // Longer than what came last: the piece before is not whole either.
            (5, 10, Some(30), 10),
            (5, 10, Some(10), 20),
            // An event passed without the end of its text.
            (5, 40, None, 20),
            (5, 40, Some(40), 30),
            (5, 0, Some(0), 40),
        ] {
            progress.plain += plain;
            progress.pushed(bytes, held);
            assert_eq!(progress.settled, settled, "{bytes} {plain} {held:?}");
        }
        progress.pushed(5, Some(7));
        progress.ended();
        assert_eq!((progress.seen, progress.settled), (45, 45));
    }
}
