//! Values that a claim may have.

use serde_json::{Map, Value};

/// A claim, and the values of which it must have one.
#[derive(Clone, Debug)]
pub(super) struct Matcher {
    pub(super) claim: String,
    pub(super) patterns: Vec<Pattern>,
}

/// A value, or the way it begins or ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    /// This text and no other.
    Exact(String),
    /// `text*`: whatever begins like this.
    Prefix(String),
    /// `*text`: whatever ends like this.
    Suffix(String),
    /// `*`: whatever there is.
    Any,
}

impl Pattern {
    /// The pattern that `text` writes, or what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.is_empty() {
            return Err("is empty");
        }
        if text.len() > LIMIT || text.contains(char::is_control) {
            return Err("is longer than 1024 bytes or has control characters");
        }
        let pattern = match (text.strip_prefix('*'), text.strip_suffix('*')) {
            (Some(""), _) => Self::Any,
            (Some(end), _) => Self::Suffix(end.to_owned()),
            (None, Some(begin)) => Self::Prefix(begin.to_owned()),
            (None, None) => Self::Exact(text.to_owned()),
        };
        if pattern.literal().contains('*') {
            return Err("has a `*` that is not its first or its last character, or both");
        }
        Ok(pattern)
    }

    /// The pattern without its `*`.
    pub(super) fn literal(&self) -> &str {
        match self {
            Self::Exact(text) | Self::Prefix(text) | Self::Suffix(text) => text,
            Self::Any => "",
        }
    }

    /// Whether `value` is as the pattern says: texts byte for byte, numbers and truth values as
    /// JSON writes them, lists by any one of their items. Objects and null are never.
    fn takes(&self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.takes_text(text),
            Value::Number(number) => self.takes_text(&number.to_string()),
            Value::Bool(truth) => self.takes_text(if *truth { "true" } else { "false" }),
            Value::Array(items) => items
                .iter()
                .any(|item| !item.is_array() && self.takes(item)),
            Value::Null | Value::Object(_) => false,
        }
    }

    fn takes_text(&self, text: &str) -> bool {
        match self {
            Self::Exact(exact) => text == exact,
            Self::Prefix(begin) => text.starts_with(begin.as_str()),
            Self::Suffix(end) => text.ends_with(end.as_str()),
            Self::Any => true,
        }
    }
}

impl Matcher {
    /// Whether the claims have one of the values.
    pub(super) fn takes(&self, claims: &Map<String, Value>) -> bool {
        claims
            .get(&self.claim)
            .is_some_and(|value| self.patterns.iter().any(|pattern| pattern.takes(value)))
    }
}

const LIMIT: usize = 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn takes(pattern: &str, value: Value) -> bool {
        Pattern::parse(pattern).unwrap().takes(&value)
    }

    #[test]
    fn values_are_matched_as_a_whole_unless_a_star_says_otherwise() {
        for (pattern, value, expected) in [
            ("main", json!("main"), true),
            ("main", json!("main2"), false),
            ("main", json!("Main"), false),
            ("main", json!(""), false),
            ("refs/heads/*", json!("refs/heads/x"), true),
            ("refs/heads/*", json!("refs/heads/"), true),
            ("refs/heads/*", json!("refs/tags/x"), false),
            ("*@acme.example", json!("a@acme.example"), true),
            ("*@acme.example", json!("a@acme.example.evil"), false),
            ("*", json!(""), true),
            ("*", json!(null), false),
            ("*", json!({"a": 1}), false),
            ("*", json!([]), false),
            ("7", json!(7), true),
            ("7", json!("7"), true),
            ("7", json!(7.0), false),
            ("7*", json!(71), true),
            ("true", json!(true), true),
            ("true", json!("true"), true),
            ("true", json!("false"), false),
            ("b", json!(["a", "b"]), true),
            ("b", json!(["a", ["b"]]), false),
            ("b", json!(["ab", "ba"]), false),
            ("null", json!(null), false),
        ] {
            assert_eq!(
                takes(pattern, value.clone()),
                expected,
                "{pattern} on {value}"
            );
        }
    }

    #[test]
    fn a_star_stands_at_one_end() {
        for text in ["", "a*b", "*a*", "**", "a**", "**a", "a\nb"] {
            assert!(Pattern::parse(text).is_err(), "{text}");
        }
    }
}
