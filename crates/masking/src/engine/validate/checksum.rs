//! Check digits that many kinds of numbers share.

use crate::engine::validate::{Accepts, digits};

/// Validators by the names of their algorithms.
pub(super) static NAMED: &[(&str, Accepts)] = &[
    ("luhn", is_luhn),
    ("verhoeff", is_verhoeff),
    ("damm", is_damm),
    ("mod97-10", |body| mod97(body) == Some(1)),
    ("mod37-36", is_mod37_36),
    ("mod11-10", is_mod11_10),
    ("mod11-2", is_mod11_2),
];

/// A longer number has no check digit of these kinds.
const MAX: usize = 40;

/// The Luhn algorithm (ISO/IEC 7812-1, annex B) over all digits.
fn is_luhn(body: &[u8]) -> bool {
    digits::up_to::<MAX>(body).is_some_and(|(found, length)| length >= 2 && luhn(&found[..length]))
}

/// The Luhn algorithm over digits, of which the last is the check digit.
pub(super) fn luhn(digits: &[u8]) -> bool {
    luhn_sum(digits).is_multiple_of(10)
}

fn luhn_sum(digits: &[u8]) -> u32 {
    let (mut sum, mut double) = (0, false);
    for digit in digits.iter().rev() {
        let value = u32::from(*digit) << u32::from(double);
        sum += if value > 9 { value - 9 } else { value };
        double = !double;
    }
    sum
}

/// The dihedral group D5 (J. Verhoeff, Error Detecting Decimal Codes, 1969).
const DIHEDRAL: [[u8; 10]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 2, 3, 4, 0, 6, 7, 8, 9, 5],
    [2, 3, 4, 0, 1, 7, 8, 9, 5, 6],
    [3, 4, 0, 1, 2, 8, 9, 5, 6, 7],
    [4, 0, 1, 2, 3, 9, 5, 6, 7, 8],
    [5, 9, 8, 7, 6, 0, 4, 3, 2, 1],
    [6, 5, 9, 8, 7, 1, 0, 4, 3, 2],
    [7, 6, 5, 9, 8, 2, 1, 0, 4, 3],
    [8, 7, 6, 5, 9, 3, 2, 1, 0, 4],
    [9, 8, 7, 6, 5, 4, 3, 2, 1, 0],
];

/// Verhoeff's permutation, applied as often as a digit is away from the check digit.
const PERMUTATIONS: [[u8; 10]; 8] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
    [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
    [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
    [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
    [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
    [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
    [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
];

fn is_verhoeff(body: &[u8]) -> bool {
    digits::up_to::<MAX>(body)
        .is_some_and(|(found, length)| length >= 2 && verhoeff(&found[..length]))
}

/// Verhoeff's algorithm over digits, of which the last is the check digit.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    let mut state = 0;
    for (place, digit) in digits.iter().rev().enumerate() {
        let moved = PERMUTATIONS[place % 8][usize::from(*digit)];
        state = DIHEDRAL[usize::from(state)][usize::from(moved)];
    }
    state == 0
}

/// Damm's algorithm (H. M. Damm, Total anti-symmetrische Quasigruppen, 2004).
fn is_damm(body: &[u8]) -> bool {
    const QUASIGROUP: [[u8; 10]; 10] = [
        [0, 3, 1, 7, 5, 9, 8, 6, 4, 2],
        [7, 0, 9, 2, 1, 5, 4, 8, 6, 3],
        [4, 2, 0, 6, 8, 7, 1, 3, 5, 9],
        [1, 7, 5, 0, 9, 8, 3, 4, 2, 6],
        [6, 1, 2, 3, 0, 4, 5, 9, 7, 8],
        [3, 6, 7, 4, 2, 0, 9, 5, 8, 1],
        [5, 8, 6, 9, 7, 2, 0, 1, 3, 4],
        [8, 9, 4, 5, 3, 6, 2, 0, 1, 7],
        [9, 4, 3, 8, 6, 1, 7, 2, 0, 5],
        [2, 5, 8, 1, 4, 3, 6, 7, 9, 0],
    ];
    digits::up_to::<MAX>(body).is_some_and(|(found, length)| {
        let rest = found[..length].iter().fold(0u8, |state, digit| {
            QUASIGROUP[usize::from(state)][usize::from(*digit)]
        });
        length >= 2 && rest == 0
    })
}

/// The remainder by 97 of letters and digits as ISO/IEC 7064 reads them, with A as 10.
pub(super) fn mod97(body: &[u8]) -> Option<u32> {
    let mut rest = 0;
    for byte in digits::plain(body) {
        rest = match byte {
            b'0'..=b'9' => rest * 10 + u32::from(byte - b'0'),
            b'A'..=b'Z' => rest * 100 + u32::from(byte - b'A') + 10,
            b'a'..=b'z' => rest * 100 + u32::from(byte - b'a') + 10,
            _ => return None,
        } % 97;
    }
    Some(rest)
}

/// ISO/IEC 7064 MOD 37,36: letters and digits, the last of which checks.
fn is_mod37_36(body: &[u8]) -> bool {
    let mut state = 36;
    let mut last = None;
    for byte in digits::plain(body) {
        let value = match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'Z' => u32::from(byte - b'A') + 10,
            b'a'..=b'z' => u32::from(byte - b'a') + 10,
            _ => return false,
        };
        if let Some(before) = last.replace(value) {
            let sum = (state + before) % 36;
            state = if sum == 0 { 36 } else { sum } * 2 % 37;
        }
    }
    last.is_some_and(|check| (state + check) % 36 == 1)
}

fn is_mod11_10(body: &[u8]) -> bool {
    digits::up_to::<MAX>(body)
        .is_some_and(|(found, length)| length >= 2 && mod11_10(&found[..length]))
}

/// ISO/IEC 7064 MOD 11,10 over digits, of which the last is the check digit.
pub(super) fn mod11_10(digits: &[u8]) -> bool {
    let Some((check, rest)) = digits.split_last() else {
        return false;
    };
    let state = rest.iter().fold(10, |state, digit| {
        let sum = (state + u32::from(*digit)) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (state + u32::from(*check)) % 10 == 1
}

/// ISO/IEC 7064 MOD 11-2: digits and a check character, which may be `X`.
pub(super) fn is_mod11_2(body: &[u8]) -> bool {
    let mut plain = digits::plain(body);
    let check = match plain.next_back() {
        Some(byte @ b'0'..=b'9') => u32::from(byte - b'0'),
        Some(b'X' | b'x') => 10,
        _ => return false,
    };
    let mut state = 0;
    for byte in plain {
        if !byte.is_ascii_digit() {
            return false;
        }
        state = (state + u32::from(byte - b'0')) * 2 % 11;
    }
    (state + check) % 11 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_is_that_of_the_standard() {
        // The example of the German and English articles on the algorithm.
        assert!(is_luhn(b"7992739871 3") && is_luhn(b"4111-1111-1111-1111"));
        assert!(!is_luhn(b"79927398710") && !is_luhn(b"0") && !is_luhn(b""));
    }

    #[test]
    fn verhoeff_and_damm_see_every_swap() {
        assert!(is_verhoeff(b"2363") && is_verhoeff(b"123451") && !is_verhoeff(b"2633"));
        assert!(is_damm(b"5724") && !is_damm(b"5274") && !is_damm(b"5727"));
    }

    #[test]
    fn iso_7064_is_that_of_its_examples() {
        assert!(is_mod11_2(b"079X") && !is_mod11_2(b"0794"));
        assert!(is_mod11_2(b"0000 0002 1825 0097"));
        assert!(is_mod11_10(b"07945") && !is_mod11_10(b"07946"));
        assert!(is_mod37_36(b"A12425GABC1234002M") && !is_mod37_36(b"A12425GABC1234002N"));
        assert_eq!(mod97(b"3214282912345698765432161182"), Some(1));
        assert_eq!(mod97(b"32_"), None);
    }
}
