//! JSON that every reader reads alike.
//!
//! A gate judges its own reading of a body, and the API acts on another program's. Where RFC 8259
//! leaves room for two readings (names that stand twice, lone surrogates, numbers too large for a
//! double, a byte-order mark) a caller could show each side what it wants to see. [`check`] refuses
//! that room; what is left has one meaning.

mod form;

use std::{borrow::Cow, collections::HashSet, fmt};

use memchr::memchr2;

pub use form::{canonical, compact};

/// How deep arrays and objects may be nested: as deep as `serde_json` reads.
pub const MAX_DEPTH: usize = 127;

/// How many members an object may have. It bounds what [`check`] holds in memory to a small
/// multiple of the input.
pub const MAX_MEMBERS: usize = 65_536;

/// Checks that `input` is one JSON text (RFC 8259) with one meaning.
///
/// Beyond the grammar it must be UTF-8 without a byte-order mark, name no member of an object
/// twice (compared after decoding escapes), pair every surrogate, keep its numbers within ±1e308,
/// and stay within [`MAX_DEPTH`] and [`MAX_MEMBERS`]. Takes time linear in the input and does not
/// recurse.
///
/// # Errors
///
/// The first fault found, and where. The error never holds what stood there.
///
/// ```
/// use tollbook_wire_messages::json::{JsonErrorKind, check};
///
/// assert!(check(br#"{"a":[1,2,{"a":null}]}"#).is_ok());
/// let error = check(br#"{"a":1,"\u0061":2}"#).unwrap_err();
/// assert_eq!((error.kind, error.offset), (JsonErrorKind::DuplicateName, 7));
/// ```
pub fn check(input: &[u8]) -> Result<(), JsonError> {
    if input.starts_with(b"\xef\xbb\xbf") {
        return Err(JsonErrorKind::ByteOrderMark.at(0));
    }
    if let Err(error) = std::str::from_utf8(input) {
        return Err(JsonErrorKind::NotUtf8.at(error.valid_up_to()));
    }
    Checker {
        input,
        at: 0,
        open: Vec::new(),
        names: Vec::new(),
    }
    .run()
}

/// Why a text was refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// The byte at which it shows: for a name that stands twice, where the second begins.
    pub offset: usize,
}

impl JsonError {
    /// A stable word for records.
    pub const fn reason(self) -> &'static str {
        self.kind.as_str()
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at byte {}", self.reason(), self.offset)
    }
}

impl std::error::Error for JsonError {}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum JsonErrorKind {
    /// Not UTF-8.
    NotUtf8,
    /// Begins with a byte-order mark.
    ByteOrderMark,
    /// A byte that the grammar does not allow here.
    UnexpectedByte,
    /// The text ends before its value does.
    UnexpectedEnd,
    /// Something follows the value.
    TrailingData,
    /// A control character in a string that should have been escaped.
    ControlCharacter,
    /// A backslash that begins no escape.
    BadEscape,
    /// An escaped half of a surrogate pair without the other half.
    LoneSurrogate,
    /// A number not written as JSON writes numbers.
    BadNumber,
    /// A number beyond ±1e308.
    NumberOutOfRange,
    /// An object names one member twice.
    DuplicateName,
    /// An object has more than [`MAX_MEMBERS`] members.
    TooManyMembers,
    /// Nested deeper than [`MAX_DEPTH`].
    TooDeep,
}

impl JsonErrorKind {
    /// A stable word for records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotUtf8 => "not_utf8",
            Self::ByteOrderMark => "byte_order_mark",
            Self::UnexpectedByte => "unexpected_byte",
            Self::UnexpectedEnd => "unexpected_end",
            Self::TrailingData => "trailing_data",
            Self::ControlCharacter => "control_character",
            Self::BadEscape => "bad_escape",
            Self::LoneSurrogate => "lone_surrogate",
            Self::BadNumber => "bad_number",
            Self::NumberOutOfRange => "number_out_of_range",
            Self::DuplicateName => "duplicate_name",
            Self::TooManyMembers => "too_many_members",
            Self::TooDeep => "too_deep",
        }
    }

    const fn at(self, offset: usize) -> JsonError {
        JsonError { kind: self, offset }
    }
}

/// What has been seen of the text. `input` is UTF-8.
struct Checker<'a> {
    input: &'a [u8],
    at: usize,
    /// The arrays and objects around `at`, outermost first.
    open: Vec<Open<'a>>,
    /// The names of the open objects, except of those that are large; the innermost's come last.
    names: Vec<Cow<'a, [u8]>>,
}

/// An array or an object that has begun.
enum Open<'a> {
    Array,
    Object {
        /// Where its names begin in [`Checker::names`].
        first: usize,
        /// Its names, once they are too many to compare one by one.
        large: HashSet<Cow<'a, [u8]>>,
    },
}

/// Up to so many names are compared one by one, which is quicker than hashing.
const FEW_NAMES: usize = 16;

impl<'a> Checker<'a> {
    fn run(mut self) -> Result<(), JsonError> {
        loop {
            // Here a value begins.
            let opened = match self.peek()? {
                b'{' => {
                    let first = self.names.len();
                    let large = HashSet::new();
                    self.enter(Open::Object { first, large })?
                }
                b'[' => self.enter(Open::Array)?,
                b'"' => self.string().map(|_| false)?,
                b't' => self.literal(b"true")?,
                b'f' => self.literal(b"false")?,
                b'n' => self.literal(b"null")?,
                b'-' | b'0'..=b'9' => self.number()?,
                _ => return Err(JsonErrorKind::UnexpectedByte.at(self.at)),
            };
            if !opened && self.leave()? {
                return self.finish();
            }
        }
    }

    /// Opens an array or object, up to its first value. Whether there is one.
    fn enter(&mut self, open: Open<'a>) -> Result<bool, JsonError> {
        if self.open.len() == MAX_DEPTH {
            return Err(JsonErrorKind::TooDeep.at(self.at));
        }
        self.at += 1;
        let (object, end) = match open {
            Open::Array => (false, b']'),
            Open::Object { .. } => (true, b'}'),
        };
        if self.peek()? == end {
            self.at += 1;
            return Ok(false);
        }
        self.open.push(open);
        if object {
            self.name()?;
        }
        Ok(true)
    }

    /// After a value: goes to the next one, leaving what ends here. Whether all has ended.
    fn leave(&mut self) -> Result<bool, JsonError> {
        loop {
            let Some(open) = self.open.last() else {
                return Ok(true);
            };
            let (first, end) = match open {
                Open::Array => (None, b']'),
                Open::Object { first, .. } => (Some(*first), b'}'),
            };
            let byte = self.peek()?;
            if byte == b',' {
                self.at += 1;
                if first.is_some() {
                    self.peek()?;
                    self.name()?;
                }
                return Ok(false);
            }
            if byte != end {
                return Err(JsonErrorKind::UnexpectedByte.at(self.at));
            }
            self.at += 1;
            if let Some(first) = first {
                self.names.truncate(first);
            }
            self.open.pop();
        }
    }

    fn finish(mut self) -> Result<(), JsonError> {
        match self.peek() {
            Ok(_) => Err(JsonErrorKind::TrailingData.at(self.at)),
            Err(_) => Ok(()),
        }
    }

    /// The byte after white space.
    fn peek(&mut self) -> Result<u8, JsonError> {
        while let Some(&byte) = self.input.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => return Ok(byte),
            }
        }
        Err(JsonErrorKind::UnexpectedEnd.at(self.at))
    }

    /// Takes a member's name and the colon after it.
    fn name(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        if self.peek()? != b'"' {
            return Err(JsonErrorKind::UnexpectedByte.at(self.at));
        }
        let plain = self.string()?;
        let text = &self.input[start + 1..self.at - 1];
        let name = if plain {
            Cow::Borrowed(text)
        } else {
            Cow::Owned(decoded(text))
        };
        if let Some(Open::Object { first, large }) = self.open.last_mut() {
            let few = &self.names[*first..];
            if large.is_empty() && few.len() < FEW_NAMES {
                if few.contains(&name) {
                    return Err(JsonErrorKind::DuplicateName.at(start));
                }
                self.names.push(name);
            } else {
                large.extend(self.names.drain(*first..));
                if large.len() == MAX_MEMBERS {
                    return Err(JsonErrorKind::TooManyMembers.at(start));
                }
                if !large.insert(name) {
                    return Err(JsonErrorKind::DuplicateName.at(start));
                }
            }
        }
        if self.peek()? != b':' {
            return Err(JsonErrorKind::UnexpectedByte.at(self.at));
        }
        self.at += 1;
        Ok(())
    }

    /// Takes a string whose quotation mark is at `at`. Whether it is free of escapes.
    fn string(&mut self) -> Result<bool, JsonError> {
        let mut plain = true;
        self.at += 1;
        loop {
            let rest = &self.input[self.at..];
            let Some(end) = memchr2(b'"', b'\\', rest) else {
                return Err(JsonErrorKind::UnexpectedEnd.at(self.input.len()));
            };
            // A fold has no early way out, so it is done for many bytes at once.
            if rest[..end]
                .iter()
                .fold(false, |found, byte| found | (*byte < b' '))
            {
                let first = rest.iter().position(|byte| *byte < b' ').unwrap_or(end);
                return Err(JsonErrorKind::ControlCharacter.at(self.at + first));
            }
            self.at += end;
            if rest[end] == b'"' {
                self.at += 1;
                return Ok(plain);
            }
            plain = false;
            self.escape()?;
        }
    }

    /// Takes the escape whose backslash is at `at`; for a surrogate, the whole pair.
    fn escape(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        match self.input.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => {
                let unit = self.unit(start)?;
                self.at += 6;
                match unit {
                    0xD800..=0xDBFF => {
                        if !self.input[self.at..].starts_with(b"\\u")
                            || !matches!(self.unit(self.at)?, 0xDC00..=0xDFFF)
                        {
                            return Err(JsonErrorKind::LoneSurrogate.at(start));
                        }
                        self.at += 6;
                    }
                    0xDC00..=0xDFFF => return Err(JsonErrorKind::LoneSurrogate.at(start)),
                    _ => {}
                }
            }
            Some(_) => return Err(JsonErrorKind::BadEscape.at(start)),
            None => return Err(JsonErrorKind::UnexpectedEnd.at(self.input.len())),
        }
        Ok(())
    }

    /// The code unit of the `\uXXXX` at `start`.
    fn unit(&self, start: usize) -> Result<u32, JsonError> {
        let digits = self.input.get(start + 2..start + 6);
        digits
            .and_then(hex)
            .ok_or(JsonErrorKind::BadEscape.at(start))
    }

    /// Takes a literal. Opens nothing.
    fn literal(&mut self, literal: &[u8]) -> Result<bool, JsonError> {
        for byte in literal {
            match self.input.get(self.at) {
                Some(found) if found == byte => self.at += 1,
                Some(_) => return Err(JsonErrorKind::UnexpectedByte.at(self.at)),
                None => return Err(JsonErrorKind::UnexpectedEnd.at(self.at)),
            }
        }
        Ok(false)
    }

    /// Takes a number. Opens nothing.
    fn number(&mut self) -> Result<bool, JsonError> {
        let start = self.at;
        self.at += usize::from(self.input[start] == b'-');
        let whole = self.at;
        let digits = self.digits(start)?;
        if digits > 1 && self.input[whole] == b'0' {
            return Err(JsonErrorKind::BadNumber.at(start));
        }
        if self.input.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits(start)?;
        }
        let mut small = digits <= 308;
        if let Some(b'e' | b'E') = self.input.get(self.at) {
            small = false;
            self.at += 1;
            self.at += usize::from(matches!(self.input.get(self.at), Some(b'+' | b'-')));
            self.digits(start)?;
        }
        if !small {
            // Exponents are the only numbers worth the cost of reading them.
            let value = std::str::from_utf8(&self.input[start..self.at])
                .ok()
                .and_then(|text| text.parse::<f64>().ok())
                .filter(|value| value.abs() <= 1e308);
            if value.is_none() {
                return Err(JsonErrorKind::NumberOutOfRange.at(start));
            }
        }
        Ok(false)
    }

    /// Takes at least one digit of the number that began at `start`. How many.
    fn digits(&mut self, start: usize) -> Result<usize, JsonError> {
        let rest = &self.input[self.at..];
        let count = rest
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(rest.len());
        if count == 0 {
            return Err(JsonErrorKind::BadNumber.at(start));
        }
        self.at += count;
        Ok(count)
    }
}

/// The value of four hexadecimal digits.
fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |value, digit| {
        Some(value * 16 + char::from(*digit).to_digit(16)?)
    })
}

/// The text of a string that has passed [`Checker::string`], without its quotation marks.
fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut units = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let escape = if byte == b'\\' {
            text.get(at + 1)
        } else {
            None
        };
        if escape == Some(&b'u') {
            let unit = text.get(at + 2..at + 6).and_then(hex);
            units.extend(unit.and_then(|unit| u16::try_from(unit).ok()));
            at += 6;
            continue;
        }
        flush(&mut units, &mut decoded);
        at += 1 + usize::from(escape.is_some());
        decoded.push(match escape {
            None => byte,
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(same) => *same,
        });
    }
    flush(&mut units, &mut decoded);
    decoded
}

/// Adds escaped code units to `decoded`. They are paired, so nothing is replaced.
fn flush(units: &mut Vec<u16>, decoded: &mut Vec<u8>) {
    if !units.is_empty() {
        decoded.extend(String::from_utf16_lossy(units).into_bytes());
        units.clear();
    }
}

#[cfg(test)]
mod tests;
