//! What was found in the bytes of an exchange.

use std::{collections::BTreeSet, fmt, str::FromStr};

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::{Code, Masked, Refusal};

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
    /// Keyed digests of the secrets that the rule matched, in whichever place; they stand with one of
    /// its findings only. See [`Digest`].
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub digests: BTreeSet<Digest>,
    /// Whether there were more secrets than digests are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub digests_cut: bool,
}

/// A keyed digest of a secret: whoever has the key and the secret finds where it was masked, and
/// nobody learns from it what it was. Written as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 16]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = NoDigest;

    fn from_str(text: &str) -> Result<Self, NoDigest> {
        let digits = text.as_bytes();
        let mut digest = [0; 16];
        if digits.len() != 32 {
            return Err(NoDigest(()));
        }
        for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
            let value = |digit: u8| match digit {
                b'0'..=b'9' => Ok(digit - b'0'),
                b'a'..=b'f' => Ok(digit - b'a' + 10),
                _ => Err(NoDigest(())),
            };
            *byte = value(pair[0])? << 4 | value(pair[1])?;
        }
        Ok(Self(digest))
    }
}

/// The text is no digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoDigest(());

impl fmt::Display for NoDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not 32 hexadecimal digits")
    }
}

impl std::error::Error for NoDigest {}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(D::Error::custom)
    }
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
            digests: BTreeSet::new(),
            digests_cut: false,
        }
    }

    /// The refusal of what holds something that lets nothing pass, if any of `found` says so. It
    /// names the rules.
    pub fn blocked(found: &[Self]) -> Option<Refusal> {
        /// More than so many rules are not told.
        const TOLD: usize = 4;

        let blocks = |found: &&Self| found.operator == Operator::Block;
        let mut rules: Vec<&str> = found.iter().filter(blocks).map(|it| &*it.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        rules.truncate(TOLD);
        if rules.is_empty() {
            return None;
        }
        let rules = rules.join(", ");
        let message = format!("tollbook_masking_blocked: {rules}: this may not pass here");
        Some(Refusal::new(Code::MaskingBlocked, message))
    }

    /// Adds `found` to `all`, joining counts of the same rule, place and operator.
    pub fn merge(all: &mut Vec<Self>, found: impl IntoIterator<Item = Self>) {
        for new in found {
            let same = |old: &&mut Self| {
                old.rule == new.rule && old.place == new.place && old.operator == new.operator
            };
            match all.iter_mut().find(same) {
                Some(old) => {
                    old.count = old.count.saturating_add(new.count);
                    old.digests.extend(new.digests);
                    old.digests_cut |= new.digests_cut;
                }
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
    /// The last few characters stay.
    Partial,
    /// Replaced by a keyed digest: equal values give equal digests.
    Hash,
    /// Replaced by a token that the gate can turn back for the same principal.
    Token,
    /// Replaced by a value of the same form from a range that is reserved for examples.
    Surrogate,
    /// The field that holds it is emptied.
    Drop,
    /// What holds it does not pass.
    Block,
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
    /// Why bytes were not scanned.
    #[serde(default, skip_serializing_if = "Gaps::is_empty")]
    pub gaps: Gaps,
}

/// How many bytes were not scanned, by the reason for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Gaps {
    /// Signed, encrypted or binary by their place in the protocol, or parts of a form that are no
    /// text. They are in neither number of [`Coverage`]: they are known to hold no text, and are
    /// kept as they are, but for secrets that stand in a part of a form.
    #[serde(skip_serializing_if = "is_zero")]
    pub opaque: u64,
    /// Beyond the longest document, line or event that is held.
    #[serde(skip_serializing_if = "is_zero")]
    pub too_long: u64,
    /// Not in the form that the content type announces.
    #[serde(skip_serializing_if = "is_zero")]
    pub unreadable: u64,
    /// In a content encoding that is not known or could not be undone.
    #[serde(skip_serializing_if = "is_zero")]
    pub encoded: u64,
    /// Where a text broke off: the bytes may be the beginning of a secret.
    #[serde(skip_serializing_if = "is_zero")]
    pub cut_off: u64,
}

/// Why bytes were not scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Gap {
    /// See [`Gaps::opaque`].
    Opaque,
    /// See [`Gaps::too_long`].
    TooLong,
    /// See [`Gaps::unreadable`].
    Unreadable,
    /// See [`Gaps::encoded`].
    Encoded,
    /// See [`Gaps::cut_off`].
    CutOff,
}

impl Coverage {
    /// So many bytes were scanned.
    pub const fn inspect(&mut self, bytes: u64) {
        self.inspected = self.inspected.saturating_add(bytes);
    }

    /// So many bytes were not scanned, and why.
    pub const fn skip(&mut self, gap: Gap, bytes: u64) {
        let count = match gap {
            Gap::Opaque => &mut self.gaps.opaque,
            Gap::TooLong => &mut self.gaps.too_long,
            Gap::Unreadable => &mut self.gaps.unreadable,
            Gap::Encoded => &mut self.gaps.encoded,
            Gap::CutOff => &mut self.gaps.cut_off,
        };
        *count = count.saturating_add(bytes);
        if !matches!(gap, Gap::Opaque) {
            self.uninspected = self.uninspected.saturating_add(bytes);
        }
    }
}

impl Gaps {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the form that serde wants"
)]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}
