//! What is asked for.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use serde::{Deserialize, Serialize};

/// What an exchange asks for, as typed facts that a policy can judge.
///
/// Facts are built by our own parsers and detectors. No prompt text enters them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Action {
    /// The action's name within its protocol, such as `messages.create`.
    pub name: Cow<'static, str>,
    /// The facts, by name.
    #[serde(flatten)]
    pub facts: BTreeMap<Cow<'static, str>, Fact>,
}

impl Action {
    /// An action without facts.
    pub fn new(name: impl Into<Cow<'static, str>>) -> Self {
        Self {
            name: name.into(),
            facts: BTreeMap::new(),
        }
    }

    /// The same action with one more fact.
    #[must_use]
    pub fn with(mut self, name: &'static str, fact: impl Into<Fact>) -> Self {
        self.facts.insert(Cow::Borrowed(name), fact.into());
        self
    }

    /// The fact of this name.
    pub fn fact(&self, name: &str) -> Option<&Fact> {
        self.facts.get(name)
    }

    /// The fact of this name, if it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        match self.fact(name) {
            Some(Fact::Text(text)) => Some(text),
            _ => None,
        }
    }

    /// Whether the fact of this name is `true`.
    pub fn is(&self, name: &str) -> bool {
        matches!(self.fact(name), Some(Fact::Bool(true)))
    }
}

/// One fact about an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Fact {
    /// Yes or no.
    Bool(bool),
    /// A count or size.
    Long(i64),
    /// A name.
    Text(String),
    /// Several names, each once.
    Set(BTreeSet<String>),
}

impl From<bool> for Fact {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<i64> for Fact {
    fn from(value: i64) -> Self {
        Self::Long(value)
    }
}

impl From<usize> for Fact {
    fn from(value: usize) -> Self {
        Self::Long(i64::try_from(value).unwrap_or(i64::MAX))
    }
}

impl From<&str> for Fact {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Fact {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<BTreeSet<String>> for Fact {
    fn from(value: BTreeSet<String>) -> Self {
        Self::Set(value)
    }
}
