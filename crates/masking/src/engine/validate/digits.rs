//! Digits and letters out of a number as it is written.

/// The `N` digits of a number, without what separates them. None if there are more or fewer, or
/// anything else among them.
pub(super) fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut found = [0; N];
    let mut length = 0;
    for byte in plain(text) {
        if !byte.is_ascii_digit() || length == N {
            return None;
        }
        found[length] = byte - b'0';
        length += 1;
    }
    (length == N).then_some(found)
}

/// The digits of a number of at most `N`, and how many there are.
pub(super) fn up_to<const N: usize>(text: &[u8]) -> Option<([u8; N], usize)> {
    let mut found = [0; N];
    let mut length = 0;
    for byte in plain(text) {
        if !byte.is_ascii_digit() || length == N {
            return None;
        }
        found[length] = byte - b'0';
        length += 1;
    }
    Some((found, length))
}

/// The `N` letters and digits of an identifier, in upper case, without what separates them.
pub(super) fn letters<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut found = [0; N];
    let mut length = 0;
    for byte in plain(text) {
        if !byte.is_ascii_alphanumeric() || length == N {
            return None;
        }
        found[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    (length == N).then_some(found)
}

/// What is left of a number without what people write between its groups. In an address that is
/// written with percent signs (RFC 3986 §2.1), or a space as a plus (HTML, URL-encoded form data).
pub(super) fn plain(text: &[u8]) -> impl DoubleEndedIterator<Item = u8> {
    let is_escape = |at: usize| {
        text.get(at) == Some(&b'%')
            && matches!(
                text.get(at + 1..at + 3),
                Some(b"20" | b"2D" | b"2d" | b"2E" | b"2e" | b"2F" | b"2f" | b"28" | b"29")
            )
    };
    let has_escapes = text.contains(&b'%');
    let is_escaped =
        move |at: usize| has_escapes && (0..=2).any(|back| at >= back && is_escape(at - back));
    let bytes = text.iter().copied().enumerate();
    bytes
        .filter(move |(at, byte)| !is_separator(*byte) && !is_escaped(*at))
        .map(|(_, byte)| byte)
}

const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')' | b'+')
}

/// The number that digits stand for. Not more than 19 of them.
pub(super) fn number(digits: &[u8]) -> u64 {
    digits
        .iter()
        .take(19)
        .fold(0, |number, digit| number * 10 + u64::from(*digit))
}

/// The sum of digits, each with its weight.
pub(super) fn weighted(digits: &[u8], weights: &[u8]) -> u32 {
    digits
        .iter()
        .zip(weights)
        .map(|(digit, weight)| u32::from(*digit) * u32::from(*weight))
        .sum()
}

/// The value of an ASCII digit; anything else is 0.
pub(super) const fn value(byte: u8) -> u8 {
    if byte.is_ascii_digit() {
        byte - b'0'
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_are_left_out_and_nothing_else() {
        assert_eq!(digits::<4>(b"12-3.4"), Some([1, 2, 3, 4]));
        assert_eq!(digits::<4>(b"12-3.45"), None);
        assert_eq!(digits::<4>(b"12a4"), None);
        assert_eq!(letters::<3>(b"a 1-z"), Some(*b"A1Z"));
        assert_eq!(digits::<4>(b"12%2034"), Some([1, 2, 3, 4]));
        assert_eq!(letters::<4>(b"A%2F1+z2"), Some(*b"A1Z2"));
        assert_eq!(digits::<4>(b"12%4134"), None);
        assert_eq!(up_to::<5>(b"1 2"), Some(([1, 2, 0, 0, 0], 2)));
        assert_eq!(number(&[1, 0, 2]), 102);
        assert_eq!(weighted(&[1, 2], &[3, 4]), 11);
    }
}
