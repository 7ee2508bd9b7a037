//! Private keys in PEM form (RFC 7468, RFC 1421 for the headers, RFC 9580 for OpenPGP).
//!
//! The line that begins a key is no secret and passes. What follows it is masked as soon as it
//! looks like a key, so that a key that was cut off is masked as well, and so that documentation
//! that only names the line stays readable.

use crate::engine::{
    class::BASE64,
    swallow::{Escape, Swallow, escape},
    verdict::{Match, Verdict},
    window::{Ahead, Window},
};

/// The longest label between `-----BEGIN ` and `-----`.
const MAX_LABEL: usize = 36;
/// White space and escaped line ends before the first line.
const MAX_BLANK: usize = 16;
/// So much base64 in a row is no prose.
const MIN_BODY: usize = 40;
/// No line of a key but the last is shorter.
const MIN_LINE: usize = 16;
/// The longest name of a header.
const MAX_HEADER: usize = 24;

/// Looks for a key whose `-----BEGIN ` ends at `label`.
pub(crate) fn private_key(rule: usize, window: &Window<'_>, label: usize) -> Verdict {
    let mut at = label;
    while let Ahead::Byte(b'A'..=b'Z' | b'0'..=b'9' | b' ') = window.ahead(at) {
        at += 1;
        if at - label > MAX_LABEL {
            return Verdict::No;
        }
    }
    let name = &window.bytes[label..at];
    for _ in 0..5 {
        match window.ahead(at) {
            Ahead::Byte(b'-') => at += 1,
            Ahead::NotYet => return Verdict::NotYet,
            _ => return Verdict::No,
        }
    }
    if !name.ends_with(b"PRIVATE KEY") && !name.ends_with(b"PRIVATE KEY BLOCK") {
        return Verdict::No;
    }
    let first_line = at;
    loop {
        at += match window.ahead(at) {
            Ahead::Byte(b' ' | b'\t' | b'\r' | b'\n') => 1,
            Ahead::Byte(b'\\') => match escape(&window.bytes[at..], window.end) {
                Escape::Of(b'n' | b'r' | b't', length) => length,
                Escape::Of(..) => break,
                Escape::NotYet => return Verdict::NotYet,
            },
            Ahead::NotYet => return Verdict::NotYet,
            _ => break,
        };
        if at - first_line > MAX_BLANK {
            return Verdict::No;
        }
    }
    let headers = match has_body(window, at) {
        Some(true) => false,
        Some(false) => match has_header(window, at) {
            Some(true) => true,
            Some(false) => return Verdict::No,
            None => return Verdict::NotYet,
        },
        None => return Verdict::NotYet,
    };
    let swallow = Some(Swallow::Key {
        headers,
        seen: 0,
        line_feeds: 0,
    });
    Verdict::Match(Match {
        start: at,
        end: at,
        rule,
        swallow,
    })
}

/// Whether base64 stands here, in lines that are not too short to be of a key.
fn has_body(window: &Window<'_>, mut at: usize) -> Option<bool> {
    let (mut seen, mut line) = (0, 0);
    while seen < MIN_BODY {
        let length = match window.ahead(at) {
            Ahead::Byte(byte) if BASE64.has(byte) => {
                seen += 1;
                line += 1;
                at += 1;
                continue;
            }
            Ahead::Byte(b'\n') => 1,
            Ahead::Byte(b'\r') if window.ahead(at + 1) == Ahead::Byte(b'\n') => 2,
            Ahead::Byte(b'\\') => match escape(&window.bytes[at..], window.end) {
                Escape::Of(b'n', length) => length,
                Escape::Of(..) => return Some(false),
                Escape::NotYet => return None,
            },
            Ahead::Byte(b'\r') if window.ahead(at + 1) == Ahead::NotYet => return None,
            Ahead::NotYet => return None,
            _ => return Some(false),
        };
        if line < MIN_LINE {
            return Some(false);
        }
        line = 0;
        at += length;
    }
    Some(true)
}

fn has_header(window: &Window<'_>, at: usize) -> Option<bool> {
    for index in at..=at + MAX_HEADER {
        match window.ahead(index) {
            Ahead::Byte(byte) if byte.is_ascii_alphanumeric() || byte == b'-' => {}
            Ahead::Byte(b':') if index > at => {
                return match window.ahead(index + 1) {
                    Ahead::Byte(next) => Some(next == b' '),
                    Ahead::NotYet => None,
                    Ahead::End => Some(false),
                };
            }
            Ahead::NotYet => return None,
            _ => return Some(false),
        }
    }
    Some(false)
}
