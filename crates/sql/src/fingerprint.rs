//! A text without its values.

use std::{fmt, ops::Range};

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlparser::{keywords::Keyword, tokenizer};

use crate::{
    Dialect, Settings,
    lexer::{self, Kind, Token},
};

/// What statements have in common that differ in values, parameters, white space and comments alone: 16
/// hexadecimal digits of the SHA-256 of the [`normalized`] text.
///
/// It says that two statements look alike, for statistics and searches. It is no proof: with 64 bits,
/// somebody who wants two statements to have the same can find them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "String")]
pub struct Fingerprint(u64);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}

/// The fingerprint of a text, also of one that is no SQL.
///
/// ```
/// use tollbook_sql::{Dialect, Settings, fingerprint};
///
/// let of = |text| fingerprint(Dialect::Postgres, text, &Settings::default());
/// assert_eq!(of("SELECT * FROM t WHERE id = 7"), of("select *\n from T -- why\n where id = $1"));
/// assert_ne!(of("SELECT * FROM t WHERE id = 7"), of("SELECT * FROM u WHERE id = 7"));
/// ```
pub fn fingerprint(dialect: Dialect, text: &str, settings: &Settings) -> Fingerprint {
    of_tokens(dialect, text, &lexer::tokens(dialect, text, settings))
}

/// The text with one space between tokens, `?` for each literal and parameter, without comments, with
/// keywords in lower case. What cannot be read is `…`. It holds no value and may be shown.
pub fn normalized(dialect: Dialect, text: &str, settings: &Settings) -> String {
    normalize(dialect, text, &lexer::tokens(dialect, text, settings))
}

/// Where literals stand in the text: strings, numbers and bits, in order and without overlaps. What cannot
/// be read is one of them, to the end of the text. Comments are none.
pub fn literals(dialect: Dialect, text: &str, settings: &Settings) -> Vec<Range<usize>> {
    let tokens = lexer::tokens(dialect, text, settings).into_iter();
    let literals = tokens.filter(|token| {
        let literal = Kind::is_value(&token.kind) && token.kind != Kind::Parameter;
        literal || matches!(token.kind, Kind::Unreadable(_))
    });
    literals.map(|token| token.span).collect()
}

pub(crate) fn of_tokens(dialect: Dialect, text: &str, tokens: &[Token]) -> Fingerprint {
    let mut hash = Sha256::new();
    hash.update(normalize(dialect, text, tokens));
    // Two texts that cannot be read are the same only if they are the same.
    if let Some(token) = tokens.last()
        && let Kind::Unreadable(_) = token.kind
    {
        hash.update([0]);
        hash.update(text.get(token.span.clone()).unwrap_or_default());
    }
    let hash = hash.finalize();
    Fingerprint(
        hash.iter()
            .take(8)
            .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
    )
}

fn normalize(dialect: Dialect, text: &str, tokens: &[Token]) -> String {
    let mut out = String::new();
    let mut previous: Option<&Token> = None;
    for (index, token) in tokens.iter().enumerate() {
        let written = text.get(token.span.clone()).unwrap_or_default();
        let number = tokens
            .get(index + 1)
            .is_some_and(|next| next.kind == Kind::Number);
        let signed = number && matches!(written, "-" | "+") && !ends_value(text, previous);
        previous = Some(token);
        // `-1` is one value, as `1` is.
        if signed {
            continue;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        match &token.kind {
            Kind::Word => match dialect {
                Dialect::MySql if !is_keyword(written) => out.push_str(written),
                _ => out.push_str(&written.to_ascii_lowercase()),
            },
            Kind::Quoted(name) => {
                out.push_str(&format!("\"{}\"", name.replace('"', "\"\"")));
            }
            Kind::Sign | Kind::Semicolon => out.push_str(written),
            Kind::Unreadable(_) => out.push('…'),
            _ => out.push('?'),
        }
    }
    out
}

/// Whether a sign behind this token would be an operator between two values.
fn ends_value(text: &str, token: Option<&Token>) -> bool {
    token.is_some_and(|token| {
        let written = text.get(token.span.clone()).unwrap_or_default();
        match &token.kind {
            Kind::Word => !is_keyword(written),
            Kind::Sign => matches!(written, ")" | "]"),
            Kind::Semicolon => false,
            _ => true,
        }
    })
}

pub(crate) fn is_keyword(word: &str) -> bool {
    match tokenizer::Token::make_word(word, None) {
        tokenizer::Token::Word(word) => word.keyword != Keyword::NoKeyword,
        _ => false,
    }
}
