//! The form in which rules are written.

use std::fmt;

use serde::Deserialize;
use toml::{
    Spanned,
    de::{DeTable, DeValue, ValueDeserializer},
};

use crate::{
    engine::{
        Rule,
        rule::{Confidence, Kind},
    },
    rules::{check, error::RuleError},
};

/// The keys of a rule.
const KEYS: &[&str] = &[
    "apart",
    "body",
    "confidence",
    "deep",
    "description",
    "id",
    "keep",
    "keywords",
    "kind",
    "left",
    "literals",
    "negative",
    "pattern",
    "positive",
    "quotes",
    "shape",
    "source",
    "tags",
    "validate",
];

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
pub(super) struct Checked {
    pub rule: Rule,
    pub place: Place,
    /// Whether somebody else has run its vectors.
    pub trusted: bool,
    pub positive: Vec<String>,
    pub negative: Vec<String>,
}

/// Where a rule was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub file: String,
    pub line: usize,
}

impl Checked {
    /// Something that is wrong with this rule.
    pub(super) fn mistake(&self, reason: String) -> RuleError {
        self.place.mistake(&self.rule.id, reason)
    }
}

impl Place {
    /// Something that is wrong with the rule that is written here.
    pub(super) fn mistake(&self, rule: &str, reason: String) -> RuleError {
        RuleError {
            file: self.file.clone(),
            line: Some(self.line),
            rule: Some(rule.to_owned()),
            reason,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Reads the rules of one file; mistakes go to `mistakes`.
pub(super) fn read(
    file: &str,
    text: &str,
    trusted: bool,
    mistakes: &mut Vec<RuleError>,
) -> Vec<Checked> {
    let stripped;
    let text = if trusted {
        stripped = without_vectors(text);
        &stripped
    } else {
        text
    };
    let lines = Lines::of(text);
    let mut mistake = |line, rule: Option<&str>, reason: String| {
        mistakes.push(RuleError {
            file: file.to_owned(),
            line,
            rule: rule.map(str::to_owned),
            reason,
        });
    };
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let line = error.span().map(|span| lines.at(span.start));
            mistake(line, None, error.message().to_owned());
            return Vec::new();
        }
    };
    let mut rules = Vec::new();
    for (key, value) in table {
        let line = lines.at(key.span().start);
        let key = key.into_inner();
        if key != "rule" {
            let reason = format!("unknown key `{key}`; expected `[[rule]]`");
            mistake(Some(line), None, reason);
            continue;
        }
        let DeValue::Array(array) = value.into_inner() else {
            let reason = "`rule` is not a list; write `[[rule]]`".to_owned();
            mistake(Some(line), None, reason);
            continue;
        };
        for mut value in array {
            let line = lines.at(value.span().start);
            let id = id_of(&value);
            let unknown = match trusted {
                true => Vec::new(),
                false => take_unknown_keys(value.get_mut()),
            };
            for (at, reason) in unknown {
                mistake(Some(lines.at(at)), id.as_deref(), reason);
            }
            let raw = match RawRule::deserialize(ValueDeserializer::from(value)) {
                Ok(raw) => raw,
                Err(error) => {
                    let line = error.span().map_or(line, |span| lines.at(span.start));
                    mistake(Some(line), id.as_deref(), error.message().to_owned());
                    continue;
                }
            };
            let mut reasons = Vec::new();
            let rule = check::check(&raw, trusted, &mut reasons);
            for reason in reasons {
                mistake(Some(line), Some(&raw.id), reason);
            }
            rules.extend(rule.map(|rule| Checked {
                rule,
                place: Place {
                    file: file.to_owned(),
                    line,
                },
                trusted,
                positive: raw.positive.iter().map(Pieces::join).collect(),
                negative: raw.negative.iter().map(Pieces::join).collect(),
            }));
        }
    }
    rules
}

/// The text with empty lines in place of test vectors, which are most of it and are not run. It
/// knows the vectors of this crate's rules as they are laid out: in one line, or up to a line with
/// the bracket that ends them.
fn without_vectors(text: &str) -> String {
    let mut short = String::with_capacity(text.len());
    let mut within = false;
    for line in text.lines() {
        if within {
            within = line != "]";
        } else if line.starts_with("positive = [") || line.starts_with("negative = [") {
            within = !line.ends_with(']');
        } else {
            short.push_str(line);
        }
        short.push('\n');
    }
    short
}

/// The id of a rule that may not be readable otherwise.
pub(super) fn id_of(rule: &Spanned<DeValue<'_>>) -> Option<String> {
    let id = rule.get_ref().get("id")?;
    id.get_ref().as_str().map(str::to_owned)
}

/// Takes the keys out of a rule that no rule has, so that the rest can be read, and tells where
/// they were and what may have been meant.
fn take_unknown_keys(rule: &mut DeValue<'_>) -> Vec<(usize, String)> {
    let DeValue::Table(table) = rule else {
        return Vec::new();
    };
    let mut unknown: Vec<(usize, String)> = table
        .keys()
        .filter(|key| !KEYS.contains(&&**key.get_ref()))
        .map(|key| (key.span().start, key.get_ref().to_string()))
        .collect();
    unknown.sort_unstable();
    for (_, name) in &mut unknown {
        table.remove(&**name);
        *name = format!("unknown key `{name}`; {}", hint(name, KEYS));
    }
    unknown
}

/// What may have been meant by a name that nobody knows.
pub(super) fn hint(name: &str, known: &[&str]) -> String {
    /// How alike two names are of which one is a misspelling of the other.
    const ALIKE: f64 = 0.7;

    let alike = known
        .iter()
        .map(|known| (strsim::jaro_winkler(known, name), known));
    match alike.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        Some((alike, known)) if alike >= ALIKE => format!("did you mean `{known}`?"),
        _ => format!("known are {}", known.join(", ")),
    }
}

/// Tells lines from offsets.
pub(super) struct Lines(Vec<usize>);

impl Lines {
    pub(super) fn of(text: &str) -> Self {
        Self(memchr::memchr_iter(b'\n', text.as_bytes()).collect())
    }

    pub(super) fn at(&self, offset: usize) -> usize {
        1 + self.0.partition_point(|end| *end < offset)
    }
}
