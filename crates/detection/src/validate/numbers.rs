//! Numbers of people's accounts, told from others by their check digits.

use std::ops::Range;

use crate::engine::Candidate;

/// How far behind the literal the number may stand, in bytes.
const NEAR: usize = 48;

/// A payment card's number behind the literal: 13 to 19 digits (ISO/IEC 7812-1) with a right check
/// digit.
pub(crate) fn payment_card(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let (digits, end) = number(candidate.behind(), u8::is_ascii_digit)?;
    let first = digits.first()?;
    let same = digits.iter().all(|digit| digit == first);
    let fits = (13..=19).contains(&digits.len()) && !same && luhn(&digits);
    fits.then_some(candidate.literal.start..candidate.literal.end + end)
}

/// An IBAN behind the literal (ISO 13616), with right check digits.
pub(crate) fn iban(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let behind = candidate.behind();
    let start = behind.windows(4).take(NEAR).position(|four| {
        four[..2].iter().all(u8::is_ascii_uppercase) && four[2..].iter().all(u8::is_ascii_digit)
    })?;
    let (letters, end) = number(&behind[start..], |byte| {
        byte.is_ascii_digit() || byte.is_ascii_uppercase()
    })?;
    let fits = (15..=34).contains(&letters.len()) && mod97(&letters);
    fits.then_some(candidate.literal.start..candidate.literal.end + start + end)
}

/// The first number near the beginning, without the spaces and dashes that group it, and its end.
fn number(bytes: &[u8], is_part: impl Fn(&u8) -> bool) -> Option<(Vec<u8>, usize)> {
    let start = bytes.iter().take(NEAR).position(&is_part)?;
    let mut parts = Vec::new();
    let mut end = start;
    for (at, byte) in bytes.iter().enumerate().skip(start).take(NEAR) {
        if is_part(byte) {
            parts.push(*byte);
            end = at + 1;
        } else if !(matches!(byte, b' ' | b'-') && end == at) {
            break;
        }
    }
    Some((parts, end))
}

/// The check digit of ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| {
            let digit = u32::from(digit - b'0');
            match (place % 2 == 1, digit * 2) {
                (false, _) => digit,
                (true, double) if double > 9 => double - 9,
                (true, double) => double,
            }
        })
        .sum();
    sum.is_multiple_of(10)
}

/// The check digits of ISO/IEC 7064, MOD 97-10, over an IBAN whose first four letters come last.
fn mod97(letters: &[u8]) -> bool {
    let (head, tail) = letters.split_at(letters.len().min(4));
    let rest = tail.iter().chain(head).fold(0u32, |rest, letter| {
        if letter.is_ascii_digit() {
            (rest * 10 + u32::from(letter - b'0')) % 97
        } else {
            (rest * 100 + u32::from(letter - b'A') + 10) % 97
        }
    });
    rest == 1
}
