//! Building a profile against the rules that a masker knows.

use std::{fmt, str::FromStr, sync::Arc};

use tollbook_exchange::Operator;

use super::{Profile, allows};
use crate::{
    Confidence, Kind, Masker,
    engine::{Rule, Selection},
    operator::{MaskKey, Surrogate},
};

/// What a profile begins with. Everything that counts in it is redacted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Base {
    /// All secrets, and the personal data of whose rules one can be sure enough (confidence high
    /// and medium).
    #[default]
    Default,
    /// All secrets and no personal data.
    Secrets,
    /// Every rule.
    Strict,
    /// No rule.
    None,
}

/// Collects what a profile is to do. See [`Masker::profile`].
#[derive(Clone, Debug)]
#[must_use]
pub struct ProfileBuilder {
    masker: Masker,
    on: Selection,
    operators: Vec<Operator>,
    key: Option<MaskKey>,
    mistakes: Vec<String>,
}

/// Everything that is wrong with a profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileError {
    mistakes: Vec<String>,
}

impl Base {
    /// Every base, by its name.
    pub const ALL: [(&str, Self); 4] = [
        ("default", Self::Default),
        ("secrets", Self::Secrets),
        ("strict", Self::Strict),
        ("none", Self::None),
    ];

    /// Whether a rule counts.
    fn has(self, rule: &Rule) -> bool {
        match self {
            Self::Default => rule.kind == Kind::Secret || rule.confidence >= Confidence::Medium,
            Self::Secrets => rule.kind == Kind::Secret,
            Self::Strict => true,
            Self::None => false,
        }
    }

    pub(crate) fn profile(self, rules: &[Rule]) -> Profile {
        let on = selected(rules, |rule| self.has(rule));
        Profile::new(on, vec![Operator::Redact; rules.len()], None)
    }
}

impl FromStr for Base {
    type Err = ProfileError;

    fn from_str(name: &str) -> Result<Self, ProfileError> {
        let known = Self::ALL.into_iter().find(|(known, _)| *known == name);
        known.map(|(_, base)| base).ok_or_else(|| ProfileError {
            mistakes: vec![unknown("profile", name, Self::ALL.map(|(name, _)| name))],
        })
    }
}

impl ProfileBuilder {
    pub(crate) fn new(masker: Masker, base: Base) -> Self {
        let rules = &masker.engine.rules;
        Self {
            on: selected(rules, |rule| base.has(rule)),
            operators: vec![Operator::Redact; rules.len()],
            key: None,
            mistakes: Vec::new(),
            masker,
        }
    }

    /// The key that hashes and surrogates are made with.
    pub fn key(mut self, key: MaskKey) -> Self {
        self.key = Some(key);
        self
    }

    /// The rule with this id counts, and this is done with what it finds.
    pub fn rule(self, id: &str, operator: Operator) -> Self {
        let engine = Arc::clone(&self.masker.engine);
        let ids = || engine.rules.iter().map(|rule| &*rule.id);
        self.apply("rule", id, ids(), Some(operator), |rule| *rule.id == *id)
    }

    /// All rules with this tag count, and this is done with what they find.
    pub fn tag(self, tag: &str, operator: Operator) -> Self {
        let engine = Arc::clone(&self.masker.engine);
        let tags = engine.rules.iter().flat_map(|rule| &rule.tags);
        let tags = tags.map(String::as_str);
        self.apply("tag", tag, tags, Some(operator), |rule| has_tag(rule, tag))
    }

    /// This is done with what rules of this kind find, as far as they count already.
    pub fn kind(mut self, kind: Kind, operator: Operator) -> Self {
        let engine = Arc::clone(&self.masker.engine);
        for (index, rule) in engine.rules.iter().enumerate() {
            if rule.kind == kind && self.on.has(index) {
                self.set(index, rule, operator);
            }
        }
        self
    }

    /// The rule with this id does not count.
    pub fn without(self, id: &str) -> Self {
        let engine = Arc::clone(&self.masker.engine);
        let ids = engine.rules.iter().map(|rule| &*rule.id);
        self.apply("rule", id, ids, None, |rule| *rule.id == *id)
    }

    /// No rule with this tag counts.
    pub fn without_tag(self, tag: &str) -> Self {
        let engine = Arc::clone(&self.masker.engine);
        let tags = engine.rules.iter().flat_map(|rule| &rule.tags);
        let tags = tags.map(String::as_str);
        self.apply("tag", tag, tags, None, |rule| has_tag(rule, tag))
    }

    /// The masker with this profile. It shares the compiled rules with the one it came from.
    ///
    /// # Errors
    ///
    /// When a name is not known, an operator cannot do what it is asked for, or one needs a key
    /// and there is none. The error names every mistake.
    pub fn build(mut self) -> Result<Masker, ProfileError> {
        let profile = Profile::new(self.on, self.operators, self.key);
        let keyed = [Operator::Hash, Operator::Surrogate];
        if profile.key.is_none() && keyed.into_iter().any(|operator| profile.has(operator)) {
            let message = "hashes and surrogates are made with a key, and there is none";
            self.mistakes.push(message.to_owned());
        }
        if !self.mistakes.is_empty() {
            return Err(ProfileError {
                mistakes: self.mistakes,
            });
        }
        Ok(Masker {
            engine: self.masker.engine,
            profile: Arc::new(profile),
        })
    }

    fn apply<'a>(
        mut self,
        what: &str,
        name: &str,
        known: impl Iterator<Item = &'a str>,
        operator: Option<Operator>,
        means: impl Fn(&Rule) -> bool,
    ) -> Self {
        let engine = Arc::clone(&self.masker.engine);
        let mut any = false;
        for (index, rule) in engine.rules.iter().enumerate() {
            if !means(rule) {
                continue;
            }
            any = true;
            match operator {
                Some(operator) => self.set(index, rule, operator),
                None => self.on = selected_but(&self.on, engine.rules.len(), index),
            }
        }
        if !any {
            self.mistakes.push(unknown(what, name, known));
        }
        self
    }

    fn set(&mut self, index: usize, rule: &Rule, operator: Operator) {
        let id = &rule.id;
        if !allows(rule.kind, operator) {
            self.mistakes.push(format!(
                "`{id}` finds a secret, and `{}` would give it away",
                name(operator)
            ));
        } else if operator == Operator::Surrogate && Surrogate::of(id).is_none() {
            self.mistakes
                .push(format!("there is no surrogate for what `{id}` finds"));
        }
        self.on.add(index);
        self.operators[index] = operator;
    }
}

impl ProfileError {
    /// What is wrong, one text for each mistake.
    pub fn mistakes(&self) -> &[String] {
        &self.mistakes
    }
}

impl fmt::Display for ProfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.mistakes.join("; "))
    }
}

impl std::error::Error for ProfileError {}

/// The operators by their names in configurations and records.
pub const OPERATORS: [(&str, Operator); 8] = [
    ("redact", Operator::Redact),
    ("partial", Operator::Partial),
    ("hash", Operator::Hash),
    ("token", Operator::Token),
    ("surrogate", Operator::Surrogate),
    ("drop", Operator::Drop),
    ("block", Operator::Block),
    ("flag", Operator::Flag),
];

fn name(operator: Operator) -> &'static str {
    let found = OPERATORS.iter().find(|(_, known)| *known == operator);
    found.map_or("this", |(name, _)| name)
}

fn has_tag(rule: &Rule, tag: &str) -> bool {
    rule.tags.iter().any(|own| own == tag)
}

fn selected(rules: &[Rule], means: impl Fn(&Rule) -> bool) -> Selection {
    let rules = rules.iter().enumerate();
    rules
        .filter(|(_, rule)| means(rule))
        .map(|(index, _)| index)
        .collect()
}

fn selected_but(on: &Selection, count: usize, but: usize) -> Selection {
    (0..count)
        .filter(|rule| *rule != but && on.has(*rule))
        .collect()
}

fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    let distance = |known: &str| strsim::osa_distance(name, known);
    let nearest = known
        .into_iter()
        .min_by_key(|known| (distance(known), *known))
        .filter(|known| distance(known) <= 2 + name.len() / 4);
    match nearest {
        Some(nearest) => format!("there is no {what} `{name}`; did you mean `{nearest}`?"),
        None => format!("there is no {what} `{name}`"),
    }
}
