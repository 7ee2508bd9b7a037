//! Where a match may begin.
//!
//! Places are told by the few bytes around them, and each kind of them is a lane. A rule belongs to
//! the lanes in which its matches can begin. Lanes only spare work: at a place that is in no lane
//! of a rule, the rule does not match. What has not come yet may be anything, so a place at the end
//! of what has come may be in more lanes than it turns out to be.

use crate::engine::{
    class::Class,
    rule::{Left, Rule, Shape},
};

/// A kind of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A word begins, and at least [`RUN`] bytes that tokens are made of.
    Run,
    /// The first bytes of a literal.
    Literal,
    /// A `:` or `=` that a key may stand before and a value behind.
    Separator,
    /// A number begins.
    Digit,
    /// A word begins in up to five upper-case letters and a digit.
    Upper,
    /// Hexadecimal digits and `:` or `-`.
    Hex,
    /// A word begins that may be the local part of an address, or the rest of one.
    At,
}

/// A set of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lanes(u8);

/// The shortest match of the run lane.
pub(crate) const RUN: usize = 16;
/// The longest local part of an address (RFC 5321 §4.5.3.1.1).
pub(crate) const LOCAL: usize = 64;

/// The lane that most matches of the rule begin in, or none: then it cannot be looked for.
pub(crate) fn of(rule: &Rule) -> Option<Lane> {
    all(rule).first()
}

/// The lanes in which matches of the rule begin. Empty if some match would begin in none.
pub(crate) fn all(rule: &Rule) -> Lanes {
    match rule.shape {
        Shape::Assignment { .. } | Shape::JsonKey { .. } | Shape::UserInfo => {
            Lanes::of(Lane::Separator)
        }
        Shape::PrivateKey => Lanes::of(Lane::Literal),
        Shape::Email => Lanes::of(Lane::At),
        Shape::Token { .. } => {
            let lanes = rule
                .literals
                .iter()
                .map(|literal| of_literal(rule, literal));
            lanes.fold(Lanes::default(), |lanes, lane| lanes.and(lane))
        }
        Shape::Value { left, .. } => of_value(rule, left),
    }
}

/// The lane in which a literal of a token rule is looked for.
pub(crate) fn of_literal(rule: &Rule, literal: &[u8]) -> Lane {
    let Shape::Token { left, keep } = rule.shape else {
        return Lane::Literal;
    };
    let (class, min) = match &rule.pattern {
        Some(pattern) => (union(&pattern.starts()), pattern.starts().len()),
        None => (*rule.class, rule.min),
    };
    let is_run = left == Left::Boundary
        && !keep
        && literal.first().is_some_and(|first| has(*first, WORD))
        && literal.iter().all(|byte| has(*byte, TOKEN))
        && class.within(&TOKENS)
        && literal.len() + min >= RUN;
    if is_run { Lane::Run } else { Lane::Literal }
}

fn of_value(rule: &Rule, left: Left) -> Lanes {
    let starts = match &rule.pattern {
        Some(pattern) => pattern.starts(),
        None => vec![*rule.class; rule.min],
    };
    let Some(first) = starts.first() else {
        return Lanes::default();
    };
    let is_word = left == Left::Boundary && first.within(&crate::engine::class::WORD);
    if is_word && starts.len() >= RUN && starts[..RUN].iter().all(|class| class.within(&TOKENS)) {
        return Lanes::of(Lane::Run);
    }
    covering(&starts, is_word)
}

/// The lanes that together hold every place at which bytes of these classes stand.
fn covering(starts: &[Class], is_word: bool) -> Lanes {
    /// One byte of each kind that lanes tell apart.
    const KINDS: &[u8] = b"0aAgG+(:- ./_)x\x00\x80\n\t~=@";
    /// How far lanes other than the run lane look.
    const REACH: usize = 6;

    let mut texts = vec![Vec::new()];
    for class in starts.iter().take(REACH) {
        let mut kinds: Vec<u8> = KINDS
            .iter()
            .copied()
            .filter(|kind| {
                (0..=u8::MAX).any(|byte| class.has(byte) && kind_of(byte) == kind_of(*kind))
            })
            .collect();
        kinds.dedup_by_key(|kind| kind_of(*kind));
        texts = texts
            .into_iter()
            .flat_map(|text| kinds.iter().map(move |kind| [&text[..], &[*kind]].concat()))
            .collect();
        if texts.len() > 1 << 12 {
            return Lanes::default();
        }
    }
    let mut lanes = Lanes::default();
    for mut text in texts {
        // What is behind the known bytes could be anything, so nothing may depend on it.
        text.resize(text.len() + REACH, 0);
        let mut found = places(&text, 0, 0, true);
        if !is_word && kind_of(text[0]) & WORD != 0 {
            // Within a word, no lane but those of literals and separators has a place.
            return Lanes::default();
        }
        found.0 &= Lanes::of(Lane::Digit).and(Lane::Upper).and(Lane::Hex).0;
        let Some(lane) = found.first() else {
            return Lanes::default();
        };
        lanes = lanes.and(lane);
    }
    lanes
}

fn kind_of(byte: u8) -> u16 {
    KIND[usize::from(byte)]
}

fn union(classes: &[Class]) -> Class {
    classes
        .iter()
        .fold(Class::EMPTY, |all, class| all.or(class))
}

impl Lanes {
    pub(crate) const fn of(lane: Lane) -> Self {
        Self(1 << lane as u8)
    }

    pub(crate) const fn and(self, lane: Lane) -> Self {
        Self(self.0 | 1 << lane as u8)
    }

    pub(crate) const fn has(self, lane: Lane) -> bool {
        self.0 & (1 << lane as u8) != 0
    }

    pub(crate) const fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn first(self) -> Option<Lane> {
        [
            Lane::Run,
            Lane::Literal,
            Lane::Separator,
            Lane::Digit,
            Lane::Upper,
            Lane::Hex,
            Lane::At,
        ]
        .into_iter()
        .find(|lane| self.has(*lane))
    }
}

/// Letters, digits and `_`.
pub(super) const WORD: u16 = 1;
/// What tokens are made of.
pub(super) const TOKEN: u16 = 1 << 1;
pub(super) const DIGIT: u16 = 1 << 2;
pub(super) const UPPER: u16 = 1 << 3;
pub(super) const HEX: u16 = 1 << 4;
/// What the local part of an address is made of.
pub(super) const LOCAL_PART: u16 = 1 << 5;
/// What may stand behind the first digit of a number.
pub(super) const NUMBER: u16 = 1 << 6;
/// What may stand before a separator.
pub(super) const KEY_END: u16 = 1 << 7;
/// What the domain of an address begins with.
pub(super) const DOMAIN: u16 = 1 << 9;
pub(super) const COLON: u16 = 1 << 10;
pub(super) const DASH: u16 = 1 << 11;
pub(super) const SPACE: u16 = 1 << 12;

/// [`TOKEN`] as a class.
const TOKENS: Class = crate::engine::class::WORD.with(b"-./+=~");

/// What each byte is.
pub(super) static KIND: [u16; 256] = kinds();

const fn kinds() -> [u16; 256] {
    let mut kinds = [0; 256];
    let mut index = 0;
    while index < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "it is below 256")]
        let byte = index as u8;
        let word = byte.is_ascii_alphanumeric() || byte == b'_';
        let is = [
            (WORD, word),
            (TOKEN, TOKENS.has(byte)),
            (DIGIT, byte.is_ascii_digit()),
            (UPPER, byte.is_ascii_uppercase()),
            (HEX, byte.is_ascii_hexdigit()),
            (
                LOCAL_PART,
                word || matches!(byte, b'.' | b'%' | b'+' | b'-'),
            ),
            (
                NUMBER,
                byte.is_ascii_digit() || matches!(byte, b' ' | b'.' | b'-' | b'/' | b':' | b'('),
            ),
            (
                KEY_END,
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b' ' | b'\t' | b'"' | b'\'' | b'`' | b']'),
            ),
            (DOMAIN, byte.is_ascii_alphanumeric()),
            (COLON, byte == b':'),
            (DASH, byte == b'-'),
            (SPACE, byte == b' '),
        ];
        let mut at = 0;
        while at < is.len() {
            if is[at].1 {
                kinds[index] |= is[at].0;
            }
            at += 1;
        }
        index += 1;
    }
    kinds
}

fn has(byte: u8, kind: u16) -> bool {
    KIND[usize::from(byte)] & kind != 0
}

/// The lanes of the place at `at`, all but the literal lane, for which one must know the literals.
/// This is the specification: what the kernels find must be the same.
pub(crate) fn places(bytes: &[u8], at: usize, floor: usize, end: bool) -> Lanes {
    let is = |offset: usize, kind: u16| match bytes.get(at + offset) {
        Some(byte) => has(*byte, kind),
        None => !end,
    };
    let back = |offset: usize| at.checked_sub(offset).map(|index| bytes[index]);
    let first = bytes[at];
    let mut lanes = Lanes::default();
    if has(first, WORD) {
        let begins = at == floor
            || back(1).is_none_or(|last| !has(last, WORD))
            || back(2) == Some(b'\\')
            || back(3) == Some(b'%')
            || back(6) == Some(b'\\');
        if !begins {
            return lanes;
        }
        if (0..RUN).all(|offset| is(offset, TOKEN)) {
            lanes = lanes.and(Lane::Run);
        }
        if has(first, DIGIT) && is(1, NUMBER) {
            lanes = lanes.and(Lane::Digit);
        }
        if has(first, UPPER) && upper(&is) {
            lanes = lanes.and(Lane::Upper);
        }
        if has(first, HEX) && hex(&is) {
            lanes = lanes.and(Lane::Hex);
        }
        if local_part(bytes, at, end) {
            lanes = lanes.and(Lane::At);
        }
        return lanes;
    }
    match first {
        b':' | b'=' => {
            let last = back(1);
            let has_key = last.is_some_and(|last| has(last, KEY_END));
            let next = bytes.get(at + 1);
            let is_path = first == b':' && next == Some(&b':');
            let is_last = matches!(next, Some(b'\n' | b'\r')) || (next.is_none() && end);
            if has_key && !is_path && !is_last {
                lanes = lanes.and(Lane::Separator);
            }
            if first == b':' && is(1, COLON) && is(2, HEX) {
                lanes = lanes.and(Lane::Hex);
            }
        }
        b'+' if is(1, DIGIT) => lanes = lanes.and(Lane::Digit),
        b'(' if is(1, DIGIT) || bytes.get(at + 1) == Some(&b'+') => {
            lanes = lanes.and(Lane::Digit);
        }
        _ => {}
    }
    lanes
}

fn upper(is: &impl Fn(usize, u16) -> bool) -> bool {
    is(1, DIGIT)
        || is(1, UPPER)
            && (is(2, DIGIT)
                || is(2, SPACE) && is(3, DIGIT)
                || is(2, UPPER)
                    && (is(3, DIGIT)
                        || is(3, UPPER) && (is(4, DIGIT) || is(4, UPPER) && is(5, DIGIT))))
}

fn hex(is: &impl Fn(usize, u16) -> bool) -> bool {
    is(1, COLON)
        || is(1, HEX)
            && (is(2, COLON | DASH) || is(2, HEX) && (is(3, COLON) || is(3, HEX) && is(4, COLON)))
}

fn local_part(bytes: &[u8], at: usize, end: bool) -> bool {
    let rest = &bytes[at..];
    let run = rest
        .iter()
        .take(LOCAL + 1)
        .take_while(|byte| has(**byte, LOCAL_PART))
        .count();
    run <= LOCAL
        && match rest.get(run..) {
            Some([b'@', next, ..]) => has(*next, DOMAIN),
            Some([b'@']) | Some([]) => !end,
            _ => false,
        }
}
