//! Images whose addresses carry data away when they are shown.

use std::ops::Range;

use crate::engine::Candidate;

/// The literal `](` closes the text of a Markdown image (CommonMark 0.31, section 6.4), and the
/// image's address has a query that is there to be filled.
pub(crate) fn markdown_image(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let before = candidate.before();
    let open = before.iter().rposition(|byte| *byte == b'[')?;
    let is_image = open > 0 && before[open - 1] == b'!';
    if !is_image || before[open..].contains(&b'\n') {
        return None;
    }
    let address = address(candidate)?;
    let span = carries(candidate, address)?;
    Some(candidate.literal.start - (before.len() - open) - 1..span.end)
}

/// The address that the window shows, to its end.
fn address(candidate: &Candidate<'_>) -> Option<Range<usize>> {
    let ahead = candidate.ahead();
    let start = memchr::memmem::find(ahead, b"http")?;
    let length = ahead[start..]
        .iter()
        .take_while(|byte| !byte.is_ascii_whitespace() && !b")>\"'`|\\".contains(byte))
        .count();
    Some(candidate.literal.start + start..candidate.literal.start + start + length)
}

/// The address, if it has a parameter with a name that says "data", or with a value that somebody
/// is to put in.
fn carries(candidate: &Candidate<'_>, address: Range<usize>) -> Option<Range<usize>> {
    let bytes = &candidate.text[address.clone()];
    let query = &bytes[memchr::memchr(b'?', bytes)? + 1..];
    let carries = query.split(|byte| *byte == b'&').any(|pair| {
        let equals = memchr::memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = (&pair[..equals], pair.get(equals + 1..).unwrap_or_default());
        let name = name.to_ascii_lowercase();
        let is_slot = value.first().is_some_and(|first| b"{<[$".contains(first))
            || SLOTS.iter().any(|slot| value.starts_with(slot));
        equals < pair.len() && (is_slot || DATA.contains(&&name[..]))
    });
    carries.then_some(address)
}

/// How `{`, `[` and `<` are written in an address, and the place of a formatted value.
const SLOTS: [&[u8]; 4] = [b"%7B", b"%5B", b"%3C", b"%s"];

/// Names of parameters that carry what somebody collected.
const DATA: [&[u8]; 14] = [
    b"q", b"data", b"payload", b"content", b"secret", b"secrets", b"key", b"leak", b"exfil",
    b"text", b"info", b"msg", b"env", b"stolen",
];
