//! Secrets that stand in a text in base64 or hexadecimal.
//!
//! What has a literal of its own and is not short shows through an encoding: from where it begins,
//! letters stand for text. The kernel tells such places (`kernel::encoded`), and a look at the first
//! bytes that are encoded there leaves those at which a literal begins. There, as much is decoded as
//! a decision may look at, and the rule judges it as it judges any text. What is masked are the
//! letters that hold a bit of the match.
//!
//! Values that are known by words near them, or by a name, are not looked for in what is encoded.

mod codec;
mod decoded;
mod swallow;

use std::ops::Range;

pub(crate) use self::swallow::Rest;
use self::{
    codec::{Beginning, Codec},
    decoded::{Decoded, LETTERS, Reached},
};
use crate::engine::{
    Engine, Selection,
    kernel::{self, BLOCK, BLOCKS, Places, TOKENS, Text},
    key,
    literals::Literal,
    rule::{Confidence, Kind, MIDDLE, Rule, Shape},
    swallow::Swallow,
    token,
    verdict::{Match, Verdict},
    window::{Ahead, LOOK_BACK, Window},
};

/// Shorter matches are not looked for.
pub(crate) const LEAST: usize = 16;
/// So many letters mostly tell that there is nothing.
const FEW: usize = 32;

/// What is looked for in encodings.
#[derive(Debug, Default)]
pub(crate) struct Encoded {
    rules: Selection,
    /// The first bytes of their literals, bit by bit.
    begins: u128,
}

impl Encoded {
    /// For those of the literals that are looked for, in those of the rules whose they are.
    pub(crate) fn new<'a>(rules: &[Rule], literals: impl Iterator<Item = &'a Literal>) -> Self {
        let mut encoded = Self::default();
        for literal in literals.filter(|literal| is_eligible(&rules[literal.rule])) {
            encoded.rules.add(literal.rule);
            encoded.begins |= literal.ahead.first().map_or(0, |first| 1 << (first & 0x7f));
        }
        encoded
    }
}

/// Whether what a rule finds is found in an encoding too.
fn is_eligible(rule: &Rule) -> bool {
    rule.kind == Kind::Secret
        && rule.confidence == Confidence::High
        && rule.keywords.is_empty()
        // What stands before the literal would be out already.
        && !rule.tags.iter().any(|tag| tag == MIDDLE)
        && matches!(rule.shape, Shape::Token { .. } | Shape::PrivateKey)
}

/// Whether what a rule found is encoded, and so not the value that others know.
pub(crate) fn is_encoded(rule: &Rule, found: &[u8]) -> bool {
    let is_letter = |byte: &u8| *byte == b'=' || Codec::Base64.value(*byte).is_some();
    is_eligible(rule)
        && found.iter().all(is_letter)
        && match rule.shape {
            Shape::Token { keep: false, .. } => !rule
                .literals
                .iter()
                .any(|literal| found.starts_with(literal)),
            _ => !rule.accepts(found),
        }
}

impl Engine {
    /// Makes of the groups of letters that may stand for text the places at which a literal begins in
    /// one.
    pub(super) fn sift_encoded(&self, text: Text<'_>, blocks: usize, places: &mut Places) {
        let Text { bytes, from, .. } = text;
        let range = from..bytes.len().min(from + blocks * BLOCK);
        let mut found = [0; BLOCKS];
        // A group may begin before the first place.
        for group in from.saturating_sub(Codec::MOST - 1)..from {
            self.begin_encoded(bytes, group, &range, &mut found);
        }
        for block in 0..blocks {
            let mut left = places.encoded[block];
            while left != 0 {
                let group = from + block * BLOCK + left.trailing_zeros() as usize;
                left &= left - 1;
                self.begin_encoded(bytes, group, &range, &mut found);
            }
        }
        places.encoded = found;
    }

    #[inline]
    fn begin_encoded(
        &self,
        bytes: &[u8],
        group: usize,
        range: &Range<usize>,
        found: &mut [u64; BLOCKS],
    ) {
        for codec in Codec::ALL {
            let first = Beginning::at(codec, bytes, group);
            for byte in 0..codec.bytes() {
                let place = group + byte;
                if self.may_begin_encoded(&first, byte) && range.contains(&place) {
                    let place = place - range.start;
                    found[place / BLOCK % BLOCKS] |= 1 << (place % BLOCK);
                }
            }
        }
    }

    /// Whether a literal may begin with this byte of a group.
    #[inline]
    fn may_begin_encoded(&self, first: &Beginning, byte: usize) -> bool {
        match first {
            Beginning::NotYet => true,
            Beginning::No => false,
            Beginning::Of(bytes, known) => self.literals.may_stand_at(&bytes[..*known], byte),
        }
    }

    /// Looks for a match the first bits of which the letter at `at` has.
    pub(super) fn encoded(&self, on: &Selection, window: &Window<'_>, at: usize) -> Verdict {
        let mut verdict = Verdict::No;
        for (codec, begin) in Codec::BEGINS {
            let is_letter = |back| {
                let letter = window.before(at, back);
                letter.is_some_and(|letter| codec.value(letter).is_some())
            };
            if !(1..=begin).all(is_letter) {
                continue;
            }
            let first = Beginning::at(codec, window.bytes, at - begin);
            if self.may_begin_encoded(&first, begin) {
                verdict = verdict.or_longer(self.encoded_by(codec, on, window, at, begin));
            }
        }
        verdict
    }

    fn encoded_by(
        &self,
        codec: Codec,
        on: &Selection,
        window: &Window<'_>,
        at: usize,
        begin: usize,
    ) -> Verdict {
        let group = at - begin;
        let first = Decoded::at(codec, window, group, FEW, false);
        let Some(over_lines) = self.begins_in(&first, on, begin) else {
            return Verdict::No;
        };
        // Groups before the first place come from no kernel; what is found must not depend on that.
        let is_place = kernel::encoded::is_place(window.bytes, group, window.end);
        if !is_place || !is_aligned(codec, window, group) {
            return Verdict::No;
        }
        for letters in [FEW, LETTERS] {
            let mut text = Decoded::at(codec, window, group, letters, over_lines);
            text.look_back(window, group);
            match self.in_decoded(&text, on, begin, letters == LETTERS) {
                Verdict::NotYet if letters == FEW && text.reached() == Reached::Limit => {}
                Verdict::Match(found) => return self.written(&text, window, group, &found),
                verdict => return verdict,
            }
        }
        Verdict::No
    }

    /// Whether a literal may begin with this byte, and if so, whether that of a rule for keys, which
    /// go over lines.
    fn begins_in(&self, text: &Decoded, on: &Selection, byte: usize) -> Option<bool> {
        let before = text.bytes().get(..byte).unwrap_or(text.bytes());
        // What is not text, and what only looks encoded.
        if !before.is_ascii() {
            return None;
        }
        let rest = text.bytes().get(byte..).unwrap_or_default();
        let next = text.next();
        if rest.is_empty() {
            let is_first =
                |first: u8| self.encoded.begins & (1 << first) != 0 && next.may_be(first);
            let may = text.bytes().len() == byte && (0..0x80).any(is_first);
            return (text.reached() == Reached::Open && may).then_some(false);
        }
        let mut begins = None;
        for (literal, is_whole) in self.literals.at(rest) {
            let known = on.has(literal.rule) && self.encoded.rules.has(literal.rule);
            if known && (is_whole || next.may_be(literal.ahead[rest.len()])) {
                let is_key = self.rules[literal.rule].shape == Shape::PrivateKey;
                begins = Some(is_key || begins == Some(true));
            }
        }
        begins
    }

    /// What begins with this byte of the first group. With `last`, there is no more to look at.
    fn in_decoded(&self, text: &Decoded, on: &Selection, byte: usize, last: bool) -> Verdict {
        let window = Window {
            bytes: text.bytes(),
            floor: 0,
            after_match: false,
            end: matches!(text.reached(), Reached::End(_)),
        };
        let at = text.place() + byte;
        if at >= window.bytes.len() {
            return if window.end {
                Verdict::No
            } else {
                Verdict::NotYet
            };
        }
        let is_cut = last && text.reached() == Reached::Limit;
        match self.encoded_literals(on, &window, at, is_cut) {
            Verdict::Match(found) if found.swallow.is_none() && found.end < at + LEAST => {
                Verdict::No
            }
            verdict => verdict,
        }
    }

    fn encoded_literals(
        &self,
        on: &Selection,
        window: &Window<'_>,
        at: usize,
        is_cut: bool,
    ) -> Verdict {
        let mut verdict = Verdict::No;
        if window.is_escaped(at) {
            return verdict;
        }
        for (literal, is_whole) in self.literals.at(&window.bytes[at..]) {
            let (index, body) = (literal.rule, at + literal.ahead.len());
            if !on.has(index)
                || !self.encoded.rules.has(index)
                || !window.stands_before(at, &literal.behind)
            {
                continue;
            }
            let rule = &self.rules[index];
            let start = at.saturating_sub(literal.behind.len());
            let found = match rule.shape {
                Shape::Token { left, .. } if !left.fits(window, start) => Verdict::No,
                _ if !is_whole && window.end => Verdict::No,
                _ if !is_whole => Verdict::NotYet,
                Shape::Token { keep, .. } => {
                    let masked = if keep { body } else { at };
                    let judge = |end| {
                        let window = Window { end, ..*window };
                        token::token((index, rule), &window, (start, masked), body)
                    };
                    match judge(window.end) {
                        Verdict::NotYet if is_cut => match judge(true) {
                            Verdict::Match(found) if found.end < window.bytes.len() => {
                                Verdict::Match(found)
                            }
                            // So much of it is right that the rest will be.
                            _ => Verdict::Match(Match {
                                start: masked,
                                end: window.bytes.len(),
                                rule: index,
                                swallow: None,
                            }),
                        },
                        found => found,
                    }
                }
                _ => {
                    let end = window.end || is_cut;
                    key::private_key(index, &Window { end, ..*window }, body)
                }
            };
            verdict = verdict.or_longer(found);
        }
        verdict
    }

    /// The letters that a match is written in.
    fn written(&self, text: &Decoded, window: &Window<'_>, group: usize, found: &Match) -> Verdict {
        let start = group + text.first_letter(found.start);
        let rule = found.rule;
        let known = text.bytes().len();
        let rest = match found.swallow {
            Some(Swallow::Key {
                headers,
                seen,
                line_feeds,
            }) => Some((
                found.start,
                Rest::key(text.codec(), headers, seen, line_feeds),
            )),
            _ if found.end == known && text.reached() == Reached::Limit => {
                let rule = &self.rules[rule];
                let class = match rule.pattern {
                    None => rule.class,
                    Some(_) => &TOKENS,
                };
                Some((known, Rest::run(text.codec(), class)))
            }
            _ => None,
        };
        if let Some((from, rest)) = rest {
            return Verdict::Match(Match {
                start,
                end: group + text.next_group(from),
                rule,
                swallow: Some(Swallow::Encoded(rest)),
            });
        }
        let mut end = group + text.behind_letter(found.end);
        if let Reached::End(stop) = text.reached()
            && found.end == known
        {
            // What goes on with what is masked was refused together with it.
            match window.is_masked_at(stop) {
                Some(false) => {}
                Some(true) => return Verdict::No,
                None => return Verdict::NotYet,
            }
            match padding(window, end) {
                Some(length) => end += length,
                None => return Verdict::NotYet,
            }
        }
        Verdict::Match(Match {
            start,
            end,
            rule,
            swallow: None,
        })
    }
}

/// Whether groups of letters that begin where letters do would begin at `group`. What goes too far
/// back may begin anywhere.
fn is_aligned(codec: Codec, window: &Window<'_>, group: usize) -> bool {
    /// To tell whether letters begin takes a look at so many bytes more.
    const FAR: usize = LOOK_BACK - 8;

    for back in (0..FAR).step_by(codec.letters()) {
        let at = group - back;
        if window.is_boundary(at) || window.before(at, 1) == Some(b'_') {
            return true;
        }
        let is_letter = |before| {
            let letter = window.before(at, before);
            letter.is_some_and(|letter| codec.value(letter).is_some())
        };
        if !(1..=codec.letters()).all(is_letter) {
            return false;
        }
    }
    true
}

/// How much padding stands at `at`. Nothing as long as that depends on what comes.
fn padding(window: &Window<'_>, at: usize) -> Option<usize> {
    /// No group lacks more letters.
    const MOST: usize = 2;

    for length in 0..MOST {
        match window.ahead(at + length) {
            Ahead::Byte(b'=') => {}
            Ahead::NotYet => return None,
            _ => return Some(length),
        }
    }
    Some(MOST)
}
