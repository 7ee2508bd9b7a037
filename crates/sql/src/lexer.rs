//! A text in tokens, cut where the server cuts it.
//!
//! This is the one place that knows where a string, a comment or a name ends. The parser gets these
//! tokens and never the text, so that it cannot see other statements than the lexer does. The rules are
//! those of PostgreSQL's `scan.l` and MySQL's `sql_lex.cc`.

mod mysql;
mod postgres;

use std::ops::Range;

use crate::{Dialect, Settings};

/// A piece of the text that is no white space and no comment.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    /// Where it stands in the text, in bytes.
    pub(crate) span: Range<usize>,
}

/// What a token is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A keyword or a name without quotes, as written.
    Word,
    /// A name in quotes, decoded.
    Quoted(String),
    /// A string of characters, decoded.
    Text(String),
    /// A number as written.
    Number,
    /// A string of bits or bytes: `B'…'`, `X'…'`, `0x…`.
    Bits,
    /// `$1` or `?`.
    Parameter,
    /// An operator or a single sign.
    Sign,
    /// `;`
    Semicolon,
    /// What cannot be read for certain. It is the last token and goes to the end of the text.
    Unreadable(Unreadable),
}

impl Kind {
    /// Whether it stands for a value.
    pub(crate) const fn is_value(&self) -> bool {
        matches!(
            self,
            Self::Text(_) | Self::Number | Self::Bits | Self::Parameter
        )
    }
}

/// Why the rest of a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// A string, a quoted name or a comment has no end.
    Unterminated,
    /// A sign that the server has no use for.
    Sign,
    /// An escape that is not one, or whose meaning comes later.
    Escape,
    /// `/*! … */`: whether it is executed depends on the server's version.
    Executable,
    /// The text is longer than the limit.
    TooLong,
}

// By hand: a token holds literals.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token")
            .field("span", &self.span)
            .finish_non_exhaustive()
    }
}

/// The tokens of `text`, in order and without overlaps.
pub(crate) fn tokens(dialect: Dialect, text: &str, settings: &Settings) -> Vec<Token> {
    let mut cursor = Cursor {
        text,
        at: 0,
        tokens: Vec::new(),
    };
    // The protocol of PostgreSQL ends a text at its first NUL, and MySQL's lexer may.
    if text.contains('\0') {
        cursor.unreadable(0, Unreadable::Sign);
        return cursor.tokens;
    }
    if text.len() > settings.max_bytes {
        cursor.unreadable(0, Unreadable::TooLong);
        return cursor.tokens;
    }
    let step = match dialect {
        Dialect::Postgres => postgres::step,
        Dialect::MySql => mysql::step,
    };
    while cursor.at < text.len() {
        step(&mut cursor, settings);
    }
    cursor.tokens
}

/// What an escape means, if it means a sign, and how long it is behind its backslash.
type Escape = Option<(Option<char>, usize)>;

/// A place in the text, and the tokens before it.
struct Cursor<'t> {
    text: &'t str,
    at: usize,
    tokens: Vec<Token>,
}

impl<'t> Cursor<'t> {
    fn push(&mut self, kind: Kind, start: usize) {
        self.tokens.push(Token {
            kind,
            span: start..self.at,
        });
    }

    /// Nothing from `start` on can be read.
    fn unreadable(&mut self, start: usize, why: Unreadable) {
        self.at = self.text.len();
        self.push(Kind::Unreadable(why), start);
    }

    /// The byte so many after the next one; 0 behind the end, as both lexers have it.
    fn byte(&self, ahead: usize) -> u8 {
        self.text
            .as_bytes()
            .get(self.at + ahead)
            .copied()
            .unwrap_or(0)
    }

    fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_while(&mut self, take: impl Fn(u8) -> bool) {
        let bytes = self.text.as_bytes();
        while self.at < bytes.len() && take(self.byte(0)) {
            self.at += 1;
        }
    }

    /// Goes behind the end of a quoted piece that the cursor stands in, and gives what it holds. A doubled
    /// `quote` stands for itself, as does what follows a backslash if `backslash`; `escape` says what an
    /// escape means and how long it is behind its backslash.
    fn quoted(
        &mut self,
        quote: char,
        backslash: bool,
        escape: fn(&str) -> Escape,
    ) -> Result<String, Unreadable> {
        let mut value = String::new();
        let mut rest = self.rest().chars();
        loop {
            let Some(sign) = rest.next() else {
                return Err(Unreadable::Unterminated);
            };
            if sign == quote {
                if rest.as_str().starts_with(quote) {
                    rest.next();
                    value.push(quote);
                    continue;
                }
                self.at = self.text.len() - rest.as_str().len();
                return Ok(value);
            }
            if backslash && sign == '\\' {
                let after = rest.as_str();
                if after.is_empty() {
                    return Err(Unreadable::Unterminated);
                }
                let (meant, length) = escape(after).ok_or(Unreadable::Escape)?;
                value.extend(meant);
                rest = after.get(length..).ok_or(Unreadable::Escape)?.chars();
                continue;
            }
            value.push(sign);
        }
    }
}

/// What begins a name without quotes, in both servers: bytes of other alphabets count as letters, also
/// those that look like white space.
fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

fn is_name_part(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

#[cfg(test)]
mod tests;
