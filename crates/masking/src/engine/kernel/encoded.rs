//! Finds where letters may stand for text.
//!
//! In what is encoded, some letters tell that a byte is of ASCII: of base64, the first of every four
//! has the upper six bits of a byte, of which the highest is zero, so it is one of `A` to `Z` and `a`
//! to `f`; of hexadecimal, the first of every two is a digit. Six such bytes in a row are rare in what
//! is not encoded.

use super::{
    DIGIT, HEX, Kind, TOKEN, UPPER,
    around::{Around, Wide},
    is,
};

/// So many bytes that tokens are made of there are at least: what stands for sixteen bytes.
const LETTERS: usize = 22;
/// So many groups are looked at behind the first, in which other bytes may come before the match.
const GROUPS: usize = 5;
/// So many letters from the first on, if they are hexadecimal.
const PAIRS: usize = 8;

/// The places of a block at which a group of letters may begin in which a match begins. From the
/// places in `run` on, there are sixteen bytes that tokens are made of.
#[inline(always)]
pub(super) fn places(around: &Around<'_>, run: Wide) -> u64 {
    let run = run.and(run.ahead(6));

    let heads = around.both(HEX).without(around.both(DIGIT));
    let heads = heads.or(around.both(UPPER));
    let mut base64 = heads.ahead(4);
    for by in [4, 8] {
        base64 = base64.and(base64.ahead(by));
    }
    base64 = base64.and(heads.ahead(20));

    let mut hex = around.both(DIGIT);
    for by in [2, 4, 8] {
        hex = hex.and(hex.ahead(by));
    }
    run.and(base64.or(hex)).0
}

/// The same, byte by byte, for the place at `at`.
pub(crate) fn is_place(bytes: &[u8], at: usize, end: bool) -> bool {
    let ahead = |offset: usize, kinds: &[Kind]| match bytes.get(at + offset) {
        Some(byte) => kinds.iter().any(|kind| is(*byte, *kind)),
        None => !end,
    };
    let digit = |offset| ahead(offset, &[DIGIT]);
    let head = |offset: usize| {
        let is_digit = bytes.get(at + offset).is_some_and(u8::is_ascii_digit);
        ahead(offset, &[UPPER, HEX]) && !is_digit
    };
    (0..LETTERS).all(|offset| ahead(offset, &[TOKEN]))
        && ((1..=GROUPS).all(|group| head(4 * group)) || (0..PAIRS).all(|pair| digit(2 * pair)))
}
