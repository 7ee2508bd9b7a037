//! Where a match may begin.
//!
//! Places are told by the few bytes around them, and each kind of them is a lane. A rule belongs to
//! the lanes in which its matches can begin. Lanes only spare work: at a place that is in no lane
//! of a rule, the rule does not match. What has not come yet may be anything, so a place at the end
//! of what has come may be in more lanes than it turns out to be.

use crate::engine::{
    class::{self, Class},
    kernel::{self, TOKENS},
    rule::{Left, Rule, Shape},
};

/// A kind of places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// A word begins, and at least [`RUN`] bytes that tokens are made of.
    Run,
    /// What looks like the first bytes of a literal.
    Literal,
    /// A `:` or `=` that a key may stand before and a value behind.
    Separator,
    /// A `:` that the user name of an address may stand before.
    User,
    /// A number begins.
    Digit,
    /// A word begins in up to five upper-case letters and a digit.
    Upper,
    /// Hexadecimal digits and `:` or `-`.
    Hex,
    /// A word begins in the local part of an address of electronic mail.
    At,
}

/// A set of lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lanes(u8);

/// The shortest match of the run lane.
pub(crate) const RUN: usize = 16;
/// The longest local part of an address: one byte less than RFC 5321 §4.5.3.1.1 allows, so that it
/// and the `@` lie in two blocks.
pub(crate) const LOCAL: usize = 63;

/// The lane that most matches of the rule begin in, or none: then it cannot be looked for.
pub(crate) fn of(rule: &Rule) -> Option<Lane> {
    all(rule).first()
}

/// The lanes in which matches of the rule begin. Empty if some match would begin in none.
pub(crate) fn all(rule: &Rule) -> Lanes {
    match rule.shape {
        Shape::Assignment { .. } | Shape::JsonKey { .. } => Lanes::of(Lane::Separator),
        Shape::UserInfo => Lanes::of(Lane::User),
        Shape::PrivateKey => Lanes::of(Lane::Literal),
        Shape::Email => Lanes::of(Lane::At),
        Shape::Token { .. } => {
            let lanes = rule
                .literals
                .iter()
                .map(|literal| of_literal(rule, literal));
            lanes.fold(Lanes::default(), Lanes::and)
        }
        Shape::Value { left, .. } => of_value(rule, left),
    }
}

/// The lane in which a literal of a token rule is looked for.
pub(crate) fn of_literal(rule: &Rule, literal: &[u8]) -> Lane {
    let Shape::Token { left, keep } = rule.shape else {
        return Lane::Literal;
    };
    let starts = starts(rule);
    let least = RUN.saturating_sub(literal.len());
    let is_run = left == Left::Boundary
        && !keep
        && literal.first().is_some_and(|first| class::WORD.has(*first))
        && TOKENS.has_all(literal)
        && starts.len() >= least
        && starts[..least].iter().all(|class| class.within(&TOKENS));
    if is_run { Lane::Run } else { Lane::Literal }
}

/// What the first bytes of a body may be, as far as every body has so many.
pub(crate) fn starts(rule: &Rule) -> Vec<Class> {
    match &rule.pattern {
        Some(pattern) => pattern.starts(),
        None => {
            let mut class = *rule.class;
            if class.is_written_in_addresses() {
                class = class.with(b"%");
            }
            let mut starts = vec![class; rule.min];
            // At a boundary, a run begins with a letter, a digit or `_`.
            if let (
                Shape::Value {
                    left: Left::Boundary,
                    ..
                },
                Some(first),
            ) = (rule.shape, starts.first_mut())
            {
                *first = class::WORD;
            }
            starts
        }
    }
}

fn of_value(rule: &Rule, left: Left) -> Lanes {
    let whole = [starts(rule)];
    let alternatives = match &rule.pattern {
        Some(pattern) => pattern.alternatives(),
        None => &whole,
    };
    // A rule is in the run lane or in others, never in both.
    if alternatives.iter().all(|starts| is_run(starts, left)) {
        return Lanes::of(Lane::Run);
    }
    let mut lanes = Lanes::default();
    for starts in alternatives {
        let found = covering(starts, left);
        if found.is_empty() {
            return found;
        }
        lanes = lanes.or(found);
    }
    lanes
}

fn is_run(starts: &[Class], left: Left) -> bool {
    left == Left::Boundary
        && starts.len() >= RUN
        && starts[0].within(&class::WORD)
        && starts[..RUN].iter().all(|class| class.within(&TOKENS))
}

/// The lanes that together hold every place at which bytes of these classes stand.
fn covering(starts: &[Class], left: Left) -> Lanes {
    /// How far these lanes look.
    const REACH: usize = 6;
    /// One byte of each kind that they tell apart, and one of none.
    const KINDS: &[u8] = b"0aAgG+(:- !";
    const TOLD_APART: Lanes = Lanes::of(Lane::Digit).and(Lane::Upper).and(Lane::Hex);

    let mut lanes = Lanes::default();
    let mut texts = vec![Vec::new()];
    for class in starts.iter().take(REACH) {
        let kinds: Vec<u8> = KINDS
            .iter()
            .copied()
            .filter(|kind| (0..=u8::MAX).any(|byte| class.has(byte) && stand_in(byte) == *kind))
            .collect();
        let mut open: Vec<Vec<u8>> = Vec::new();
        for text in &texts {
            for kind in &kinds {
                let longer = [&text[..], &[*kind]].concat();
                // Within a word, none of these lanes has a place.
                if left != Left::Boundary && class::WORD.has(longer[0]) {
                    return Lanes::default();
                }
                // Nothing may depend on what is behind.
                let padded = [&longer[..], &[b'!'; REACH]].concat();
                match kernel::places(&padded, 0, 0, true).meet(TOLD_APART).first() {
                    Some(lane) => lanes = lanes.and(lane),
                    None => open.push(longer),
                }
            }
        }
        if open.is_empty() {
            return lanes;
        }
        texts = open;
    }
    Lanes::default()
}

/// A byte that stands for all of its kind.
fn stand_in(byte: u8) -> u8 {
    match byte {
        b'0'..=b'9' => b'0',
        b'a'..=b'f' => b'a',
        b'A'..=b'F' => b'A',
        b'g'..=b'z' => b'g',
        b'G'..=b'Z' => b'G',
        b'.' | b'/' | b' ' => b' ',
        b'+' | b'(' | b':' | b'-' => byte,
        _ => b'!',
    }
}

impl Lane {
    pub(crate) const COUNT: usize = 8;
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Run,
        Self::Literal,
        Self::Separator,
        Self::User,
        Self::Digit,
        Self::Upper,
        Self::Hex,
        Self::At,
    ];
}

impl Lanes {
    pub(crate) const fn of(lane: Lane) -> Self {
        Self(1 << lane as u8)
    }

    pub(crate) const fn and(self, lane: Lane) -> Self {
        Self(self.0 | 1 << lane as u8)
    }

    /// The same if `is_in`; there is no branch on it.
    pub(crate) const fn and_if(self, lane: Lane, is_in: bool) -> Self {
        Self(self.0 | (is_in as u8) << lane as u8)
    }

    /// Those that are in either.
    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn has(self, lane: Lane) -> bool {
        self.0 & (1 << lane as u8) != 0
    }

    /// Those that are in both.
    pub(crate) const fn meet(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    fn first(self) -> Option<Lane> {
        Lane::ALL.into_iter().find(|lane| self.has(*lane))
    }
}
