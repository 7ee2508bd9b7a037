//! Rules as they are written in our form.

use std::fmt::Write as _;

use super::{
    TheirRule,
    branch::{Body, Branch, BranchKind},
    sample::Samples,
};
use crate::{
    engine::{Engine, rule::CAP},
    rules::{source, vectors},
};

/// How many examples are made up before it is held that there is none.
const TRIES: u64 = 16;

/// A rule with made-up vectors that hold.
pub(super) fn rule(
    id: &str,
    theirs: &TheirRule,
    branch: &Branch,
    entropy: Option<f64>,
) -> Result<String, String> {
    let head = head(id, theirs, branch, entropy);
    let engine = engine(&head)?;
    for seed in 0..TRIES {
        let Some((positive, negatives)) = vectors(branch, &mut Samples::new(seed)) else {
            break;
        };
        if !vectors::finds(&engine, &positive.concat()) {
            continue;
        }
        let negative = negatives
            .into_iter()
            .find(|negative| !vectors::finds(&engine, &negative.concat()));
        let Some(negative) = negative else {
            return Err("no text was made up that it does not find".to_owned());
        };
        let mut out = head;
        for (key, pieces) in [("positive", positive), ("negative", negative)] {
            let pieces: Vec<String> = pieces.iter().map(|piece| quote(piece)).collect();
            let _ = writeln!(out, "{key} = [[{}]]", pieces.join(", "));
        }
        return Ok(out);
    }
    Err("no text was made up that it finds".to_owned())
}

/// Everything but the vectors.
fn head(id: &str, theirs: &TheirRule, branch: &Branch, entropy: Option<f64>) -> String {
    let description = match theirs.description.trim() {
        "" => &theirs.id,
        description => description,
    };
    let source = format!("imported from the gitleaks rule {}", theirs.id);
    let mut out = "[[rule]]\n".to_owned();
    let mut line = |key: &str, value: String| {
        let _ = writeln!(out, "{key} = {value}");
    };
    line("id", quote(id));
    line("description", quote(description));
    line("source", quote(&source));
    let tags: Vec<String> = theirs.tags.iter().filter_map(|tag| word(tag)).collect();
    if !tags.is_empty() {
        line("tags", list(tags.iter()));
    }
    match &branch.kind {
        BranchKind::Token {
            literals,
            keep,
            glued,
        } => {
            line(
                "literals",
                list(literals.iter().map(text).collect::<Vec<_>>().iter()),
            );
            if *keep {
                line("keep", "true".to_owned());
            }
            if *glued {
                line("left", quote("any"));
            }
        }
        BranchKind::Value { words } => {
            line("shape", quote("value"));
            if !words.is_empty() {
                line(
                    "keywords",
                    list(words.iter().map(text).collect::<Vec<_>>().iter()),
                );
            }
        }
        BranchKind::PrivateKey => {
            line("shape", quote("private-key"));
            line("literals", list(["-----BEGIN ".to_owned()].iter()));
            return out;
        }
    }
    match &branch.body {
        Body::Class { name, min, max } => {
            let max = max.map_or(String::new(), |max| format!(", max = {max}"));
            line(
                "body",
                format!("{{ class = \"{name}\", min = {min}{max} }}"),
            );
        }
        Body::Pattern(pattern) if pattern.contains('\'') => line("pattern", quote(pattern)),
        Body::Pattern(pattern) => line("pattern", format!("'{pattern}'")),
    }
    if let Some(bits) = entropy {
        line("validate", list([format!("entropy:{bits}")].iter()));
    }
    out
}

/// The rule alone, without vectors.
fn engine(head: &str) -> Result<Engine, String> {
    let toml = format!("{head}positive = [\"\"]\nnegative = [\"\"]\n");
    let mut mistakes = Vec::new();
    let rules = source::read("", &toml, false, &mut mistakes);
    let reasons: Vec<String> = mistakes.into_iter().map(|mistake| mistake.reason).collect();
    if reasons.is_empty() {
        let rules = rules.into_iter().map(|checked| checked.rule);
        Ok(Engine::new(rules.collect()))
    } else {
        Err(reasons.join("; "))
    }
}

/// A text in pieces.
type Pieces = Vec<String>;

/// A text that should be found, and some of which one should not be.
fn vectors(branch: &Branch, samples: &mut Samples) -> Option<(Pieces, Vec<Pieces>)> {
    let (before, literal) = match &branch.kind {
        BranchKind::Token { literals, .. } => ("value: ".to_owned(), text(literals.first()?)),
        BranchKind::Value { words } => {
            let word = words.first().map_or("value".to_owned(), text);
            (format!("{word} = "), String::new())
        }
        BranchKind::PrivateKey => {
            let begin = ["-----BEGIN ".to_owned(), "PRIVATE KEY-----\n".to_owned()];
            let positive = begin.iter().cloned().chain(["Ex4mpleOnly/".repeat(5)]);
            let negative = begin.iter().cloned().chain(["and so on".to_owned()]);
            return Some((positive.collect(), vec![negative.collect()]));
        }
    };
    let mut body = samples.text(&branch.sample);
    if let Body::Class { min, .. } = branch.body
        && body.len() > CAP
    {
        body.truncate(min.max(CAP));
    }
    let body = String::from_utf8(body)
        .ok()
        .filter(|body| !body.is_empty())?;
    let half = body.len().div_ceil(2);
    let (first, second) = (body.get(..half)?, body.get(half..)?);
    let shorter = second.get(..second.len().saturating_sub(1))?;
    let pieces = |before: &str, second: &str| {
        vec![format!("{before}{literal}{first}"), format!("{second} end")]
    };
    let negatives = vec![
        pieces(
            "value: ",
            if matches!(branch.kind, BranchKind::Value { .. }) {
                second
            } else {
                shorter
            },
        ),
        pieces(&before, shorter),
        pieces(&format!("{before}x1"), second),
        vec![before.clone(), literal.clone()],
    ];
    Some((pieces(&before, second), negatives))
}

fn text(bytes: &Vec<u8>) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A tag in our form.
fn word(tag: &str) -> Option<String> {
    let tag = tag.to_ascii_lowercase().replace(['_', ' '], "-");
    let fits = tag.starts_with(|first: char| first.is_ascii_lowercase())
        && tag
            .bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    fits.then_some(tag)
}

fn list<'a>(texts: impl Iterator<Item = &'a String>) -> String {
    let quoted: Vec<String> = texts.map(|text| quote(text)).collect();
    format!("[{}]", quoted.join(", "))
}

/// A basic string of TOML.
fn quote(text: &str) -> String {
    let mut out = "\"".to_owned();
    for letter in text.chars() {
        match letter {
            '"' | '\\' => {
                out.push('\\');
                out.push(letter);
            }
            '\n' => out.push_str("\\n"),
            letter if letter.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
