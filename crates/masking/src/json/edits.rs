//! What is changed in a document.

use std::{collections::HashMap, ops::Range};

use tollbook_exchange::Operator;

use crate::{
    engine::{Engine, Span},
    json::{
        Scanned,
        report::Hit,
        text::{Places, encode},
    },
    profile::Profile,
};

/// A part of the document and what takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub range: Range<usize>,
    pub text: Vec<u8>,
}

/// The document with edits made.
pub(crate) fn splice(document: &[u8], edits: &[Edit]) -> Vec<u8> {
    let mut out = Vec::with_capacity(document.len());
    let mut at = 0;
    for Edit { range, text } in edits {
        out.extend_from_slice(&document[at..range.start]);
        out.extend_from_slice(text);
        at = range.end;
    }
    out.extend_from_slice(&document[at..]);
    out
}

/// What a text is in its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The name of a member of the object with this number.
    Name(u32),
    Text,
    Number,
}

/// Edits of one document, with what they are for.
pub(super) struct Edits<'a> {
    pub engine: &'a Engine,
    pub profile: &'a Profile,
    pub document: &'a [u8],
    pub edits: Vec<Edit>,
    pub hits: Vec<Hit>,
    /// Where names begin that hold a match.
    pub masked_names: Vec<usize>,
    /// How many names of an object hold a match.
    masked_in: HashMap<u32, u32>,
}

impl<'a> Edits<'a> {
    pub(super) fn new(engine: &'a Engine, profile: &'a Profile, document: &'a [u8]) -> Self {
        Self {
            engine,
            profile,
            document,
            edits: Vec::new(),
            hits: Vec::new(),
            masked_names: Vec::new(),
            masked_in: HashMap::new(),
        }
    }

    /// Masks parts of the text that stands at `at`.
    pub(super) fn mask(&mut self, kind: Kind, at: &Range<usize>, text: &[u8], spans: &[Span]) {
        if spans.is_empty() {
            return;
        }
        for span in spans {
            self.hit(at.start, span.rule, 1, String::new());
        }
        match kind {
            Kind::Number => self.number(at, text, spans),
            Kind::Text if spans.iter().any(|span| self.drops(span)) => self.edits.push(Edit {
                range: at.clone(),
                text: Vec::new(),
            }),
            Kind::Text => self.parts(at, text, spans),
            Kind::Name(object) => {
                self.parts(at, text, spans);
                self.masked_names.push(at.start);
                let masked = self.masked_in.entry(object).or_default();
                *masked += 1;
                if *masked > 1 {
                    // Two masked names must not become one: the second value would hide the first.
                    let text = format!("#{masked}").into_bytes();
                    self.edits.push(Edit {
                        range: at.end..at.end,
                        text,
                    });
                }
            }
        }
    }

    /// Takes over what was found in the document that the text at `at` is.
    pub(super) fn inner(&mut self, at: &Range<usize>, inner: &Scanned) {
        let mut places = Places::new(&self.document[at.clone()]);
        for edit in &inner.edits {
            let raw = places.of(edit.range.clone());
            let mut text = Vec::with_capacity(edit.text.len() + 8);
            encode(&edit.text, &mut text);
            self.edits.push(Edit {
                range: at.start + raw.start..at.start + raw.end,
                text,
            });
        }
        for (rule, path, count) in inner.found.iter() {
            self.hit(at.start, rule, count, path.to_owned());
        }
    }

    fn parts(&mut self, at: &Range<usize>, text: &[u8], spans: &[Span]) {
        let mut places = Places::new(&self.document[at.clone()]);
        for span in spans {
            let masked = self.masked(span, text);
            let raw = places.of(span.start..span.end);
            if masked == text[span.start..span.end] {
                continue;
            }
            let mut text = Vec::with_capacity(masked.len() + 8);
            encode(&masked, &mut text);
            self.edits.push(Edit {
                range: at.start + raw.start..at.start + raw.end,
                text,
            });
        }
    }

    /// A number becomes a string.
    fn number(&mut self, range: &Range<usize>, digits: &[u8], spans: &[Span]) {
        let (mut text, mut at) = (Vec::new(), 0);
        for span in spans {
            text.extend_from_slice(&digits[at..span.start]);
            text.extend(self.masked(span, digits));
            at = span.end;
        }
        text.extend_from_slice(&digits[at..]);
        if text == digits {
            return;
        }
        let mut string = b"\"".to_vec();
        encode(&text, &mut string);
        string.push(b'"');
        self.edits.push(Edit {
            range: range.clone(),
            text: string,
        });
    }

    fn masked(&self, span: &Span, text: &[u8]) -> Vec<u8> {
        let mut masked = Vec::new();
        let rule = &self.engine.rules[span.rule];
        self.profile
            .write(rule, span.rule, &text[span.start..span.end], &mut masked);
        masked
    }

    fn drops(&self, span: &Span) -> bool {
        self.profile.operator(span.rule) == Operator::Drop
    }

    fn hit(&mut self, at: usize, rule: usize, count: u32, inner: String) {
        self.hits.push(Hit {
            at,
            rule,
            count,
            inner,
        });
    }
}
