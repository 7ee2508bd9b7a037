//! Where a match may begin.

use std::{fmt, ops::Range};

/// Finds the places where a match may begin, and the literals that stand there.
///
/// A place is told by its first two bytes: one bit for each pair, 8 KiB in all, which stay in the
/// first-level cache. That is a load and a test for each byte, whatever the number of rules.
pub(crate) struct Table {
    pairs: Vec<u64>,
    /// For the last byte, whose second has not come.
    firsts: [u64; 4],
    /// Sorted, so that those with one first byte lie together, longer ones first.
    literals: Vec<(Vec<u8>, usize)>,
    by_first: Vec<Range<usize>>,
}

impl Table {
    /// A table of literals, each with the index of its rule.
    pub(crate) fn new(mut literals: Vec<(Vec<u8>, usize)>) -> Self {
        literals.retain(|(literal, _)| literal.len() >= 2);
        literals.sort_by(|(a, _), (b, _)| {
            a[0].cmp(&b[0])
                .then(b.len().cmp(&a.len()))
                .then_with(|| a.cmp(b))
        });
        let mut table = Self {
            pairs: vec![0; 1 << 10],
            firsts: [0; 4],
            literals: Vec::new(),
            by_first: vec![0..0; 1 << 8],
        };
        for (index, (literal, _)) in literals.iter().enumerate() {
            table.insert(literal[0], literal[1]);
            let range = &mut table.by_first[usize::from(literal[0])];
            if range.end == 0 {
                range.start = index;
            }
            range.end = index + 1;
        }
        // Whatever stands behind a separator may be a value; there is none at a line's end.
        for separator in [b':', b'='] {
            for second in (b' '..=0xff).chain([b'\t']) {
                table.insert(separator, second);
            }
        }
        table.literals = literals;
        table
    }

    /// The next place from `from` on, or the end.
    pub(crate) fn next(&self, bytes: &[u8], from: usize) -> usize {
        let rest = &bytes[from..];
        for (offset, pair) in rest.windows(2).enumerate() {
            if self.has(pair[0], pair[1]) {
                return from + offset;
            }
        }
        match rest.last() {
            Some(last) if self.firsts[usize::from(last >> 6)] & (1 << (last & 63)) != 0 => {
                bytes.len() - 1
            }
            _ => bytes.len(),
        }
    }

    /// Calls `found` for each literal that `bytes` begin with, or that may yet come to stand there.
    pub(crate) fn at(&self, bytes: &[u8], mut found: impl FnMut(Range<usize>, usize, bool)) {
        let Some(first) = bytes.first() else { return };
        for (literal, rule) in &self.literals[self.by_first[usize::from(*first)].clone()] {
            if bytes.starts_with(literal) {
                found(0..literal.len(), *rule, true);
            } else if bytes.len() < literal.len() && literal.starts_with(bytes) {
                found(0..bytes.len(), *rule, false);
            }
        }
    }

    fn insert(&mut self, first: u8, second: u8) {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.pairs[pair >> 6] |= 1 << (pair & 63);
        self.firsts[usize::from(first >> 6)] |= 1 << (first & 63);
    }

    fn has(&self, first: u8, second: u8) -> bool {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.pairs[pair >> 6] & (1 << (pair & 63)) != 0
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("literals", &self.literals.len())
            .finish_non_exhaustive()
    }
}
