//! Where a literal may begin.

use std::fmt;

/// Tells places where a literal may begin from those where none does, by four bytes.
///
/// A load, a multiplication and a test for each place, and none waits for the one before: several
/// times as fast as an automaton, which goes from state to state. One bit stands for each hash of
/// four bytes, 16 KiB together, which stay in the first-level cache.
pub(crate) struct Filter {
    bits: Vec<u64>,
}

impl Filter {
    /// A filter for literals of at least three bytes, whose case does not matter.
    pub(crate) fn new<'a>(literals: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut filter = Self {
            bits: vec![0; 1 << (BITS - 6)],
        };
        for literal in literals {
            match literal {
                [a, b, c, d, ..] => filter.insert([*a, *b, *c, *d]),
                [a, b, c] => (0..=u8::MAX).for_each(|d| filter.insert([*a, *b, *c, d])),
                _ => {}
            }
        }
        filter
    }

    /// The next place from `from` on where a literal may begin.
    pub(crate) fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let rest = text.get(from..)?;
        let four = |bytes: &[u8]| matches!(bytes, [a, b, c, d] if self.has([*a, *b, *c, *d]));
        match rest.windows(4).position(four) {
            Some(offset) => Some(from + offset),
            // The last three bytes may be a literal; there is no fourth to ask for.
            None => {
                let last = text.len().checked_sub(3)?;
                (last >= from).then_some(last)
            }
        }
    }

    fn insert(&mut self, four: [u8; 4]) {
        let (word, bit) = place(four);
        if let Some(word) = self.bits.get_mut(word) {
            *word |= bit;
        }
    }

    fn has(&self, four: [u8; 4]) -> bool {
        let (word, bit) = place(four);
        self.bits.get(word).is_some_and(|word| word & bit != 0)
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter").finish_non_exhaustive()
    }
}

const BITS: u32 = 17;

/// The word and the bit for four bytes. Letters of both cases fall together, and some signs.
fn place(four: [u8; 4]) -> (usize, u64) {
    let folded = u32::from_le_bytes(four) | 0x2020_2020;
    // Fibonacci hashing: the upper bits of the product depend on all of the input.
    let hash = folded.wrapping_mul(0x9e37_79b1) >> (u32::BITS - BITS);
    ((hash >> 6) as usize, 1 << (hash & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_literal_is_missed() {
        let filter = Filter::new([&b"rm "[..], b"kubectl "]);
        for (text, place) in [("xx KUBECTL get", 3), ("rm x", 0), ("a rm ", 2), ("rm ", 0)] {
            let mut from = 0;
            let mut found = false;
            while let Some(at) = filter.next(text.as_bytes(), from) {
                found |= at == place;
                from = at + 1;
            }
            assert!(found, "{text}");
        }
        assert_eq!(filter.next(b"", 0), None);
        assert_eq!(filter.next(b"ab", 0), None);
    }
}
