//! Characters that a reader does not see and a model does.

use std::ops::Range;

use crate::engine::Candidate;

/// How tag characters begin (U+E0000 to U+E007F).
pub(crate) const TAGS: &[&[u8]] = &[b"\xf3\xa0\x80", b"\xf3\xa0\x81"];
/// U+202D and U+202E.
pub(crate) const BIDI: &[&[u8]] = &[b"\xe2\x80\xad", b"\xe2\x80\xae"];
/// U+200B, U+200C, U+200D, U+2060 and U+FEFF.
pub(crate) const ZERO_WIDTH: &[&[u8]] = &[
    b"\xe2\x80\x8b",
    b"\xe2\x80\x8c",
    b"\xe2\x80\x8d",
    b"\xe2\x81\xa0",
    b"\xef\xbb\xbf",
];

/// Several tag characters. Some flags are written with them, behind a black flag (UTS #51).
pub(crate) fn tags(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    const BLACK_FLAG: &[u8] = "\u{1f3f4}".as_bytes();
    const CANCEL: &[u8] = "\u{e007f}".as_bytes();
    let before = candidate.before();
    if before.len() >= 4 && TAGS.contains(&&before[before.len() - 4..before.len() - 1]) {
        // Within a run, which was judged where it began.
        return None;
    }
    let ahead = candidate.ahead();
    let count = ahead
        .chunks_exact(4)
        .take_while(|character| TAGS.contains(&&character[..3]))
        .count();
    let run = &ahead[..count * 4];
    let is_flag = before.ends_with(BLACK_FLAG) && count <= 8 && run.ends_with(CANCEL);
    (count >= 3 && !is_flag).then(|| candidate.literal.start..candidate.literal.start + run.len())
}

/// An override of the direction before Latin letters: what is shown is not what is there
/// (Unicode Technical Standard #55, 2.2).
pub(crate) fn bidi(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let behind = candidate.behind();
    let line = behind
        .iter()
        .take(64)
        .take_while(|byte| **byte != b'\n')
        .position(u8::is_ascii_alphabetic);
    line.map(|_| candidate.literal.clone())
}

/// Many characters in a row that have no width: bits, and no text.
pub(crate) fn zero_width(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let count = candidate
        .ahead()
        .chunks_exact(3)
        .take_while(|character| ZERO_WIDTH.contains(character))
        .count();
    (count >= 8).then(|| candidate.literal.start..candidate.literal.start + count * 3)
}
