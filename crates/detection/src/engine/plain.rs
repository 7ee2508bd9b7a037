//! A text as it reads: without what is not seen, and without what a shell drops.
//!
//! Words are disguised cheaply: `r\m`, `r""m`, `rm${IFS}-rf`, a zero-width character within a word,
//! a line broken by a backslash. One step takes all of that out and remembers where it was, and the
//! literals are looked for once more.

use std::ops::Range;

use memchr::{memchr_iter, memchr3_iter};

/// A text as it reads, and where each part of it came from.
#[derive(Debug)]
pub(crate) struct Plain {
    pub text: Vec<u8>,
    /// Where runs of unchanged bytes begin: here, and in the text they came from.
    runs: Vec<(usize, usize)>,
    length: usize,
}

/// Characters that are not seen: zero-width and bidirectional controls, word joiner and invisible
/// operators, isolates, byte order mark (Unicode 17, general category `Cf`). The soft hyphen and
/// tags, which are longer or shorter, are told in [`unseen`].
const UNSEEN: [&[u8; 3]; 20] = [
    b"\xe2\x80\x8b",
    b"\xe2\x80\x8c",
    b"\xe2\x80\x8d",
    b"\xe2\x80\x8e",
    b"\xe2\x80\x8f",
    b"\xe2\x80\xaa",
    b"\xe2\x80\xab",
    b"\xe2\x80\xac",
    b"\xe2\x80\xad",
    b"\xe2\x80\xae",
    b"\xe2\x81\xa0",
    b"\xe2\x81\xa1",
    b"\xe2\x81\xa2",
    b"\xe2\x81\xa3",
    b"\xe2\x81\xa4",
    b"\xe2\x81\xa6",
    b"\xe2\x81\xa7",
    b"\xe2\x81\xa8",
    b"\xe2\x81\xa9",
    b"\xef\xbb\xbf",
];

/// Whether anything in the text is not seen.
pub(crate) fn has_unseen(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_ascii()
        && (memchr3_iter(0xe2, 0xef, 0xf3, bytes).any(|at| unseen(&bytes[at..]).0 > 0)
            || memchr_iter(0xc2, bytes).any(|at| unseen(&bytes[at..]).0 > 0))
}

/// The text as it reads, if that is another. With `shell`, as a shell reads it.
pub(crate) fn plain(bytes: &[u8], shell: bool) -> Option<Plain> {
    let special = |byte: &u8| {
        let class = CLASS[usize::from(*byte)];
        class == UNSEEN_LEAD || (class == SHELL_SIGN && shell)
    };
    let mut plain = Plain {
        text: Vec::new(),
        runs: Vec::new(),
        length: bytes.len(),
    };
    let mut at = 0;
    // What was not copied yet: it reads as it is.
    let mut from = 0;
    // Where the other quote of a quoted word is.
    let mut closing = None;
    while let Some(skipped) = bytes[at..].iter().position(special) {
        at += skipped;
        let rest = &bytes[at..];
        let (length, instead) = match rest {
            [b'"' | b'\'', ..] if closing == Some(at) => (1, None),
            [b'"' | b'\'', ..] => {
                match quoted_word(rest, at.checked_sub(1).map(|last| bytes[last])) {
                    Some(length) => {
                        closing = Some(at + length);
                        (1, None)
                    }
                    None => (0, None),
                }
            }
            [b' ' | b'\t', ..] if at == 0 || bytes[at - 1] == b'\n' => {
                // Indentation says nothing.
                let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
                at += rest.iter().take_while(blank).count();
                continue;
            }
            // A string with escapes (POSIX.1-2024, 2.2.4).
            [b'$', b'\'', inner @ ..] => {
                let end = inner
                    .iter()
                    .take(MAX_QUOTED)
                    .position(|byte| *byte == b'\'');
                closing = end.map(|end| at + 2 + end);
                (2, None)
            }
            [byte, ..] if byte.is_ascii() => disguise(rest),
            _ => unseen(rest),
        };
        if length == 0 {
            at += 1;
            continue;
        }
        plain.copy(bytes, from..at);
        if let Some(byte) = instead {
            if !byte.is_ascii_whitespace() && is_tag(rest) && !(at >= 4 && is_tag(&bytes[at - 4..]))
            {
                // Hidden words are no part of the one before.
                plain.text.push(b' ');
            }
            plain.runs.push((plain.text.len(), at));
            plain.text.push(byte);
        }
        at += length;
        from = at;
    }
    if from == 0 {
        return None;
    }
    plain.copy(bytes, from..bytes.len());
    Some(plain)
}

impl Plain {
    /// The parts around what changed, which do not overlap.
    pub(crate) fn changed(&self) -> Vec<Range<usize>> {
        let mut parts: Vec<Range<usize>> = Vec::new();
        for (at, _) in &self.runs {
            let end = self.text.len().min(at + BEHIND);
            match parts.last_mut() {
                Some(last) if last.end + BEFORE >= *at => last.end = end,
                _ => parts.push(at.saturating_sub(BEFORE)..end),
            }
        }
        parts
    }

    /// Where a span came from.
    pub(crate) fn origin(&self, span: &Range<usize>) -> Range<usize> {
        let end = match self.origin_of(span.end.saturating_sub(1)) {
            last if span.end > span.start => last + 1,
            last => last,
        };
        self.origin_of(span.start)..end.min(self.length)
    }

    fn origin_of(&self, at: usize) -> usize {
        let run = self.runs.partition_point(|(here, _)| *here <= at);
        match run.checked_sub(1).and_then(|run| self.runs.get(run)) {
            Some((here, there)) => there + (at - here),
            None => at,
        }
    }

    fn copy(&mut self, bytes: &[u8], from: Range<usize>) {
        if !from.is_empty() {
            self.runs.push((self.text.len(), from.start));
            self.text.extend_from_slice(&bytes[from]);
        }
    }
}

fn is_tag(bytes: &[u8]) -> bool {
    matches!(bytes, [0xf3, 0xa0, 0x80 | 0x81, _, ..])
}

/// The length of a character that is not seen, and the ASCII character that it stands for.
fn unseen(bytes: &[u8]) -> (usize, Option<u8>) {
    match bytes {
        // U+E0000 to U+E007F: tags, which repeat ASCII.
        [0xf3, 0xa0, third @ (0x80 | 0x81), fourth, ..] => {
            let ascii = (third & 1) << 6 | (fourth & 0x3f);
            let shown = (0x20..0x7f).contains(&ascii).then_some(ascii);
            (4, shown)
        }
        [0xc2, 0xad, ..] => (2, None),
        [first, second, third, ..] if UNSEEN.contains(&&[*first, *second, *third]) => (3, None),
        _ => (0, None),
    }
}

/// How many bytes a shell would read as something else, and as what.
fn disguise(bytes: &[u8]) -> (usize, Option<u8>) {
    match bytes {
        [b'\\', b'\r', b'\n', ..] => (3, None),
        [b'\\', b'\n', ..] => (2, None),
        [b'\\', b'x', high, low, ..] => match hex(*high).zip(hex(*low)) {
            Some((high, low)) if (0x20..0x7f).contains(&(high << 4 | low)) => {
                (4, Some(high << 4 | low))
            }
            _ => (1, None),
        },
        [b'\\', next, ..] if next.is_ascii_alphanumeric() || b"-/ ".contains(next) => (1, None),
        [b'$', b'{', b'I', b'F', b'S', rest @ ..] => {
            let close = rest.iter().take(16).position(|byte| *byte == b'}');
            close.map_or((0, None), |close| (close + 6, Some(b' ')))
        }
        [b'$', b'I', b'F', b'S', b'$', digit, ..] if digit.is_ascii_digit() => (6, Some(b' ')),
        [b'$', b'I', b'F', b'S', ..] => (4, Some(b' ')),
        [b'$', b'@', ..] => (2, None),
        [b' ' | b'\t', b' ' | b'\t', ..] => (1, None),
        [b'\t', ..] => (1, Some(b' ')),
        _ => (0, None),
    }
}

/// How far from a quote its other one is, if nothing but a word of a command stands between: then
/// the word is what counts.
fn quoted_word(bytes: &[u8], last: Option<u8>) -> Option<usize> {
    let (quote, rest) = bytes.split_first()?;
    let is_bare = |byte: &&u8| byte.is_ascii_alphanumeric() || b"_./~*-".contains(byte);
    let length = rest.iter().take(MAX_QUOTED).take_while(is_bare).count();
    let closes = rest.get(length) == Some(quote);
    let next = rest.get(length + 1).copied();
    let begins = last.is_none_or(|last| is_around(last) || b"(|&;`$".contains(&last));
    let ends = next.is_none_or(|next| is_around(next) || b");|&`".contains(&next));
    (closes && begins && ends).then_some(length + 1)
}

fn is_around(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte.is_ascii_alphanumeric() || b"_./~-\\\"'".contains(&byte)
}

/// How far before a change something may begin that it completes, in bytes: a literal.
const BEFORE: usize = 64;
/// How far behind a change something may begin that it is a part of: what a check looks back at.
const BEHIND: usize = 128;
const UNSEEN_LEAD: u8 = 1;
const SHELL_SIGN: u8 = 2;
/// What each byte may begin that reads as something else.
const CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut index = 0;
    let leads = [0xc2, 0xe2, 0xef, 0xf3];
    while index < leads.len() {
        class[leads[index]] = UNSEEN_LEAD;
        index += 1;
    }
    let signs = b"\"'\\$ \t";
    index = 0;
    while index < signs.len() {
        class[signs[index] as usize] = SHELL_SIGN;
        index += 1;
    }
    class
};

/// No longer word is taken out of its quotes, in bytes.
const MAX_QUOTED: usize = 32;

fn hex(byte: u8) -> Option<u8> {
    char::from(byte)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disguises_are_taken_off() {
        for (text, expected) in [
            (r"r\m -rf /", "rm -rf /"),
            (r#"r""m -rf /"#, "rm -rf /"),
            ("'rm' -rf /", "rm -rf /"),
            ("r'm' -rf /", "rm -rf /"),
            ("rm${IFS}-rf${IFS}/", "rm -rf /"),
            ("rm$IFS$9-rf /", "rm -rf /"),
            ("rm \t  -rf /", "rm -rf /"),
            ("r\\\nm -rf /", "rm -rf /"),
            ("r\u{200b}m -rf \u{2060}/", "rm -rf /"),
            (r"$'\x72\x6d' -rf /", "rm -rf /"),
            ("r$@m -rf /", "rm -rf /"),
        ] {
            let plain = plain(text.as_bytes(), true).unwrap();
            let read = String::from_utf8(plain.text).unwrap();
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn tags_are_read_as_the_letters_they_hide() {
        let hidden: String = "ignore"
            .chars()
            .filter_map(|letter| char::from_u32(0xe0000 + u32::from(letter)))
            .collect();
        let plain = plain(format!("see {hidden}!").as_bytes(), false).unwrap();
        assert_eq!(plain.text, b"see  ignore!");
        assert_eq!(plain.origin(&(5..11)).start, 4);
        assert_eq!(plain.origin(&(11..12)), 28..29);
    }

    #[test]
    fn what_stands_in_longer_quotes_stays_there() {
        for text in [
            "bash -c \"rm -rf /\"",
            "echo 'a; b' \"c d\"",
            "SELECT 'x;y'",
            "    indented\n\t\tmore",
            "call(\"x\", [\"y\"])",
        ] {
            assert!(plain(text.as_bytes(), true).is_none(), "{text}");
        }
    }

    #[test]
    fn a_place_is_where_it_came_from() {
        let text = "ab\u{200b}cd\u{200b}ef";
        let plain = plain(text.as_bytes(), false).unwrap();
        assert_eq!(plain.text, b"abcdef");
        assert_eq!(&text[plain.origin(&(1..5))], "b\u{200b}cd\u{200b}e");
    }
}
