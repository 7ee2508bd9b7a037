//! The form in which detectors are written.

use serde::{Deserialize, de::DeserializeOwned};
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::{
    engine::Detector,
    rules::{check, error::RuleError},
};

/// A `[[detector]]` as it is written. The crate documentation tells what the keys mean.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawDetector {
    pub id: String,
    pub version: u32,
    pub label: String,
    pub risk: u8,
    pub places: Vec<String>,
    pub description: String,
    pub source: String,
    #[serde(default)]
    pub literals: Vec<Pieces>,
    #[serde(default)]
    pub case: RawCase,
    #[serde(default)]
    pub left: RawLeft,
    #[serde(default)]
    pub right: RawRight,
    pub pattern: Option<String>,
    pub window: Option<usize>,
    pub validator: Option<String>,
    #[serde(default)]
    pub positive: Vec<Pieces>,
    #[serde(default)]
    pub negative: Vec<Pieces>,
}

/// A `[[hosts]]` as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawHosts {
    pub label: String,
    pub suffixes: Vec<String>,
    pub id: Option<String>,
    pub version: Option<u32>,
    pub risk: Option<u8>,
    pub places: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawCase {
    #[default]
    Sensitive,
    Insensitive,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawLeft {
    Any,
    #[default]
    Boundary,
    Command,
    Line,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum RawRight {
    #[default]
    Any,
    Boundary,
}

/// A text, or the pieces of one: programs that look for malware in files then do not take a test
/// vector for some.
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

/// A checked detector with its test vectors and where it was written.
#[derive(Debug)]
pub(crate) struct Checked {
    pub detector: Detector,
    pub file: String,
    pub line: usize,
    pub positive: Vec<String>,
    pub negative: Vec<String>,
}

/// Reads the detectors of one file; mistakes go to `mistakes`.
pub(crate) fn read(file: &str, text: &str, mistakes: &mut Vec<RuleError>) -> Vec<Checked> {
    let mut reader = Reader {
        file,
        text,
        mistakes,
    };
    if text.len() > MAX_FILE {
        reader.mistake(None, None, format!("more than {MAX_FILE} bytes"));
        return Vec::new();
    }
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let line = error.span().map(|span| reader.line_of(span.start));
            reader.mistake(line, None, error.message().to_owned());
            return Vec::new();
        }
    };
    let mut checked = Vec::new();
    for (key, value) in table {
        let line = reader.line_of(key.span().start);
        let key = key.into_inner();
        let kind = match &*key {
            "detector" => detector as Read,
            "hosts" => hosts as Read,
            _ => {
                let reason = format!("unknown key `{key}`; expected `[[detector]]` or `[[hosts]]`");
                reader.mistake(Some(line), None, reason);
                continue;
            }
        };
        let DeValue::Array(array) = value.into_inner() else {
            let reason = format!("`{key}` is not a list; write `[[{key}]]`");
            reader.mistake(Some(line), None, reason);
            continue;
        };
        for value in array {
            checked.extend(kind(&mut reader, value));
        }
    }
    checked
}

type Value<'a> = toml::Spanned<DeValue<'a>>;
type Read = fn(&mut Reader<'_>, Value<'_>) -> Option<Checked>;

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    mistakes: &'a mut Vec<RuleError>,
}

fn detector(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Checked> {
    let (raw, line): (RawDetector, _) = reader.deserialize(value)?;
    let mut reasons = Vec::new();
    let detector = check::detector(&raw, &mut reasons);
    reader.mistakes(line, &raw.id, reasons);
    Some(Checked {
        detector: detector?,
        file: reader.file.to_owned(),
        line,
        positive: raw.positive.iter().map(Pieces::join).collect(),
        negative: raw.negative.iter().map(Pieces::join).collect(),
    })
}

fn hosts(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Checked> {
    let (raw, line): (RawHosts, _) = reader.deserialize(value)?;
    let mut reasons = Vec::new();
    let id = raw
        .id
        .clone()
        .unwrap_or_else(|| format!("host-{}", raw.label));
    let detector = check::hosts(&raw, &id, &mut reasons);
    reader.mistakes(line, &id, reasons);
    Some(Checked {
        detector: detector?,
        file: reader.file.to_owned(),
        line,
        positive: Vec::new(),
        negative: Vec::new(),
    })
}

impl Reader<'_> {
    fn deserialize<T: DeserializeOwned>(&mut self, value: Value<'_>) -> Option<(T, usize)> {
        let line = self.line_of(value.span().start);
        let id = value
            .get_ref()
            .get("id")
            .and_then(|id| id.get_ref().as_str())
            .map(str::to_owned);
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(raw) => Some((raw, line)),
            Err(error) => {
                let line = error.span().map_or(line, |span| self.line_of(span.start));
                self.mistake(Some(line), id, error.message().to_owned());
                None
            }
        }
    }

    fn mistakes(&mut self, line: usize, id: &str, reasons: Vec<String>) {
        for reason in reasons {
            self.mistake(Some(line), Some(id.to_owned()), reason);
        }
    }

    fn mistake(&mut self, line: Option<usize>, rule: Option<String>, reason: String) {
        self.mistakes.push(RuleError {
            file: self.file.to_owned(),
            line,
            rule,
            reason,
        });
    }

    fn line_of(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}

/// The largest text of detectors that is read, in bytes.
const MAX_FILE: usize = 1 << 20;
