//! The engine: one search for all literals, and a check of what stands around each.
//!
//! A filter goes through the text and stops where a literal may begin, and an automaton tells which
//! ones do. A literal makes a candidate; a candidate is checked by looking at no more bytes than
//! [`LOOK_BACK`] before it and a fixed number behind it. The number of checks is bounded too, and
//! who needs more is told so. So the work is linear in the text, whatever the text is.

mod candidate;
mod detector;
mod filter;
mod left;
mod plain;

use std::{collections::HashMap, ops::Range};

use aho_corasick::{
    AhoCorasick, AhoCorasickKind, Anchored, BuildError, Input, MatchKind, StartKind,
    automaton::OverlappingState,
};
use filter::Filter;

pub(crate) use self::{
    candidate::{Candidate, LOOK_AHEAD, LOOK_BACK},
    detector::{Check, Detector, Literal, Pattern},
    left::Left,
};
use crate::place::Places;

/// Detectors, compiled.
#[derive(Debug)]
pub(crate) struct Engine {
    pub detectors: Vec<Detector>,
    filter: Filter,
    automaton: AhoCorasick,
    /// For each literal of the automaton, who waits for it.
    waiting: Vec<Vec<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    detector: usize,
    places: Places,
    literal: Literal,
}

/// What is kept from one text to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Where the last hit of each detector in this text ended.
    ends: Vec<usize>,
    /// How many more candidates of this text are checked.
    left: usize,
}

/// A hit in a text: which detector, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    pub detector: usize,
    pub span: Range<usize>,
}

impl Engine {
    /// An engine that runs these detectors.
    pub(crate) fn new(detectors: Vec<Detector>) -> Result<Self, BuildError> {
        let mut literals: Vec<(Vec<u8>, Vec<Waiting>)> = Vec::new();
        let mut known = HashMap::new();
        for (index, detector) in detectors.iter().enumerate() {
            for literal in &detector.literals {
                let length = literal.bytes.len().min(MAX_PREFIX);
                let folded = literal.bytes[..length].to_ascii_lowercase();
                let at = *known.entry(folded.clone()).or_insert_with(|| {
                    literals.push((folded, Vec::new()));
                    literals.len() - 1
                });
                literals[at].1.push(Waiting {
                    detector: index,
                    places: detector.places,
                    literal: literal.clone(),
                });
            }
        }
        let (patterns, waiting): (Vec<_>, Vec<_>) = literals.into_iter().unzip();
        let size: usize = patterns.iter().map(Vec::len).sum();
        let kind = if size <= MAX_DFA {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .start_kind(StartKind::Anchored)
            .kind(Some(kind))
            .build(&patterns)?;
        Ok(Self {
            detectors,
            filter: Filter::new(patterns.iter().map(Vec::as_slice)),
            automaton,
            waiting,
        })
    }

    /// Looks through a text in a place, and tells whether it could look at all of it.
    pub(crate) fn run(
        &self,
        memory: &mut Memory,
        place: Places,
        text: &str,
        mut hit: impl FnMut(Found),
    ) -> bool {
        memory.clear(self.detectors.len());
        memory.left = FREE_CHECKS + text.len() / BYTES_FOR_A_CHECK;
        let bytes = text.as_bytes();
        if !self.search(bytes, 0..bytes.len(), place, memory, &mut hit) {
            return false;
        }
        if !place.meets(SHELL) && !plain::has_unseen(text) {
            return true;
        }
        // Once more as it reads, where that is not as it stands. What was found counts once.
        let Some(plain) = plain::plain(bytes, place.meets(SHELL)) else {
            return true;
        };
        let known: Vec<bool> = memory.ends.iter().map(|end| *end > 0).collect();
        memory.clear(self.detectors.len());
        let mut hit = |found: Found| {
            if !known[found.detector] {
                let span = plain.origin(&found.span);
                hit(Found {
                    detector: found.detector,
                    span: text.floor_char_boundary(span.start)..text.ceil_char_boundary(span.end),
                });
            }
        };
        plain
            .changed()
            .into_iter()
            .all(|part| self.search(&plain.text, part, place, memory, &mut hit))
    }

    /// Looks for literals that begin in a part of a text.
    fn search(
        &self,
        text: &[u8],
        part: Range<usize>,
        place: Places,
        memory: &mut Memory,
        hit: &mut impl FnMut(Found),
    ) -> bool {
        let mut from = part.start;
        while let Some(at) = self.filter.next(text, from) {
            if at >= part.end {
                break;
            }
            let end = text.len().min(at + MAX_PREFIX);
            let input = Input::new(text).span(at..end).anchored(Anchored::Yes);
            // Every literal that begins here, shorter ones first.
            let mut state = OverlappingState::start();
            loop {
                let next = self
                    .automaton
                    .try_find_overlapping(input.clone(), &mut state);
                if next.is_err() {
                    // The automaton is built for this kind of search.
                    return false;
                }
                let Some(literal) = state.get_match() else {
                    break;
                };
                if literal.start() > at {
                    // One within another, which has its own turn.
                    continue;
                }
                let candidate = Candidate::new(text, literal.range());
                if !self.check(literal.pattern().as_usize(), candidate, place, memory, hit) {
                    return false;
                }
            }
            from = at + 1;
        }
        true
    }

    /// Asks everybody who waits for a literal whether the candidate is theirs, and tells whether
    /// it could.
    fn check(
        &self,
        literal: usize,
        mut candidate: Candidate<'_>,
        place: Places,
        memory: &mut Memory,
        hit: &mut impl FnMut(Found),
    ) -> bool {
        for waiting in &self.waiting[literal] {
            let Some(end) = memory.ends.get_mut(waiting.detector) else {
                continue;
            };
            let start = candidate.literal.start;
            if !waiting.places.meets(place) || start < *end {
                continue;
            }
            // The automaton knows how it begins, and no case.
            candidate.literal.end = start + waiting.literal.bytes.len();
            if !waiting.literal.stands(&candidate) {
                continue;
            }
            let detector = &self.detectors[waiting.detector];
            if !detector.may_begin(&candidate) {
                continue;
            }
            if memory.left == 0 {
                return false;
            }
            memory.left -= 1;
            if let Some(span) = detector.check(&candidate) {
                *end = span.end;
                hit(Found {
                    detector: waiting.detector,
                    span,
                });
            }
        }
        true
    }
}

impl Memory {
    fn clear(&mut self, detectors: usize) {
        self.ends.clear();
        self.ends.resize(detectors, 0);
    }
}

/// Where a text may be read by a shell, which drops quotes and backslashes.
const SHELL: Places = Places::OTHER.and(Places::TOOL_USE);
/// Up to so many bytes of literals the automaton is a table, at a few hundred bytes for each.
const MAX_DFA: usize = 24 << 10;
/// So many candidates of any text are checked, and more of a long one. No text that means
/// something comes near; one that does is made to keep the engine busy.
const FREE_CHECKS: usize = 4096;
const BYTES_FOR_A_CHECK: usize = 16;
/// The automaton looks for so many bytes of a literal, so that it stays small.
const MAX_PREFIX: usize = 8;
