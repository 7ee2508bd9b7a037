//! How much a text surprises, in whole numbers.

/// No more bytes than this are looked at.
const MAX: usize = 128;
/// Fixed point: this many bits behind the point.
const POINT: u32 = 16;
/// `log2` of the numbers up to [`MAX`], in fixed point; of 0 it is 0, as it always meets a 0.
static LOG: [u64; MAX + 1] = logs();

/// Bits of Shannon entropy per byte, in fixed point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bits(u64);

impl Bits {
    /// Reads a number between 0 and 8 such as `3.25`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || part.is_empty() || part.len() > 6 || !digits(whole) || !digits(part)
        {
            return None;
        }
        let scale = 10u64.pow(u32::try_from(part.len()).ok()?);
        let (whole, part): (u64, u64) = (whole.parse().ok()?, part.parse().ok()?);
        let bits = whole.checked_mul(1 << POINT)? + (part << POINT) / scale;
        (bits <= 8 << POINT).then_some(Self(bits))
    }

    /// Whether a text has at least so much.
    pub(super) fn are_in(self, text: &[u8]) -> bool {
        let text = &text[..text.len().min(MAX)];
        // A few parts in 65536 are lost to rounding; they count for the text.
        total(text) + 8 * length(text) >= self.0 * length(text)
    }
}

/// Whether a text has as many different bytes as one that is drawn at random from its own alphabet
/// would have: digits, hex, one case, or both cases.
///
/// A text of `n` bytes cannot have more than `log2 n` bits, and an alphabet of `k` not more than
/// `log2 k`. Random texts of at least 16 bytes reach 80 % of the smaller one with room to spare;
/// words, counters and repeated patterns do not.
pub(super) fn is_random(text: &[u8]) -> bool {
    let text = &text[..text.len().min(MAX)];
    if text.is_empty() {
        return false;
    }
    let any = |test: fn(&u8) -> bool| text.iter().any(test);
    let letters = |first: u8, last: u8| text.iter().any(|byte| (first..=last).contains(byte));
    let alphabet = match (any(u8::is_ascii_lowercase), any(u8::is_ascii_uppercase)) {
        (true, true) => 62,
        (false, false) => 10,
        _ if !letters(b'g', b'z') && !letters(b'G', b'Z') => 16,
        _ => 32,
    };
    let most = LOG[alphabet].min(LOG[text.len()]);
    total(text) * 10 >= most * length(text) * 8
}

/// Shannon entropy of all bytes together: `n log2 n - Σ c log2 c`.
fn total(text: &[u8]) -> u64 {
    let mut counts = [0u8; 256];
    for byte in text {
        counts[usize::from(*byte)] += 1;
    }
    let known = |count: usize| LOG[count] * count as u64;
    // Every byte adds its share, so that 256 counts need not be gone through.
    let mut rest = 0;
    for byte in text {
        let count = std::mem::take(&mut counts[usize::from(*byte)]);
        rest += known(usize::from(count));
    }
    known(text.len()).saturating_sub(rest)
}

fn length(text: &[u8]) -> u64 {
    text.len() as u64
}

/// By repeated squaring: whenever the square reaches 2, the next bit of the logarithm is 1.
const fn logs() -> [u64; MAX + 1] {
    let mut table = [0; MAX + 1];
    let mut number = 1;
    while number <= MAX {
        let whole = number.ilog2();
        let mut log = (whole as u64) << POINT;
        let mut rest = ((number as u64) << 31) >> whole;
        let mut bit = POINT;
        while bit > 0 {
            bit -= 1;
            rest = (rest * rest) >> 31;
            if rest >= 2 << 31 {
                rest >>= 1;
                log |= 1 << bit;
            }
        }
        table[number] = log;
        number += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn float(text: &[u8]) -> f64 {
        (0..=255u8)
            .map(|byte| {
                text.iter().filter(|known| **known == byte).count() as f64 / text.len() as f64
            })
            .filter(|share| *share > 0.0)
            .map(|share| -share * share.log2())
            .sum()
    }

    #[test]
    fn entropy_is_that_of_the_textbook() {
        for text in [
            &b"a"[..],
            b"aaaaaaaa",
            b"abcdabcd",
            b"correct horse battery",
            b"0123456789abcdef",
        ] {
            let bits = total(text) as f64 / 65536.0 / text.len() as f64;
            assert!(
                (bits - float(text)).abs() < 0.001,
                "{}",
                text.escape_ascii()
            );
        }
        let three = Bits::parse("3.0").unwrap();
        assert!(three.are_in(b"abcdefgh") && !three.are_in(b"abcdefgg"));
        assert!(Bits::parse("0").unwrap().are_in(b""));
    }

    #[test]
    fn a_threshold_is_a_plain_number_up_to_eight() {
        assert_eq!(Bits::parse("2.5"), Some(Bits(5 << 15)));
        for text in ["", ".", "8.1", "-1", "1e3", "NaN", "3.", ".5"] {
            assert_eq!(Bits::parse(text), None, "{text}");
        }
    }

    #[test]
    fn random_texts_are_random_and_words_are_not() {
        for text in [
            &b"9f86d081884c7d659a2feaa0c55ad015"[..],
            b"Zk3vQ9xLw1TgB7nRy5Ec",
            b"7403158296403715",
            b"q8w3zt5kp1xm7cdv",
        ] {
            assert!(is_random(text), "{}", text.escape_ascii());
        }
        for text in [
            &b""[..],
            b"aaaaaaaaaaaaaaaaaaaa",
            b"1212121212121212",
            b"banana-banana-banana",
        ] {
            assert!(!is_random(text), "{}", text.escape_ascii());
        }
    }
}
