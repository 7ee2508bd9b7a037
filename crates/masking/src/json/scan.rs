//! Going through a document.
//!
//! Most documents hold nothing that is to be masked, so everything that is only needed when
//! something was found is done then: paths are told, and places in a text are sought in the
//! document, by going through it again. Short texts are laid beside each other in one scratch
//! memory, and the engine looks at those in which a match may begin.

use std::ops::Range;

use crate::{
    batch::{self, Batch, MAX_NAMED, MIN_TEXT, spans_named},
    engine::{
        Engine, Rules, Span,
        class::{BASE64, Class},
        rule::{CAP, Kind as RuleKind, Quotes, Rule, Shape},
        validate::is_masked,
    },
    json::{
        Edit, Found, Malformed, Token, Tokens,
        edits::{Edits, Kind},
        level::{self, Level},
        report::report,
    },
    profile::Profile,
};

/// What encrypted and binary members are made of.
const OPAQUE: Class = BASE64.with(b"-_");
/// A shorter value is scanned whatever it is called: keys are short.
const MIN_OPAQUE: usize = 48;
/// In shorter names there is no match.
const MIN_NAME: usize = 6;
/// Shorter numbers tell nobody without a name, and names have rules of their own.
pub(crate) const MIN_NUMBER: usize = 8;
/// Documents in strings in documents are read down to this depth.
const MAX_INNER: u8 = 3;

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
    scan_at(engine, profile, document, skip, Level::default(), 0)
}

/// Goes through a document that stands under a name.
///
/// # Errors
///
/// As [`scan`].
pub(crate) fn scan_named(
    engine: &Engine,
    profile: &Profile,
    document: &[u8],
    name: level::Name,
    rules: Rules,
) -> Result<Scanned, Malformed> {
    scan_at(engine, profile, document, &[], Level::named(name, rules), 0)
}

fn scan_at(
    engine: &Engine,
    profile: &Profile,
    document: &[u8],
    skip: &[Range<usize>],
    outside: Level,
    depth: u8,
) -> Result<Scanned, Malformed> {
    let mut walk = Walk {
        depth,
        objects: 0,
        batch: Batch::default(),
        edits: Edits::new(engine, profile, document),
        opaque: 0,
    };
    walk.run(skip, outside)?;
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
    /// Texts that wait to be looked at: what they are, and where the string lies.
    batch: Batch<(Kind, Range<usize>)>,
    edits: Edits<'a>,
    opaque: usize,
}

impl Walk<'_> {
    fn run(&mut self, skip: &[Range<usize>], outside: Level) -> Result<(), Malformed> {
        let document = self.edits.document;
        let mut tokens = Tokens::new(document);
        // The last one is what is open; the first one is around the document.
        let mut levels: Vec<Level> = vec![outside];
        // Enough for every text at once, and for names beside those of a batch.
        let names = batch::FULL.min(24 * document.len()) + 2 * level::MAX_NAME;
        self.batch.scratch.reserve(document.len() + names);
        while let Some(token) = tokens.next_into(&mut self.batch.scratch.bytes)?
            && let Some(level) = levels.last_mut()
        {
            let decoded = tokens.decoded();
            match token {
                Token::ObjectStart | Token::ArrayStart => {
                    let inner = self.open(level, token == Token::ObjectStart);
                    levels.push(inner);
                }
                Token::ObjectEnd | Token::ArrayEnd => {
                    self.close(level);
                    levels.pop();
                }
                Token::Key(range) => self.name(level, range, decoded),
                Token::Text(range) if skip.contains(&range) => self.forget(decoded),
                Token::Text(range) => self.value(level, range, decoded),
                Token::Scalar(range) => self.scalar(level, range),
            }
            if self.batch.is_full() {
                self.flush();
            }
        }
        self.flush();
        Ok(())
    }

    fn open(&mut self, parent: &Level, is_object: bool) -> Level {
        self.objects = self.objects.wrapping_add(1);
        let rules = &self.edits.engine.rules;
        Level {
            is_object,
            in_input: parent.in_input || (parent.is_object && parent.is_input),
            number: self.objects,
            name: if is_object {
                level::Name::default()
            } else {
                parent.name
            },
            within: parent
                .rules()
                .filter(|rule| goes_within(&rules[rule], is_object)),
            ..Level::default()
        }
    }

    fn close(&mut self, level: &Level) {
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
            Some(decoded) => &self.batch.scratch.bytes[decoded.clone()],
            None => &self.edits.document[range.clone()],
        };
        let on = &self.edits.profile.on;
        level.enter(name, self.edits.engine.members(on, name));
        if name.len() >= MIN_NAME {
            self.look(Kind::Name(level.number), &[], range, decoded);
        } else {
            self.forget(decoded);
        }
    }

    fn value(&mut self, level: &mut Level, range: Range<usize>, decoded: Option<Range<usize>>) {
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
                scan_at(engine, profile, text, &[], Level::default(), self.depth + 1)
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
        let is_whole = |rule: usize| is_value(&engine.rules[rule], text);
        if is_masked(text) || !rules.iter().any(is_whole) {
            return false;
        }
        let spans = member_spans(engine, self.edits.profile, name, rules, text);
        let text = match decoded {
            Some(decoded) => &self.batch.scratch.bytes[decoded.clone()],
            None => &self.edits.document[range.clone()],
        };
        self.edits.mask(Kind::Text, range, text, &spans);
        true
    }

    fn scalar(&mut self, level: &Level, range: Range<usize>) {
        let Edits {
            engine, document, ..
        } = self.edits;
        let number = &document[range.clone()];
        if number[0].is_ascii_alphabetic() {
            return;
        }
        // A number with a fraction is a measure of something.
        let is_integer = number[1..].iter().all(u8::is_ascii_digit);
        let rule = level.rules().iter().find(|index| {
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
            self.look(Kind::Number, level.name.as_bytes(), range, None);
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
            let text = self.bytes(&at, decoded.as_ref());
            let Edits {
                engine, profile, ..
            } = self.edits;
            let spans = spans_named(engine, &profile.on, &[], text);
            if !spans.is_empty() {
                let text = match &decoded {
                    Some(decoded) => &self.batch.scratch.bytes[decoded.clone()],
                    None => &self.edits.document[at.clone()],
                };
                self.edits.mask(kind, &at, text, &spans);
            }
            return self.forget(decoded);
        }
        let bytes = &mut self.batch.scratch.bytes;
        let start = decoded.map_or(bytes.len(), |text| text.start);
        if bytes.len() == start {
            bytes.extend_from_slice(&self.edits.document[at.clone()]);
        }
        self.batch.add((kind, at), name, start);
    }

    /// Looks at the texts that wait.
    fn flush(&mut self) {
        let Self { batch, edits, .. } = self;
        let (engine, profile) = (edits.engine, edits.profile);
        batch.flush(engine, &profile.on, |(kind, at), text, spans| {
            edits.mask(kind, &at, text, spans);
        });
    }

    fn bytes(&self, range: &Range<usize>, decoded: Option<&Range<usize>>) -> &[u8] {
        match decoded {
            Some(decoded) => &self.batch.scratch.bytes[decoded.clone()],
            None => &self.edits.document[range.clone()],
        }
    }

    /// Takes back the text that was decoded last.
    fn forget(&mut self, decoded: Option<Range<usize>>) {
        if let Some(decoded) = decoded {
            self.batch.scratch.truncate(decoded.start);
        }
    }
}

pub(super) const fn is_deep(shape: Shape) -> bool {
    matches!(shape, Shape::JsonKey { deep: true })
}

/// Whether a rule for a value goes on within it. Most rules are about a text: within an object they
/// would catch a description of it.
pub(super) const fn goes_within(rule: &Rule, is_object: bool) -> bool {
    match rule.shape {
        Shape::JsonKey { deep } => deep || !is_object,
        _ => false,
    }
}

/// Whether a member whose name the rule knows is what it looks for.
pub(crate) fn is_value(rule: &Rule, text: &[u8]) -> bool {
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

/// Where rules match in a text that stands under a name, with the rules that go with the name.
pub(crate) fn member_spans(
    engine: &Engine,
    profile: &Profile,
    name: level::Name,
    rules: Rules,
    text: &[u8],
) -> Vec<Span> {
    let spans = spans_named(engine, &profile.on, name.as_bytes(), text);
    let rule = rules
        .iter()
        .find(|rule| is_value(&engine.rules[*rule], text));
    let Some(rule) = rule.filter(|_| !is_masked(text)) else {
        return spans;
    };
    let whole = Span {
        start: 0,
        end: text.len(),
        rule,
    };
    match &spans[..] {
        // A rule that knows the text by its looks tells more.
        [only] if only.start == 0 && only.end == whole.end => spans,
        _ => vec![whole],
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
