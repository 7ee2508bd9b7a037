//! What is counted.

use tollbook_masking::{Found, Masker};

use super::Label;
use crate::corpus::{Random, Sample};

/// So many bytes of a value in a row are told apart from chance.
const CANARY: usize = 8;

/// Counts over some texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Values that must not be seen.
    pub labels: u64,
    /// Labels that are found.
    pub found: u64,
    /// What rules matched.
    pub findings: u64,
    /// Findings that are right.
    pub right: u64,
    /// Bytes of labels.
    pub label_bytes: u64,
    /// Bytes of labels that are found.
    pub found_bytes: u64,
    /// Bytes of labels that are found and that no finding covers.
    pub leaked_bytes: u64,
    /// Bytes of all labels that no finding covers.
    pub open_bytes: u64,
    /// Chunkings for which something else came out.
    pub unstable: u64,
    /// Found values of which a piece is in the masked text.
    pub canaries: u64,
    /// Texts in JSON, and those of them without a piece of the value after masking as JSON.
    pub documents: u64,
    /// Documents without a piece of the value after masking as JSON.
    pub documents_masked: u64,
}

impl Tally {
    /// The share of labels that are found.
    pub fn recall(&self) -> f64 {
        share(self.found, self.labels)
    }

    /// The share of findings that are right.
    pub fn precision(&self) -> f64 {
        share(self.right, self.findings)
    }

    /// The harmonic mean of both.
    pub fn f1(&self) -> f64 {
        let (recall, precision) = (self.recall(), self.precision());
        if recall + precision == 0.0 {
            0.0
        } else {
            2.0 * recall * precision / (recall + precision)
        }
    }

    /// The share of bytes that a reader of the masked text sees of values that were found.
    pub fn leak(&self) -> f64 {
        1.0 - share(self.found_bytes - self.leaked_bytes, self.found_bytes)
    }

    /// The share of bytes that a reader of the masked text sees of all values.
    pub fn open(&self) -> f64 {
        1.0 - share(self.label_bytes - self.open_bytes, self.label_bytes)
    }

    /// Counts another tally in.
    pub fn add(&mut self, other: &Self) {
        self.labels += other.labels;
        self.found += other.found;
        self.findings += other.findings;
        self.right += other.right;
        self.label_bytes += other.label_bytes;
        self.found_bytes += other.found_bytes;
        self.leaked_bytes += other.leaked_bytes;
        self.open_bytes += other.open_bytes;
        self.unstable += other.unstable;
        self.canaries += other.canaries;
        self.documents += other.documents;
        self.documents_masked += other.documents_masked;
    }

    /// Counts a label, and tells whether it is found.
    pub(super) fn label(&mut self, found: &[Found], label: &Label) -> bool {
        let length = (label.end - label.start) as u64;
        let covered: usize = found
            .iter()
            .map(|finding| overlap(range(finding), (label.start, label.end)))
            .sum();
        let open = length - covered as u64;
        let is_found = covered as u64 >= open;
        self.labels += 1;
        self.label_bytes += length;
        self.open_bytes += open;
        if is_found {
            self.found += 1;
            self.found_bytes += length;
            self.leaked_bytes += open;
        }
        is_found
    }

    /// Counts a finding, and tells whether it is right.
    pub(super) fn finding(&mut self, finding: &Found, labels: &[Label]) -> bool {
        let (start, end) = range(finding);
        let covered: usize = labels
            .iter()
            .map(|label| overlap((start, end), (label.start, label.end)))
            .sum();
        let is_right = covered * 2 >= end - start;
        self.findings += 1;
        self.right += u64::from(is_right);
        is_right
    }

    /// Masks the text in pieces: single bytes, pieces as models send them, and any.
    pub(super) fn streams(
        &mut self,
        masker: &Masker,
        text: &[u8],
        found: &[Found],
        random: &mut Random,
    ) {
        let whole = masker.mask(text).masked;
        for most in [1, 9, 200] {
            let (mut stream, mut out) = (masker.stream(), Vec::new());
            let (mut finder, mut places) = (masker.finder(), Vec::new());
            let mut rest = text;
            while !rest.is_empty() {
                let (piece, behind) = rest.split_at(random.within(1, most).min(rest.len()));
                stream.push(piece, &mut out);
                finder.push(piece, &mut places);
                rest = behind;
            }
            stream.finish(&mut out);
            finder.finish(&mut places);
            let is_same = out == whole.as_inner().as_ref() && places == found;
            self.unstable += u64::from(!is_same);
        }
    }

    /// Looks for pieces of found values in the masked text.
    pub(super) fn canaries(
        &mut self,
        masker: &Masker,
        text: &str,
        found: &[Found],
        labels: &[Label],
    ) {
        let masked = masker.mask(text.as_bytes()).masked;
        for label in labels {
            let covered = |finding: &Found| {
                let (start, end) = range(finding);
                start <= label.start && label.end <= end
            };
            if found.iter().any(covered) {
                let shows = shows(masked.as_inner(), text, label.start, label.end);
                self.canaries += u64::from(shows);
            }
        }
    }

    /// Masks a JSON document by its structure.
    pub(super) fn json(&mut self, masker: &Masker, sample: &Sample) {
        let masked = masker.json(sample.text.as_bytes(), "body").masked;
        let shows = shows(masked.as_inner(), &sample.text, sample.start, sample.end);
        self.documents += 1;
        self.documents_masked += u64::from(!shows);
    }
}

/// Whether the masked text has a piece of the value that stands nowhere else in the text.
fn shows(masked: &[u8], text: &str, start: usize, end: usize) -> bool {
    let rest = [&text.as_bytes()[..start], b"\0", &text.as_bytes()[end..]].concat();
    let value = &text.as_bytes()[start..end];
    let masked = &without_placeholders(masked);
    let has =
        |haystack: &[u8], piece: &[u8]| haystack.windows(piece.len()).any(|window| window == piece);
    value
        .windows(CANARY.min(value.len()))
        .any(|piece| has(masked, piece) && !has(&rest, piece))
}

/// Names of rules are often the beginnings of what they find.
fn without_placeholders(masked: &[u8]) -> Vec<u8> {
    const BEGIN: &[u8] = b"[REDACTED:";
    let mut out = Vec::new();
    let mut rest = masked;
    while let Some(at) = rest.windows(BEGIN.len()).position(|bytes| bytes == BEGIN) {
        out.extend_from_slice(&rest[..at]);
        out.push(0);
        rest = &rest[at..];
        let end = rest.iter().position(|byte| *byte == b']');
        rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
    }
    out.extend_from_slice(rest);
    out
}

/// The bytes of a finding.
pub(super) fn range(finding: &Found) -> (usize, usize) {
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    (index(finding.start), index(finding.end))
}

fn overlap(a: (usize, usize), b: (usize, usize)) -> usize {
    a.1.min(b.1).saturating_sub(a.0.max(b.0))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of a corpus are far below 2^52"
)]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        1.0
    } else {
        part as f64 / whole as f64
    }
}
