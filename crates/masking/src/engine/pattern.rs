//! Anchored regular expressions of bounded length.
//!
//! A pattern is tried at one place and never searches. It is read once, and its automaton is built
//! when it is first tried, so that loading many rules costs little.

use std::{fmt, sync::OnceLock};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    nfa::thompson,
    util::{primitives::StateID, start},
};
use regex_syntax::hir::{Class as HirClass, Hir, HirKind};

use crate::engine::{
    class::{Class, WORD},
    rule::CAP,
    window::{Ahead, Window},
    words::{self, Lengths},
};

/// The automaton of a pattern takes no more memory than this.
const MAX_AUTOMATON: usize = 1 << 20;
/// What building it may take.
const MAX_BUILDING: usize = 4 << 20;

/// So many of the bytes at fixed offsets are looked at first.
const FIXED: usize = 4;

type Dfa = dense::DFA<Vec<u32>>;

/// A regular expression over bytes.
pub(crate) struct Pattern {
    hir: Hir,
    min: usize,
    max: usize,
    starts: Vec<Class>,
    alternatives: Vec<Vec<Class>>,
    words: Lengths,
    random: usize,
    /// A few bytes that stand at fixed offsets in every match.
    fixed: Vec<(usize, u8)>,
    /// None if it would be too large, which the rule compiler asks about.
    automaton: OnceLock<Option<(Dfa, StateID)>>,
}

/// How far a body reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    No,
    NotYet,
    /// The longest match ends here.
    End(usize),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    ///
    /// Tells what is wrong with it, or why it is not one that can be tried in bounded time.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let hir = regex_syntax::ParserBuilder::new()
            .unicode(false)
            .utf8(false)
            .nest_limit(32)
            .build()
            .parse(text)
            .map_err(|error| format!("the pattern cannot be read: {}", reason(&error)))?;
        Self::of(hir)
    }

    /// The pattern of an expression that was read elsewhere.
    pub(crate) fn of(hir: Hir) -> Result<Self, String> {
        let properties = hir.properties();
        if !properties.look_set().is_empty() {
            return Err("the pattern looks around (`^`, `$`, `\\b`); it is anchored as it is, and a match ends at a word's end".to_owned());
        }
        if properties.explicit_captures_len() > 0 {
            return Err("the pattern has capture groups; write `(?:…)`".to_owned());
        }
        if properties.minimum_len().is_none() {
            return Err("the pattern matches nothing".to_owned());
        }
        match properties.maximum_len() {
            Some(max) if max <= CAP => {}
            Some(max) => {
                return Err(format!(
                    "the pattern matches up to {max} bytes; it may match at most {CAP}"
                ));
            }
            None => {
                return Err(format!(
                    "the pattern has no bound; it may match at most {CAP} bytes, and `body` without `max` goes on"
                ));
            }
        }
        let alternatives = match hir.kind() {
            HirKind::Alternation(parts) => parts.iter().map(Walk::of).collect(),
            _ => vec![Walk::of(&hir)],
        };
        let ends = alternatives.iter().fold(0, |ends, walk| ends | walk.ends);
        let (min, max) = (ends.trailing_zeros() as usize, ends.ilog2() as usize);
        if min == 0 {
            return Err("the pattern matches the empty text".to_owned());
        }
        let mut starts = Vec::new();
        for walk in &alternatives {
            walk.add_to(&mut starts);
        }
        if starts
            .iter()
            .any(|class| class.has(b'[') || class.has(b']'))
        {
            return Err(
                "the pattern matches `[` or `]`, as placeholders have; write out what may stand there"
                    .to_owned(),
            );
        }
        starts.truncate(min);
        let only = |class: &Class| {
            let mut bytes = (0..=u8::MAX).filter(|byte| class.has(*byte));
            bytes.next().filter(|_| bytes.next().is_none())
        };
        let singles = starts.iter().enumerate();
        let singles = singles.filter_map(|(offset, class)| Some((offset, only(class)?)));
        let fixed = singles.take(FIXED).collect();
        let alternatives: Vec<Vec<Class>> =
            alternatives.into_iter().map(Walk::into_starts).collect();
        Ok(Self {
            words: words::of_expression(&hir),
            hir,
            min,
            max,
            starts,
            random: words::random(&alternatives),
            fixed,
            alternatives,
            automaton: OnceLock::new(),
        })
    }

    /// Whether the automaton is of bearable size. Builds it.
    pub(crate) fn is_small(&self) -> bool {
        self.automaton().is_some()
    }

    /// The longest match that begins at `at` and does not end within a word. For a text that has
    /// not come as a whole, what is known.
    pub(crate) fn longest(&self, window: &Window<'_>, at: usize) -> Reach {
        match window.ahead(at) {
            Ahead::Byte(byte) if self.starts[0].has(byte) => {}
            Ahead::NotYet => return Reach::NotYet,
            _ => return Reach::No,
        }
        // Spares the way to a byte in the middle that many rules ask for and few texts have.
        let known = |(offset, byte): &(usize, u8)| {
            let there = window.bytes.get(at + offset);
            there.is_none_or(|there| there == byte)
        };
        if !self.fixed.iter().all(known) {
            return Reach::No;
        }
        let Some((dfa, mut state)) = self.start() else {
            return Reach::No;
        };
        let mut found = Reach::No;
        // The automaton tells one byte late that a match has ended.
        for end in at.. {
            let next = window.ahead(end);
            state = match next {
                Ahead::Byte(byte) => dfa.next_state(state, byte),
                Ahead::NotYet => return Reach::NotYet,
                Ahead::End => dfa.next_eoi_state(state),
            };
            if !dfa.is_special_state(state) && next != Ahead::End {
                continue;
            }
            if dfa.is_match_state(state) && is_word_end(window.bytes[end - 1], next) {
                found = Reach::End(end);
            }
            if next == Ahead::End || dfa.is_dead_state(state) || dfa.is_quit_state(state) {
                break;
            }
        }
        found
    }

    /// Whether the pattern matches all of `text`.
    pub(crate) fn fits(&self, text: &[u8]) -> bool {
        if !(self.min..=self.max).contains(&text.len()) {
            return false;
        }
        self.start().is_some_and(|(dfa, start)| {
            let state = text
                .iter()
                .fold(start, |state, byte| dfa.next_state(state, *byte));
            dfa.is_match_state(dfa.next_eoi_state(state))
        })
    }

    /// The length of the shortest match.
    pub(crate) const fn min(&self) -> usize {
        self.min
    }

    /// The length of the longest match.
    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// What the first bytes of a match may be, as far as every match has so many.
    pub(crate) fn starts(&self) -> Vec<Class> {
        self.starts.clone()
    }

    /// How long the first word of a match may be.
    pub(crate) const fn words(&self) -> Lengths {
        self.words
    }

    /// How many of the first bytes of a value must look random, see [`words::random`].
    pub(crate) const fn random(&self) -> usize {
        self.random
    }

    /// What the first bytes may be in each of the alternatives that the pattern is made of.
    pub(crate) fn alternatives(&self) -> &[Vec<Class>] {
        &self.alternatives
    }

    fn start(&self) -> Option<(&Dfa, StateID)> {
        self.automaton().map(|(dfa, start)| (dfa, *start))
    }

    fn automaton(&self) -> Option<&(Dfa, StateID)> {
        self.automaton
            .get_or_init(|| {
                let nfa = thompson::Compiler::new()
                    .configure(
                        thompson::Config::new()
                            .utf8(false)
                            .which_captures(thompson::WhichCaptures::None)
                            .nfa_size_limit(Some(MAX_AUTOMATON)),
                    )
                    .build_from_hir(&self.hir)
                    .ok()?;
                let dfa = dense::Builder::new()
                    .configure(
                        dense::Config::new()
                            .start_kind(StartKind::Anchored)
                            .match_kind(MatchKind::All)
                            .accelerate(false)
                            .dfa_size_limit(Some(MAX_AUTOMATON))
                            .determinize_size_limit(Some(MAX_BUILDING)),
                    )
                    .build_from_nfa(&nfa)
                    .ok()?;
                let anchored = start::Config::new().anchored(Anchored::Yes);
                let start = dfa.start_state(&anchored).ok()?;
                Some((dfa, start))
            })
            .as_ref()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern")
            .field("min", &self.min)
            .field("max", &self.max)
            .finish_non_exhaustive()
    }
}

/// Whether a match may end between these two.
pub(crate) fn is_word_end(last: u8, next: Ahead) -> bool {
    !matches!(next, Ahead::Byte(next) if WORD.has(next) && WORD.has(last))
}

/// What may stand at each offset from the beginning of a match.
#[derive(Default)]
struct Walk {
    classes: Vec<Class>,
    /// The offsets at which a match may end, bit by bit, the lowest for offset zero. Nothing is
    /// longer than [`CAP`], so a word of 128 bits has them all.
    ends: u128,
}

impl Walk {
    fn of(hir: &Hir) -> Self {
        let mut walk = Self::default();
        walk.ends = walk.through(hir, 1);
        walk
    }

    fn into_starts(mut self) -> Vec<Class> {
        self.classes.truncate(self.ends.trailing_zeros() as usize);
        self.classes
    }

    fn add_to(&self, all: &mut Vec<Class>) {
        all.resize(all.len().max(self.classes.len()), Class::EMPTY);
        for (all, class) in all.iter_mut().zip(&self.classes) {
            *all = all.or(class);
        }
    }

    /// The offsets at which an expression may end that begins at one of `from`.
    fn through(&mut self, hir: &Hir, from: u128) -> u128 {
        match hir.kind() {
            HirKind::Empty => from,
            HirKind::Look(_) => 0,
            HirKind::Literal(literal) => literal.0.iter().fold(from, |from, byte| {
                self.note(&Class::EMPTY.with(&[*byte]), from)
            }),
            HirKind::Class(class) => self.note(&class_of(class), from),
            HirKind::Capture(group) => self.through(&group.sub, from),
            HirKind::Concat(parts) => parts
                .iter()
                .fold(from, |from, part| self.through(part, from)),
            HirKind::Alternation(parts) => parts
                .iter()
                .fold(0, |ends, part| ends | self.through(part, from)),
            HirKind::Repetition(again) => {
                let class = match again.sub.kind() {
                    HirKind::Class(class) => Some(class_of(class)),
                    _ => None,
                };
                let step = |walk: &mut Self, from| match &class {
                    Some(class) => walk.note(class, from),
                    None => walk.through(&again.sub, from),
                };
                let mut ends = from;
                for _ in 0..again.min {
                    ends = step(self, ends);
                }
                let mut last = ends;
                for _ in again.min..again.max.unwrap_or(again.min) {
                    last = step(self, last);
                    if last & !ends == 0 {
                        break;
                    }
                    ends |= last;
                }
                ends
            }
        }
    }

    fn note(&mut self, class: &Class, from: u128) -> u128 {
        let mut left = from;
        while left != 0 {
            let offset = left.trailing_zeros() as usize;
            left &= left - 1;
            if self.classes.len() <= offset {
                self.classes.resize(offset + 1, Class::EMPTY);
            }
            self.classes[offset] = self.classes[offset].or(class);
        }
        from << 1
    }
}

/// The bytes of a class. Without Unicode there are no others than bytes in one.
pub(crate) fn class_of(class: &HirClass) -> Class {
    let mut bytes = Class::EMPTY;
    match class {
        HirClass::Bytes(ranges) => {
            for range in ranges.iter() {
                bytes = bytes.range(range.start(), range.end());
            }
        }
        HirClass::Unicode(ranges) => {
            for range in ranges.iter() {
                let byte = |letter: char| u8::try_from(letter).unwrap_or(0xff);
                bytes = bytes.range(byte(range.start()), byte(range.end()));
            }
        }
    }
    bytes
}

/// What the parser says is wrong, without the drawing around it.
fn reason(error: &regex_syntax::Error) -> String {
    match error {
        regex_syntax::Error::Parse(error) => error.kind().to_string(),
        regex_syntax::Error::Translate(error) => error.kind().to_string(),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(bytes: &[u8], end: bool) -> Window<'_> {
        Window {
            bytes,
            floor: 0,
            after_match: false,
            end,
        }
    }

    fn longest(pattern: &str, text: &str) -> Reach {
        let pattern = Pattern::parse(pattern).unwrap();
        let whole = pattern.longest(&window(text.as_bytes(), true), 0);
        // Whatever has come, nothing else is told than of the whole.
        for cut in 0..text.len() {
            let part = pattern.longest(&window(&text.as_bytes()[..cut], false), 0);
            assert!(
                part == whole || part == Reach::NotYet,
                "{text} cut at {cut}"
            );
        }
        whole
    }

    #[test]
    fn the_longest_match_that_ends_a_word_counts() {
        assert_eq!(longest("[0-9]{4,8}", "123456 "), Reach::End(6));
        assert_eq!(longest("[0-9]{4,8}", "123456"), Reach::End(6));
        assert_eq!(longest("[0-9]{4,8}", "1234567890"), Reach::No);
        assert_eq!(longest("[0-9]{4}", "1234a"), Reach::No);
        assert_eq!(
            longest("[0-9]{3}-[0-9]{4}(?: x[0-9]{2})?", "555-1234 x123"),
            Reach::End(8)
        );
        assert_eq!(
            longest("[0-9]{3}-[0-9]{4}(?: x[0-9]{2})?", "555-1234 x12"),
            Reach::End(12)
        );
        assert_eq!(longest("[a-z]{2}=", "ab=cd"), Reach::End(3));
        assert_eq!(longest("(?:ab|abc-)", "abc-d"), Reach::End(4));
        assert_eq!(longest("(?i)key", "KEY"), Reach::End(3));
        assert_eq!(longest("x", "y"), Reach::No);
    }

    #[test]
    fn lengths_and_first_bytes_are_known_without_an_automaton() {
        let pattern = Pattern::parse("[A-Z]{2}(?:[0-9]{2,4}|-x)y?").unwrap();
        assert_eq!((pattern.min(), pattern.max()), (4, 7));
        let starts = pattern.starts();
        assert_eq!(starts.len(), 4);
        assert!(starts[0].has(b'A') && !starts[0].has(b'a') && !starts[0].has(b'0'));
        assert!(starts[2].has(b'0') && starts[2].has(b'-') && !starts[2].has(b'x'));
        assert!(starts[3].has(b'0') && starts[3].has(b'x') && !starts[3].has(b'y'));
        assert!(pattern.automaton.get().is_none());
        assert!(pattern.fits(b"AB12") && !pattern.fits(b"AB12z") && !pattern.fits(b"AB1"));
    }

    #[test]
    fn what_cannot_be_tried_in_bounded_time_is_refused() {
        for (text, expected) in [
            ("[0-9]+", "has no bound"),
            ("a{200}", "up to 200 bytes"),
            ("(?:a{20}){20}", "up to 400 bytes"),
            ("\\bab", "looks around"),
            ("^ab", "looks around"),
            ("ab$", "looks around"),
            ("(ab)c", "capture groups"),
            ("a*?", "has no bound"),
            ("a?", "matches the empty text"),
            ("", "matches the empty text"),
            ("[a&&b]", "matches nothing"),
            ("a[", "cannot be read"),
            ("(?=a)b", "cannot be read"),
            ("[^ ]{8}", "matches `[`"),
        ] {
            let told = Pattern::parse(text).unwrap_err();
            assert!(told.contains(expected), "{text}: {told}");
        }
        assert!(Pattern::parse("[0-9a-f]{32}").unwrap().is_small());
        assert!(
            !Pattern::parse("(?:[ab]{0,50}a[ab]{20}){1}")
                .unwrap()
                .is_small()
        );
    }
}
