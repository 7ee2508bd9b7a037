//! Texts that others have labelled.

use std::{fs, io, path::Path};

use serde_json::Value;

/// A value that must not be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// The index of its first byte.
    pub start: usize,
    /// The index behind its last byte.
    pub end: usize,
    /// What it is.
    pub kind: String,
}

/// A text and its labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Labelled {
    /// The text.
    pub text: String,
    /// Its labels.
    pub spans: Vec<Label>,
}

/// Reads a file with one `{"text", "spans": [{"start", "end", "kind"}]}` a line. Indexes are those of
/// bytes in UTF-8.
///
/// # Errors
///
/// When the file cannot be read, or a line is something else. It is not told what stands there.
pub fn read(file: &Path) -> io::Result<Vec<Labelled>> {
    let text = fs::read_to_string(file)?;
    let lines = text.lines().enumerate();
    lines
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            let wrong = || {
                let why = format!("line {} is not a labelled text", number + 1);
                io::Error::new(io::ErrorKind::InvalidData, why)
            };
            one(line).ok_or_else(wrong)
        })
        .collect()
}

fn one(line: &str) -> Option<Labelled> {
    let value: Value = serde_json::from_str(line).ok()?;
    let text = value["text"].as_str()?.to_owned();
    let index = |value: &Value| usize::try_from(value.as_u64()?).ok();
    let spans: Option<Vec<Label>> = value["spans"]
        .as_array()?
        .iter()
        .map(|span| {
            Some(Label {
                start: index(&span["start"])?,
                end: index(&span["end"])?,
                kind: span["kind"].as_str().unwrap_or("unnamed").to_owned(),
            })
        })
        .collect();
    let spans = spans?;
    let fits = |span: &Label| span.start < span.end && span.end <= text.len();
    spans.iter().all(fits).then_some(Labelled { text, spans })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_lie_within_their_text() {
        let right = r#"{"text": "abc", "spans": [{"start": 1, "end": 3, "kind": "k"}]}"#;
        assert_eq!(one(right).unwrap().spans[0].end, 3);
        assert_eq!(one(&right.replace("3,", "4,")), None);
        assert_eq!(one("{}"), None);
    }
}
