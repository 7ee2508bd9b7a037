//! Going through a document.

use std::ops::Range;

use tollbook_exchange::Operator;

use crate::{
    engine::{
        Engine, Name, Span,
        class::{BASE64, Class},
        rule::Shape,
        validate::is_masked,
    },
    json::{Found, Malformed, Text, Token, Tokens, encode, path::Path},
    profile::Profile,
};

/// What encrypted and binary members are made of.
const OPAQUE: Class = BASE64.with(b"-_");
/// A shorter value is scanned whatever it is called: keys are short.
const MIN_OPAQUE: usize = 48;

/// Members of the Messages API that hold no text, with the `type` of the object they are in. What
/// is in them is signed, encrypted or a picture; changing it breaks it, and nothing can be read in
/// it. They count only outside tool inputs, and only where they are made of base64.
const OPAQUE_MEMBERS: &[(&[u8], &[&[u8]])] = &[
    (b"data", &[b"base64", b"redacted_thinking"]),
    (b"signature", &[b"thinking", b"signature_delta"]),
    (b"encrypted_content", &[b"web_search_result", b"compaction"]),
    (b"encrypted_index", &[b"web_search_result_location"]),
    (b"encrypted_stdout", &[b"encrypted_code_execution_result"]),
];

/// A part of the document and what takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edit {
    pub range: Range<usize>,
    pub text: Vec<u8>,
}

/// What a document holds.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// In the order of the document, without overlap.
    pub edits: Vec<Edit>,
    pub found: Found,
    /// Bytes of members that hold no text.
    pub opaque: usize,
}

/// Goes through a document, except for the strings at `skip`.
///
/// # Errors
///
/// When it is not JSON. It may still hold secrets.
pub(crate) fn scan(
    engine: &Engine,
    profile: &Profile,
    document: &[u8],
    skip: &[Range<usize>],
) -> Result<Scanned, Malformed> {
    let mut walk = Walk {
        engine,
        profile,
        document,
        path: Path::default(),
        result: Scanned::default(),
    };
    walk.run(skip)?;
    let mut result = walk.result;
    result.edits.sort_by_key(|edit| edit.range.start);
    Ok(result)
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

struct Walk<'a> {
    engine: &'a Engine,
    profile: &'a Profile,
    document: &'a [u8],
    path: Path,
    result: Scanned,
}

/// An open object or array.
struct Level {
    /// Length of the path to it.
    outer: usize,
    /// Length of the path to what is in it.
    path: usize,
    is_object: bool,
    /// The rule for the value that comes next.
    member: Option<usize>,
    /// The rule for everything in it.
    within: Option<usize>,
    /// Which of [`OPAQUE_MEMBERS`] comes next.
    may_be_opaque: Option<usize>,
    /// What may hold no text, depending on the object's type.
    deferred: Vec<(usize, Range<usize>, Option<usize>)>,
    is_type: bool,
    types: Vec<Range<usize>>,
    masked_names: usize,
}

impl Walk<'_> {
    fn run(&mut self, skip: &[Range<usize>]) -> Result<(), Malformed> {
        let mut tokens = Tokens::new(self.document);
        let mut levels: Vec<Level> = Vec::new();
        while let Some(token) = tokens.next()? {
            match token {
                Token::ObjectStart => levels.push(self.open(levels.last(), true)),
                Token::ArrayStart => levels.push(self.open(levels.last(), false)),
                Token::ObjectEnd | Token::ArrayEnd => {
                    if let Some(level) = levels.pop() {
                        self.close(level);
                    }
                }
                Token::Key(range) => {
                    if let Some(level) = levels.last_mut() {
                        self.key(level, range);
                    }
                }
                Token::Text(range) if skip.contains(&range) => {}
                Token::Text(range) => self.value(levels.last_mut(), range),
                Token::Scalar(range) => self.scalar(levels.last(), range),
            }
        }
        Ok(())
    }

    fn open(&mut self, parent: Option<&Level>, is_object: bool) -> Level {
        let outer = self.path.len();
        if !is_object {
            self.path.push_elements();
        }
        let rule = parent.and_then(|parent| parent.member.or(parent.within));
        // Most rules are about a text. Within an object they would catch a description of it.
        let goes_on = |rule: &usize| {
            !is_object || self.engine.rules[*rule].shape == Shape::JsonKey { deep: true }
        };
        Level {
            outer,
            path: self.path.len(),
            is_object,
            member: None,
            within: rule.filter(goes_on),
            may_be_opaque: None,
            deferred: Vec::new(),
            is_type: false,
            types: Vec::new(),
            masked_names: 0,
        }
    }

    fn close(&mut self, level: Level) {
        for (member, range, rule) in level.deferred {
            let (name, types) = OPAQUE_MEMBERS[member];
            let is_opaque = match &level.types[..] {
                [only] => types.contains(&&self.document[only.clone()]),
                _ => false,
            };
            if is_opaque {
                self.result.opaque += range.len();
            } else {
                self.path.truncate(level.path);
                self.path.push_member(Some(name));
                self.text(range, rule);
            }
        }
        self.path.truncate(level.outer);
    }

    fn key(&mut self, level: &mut Level, range: Range<usize>) {
        let text = Text::decode(&self.document[range.clone()]);
        let spans = self.engine.spans(&self.profile.on, &text.bytes, false);
        self.path.truncate(level.path);
        self.path
            .push_member(spans.is_empty().then_some(&text.bytes[..]));
        level.member = self.engine.member(&self.profile.on, &Name::of(&text.bytes));
        level.may_be_opaque = OPAQUE_MEMBERS
            .iter()
            .position(|(name, _)| *name == &text.bytes[..]);
        level.is_type = &text.bytes[..] == b"type";
        if !spans.is_empty() {
            level.masked_names += 1;
            self.mask(&text, range.clone(), &spans);
            if level.masked_names > 1 {
                // Two masked names must not become one: the second value would hide the first.
                let text = format!("#{}", level.masked_names).into_bytes();
                self.result.edits.push(Edit {
                    range: range.end..range.end,
                    text,
                });
            }
        }
    }

    fn value(&mut self, level: Option<&mut Level>, range: Range<usize>) {
        let Some(level) = level else {
            return self.text(range, None);
        };
        let rule = level.member.or(level.within);
        if level.is_object && level.is_type {
            level.types.push(range.clone());
        }
        if let Some(member) = level.may_be_opaque
            && level.is_object
            && range.len() >= MIN_OPAQUE
            && OPAQUE.has_all(&self.document[range.clone()])
            && !self.path.is_in_input()
        {
            level.deferred.push((member, range, rule));
        } else {
            self.text(range, rule);
        }
    }

    fn text(&mut self, range: Range<usize>, rule: Option<usize>) {
        let text = Text::decode(&self.document[range.clone()]);
        let spans = self.engine.spans(&self.profile.on, &text.bytes, false);
        let whole = 0..text.bytes.len();
        let known = matches!(&spans[..], [only] if only.start == 0 && only.end == whole.end);
        if let Some(index) = rule
            && !known
            && !is_masked(&text.bytes)
            && self.engine.rules[index].accepts(&text.bytes)
        {
            let span = Span {
                start: 0,
                end: whole.end,
                rule: index,
            };
            self.mask(&text, range, &[span]);
        } else {
            self.mask(&text, range, &spans);
        }
    }

    fn scalar(&mut self, level: Option<&Level>, range: Range<usize>) {
        let Some(rule) = level.and_then(|level| level.member.or(level.within)) else {
            return;
        };
        let is_number = !self.document[range.start].is_ascii_alphabetic();
        if is_number && self.engine.rules[rule].shape == (Shape::JsonKey { deep: true }) {
            let value = &self.document[range.clone()];
            if self.profile.operator(rule) == Operator::Flag {
                self.result.found.add(rule, &self.path.told(), 1);
                return;
            }
            let mut text = b"\"".to_vec();
            self.profile
                .write(&self.engine.rules[rule], rule, value, &mut text);
            text.push(b'"');
            self.result.found.add(rule, &self.path.told(), 1);
            self.result.edits.push(Edit { range, text });
        }
    }

    fn mask(&mut self, text: &Text<'_>, at: Range<usize>, spans: &[Span]) {
        let drops = |span: &Span| self.profile.operator(span.rule) == Operator::Drop;
        if spans.iter().any(drops) {
            for span in spans {
                self.result.found.add(span.rule, &self.path.told(), 1);
            }
            self.result.edits.push(Edit {
                range: at,
                text: Vec::new(),
            });
            return;
        }
        for span in spans {
            let raw = text.raw(span.start..span.end);
            let (rule, mut masked) = (&self.engine.rules[span.rule], Vec::new());
            let value = &text.bytes[span.start..span.end];
            self.profile.write(rule, span.rule, value, &mut masked);
            self.result.found.add(span.rule, &self.path.told(), 1);
            if masked == value {
                continue;
            }
            // A part of the value may have stayed, and with it what has to be escaped.
            let mut escaped = Vec::with_capacity(masked.len());
            encode(&masked, &mut escaped);
            self.result.edits.push(Edit {
                range: at.start + raw.start..at.start + raw.end,
                text: escaped,
            });
        }
    }
}
