//! The text of a JSON string, and how places in it lie in the document.

use std::ops::Range;

use memchr::memchr;

/// Appends the text of a string's bytes between its quotes. An escape that JSON does not know
/// stands for itself.
///
/// Surrogates without a partner are kept in the three-byte form that UTF-8 would give them
/// (WTF-8), so that encoding again gives back what was decoded. A text is never longer than its
/// string.
pub(crate) fn decode(raw: &[u8], text: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(plain) = memchr(b'\\', &raw[at..]) {
        text.extend_from_slice(&raw[at..at + plain]);
        at += plain;
        at += decode_escape(&raw[at..], text);
    }
    text.extend_from_slice(&raw[at..]);
}

/// Where parts of a text lie in the string it was decoded from.
///
/// Nothing is noted while a text is decoded: most texts hold no match, and those that do are gone
/// through once more.
#[derive(Debug)]
pub(crate) struct Places<'a> {
    raw: &'a [u8],
    /// Offsets in the string and in the text that belong together, at the start of an escape or
    /// behind one.
    at: usize,
    decoded: usize,
    /// Where the last part ended.
    end: usize,
}

impl<'a> Places<'a> {
    pub(crate) const fn new(raw: &'a [u8]) -> Self {
        Self {
            raw,
            at: 0,
            decoded: 0,
            end: 0,
        }
    }

    /// Where a part lies, which begins no earlier than the last one ended. An escape is never cut.
    pub(crate) fn of(&mut self, part: Range<usize>) -> Range<usize> {
        let start = self.offset(part.start, false).max(self.end);
        self.end = self.offset(part.end, true).max(start);
        start..self.end
    }

    fn offset(&mut self, decoded: usize, is_end: bool) -> usize {
        loop {
            let rest = &self.raw[self.at..];
            let plain = memchr(b'\\', rest).unwrap_or(rest.len());
            let ahead = decoded.saturating_sub(self.decoded);
            if ahead <= plain {
                return self.at + ahead;
            }
            let mut unit = Vec::with_capacity(4);
            let length = rest
                .get(plain..)
                .filter(|escape| !escape.is_empty())
                .map_or(0, |escape| decode_escape(escape, &mut unit));
            if length == 0 {
                return self.raw.len();
            }
            if ahead < plain + unit.len() {
                return self.at + plain + if is_end { length } else { 0 };
            }
            self.at += plain + length;
            self.decoded += plain + unit.len();
        }
    }
}

/// Decodes the escape that `raw` begins with and tells its length.
#[inline]
pub(super) fn decode_escape(raw: &[u8], bytes: &mut Vec<u8>) -> usize {
    let plain = match raw.get(1) {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'b') => 0x08,
        Some(b'f') => 0x0c,
        Some(byte @ (b'"' | b'\\' | b'/')) => *byte,
        Some(b'u') => return decode_unicode(raw, bytes),
        _ => {
            bytes.push(b'\\');
            return 1;
        }
    };
    bytes.push(plain);
    2
}

/// The length of the escape that `raw` begins with, if enough has come to tell.
pub(super) fn escape_length(raw: &[u8]) -> Option<usize> {
    let digits = |from: usize| {
        let digits = raw.get(from..).unwrap_or_default().iter().take(4);
        match digits.clone().all(u8::is_ascii_hexdigit) {
            true if digits.len() < 4 => None,
            all => Some(all),
        }
    };
    if *raw.get(1)? != b'u' {
        return Some(decode_escape(raw, &mut Vec::with_capacity(4)));
    }
    if digits(2)?
        && let Some(0xd800..=0xdbff) = unit(raw)
        && *raw.get(6)? == b'\\'
        && *raw.get(7)? == b'u'
    {
        digits(8)?;
    }
    Some(decode_escape(raw, &mut Vec::with_capacity(4)))
}

fn decode_unicode(raw: &[u8], bytes: &mut Vec<u8>) -> usize {
    let Some(unit) = unit(raw) else {
        bytes.push(b'\\');
        return 1;
    };
    if let 0xd800..=0xdbff = unit
        && let Some(low @ 0xdc00..=0xdfff) = raw.get(6..).and_then(self::unit)
    {
        push_utf8(0x1_0000 + ((unit - 0xd800) << 10 | (low - 0xdc00)), bytes);
        return 12;
    }
    push_utf8(unit, bytes);
    6
}

/// The value of the `\uXXXX` that `raw` begins with.
fn unit(raw: &[u8]) -> Option<u32> {
    let digits = raw.get(..6)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |unit, digit| {
        Some(unit << 4 | char::from(*digit).to_digit(16)?)
    })
}

fn push_utf8(code: u32, bytes: &mut Vec<u8>) {
    match char::from_u32(code) {
        Some(char) => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        // A surrogate: its three bytes are those of any other code of its size.
        None => {
            let [_, _, high, low] = code.to_be_bytes();
            bytes.extend([
                0xe0 | high >> 4,
                0x80 | (high & 0x0f) << 2 | low >> 6,
                0x80 | low & 0x3f,
            ]);
        }
    }
}

/// Writes a text as the bytes of a JSON string between its quotes.
pub(crate) fn encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";

    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'"' | b'\\' => out.extend([b'\\', *byte]),
            b'\n' => out.extend(br"\n"),
            b'\r' => out.extend(br"\r"),
            b'\t' => out.extend(br"\t"),
            0..0x20 => {
                out.extend(br"\u00");
                out.extend([HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            0xed if matches!(text.get(at + 1..at + 3), Some([0xa0..=0xbf, 0x80..=0xbf])) => {
                let (second, third) = (text[at + 1], text[at + 2]);
                let digits = [
                    0xd,
                    second >> 2 & 15,
                    (second & 3) << 2 | third >> 4 & 3,
                    third & 15,
                ];
                out.extend(br"\u");
                out.extend(digits.map(|digit| HEX[usize::from(digit)]));
                at += 2;
            }
            _ => out.push(*byte),
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(raw: &str) -> Vec<u8> {
        let mut text = Vec::new();
        decode(raw.as_bytes(), &mut text);
        text
    }

    #[test]
    fn every_escape_is_decoded() {
        assert_eq!(decoded(r#"a\n\t\r\b\f\"\\\/z"#), b"a\n\t\r\x08\x0c\"\\/z");
        assert_eq!(decoded(r"\u0041\u00e9\u20ac"), "Aé€".as_bytes());
        assert_eq!(decoded(r"\ud83d\ude00!"), "😀!".as_bytes());
        assert_eq!(decoded(r"\x\u12"), br"\x\u12");
    }

    #[test]
    fn encoding_undoes_decoding() {
        for raw in [
            r#"\"\\\n\u0001\u001f"#,
            r"\ud83d",
            r"\ude00x",
            r"\udbff\ud800",
            "plain é 😀",
        ] {
            let mut out = Vec::new();
            encode(&decoded(raw), &mut out);
            assert_eq!(out, raw.as_bytes(), "{raw}");
        }
    }

    #[test]
    fn ranges_are_found_again_and_escapes_are_not_cut() {
        let raw = r"a\u20acb\n\ud83d\ude00cd";
        // a, three bytes of the euro sign, b, a line feed, four bytes of a face, c, d
        let at = |range: Range<usize>| &raw[Places::new(raw.as_bytes()).of(range)];
        assert_eq!(at(0..1), "a");
        assert_eq!(at(1..4), r"\u20ac");
        assert_eq!(at(2..5), r"\u20acb");
        assert_eq!(at(4..7), r"b\n\ud83d\ude00");
        assert_eq!(at(10..12), "cd");
        assert_eq!(at(5..6), r"\n");
        let mut places = Places::new(raw.as_bytes());
        assert_eq!(&raw[places.of(0..2)], r"a\u20ac");
        assert_eq!(&raw[places.of(2..5)], "b");
        assert_eq!(&raw[places.of(7..99)], r"\ud83d\ude00cd");
    }
}
