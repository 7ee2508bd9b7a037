//! How bytes are written in letters.

/// An encoding (RFC 4648): base64 in either alphabet (§4 and §5), or hexadecimal in either case (§8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Codec {
    Base64,
    Hex,
}

/// The first bytes that are encoded at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// What stands here is not encoded.
    No,
    /// Not enough letters have come.
    NotYet,
    /// So many of these bytes are known.
    Of([u8; 6], usize),
}

/// Stands for a letter that is of no use.
const NONE: u8 = 0xff;

static BASE64: [u8; 256] = {
    let mut values = [NONE; 256];
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut value = 0;
    while value < 64 {
        values[letters[value as usize] as usize] = value;
        value += 1;
    }
    values[b'-' as usize] = 62;
    values[b'_' as usize] = 63;
    values
};

static HEX: [u8; 256] = {
    let mut values = [NONE; 256];
    let (lower, upper) = (b"0123456789abcdef", b"0123456789ABCDEF");
    let mut value = 0;
    while value < 16 {
        values[lower[value as usize] as usize] = value;
        values[upper[value as usize] as usize] = value;
        value += 1;
    }
    values
};

impl Codec {
    /// With which byte of a group, which is also the letter that has its first bits, something may
    /// begin.
    pub(super) const BEGINS: [(Self, usize); 4] = [
        (Self::Base64, 0),
        (Self::Base64, 1),
        (Self::Base64, 2),
        (Self::Hex, 0),
    ];
    pub(super) const ALL: [Self; 2] = [Self::Base64, Self::Hex];
    /// No group stands for more bytes.
    pub(super) const MOST: usize = 3;

    /// Letters in a group that stands for whole bytes.
    pub(super) const fn letters(self) -> usize {
        match self {
            Self::Base64 => 4,
            Self::Hex => 2,
        }
    }

    /// Bytes that a group stands for.
    pub(super) const fn bytes(self) -> usize {
        match self {
            Self::Base64 => 3,
            Self::Hex => 1,
        }
    }

    /// What a letter stands for.
    pub(super) fn value(self, letter: u8) -> Option<u8> {
        let values = match self {
            Self::Base64 => &BASE64,
            Self::Hex => &HEX,
        };
        Some(values[usize::from(letter)]).filter(|value| *value != NONE)
    }

    /// The bytes that a group stands for, of which the first letters are known, by their values.
    pub(super) fn group(self, values: &[u8]) -> ([u8; 3], usize) {
        let value = |index: usize| u32::from(values.get(index).copied().unwrap_or(0));
        match self {
            Self::Base64 => {
                let bits = value(0) << 18 | value(1) << 12 | value(2) << 6 | value(3);
                let [_, bytes @ ..] = bits.to_be_bytes();
                (bytes, values.len() * 3 / 4)
            }
            Self::Hex => {
                let [.., byte] = (value(0) << 4 | value(1)).to_be_bytes();
                ([byte, 0, 0], values.len() / 2)
            }
        }
    }

    /// How many bits these first letters of a group have beyond whole bytes.
    pub(super) const fn bits_beyond(self, letters: usize) -> u32 {
        match (self, letters) {
            (_, 0) => 0,
            (Self::Base64, 1) => 6,
            (Self::Base64, 2) => 4,
            (Self::Base64, _) => 2,
            (Self::Hex, _) => 4,
        }
    }

    /// How many letters of a group hold bits of its first bytes.
    pub(super) const fn covering(self, bytes: usize) -> usize {
        match (self, bytes) {
            (_, 0) => 0,
            (Self::Base64, _) => bytes + 1,
            (Self::Hex, _) => 2 * bytes,
        }
    }
}

impl Beginning {
    /// The first bytes that the letters at `at` stand for.
    #[inline]
    pub(super) fn at(codec: Codec, bytes: &[u8], at: usize) -> Self {
        let Some(letters) = bytes[at..].first_chunk::<8>() else {
            return Self::NotYet;
        };
        let mut first = [0; 6];
        let (values, known, most) = match codec {
            Codec::Base64 => {
                let values = letters.map(|letter| BASE64[usize::from(letter)]);
                let bits = values
                    .iter()
                    .fold(0u64, |bits, value| bits << 6 | u64::from(*value & 0x3f));
                first.copy_from_slice(&bits.to_be_bytes()[2..]);
                (values, 6, 63)
            }
            Codec::Hex => {
                let values = letters.map(|letter| HEX[usize::from(letter)]);
                for (byte, pair) in first.iter_mut().zip(values.chunks_exact(2)) {
                    *byte = pair[0] << 4 | pair[1];
                }
                (values, 4, 15)
            }
        };
        if values.iter().fold(0, |all, value| all | value) <= most {
            Self::Of(first, known)
        } else {
            Self::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_stand_for_bytes() {
        let first = |codec, text: &[u8]| Beginning::at(codec, text, 0);
        assert_eq!(
            first(Codec::Base64, b"QUtJQUlP"),
            Beginning::Of(*b"AKIAIO", 6)
        );
        assert_eq!(
            first(Codec::Base64, b"fn5-fv__"),
            first(Codec::Base64, b"fn5+fv//")
        );
        assert_eq!(
            first(Codec::Hex, b"414b4941"),
            Beginning::Of(*b"AKIA\0\0", 4)
        );
        assert_eq!(
            first(Codec::Hex, b"4B4b4A4a"),
            Beginning::Of(*b"KKJJ\0\0", 4)
        );
        assert_eq!(first(Codec::Hex, b"414b494g"), Beginning::No);
        assert_eq!(first(Codec::Base64, b"QUtJQUl="), Beginning::No);
        assert_eq!(first(Codec::Base64, b"QUtJQUl"), Beginning::NotYet);
        let values: Vec<u8> = b"QUt"
            .iter()
            .filter_map(|letter| Codec::Base64.value(*letter))
            .collect();
        assert_eq!(Codec::Base64.group(&values), ([b'A', b'K', 0x40], 2));
        assert_eq!(Codec::Hex.group(&[4]), ([0x40, 0, 0], 0));
    }
}
