//! A body that comes in pieces.

use bytes::Bytes;
use tollbook_exchange::{Coverage, Finding, Findings, Gap, Masked, Operator, ResponseShape};

use crate::{
    MaskStream, Masker,
    json::{self, Found, JsonStream},
    masked,
    view::{
        events::Events,
        form,
        lines::Lines,
        multipart::{boundary, multipart},
    },
};

/// A document or a line longer than this is not held.
const LIMIT: usize = 32 << 20;

/// Masks a body that comes in pieces, by its content type:
///
/// - `text/event-stream`: the events of the Messages API. Texts that are spread over many events
///   are masked as the texts they are; each part that comes out is one event.
/// - `application/json`, `text/json` and `+json`: held until it is whole, then masked by its structure.
/// - `application/x-jsonl` and `application/x-ndjson`, also without `x-`: the same for each line.
/// - `multipart/*`: held until it is whole, then masked part by part. In a part that is no text only
///   secrets are masked, where they stand as they are.
/// - `application/x-www-form-urlencoded`: held until it is whole; names and values are masked as they
///   are after decoding.
/// - anything else: masked as one text.
///
/// What could not be scanned does not come out. [`BodyMasker::coverage`] tells how much that was.
#[derive(Debug)]
pub struct BodyMasker {
    masker: Masker,
    place: String,
    view: View,
    found: Found,
    coverage: Coverage,
    /// An event was not readable: nothing comes out any more.
    failed: Option<ViewError>,
}

/// A stream of events cannot be read, so its rest cannot be masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ViewError {
    /// An event is longer than the view holds.
    #[error("an event is too long")]
    EventTooLong,
    /// The data of an event is not JSON, or says one thing twice.
    #[error("the data of an event cannot be read")]
    MalformedEvent,
    /// More texts are under way than the view holds.
    #[error("too many texts are under way")]
    TooManyTexts,
    /// The input of a tool is nested deeper than the view reads.
    #[error("a document is nested too deeply")]
    TooDeep,
}

#[derive(Debug)]
enum View {
    Events(Box<Events>),
    Document {
        form: Form,
        held: Vec<u8>,
        limit: usize,
    },
    /// A document that outgrew the limit.
    TooLong,
    Lines(Lines),
    Text(MaskStream),
}

/// What a document is.
#[derive(Debug)]
enum Form {
    Json,
    /// Names and values, encoded for an address.
    Address,
    /// Parts between lines with this boundary.
    Parts(Vec<u8>),
}

impl BodyMasker {
    /// A masker for a body of this type; `place` names the body in the findings.
    pub fn new(masker: &Masker, content_type: Option<&str>, place: &str) -> Self {
        let masker = &masker.gathering();
        let content_type = content_type.unwrap_or_default();
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let media_type = media_type.to_ascii_lowercase();
        let view = match &*media_type {
            "text/event-stream" => View::Events(Box::new(Events::new(masker))),
            "application/x-jsonl"
            | "application/x-ndjson"
            | "application/jsonl"
            | "application/ndjson" => View::Lines(Lines::new(masker, LIMIT)),
            json if matches!(json, "application/json" | "text/json") || json.ends_with("+json") => {
                View::document(Form::Json)
            }
            "application/x-www-form-urlencoded" => View::document(Form::Address),
            parts
                if parts.starts_with("multipart/")
                    && let Some(boundary) = boundary(content_type) =>
            {
                View::document(Form::Parts(boundary))
            }
            _ => View::Text(masker.stream()),
        };
        Self {
            masker: masker.clone(),
            place: place.to_owned(),
            view,
            found: Found::default(),
            coverage: Coverage::default(),
            failed: None,
        }
    }

    /// The same masker, with at most `limit` bytes of a document or a line held. 32 MiB unless told.
    #[must_use]
    pub fn limit(mut self, limit: usize) -> Self {
        match &mut self.view {
            View::Document { limit: own, .. } => *own = limit,
            View::Lines(lines) => lines.limit = limit,
            _ => {}
        }
        self
    }

    /// Takes the next bytes and gives what is decided.
    ///
    /// # Errors
    ///
    /// When a stream of events cannot be read. What came before the error has come out by then, and
    /// every later call fails in the same way.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Masked<Bytes>>, ViewError> {
        let mut out = Vec::new();
        if let Some(error) = self.failed {
            return Err(error);
        }
        match &mut self.view {
            View::Events(events) => {
                let result = events.push(
                    bytes,
                    &mut Notes {
                        out: &mut out,
                        found: &mut self.found,
                        coverage: &mut self.coverage,
                    },
                );
                self.settle(result, &out)?;
            }
            View::Document { held, limit, form } => {
                let is_json = matches!(form, Form::Json);
                let room = limit.saturating_sub(held.len()).min(bytes.len());
                held.extend_from_slice(&bytes[..room]);
                if room < bytes.len() {
                    let beginning = std::mem::take(held);
                    self.view = View::TooLong;
                    self.coverage
                        .skip(Gap::TooLong, (bytes.len() - room) as u64);
                    self.beginning(&beginning, is_json, &mut out);
                }
            }
            View::TooLong => self.coverage.skip(Gap::TooLong, bytes.len() as u64),
            View::Lines(lines) => {
                lines.push(
                    bytes,
                    &mut Notes {
                        out: &mut out,
                        found: &mut self.found,
                        coverage: &mut self.coverage,
                    },
                );
            }
            View::Text(stream) => {
                let mut text = Vec::new();
                stream.push(bytes, &mut text);
                self.coverage.inspect(bytes.len() as u64);
                emit(text, &mut out);
            }
        }
        Ok(out)
    }

    /// Ends the body and gives the rest.
    ///
    /// # Errors
    ///
    /// As [`BodyMasker::push`].
    pub fn finish(&mut self) -> Result<Vec<Masked<Bytes>>, ViewError> {
        let mut out = Vec::new();
        if let Some(error) = self.failed {
            return Err(error);
        }
        match &mut self.view {
            View::Events(events) => {
                let result = events.finish(&mut Notes {
                    out: &mut out,
                    found: &mut self.found,
                    coverage: &mut self.coverage,
                });
                self.settle(result, &out)?;
            }
            View::Document { held, form, .. } => {
                let document = std::mem::take(held);
                let (masker, found, coverage) = (&self.masker, &mut self.found, &mut self.coverage);
                let masked = match form {
                    _ if document.is_empty() => Vec::new(),
                    Form::Json => line(masker, &document, found, coverage),
                    Form::Address => {
                        coverage.inspect(document.len() as u64);
                        form::form(masker, &document, found)
                    }
                    Form::Parts(boundary) => {
                        multipart(masker, boundary, &document, found, coverage)
                    }
                };
                emit(masked, &mut out);
            }
            View::TooLong => {}
            View::Lines(lines) => {
                lines.finish(&mut Notes {
                    out: &mut out,
                    found: &mut self.found,
                    coverage: &mut self.coverage,
                });
            }
            View::Text(stream) => {
                let mut text = Vec::new();
                stream.finish(&mut text);
                emit(text, &mut out);
            }
        }
        Ok(out)
    }

    /// Takes a whole body, if nothing of it was pushed before.
    ///
    /// # Errors
    ///
    /// As [`BodyMasker::push`].
    pub fn whole(mut self, body: &[u8]) -> Result<Findings, ViewError> {
        let mut parts = self.push(body)?;
        parts.extend(self.finish()?);
        let bytes = match &mut parts[..] {
            [only] => std::mem::take(only),
            parts => {
                let parts: Vec<&[u8]> = parts.iter().map(|part| &part.as_inner()[..]).collect();
                masked(parts.concat().into())
            }
        };
        Ok(Findings::new(self.found(), bytes, self.coverage))
    }

    /// Gives the body up, because it broke off, and gives what can be given of the rest. What may
    /// be the beginning of a secret whose end never came is not part of it.
    pub fn abort(&mut self) -> Vec<Masked<Bytes>> {
        let mut out = Vec::new();
        if self.failed.is_some() {
            return out;
        }
        match &mut self.view {
            View::Events(events) => events.abort(&mut Notes {
                out: &mut out,
                found: &mut self.found,
                coverage: &mut self.coverage,
            }),
            View::Document { held, form, .. } => {
                let is_json = matches!(form, Form::Json);
                let held = std::mem::take(held);
                self.beginning(&held, is_json, &mut out);
            }
            View::TooLong => {}
            View::Lines(lines) => {
                let held = lines.take_held();
                self.beginning(&held, true, &mut out);
            }
            View::Text(stream) => {
                let mut text = Vec::new();
                let dropped = stream.abort(&mut text);
                dropped_from(&mut self.coverage, dropped);
                emit(text, &mut out);
            }
        }
        out
    }

    /// How the parts are cut.
    pub const fn shape(&self) -> ResponseShape {
        match self.view {
            View::Events(_) => ResponseShape::Events,
            _ => ResponseShape::Body,
        }
    }

    /// The number of the last bytes that were pushed and did not come out yet. `None` where that is
    /// not one piece: then some of those before did not either.
    pub fn held(&self) -> Option<usize> {
        match &self.view {
            View::Events(events) => events.held(),
            View::Document { held, .. } => Some(held.len()),
            // What is skipped never comes out.
            View::TooLong => Some(0),
            View::Lines(lines) => Some(lines.held()),
            View::Text(stream) => Some(stream.held()),
        }
    }

    /// Whether nothing comes out before the end.
    pub const fn is_held(&self) -> bool {
        matches!(self.view, View::Document { .. } | View::TooLong)
    }

    /// Whether the body cannot be read on: what came out before the fault is all that comes. The call
    /// that found the fault may have given what stood before it, and no error.
    pub const fn is_failed(&self) -> bool {
        self.failed.is_some()
    }

    /// Whether the body is masked as one text, because its type is not known to be more than that.
    pub const fn is_text(&self) -> bool {
        matches!(self.view, View::Text(_))
    }

    /// Whether a rule has matched that lets nothing pass ([`Operator::Block`](crate::Operator::Block)).
    pub fn is_blocked(&self) -> bool {
        let blocks = |rule| self.masker.profile.operator(rule) == Operator::Block;
        let in_text = match &self.view {
            View::Text(stream) => stream.has_matched(blocks),
            _ => false,
        };
        in_text || self.found.iter().any(|(rule, _, _)| blocks(rule))
    }

    /// What was found so far.
    pub fn found(&self) -> Vec<Finding> {
        let mut found = self
            .found
            .findings(&self.masker.engine, &self.masker.profile, &self.place);
        if let View::Text(stream) = &self.view {
            Finding::merge(
                &mut found,
                crate::masker::findings(&stream.matches(), &self.place),
            );
        }
        self.masker.tell_digests(&mut found);
        found
    }

    /// How much was scanned so far and how much never will be.
    pub const fn coverage(&self) -> Coverage {
        self.coverage
    }

    /// Events that were readable come out before the error does, so that it does not matter how the
    /// bytes were cut.
    fn settle(
        &mut self,
        result: Result<(), ViewError>,
        out: &[Masked<Bytes>],
    ) -> Result<(), ViewError> {
        if let Err(error) = result {
            self.failed = Some(error);
            if out.is_empty() {
                return Err(error);
            }
        }
        Ok(())
    }

    /// The beginning of a document that is too long to be held, or broke off. What may be the
    /// beginning of a match is not part of it.
    fn beginning(&mut self, bytes: &[u8], is_json: bool, out: &mut Vec<Masked<Bytes>>) {
        let mut text = Vec::new();
        let (dropped, counts) = if is_json {
            let mut stream = JsonStream::new(self.masker.clone());
            stream.push(bytes, &mut text);
            if stream.is_too_deep() {
                return self.coverage.skip(Gap::Unreadable, bytes.len() as u64);
            }
            (stream.abort(&mut text), stream.take_counts())
        } else {
            let mut stream = self.masker.stream();
            stream.push(bytes, &mut text);
            (stream.abort(&mut text), stream.take_counts())
        };
        self.coverage.inspect(bytes.len() as u64);
        dropped_from(&mut self.coverage, dropped);
        for (rule, count) in counts.iter() {
            self.found.add(rule, "", count);
        }
        emit(text, out);
    }
}

impl View {
    const fn document(form: Form) -> Self {
        Self::Document {
            form,
            held: Vec::new(),
            limit: LIMIT,
        }
    }
}

/// What a view gives and notes.
#[derive(Debug)]
pub(super) struct Notes<'a> {
    pub out: &'a mut Vec<Masked<Bytes>>,
    pub found: &'a mut Found,
    pub coverage: &'a mut Coverage,
}

impl Notes<'_> {
    /// Notes that so many bytes that were scanned do not come out.
    pub(super) fn dropped(&mut self, bytes: usize) {
        dropped_from(self.coverage, bytes);
    }
}

fn dropped_from(coverage: &mut Coverage, bytes: usize) {
    let bytes = (bytes as u64).min(coverage.inspected);
    coverage.inspected -= bytes;
    coverage.skip(Gap::CutOff, bytes);
}

pub(super) fn emit(bytes: Vec<u8>, out: &mut Vec<Masked<Bytes>>) {
    if !bytes.is_empty() {
        out.push(masked(bytes.into()));
    }
}

/// Masks one document.
pub(super) fn line(
    masker: &Masker,
    document: &[u8],
    found: &mut Found,
    coverage: &mut Coverage,
) -> Vec<u8> {
    if let Ok(scanned) = json::scan(&masker.engine, &masker.profile, document, &[]) {
        found.merge(scanned.found);
        coverage.inspect((document.len() - scanned.opaque) as u64);
        coverage.skip(Gap::Opaque, scanned.opaque as u64);
        return json::splice(document, &scanned.edits);
    }
    let Some((text, counts)) = JsonStream::whole(masker, document) else {
        coverage.skip(Gap::Unreadable, document.len() as u64);
        return Vec::new();
    };
    for (rule, count) in counts.iter() {
        found.add(rule, "", count);
    }
    coverage.inspect(document.len() as u64);
    text
}
