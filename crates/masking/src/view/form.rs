//! Forms as they are encoded for addresses
//! (<https://url.spec.whatwg.org/#application/x-www-form-urlencoded>).

use memchr::memchr;

use crate::{
    Masker,
    engine::Span,
    json::{Found, Name, Path, member_spans},
    scratch::Scratch,
};

/// Masks a form: names and values are scanned as they are after decoding, and what is not masked
/// stays as it was written.
pub(super) fn form(masker: &Masker, body: &[u8], found: &mut Found) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for (index, pair) in body.split(|byte| *byte == b'&').enumerate() {
        if index > 0 {
            out.push(b'&');
        }
        let equals = memchr(b'=', pair).unwrap_or(pair.len());
        let (name, value) = pair.split_at(equals);
        let mut named = Path::default();
        let decoded = decode(name);
        let (engine, on) = (&masker.engine, &masker.profile.on);
        let in_name = engine.spans(on, &decoded.bytes, false);
        named.push_member(in_name.is_empty().then_some(&decoded.bytes[..]));
        replace(masker, name, &decoded.bytes, &in_name, &mut out);
        let mut spans = Vec::new();
        if let Some((_, value)) = value.split_first() {
            out.push(b'=');
            let text = decode(value);
            let rules = engine.members(on, &decoded.bytes);
            let name = Name::of(&decoded.bytes);
            spans = member_spans(engine, &masker.profile, name, rules, &text.bytes);
            replace(masker, value, &text.bytes, &spans, &mut out);
        }
        for span in in_name.iter().chain(&spans) {
            found.add(span.rule, &named.told_with(""), 1);
        }
    }
    out
}

/// Writes the encoded text with parts of it masked.
fn replace(masker: &Masker, raw: &[u8], text: &[u8], spans: &[Span], out: &mut Vec<u8>) {
    let (mut at, mut decoded) = (0, 0);
    for span in spans {
        let start = at + encoded_length(&raw[at..], span.start - decoded);
        let end = start + encoded_length(&raw[start..], span.end - span.start);
        out.extend_from_slice(&raw[at..start]);
        let (value, mut masked) = (&text[span.start..span.end], Vec::new());
        let rule = &masker.engine.rules[span.rule];
        masker.profile.write(rule, span.rule, value, &mut masked);
        if masked == value {
            out.extend_from_slice(&raw[start..end]);
        } else {
            encode(&masked, out);
        }
        (at, decoded) = (end, span.end);
    }
    out.extend_from_slice(&raw[at..]);
}

fn decode(raw: &[u8]) -> Scratch {
    let mut text = Scratch::default();
    text.reserve(raw.len());
    let mut at = 0;
    while at < raw.len() {
        let (byte, length) = unit(&raw[at..]);
        text.bytes.push(byte);
        at += length;
    }
    text
}

/// How long the first bytes of a text are as they are written.
fn encoded_length(raw: &[u8], bytes: usize) -> usize {
    let mut at = 0;
    for _ in 0..bytes {
        match raw.get(at..) {
            Some(rest) if !rest.is_empty() => at += unit(rest).1,
            _ => break,
        }
    }
    at
}

/// The byte that the text begins with, and its length as it is written.
fn unit(raw: &[u8]) -> (u8, usize) {
    let hex = |index: usize| {
        let digit = char::from(*raw.get(index)?).to_digit(16)?;
        u8::try_from(digit).ok()
    };
    match (raw[0], hex(1), hex(2)) {
        (b'%', Some(high), Some(low)) => (high << 4 | low, 3),
        (b'+', ..) => (b' ', 1),
        (byte, ..) => (byte, 1),
    }
}

fn encode(text: &[u8], out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";

    for byte in text {
        match byte {
            b' ' => out.push(b'+'),
            b'*' | b'-' | b'.' | b'_' => out.push(*byte),
            byte if byte.is_ascii_alphanumeric() => out.push(*byte),
            byte => out.extend([
                b'%',
                HEX[usize::from(byte >> 4)],
                HEX[usize::from(byte & 15)],
            ]),
        }
    }
}
