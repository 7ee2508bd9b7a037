//! PostgreSQL: `src/backend/parser/scan.l`.

use super::{Cursor, Escape, Kind, Unreadable, is_name_part, is_name_start};
use crate::Settings;

/// Signs that operators are made of.
const OPERATOR: &[u8] = b"~!@#^&|`?+-*/%<>=";
/// Signs that stand for themselves.
const ALONE: &[u8] = b",()[].:";

pub(super) fn step(cursor: &mut Cursor<'_>, settings: &Settings) {
    let start = cursor.at;
    let (byte, next) = (cursor.byte(0), cursor.byte(1));
    match byte {
        // A vertical tab is white space from 16 on, and no sign before.
        b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => cursor.at += 1,
        b'-' if next == b'-' => line_comment(cursor),
        b'/' if next == b'*' => comment(cursor),
        b'\'' => {
            cursor.at += 1;
            string(cursor, start, Mode::Plain, settings);
        }
        b'e' | b'E' if next == b'\'' => {
            cursor.at += 2;
            string(cursor, start, Mode::Escaped, settings);
        }
        b'n' | b'N' if next == b'\'' => {
            cursor.at += 2;
            string(cursor, start, Mode::Plain, settings);
        }
        b'b' | b'B' | b'x' | b'X' if next == b'\'' => {
            cursor.at += 2;
            string(cursor, start, Mode::Bits, settings);
        }
        b'u' | b'U' if next == b'&' && cursor.byte(2) == b'\'' => {
            cursor.at += 3;
            string(cursor, start, Mode::Unicode, settings);
        }
        b'u' | b'U' if next == b'&' && cursor.byte(2) == b'"' => {
            cursor.at += 3;
            name(cursor, start, true);
        }
        b'"' => {
            cursor.at += 1;
            name(cursor, start, false);
        }
        b'$' if next.is_ascii_digit() => {
            cursor.at += 1;
            cursor.skip_while(|byte| byte.is_ascii_digit());
            junk_or(cursor, start, Kind::Parameter);
        }
        b'$' => dollar(cursor, start),
        b';' => {
            cursor.at += 1;
            cursor.push(Kind::Semicolon, start);
        }
        b'.' if next.is_ascii_digit() => number(cursor, start),
        b'.' if next == b'.' => two(cursor, start),
        b':' if next == b':' || next == b'=' => two(cursor, start),
        _ if byte.is_ascii_digit() => number(cursor, start),
        _ if is_name_start(byte) => {
            cursor.skip_while(is_name_part);
            cursor.push(Kind::Word, start);
        }
        _ if ALONE.contains(&byte) => {
            cursor.at += 1;
            cursor.push(Kind::Sign, start);
        }
        _ if OPERATOR.contains(&byte) => operator(cursor, start),
        _ => cursor.unreadable(start, Unreadable::Sign),
    }
}

/// How a string is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    Escaped,
    Bits,
    Unicode,
}

fn string(cursor: &mut Cursor<'_>, start: usize, mode: Mode, settings: &Settings) {
    let backslash =
        mode == Mode::Escaped || (mode == Mode::Plain && !settings.standard_conforming_strings);
    // With the old strings the server refuses `U&'…'` altogether.
    if mode == Mode::Unicode && !settings.standard_conforming_strings {
        return cursor.unreadable(start, Unreadable::Escape);
    }
    let mut value = String::new();
    loop {
        match cursor.quoted('\'', backslash, escape) {
            Ok(part) => value.push_str(&part),
            Err(why) => return cursor.unreadable(start, why),
        }
        // A string goes on behind a new line, in the mode in which it began.
        match continues(cursor.rest()) {
            Some(ahead) => cursor.at += ahead,
            None => break,
        }
    }
    let kind = match mode {
        Mode::Bits => Kind::Bits,
        Mode::Plain | Mode::Escaped => Kind::Text(value),
        Mode::Unicode if uescape(cursor.rest()) => {
            return cursor.unreadable(start, Unreadable::Escape);
        }
        Mode::Unicode => match unicode(&value) {
            Some(value) => Kind::Text(value),
            None => return cursor.unreadable(start, Unreadable::Escape),
        },
    };
    cursor.push(kind, start);
}

/// How far ahead the quote is with which a string goes on: white space with a new line in it, and comments
/// to the end of a line.
fn continues(rest: &str) -> Option<usize> {
    let bytes = rest.as_bytes();
    let mut at = 0;
    let mut line = false;
    loop {
        match bytes.get(at)? {
            b'\n' | b'\r' => line = true,
            b' ' | b'\t' | b'\x0c' => {}
            b'-' if bytes.get(at + 1) == Some(&b'-') => {
                let end = bytes.get(at..)?.iter();
                at += end
                    .take_while(|byte| !matches!(byte, b'\n' | b'\r'))
                    .count();
                continue;
            }
            b'\'' if line => return Some(at + 1),
            _ => return None,
        }
        at += 1;
    }
}

/// What stands behind a backslash in `E'…'`.
fn escape(after: &str) -> Escape {
    let first = after.chars().next()?;
    let code = |digits: usize| {
        let code = u32::from_str_radix(after.get(1..=digits)?, 16).ok()?;
        // Surrogates come in pairs, of which one half alone means nothing.
        Some((Some(char::from_u32(code)?), digits + 1))
    };
    match first {
        'b' => Some((Some('\x08'), 1)),
        'f' => Some((Some('\x0c'), 1)),
        'n' => Some((Some('\n'), 1)),
        'r' => Some((Some('\r'), 1)),
        't' => Some((Some('\t'), 1)),
        'v' => Some((Some('\x0b'), 1)),
        'u' => code(4),
        'U' => code(8),
        // Bytes: what they mean hangs on the encoding, unless they are ASCII.
        'x' if after.as_bytes().get(1).is_some_and(u8::is_ascii_hexdigit) => {
            let digits = after.bytes().skip(1).take(2);
            let digits = digits.take_while(u8::is_ascii_hexdigit).count();
            let byte = u8::from_str_radix(after.get(1..=digits)?, 16).ok()?;
            ascii(byte, digits + 1)
        }
        '0'..='7' => {
            let digits = after.bytes().take(3);
            let digits = digits
                .take_while(|byte| matches!(byte, b'0'..=b'7'))
                .count();
            let byte = u16::from_str_radix(after.get(..digits)?, 8).ok()?;
            ascii(u8::try_from(byte & 0xff).ok()?, digits)
        }
        other => Some((Some(other), other.len_utf8())),
    }
}

fn ascii(byte: u8, length: usize) -> Escape {
    let sign = if byte.is_ascii() {
        char::from(byte)
    } else {
        '\u{fffd}'
    };
    (byte != 0).then_some((Some(sign), length))
}

/// A name in quotes.
fn name(cursor: &mut Cursor<'_>, start: usize, escaped: bool) {
    let value = match cursor.quoted('"', false, escape) {
        Ok(value) => value,
        Err(why) => return cursor.unreadable(start, why),
    };
    let value = match escaped {
        false => Some(value),
        true if uescape(cursor.rest()) => None,
        true => unicode(&value),
    };
    match value {
        Some(value) => cursor.push(Kind::Quoted(value), start),
        None => cursor.unreadable(start, Unreadable::Escape),
    }
}

/// Whether another sign than the backslash is named as escape of the `U&` piece before.
fn uescape(rest: &str) -> bool {
    let mut cursor = Cursor {
        text: rest,
        at: 0,
        tokens: Vec::new(),
    };
    loop {
        match (cursor.byte(0), cursor.byte(1)) {
            (b' ' | b'\t' | b'\n' | b'\r' | b'\x0c', _) => cursor.at += 1,
            (b'-', b'-') => line_comment(&mut cursor),
            (b'/', b'*') => comment(&mut cursor),
            _ => break,
        }
    }
    let word = cursor.rest().get(..7);
    word.is_some_and(|word| word.eq_ignore_ascii_case("uescape"))
}

/// The meaning of `\0061` and `\+000061`.
fn unicode(value: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('\\') {
        out.push_str(before);
        if let Some(after) = after.strip_prefix('\\') {
            out.push('\\');
            rest = after;
            continue;
        }
        let (digits, after, length) = match after.strip_prefix('+') {
            Some(after) => (after.get(..6)?, after, 6),
            None => (after.get(..4)?, after, 4),
        };
        // `from_str_radix` takes a sign.
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        out.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
        rest = after.get(length..)?;
    }
    out.push_str(rest);
    Some(out)
}

/// `$tag$ … $tag$`
fn dollar(cursor: &mut Cursor<'_>, start: usize) {
    let rest = cursor.rest();
    let tag = rest.bytes().skip(1);
    let length = tag
        .take_while(|byte| is_name_part(*byte) && *byte != b'$')
        .count();
    let Some(delimiter) = rest.get(..length + 2).filter(|tag| tag.ends_with('$')) else {
        return cursor.unreadable(start, Unreadable::Sign);
    };
    let body = rest.get(delimiter.len()..).unwrap_or_default();
    let Some((value, _)) = body.split_once(delimiter) else {
        return cursor.unreadable(start, Unreadable::Unterminated);
    };
    cursor.at += value.len() + 2 * delimiter.len();
    cursor.push(Kind::Text(value.to_owned()), start);
}

fn number(cursor: &mut Cursor<'_>, start: usize) {
    let digits = |cursor: &mut Cursor<'_>, take: fn(&u8) -> bool| {
        cursor.skip_while(|byte| take(&byte) || byte == b'_');
    };
    let radix = cursor.byte(0) == b'0';
    match cursor.byte(1) {
        b'x' | b'X' | b'o' | b'O' | b'b' | b'B' if radix => {
            cursor.at += 2;
            digits(cursor, u8::is_ascii_hexdigit);
        }
        _ => {
            digits(cursor, u8::is_ascii_digit);
            // `1..2` is a range.
            if cursor.byte(0) == b'.' && cursor.byte(1) != b'.' {
                cursor.at += 1;
                digits(cursor, u8::is_ascii_digit);
            }
            let sign = usize::from(matches!(cursor.byte(1), b'+' | b'-'));
            if matches!(cursor.byte(0), b'e' | b'E') && cursor.byte(1 + sign).is_ascii_digit() {
                cursor.at += 1 + sign;
                digits(cursor, u8::is_ascii_digit);
            }
        }
    }
    junk_or(cursor, start, Kind::Number);
}

/// Versions differ in what letters right behind digits are.
fn junk_or(cursor: &mut Cursor<'_>, start: usize, kind: Kind) {
    if is_name_start(cursor.byte(0)) {
        return cursor.unreadable(start, Unreadable::Sign);
    }
    cursor.push(kind, start);
}

/// The longest run of operator signs up to a comment; `+` and `-` at its end belong to what follows,
/// unless the run has a sign that SQL's own operators have not.
fn operator(cursor: &mut Cursor<'_>, start: usize) {
    cursor.skip_while(|byte| OPERATOR.contains(&byte));
    let run = cursor.text.get(start..cursor.at).unwrap_or_default();
    let comment = ["/*", "--"]
        .iter()
        .filter_map(|begin| run.find(begin))
        .min();
    let mut run = comment.map_or(run, |end| run.get(..end).unwrap_or_default());
    while run.len() > 1
        && run.ends_with(['+', '-'])
        && !run.bytes().any(|byte| b"~!@#^&|`?%".contains(&byte))
    {
        run = run.get(..run.len() - 1).unwrap_or_default();
    }
    cursor.at = start + run.len();
    cursor.push(Kind::Sign, start);
}

fn two(cursor: &mut Cursor<'_>, start: usize) {
    cursor.at += 2;
    cursor.push(Kind::Sign, start);
}

fn line_comment(cursor: &mut Cursor<'_>) {
    cursor.skip_while(|byte| !matches!(byte, b'\n' | b'\r'));
}

/// Comments are nested.
fn comment(cursor: &mut Cursor<'_>) {
    let start = cursor.at;
    let mut depth = 0_usize;
    loop {
        match (cursor.byte(0), cursor.byte(1)) {
            (b'/', b'*') => {
                depth += 1;
                cursor.at += 2;
            }
            (b'*', b'/') => {
                depth -= 1;
                cursor.at += 2;
                if depth == 0 {
                    return;
                }
            }
            _ if cursor.at >= cursor.text.len() => {
                return cursor.unreadable(start, Unreadable::Unterminated);
            }
            _ => cursor.at += 1,
        }
    }
}
