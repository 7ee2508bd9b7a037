//! A JSON document that is masked while it still comes.
//!
//! The document is read byte by byte, so that it does not matter how it is cut. Strings are masked
//! as the texts they are, names and numbers too, and the value of a member whose name is known is
//! judged as a whole as soon as that can be. What turns out not to be JSON is masked as text from
//! there on: a document that breaks off, or is none, is masked here too. Documents in strings are
//! only texts here. What is nested too deeply does not come out.

use std::{fmt, mem};

use memchr::memchr2;

use crate::{
    Masker,
    batch::{BEHIND_NAME, spans_named},
    engine::{
        self, Counts, HISTORY, Rules,
        rule::{CAP, Kind},
        validate::is_masked,
    },
    json::{
        MIN_NUMBER,
        level::Name,
        scan::{goes_within, is_deep, is_value},
        text::{encode, escape_length},
        text_stream::{Out, TextStream},
        tokens::MAX_DEPTH,
    },
    scratch::Scratch,
};

/// A longer name says nothing of its value.
const MAX_NAME: usize = 128;
/// A longer number is none.
const MAX_NUMBER: usize = 40;

/// Masks one document that comes in pieces.
pub(crate) struct JsonStream {
    masker: Masker,
    levels: Vec<Level>,
    expect: Expect,
    within: Within,
    /// The end of what was emitted, as far as a text behind it depends on it.
    emitted: Scratch,
    counts: Counts,
}

/// An open object or array.
struct Level {
    is_object: bool,
    name: Name,
    members: Rules,
    within: Rules,
    masked_names: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expect {
    Value,
    First,
    Name,
    FirstName,
    Colon,
    Next,
    Nothing,
}

/// What the last byte is within.
enum Within {
    Structure,
    String(Box<Str>),
    Scalar(Scratch),
    /// No document any more.
    Text(Box<TextStream>),
    /// Nested too deeply: as a text, what its escapes say would pass.
    TooDeep,
}

struct Str {
    text: TextStream,
    /// The beginning of an escape.
    escape: Vec<u8>,
    is: Is,
}

enum Is {
    Name { name: Scratch, matches: u32 },
    Value(Value),
}

enum Value {
    /// These rules are about it as a whole.
    Judged(Rules),
    /// It is a text like any other.
    Scanned,
    /// The rest of a match.
    Swallowed(usize),
}

impl JsonStream {
    pub(crate) fn new(masker: Masker) -> Self {
        Self {
            masker,
            levels: Vec::new(),
            expect: Expect::Value,
            within: Within::Structure,
            emitted: Scratch::default(),
            counts: Counts::default(),
        }
    }

    /// Takes the next bytes and appends to `out` what is decided.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let mut counts = mem::take(&mut self.counts);
        let mut sink = Out {
            bytes: out,
            counts: &mut counts,
            last: None,
        };
        let mut at = 0;
        while at < bytes.len() {
            at += self.step(&bytes[at..], &mut sink);
        }
        self.run(false, &mut sink);
        self.counts = counts;
    }

    /// Whether the document is nested too deeply. Then nothing comes out any more.
    pub(crate) const fn is_too_deep(&self) -> bool {
        matches!(self.within, Within::TooDeep)
    }

    /// Masks a whole document. None if it is nested too deeply.
    pub(crate) fn whole(masker: &Masker, document: &[u8]) -> Option<(Vec<u8>, Counts)> {
        let (mut stream, mut out) = (Self::new(masker.clone()), Vec::new());
        stream.push(document, &mut out);
        let is_too_deep = stream.is_too_deep();
        stream.finish(&mut out);
        (!is_too_deep).then(|| (out, stream.take_counts()))
    }

    /// Ends the document and appends the rest to `out`. The next push begins another one.
    pub(crate) fn finish(&mut self, out: &mut Vec<u8>) {
        self.end(out);
    }

    /// Ends a document that was cut off, and tells how many bytes do not come out: those that
    /// waited and are no match as they are. The next push begins another one.
    pub(crate) fn abort(&mut self, out: &mut Vec<u8>) -> usize {
        let mut rest = Vec::new();
        let end = self.end(&mut rest).unwrap_or_default();
        out.extend_from_slice(&rest[..end]);
        rest.len() - end
    }

    /// How many bytes wait for a decision.
    pub(crate) fn held(&self) -> usize {
        match &self.within {
            Within::Structure | Within::TooDeep => 0,
            Within::String(string) => string.text.held() + string.escape.len(),
            Within::Scalar(scalar) => scalar.bytes.len(),
            Within::Text(text) => text.held(),
        }
    }

    /// The counts so far; counting begins anew.
    pub(crate) fn take_counts(&mut self) -> Counts {
        self.counts.take()
    }

    fn end(&mut self, out: &mut Vec<u8>) -> Option<usize> {
        let mut counts = mem::take(&mut self.counts);
        let mut sink = Out {
            bytes: out,
            counts: &mut counts,
            last: None,
        };
        match mem::replace(&mut self.within, Within::Structure) {
            Within::Structure | Within::TooDeep => {}
            Within::String(mut string) => {
                let escape = mem::take(&mut string.escape);
                string.take(&escape, &self.masker, &mut sink);
                string.end(&self.masker, &mut sink);
            }
            Within::Scalar(scalar) => self.scalar(&scalar.bytes, &mut sink),
            Within::Text(text) => self.within = Within::Text(text),
        }
        self.run(true, &mut sink);
        let last = sink.last;
        counts.close(&self.masker.engine, &self.masker.profile);
        *self = Self::new(self.masker.clone());
        self.counts = counts;
        last
    }

    fn run(&mut self, end: bool, out: &mut Out<'_>) {
        match &mut self.within {
            Within::String(string) => string.run(&self.masker, out),
            Within::Text(text) => text.run(&self.masker, end, out),
            _ => {}
        }
    }

    /// Goes on by as much as belongs together.
    fn step(&mut self, bytes: &[u8], out: &mut Out<'_>) -> usize {
        match &mut self.within {
            Within::Text(text) => {
                text.take(bytes);
                bytes.len()
            }
            Within::String(string) => match string.step(bytes, &self.masker, out) {
                (length, false) => length,
                (length, true) => {
                    self.string_ends(out);
                    length
                }
            },
            Within::Scalar(scalar) => {
                if is_scalar(bytes[0]) && scalar.bytes.len() < MAX_NUMBER {
                    scalar.bytes.push(bytes[0]);
                    return 1;
                }
                let scalar = mem::take(scalar);
                self.within = Within::Structure;
                self.scalar(&scalar.bytes, out);
                0
            }
            Within::Structure => {
                self.structure(bytes[0], out);
                1
            }
            Within::TooDeep => bytes.len(),
        }
    }

    fn structure(&mut self, byte: u8, out: &mut Out<'_>) {
        let expect = self.expect;
        let in_object = self.levels.last().map(|level| level.is_object);
        match (byte, expect) {
            (b' ' | b'\t' | b'\n' | b'\r', _) => {}
            (b'{' | b'[', Expect::Value | Expect::First) => {
                if self.levels.len() == MAX_DEPTH {
                    self.within = Within::TooDeep;
                    return;
                }
                self.open(byte == b'{');
            }
            (b'}', Expect::FirstName) => self.close(),
            (b']', Expect::First) => self.close(),
            (b'}', Expect::Next) if in_object == Some(true) => self.close(),
            (b']', Expect::Next) if in_object == Some(false) => self.close(),
            (b',', Expect::Next) if in_object == Some(true) => self.expect = Expect::Name,
            (b',', Expect::Next) if in_object == Some(false) => self.expect = Expect::Value,
            (b':', Expect::Colon) => self.expect = Expect::Value,
            (b'"', Expect::Name | Expect::FirstName) => {
                self.within = Within::String(Box::new(Str::name()));
            }
            (b'"', Expect::Value | Expect::First) => {
                let level = self.levels.last();
                let (name, rules) = level.map(Level::here).unwrap_or_default();
                self.within = Within::String(Box::new(Str::value(name, rules)));
            }
            (_, Expect::Value | Expect::First) if is_scalar(byte) => {
                let mut scalar = Scratch::default();
                scalar.reserve(MAX_NUMBER);
                scalar.bytes.push(byte);
                self.within = Within::Scalar(scalar);
                return;
            }
            _ => return self.give_up(&[byte]),
        }
        self.emit(&[byte], out);
    }

    fn open(&mut self, is_object: bool) {
        let rules = &self.masker.engine.rules;
        let (name, known) = self.levels.last().map(Level::here).unwrap_or_default();
        self.levels.push(Level {
            is_object,
            name: if is_object { Name::default() } else { name },
            members: Rules::default(),
            within: known.filter(|rule| goes_within(&rules[rule], is_object)),
            masked_names: 0,
        });
        self.expect = if is_object {
            Expect::FirstName
        } else {
            Expect::First
        };
    }

    fn close(&mut self) {
        self.levels.pop();
        self.after_value();
    }

    fn after_value(&mut self) {
        self.expect = if self.levels.is_empty() {
            Expect::Nothing
        } else {
            Expect::Next
        };
    }

    fn string_ends(&mut self, out: &mut Out<'_>) {
        let Within::String(string) = mem::replace(&mut self.within, Within::Structure) else {
            return;
        };
        if let Is::Name { name, matches } = string.is {
            let Some(level) = self.levels.last_mut() else {
                return;
            };
            level.name = Name::default();
            level.members = Rules::default();
            if name.bytes.len() <= MAX_NAME {
                let (engine, on) = (&self.masker.engine, &self.masker.profile.on);
                level.name = Name::of(&name.bytes);
                level.members = engine.members(on, &name.bytes);
            }
            if matches > 0 {
                level.masked_names += 1;
                if level.masked_names > 1 {
                    let suffix = format!("#{}", level.masked_names);
                    out.bytes.extend_from_slice(suffix.as_bytes());
                }
            }
            self.expect = Expect::Colon;
        } else {
            self.after_value();
        }
        self.emit(b"\"", out);
    }

    /// A number, `true`, `false` or `null`; if it is none of them, no document.
    fn scalar(&mut self, scalar: &[u8], out: &mut Out<'_>) {
        let is_number = (scalar[0].is_ascii_digit() || scalar[0] == b'-')
            && scalar
                .iter()
                .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        if !is_number && !matches!(scalar, b"true" | b"false" | b"null") {
            return self.give_up(scalar);
        }
        self.after_value();
        let masked = if is_number {
            self.number(scalar, out)
        } else {
            None
        };
        let Some(masked) = masked else {
            return self.emit(scalar, out);
        };
        let mut string = b"\"".to_vec();
        encode(&masked, &mut string);
        string.push(b'"');
        self.emit(&string, out);
        out.last = Some(out.bytes.len());
    }

    /// What takes the place of a number, if anything does.
    fn number(&self, number: &[u8], out: &mut Out<'_>) -> Option<Vec<u8>> {
        let (engine, profile) = (&self.masker.engine, &self.masker.profile);
        let (name, rules) = self.levels.last().map(Level::here).unwrap_or_default();
        let is_integer = number[1..].iter().all(u8::is_ascii_digit);
        let known = rules.iter().find(|index| {
            let rule = &engine.rules[*index];
            is_deep(rule.shape)
                || (is_integer && rule.kind == Kind::Personal && is_value(rule, number))
        });
        let spans = match known {
            Some(rule) => vec![engine::Span {
                start: 0,
                end: number.len(),
                rule,
            }],
            None if is_integer && number.len() >= MIN_NUMBER => {
                spans_named(engine, &profile.on, name.as_bytes(), number)
            }
            None => Vec::new(),
        };
        let (mut masked, mut at) = (Vec::new(), 0);
        for span in &spans {
            masked.extend_from_slice(&number[at..span.start]);
            let value = &number[span.start..span.end];
            profile.write(&engine.rules[span.rule], span.rule, value, &mut masked);
            out.counts.add(span.rule);
            at = span.end;
        }
        masked.extend_from_slice(&number[at..]);
        (masked != number).then_some(masked)
    }

    /// From here on it is only a text.
    fn give_up(&mut self, bytes: &[u8]) {
        let mut text = TextStream::plain(&self.emitted.bytes);
        text.take(bytes);
        self.within = Within::Text(Box::new(text));
    }

    /// Emits bytes of the structure, and notes them for a text that may come behind them.
    fn emit(&mut self, bytes: &[u8], out: &mut Out<'_>) {
        out.bytes.extend_from_slice(bytes);
        let emitted = &mut self.emitted;
        if let (b"\"", Expect::Colon) = (bytes, self.expect) {
            // The name that has just ended is what the text behind it depends on.
            let name = self
                .levels
                .last()
                .map(|level| level.name)
                .unwrap_or_default();
            emitted.truncate(0);
            emitted.bytes.push(b'"');
            emitted.bytes.extend_from_slice(name.as_bytes());
        }
        if emitted.bytes.len() + bytes.len() > HISTORY {
            emitted.truncate(0);
        }
        if bytes.len() <= HISTORY {
            emitted.bytes.extend_from_slice(bytes);
        }
    }
}

impl Level {
    /// The name of the value that comes next, and the rules for it.
    fn here(&self) -> (Name, Rules) {
        let rules = if self.members.is_empty() {
            self.within
        } else {
            self.members
        };
        (self.name, rules)
    }
}

impl Str {
    fn name() -> Self {
        let mut name = Scratch::default();
        name.reserve(2 * MAX_NAME);
        Self {
            text: TextStream::string(&[]),
            escape: Vec::new(),
            is: Is::Name { name, matches: 0 },
        }
    }

    fn value(name: Name, rules: Rules) -> Self {
        let context = match name.as_bytes() {
            b"" => Vec::new(),
            name => [name, BEHIND_NAME].concat(),
        };
        let value = if rules.is_empty() {
            Value::Scanned
        } else {
            Value::Judged(rules)
        };
        Self {
            text: TextStream::string(&context),
            escape: Vec::new(),
            is: Is::Value(value),
        }
    }

    /// Takes what belongs together, and tells its length and whether the string has ended.
    fn step(&mut self, bytes: &[u8], masker: &Masker, out: &mut Out<'_>) -> (usize, bool) {
        if !self.escape.is_empty() {
            return self.escaped(bytes, masker, out);
        }
        let plain = memchr2(b'"', b'\\', bytes).unwrap_or(bytes.len());
        self.take(&bytes[..plain], masker, out);
        match bytes.get(plain) {
            None => (plain, false),
            Some(b'"') => {
                self.end(masker, out);
                (plain + 1, true)
            }
            Some(escape) => {
                self.escape.push(*escape);
                (plain + 1, false)
            }
        }
    }

    /// Goes on with an escape, of which some bytes came before.
    fn escaped(&mut self, bytes: &[u8], masker: &Masker, out: &mut Out<'_>) -> (usize, bool) {
        self.escape.push(bytes[0]);
        let Some(length) = escape_length(&self.escape) else {
            return (1, false);
        };
        let rest = self.escape.split_off(length);
        let escape = mem::take(&mut self.escape);
        self.take(&escape, masker, out);
        // What was looked at beyond the escape ends with the byte that came now.
        let mut at = 0;
        while at < rest.len() {
            let (length, ended) = self.step(&rest[at..], masker, out);
            at += length;
            if ended {
                return (1, true);
            }
        }
        (1, false)
    }

    fn take(&mut self, raw: &[u8], masker: &Masker, out: &mut Out<'_>) {
        let before = self.text.text().len();
        self.text.take(raw);
        match &mut self.is {
            Is::Name { name, .. } => {
                let room = (MAX_NAME + 1).saturating_sub(name.bytes.len());
                let more = &self.text.text()[before..];
                name.bytes.extend_from_slice(&more[..more.len().min(room)]);
            }
            Is::Value(_) => self.judge(masker, out),
        }
    }

    /// Decides what the value is as soon as enough of it has come.
    fn judge(&mut self, masker: &Masker, out: &mut Out<'_>) {
        let Is::Value(value) = &mut self.is else {
            return;
        };
        let Value::Judged(rules) = value else { return };
        let text = self.text.text();
        if text.len() <= CAP {
            return;
        }
        let engine = &masker.engine;
        let head = &text[..CAP];
        let rule = rules.iter().find(|index| {
            let rule = &engine.rules[*index];
            rule.max.is_none() && is_value(rule, head)
        });
        *value = Value::Scanned;
        if let Some(rule) = rule.filter(|_| !is_masked(head)) {
            *value = Value::Swallowed(rule);
            self.text.begin(masker, rule, CAP, out);
        }
    }

    fn run(&mut self, masker: &Masker, out: &mut Out<'_>) {
        match &mut self.is {
            Is::Name { matches, .. } => {
                let before = out.last;
                self.text.run(masker, false, out);
                *matches += u32::from(out.last != before);
            }
            Is::Value(Value::Judged(_)) => {}
            Is::Value(Value::Scanned) => self.text.run(masker, false, out),
            Is::Value(Value::Swallowed(rule)) => self.text.swallow(masker, *rule, out),
        }
    }

    fn end(&mut self, masker: &Masker, out: &mut Out<'_>) {
        match &mut self.is {
            Is::Name { matches, .. } => {
                let before = out.last;
                self.text.run(masker, true, out);
                *matches += u32::from(out.last != before);
            }
            Is::Value(Value::Judged(rules)) => {
                let text = self.text.text();
                let rule = rules
                    .iter()
                    .find(|index| is_value(&masker.engine.rules[*index], text))
                    .filter(|_| !is_masked(text));
                match rule {
                    Some(rule) => self.text.whole(masker, rule, out),
                    None => self.text.run(masker, true, out),
                }
            }
            Is::Value(Value::Scanned) => self.text.run(masker, true, out),
            Is::Value(Value::Swallowed(rule)) => self.text.swallow(masker, *rule, out),
        }
    }
}

impl fmt::Debug for JsonStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonStream").finish_non_exhaustive()
    }
}

const fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// No decision needs more than this of a document, as it is written with the longest escapes.
    const MOST: usize = 12 * (crate::engine::HOLD_BACK + 1);

    fn in_pieces(document: &[u8], size: usize) -> Vec<u8> {
        let (mut stream, mut out) = (JsonStream::new(Masker::builtin()), Vec::new());
        for piece in document.chunks(size) {
            stream.push(piece, &mut out);
            assert!(stream.held() <= MOST, "{} bytes wait", stream.held());
        }
        stream.finish(&mut out);
        out
    }

    #[test]
    fn little_waits_whatever_comes() {
        let long = "x".repeat(5_000);
        for document in [
            format!("{{\"password\":\"{long}\"}}"),
            format!("{{\"password\":\"{}\"}}", "\\u0041".repeat(900)),
            format!("{{\"{long}\":\"{long}\"}}"),
            format!("[{}", "1".repeat(5_000)),
            format!("[\"{}", "\\".repeat(5_001)),
            "[".repeat(5_000),
            format!("[\"AKIA{long}"),
        ] {
            let whole = in_pieces(document.as_bytes(), document.len());
            for size in [1, 3, 200] {
                let parts = in_pieces(document.as_bytes(), size);
                assert_eq!(parts, whole, "{}", &document[..40]);
            }
        }
    }

    #[test]
    fn a_long_value_under_a_known_name_does_not_come_out() {
        let value = "correct-horse".repeat(40);
        let document = format!("{{\"password\":\"{value}\",\"n\":[1,\"x\"]}}");
        let out = in_pieces(document.as_bytes(), 7);
        let expected = "{\"password\":\"[REDACTED:json-sensitive-key]\",\"n\":[1,\"x\"]}";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    #[test]
    fn what_is_no_document_goes_on_as_a_text() {
        let key = ["AKIA", "IOSFODNN7EXAMPLE"].concat();
        for text in [
            format!("no document {key} at all"),
            format!("{{\"a\": 1}} {key}"),
            format!("{{\"a\": {key}, \"b\\u00e9"),
            format!("{}{key}", "[".repeat(500)),
        ] {
            let expected = text.replace(&key, "[REDACTED:aws-access-key-id]");
            for size in [1, 4, text.len()] {
                let out = in_pieces(text.as_bytes(), size);
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
        let broken = "{\"password\": b\"correct-horse-9\"}";
        let out = String::from_utf8(in_pieces(broken.as_bytes(), 1)).unwrap();
        assert!(!out.contains("correct"), "{out}");
    }

    #[test]
    fn what_is_nested_too_deeply_does_not_come_out() {
        let key = "\\u0041KIAIOSFODNN7EXAMPLE";
        for (depth, is_too_deep) in [(MAX_DEPTH, false), (MAX_DEPTH + 1, true)] {
            let document = format!("{}\"{key}\"{}", "[".repeat(depth), "]".repeat(depth));
            for size in [1, 1000] {
                let (mut stream, mut out) = (JsonStream::new(Masker::builtin()), Vec::new());
                for piece in document.as_bytes().chunks(size) {
                    stream.push(piece, &mut out);
                }
                assert_eq!(stream.is_too_deep(), is_too_deep);
                stream.finish(&mut out);
                let expected = document.replace(key, "[REDACTED:aws-access-key-id]");
                let expected = if is_too_deep {
                    "[".repeat(MAX_DEPTH)
                } else {
                    expected
                };
                assert_eq!(String::from_utf8(out).unwrap(), expected);
            }
        }
    }

    #[test]
    fn what_may_be_a_secret_stays_back_when_the_document_breaks_off() {
        let (mut stream, mut out) = (JsonStream::new(Masker::builtin()), Vec::new());
        stream.push(b"{\"a\":\"see ghp_c4N4ryc4N4ry", &mut out);
        assert_eq!(stream.abort(&mut out), "ghp_c4N4ryc4N4ry".len());
        assert_eq!(out, b"{\"a\":\"see ");
    }
}
