//! What a rule must be before the engine runs it.

use crate::{
    engine::{
        Name, Rule,
        class::{Class, WORD},
        lane,
        pattern::Pattern,
        placeholders::MAX_ID,
        rule::{CAP, Left, MAX_LITERAL, Quotes, Shape},
        validate::Validator,
    },
    rules::source::{Pieces, RawBody, RawLeft, RawQuotes, RawRule, RawShape, hint},
};

/// A literal shorter than this stands everywhere.
const MIN_LITERAL: usize = 3;

/// The rule, if nothing is wrong with it; every reason why not goes to `wrong`. Of a trusted rule
/// it is known that it can be looked for.
pub(super) fn check(raw: &RawRule, trusted: bool, wrong: &mut Vec<String>) -> Option<Rule> {
    let before = wrong.len();
    if !is_id(&raw.id) {
        wrong.push(format!(
            "an id is made of lower-case letters, digits, `-` and `.`, at most {MAX_ID} of them, and begins and ends in a letter or digit"
        ));
    }
    for (key, text) in [("description", &raw.description), ("source", &raw.source)] {
        if text.trim().is_empty() {
            wrong.push(format!("`{key}` is empty"));
        }
    }
    check_keys(raw, wrong);
    let shape = shape(raw);
    let literals = literals(raw, shape, wrong);
    let pattern = pattern(raw, wrong);
    let (class, min, max) = match &pattern {
        Some(pattern) => (&EVERY, pattern.min(), Some(pattern.max())),
        None => body(raw, shape, wrong),
    };
    let mut validate = Vec::new();
    for text in &raw.validate {
        match Validator::parse(text) {
            Some(validator) => validate.push(validator),
            None => {
                let known: Vec<&str> = Validator::names().collect();
                let name = text.split(':').next().unwrap_or_default();
                let hint = hint(name, &known);
                wrong.push(format!("unknown validator `{text}`; {hint}"));
            }
        }
    }
    for (key, vectors) in [("positive", &raw.positive), ("negative", &raw.negative)] {
        if vectors.is_empty() && !trusted {
            wrong.push(format!("no `{key}` test vector"));
        }
    }
    let keywords: Vec<Vec<u8>> = raw
        .keywords
        .iter()
        .map(|word| word.to_ascii_lowercase().into_bytes())
        .collect();
    if keywords.iter().any(|word| word.len() < MIN_LITERAL) {
        wrong.push(format!("a keyword is shorter than {MIN_LITERAL} bytes"));
    }
    for tag in raw.tags.iter().filter(|tag| !is_tag(tag)) {
        wrong.push(format!("the tag `{tag}` is not a word in lower case"));
    }
    if wrong.len() > before {
        return None;
    }
    let rule = Rule {
        id: raw.id.as_str().into(),
        description: raw.description.clone(),
        source: raw.source.clone(),
        kind: raw.kind,
        tags: raw.tags.clone(),
        confidence: raw.confidence,
        placeholder: format!("[REDACTED:{}]", raw.id).into_bytes(),
        shape,
        literals,
        class,
        min,
        max,
        validate,
        pattern,
        keywords,
    };
    if !trusted {
        cost(&rule, wrong);
    }
    (wrong.len() == before).then_some(rule)
}

/// What would make the rule too costly.
fn cost(rule: &Rule, wrong: &mut Vec<String>) {
    if lane::of(rule).is_none() {
        wrong.push(
            "no lane: its first bytes may stand at any place of a text; make a longer minimum, narrower first bytes, a literal or `left = \"boundary\"`"
                .to_owned(),
        );
    }
    if rule
        .pattern
        .as_ref()
        .is_some_and(|pattern| !pattern.is_small())
    {
        wrong.push("the automaton of the pattern is larger than 1 MiB".to_owned());
    }
}

fn is_tag(tag: &str) -> bool {
    tag.starts_with(|first: char| first.is_ascii_lowercase())
        && tag
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn is_id(id: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = id.as_bytes();
    bytes.len() <= MAX_ID
        && bytes
            .iter()
            .all(|byte| is_letter(*byte) || matches!(byte, b'-' | b'.'))
        && bytes.first().is_some_and(|byte| is_letter(*byte))
        && bytes.last().is_some_and(|byte| is_letter(*byte))
}

/// A key that the rule's shape gives no meaning is a mistake, not a decoration.
fn check_keys(raw: &RawRule, wrong: &mut Vec<String>) {
    let is = |shape| raw.shape == shape;
    let free = is(RawShape::Token) || is(RawShape::Value);
    let fixed = is(RawShape::PrivateKey) || is(RawShape::Email);
    let given = [
        ("left", raw.left != RawLeft::Boundary, free),
        ("apart", raw.apart, is(RawShape::Value)),
        ("keep", raw.keep, is(RawShape::Token)),
        ("keywords", !raw.keywords.is_empty(), free),
        ("quotes", raw.quotes.is_some(), is(RawShape::Assignment)),
        ("deep", raw.deep, is(RawShape::JsonKey)),
        ("body", raw.body.is_some(), !fixed),
        (
            "pattern",
            raw.pattern.is_some(),
            !fixed && !is(RawShape::Userinfo),
        ),
        (
            "validate",
            !raw.validate.is_empty(),
            !is(RawShape::PrivateKey),
        ),
    ];
    for (key, given, has_meaning) in given {
        if given && !has_meaning {
            wrong.push(format!("`{key}` means nothing for a rule of this shape"));
        }
    }
}

fn shape(raw: &RawRule) -> Shape {
    match raw.shape {
        RawShape::Token => Shape::Token {
            left: left(raw),
            keep: raw.keep,
        },
        RawShape::Assignment => Shape::Assignment {
            quotes: match raw.quotes {
                None | Some(RawQuotes::Either) => Quotes::Either,
                Some(RawQuotes::Required) => Quotes::Required,
                Some(RawQuotes::Absent) => Quotes::Absent,
            },
        },
        RawShape::JsonKey => Shape::JsonKey { deep: raw.deep },
        RawShape::Userinfo => Shape::UserInfo,
        RawShape::PrivateKey => Shape::PrivateKey,
        RawShape::Value => Shape::Value {
            left: left(raw),
            apart: raw.apart,
        },
        RawShape::Email => Shape::Email,
    }
}

const fn left(raw: &RawRule) -> Left {
    match raw.left {
        RawLeft::Boundary => Left::Boundary,
        RawLeft::Any => Left::Any,
        RawLeft::Digit => Left::Digit,
    }
}

fn literals(raw: &RawRule, shape: Shape, wrong: &mut Vec<String>) -> Vec<Vec<u8>> {
    let literals: Vec<String> = raw.literals.iter().map(Pieces::join).collect();
    if literals.is_empty() && !matches!(shape, Shape::Value { .. } | Shape::Email) {
        wrong.push("no literal: nothing says where to look".to_owned());
    }
    wrong.extend(
        literals
            .iter()
            .filter_map(|literal| wrong_literal(literal, shape)),
    );
    literals.into_iter().map(String::into_bytes).collect()
}

/// What is wrong with a literal, if anything is.
fn wrong_literal(literal: &str, shape: Shape) -> Option<String> {
    let length = literal.len();
    match shape {
        Shape::Assignment { .. } | Shape::JsonKey { .. } => {
            let is_usable = Name::of(literal.as_bytes()).is_usable();
            (!is_usable).then(|| {
                format!("the key `{literal}` does not have between 3 and 31 letters and digits")
            })
        }
        Shape::UserInfo => {
            (literal != "://").then(|| "the literal of this shape is `://`".to_owned())
        }
        Shape::PrivateKey => (literal != "-----BEGIN ")
            .then(|| "the literal of this shape is `-----BEGIN `".to_owned()),
        Shape::Token { .. } if !(MIN_LITERAL..=MAX_LITERAL).contains(&length) => Some(format!(
            "a literal has {length} bytes; it must have between {MIN_LITERAL} and {MAX_LITERAL}"
        )),
        Shape::Value { .. } | Shape::Email => {
            Some("a rule of this shape has no literals".to_owned())
        }
        Shape::Token { .. } => literal
            .contains(['[', ']'])
            .then(|| "a literal holds `[` or `]`, as placeholders do".to_owned())
            .or_else(|| {
                "REDACTED:".contains(literal).then(|| {
                    format!("the literal `{literal}` is part of what all placeholders begin with")
                })
            }),
    }
}

/// What stands in place of a class for a rule that has a pattern.
static EVERY: Class = Class::EMPTY.range(0, 0xff);

fn pattern(raw: &RawRule, wrong: &mut Vec<String>) -> Option<Pattern> {
    let text = raw.pattern.as_ref()?;
    if raw.body.is_some() {
        wrong.push("`pattern` and `body`: one of them says what to look for".to_owned());
    }
    match Pattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(reason) => {
            wrong.push(reason);
            None
        }
    }
}

fn body(
    raw: &RawRule,
    shape: Shape,
    wrong: &mut Vec<String>,
) -> (&'static Class, usize, Option<usize>) {
    let Some(RawBody {
        class: name,
        min,
        max,
    }) = &raw.body
    else {
        if raw.pattern.is_none() && !matches!(shape, Shape::PrivateKey | Shape::Email) {
            wrong.push("neither `body` nor `pattern`".to_owned());
        }
        return (&WORD, 0, None);
    };
    let class = Class::named(name).unwrap_or_else(|| {
        let known: Vec<&str> = Class::names().collect();
        wrong.push(format!("unknown class `{name}`; {}", hint(name, &known)));
        &WORD
    });
    if !(1..=CAP).contains(min) {
        wrong.push(format!("`min` is not between 1 and {CAP}"));
    }
    if max.is_some_and(|max| max < *min || max >= CAP) {
        wrong.push(format!(
            "`max` is not between `min` and {}; leave it out for a body without end",
            CAP - 1
        ));
    }
    if name == "any" && !matches!(shape, Shape::JsonKey { .. }) {
        wrong.push("the class `any` never ends, so only a JSON member can have it".to_owned());
    }
    if matches!(shape, Shape::Token { .. } | Shape::Value { .. }) {
        if name == "quoted" {
            wrong
                .push("the class `quoted` ends at a quote, so only a value can have it".to_owned());
        }
        if max.is_some() && matches!(shape, Shape::Token { .. }) && !class.within(&WORD) {
            wrong.push(
                "`max` with a class that holds more than letters, digits and `_`: another secret could hide in a longer body"
                    .to_owned(),
            );
        }
    }
    (class, *min, *max)
}
