//! Cutting a JSON document into tokens without building it.

use std::ops::Range;

use memchr::memchr2;

use crate::json::text::decode_escape;

/// The deepest nesting. What is nested deeper is not read.
pub(super) const MAX_DEPTH: usize = 512;

/// A token, with where it lies in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    /// The name of a member, without its quotes.
    Key(Range<usize>),
    /// A string, without its quotes.
    Text(Range<usize>),
    /// A number, `true`, `false` or `null`.
    Scalar(Range<usize>),
}

/// The document is not JSON (RFC 8259), or nested too deeply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// The tokens of one document, checked for their order.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    bytes: &'a [u8],
    at: usize,
    /// For each open value, whether it is an object.
    open: Vec<bool>,
    expect: Expect,
    decoded: Option<Range<usize>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    /// A value or the end of the array.
    First,
    Key,
    /// A key or the end of the object.
    FirstKey,
    /// A comma or the end of what is open.
    Next,
    Nothing,
}

impl<'a> Tokens<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            open: Vec::new(),
            expect: Expect::Value,
            decoded: None,
        }
    }

    /// The next token; `None` at the end of the document.
    pub(crate) fn next(&mut self) -> Result<Option<Token>, Malformed> {
        self.step(None)
    }

    /// The next token. The text of a string with escapes is appended to `texts` on the way: its end
    /// and its escapes are looked for at once.
    pub(crate) fn next_into(&mut self, texts: &mut Vec<u8>) -> Result<Option<Token>, Malformed> {
        self.step(Some(texts))
    }

    /// Where in `texts` the text of the last string stands, if there are escapes in it.
    pub(crate) fn decoded(&self) -> Option<Range<usize>> {
        self.decoded.clone()
    }

    fn step(&mut self, texts: Option<&mut Vec<u8>>) -> Result<Option<Token>, Malformed> {
        self.skip_space();
        if self.expect == Expect::Next {
            match (self.peek(), self.open.last()) {
                (Some(b','), Some(object)) => {
                    self.expect = if *object { Expect::Key } else { Expect::Value };
                    self.at += 1;
                    self.skip_space();
                }
                (Some(b'}'), Some(true)) => return Ok(Some(self.close(Token::ObjectEnd))),
                (Some(b']'), Some(false)) => return Ok(Some(self.close(Token::ArrayEnd))),
                _ => return Err(Malformed),
            }
        }
        match (self.peek(), self.expect) {
            (None, Expect::Nothing) => Ok(None),
            (Some(b'}'), Expect::FirstKey) => Ok(Some(self.close(Token::ObjectEnd))),
            (Some(b'"'), Expect::Key | Expect::FirstKey) => {
                let key = self.string(texts)?;
                self.skip_space();
                if self.peek() != Some(b':') {
                    return Err(Malformed);
                }
                self.at += 1;
                self.expect = Expect::Value;
                Ok(Some(Token::Key(key)))
            }
            (Some(b']'), Expect::First) => Ok(Some(self.close(Token::ArrayEnd))),
            (Some(first), Expect::Value | Expect::First) => self.value(first, texts).map(Some),
            _ => Err(Malformed),
        }
    }

    fn value(&mut self, first: u8, texts: Option<&mut Vec<u8>>) -> Result<Token, Malformed> {
        let token = match first {
            b'{' | b'[' => {
                if self.open.len() == MAX_DEPTH {
                    return Err(Malformed);
                }
                let object = first == b'{';
                self.open.push(object);
                self.at += 1;
                let (expect, token) = if object {
                    (Expect::FirstKey, Token::ObjectStart)
                } else {
                    (Expect::First, Token::ArrayStart)
                };
                self.expect = expect;
                return Ok(token);
            }
            b'"' => Token::Text(self.string(texts)?),
            _ => Token::Scalar(self.scalar()?),
        };
        self.expect = self.after_value();
        Ok(token)
    }

    fn string(&mut self, texts: Option<&mut Vec<u8>>) -> Result<Range<usize>, Malformed> {
        let start = self.at + 1;
        let mut stop = start + self.stop(start)?;
        self.decoded = None;
        if self.bytes[stop] != b'"' {
            stop = match texts {
                Some(texts) => self.decode(start, stop, texts)?,
                None => self.skip(stop)?,
            };
        }
        self.at = stop + 1;
        Ok(start..stop)
    }

    /// Goes on from a backslash to the end of the string.
    fn skip(&self, mut stop: usize) -> Result<usize, Malformed> {
        while self.bytes[stop] != b'"' {
            // Only the byte behind a backslash can be a quote that does not end the string.
            stop += 2;
            stop += self.stop(stop)?;
        }
        Ok(stop)
    }

    /// The same, and the text of the string is written on the way.
    fn decode(
        &mut self,
        start: usize,
        mut stop: usize,
        texts: &mut Vec<u8>,
    ) -> Result<usize, Malformed> {
        let (from, mut at) = (texts.len(), start);
        loop {
            texts.extend_from_slice(&self.bytes[at..stop]);
            if self.bytes[stop] == b'"' {
                self.decoded = Some(from..texts.len());
                return Ok(stop);
            }
            at = stop + decode_escape(&self.bytes[stop..], texts);
            stop = at + self.stop(at)?;
        }
    }

    /// How far the next quote or backslash is.
    fn stop(&self, at: usize) -> Result<usize, Malformed> {
        let rest = self.bytes.get(at..).ok_or(Malformed)?;
        memchr2(b'"', b'\\', rest).ok_or(Malformed)
    }

    fn scalar(&mut self) -> Result<Range<usize>, Malformed> {
        let rest = &self.bytes[self.at..];
        let is_part =
            |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let length = rest
            .iter()
            .position(|byte| !is_part(byte))
            .unwrap_or(rest.len());
        let text = &rest[..length];
        let is_number = text
            .first()
            .is_some_and(|byte| byte.is_ascii_digit() || *byte == b'-')
            && text
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        if !is_number && !matches!(text, b"true" | b"false" | b"null") {
            return Err(Malformed);
        }
        let start = self.at;
        self.at += length;
        Ok(start..self.at)
    }

    fn close(&mut self, token: Token) -> Token {
        self.at += 1;
        self.open.pop();
        self.expect = self.after_value();
        token
    }

    fn after_value(&self) -> Expect {
        if self.open.is_empty() {
            Expect::Nothing
        } else {
            Expect::Next
        }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Result<usize, Malformed> {
        let mut tokens = Tokens::new(text.as_bytes());
        let mut count = 0;
        while tokens.next()?.is_some() {
            count += 1;
        }
        Ok(count)
    }

    #[test]
    fn documents_are_cut_into_tokens() {
        for (text, count) in [
            (r#""a""#, 1),
            (" 1 ", 1),
            ("[]", 2),
            ("{}", 2),
            (r#"{"a":[1,{"b":null}],"c\"":"d\\"}"#, 12),
            ("[-1.5e+3,true,false]", 5),
        ] {
            assert_eq!(tokens(text), Ok(count), "{text}");
        }
    }

    #[test]
    fn what_is_no_document_is_refused() {
        for text in [
            "",
            "[",
            "[1",
            "[1,]",
            "[,1]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "1 2",
            "\"a",
            "\"a\\\"",
            "\"a\\",
            "nul",
            "[1}",
            "{\"a\":1]",
            "'a'",
            "\u{feff}1",
            "{\"a\" \"b\"}",
        ] {
            assert_eq!(tokens(text), Err(Malformed), "{text}");
        }
        assert_eq!(tokens(&"[".repeat(100_000)), Err(Malformed));
    }
}
