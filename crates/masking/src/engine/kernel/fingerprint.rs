//! Tells what may be the beginning of a literal from what cannot be.

/// How many bytes of a literal a fingerprint tells.
pub(crate) const FIRST: usize = 4;

/// The first four bytes of some literals, as eight sets: so one set is looked for in 64 bytes at
/// once. It may take other bytes for a literal, and never misses one.
///
/// There are two tables. Pairs of bytes tell much more than halves of bytes, for machines that can
/// look up so large a table, and they are in twice as many sets.
#[derive(Clone, Debug)]
pub(crate) struct Fingerprint {
    /// For each of the bytes and each lower half, the sets it is in.
    pub low: [[u8; 16]; FIRST],
    /// The same for the upper half.
    pub high: [[u8; 16]; FIRST],
    /// For each byte but the last and the one behind it, by [`pair`], the sets they are in.
    pub pairs: [Pairs; 2],
}

/// Eight sets of pairs.
pub(crate) type Pairs = [[u8; 128]; FIRST - 1];

/// Seven bits of two bytes.
pub(crate) const fn pair(first: u8, second: u8) -> usize {
    ((first << 2 ^ second) & 0x7f) as usize
}

impl Fingerprint {
    /// For these beginnings; behind a shorter one anything may stand.
    pub(crate) fn new(mut beginnings: Vec<&[u8]>) -> Self {
        for beginning in &mut beginnings {
            *beginning = &beginning[..beginning.len().min(FIRST)];
        }
        // Short ones are together, and so are those that begin alike: then a set says more.
        beginnings.sort_unstable_by_key(|first| (first.len(), *first));
        beginnings.dedup();
        let mut table = Self {
            low: [[0; 16]; FIRST],
            high: [[0; 16]; FIRST],
            pairs: [[[0; 128]; FIRST - 1]; 2],
        };
        let of_set = beginnings.len().div_ceil(16).max(1);
        for (set, beginnings) in beginnings.chunks(of_set).enumerate() {
            for first in beginnings {
                table.add(set, first);
            }
        }
        table
    }

    fn add(&mut self, set: usize, first: &[u8]) {
        let (pairs, set_of_eight) = (&mut self.pairs[set / 8], 1 << (set % 8));
        for (position, sets) in pairs.iter_mut().enumerate() {
            match first.get(position..position + 2) {
                Some([first, second]) => sets[pair(*first, *second)] |= set_of_eight,
                _ => sets.iter_mut().for_each(|sets| *sets |= set_of_eight),
            }
        }
        let set = 1 << (set / 2);
        for (position, (low, high)) in self.low.iter_mut().zip(&mut self.high).enumerate() {
            match first.get(position) {
                Some(byte) => {
                    low[usize::from(byte & 15)] |= set;
                    high[usize::from(byte >> 4)] |= set;
                }
                None => {
                    low.iter_mut().for_each(|sets| *sets |= set);
                    high.iter_mut().for_each(|sets| *sets |= set);
                }
            }
        }
    }

    /// Whether these bytes may begin a literal, by their halves.
    pub(crate) fn has(&self, first: &[u8]) -> bool {
        let sets = first.iter().zip(self.low.iter().zip(&self.high));
        let sets = sets
            .map(|(byte, (low, high))| low[usize::from(byte & 15)] & high[usize::from(byte >> 4)]);
        sets.fold(u8::MAX, |all, sets| all & sets) != 0
    }

    /// The same by their pairs.
    #[cfg(test)]
    pub(crate) fn has_pairs(&self, first: &[u8]) -> bool {
        self.pairs.iter().any(|pairs| {
            let sets = first.windows(2).zip(pairs);
            let sets = sets.map(|(two, sets)| sets[pair(two[0], two[1])]);
            sets.fold(u8::MAX, |all, sets| all & sets) != 0
        })
    }
}

/// How often these bytes are met, on the same scale.
pub(crate) fn weight(first: &[u8]) -> u64 {
    let known = first.iter().map(|byte| frequency(*byte));
    known.chain([1000; FIRST]).take(FIRST).product()
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
        let literals = [&b"ghp_"[..], b"AKIA", b"eyJ", b"earer ", b"---", b"sk-ant"];
        let table = Fingerprint::new(literals.to_vec());
        for literal in literals {
            for behind in [0, b' ', b'a', 0xff] {
                let mut first = [behind; FIRST];
                let known = literal.len().min(FIRST);
                first[..known].copy_from_slice(&literal[..known]);
                assert!(table.has(&first) && table.has_pairs(&first), "{first:?}");
            }
        }
        let text = b"the quick brown fox jumps over a lazy dog and wonders what for";
        let known = |has: fn(&Fingerprint, &[u8]) -> bool| {
            text.windows(FIRST).any(|first| has(&table, first))
        };
        assert!(!known(Fingerprint::has) && !known(Fingerprint::has_pairs));
    }
}
