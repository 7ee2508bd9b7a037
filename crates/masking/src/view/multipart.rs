//! Bodies of several parts (RFC 2046 §5.1, RFC 7578).

use std::ops::Range;

use memchr::{memchr, memmem};
use tollbook_exchange::{Coverage, Gap};

use crate::{
    Kind, Masker,
    engine::Span,
    json::{Found, Name, Path, member_spans},
    view::body::line,
};

/// The longest boundary (RFC 2046 §5.1.1).
const MAX_BOUNDARY: usize = 70;

/// The boundary that a content type names, if it is one of several parts.
pub(super) fn boundary(content_type: &str) -> Option<Vec<u8>> {
    let value = parameter(content_type.as_bytes(), b"boundary")?;
    (1..=MAX_BOUNDARY).contains(&value.len()).then_some(value)
}

/// Masks a body part by part. In what is no text only secrets are masked; what stands outside of
/// parts is masked as text, and so is all of it where there are none.
pub(super) fn multipart(
    masker: &Masker,
    boundary: &[u8],
    body: &[u8],
    found: &mut Found,
    coverage: &mut Coverage,
) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let (mut at, mut in_part) = (0, false);
    for delimiter in delimiters(body, boundary) {
        let piece = &body[at..delimiter.start];
        if in_part {
            part(masker, piece, &mut out, found, coverage);
        } else {
            text(masker, piece, &mut out, found, coverage);
        }
        // Nothing but the boundary stands on such a line, and the head of the message names it too.
        out.extend_from_slice(&body[delimiter.clone()]);
        coverage.inspect(delimiter.len() as u64);
        in_part = !body[delimiter.clone()]
            .trim_ascii()
            .ends_with(&[boundary, b"--"].concat());
        at = delimiter.end;
    }
    if in_part {
        part(masker, &body[at..], &mut out, found, coverage);
    } else {
        text(masker, &body[at..], &mut out, found, coverage);
    }
    out
}

/// Where the lines with the boundary lie, with the line end before each.
fn delimiters(body: &[u8], boundary: &[u8]) -> Vec<Range<usize>> {
    let needle = [b"--", boundary].concat();
    let mut found: Vec<Range<usize>> = Vec::new();
    for start in memmem::find_iter(body, &needle) {
        let before = &body[..start];
        let line = if before.ends_with(b"\r\n") {
            start - 2
        } else if before.ends_with(b"\n") {
            start - 1
        } else if before.is_empty() {
            start
        } else {
            continue;
        };
        let behind = &body[start + needle.len()..];
        let length = memchr(b'\n', behind).map_or(behind.len(), |feed| feed + 1);
        let rest = behind[..length].trim_ascii();
        // A longer boundary that begins as this one does is another one.
        if !rest.is_empty() && rest != b"--" {
            continue;
        }
        let line = line.max(found.last().map_or(0, |last| last.end));
        found.push(line..start + needle.len() + length);
    }
    found
}

fn part(
    masker: &Masker,
    part: &[u8],
    out: &mut Vec<u8>,
    found: &mut Found,
    coverage: &mut Coverage,
) {
    let headers = if part.starts_with(b"\r\n") {
        2
    } else if part.starts_with(b"\n") {
        1
    } else {
        let crlf = memmem::find(part, b"\r\n\r\n").map(|at| at + 4);
        let lf = memmem::find(part, b"\n\n").map(|at| at + 2);
        crlf.into_iter().chain(lf).min().unwrap_or(part.len())
    };
    let (headers, content) = part.split_at(headers);
    text(masker, headers, out, found, coverage);
    let media_type = header(headers, b"content-type").unwrap_or_default();
    let essence = media_type
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    let essence = essence.trim_ascii().to_ascii_lowercase();
    if essence == b"application/json" || essence.ends_with(b"+json") {
        out.extend(line(masker, content, found, coverage));
    } else if !essence.is_empty() && !essence.starts_with(b"text/") && !is_text(content) {
        // A picture, or a file in a form of its own. That it is one is what its sender says, so no
        // secret passes that stands in it as it is. Personal data has short forms that bytes of a
        // picture may take by chance, and a number less can break a file.
        let mut spans = masker.engine.spans(&masker.profile.on, content, false);
        spans.retain(|span| masker.engine.rules[span.rule].kind == Kind::Secret);
        replace(masker, content, &spans, "", out, found);
        coverage.skip(Gap::Opaque, content.len() as u64);
    } else {
        let disposition = header(headers, b"content-disposition").unwrap_or_default();
        let name = parameter(disposition, b"name").unwrap_or_default();
        field(masker, &name, content, out, found);
        coverage.inspect(content.len() as u64);
    }
}

/// A field of a form, judged by its name.
fn field(masker: &Masker, name: &[u8], content: &[u8], out: &mut Vec<u8>, found: &mut Found) {
    let (engine, profile) = (&masker.engine, &masker.profile);
    let rules = engine.members(&profile.on, name);
    let spans = member_spans(engine, profile, Name::of(name), rules, content);
    let mut path = Path::default();
    path.push_member(Some(name));
    replace(masker, content, &spans, &path.told_with(""), out, found);
}

fn text(
    masker: &Masker,
    text: &[u8],
    out: &mut Vec<u8>,
    found: &mut Found,
    coverage: &mut Coverage,
) {
    let spans = masker.engine.spans(&masker.profile.on, text, false);
    replace(masker, text, &spans, "", out, found);
    coverage.inspect(text.len() as u64);
}

fn replace(
    masker: &Masker,
    text: &[u8],
    spans: &[Span],
    path: &str,
    out: &mut Vec<u8>,
    found: &mut Found,
) {
    let mut at = 0;
    for span in spans {
        found.add(span.rule, path, 1);
        out.extend_from_slice(&text[at..span.start]);
        let rule = &masker.engine.rules[span.rule];
        let value = &text[span.start..span.end];
        masker.profile.write(rule, span.rule, value, out);
        at = span.end;
    }
    out.extend_from_slice(&text[at..]);
}

/// Whether bytes of an unknown form are a text after all.
fn is_text(content: &[u8]) -> bool {
    !content.contains(&0) && std::str::from_utf8(content).is_ok()
}

/// The value of a header in a block of them.
fn header<'a>(headers: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    headers.split(|byte| *byte == b'\n').find_map(|line| {
        let colon = memchr(b':', line)?;
        let (given, value) = line.split_at(colon);
        given
            .trim_ascii()
            .eq_ignore_ascii_case(name)
            .then(|| value[1..].trim_ascii())
    })
}

/// The value of a parameter behind a `;`.
fn parameter(value: &[u8], name: &[u8]) -> Option<Vec<u8>> {
    let mut rest = value;
    while let Some(semicolon) = memchr(b';', rest) {
        rest = rest[semicolon + 1..].trim_ascii_start();
        let equals = memchr(b'=', rest)?;
        let (given, behind) = rest.split_at(equals);
        let behind = &behind[1..];
        let is_wanted = given.trim_ascii().eq_ignore_ascii_case(name);
        if let Some(quoted) = behind.strip_prefix(b"\"") {
            let end = memchr(b'"', quoted)?;
            if is_wanted {
                return Some(quoted[..end].to_vec());
            }
            rest = &quoted[end + 1..];
        } else {
            let end = memchr(b';', behind).unwrap_or(behind.len());
            if is_wanted {
                return Some(behind[..end].trim_ascii().to_vec());
            }
            rest = &behind[end..];
        }
    }
    None
}
