//! The text of a JSON string, and how places in it lie in the document.

use std::{borrow::Cow, ops::Range};

use memchr::memchr;

/// The decoded form of a JSON string.
///
/// Surrogates without a partner are kept in the three-byte form that UTF-8 would give them
/// (WTF-8), so that encoding again gives back what was decoded.
#[derive(Debug)]
pub(crate) struct Text<'a> {
    pub bytes: Cow<'a, [u8]>,
    /// Where decoded and raw offsets stop running in parallel: the start and the end of each escape.
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    decoded: usize,
    raw: usize,
    /// Whether an escape begins here.
    escape: bool,
}

impl<'a> Text<'a> {
    /// The text of a string's bytes between its quotes. An escape that JSON does not know stands
    /// for itself.
    pub(crate) fn decode(raw: &'a [u8]) -> Self {
        let Some(first) = memchr(b'\\', raw) else {
            return Self {
                bytes: Cow::Borrowed(raw),
                marks: Vec::new(),
            };
        };
        let mut bytes = Vec::with_capacity(raw.len());
        let mut marks = Vec::new();
        bytes.extend_from_slice(&raw[..first]);
        let mut at = first;
        while at < raw.len() {
            marks.push(Mark {
                decoded: bytes.len(),
                raw: at,
                escape: true,
            });
            at += decode_escape(&raw[at..], &mut bytes);
            marks.push(Mark {
                decoded: bytes.len(),
                raw: at,
                escape: false,
            });
            let plain = memchr(b'\\', &raw[at..]).unwrap_or(raw.len() - at);
            bytes.extend_from_slice(&raw[at..at + plain]);
            at += plain;
        }
        Self {
            bytes: Cow::Owned(bytes),
            marks,
        }
    }

    /// Where a range of the text lies in the raw bytes. An escape is never cut.
    pub(crate) fn raw(&self, range: Range<usize>) -> Range<usize> {
        self.raw_at(range.start, false)..self.raw_at(range.end, true)
    }

    fn raw_at(&self, decoded: usize, is_end: bool) -> usize {
        let next = self.marks.partition_point(|mark| mark.decoded <= decoded);
        let Some(mark) = next.checked_sub(1).map(|last| self.marks[last]) else {
            return decoded;
        };
        match (mark.escape && mark.decoded < decoded, self.marks.get(next)) {
            (true, Some(end)) if is_end => end.raw,
            (true, _) => mark.raw,
            (false, _) => mark.raw + (decoded - mark.decoded),
        }
    }
}

/// Decodes the escape that `raw` begins with and tells its length.
fn decode_escape(raw: &[u8], bytes: &mut Vec<u8>) -> usize {
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
        Text::decode(raw.as_bytes()).bytes.into_owned()
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
        let text = Text::decode(raw.as_bytes());
        // a, three bytes of the euro sign, b, a line feed, four bytes of a face, c, d
        let at = |range: Range<usize>| &raw[text.raw(range)];
        assert_eq!(at(0..1), "a");
        assert_eq!(at(1..4), r"\u20ac");
        assert_eq!(at(2..5), r"\u20acb");
        assert_eq!(at(4..7), r"b\n\ud83d\ude00");
        assert_eq!(at(10..12), "cd");
        assert_eq!(at(5..6), r"\n");
    }
}
