//! A rule that has passed its checks.

use std::sync::Arc;

use crate::engine::{
    class::Class,
    pattern::Pattern,
    validate::Validator,
    window::{LOOK_BACK, Window},
};

/// The longest literal.
pub(crate) const MAX_LITERAL: usize = 32;
/// A body is judged by at most so many bytes; whatever goes on beyond them is swallowed.
pub(crate) const CAP: usize = 112;

/// What to look for and what it must look like.
#[derive(Debug)]
pub(crate) struct Rule {
    pub id: Arc<str>,
    pub description: String,
    pub source: String,
    pub kind: Kind,
    /// What profiles may choose it by.
    pub tags: Vec<String>,
    pub confidence: Confidence,
    /// What takes the place of a match.
    pub placeholder: Vec<u8>,
    pub shape: Shape,
    /// What a match begins with, or for values, the keys they stand under.
    pub literals: Vec<Vec<u8>>,
    pub class: &'static Class,
    pub min: usize,
    /// Without a maximum a body goes on for as long as its class does.
    pub max: Option<usize>,
    /// In place of a class and its bounds.
    pub pattern: Option<Pattern>,
    pub validate: Vec<Validator>,
    /// One of these, in lower case, must stand in the look-back.
    pub keywords: Vec<Vec<u8>>,
}

/// What a rule finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Kind {
    /// What gives access: a key, a token, a password.
    #[default]
    Secret,
    /// What tells who somebody is.
    Personal,
}

/// How sure a rule is of what it finds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Confidence {
    /// Other things look the same.
    Low,
    /// Little else looks the same where it stands.
    Medium,
    /// Nothing else looks the same, or a checksum tells.
    #[default]
    High,
}

/// How a rule's parts hang together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A literal and a body. With `keep` the literal itself stays.
    Token { left: Left, keep: bool },
    /// The value behind a key and `=` or `:`.
    Assignment { quotes: Quotes },
    /// The value of a member of a JSON object. With `deep`, everything in the value.
    JsonKey { deep: bool },
    /// The password in `scheme://user:password@host`.
    UserInfo,
    /// The PEM form of a private key (RFC 7468).
    PrivateKey,
    /// A value that is known by its own form, and by keywords near it if the rule has any.
    Value { left: Left },
    /// An address of electronic mail.
    Email,
}

/// What must stand before a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing that is part of a word.
    Boundary,
    /// Anything.
    Any,
    /// A digit.
    Digit,
}

/// Whether a value must stand in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quotes {
    Either,
    Required,
    Absent,
}

impl Rule {
    /// Whether a whole body is what the rule looks for.
    pub(crate) fn accepts(&self, body: &[u8]) -> bool {
        body.len() >= self.min
            && self.max.is_none_or(|max| body.len() <= max)
            && self.judges(&body[..body.len().min(CAP)])
    }

    /// Whether the first bytes of a body are what the rule looks for, whatever their number.
    pub(crate) fn judges(&self, head: &[u8]) -> bool {
        self.class.has_all(head)
            && self
                .validate
                .iter()
                .all(|validator| validator.accepts(head))
    }

    /// Whether a keyword of the rule stands before `at`, if it has any.
    pub(crate) fn in_context(&self, window: &Window<'_>, at: usize) -> bool {
        if self.keywords.is_empty() {
            return true;
        }
        let mut near: Vec<u8> = (1..=LOOK_BACK)
            .map_while(|back| window.before(at, back))
            .map(|byte| byte.to_ascii_lowercase())
            .collect();
        near.reverse();
        self.keywords
            .iter()
            .any(|word| memchr::memmem::find(&near, word).is_some())
    }
}

impl Left {
    pub(crate) fn fits(self, window: &Window<'_>, at: usize) -> bool {
        match self {
            Self::Boundary => window.is_boundary(at),
            Self::Any => true,
            Self::Digit => window
                .before(at, 1)
                .is_some_and(|byte| byte.is_ascii_digit()),
        }
    }
}
