//! A literal in a text, and what stands around it.

use std::ops::Range;

/// How far before a literal a check may look, in bytes.
pub(crate) const LOOK_BACK: usize = 128;
/// How far from a literal's beginning a check may look, in bytes.
pub(crate) const LOOK_AHEAD: usize = 512;

/// A place in a text where a detector's literal stands.
#[derive(Debug)]
pub(crate) struct Candidate<'a> {
    /// The whole text. Checks look at it through the methods here, which keep to the bounds.
    pub text: &'a [u8],
    pub literal: Range<usize>,
}

impl<'a> Candidate<'a> {
    pub(crate) const fn new(text: &'a [u8], literal: Range<usize>) -> Self {
        Self { text, literal }
    }

    /// Where the bytes end that a check may look at.
    pub(crate) fn window_end(&self) -> usize {
        self.text.len().min(self.literal.start + LOOK_AHEAD)
    }

    /// The bytes from the literal's beginning on.
    pub(crate) fn ahead(&self) -> &'a [u8] {
        &self.text[self.literal.start..self.window_end()]
    }

    /// The bytes behind the literal.
    pub(crate) fn behind(&self) -> &'a [u8] {
        let end = self.window_end();
        &self.text[self.literal.end.min(end)..end]
    }

    /// The bytes before the literal.
    pub(crate) fn before(&self) -> &'a [u8] {
        let start = self.literal.start.saturating_sub(LOOK_BACK);
        &self.text[start..self.literal.start]
    }

    /// The bytes before the literal that stand in its line. A line also ends at `\n` written out,
    /// as it is in JSON within a text.
    pub(crate) fn line_before(&self) -> &'a [u8] {
        let before = self.before();
        let start = (0..before.len())
            .rev()
            .find(|at| {
                before[*at] == b'\n' || (before[*at] == b'n' && is_escape_letter(before, *at))
            })
            .map_or(0, |at| at + 1);
        &before[start..]
    }

    /// Widens a span to whole characters.
    pub(crate) fn whole(&self, span: Range<usize>) -> Range<usize> {
        let inside = |at: usize| self.text.get(at).is_some_and(|byte| byte & 0xc0 == 0x80);
        let mut start = span.start;
        while start > 0 && inside(start) {
            start -= 1;
        }
        let mut end = span.end;
        while inside(end) {
            end += 1;
        }
        start..end
    }
}

/// Whether the byte at `at` is the letter of `\n`, `\r` or `\t` written out.
pub(crate) fn is_escape_letter(bytes: &[u8], at: usize) -> bool {
    if !matches!(bytes.get(at), Some(b'n' | b'r' | b't')) {
        return false;
    }
    let backslashes = bytes[..at]
        .iter()
        .rev()
        .take(LOOK_BACK)
        .take_while(|byte| **byte == b'\\');
    backslashes.count() % 2 == 1
}

/// Whether a byte is part of a word.
pub(crate) const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
