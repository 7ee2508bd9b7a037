//! What a value looks like from afar: how long its first word is, and whether it has a digit.
//!
//! Most values are one word of some length, and most words are shorter. So a look at a word's end
//! spares a look at its letters.

use regex_syntax::hir::{Class as HirClass, Hir, HirKind};

use crate::engine::{
    class::{Class, WORD},
    kernel::TOKENS,
    lane::{self, RUN},
    rule::{Left, Rule, Shape},
};

/// Longer words are not told apart.
pub(crate) const MOST: usize = 64;
const LONGEST: u32 = 64;
/// How many bytes of a value may be without a digit.
pub(crate) const DIGITLESS: usize = 32;
/// A name of so many words in camel case is not one: its letters change between lower and upper
/// case by chance.
const CHANGES: u32 = 9;

/// A set of lengths up to [`MOST`].
pub(crate) type Lengths = u128;

const ANY: Lengths = (1 << (MOST + 1)) - 1;

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// How many letters, digits and `_` there are.
    pub word: usize,
    /// How many bytes that tokens are made of.
    pub token: usize,
    /// Whether more of them may come.
    pub open: bool,
    /// Whether there is a digit among the first of them.
    pub digit: bool,
    /// Whether the case of the first of them changes as often as by chance.
    pub mixed: bool,
    /// Whether a `/` or `+` stands right before it.
    pub joined: bool,
}

impl Look {
    /// What stands at `at`, byte by byte, and no earlier than `floor`.
    pub(crate) fn at(bytes: &[u8], at: usize, floor: usize, end: bool) -> Self {
        let rest = &bytes[at..];
        let near = &rest[..rest.len().min(MOST)];
        let word = WORD.run(near);
        let token = word + TOKENS.run(&near[word..]);
        let first = &near[..token.min(DIGITLESS)];
        Self {
            word,
            token,
            open: !end && token == rest.len(),
            digit: first.iter().any(u8::is_ascii_digit),
            mixed: is_mixed(first),
            joined: at > floor && is_joint(bytes[at - 1]),
        }
    }
}

/// How long the first word of what the rule looks for may be.
pub(crate) fn lengths(rule: &Rule) -> Lengths {
    if let Some(pattern) = &rule.pattern {
        return pattern.words();
    }
    if !rule.class.within(&WORD) {
        return ANY;
    }
    // With a maximum a word ends where the body does.
    let most = rule.max.unwrap_or(MOST).min(MOST);
    let least = rule.min.min(MOST);
    (least..=most).fold(0, |lengths, length| lengths | 1 << length)
}

/// How many bytes that tokens are made of there must be.
pub(crate) fn tokens(rule: &Rule) -> usize {
    let starts = lane::starts(rule);
    let tokens = starts.iter().take(MOST);
    tokens.take_while(|class| class.within(&TOKENS)).count()
}

/// Whether what the rule looks for must have a digit among its first bytes: long values of letters
/// and digits are random, and without one they are a name.
pub(crate) fn wants_digit(rule: &Rule) -> bool {
    matches!(
        rule.shape,
        Shape::Value {
            left: Left::Boundary,
            ..
        }
    ) && rule.pattern.is_none()
        && rule.min >= 16
        && rule.class.has(b'0')
        && rule.class.within(&TOKENS)
}

/// How many of the first bytes of what a pattern matches are random letters and digits, or none if
/// they may be something else: without a digit and in one case, they are a name.
pub(crate) fn random(alternatives: &[Vec<Class>]) -> usize {
    /// So many of them may be fixed.
    const FIXED: usize = 3;

    let of_one = |starts: &Vec<Class>| {
        let first = &starts[..starts.len().min(DIGITLESS)];
        let fixed = first.iter().filter(|class| !class.has(b'0')).count();
        let is_random =
            first.len() >= RUN && fixed <= FIXED && first.iter().all(|class| class.within(&TOKENS));
        if is_random { first.len() } else { 0 }
    };
    alternatives.iter().map(of_one).min().unwrap_or(0)
}

/// Whether letters and digits look random.
pub(crate) fn is_random(first: &[u8]) -> bool {
    first.iter().any(u8::is_ascii_digit) || is_mixed(first)
}

fn is_mixed(first: &[u8]) -> bool {
    let upper = first.iter().rev();
    let upper = upper.fold(0, |bits, byte| {
        bits << 1 | u64::from(byte.is_ascii_uppercase())
    });
    changes(upper, first.len())
}

/// Whether the bits of so many bytes, of which 1 is upper case, change often.
#[inline]
pub(crate) fn changes(upper: u64, length: usize) -> bool {
    let pairs = (1 << length.saturating_sub(1).min(DIGITLESS)) - 1;
    ((upper ^ upper >> 1) & pairs).count_ones() >= CHANGES
}

/// Whether the rule looks for runs that go on over `/` or `+`: what stands behind one of these is the
/// middle of a run.
pub(crate) fn goes_over_joints(rule: &Rule) -> bool {
    rule.pattern.is_none() && (rule.class.has(b'/') || rule.class.has(b'+'))
}

/// Whether the byte before the place is one that such runs go on over.
#[inline]
pub(crate) const fn is_joint(byte: u8) -> bool {
    matches!(byte, b'/' | b'+')
}

/// The lengths that the first word may have in what an expression matches.
pub(crate) fn of_expression(hir: &Hir) -> Lengths {
    let walk = Walk::of(hir);
    walk.open | walk.closed
}

/// The lengths of a first word that goes on, and of one that has ended.
#[derive(Clone, Copy)]
struct Walk {
    open: Lengths,
    closed: Lengths,
}

impl Walk {
    const NONE: Self = Self { open: 0, closed: 0 };
    const EMPTY: Self = Self { open: 1, closed: 0 };

    fn of(hir: &Hir) -> Self {
        match hir.kind() {
            HirKind::Empty | HirKind::Look(_) => Self::EMPTY,
            HirKind::Literal(literal) => literal.0.iter().fold(Self::EMPTY, |walk, byte| {
                walk.then(Self::byte(WORD.has(*byte), !WORD.has(*byte)))
            }),
            HirKind::Class(HirClass::Bytes(class)) => {
                let mut all = Class::EMPTY;
                for range in class.ranges() {
                    all = all.range(range.start(), range.end());
                }
                let other = !all.within(&WORD);
                let word = (0..=u8::MAX).any(|byte| all.has(byte) && WORD.has(byte));
                Self::byte(word, other)
            }
            HirKind::Class(HirClass::Unicode(_)) => Self {
                open: ANY,
                closed: ANY,
            },
            HirKind::Repetition(repetition) => {
                let sub = Self::of(&repetition.sub);
                let (mut walk, mut all) = (Self::EMPTY, Self::NONE);
                let most = repetition.max.unwrap_or(LONGEST);
                for count in 0..=most {
                    if count >= repetition.min {
                        all.open |= walk.open;
                    }
                    all.closed |= walk.closed;
                    walk = walk.then(sub);
                }
                all
            }
            HirKind::Capture(capture) => Self::of(&capture.sub),
            HirKind::Concat(parts) => parts
                .iter()
                .fold(Self::EMPTY, |walk, part| walk.then(Self::of(part))),
            HirKind::Alternation(parts) => parts.iter().fold(Self::NONE, |all, part| {
                let walk = Self::of(part);
                Self {
                    open: all.open | walk.open,
                    closed: all.closed | walk.closed,
                }
            }),
        }
    }

    const fn byte(word: bool, other: bool) -> Self {
        Self {
            open: if word { 2 } else { 0 },
            closed: if other { 1 } else { 0 },
        }
    }

    fn then(self, next: Self) -> Self {
        Self {
            open: add(self.open, next.open),
            closed: self.closed | add(self.open, next.closed),
        }
    }
}

/// All sums of a length of each.
fn add(first: Lengths, second: Lengths) -> Lengths {
    let mut sums = 0;
    for length in 0..=MOST {
        if first >> length & 1 != 0 {
            let longer = second << length;
            let beyond = second >> (MOST - length) != 0;
            sums |= (longer & ANY) | Lengths::from(beyond) << MOST;
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pattern: &str) -> Vec<usize> {
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .build()
            .parse(pattern)
            .unwrap();
        let lengths = of_expression(&hir);
        (0..=MOST)
            .filter(|length| lengths >> length & 1 != 0)
            .collect()
    }

    #[test]
    fn the_first_word_is_as_long_as_it_may_be() {
        assert_eq!(of("[0-9]{4}"), [4]);
        assert_eq!(of("[0-9]{3}[- ]?[0-9]{2}"), [3, 5]);
        assert_eq!(of(r"\+?1?[0-9]{2}"), [0, 2, 3]);
        assert_eq!(of("(?:ab|c-)x{0,2}"), [1, 2, 3, 4]);
        assert_eq!(of("[0-9]{60,90}"), [60, 61, 62, 63, 64]);
        assert_eq!(of("[0-9 ]{2}"), [0, 1, 2]);
    }

    #[test]
    fn what_stands_at_a_place_is_told() {
        let look = Look::at(b"x ab1_-cd e", 2, 0, false);
        assert_eq!(
            (look.word, look.token, look.open, look.digit),
            (4, 7, false, true)
        );
        let look = Look::at(b"abcd", 1, 0, false);
        assert_eq!(
            (look.word, look.token, look.open, look.digit),
            (3, 3, true, false)
        );
        assert!(!Look::at(b"abcd", 1, 0, true).open);
    }
}
