//! Where a match may begin.

use std::{fmt, ops::Range};

/// Finds the places where a match may begin, and the literals that stand there.
///
/// A literal that is masked is found at its beginning. One that stays is found at its last few
/// bytes, with the rest of it behind: so its beginning need not wait for its end.
///
/// A place is told by its first two bytes, and then by its third: one bit for each, 8 KiB for all
/// pairs and as much for the rest, which stay in the first-level cache. That is a load and a test
/// for most bytes, whatever the number of rules.
pub(crate) struct Table {
    pairs: Vec<u64>,
    /// The first three bytes of literals, hashed.
    trigrams: Vec<u64>,
    /// For the last byte, whose second has not come.
    firsts: [u64; 4],
    /// Sorted, so that those with one first byte lie together, longer ones first.
    literals: Vec<Literal>,
    by_first: Vec<Range<usize>>,
}

/// What stands at a place where a match may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Literal {
    /// What must stand before the place.
    pub behind: Vec<u8>,
    /// What must stand from the place on; at least three bytes.
    pub ahead: Vec<u8>,
    pub rule: usize,
}

impl Literal {
    /// A literal of the rule with this index, found at its last bytes if it is to stay.
    pub(crate) fn new(literal: &[u8], rule: usize, keep: bool) -> Self {
        let place = if keep {
            literal.len().saturating_sub(TRIGRAM + 1)
        } else {
            0
        };
        let (behind, ahead) = literal.split_at(place);
        Self {
            behind: behind.to_vec(),
            ahead: ahead.to_vec(),
            rule,
        }
    }
}

impl Table {
    /// A table of literals.
    pub(crate) fn new(mut literals: Vec<Literal>) -> Self {
        literals.retain(|literal| literal.ahead.len() >= TRIGRAM);
        literals.sort_by(|a, b| {
            let (x, y) = (&a.ahead, &b.ahead);
            x[0].cmp(&y[0])
                .then(y.len().cmp(&x.len()))
                .then_with(|| x.cmp(y))
        });
        let mut table = Self {
            pairs: vec![0; 1 << 10],
            trigrams: vec![0; 1 << 10],
            firsts: [0; 4],
            literals: Vec::new(),
            by_first: vec![0..0; 1 << 8],
        };
        for (index, Literal { ahead, .. }) in literals.iter().enumerate() {
            table.insert(ahead[0], ahead[1]);
            let trigram = trigram(ahead);
            table.trigrams[trigram >> 6] |= 1 << (trigram & 63);
            let range = &mut table.by_first[usize::from(ahead[0])];
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
                match rest.get(offset..offset + TRIGRAM) {
                    Some(three) if !is_separator(pair[0]) && !self.has_trigram(three) => {}
                    _ => return from + offset,
                }
            }
        }
        match rest.last() {
            Some(last) if self.firsts[usize::from(last >> 6)] & (1 << (last & 63)) != 0 => {
                bytes.len() - 1
            }
            _ => bytes.len(),
        }
    }

    /// The literals that `bytes` begin with, or that may yet come to stand there: the second of the
    /// pair tells whether one is there as a whole.
    pub(crate) fn at<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = (&'a Literal, bool)> {
        let range = bytes
            .first()
            .map_or(0..0, |first| self.by_first[usize::from(*first)].clone());
        self.literals[range].iter().filter_map(|literal| {
            let ahead = &literal.ahead[..];
            if bytes.starts_with(ahead) {
                Some((literal, true))
            } else if ahead.starts_with(bytes) {
                Some((literal, false))
            } else {
                None
            }
        })
    }

    fn insert(&mut self, first: u8, second: u8) {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.pairs[pair >> 6] |= 1 << (pair & 63);
        self.firsts[usize::from(first >> 6)] |= 1 << (first & 63);
    }

    fn has_trigram(&self, bytes: &[u8]) -> bool {
        let trigram = trigram(bytes);
        self.trigrams[trigram >> 6] & (1 << (trigram & 63)) != 0
    }

    fn has(&self, first: u8, second: u8) -> bool {
        let pair = usize::from(first) << 8 | usize::from(second);
        self.pairs[pair >> 6] & (1 << (pair & 63)) != 0
    }
}

/// How many bytes of a literal are looked at before the literal is.
const TRIGRAM: usize = 3;

/// A 16-bit hash of the first three bytes.
fn trigram(bytes: &[u8]) -> usize {
    let bytes = bytes.iter().take(TRIGRAM);
    let three = bytes.fold(0u32, |three, byte| three << 8 | u32::from(*byte));
    // Fibonacci hashing: the upper half of the product depends on all of the input.
    let [high, low, ..] = three.wrapping_mul(0x9e37_79b1).to_be_bytes();
    usize::from(u16::from_be_bytes([high, low]))
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b':' | b'=')
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("literals", &self.literals.len())
            .finish_non_exhaustive()
    }
}
