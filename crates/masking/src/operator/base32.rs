//! Base32 (RFC 4648 §6), of which models copy every character: one case, no `0`, `1`, `8` and `9`.

const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The characters for `bytes`, as far as they have five bits each.
pub(super) fn upper(bytes: &[u8]) -> impl Iterator<Item = u8> {
    (0..bytes.len() * 8 / 5).map(move |index| {
        let bit = index * 5;
        let pair = (u16::from(bytes[bit / 8]) << 8)
            | bytes.get(bit / 8 + 1).map_or(0, |byte| u16::from(*byte));
        character(pair >> (11 - bit % 8))
    })
}

/// The character for the last five bits.
pub(super) fn character(bits: u16) -> u8 {
    ALPHABET[usize::from(bits & 31)]
}

pub(super) const fn is_upper(byte: u8) -> bool {
    matches!(byte, b'A'..=b'Z' | b'2'..=b'7')
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_vectors_of_the_rfc() {
        for (bytes, text) in [("fooba", "MZXW6YTB"), ("foobarfoob", "MZXW6YTBOJTG633C")] {
            let coded: Vec<u8> = super::upper(bytes.as_bytes()).collect();
            assert_eq!(coded, text.as_bytes());
        }
    }
}
