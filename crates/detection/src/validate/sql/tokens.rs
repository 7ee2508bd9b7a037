//! The tokens of SQL, of any dialect, as far as the statements of interest need them.

use crate::engine::{Candidate, LOOK_BACK};

/// How far a statement is read, in bytes.
const MAX_STATEMENT: usize = 2048;

/// The tokens of one statement.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a [u8],
    at: usize,
    limit: usize,
    /// The quote within which the statement began, and whether it was written with a backslash.
    outer: Option<u8>,
    escaped: bool,
    open: usize,
    end: Option<End>,
}

/// A piece of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// A keyword or name.
    Word(&'a [u8]),
    /// A name in quotes.
    Name,
    /// A string.
    Text(&'a [u8]),
    Number(&'a [u8]),
    Sign(u8),
}

/// How a statement ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Semicolon,
    /// The quote or bracket in which it stands is closed.
    Closed,
    /// The text is at its end.
    Text,
    /// The line is at its end, for statements that have but one.
    Line,
    /// The statement is longer than is read.
    Cut,
}

impl Token<'_> {
    /// Whether this is a keyword, given in upper case.
    pub(crate) fn is(&self, keyword: &str) -> bool {
        matches!(self, Token::Word(word) if word.eq_ignore_ascii_case(keyword.as_bytes()))
    }
}

impl<'a> Tokens<'a> {
    /// The tokens behind a candidate's literal.
    pub(crate) fn behind(candidate: &Candidate<'a>) -> Self {
        let text = candidate.text;
        let at = candidate.literal.end;
        let (outer, escaped) = match before(candidate) {
            [.., b'\\', quote @ (b'"' | b'\'')] => (Some(*quote), true),
            [.., quote @ (b'"' | b'\'' | b'`')] => (Some(*quote), false),
            _ => (None, false),
        };
        Self {
            text,
            at,
            limit: text.len().min(at + MAX_STATEMENT),
            outer,
            escaped,
            open: 0,
            end: None,
        }
    }

    /// Where the next token is looked for.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// How the statement ended, once the tokens have.
    pub(crate) const fn end(&self) -> Option<End> {
        self.end
    }

    /// How the statement ends here, if nothing more stands in its line.
    pub(crate) fn end_of_line(&mut self) -> Option<End> {
        let from = self.at;
        match self.advance() {
            None => self.end,
            Some(_) => {
                let between = &self.text[from..self.at];
                self.at = from;
                let gap = between
                    .iter()
                    .take_while(|byte| byte.is_ascii_whitespace() || **byte == b'\\');
                let lines = gap.clone().any(|byte| *byte == b'\n')
                    || (between.contains(&b'\\') && between.first() == Some(&b'\\'));
                lines.then_some(End::Line)
            }
        }
    }

    /// The next token, if it is a word.
    pub(crate) fn word(&mut self) -> Option<Token<'a>> {
        let from = self.at;
        match self.advance() {
            Some(word @ Token::Word(_)) => Some(word),
            _ => {
                self.back(from);
                None
            }
        }
    }

    /// Takes the next token if it is this keyword.
    pub(crate) fn eat(&mut self, keyword: &str) -> bool {
        self.eat_any(&[keyword])
    }

    /// Takes the next token if it is one of these keywords.
    pub(crate) fn eat_any(&mut self, keywords: &[&str]) -> bool {
        let (from, open) = (self.at, self.open);
        let found = self
            .advance()
            .is_some_and(|token| keywords.iter().any(|keyword| token.is(keyword)));
        if !found {
            self.back(from);
            self.open = open;
        }
        found
    }

    /// Takes names with commas between, each of parts with dots between.
    pub(crate) fn names(&mut self) -> Option<()> {
        let mut taken = None;
        loop {
            let from = self.at;
            match self.advance() {
                Some(Token::Word(word)) if !KEYWORDS.iter().any(|key| is(word, key)) => {}
                Some(Token::Name) => {}
                _ => {
                    self.back(from);
                    return taken;
                }
            }
            taken = Some(());
            let (from, open) = (self.at, self.open);
            if !matches!(self.advance(), Some(Token::Sign(b'.' | b','))) {
                self.back(from);
                self.open = open;
                return taken;
            }
        }
    }

    /// Takes the name of an account: a name, or strings with `@` between.
    pub(crate) fn account(&mut self) -> Option<()> {
        if self.names().is_some() {
            return Some(());
        }
        let from = self.at;
        if !matches!(self.advance(), Some(Token::Text(_))) {
            self.back(from);
            return None;
        }
        let from = self.at;
        if matches!(self.advance(), Some(Token::Sign(b'@'))) {
            self.advance();
        } else {
            self.back(from);
        }
        Some(())
    }

    fn back(&mut self, to: usize) {
        self.at = to;
        self.end = None;
    }

    fn stop(&mut self, end: End) -> Option<Token<'a>> {
        self.end = Some(end);
        None
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.at..self.limit]
    }

    fn take(&mut self, while_so: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let length = rest.iter().take_while(|byte| while_so(**byte)).count();
        self.at += length;
        &rest[..length]
    }

    /// Passes spaces and comments.
    fn skip_space(&mut self) {
        loop {
            let from = self.at;
            self.take(|byte| byte.is_ascii_whitespace());
            match self.rest() {
                // Line ends and tabs written out, as in JSON.
                [b'\\', b'n' | b'r' | b't', ..] => self.at += 2,
                [b'-', b'-', ..] => {
                    self.take(|byte| byte != b'\n');
                }
                // What MySQL reads and others do not.
                [b'/', b'*', b'!', ..] => {
                    self.at += 3;
                    self.take(|byte| byte.is_ascii_digit());
                }
                [b'*', b'/', ..] => self.at += 2,
                [b'/', b'*', rest @ ..] => {
                    let end = memchr::memmem::find(rest, b"*/");
                    self.at += end.map_or(rest.len() + 2, |end| end + 4);
                }
                _ => {}
            }
            if self.at == from {
                return;
            }
        }
    }

    /// The text within quotes that begins here, if they close.
    fn quoted(&mut self, close: u8) -> Option<&'a [u8]> {
        let rest = self.rest().get(1..)?;
        let mut from = 0;
        loop {
            let end = from + memchr::memchr(close, &rest[from..])?;
            // Twice the quote is the quote.
            if rest.get(end + 1) == Some(&close) {
                from = end + 2;
                continue;
            }
            self.at += end + 2;
            return Some(&rest[..end]);
        }
    }
}

impl<'a> Tokens<'a> {
    /// The next token, until the statement ends.
    pub(crate) fn advance(&mut self) -> Option<Token<'a>> {
        if self.end.is_some() {
            return None;
        }
        self.skip_space();
        let Some(byte) = self.rest().first().copied() else {
            let end = if self.limit < self.text.len() {
                End::Cut
            } else {
                End::Text
            };
            return self.stop(end);
        };
        let glued = self.at > 0 && is_name(self.text[self.at - 1]);
        match byte {
            b';' => self.stop(End::Semicolon),
            b'\\' if self.rest().get(1) == Some(&b'"') => {
                if self.escaped || glued {
                    return self.stop(End::Closed);
                }
                // A name in quotes, within quotes.
                let inner = &self.rest()[2..];
                match memchr::memmem::find(inner, br#"\""#) {
                    Some(end) => {
                        self.at += end + 4;
                        Some(Token::Name)
                    }
                    None => self.stop(End::Closed),
                }
            }
            b'"' | b'\'' | b'`' if self.outer == Some(byte) || (glued && !self.is_prefix()) => {
                self.stop(End::Closed)
            }
            b'"' | b'`' => Some(match self.quoted(byte) {
                Some(_) => Token::Name,
                None => return self.stop(End::Closed),
            }),
            b'\'' => match self.quoted(byte) {
                Some(text) => Some(Token::Text(text)),
                None => self.stop(End::Closed),
            },
            b'(' => {
                self.open += 1;
                self.at += 1;
                Some(Token::Sign(byte))
            }
            b')' if self.open == 0 => self.stop(End::Closed),
            b')' => {
                self.open -= 1;
                self.at += 1;
                Some(Token::Sign(byte))
            }
            b'0'..=b'9' => Some(Token::Number(
                self.take(|byte| byte.is_ascii_alphanumeric() || byte == b'.'),
            )),
            byte if is_name(byte) => Some(Token::Word(self.take(is_name))),
            byte => {
                self.at += 1;
                Some(Token::Sign(byte))
            }
        }
    }
}

impl Tokens<'_> {
    /// Whether the one letter before a quote says what kind of string it begins, as in `E'…'`.
    fn is_prefix(&self) -> bool {
        let before = &self.text[self.at.saturating_sub(2)..self.at];
        match before {
            [first, letter] => !is_name(*first) && letter.is_ascii_alphabetic(),
            _ => false,
        }
    }
}

/// Whether a statement may begin where a candidate's literal stands.
pub(crate) fn begins(candidate: &Candidate<'_>) -> bool {
    let all = candidate.before();
    let trimmed = before(candidate);
    if all.len() < LOOK_BACK && trimmed.is_empty() {
        return true;
    }
    let gap = &all[trimmed.len()..];
    if gap.contains(&b'\n') || gap.contains(&b'\\') {
        return true;
    }
    match trimmed.last() {
        Some(last) if is_name(*last) => {
            let word = trimmed.rsplit(|byte| !is_name(*byte)).next();
            let versioned = trimmed
                .trim_ascii_end()
                .rsplit(|byte| !byte.is_ascii_digit())
                .next()
                .is_some_and(|digits| {
                    trimmed.len() > digits.len()
                        && trimmed[..trimmed.len() - digits.len()].ends_with(b"/*!")
                });
            versioned
                || word.is_some_and(|word| {
                    [
                        "BEGIN", "THEN", "ELSE", "DO", "AS", "ANALYZE", "EXPLAIN", "VERBOSE",
                        "EXECUTE",
                    ]
                    .iter()
                    .any(|known| is(word, known))
                })
        }
        Some(last) => b";\"'`(){}:=/>!*".contains(last),
        None => false,
    }
}

/// What stands before the literal, without the space between.
fn before<'a>(candidate: &Candidate<'a>) -> &'a [u8] {
    let mut before = candidate.before();
    loop {
        before = match before {
            [rest @ .., b'\\', b'n' | b'r' | b't'] => rest,
            [rest @ .., last] if last.is_ascii_whitespace() => rest,
            _ => return before,
        };
    }
}

/// Words that are no names of tables, so that half a statement is not taken for one.
const KEYWORDS: [&str; 14] = [
    "SET",
    "WHERE",
    "FROM",
    "SELECT",
    "VALUES",
    "CASCADE",
    "RESTRICT",
    "ON",
    "AND",
    "OR",
    "OF",
    "USING",
    "RETURNING",
    "INTO",
];

fn is(word: &[u8], keyword: &str) -> bool {
    word.eq_ignore_ascii_case(keyword.as_bytes())
}

const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | b'#' | 0x80..)
}
