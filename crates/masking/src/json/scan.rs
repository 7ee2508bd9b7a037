//! Going through a document.
//!
//! Most documents hold nothing that is to be masked, so everything that is only needed when
//! something was found is done then: paths are told, and places in a text are sought in the
//! document, by going through it again. Short texts are laid beside each other in one scratch
//! memory, and the engine looks at those in which a match may begin.

use std::ops::Range;

use crate::{
    engine::{
        Engine, Name, Rules, Span, Spans, State,
        class::{BASE64, Class},
        rule::{CAP, Kind as RuleKind, Quotes, Rule, Shape},
        validate::is_masked,
    },
    json::{
        Edit, Found, Malformed, Token, Tokens,
        edits::{Edits, Kind},
        level::{self, Level},
        report::report,
        scratch::Scratch,
    },
    profile::Profile,
};

/// What encrypted and binary members are made of.
const OPAQUE: Class = BASE64.with(b"-_");
/// A shorter value is scanned whatever it is called: keys are short.
const MIN_OPAQUE: usize = 48;
/// In shorter texts there is no match.
const MIN_TEXT: usize = 3;
const MIN_NAME: usize = 6;
/// Shorter numbers tell nobody without a name, and names have rules of their own.
const MIN_NUMBER: usize = 8;
/// A longer text says itself what it is about, whatever its name.
const MAX_NAMED: usize = 4 << 10;
/// Texts up to this length are looked at together with others.
const SHORT: usize = 512;
/// So many bytes of texts are looked at together. They fit into the first-level cache.
const BATCH: usize = 16 << 10;
/// Documents in strings in documents are read down to this depth.
const MAX_INNER: u8 = 3;
/// Stands between two texts. It is in no class and ends every word.
const SEPARATOR: u8 = 0;

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
    scan_at(engine, profile, document, skip, 0)
}

fn scan_at(
    engine: &Engine,
    profile: &Profile,
    document: &[u8],
    skip: &[Range<usize>],
    depth: u8,
) -> Result<Scanned, Malformed> {
    let mut walk = Walk {
        depth,
        objects: 0,
        scratch: Scratch::default(),
        batch: Vec::new(),
        edits: Edits::new(engine, profile, document),
        opaque: 0,
    };
    walk.run(skip)?;
    let Edits {
        mut edits,
        hits,
        mut masked_names,
        ..
    } = walk.edits;
    edits.sort_by_key(|edit| edit.range.start);
    masked_names.sort_unstable();
    Ok(Scanned {
        edits,
        found: report(document, hits, &masked_names)?,
        opaque: walk.opaque,
    })
}

struct Walk<'a> {
    /// In how many strings the document lies.
    depth: u8,
    objects: u32,
    scratch: Scratch,
    /// Short texts that wait in the scratch memory.
    batch: Vec<Entry>,
    edits: Edits<'a>,
    opaque: usize,
}

struct Entry {
    kind: Kind,
    /// Where the string lies in the document.
    at: Range<usize>,
    /// Where what stands before the text begins, and where the text, in the scratch memory.
    context: usize,
    text: Range<usize>,
}

impl Walk<'_> {
    fn run(&mut self, skip: &[Range<usize>]) -> Result<(), Malformed> {
        let document = self.edits.document;
        let mut tokens = Tokens::new(document);
        let mut levels: Vec<Level> = Vec::new();
        self.scratch
            .reserve(document.len() + BATCH.min(24 * document.len()) + 2 * SHORT);
        while let Some(token) = tokens.next_into(&mut self.scratch.bytes)? {
            let decoded = tokens.decoded();
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
                        self.name(level, range, decoded);
                    }
                }
                Token::Text(range) if skip.contains(&range) => self.forget(decoded),
                Token::Text(range) => self.value(levels.last_mut(), range, decoded),
                Token::Scalar(range) => self.scalar(levels.last(), range),
            }
            if self.scratch.bytes.len() >= BATCH {
                self.flush();
            }
        }
        self.flush();
        Ok(())
    }

    fn open(&mut self, parent: Option<&Level>, is_object: bool) -> Level {
        self.objects = self.objects.wrapping_add(1);
        let Some(parent) = parent else {
            return Level {
                is_object,
                number: self.objects,
                ..Level::default()
            };
        };
        // Most rules are about a text. Within an object they would catch a description of it.
        let rules = &self.edits.engine.rules;
        let goes_on = |rule: usize| match rules[rule].shape {
            Shape::JsonKey { deep } => deep || !is_object,
            _ => false,
        };
        Level {
            is_object,
            in_input: parent.in_input || (parent.is_object && parent.is_input),
            number: self.objects,
            name: if is_object {
                level::Name::default()
            } else {
                parent.name
            },
            within: parent.rules().filter(goes_on),
            ..Level::default()
        }
    }

    fn close(&mut self, level: Level) {
        for deferred in &level.deferred {
            if deferred.is_opaque(self.edits.document, &level.types) {
                self.opaque += deferred.range.len();
            } else {
                self.text(deferred.name, deferred.rules, deferred.range.clone(), None);
            }
        }
    }

    fn name(&mut self, level: &mut Level, range: Range<usize>, decoded: Option<Range<usize>>) {
        let name = match &decoded {
            Some(decoded) => &self.scratch.bytes[decoded.clone()],
            None => &self.edits.document[range.clone()],
        };
        let on = &self.edits.profile.on;
        level.enter(name, self.edits.engine.members(on, &Name::of(name)));
        if name.len() >= MIN_NAME {
            self.look(Kind::Name(level.number), &[], range, decoded);
        } else {
            self.forget(decoded);
        }
    }

    fn value(
        &mut self,
        level: Option<&mut Level>,
        range: Range<usize>,
        decoded: Option<Range<usize>>,
    ) {
        let Some(level) = level else {
            return self.text(level::Name::default(), Rules::default(), range, decoded);
        };
        if level.is_object && level.is_type {
            level.types.push(range.clone());
        }
        if let Some(member) = level.opaque
            && level.is_object
            && range.len() >= MIN_OPAQUE
            && self.depth == 0
            && !level.in_input
            && OPAQUE.has_all(&self.edits.document[range.clone()])
        {
            self.forget(decoded);
            level.defer(member, range);
        } else {
            self.text(level.name, level.rules(), range, decoded);
        }
    }

    /// A text under a name, with the rules that go with the name.
    fn text(
        &mut self,
        name: level::Name,
        rules: Rules,
        range: Range<usize>,
        decoded: Option<Range<usize>>,
    ) {
        if rules.is_empty() || !self.whole(name, rules, &range, decoded.as_ref()) {
            let text = self.bytes(&range, decoded.as_ref());
            let inner = (self.depth < MAX_INNER && may_be_document(text)).then(|| {
                let (engine, profile) = (self.edits.engine, self.edits.profile);
                scan_at(engine, profile, text, &[], self.depth + 1)
            });
            match inner {
                Some(Ok(inner)) => self.edits.inner(&range, &inner),
                _ => return self.look(Kind::Text, name.as_bytes(), range, decoded),
            }
        }
        self.forget(decoded);
    }

    /// Masks a text as a whole, if it is what its name says. False if that is not so.
    fn whole(
        &mut self,
        name: level::Name,
        rules: Rules,
        range: &Range<usize>,
        decoded: Option<&Range<usize>>,
    ) -> bool {
        let Edits { engine, .. } = self.edits;
        let text = self.bytes(range, decoded);
        let rule = rules
            .iter()
            .find(|rule| is_value(&engine.rules[*rule], text));
        let Some(rule) = rule.filter(|_| !is_masked(text)) else {
            return false;
        };
        let mut named = Scratch::default();
        named.reserve(level::MAX_NAME + CONTEXT.len() + text.len());
        for part in [name.as_bytes(), CONTEXT, text] {
            named.bytes.extend_from_slice(part);
        }
        let mut spans = self.spans(&named.bytes, named.bytes.len() - text.len());
        let whole = Span {
            start: 0,
            end: text.len(),
            rule,
        };
        // A rule that knows the text by its looks tells more.
        if !matches!(&spans[..], [only] if only.start == 0 && only.end == whole.end) {
            spans = vec![whole];
        }
        let text = match decoded {
            Some(decoded) => &self.scratch.bytes[decoded.clone()],
            None => &self.edits.document[range.clone()],
        };
        self.edits.mask(Kind::Text, range, text, &spans);
        true
    }

    fn scalar(&mut self, level: Option<&Level>, range: Range<usize>) {
        let Edits {
            engine, document, ..
        } = self.edits;
        let number = &document[range.clone()];
        if number[0].is_ascii_alphabetic() {
            return;
        }
        // A number with a fraction is a measure of something.
        let is_integer = number[1..].iter().all(u8::is_ascii_digit);
        let rules = level.map(Level::rules).unwrap_or_default();
        let rule = rules.iter().find(|index| {
            let rule = &engine.rules[*index];
            is_deep(rule.shape)
                || (is_integer && rule.kind == RuleKind::Personal && is_value(rule, number))
        });
        if let Some(rule) = rule {
            let whole = Span {
                start: 0,
                end: number.len(),
                rule,
            };
            self.edits.mask(Kind::Number, &range, number, &[whole]);
        } else if is_integer && number.len() >= MIN_NUMBER {
            let name = level.map(|level| level.name).unwrap_or_default();
            self.look(Kind::Number, name.as_bytes(), range, None);
        }
    }

    /// Looks at a text now or together with others. What stands before it in the engine's eyes is
    /// its name, if it has an ordinary one.
    fn look(&mut self, kind: Kind, name: &[u8], at: Range<usize>, decoded: Option<Range<usize>>) {
        let length = self.bytes(&at, decoded.as_ref()).len();
        if length < MIN_TEXT {
            return self.forget(decoded);
        }
        if length > MAX_NAMED {
            let spans = self.spans(self.bytes(&at, decoded.as_ref()), 0);
            if !spans.is_empty() {
                let text = match &decoded {
                    Some(decoded) => &self.scratch.bytes[decoded.clone()],
                    None => &self.edits.document[at.clone()],
                };
                self.edits.mask(kind, &at, text, &spans);
            }
            return self.forget(decoded);
        }
        let bytes = &mut self.scratch.bytes;
        let context = decoded.as_ref().map_or(bytes.len(), |text| text.start);
        if decoded.is_none() {
            bytes.extend_from_slice(&self.edits.document[at.clone()]);
        }
        if !name.is_empty() {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(CONTEXT);
            bytes[context..].rotate_right(name.len() + CONTEXT.len());
        }
        let text = bytes.len() - length..bytes.len();
        bytes.push(SEPARATOR);
        self.batch.push(Entry {
            kind,
            at,
            context,
            text,
        });
    }

    /// Looks at the texts that wait.
    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let mut place = 0;
        for Entry {
            kind,
            at,
            context,
            text,
        } in &batch
        {
            let bytes = &self.scratch.bytes;
            if text.len() <= SHORT {
                if place < text.start {
                    place = self.edits.engine.next_place(bytes, text.start);
                }
                if place >= text.end {
                    continue;
                }
            }
            let spans = self.spans(&bytes[*context..text.end], text.start - context);
            self.edits.mask(*kind, at, &bytes[text.clone()], &spans);
        }
        self.batch = batch;
        self.batch.clear();
        self.scratch.truncate(0);
    }

    /// Where rules match in `bytes` from `from` on, counted from there.
    fn spans(&self, bytes: &[u8], from: usize) -> Vec<Span> {
        let Edits {
            engine, profile, ..
        } = self.edits;
        let mut spans = Spans::default();
        let mut state = State::new(false);
        engine.run(&profile.on, &mut state, bytes, from, true, &mut spans);
        spans.spans
    }

    fn bytes(&self, range: &Range<usize>, decoded: Option<&Range<usize>>) -> &[u8] {
        match decoded {
            Some(decoded) => &self.scratch.bytes[decoded.clone()],
            None => &self.edits.document[range.clone()],
        }
    }

    /// Takes back the text that was decoded last.
    fn forget(&mut self, decoded: Option<Range<usize>>) {
        if let Some(decoded) = decoded {
            self.scratch.truncate(decoded.start);
        }
    }
}

/// What stands between a name and its text in the engine's eyes.
const CONTEXT: &[u8] = b"\":\"";

const fn is_deep(shape: Shape) -> bool {
    matches!(shape, Shape::JsonKey { deep: true })
}

/// Whether a member whose name the rule knows is what it looks for.
fn is_value(rule: &Rule, text: &[u8]) -> bool {
    match rule.shape {
        Shape::JsonKey { .. } => rule.accepts(text),
        // As in a text: what is too long to be judged as a whole and has spaces is prose.
        Shape::Assignment { quotes } => {
            quotes != Quotes::Absent
                && (text.len() < CAP || !text[..CAP].contains(&b' '))
                && !text.contains(&b'\n')
                && rule.accepts(text)
        }
        _ => false,
    }
}

/// Whether a text looks like a document from both of its ends.
fn may_be_document(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    matches!(
        (text.first(), text.last()),
        (Some(b'{'), Some(b'}')) | (Some(b'['), Some(b']')) | (Some(b'"'), Some(b'"'))
    ) && text.len() > MIN_TEXT
}
