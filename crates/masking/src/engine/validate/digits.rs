//! Digits and letters out of a number as it is written.

/// The `N` digits of a number, without what separates them. None if there are more or fewer, or
/// anything else among them.
pub(super) fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut found = [0; N];
    let mut length = 0;
    for byte in text.iter().filter(|byte| !is_separator(**byte)) {
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
    for byte in text.iter().filter(|byte| !is_separator(**byte)) {
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
    for byte in text.iter().filter(|byte| !is_separator(**byte)) {
        if !byte.is_ascii_alphanumeric() || length == N {
            return None;
        }
        found[length] = byte.to_ascii_uppercase();
        length += 1;
    }
    (length == N).then_some(found)
}

/// What people write between the groups of a number.
pub(super) const fn is_separator(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')')
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
        assert_eq!(up_to::<5>(b"1 2"), Some(([1, 2, 0, 0, 0], 2)));
        assert_eq!(number(&[1, 0, 2]), 102);
        assert_eq!(weighted(&[1, 2], &[3, 4]), 11);
    }
}
