//! The form in which rules are written.

use serde::Deserialize;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::{
    engine::{
        Rule,
        rule::{Confidence, Kind},
    },
    rules::{check, error::RuleError},
};

/// A `[[rule]]` as it is written. The crate documentation tells what the keys mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawRule {
    pub id: String,
    pub description: String,
    pub source: String,
    #[serde(default)]
    pub kind: Kind,
    #[serde(default)]
    pub tags: Vec<String>,
    #[serde(default)]
    pub confidence: Confidence,
    #[serde(default)]
    pub shape: RawShape,
    #[serde(default)]
    pub literals: Vec<Pieces>,
    #[serde(default)]
    pub left: RawLeft,
    #[serde(default)]
    pub keep: bool,
    pub quotes: Option<RawQuotes>,
    #[serde(default)]
    pub deep: bool,
    pub body: Option<RawBody>,
    pub pattern: Option<String>,
    #[serde(default)]
    pub apart: bool,
    #[serde(default)]
    pub validate: Vec<String>,
    #[serde(default)]
    pub keywords: Vec<String>,
    #[serde(default)]
    pub positive: Vec<Pieces>,
    #[serde(default)]
    pub negative: Vec<Pieces>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawShape {
    #[default]
    Token,
    Assignment,
    JsonKey,
    Userinfo,
    PrivateKey,
    Value,
    Email,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawLeft {
    #[default]
    Boundary,
    Any,
    Digit,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawQuotes {
    Either,
    Required,
    Absent,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBody {
    pub class: String,
    pub min: usize,
    pub max: Option<usize>,
}

/// A text, or the pieces of one: tools that look for secrets in source code then do not take a
/// test vector for one.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Pieces {
    One(String),
    Many(Vec<String>),
}

impl Pieces {
    pub(super) fn join(&self) -> String {
        match self {
            Self::One(text) => text.clone(),
            Self::Many(pieces) => pieces.concat(),
        }
    }
}

/// A checked rule with its test vectors and where it was written.
#[derive(Debug)]
pub(crate) struct Checked {
    pub rule: Rule,
    pub file: String,
    pub line: usize,
    pub positive: Vec<String>,
    pub negative: Vec<String>,
}

/// Reads the rules of one file; mistakes go to `mistakes`.
pub(crate) fn read(file: &str, text: &str, mistakes: &mut Vec<RuleError>) -> Vec<Checked> {
    let line_of = |offset: usize| {
        1 + text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|byte| **byte == b'\n')
            .count()
    };
    let mut mistake = |line, rule, reason: String| {
        mistakes.push(RuleError {
            file: file.to_owned(),
            line,
            rule,
            reason,
        });
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let line = error.span().map(|span| line_of(span.start));
            mistake(line, None, error.message().to_owned());
            return Vec::new();
        }
    };
    let mut rules = Vec::new();
    for (key, value) in table {
        let line = line_of(key.span().start);
        let key = key.into_inner();
        if key != "rule" {
            mistake(
                Some(line),
                None,
                format!("unknown key `{key}`; expected `[[rule]]`"),
            );
            continue;
        }
        let DeValue::Array(array) = value.into_inner() else {
            mistake(
                Some(line),
                None,
                "`rule` is not a list; write `[[rule]]`".to_owned(),
            );
            continue;
        };
        for value in array {
            let line = line_of(value.span().start);
            let id = value
                .get_ref()
                .get("id")
                .and_then(|id| id.get_ref().as_str())
                .map(str::to_owned);
            match RawRule::deserialize(ValueDeserializer::from(value)) {
                Ok(raw) => {
                    let mut reasons = Vec::new();
                    let rule = check::check(&raw, &mut reasons);
                    for reason in reasons {
                        mistake(Some(line), Some(raw.id.clone()), reason);
                    }
                    rules.extend(rule.map(|rule| Checked {
                        rule,
                        file: file.to_owned(),
                        line,
                        positive: raw.positive.iter().map(Pieces::join).collect(),
                        negative: raw.negative.iter().map(Pieces::join).collect(),
                    }));
                }
                Err(error) => {
                    let line = error.span().map_or(line, |span| line_of(span.start));
                    mistake(Some(line), id, error.message().to_owned());
                }
            }
        }
    }
    rules
}
