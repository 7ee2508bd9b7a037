//! Which rules of values are named before a place.
//!
//! Many rules take anything of some form if a word stands before it on the same line. One look at
//! the line finds the words of all of them.

use std::fmt;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use memchr::memrchr2;

use crate::engine::{
    rule::Rule,
    window::{LOOK_BACK, Window},
};

/// How many sets of 64 rules there may be. Rules beyond them count as named.
pub(crate) const SETS: usize = 16;

/// The words of all rules.
pub(crate) struct Named {
    words: Option<AhoCorasick>,
    /// For each word, the rules it names: sets and bits.
    rules: Vec<Vec<(usize, u64)>>,
    /// The rules that need not be named.
    always: [u64; SETS],
}

impl Named {
    /// For the rules at these positions: 64 of them in each set.
    pub(crate) fn new<'a>(rules: impl Iterator<Item = &'a Rule>) -> Self {
        let mut words: Vec<&[u8]> = Vec::new();
        let mut named: Vec<Vec<(usize, u64)>> = Vec::new();
        let mut always = [0; SETS];
        for (position, rule) in rules.enumerate().take(SETS * 64) {
            let (set, bit) = (position / 64, 1 << (position % 64));
            if rule.keywords.is_empty() {
                always[set] |= bit;
            }
            for word in &rule.keywords {
                let known = words.iter().position(|other| other == word);
                let known = known.unwrap_or_else(|| {
                    words.push(word);
                    named.push(Vec::new());
                    words.len() - 1
                });
                named[known].push((set, bit));
            }
        }
        // Without an automaton every rule counts as named, and looks for its words itself.
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .prefilter(false)
            .build(words)
            .ok();
        if words.is_none() {
            always = [u64::MAX; SETS];
        }
        Self {
            words,
            rules: named,
            always,
        }
    }

    /// The rules that need not be named.
    pub(crate) const fn always(&self) -> &[u64; SETS] {
        &self.always
    }

    /// The rules that may be named before `at`, on the same line.
    pub(crate) fn before(&self, window: &Window<'_>, at: usize) -> [u64; SETS] {
        let mut named = self.always;
        let from = at.saturating_sub(LOOK_BACK).max(window.floor.min(at));
        let near = &window.bytes[from..at];
        let line = &near[memrchr2(b'\n', b'\r', near).map_or(0, |end| end + 1)..];
        if let Some(words) = &self.words {
            for word in words.find_overlapping_iter(line) {
                for (set, bits) in &self.rules[word.pattern().as_usize()] {
                    named[*set] |= bits;
                }
            }
        }
        named
    }
}

impl fmt::Debug for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Named")
            .field("words", &self.rules.len())
            .finish_non_exhaustive()
    }
}
