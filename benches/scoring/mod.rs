//! How much of what must not be seen the masking engine finds, and how much else.
//!
//! - A label is *found* when findings cover at least half of its bytes. What they leave of it is
//!   its *leak*: a value found but for its last letter counts as found, and as one leaked byte.
//! - A finding is *right* when at least half of its bytes lie in labels.
//! - Recall is the share of labels that are found, precision the share of findings that are right,
//!   F1 their harmonic mean. Which rule found a value does not count.
//!
//! Every text is also masked in pieces, and it counts as a fault if the result then differs from
//! that of the whole text, or if eight bytes in a row of a found value are in what comes out.

mod goals;
mod labels;
mod tally;

use std::collections::BTreeMap;

use tollbook_masking::Masker;

pub use self::{
    goals::{Goal, goals},
    labels::{Label, Labelled, read},
    tally::Tally,
};
use crate::corpus::{Encoding, Page, Random, Sample};

/// What became of a corpus, by what it is grouped by.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// All texts.
    pub all: Tally,
    /// By who a value belongs to.
    pub classes: BTreeMap<String, Tally>,
    /// By family.
    pub families: BTreeMap<String, Tally>,
    /// By kind.
    pub kinds: BTreeMap<String, Tally>,
    /// By context.
    pub contexts: BTreeMap<String, Tally>,
    /// By encoding.
    pub encodings: BTreeMap<String, Tally>,
    /// Labels that were not found.
    pub misses: Vec<Odd>,
    /// Labels that were found but for a part.
    pub leaks: Vec<Odd>,
    /// Findings that are not right.
    pub wrong: Vec<Odd>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug)]
pub struct Odd {
    /// The kind of the label, or the rule of the finding.
    pub what: String,
    /// The kind, the context and the encoding of the text.
    pub place: String,
    /// The index of its first byte.
    pub start: usize,
    /// The index behind its last byte.
    pub end: usize,
    /// The text.
    pub text: String,
}

/// Puts a corpus of one's own to the masker.
pub fn score(masker: &Masker, samples: &[Sample], seed: u64) -> Report {
    let mut random = Random::new(seed);
    let mut report = Report::default();
    for sample in samples {
        let kind = sample.kind;
        let labels = [Label {
            start: sample.start,
            end: sample.end,
            kind: kind.name.to_owned(),
        }];
        let place = format!(
            "{} in {}, {}",
            kind.name,
            sample.context,
            sample.encoding.name()
        );
        let mut tally = Tally::default();
        report.look(
            masker,
            &sample.text,
            &labels,
            &place,
            &mut tally,
            &mut random,
        );
        if matches!(sample.encoding, Encoding::Json | Encoding::JsonInJson) {
            tally.json(masker, sample);
        }
        for (groups, name) in [
            (&mut report.classes, class(sample)),
            (&mut report.families, kind.family),
            (&mut report.kinds, kind.name),
            (&mut report.contexts, sample.context),
            (&mut report.encodings, sample.encoding.name()),
        ] {
            groups.entry(name.to_owned()).or_default().add(&tally);
        }
        report.all.add(&tally);
    }
    report
}

/// Values that are encoded are a class of their own: what is promised of them is less.
fn class(sample: &Sample) -> &'static str {
    match sample.encoding {
        Encoding::Base64 => "secrets in base64",
        _ => sample.kind.class.name(),
    }
}

/// Puts texts that others have labelled to the masker.
pub fn score_labelled(masker: &Masker, texts: &[Labelled], seed: u64) -> Report {
    let mut random = Random::new(seed);
    let mut report = Report::default();
    for (line, text) in texts.iter().enumerate() {
        let mut tally = Tally::default();
        let place = format!("line {}", line + 1);
        report.look(
            masker,
            &text.text,
            &text.spans,
            &place,
            &mut tally,
            &mut random,
        );
        report.all.add(&tally);
        // Findings that are no label's belong to no kind.
        for label in &text.spans {
            let mut tally = Tally::default();
            tally.label(&masker.find(text.text.as_bytes()), label);
            report
                .kinds
                .entry(label.kind.clone())
                .or_default()
                .add(&tally);
        }
    }
    report
}

/// Puts whole documents with several values to the masker.
pub fn score_pages(masker: &Masker, pages: &[Page], seed: u64) -> Report {
    let mut random = Random::new(seed);
    let mut report = Report::default();
    for page in pages {
        let labels: Vec<Label> = page
            .spans
            .iter()
            .map(|(start, end, kind, _)| Label {
                start: *start,
                end: *end,
                kind: (*kind).to_owned(),
            })
            .collect();
        let mut tally = Tally::default();
        report.look(
            masker,
            &page.text,
            &labels,
            page.name,
            &mut tally,
            &mut random,
        );
        let contexts = report.contexts.entry(page.name.to_owned()).or_default();
        contexts.add(&tally);
        report.all.add(&tally);
        // Findings that are no label's belong to no kind.
        let found = masker.find(page.text.as_bytes());
        for (label, (_, _, kind, class)) in labels.iter().zip(&page.spans) {
            let mut tally = Tally::default();
            tally.label(&found, label);
            report
                .kinds
                .entry((*kind).to_owned())
                .or_default()
                .add(&tally);
            let class = report.classes.entry(class.name().to_owned()).or_default();
            class.add(&tally);
        }
    }
    report
}

impl Report {
    fn look(
        &mut self,
        masker: &Masker,
        text: &str,
        labels: &[Label],
        place: &str,
        tally: &mut Tally,
        random: &mut Random,
    ) {
        let found = masker.find(text.as_bytes());
        let odd = |what: &str, start, end| Odd {
            what: what.to_owned(),
            place: place.to_owned(),
            start,
            end,
            text: text.to_owned(),
        };
        for label in labels {
            let leaked = tally.leaked_bytes;
            if !tally.label(&found, label) {
                self.misses.push(odd(&label.kind, label.start, label.end));
            } else if tally.leaked_bytes > leaked {
                self.leaks.push(odd(&label.kind, label.start, label.end));
            }
        }
        for finding in &found {
            if !tally.finding(finding, labels) {
                let (start, end) = tally::range(finding);
                self.wrong.push(odd(&finding.rule, start, end));
            }
        }
        tally.streams(masker, text.as_bytes(), &found, random);
        tally.canaries(masker, text, &found, labels);
    }
}
