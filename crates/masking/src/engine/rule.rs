//! A rule that has passed its checks.

use std::sync::Arc;

use zeroize::Zeroizing;

use crate::engine::{
    class::{self, Class, WORD},
    look_back::LookBack,
    pattern::{Pattern, Reach},
    swallow::Swallow,
    validate::Validator,
    window::{Ahead, Window},
};

/// The longest literal.
pub(crate) const MAX_LITERAL: usize = 32;
/// A body is judged by at most so many bytes; whatever goes on beyond them is swallowed.
pub(crate) const CAP: usize = 112;

/// The tag of rules that give way to those that tell more of the same value.
pub(crate) const GENERIC: &str = "generic";
/// The tag of rules whose literals stand in the middle of a value.
pub(crate) const MIDDLE: &str = "middle";

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
    /// With `apart`, it is no part of a longer number, version or name either.
    Value { left: Left, apart: bool },
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
                .pattern
                .as_ref()
                .is_none_or(|pattern| pattern.fits(head))
            && self.validates(head)
    }

    /// Whether the validators accept a body that is right otherwise.
    pub(crate) fn validates(&self, body: &[u8]) -> bool {
        let accepted = |body: &[u8]| {
            let mut validators = self.validate.iter();
            validators.all(|validator| validator.accepts(body))
        };
        if self.pattern.is_some() || !self.class.is_written_in_addresses() {
            return accepted(body);
        }
        match body.contains(&b'%') {
            true => accepted(&Zeroizing::new(class::signs_read(body))),
            false => accepted(body),
        }
    }

    /// How far a body reaches that begins at `at`.
    pub(crate) fn reach(&self, window: &Window<'_>, at: usize) -> Reach {
        if let Some(pattern) = &self.pattern {
            return pattern.longest(window, at);
        }
        // One byte beyond the maximum tells that a body is too long.
        let most = self.max.map_or(CAP, |max| max + 1);
        let rest = window.bytes.get(at..).unwrap_or_default();
        let (run, is_open) = if self.max.is_some() {
            (self.class.run(&rest[..rest.len().min(most)]), false)
        } else {
            // A sign of an address may lie across the end of what is looked at.
            self.class.run_in_address(&rest[..rest.len().min(most + 2)])
        };
        let run = run.min(most);
        let next = window.ahead(at + run);
        if run < most && (next == Ahead::NotYet || (is_open && !window.end)) {
            return Reach::NotYet;
        }
        // With a maximum the body must end there: a longer one is something else.
        let ends = self
            .max
            .is_none_or(|max| run <= max && !matches!(next, Ahead::Byte(next) if WORD.has(next)));
        if ends && run >= self.min {
            Reach::End(at + run)
        } else {
            Reach::No
        }
    }

    /// What else belongs to a body of this length.
    pub(crate) fn goes_on(&self, length: usize) -> Option<Swallow> {
        (self.pattern.is_none() && self.max.is_none() && length == CAP)
            .then_some(Swallow::Run(self.class))
    }

    /// Whether it finds what is named a secret, whoever's it is.
    pub(crate) fn is_generic(&self) -> bool {
        self.tags.iter().any(|tag| tag == GENERIC)
    }

    /// Whether a keyword of the rule stands before `at`, if it has any.
    pub(crate) fn in_context(&self, window: &Window<'_>, at: usize) -> bool {
        self.keywords.is_empty() || {
            let near = LookBack::new(window, at, matches!(self.shape, Shape::Value { .. }));
            self.keywords.iter().any(|word| near.has(word))
        }
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
