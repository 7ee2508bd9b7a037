//! What was found in the bytes of an exchange.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::Masked;

/// One rule that matched in one place, and how often. Never the matched text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Finding {
    /// The id of the rule.
    pub rule: String,
    /// Where it matched, such as `request.body:messages[].content` or `request.header:x-note`.
    pub place: String,
    /// What was done with the match.
    pub operator: Operator,
    /// How many matches there were.
    pub count: u32,
}

impl Finding {
    /// `count` matches of `rule` in `place`.
    pub fn new(
        rule: impl Into<String>,
        place: impl Into<String>,
        operator: Operator,
        count: u32,
    ) -> Self {
        Self {
            rule: rule.into(),
            place: place.into(),
            operator,
            count,
        }
    }

    /// Adds `found` to `all`, joining counts of the same rule, place and operator.
    pub fn merge(all: &mut Vec<Self>, found: impl IntoIterator<Item = Self>) {
        for new in found {
            let same = |old: &&mut Self| {
                old.rule == new.rule && old.place == new.place && old.operator == new.operator
            };
            match all.iter_mut().find(same) {
                Some(old) => old.count = old.count.saturating_add(new.count),
                None => all.push(new),
            }
        }
    }
}

/// What is done with a match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Operator {
    /// Replaced by `[REDACTED:rule]`.
    Redact,
    /// Noted, and left as it is.
    Flag,
}

/// Everything the one scan of a request found, for the layers behind it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Findings {
    /// What was found.
    pub found: Vec<Finding>,
    /// The body as it may be kept, and as it goes upstream where wire masking is on.
    pub masked: Masked<Bytes>,
    /// How much of the body was looked at.
    pub coverage: Coverage,
}

impl Findings {
    /// The result of a scan.
    pub const fn new(found: Vec<Finding>, masked: Masked<Bytes>, coverage: Coverage) -> Self {
        Self {
            found,
            masked,
            coverage,
        }
    }
}

/// How many bytes were scanned and how many were not. Never "passed" by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Bytes that were scanned.
    pub inspected: u64,
    /// Bytes that were not scanned and therefore are not in the record.
    pub uninspected: u64,
}
