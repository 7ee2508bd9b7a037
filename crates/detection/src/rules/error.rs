//! What is wrong with rules.

use std::fmt;

/// Rules cannot be used. Names every mistake that was found, not only the first.
#[derive(Debug, thiserror::Error)]
pub struct BuildError {
    mistakes: Vec<RuleError>,
}

/// One mistake in one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleError {
    /// The name that the caller gave the rules, such as a path.
    pub file: String,
    /// The line on which the rule begins, if that is known.
    pub line: Option<usize>,
    /// The id of the rule, if it has one.
    pub rule: Option<String>,
    /// What is wrong.
    pub reason: String,
}

impl BuildError {
    pub(crate) fn new(mistakes: Vec<RuleError>) -> Self {
        Self { mistakes }
    }

    /// The mistakes, in the order of the rules.
    pub fn mistakes(&self) -> &[RuleError] {
        &self.mistakes
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mistakes[..] {
            [only] => write!(f, "unusable detector: {only}"),
            all => {
                write!(f, "{} mistakes in detectors", all.len())?;
                all.iter().try_for_each(|mistake| write!(f, "; {mistake}"))
            }
        }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(rule) = &self.rule {
            write!(f, ": detector {rule}")?;
        }
        write!(f, ": {}", self.reason)
    }
}
