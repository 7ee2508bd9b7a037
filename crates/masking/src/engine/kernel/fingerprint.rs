//! Tells what may be the beginning of a literal from what cannot be.

/// The first three bytes of some literals, as eight sets of four-bit halves: so one set is looked
/// for in 64 bytes at once. It may take other bytes for a literal, and never misses one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fingerprint {
    /// For each of the three bytes and each lower half, the sets it is in.
    pub low: [[u8; 16]; 3],
    /// The same for the upper half.
    pub high: [[u8; 16]; 3],
}

impl Fingerprint {
    /// For these beginnings. Each goes to the set in which it does least harm.
    pub(crate) fn new(mut beginnings: Vec<[u8; 3]>) -> Self {
        beginnings.sort_unstable();
        beginnings.dedup();
        beginnings.sort_by_key(|three| std::cmp::Reverse(weight(three)));
        let mut sets = [[(0u16, 0u16); 3]; 8];
        let mut costs = [0; 8];
        for three in beginnings {
            let grown = sets.map(|set| grow(set, three));
            let harm = |set: usize| cost(&grown[set]) - costs[set];
            let best = (0..8).min_by_key(|set| harm(*set)).unwrap_or(0);
            sets[best] = grown[best];
            costs[best] = cost(&grown[best]);
        }
        let mut table = Self::default();
        for (bit, set) in sets.iter().enumerate() {
            for (position, (low, high)) in set.iter().enumerate() {
                for half in 0..16 {
                    table.low[position][half] |= u8::from(low >> half & 1 != 0) << bit;
                    table.high[position][half] |= u8::from(high >> half & 1 != 0) << bit;
                }
            }
        }
        table
    }

    /// Whether these three bytes may begin a literal.
    pub(crate) fn has(&self, three: &[u8]) -> bool {
        let sets = three.iter().zip(self.low.iter().zip(&self.high));
        let sets = sets
            .map(|(byte, (low, high))| low[usize::from(byte & 15)] & high[usize::from(byte >> 4)]);
        sets.fold(u8::MAX, |all, sets| all & sets) != 0
    }
}

type Set = [(u16, u16); 3];

fn grow(mut set: Set, three: [u8; 3]) -> Set {
    for ((low, high), byte) in set.iter_mut().zip(three) {
        *low |= 1 << (byte & 15);
        *high |= 1 << (byte >> 4);
    }
    set
}

/// How often a set is met, on a scale of its own.
fn cost(set: &Set) -> u64 {
    set.iter()
        .map(|(low, high)| {
            (0..=u8::MAX)
                .filter(|byte| low >> (byte & 15) & 1 != 0 && high >> (byte >> 4) & 1 != 0)
                .map(frequency)
                .sum::<u64>()
        })
        .product()
}

/// How often three bytes are met, on the same scale.
pub(crate) fn weight(three: &[u8]) -> u64 {
    three.iter().map(|byte| frequency(*byte)).product()
}

/// Of a thousand bytes of prose, code and logs, about so many are this one.
fn frequency(byte: u8) -> u64 {
    match byte {
        b' ' => 150,
        b'e' => 80,
        b't' | b'a' | b'o' | b'i' | b'n' | b's' | b'r' => 50,
        b'l' | b'd' | b'c' | b'u' | b'p' | b'm' => 25,
        b'h' | b'f' | b'g' | b'b' | b'_' | b'.' | b'-' | b'"' | b'/' => 15,
        b'y' | b'w' | b'v' | b'k' | b'0'..=b'9' | b':' | b'=' | b'(' | b')' | b'\n' | b',' => 10,
        b'x' | b'q' | b'j' | b'z' | b'A'..=b'T' | b'<' | b'>' | b'*' | b'#' => 4,
        0 => 0,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_knows_its_literals_and_little_else() {
        let literals = [*b"ghp", *b"AKI", *b"eyJ", *b"rer", *b"---", *b"sk-"];
        let table = Fingerprint::new(literals.to_vec());
        assert!(literals.iter().all(|literal| table.has(literal)));
        let text = b"the quick brown fox jumps over a lazy dog and wonders what for";
        assert!(text.windows(3).all(|three| !table.has(three)));
    }
}
