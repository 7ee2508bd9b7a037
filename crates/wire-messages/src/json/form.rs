//! Other writings of the same JSON.
//!
//! Both functions take one JSON text that has passed [`check`](super::check); of anything else they
//! make no sense, but they do not panic.

use std::{borrow::Cow, ops::Range};

use memchr::memchr2;

use super::MAX_DEPTH;

/// The same text without white space between its tokens. Strings and numbers stay as they are
/// written.
pub fn compact(json: &str) -> Cow<'_, str> {
    let bytes = json.as_bytes();
    let mut out = String::new();
    // Up to where the text has been copied.
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => at = string_end(bytes, at),
            b' ' | b'\t' | b'\n' | b'\r' => {
                out.push_str(&json[copied..at]);
                at += 1;
                copied = at;
            }
            _ => at += 1,
        }
    }
    if copied == 0 {
        return Cow::Borrowed(json);
    }
    out.push_str(&json[copied..]);
    Cow::Owned(out)
}

/// The one way to write a value: members sorted by name, no white space, strings with no escapes
/// but the necessary ones. Numbers stay as they are written, so that two numbers are never taken
/// for the same because a double cannot tell them apart.
pub fn canonical(json: &[u8]) -> Vec<u8> {
    let mut writer = Writer {
        input: json,
        at: 0,
        out: Vec::with_capacity(json.len()),
    };
    writer.value(0);
    writer.out
}

/// Writes what it reads, in canonical form.
struct Writer<'a> {
    input: &'a [u8],
    at: usize,
    out: Vec<u8>,
}

impl Writer<'_> {
    /// Writes the value at `at`, white space before it skipped.
    fn value(&mut self, depth: usize) {
        match self.peek() {
            // Deeper than `check` allows, so this is nothing that was checked.
            Some(b'{' | b'[') if depth > MAX_DEPTH => self.token(self.input.len()),
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string(),
            Some(_) => {
                let ends = |byte: &u8| b",]} \t\n\r".contains(byte);
                let rest = &self.input[self.at..];
                let length = rest.iter().position(ends).unwrap_or(rest.len());
                self.token(self.at + length.max(1));
            }
            None => {}
        }
    }

    fn object(&mut self, depth: usize) {
        let mut members: Vec<(Cow<'_, [u8]>, Range<usize>)> = Vec::new();
        let input = self.input;
        self.token(self.at + 1);
        let first = self.out.len();
        while self.next(b'}') {
            if !members.is_empty() {
                self.out.push(b',');
            }
            let start = self.out.len();
            self.peek();
            let name = decoded(&input[self.at..string_end(input, self.at)]);
            self.value(depth + 1);
            if self.peek() == Some(b':') {
                self.token(self.at + 1);
            }
            self.value(depth + 1);
            members.push((name, start..self.out.len()));
        }
        if !members.is_sorted_by(|(a, _), (b, _)| a <= b) {
            let written = self.out.split_off(first);
            members.sort_by(|(a, _), (b, _)| a.cmp(b));
            for (index, (_, at)) in members.into_iter().enumerate() {
                if index > 0 {
                    self.out.push(b',');
                }
                self.out
                    .extend_from_slice(&written[at.start - first..at.end - first]);
            }
        }
        self.out.push(b'}');
    }

    fn array(&mut self, depth: usize) {
        self.token(self.at + 1);
        let first = self.out.len();
        while self.next(b']') {
            if self.out.len() > first {
                self.out.push(b',');
            }
            self.value(depth + 1);
        }
        self.out.push(b']');
    }

    fn string(&mut self) {
        let end = string_end(self.input, self.at);
        let written = &self.input[self.at..end];
        if written.contains(&b'\\')
            && let Ok(text) = serde_json::from_slice::<String>(written)
            && let Ok(again) = serde_json::to_vec(&text)
        {
            self.out.extend(again);
            self.at = end;
        } else {
            self.token(end);
        }
    }

    /// Goes on to the next member or element. Whether there is one before `end`, which is taken.
    fn next(&mut self, end: u8) -> bool {
        if self.peek() == Some(b',') {
            self.at += 1;
        }
        match self.peek() {
            Some(byte) if byte != end => true,
            _ => {
                self.at = (self.at + 1).min(self.input.len());
                false
            }
        }
    }

    /// Copies up to `end`.
    fn token(&mut self, end: usize) {
        let end = end.min(self.input.len());
        self.out.extend_from_slice(&self.input[self.at..end]);
        self.at = end;
    }

    /// The byte after white space.
    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.input.get(self.at) {
            self.at += 1;
        }
        self.input.get(self.at).copied()
    }
}

/// What a string with its quotation marks says.
fn decoded(written: &[u8]) -> Cow<'_, [u8]> {
    match serde_json::from_slice::<String>(written) {
        Ok(text) if written.contains(&b'\\') => Cow::Owned(text.into_bytes()),
        _ => Cow::Borrowed(written.get(1..written.len().max(2) - 1).unwrap_or(written)),
    }
}

/// Where the string whose quotation mark is at `at` has ended.
fn string_end(input: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(rest) = input.get(at..) {
        match memchr2(b'"', b'\\', rest) {
            Some(found) if rest[found] == b'"' => return at + found + 1,
            Some(found) => at += found + 2,
            None => break,
        }
    }
    input.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_value_has_one_canonical_form() {
        for (json, expected) in [
            (
                r#" { "b" : [ 1 , 2.50 , 1e2 ] , "a" : { } } "#,
                r#"{"a":{},"b":[1,2.50,1e2]}"#,
            ),
            (r#"{"b":1,"\u0061":"\u0041\/\n"}"#, r#"{"a":"A/\n","b":1}"#),
            (r#"{"é":1,"z":2,"":3}"#, r#"{"":3,"z":2,"é":1}"#),
            (
                r#"[[],[{"y":[{"b":1,"a":2}],"x":null}]]"#,
                r#"[[],[{"x":null,"y":[{"a":2,"b":1}]}]]"#,
            ),
            (
                "123456789012345678901234567890",
                "123456789012345678901234567890",
            ),
            (r#""say \"no\"""#, r#""say \"no\"""#),
        ] {
            let json = json.replace("\\\\", "\\");
            let canonical = String::from_utf8(canonical(json.as_bytes())).unwrap();
            assert_eq!(canonical, expected, "{json}");
        }
    }

    #[test]
    fn numbers_that_a_double_cannot_tell_apart_stay_apart() {
        assert_ne!(
            canonical(b"9007199254740993"),
            canonical(b"9007199254740992")
        );
        assert_ne!(canonical(b"1"), canonical(b"1.0"));
    }

    #[test]
    fn compact_takes_the_space_between_tokens_only() {
        assert_eq!(
            compact("{ \"a b\" : [ 1 ,\n\t\"c \\\" d\" ] }"),
            r#"{"a b":[1,"c \" d"]}"#
        );
        assert!(matches!(compact(r#"{"a":1}"#), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn whatever_is_no_json_is_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            canonical(&bytes);
            compact(&String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn almost_json_is_no_panic(pieces in prop::collection::vec(
            prop::sample::select(vec!["{", "}", "[", "]", ",", ":", "\"", "\"a\"", "1", " ", "\\", "é"]), 0..24,
        )) {
            let text = pieces.concat();
            canonical(text.as_bytes());
            compact(&text);
        }

        /// The value stays the same, and so does the form, however it is written.
        #[test]
        fn forms_keep_the_value(value in value()) {
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let plain = serde_json::to_string(&value).unwrap();
            prop_assert_eq!(compact(&pretty), plain.as_str());
            let form = canonical(pretty.as_bytes());
            prop_assert_eq!(&form, &canonical(plain.as_bytes()));
            prop_assert_eq!(&form, &canonical(&form));
            prop_assert_eq!(serde_json::from_slice::<Value>(&form).unwrap(), value);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|members| members.into_iter().collect()),
            ]
        })
    }
}
