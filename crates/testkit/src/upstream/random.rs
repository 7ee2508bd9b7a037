//! Numbers that look random and are the same for the same seed (SplitMix64).

/// A sequence of numbers.
pub(super) struct Random(u64);

impl Random {
    /// The sequence of a seed and a text, so that equal requests get equal answers.
    pub(super) fn of(seed: u64, text: &[u8]) -> Self {
        let mut random = Self(seed);
        for chunk in text.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            random.0 ^= u64::from_le_bytes(word);
            random.0 = random.next();
        }
        random
    }

    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, or 0.
    pub(super) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    /// A number from 0 to 1.
    pub(super) fn share(&mut self) -> f64 {
        let [a, b, c, d, ..] = self.next().to_le_bytes();
        f64::from(u32::from_le_bytes([a, b, c, d])) / f64::from(u32::MAX)
    }

    /// Letters and digits, as ids have them.
    pub(super) fn letters(&mut self, count: usize) -> String {
        const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
        (0..count)
            .map(|_| char::from(ALPHABET[self.below(ALPHABET.len())]))
            .collect()
    }

    /// Cuts a text between any two characters into pieces of at most `most` characters.
    pub(super) fn cut<'t>(&mut self, mut text: &'t str, most: usize) -> Vec<&'t str> {
        let mut pieces = Vec::new();
        while !text.is_empty() {
            let count = 1 + self.below(most);
            let end = text
                .char_indices()
                .nth(count)
                .map_or(text.len(), |(at, _)| at);
            let (piece, rest) = text.split_at(end);
            pieces.push(piece);
            text = rest;
        }
        pieces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_anywhere_and_stays_whole() {
        let text = "na\u{ef}ve \u{1f600} text with a secret in it".repeat(20);
        let pieces = Random::new(7).cut(&text, 8);
        assert_eq!(pieces.concat(), text);
        assert!(
            pieces
                .iter()
                .all(|piece| (1..=8).contains(&piece.chars().count()))
        );
        assert_eq!(pieces, Random::new(7).cut(&text, 8));
        assert_ne!(pieces, Random::new(8).cut(&text, 8));
    }

    #[test]
    fn a_share_is_kept_on_average() {
        let mut random = Random::new(1);
        let hits = (0..10_000).filter(|_| random.share() < 0.3).count();
        assert!((2800..3200).contains(&hits), "{hits}");
    }
}
