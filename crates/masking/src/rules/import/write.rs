//! Rules as they are written in our form.

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
            out.push_str(&format!("{key} = [[{}]]\n", pieces.join(", ")));
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
        out.push_str(&format!("{key} = {value}\n"));
    };
    line("id", quote(id));
    line("description", quote(description));
    line("source", quote(&source));
    let tags: Vec<String> = theirs.tags.iter().filter_map(|tag| word(tag)).collect();
    if !tags.is_empty() {
        line("tags", list(tags.into_iter()));
    }
    match &branch.kind {
        BranchKind::Token {
            literals,
            keep,
            glued,
        } => {
            line(
                "literals",
                list(literals.iter().map(|literal| text(literal))),
            );
            if *keep {
                line("keep", "true".to_owned());
            }
            if *glued {
                line("left", quote("any"));
            }
        }
        BranchKind::Value => line("shape", quote("value")),
        BranchKind::PrivateKey => {
            line("shape", quote("private-key"));
            line("literals", list(["-----BEGIN ".to_owned()].into_iter()));
            return out;
        }
    }
    if !branch.words.is_empty() {
        line("keywords", list(branch.words.iter().map(|word| text(word))));
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
        line("validate", list([format!("entropy:{bits}")].into_iter()));
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
    let literal = match &branch.kind {
        BranchKind::Token { literals, .. } => text(literals.first()?),
        BranchKind::Value => String::new(),
        BranchKind::PrivateKey => {
            let begin = ["-----BEGIN ".to_owned(), "PRIVATE KEY-----\n".to_owned()];
            let positive = begin.iter().cloned().chain(["Ex4mpleOnly/".repeat(5)]);
            let negative = begin.iter().cloned().chain(["and so on".to_owned()]);
            return Some((positive.collect(), vec![negative.collect()]));
        }
    };
    let word = branch.words.first();
    let before = word.map_or("value: ".to_owned(), |word| format!("{} = ", text(word)));
    let mut body = samples.text(&branch.sample);
    // The first bytes of a long run tell.
    if matches!(branch.body, Body::Class { .. }) {
        body.truncate(CAP);
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
    let mut negatives = vec![
        pieces(&before, shorter),
        pieces(&format!("{before}x1"), second),
        vec![before.clone(), literal.clone()],
    ];
    if !branch.words.is_empty() {
        negatives.insert(0, pieces("", second));
    }
    Some((pieces(&before, second), negatives))
}

fn text(bytes: &[u8]) -> String {
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

fn list(texts: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = texts.map(|text| quote(&text)).collect();
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
                out.push_str(&format!("\\u{:04X}", u32::from(letter)));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}
