//! A detector that has passed its checks.

use std::{fmt, ops::Range, sync::Arc};

use regex_automata::{Anchored, Input, meta::Regex};

use crate::{
    engine::{Candidate, Left, candidate::is_word},
    hosts,
    place::Places,
    validate::Validator,
};

/// What to look for, where, and what it means.
#[derive(Debug)]
pub(crate) struct Detector {
    pub id: Arc<str>,
    pub version: u32,
    pub label: Arc<str>,
    pub risk: u8,
    pub description: String,
    pub source: String,
    pub places: Places,
    pub literals: Vec<Literal>,
    pub check: Check,
}

/// Bytes that make a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    pub bytes: Box<[u8]>,
    /// Whether upper and lower case are the same.
    pub any_case: bool,
}

/// What a candidate must be.
#[derive(Debug)]
pub(crate) enum Check {
    /// What a rule says. All of it must hold.
    Rule {
        left: Left,
        /// Whether the word ends where the literal does.
        ends: bool,
        pattern: Option<Pattern>,
        validator: Option<Validator>,
    },
    /// The end of a host's name.
    HostSuffix,
}

/// A pattern that begins where the literal does.
pub(crate) struct Pattern {
    pub regex: Regex,
    /// How far it may look from there, in bytes.
    pub window: usize,
}

impl Literal {
    /// Whether the literal stands where the candidate says, to its end.
    pub(crate) fn stands(&self, candidate: &Candidate<'_>) -> bool {
        candidate
            .text
            .get(candidate.literal.clone())
            .is_some_and(|bytes| {
                if self.any_case {
                    bytes.eq_ignore_ascii_case(&self.bytes)
                } else {
                    *bytes == *self.bytes
                }
            })
    }
}

impl Detector {
    /// Whether what stands on both sides of the literal lets it be one.
    pub(crate) fn may_begin(&self, candidate: &Candidate<'_>) -> bool {
        let Check::Rule { left, ends, .. } = &self.check else {
            return true;
        };
        let goes_on = || {
            candidate
                .behind()
                .first()
                .is_some_and(|byte| is_word(*byte))
        };
        left.fits(candidate) && !(*ends && goes_on())
    }

    /// Where the hit is, if the candidate is one.
    pub(crate) fn check(&self, candidate: &Candidate<'_>) -> Option<Range<usize>> {
        let span = match &self.check {
            Check::HostSuffix => hosts::span(candidate)?,
            Check::Rule {
                pattern, validator, ..
            } => {
                let mut span = candidate.literal.clone();
                if let Some(pattern) = pattern {
                    span.end = span.end.max(pattern.end(candidate)?);
                }
                if let Some(validator) = validator {
                    let found = validator.span(candidate)?;
                    span = span.start.min(found.start)..span.end.max(found.end);
                }
                span
            }
        };
        Some(candidate.whole(span))
    }
}

impl Pattern {
    fn end(&self, candidate: &Candidate<'_>) -> Option<usize> {
        let start = candidate.literal.start;
        let span = start..candidate.window_end().min(start + self.window);
        let input = Input::new(candidate.text)
            .span(span)
            .anchored(Anchored::Yes);
        self.regex.search_half(&input).map(|half| half.offset())
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pattern").finish_non_exhaustive()
    }
}
