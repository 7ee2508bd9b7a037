//! What stands before a place.

use crate::engine::window::{LOOK_BACK, Window};

/// A word of so many letters is found in many others: it must stand alone.
pub(super) const SHORT_WORD: usize = 4;

/// What stands before a place, as far as a decision may look.
pub(crate) struct LookBack {
    bytes: [u8; LOOK_BACK],
    lower: [u8; LOOK_BACK],
    length: usize,
}

impl LookBack {
    /// The bytes before `at`; with `line`, those on the same line only.
    pub(crate) fn new(window: &Window<'_>, at: usize, line: bool) -> Self {
        let near = &window.bytes[Self::from(window, at, line)..at];
        let mut bytes = [0; LOOK_BACK];
        bytes[..near.len()].copy_from_slice(near);
        Self {
            lower: bytes.map(|byte| byte.to_ascii_lowercase()),
            bytes,
            length: near.len(),
        }
    }

    /// Where the bytes before `at` begin.
    pub(super) fn from(window: &Window<'_>, at: usize, line: bool) -> usize {
        let mut from = at.saturating_sub(LOOK_BACK).max(window.floor).min(at);
        let near = &window.bytes[from..at];
        if line && let Some(end) = memchr::memrchr2(b'\n', b'\r', near) {
            from += end + 1;
        }
        from + behind_placeholder(&window.bytes[from..at])
    }

    /// Whether a word stands here, given in lower case. A short one must stand alone: `sin` is not
    /// in `using`, but in `employee_sin` and `employeeSin`.
    pub(crate) fn has(&self, word: &[u8]) -> bool {
        memchr::memmem::find_iter(self.lower(), word).any(|start| self.has_at(start, word))
    }

    fn has_at(&self, start: usize, word: &[u8]) -> bool {
        self.lower()[start..].starts_with(word)
            && (word.len() > SHORT_WORD || is_alone(&self.bytes[..self.length], start, word.len()))
    }

    fn lower(&self) -> &[u8] {
        &self.lower[..self.length]
    }
}

/// Whether a word stands alone.
pub(super) fn is_alone(bytes: &[u8], start: usize, length: usize) -> bool {
    let (first, last) = (bytes[start], bytes[start + length - 1]);
    let before = start.checked_sub(1).map(|before| bytes[before]);
    let behind = bytes.get(start + length);
    let left = before.is_none_or(|before| {
        !before.is_ascii_alphabetic()
            || before.is_ascii_lowercase() && first.is_ascii_uppercase()
            // The letter of an escape, as in `\n`.
            || matches!(before, b'n' | b't' | b'r') && start > 1 && bytes[start - 2] == b'\\'
    });
    let right = behind.is_none_or(|behind| {
        !behind.is_ascii_alphabetic() || last.is_ascii_lowercase() && behind.is_ascii_uppercase()
    });
    left && right
}

/// Where what was masked last ends. It is not looked at, whether it was masked now or before, and
/// neither is what stands before it: masking a text again must find the same words.
fn behind_placeholder(near: &[u8]) -> usize {
    for end in memchr::memrchr_iter(b']', near) {
        let inside = near[..end]
            .iter()
            .rev()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
            .count();
        if inside == end || near[end - inside - 1] == b':' {
            return end + 1;
        }
    }
    0
}
