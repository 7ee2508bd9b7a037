//! Where something was found. Never what.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tollbook_masking::{Confidence, FindStream, Found, Kind, Masker, view::BodyMasker};

use super::{Format, Sink, flush, lines::Lines, unmaskable, write, write::structured};
use crate::{exit::Failure, print::inert};

/// Writes a line for each finding to standard output.
pub(super) struct Findings {
    file: Option<PathBuf>,
    json: bool,
    found: bool,
    view: View,
}

enum View {
    /// Places are known.
    Text {
        finder: Box<FindStream>,
        lines: Lines,
        found: Vec<Found>,
    },
    /// What is found stands in texts that are put together from parts of the input, so it has no
    /// offset but a path.
    Structured {
        body: Box<BodyMasker>,
        masker: Masker,
    },
}

impl Findings {
    pub(super) fn new(masker: &Masker, format: Format, file: Option<&Path>, json: bool) -> Self {
        let view = match format {
            Format::Text => View::Text {
                finder: Box::new(masker.finder()),
                lines: Lines::default(),
                found: Vec::new(),
            },
            _ => View::Structured {
                body: Box::new(structured(masker, format)),
                masker: masker.clone(),
            },
        };
        Self {
            file: file.map(Path::to_owned),
            json,
            found: false,
            view,
        }
    }

    /// Writes what is known by now.
    fn tell(&mut self) -> Result<(), Failure> {
        let View::Text {
            finder,
            lines,
            found,
        } = &mut self.view
        else {
            return Ok(());
        };
        let mut out = String::new();
        for one in found.drain(..) {
            self.found = true;
            let place = lines.place(one.start);
            out.push_str(&if self.json {
                line(self.file.as_deref(), value(&one, place))
            } else {
                person(self.file.as_deref(), &one, place)
            });
        }
        lines.forget(finder.decided());
        write(out.as_bytes())
    }
}

impl Sink for Findings {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        match &mut self.view {
            View::Text {
                finder,
                lines,
                found,
            } => {
                lines.push(bytes);
                finder.push(bytes, found);
            }
            View::Structured { body, .. } => {
                body.push(bytes).map_err(unmaskable)?;
            }
        }
        self.tell()
    }

    fn finish(&mut self) -> Result<bool, Failure> {
        match &mut self.view {
            View::Text { finder, found, .. } => finder.finish(found),
            View::Structured { body, masker } => {
                body.finish().map_err(unmaskable)?;
                let mut out = String::new();
                for one in body.found() {
                    self.found = true;
                    let rule = masker.rules().find(|rule| *rule.id == *one.rule);
                    let kind = rule.map_or("unknown", |rule| kind(rule.kind));
                    let confidence = rule.map_or("unknown", |rule| confidence(rule.confidence));
                    out.push_str(&if self.json {
                        let value = json!({
                            "rule": &*one.rule, "kind": kind, "place": &*one.place,
                            "count": one.count, "operator": one.operator, "confidence": confidence,
                        });
                        line(self.file.as_deref(), value)
                    } else {
                        let file = file(self.file.as_deref());
                        let (place, rule) = (inert(&one.place), &one.rule);
                        format!("{file}{place}: {rule} ({kind}, {} times)\n", one.count)
                    });
                }
                write(out.as_bytes())?;
            }
        }
        self.tell()?;
        flush()?;
        Ok(self.found)
    }
}

fn value(one: &Found, (at_line, column): (u64, u64)) -> Value {
    json!({
        "rule": &*one.rule, "kind": kind(one.kind), "start": one.start, "end": one.end,
        "line": at_line, "column": column, "operator": one.operator,
        "confidence": confidence(one.confidence),
    })
}

/// One object on a line, with the file first if there is one.
fn line(file: Option<&Path>, value: Value) -> String {
    let mut all = serde_json::Map::new();
    if let Some(file) = file {
        all.insert("file".to_owned(), json!(file.display().to_string()));
    }
    if let Value::Object(members) = value {
        all.extend(members);
    }
    format!("{}\n", Value::Object(all))
}

fn person(path: Option<&Path>, one: &Found, (at_line, column): (u64, u64)) -> String {
    format!(
        "{}{at_line}:{column}: {} ({}, {} bytes at {})\n",
        file(path),
        one.rule,
        kind(one.kind),
        one.end - one.start,
        one.start
    )
}

fn file(path: Option<&Path>) -> String {
    path.map(|path| format!("{}:", inert(&path.display().to_string())))
        .unwrap_or_default()
}

pub(super) const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Secret => "secret",
        Kind::Personal => "personal",
        _ => "other",
    }
}

pub(super) const fn confidence(confidence: Confidence) -> &'static str {
    match confidence {
        Confidence::High => "high",
        Confidence::Medium => "medium",
        Confidence::Low => "low",
        _ => "unknown",
    }
}
