//! What a decision may look at.

use crate::engine::{class::WORD, placeholders::OPENING, rule::MAX_LITERAL};

/// How far back from a literal or a separator a decision may look.
pub(crate) const LOOK_BACK: usize = 64;
/// How far back from a place a decision may look, with a literal before the place. Whoever feeds
/// the engine keeps this much of what was emitted.
pub(crate) const HISTORY: usize = LOOK_BACK + MAX_LITERAL;

/// The bytes around a place that is being decided.
///
/// Looking forward ends at the end of what has come so far, and then the answer is "not yet", or at
/// the end of the text. Looking back shows what was *emitted*, so that masking a masked text meets
/// the same surroundings: after a match it shows the end of the placeholder and nothing beyond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window<'a> {
    pub bytes: &'a [u8],
    /// No byte before this index may be looked at.
    pub floor: usize,
    /// Whether a placeholder stands right before `floor`.
    pub after_match: bool,
    /// Whether the text ends with `bytes`.
    pub end: bool,
}

/// What stands at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ahead {
    Byte(u8),
    NotYet,
    End,
}

impl Window<'_> {
    /// The byte at `at`.
    pub(crate) fn ahead(&self, at: usize) -> Ahead {
        match self.bytes.get(at) {
            Some(byte) => Ahead::Byte(*byte),
            None if self.end => Ahead::End,
            None => Ahead::NotYet,
        }
    }

    /// The `back`-th byte before `at`, counted from one.
    pub(crate) fn before(&self, at: usize, back: usize) -> Option<u8> {
        if back > LOOK_BACK {
            return None;
        }
        match at.checked_sub(back) {
            Some(index) if index >= self.floor => Some(self.bytes[index]),
            _ if self.after_match && at + 1 == self.floor + back => Some(b']'),
            _ => None,
        }
    }

    /// Whether `text` stands right before `at`.
    pub(crate) fn stands_before(&self, at: usize, text: &[u8]) -> bool {
        text.iter()
            .rev()
            .zip(1..)
            .all(|(byte, back)| self.before(at, back) == Some(*byte))
    }

    /// Whether a placeholder begins at `at`. None as long as that depends on what comes.
    pub(crate) fn is_masked_at(&self, at: usize) -> Option<bool> {
        for (index, byte) in (at..).zip(OPENING) {
            match self.ahead(index) {
                Ahead::Byte(known) if known == *byte => {}
                Ahead::NotYet => return None,
                Ahead::Byte(_) | Ahead::End => return Some(false),
            }
        }
        Some(true)
    }

    /// Whether `at` is not within a word. The letters of an escape, as in `\n`, `\u000a` or `%0A`,
    /// belong to no word.
    pub(crate) fn is_boundary(&self, at: usize) -> bool {
        let Some(last) = self.before(at, 1) else {
            return true;
        };
        if !WORD.has(last) {
            return true;
        }
        // JSON within JSON escapes the backslash once more.
        if matches!(last, b'n' | b't' | b'r' | b'b' | b'f') && self.before(at, 2) == Some(b'\\') {
            return true;
        }
        let hex = |back| {
            self.before(at, back)
                .is_some_and(|byte| byte.is_ascii_hexdigit())
        };
        if !hex(1) || !hex(2) {
            return false;
        }
        self.before(at, 3) == Some(b'%')
            || (hex(3)
                && hex(4)
                && self.before(at, 5) == Some(b'u')
                && self.before(at, 6) == Some(b'\\'))
    }

    /// Whether the byte at `at` is the letter of an escape and not a letter of the text.
    pub(crate) fn is_escaped(&self, at: usize) -> bool {
        matches!(
            self.bytes.get(at),
            Some(b'n' | b't' | b'r' | b'b' | b'f' | b'u' | b'"' | b'\\' | b'/')
        ) && self.backslashes(at) % 2 == 1
    }

    /// How many backslashes stand right before `at`, as far as one may look.
    fn backslashes(&self, at: usize) -> usize {
        (1..=LOOK_BACK - 8)
            .take_while(|back| self.before(at, *back) == Some(b'\\'))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary_at_end(text: &[u8]) -> bool {
        Window {
            bytes: text,
            floor: 0,
            after_match: false,
            end: true,
        }
        .is_boundary(text.len())
    }

    #[test]
    fn escapes_end_a_word() {
        for text in [
            &b""[..],
            b"a ",
            b"a-",
            br"a\n",
            br"\u000a",
            b"a%20",
            br"\\\n",
            br"\\n",
            br"\\u000a",
            b"]",
        ] {
            assert!(boundary_at_end(text), "{}", text.escape_ascii());
        }
        for text in [&b"a"[..], b"_", b"an", b"u000a", b"20", br"\x"] {
            assert!(!boundary_at_end(text), "{}", text.escape_ascii());
        }
    }

    #[test]
    fn behind_a_match_only_the_end_of_its_placeholder_is_seen() {
        let window = Window {
            bytes: b"secret:",
            floor: 6,
            after_match: true,
            end: true,
        };
        assert_eq!(window.before(7, 1), Some(b':'));
        assert_eq!(window.before(7, 2), Some(b']'));
        assert_eq!(window.before(7, 3), None);
        assert_eq!(window.before(6, 1), Some(b']'));
    }
}
