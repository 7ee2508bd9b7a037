//! Texts to measure the masking engine with, made up from a seed.
//!
//! - [`clean`]: what agents send and get without anything in it that must not be seen, but dense
//!   with what looks like it: hashes, identifiers, placeholders, versions. The hard corpus.
//! - [`labelled`]: values that must not be seen, of every [`Kind`], in every [`Context`] that can
//!   hold them, and where they stand.
//! - [`traffic()`] and [`requests`]: what agents send and get as it mostly is, to measure speed with: half of it
//!   the sources of this workspace.
//! - [`dense`]: a long text with a secret every 200 bytes.
//!
//! Values are made from forms that are written apart from the engine's rules.

mod clean;
mod context;
mod form;
mod kind;
mod personal;
mod random;
mod secrets;
mod traffic;

pub use self::{
    clean::{Document, clean},
    context::{Context, Placed},
    form::Value,
    kind::{Class, Kind, Need},
    random::Random,
    traffic::{Sources, requests, traffic},
};

/// A text with one value that must not be seen.
#[derive(Clone, Debug)]
pub struct Sample {
    /// The text.
    pub text: String,
    /// Where the value is.
    pub start: usize,
    /// The index behind its last byte.
    pub end: usize,
    /// What it is.
    pub kind: Kind,
    /// The name of the context.
    pub context: &'static str,
    /// How the text is written down.
    pub encoding: Encoding,
}

/// How a text is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// As it is.
    Plain,
    /// As a string in a request.
    Json,
    /// As a string in a JSON document that is itself a string, as tools answer.
    JsonInJson,
    /// The value in base64, the rest as it is.
    Base64,
}

impl Encoding {
    /// The name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Json => "json",
            Self::JsonInJson => "json in json",
            Self::Base64 => "base64",
        }
    }
}

/// Every one of these kinds, `each` times in every context that can hold it, and every fourth time
/// within JSON too.
pub fn labelled(kinds: &[Kind], seed: u64, each: usize) -> Vec<Sample> {
    let mut random = Random::new(seed);
    let mut samples = Vec::new();
    for kind in kinds {
        for context in Context::all() {
            for _ in 0..each {
                samples.extend(sample(*kind, context, &mut random));
            }
        }
    }
    samples
}

fn sample(kind: Kind, context: &Context, random: &mut Random) -> Vec<Sample> {
    let value = kind.value(random);
    if !context.fits(&kind, &value) {
        return Vec::new();
    }
    let words = match (kind.need, random.below(3)) {
        // A value that its form gives away is found under any name.
        (Need::Nothing, 0) => "value".to_owned(),
        _ => kind.name_in_words(random),
    };
    let placed = context.place(&words, &value, random);
    let plain = Sample {
        text: placed.text,
        start: placed.secret.0,
        end: placed.secret.1,
        kind,
        context: context.name,
        encoding: context.encoding(),
    };
    let encoded = match random.below(8) {
        _ if plain.encoding != Encoding::Plain => None,
        0 => Some(plain.in_json(
            "{\"model\":\"claude-opus-4-6\",\"max_tokens\":1024,\"messages\":[{\"role\":\"user\",\"content\":\"",
            "\"}]}",
            Encoding::Json,
        )),
        1 => Some(
            plain
                .in_json("{\"exit\":0,\"stdout\":\"", "\",\"stderr\":\"\"}", Encoding::Json)
                .in_json(
                    "{\"type\":\"tool_result\",\"tool_use_id\":\"toolu_01A\",\"content\":\"",
                    "\"}",
                    Encoding::JsonInJson,
                ),
        ),
        _ => None,
    };
    [Some(plain), encoded].into_iter().flatten().collect()
}

impl Sample {
    /// The same text as a JSON string between these two.
    fn in_json(&self, before: &str, behind: &str, encoding: Encoding) -> Self {
        let escape = |text: &str| {
            text.chars().fold(String::new(), |mut out, letter| {
                match letter {
                    '\n' => out.push_str("\\n"),
                    '\t' => out.push_str("\\t"),
                    '"' | '\\' => out.extend(['\\', letter]),
                    _ => out.push(letter),
                }
                out
            })
        };
        let mut text = before.to_owned();
        text.push_str(&escape(&self.text[..self.start]));
        let start = text.len();
        text.push_str(&escape(&self.text[self.start..self.end]));
        let end = text.len();
        text.push_str(&escape(&self.text[self.end..]));
        text.push_str(behind);
        Self {
            text,
            start,
            end,
            encoding,
            ..self.clone()
        }
    }

    /// The value as it stands in the text.
    pub fn value(&self) -> &str {
        &self.text[self.start..self.end]
    }
}

/// A text of this length at least, with a secret that is known by its form every 200 bytes.
pub fn dense(seed: u64, bytes: usize) -> String {
    let mut random = Random::new(seed);
    let kinds: Vec<Kind> = Kind::secrets()
        .into_iter()
        .filter(|kind| kind.need == Need::Nothing)
        .collect();
    let around = clean(seed, bytes.min(1 << 20));
    let around: String = around.iter().map(|document| &*document.text).collect();
    let mut lines = around.lines().cycle();
    let mut out = String::with_capacity(bytes + 512);
    let mut since = 0;
    while out.len() < bytes {
        let line = lines.next().unwrap_or("the end");
        out.push_str(line);
        since += line.len();
        if since >= 130 {
            let value = kinds[random.below(kinds.len())].value(&mut random);
            // Whole keys in PEM form and the like would make it denser than that.
            if value.text.len() <= 100 {
                out.push_str(" token: ");
                out.push_str(&value.text);
                since = 0;
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_kinds_and_contexts_as_are_promised() {
        assert!(Kind::secrets().len() >= 200, "{}", Kind::secrets().len());
        assert!(Kind::personal().len() >= 50, "{}", Kind::personal().len());
        assert!(Context::all().len() >= 40, "{}", Context::all().len());
    }

    #[test]
    fn every_kind_has_a_context_and_labels_are_where_the_values_are() {
        let kinds = [Kind::secrets(), Kind::personal()].concat();
        let samples = labelled(&kinds, 3, 1);
        for kind in kinds {
            let of = samples
                .iter()
                .filter(|sample| sample.kind.name == kind.name);
            let of: Vec<_> = of.collect();
            assert!(of.len() >= 3, "{} has {} samples", kind.name, of.len());
            assert!(of.iter().all(|sample| !sample.value().is_empty()));
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_texts() {
        let texts = |seed| -> Vec<String> {
            let samples = labelled(&Kind::secrets()[..9], seed, 1);
            samples.into_iter().map(|sample| sample.text).collect()
        };
        assert_eq!(texts(7), texts(7));
        assert_ne!(texts(7), texts(8));
        assert_eq!(clean(7, 1 << 16), clean(7, 1 << 16));
    }
}
