//! MySQL and MariaDB: `sql/sql_lex.cc`.

use super::{Cursor, Escape, Kind, Unreadable, is_name_part, is_name_start};
use crate::Settings;

/// Operators of more than one sign, the longer ones first.
const OPERATORS: [&str; 13] = [
    "<=>", "->>", "->", "<<", ">>", "<=", ">=", "<>", "!=", "||", "&&", ":=", "::",
];
const ALONE: &[u8] = b",()[].:+-*/%<>=!~^&|{}";

pub(super) fn step(cursor: &mut Cursor<'_>, settings: &Settings) {
    let start = cursor.at;
    let (byte, next) = (cursor.byte(0), cursor.byte(1));
    match byte {
        b' ' | b'\t'..=b'\r' => cursor.at += 1,
        b'#' => line_comment(cursor),
        // Only with white space, another sign of control, or the end behind it: `1--1` is 2.
        b'-' if next == b'-' && (cursor.byte(2) <= b' ' || cursor.byte(2) == 0x7f) => {
            line_comment(cursor);
        }
        b'/' if next == b'*' => comment(cursor),
        b'\'' => string(cursor, start, 1, '\'', settings),
        b'"' if settings.ansi_quotes => name(cursor, start, '"'),
        b'"' => string(cursor, start, 1, '"', settings),
        b'`' => name(cursor, start, '`'),
        b'n' | b'N' if next == b'\'' => string(cursor, start, 2, '\'', settings),
        b'x' | b'X' | b'b' | b'B' if next == b'\'' => {
            cursor.at += 2;
            match cursor.quoted('\'', false, escape) {
                Ok(_) => cursor.push(Kind::Bits, start),
                Err(why) => cursor.unreadable(start, why),
            }
        }
        b'@' => variable(cursor, start),
        b'?' => {
            cursor.at += 1;
            cursor.push(Kind::Parameter, start);
        }
        b';' => {
            cursor.at += 1;
            cursor.push(Kind::Semicolon, start);
        }
        b'\\' if next == b'N' => {
            cursor.at += 2;
            cursor.push(Kind::Number, start);
        }
        // Behind a dot everything is a name, also what looks like a number.
        _ if is_name_part(byte) && behind_a_dot(cursor) => {
            cursor.skip_while(is_name_part);
            cursor.push(Kind::Word, start);
        }
        b'.' if next.is_ascii_digit() && !behind_a_name(cursor) => number(cursor, start),
        _ if byte.is_ascii_digit() => number_or_name(cursor, start),
        _ if is_name_start(byte) || byte == b'$' => {
            cursor.skip_while(is_name_part);
            cursor.push(Kind::Word, start);
        }
        _ => {
            let long = OPERATORS
                .iter()
                .find(|sign| cursor.rest().starts_with(**sign));
            match long {
                Some(sign) => cursor.at += sign.len(),
                None if ALONE.contains(&byte) => cursor.at += 1,
                None => return cursor.unreadable(start, Unreadable::Sign),
            }
            cursor.push(Kind::Sign, start);
        }
    }
}

fn string(cursor: &mut Cursor<'_>, start: usize, open: usize, quote: char, settings: &Settings) {
    cursor.at += open;
    match cursor.quoted(quote, !settings.no_backslash_escapes, escape) {
        Ok(value) => cursor.push(Kind::Text(value), start),
        Err(why) => cursor.unreadable(start, why),
    }
}

/// What stands behind a backslash. `\%` and `\_` keep it, for patterns.
fn escape(after: &str) -> Escape {
    let first = after.chars().next()?;
    let meant = match first {
        '0' => '\0',
        'b' => '\x08',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'Z' => '\x1a',
        '%' | '_' => return Some((Some('\\'), 0)),
        other => other,
    };
    Some((Some(meant), first.len_utf8()))
}

fn name(cursor: &mut Cursor<'_>, start: usize, quote: char) {
    cursor.at += 1;
    match cursor.quoted(quote, false, escape) {
        Ok(value) => cursor.push(Kind::Quoted(value), start),
        Err(why) => cursor.unreadable(start, why),
    }
}

/// `@name`, `@@name`; with a name in quotes the parser gets two tokens and knows them not.
fn variable(cursor: &mut Cursor<'_>, start: usize) {
    cursor.skip_while(|byte| byte == b'@');
    if cursor.at - start > 2 {
        return cursor.unreadable(start, Unreadable::Sign);
    }
    let dots = cursor.at - start == 1;
    cursor.skip_while(|byte| is_name_part(byte) || (dots && byte == b'.'));
    let kind = if cursor.at - start <= 2
        && !cursor.text[..cursor.at].ends_with(|sign: char| sign != '@')
    {
        Kind::Sign
    } else {
        Kind::Word
    };
    cursor.push(kind, start);
}

fn behind_a_dot(cursor: &Cursor<'_>) -> bool {
    let last = cursor.tokens.last();
    last.is_some_and(|last| {
        last.span.end == cursor.at
            && last.kind == Kind::Sign
            && cursor.text.get(last.span.clone()) == Some(".")
    })
}

fn behind_a_name(cursor: &Cursor<'_>) -> bool {
    let last = cursor.tokens.last();
    last.is_some_and(|last| {
        last.span.end == cursor.at && matches!(last.kind, Kind::Word | Kind::Quoted(_))
    })
}

/// Names may begin with digits: `1a` is one, `1e5` is none.
fn number_or_name(cursor: &mut Cursor<'_>, start: usize) {
    let rest = cursor.rest();
    let word = rest.bytes().take_while(|byte| is_name_part(*byte)).count();
    let word = rest.get(..word).unwrap_or_default();
    let digits = |text: &str, digit: fn(&u8) -> bool| {
        !text.is_empty() && text.bytes().all(|byte| digit(&byte))
    };
    let radix = word
        .strip_prefix("0x")
        .map(|text| digits(text, u8::is_ascii_hexdigit));
    let binary = word
        .strip_prefix("0b")
        .map(|text| digits(text, |byte| matches!(byte, b'0' | b'1')));
    if radix == Some(true) || binary == Some(true) {
        cursor.at += word.len();
        return cursor.push(Kind::Bits, start);
    }
    if digits(word, u8::is_ascii_digit) || exponent(word) {
        return number(cursor, start);
    }
    cursor.at += word.len();
    cursor.push(Kind::Word, start);
}

/// Whether a word is `1e5`, or the beginning of `1e+5`.
fn exponent(word: &str) -> bool {
    let rest = word.trim_start_matches(|sign: char| sign.is_ascii_digit());
    let Some(rest) = rest.strip_prefix(['e', 'E']) else {
        return false;
    };
    rest.bytes().all(|byte| byte.is_ascii_digit())
}

fn number(cursor: &mut Cursor<'_>, start: usize) {
    cursor.skip_while(|byte| byte.is_ascii_digit());
    if cursor.byte(0) == b'.' {
        cursor.at += 1;
        cursor.skip_while(|byte| byte.is_ascii_digit());
    }
    let sign = usize::from(matches!(cursor.byte(1), b'+' | b'-'));
    if matches!(cursor.byte(0), b'e' | b'E') && cursor.byte(1 + sign).is_ascii_digit() {
        cursor.at += 1 + sign;
        cursor.skip_while(|byte| byte.is_ascii_digit());
    }
    if is_name_start(cursor.byte(0)) {
        return cursor.unreadable(start, Unreadable::Sign);
    }
    cursor.push(Kind::Number, start);
}

fn line_comment(cursor: &mut Cursor<'_>) {
    cursor.skip_while(|byte| byte != b'\n');
}

/// Comments are not nested, and some are none.
fn comment(cursor: &mut Cursor<'_>) {
    let start = cursor.at;
    let rest = cursor.rest();
    if rest.starts_with("/*!") || rest.starts_with("/*M!") {
        return cursor.unreadable(start, Unreadable::Executable);
    }
    let Some(end) = rest.get(2..).and_then(|body| body.find("*/")) else {
        return cursor.unreadable(start, Unreadable::Unterminated);
    };
    cursor.at += end + 4;
    // A hint may set variables while its statement runs.
    let hint = rest.get(..end + 4).unwrap_or_default();
    if hint.starts_with("/*+") && hint.to_ascii_uppercase().contains("SET_VAR") {
        cursor.unreadable(start, Unreadable::Executable);
    }
}
