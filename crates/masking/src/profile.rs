//! What becomes of what is found.

use tollbook_exchange::Operator;

use crate::engine::{Engine, Rule, Selection};

/// Which rules count, and what takes the place of what each of them finds.
#[derive(Clone, Debug)]
pub(crate) struct Profile {
    pub on: Selection,
    /// By the rule's index.
    operators: Vec<Operator>,
}

impl Profile {
    /// Every rule, and what it finds is redacted.
    pub(crate) fn all(engine: &Engine) -> Self {
        Self {
            on: (0..engine.rules.len()).collect(),
            operators: vec![Operator::Redact; engine.rules.len()],
        }
    }

    /// What is done with what a rule finds.
    pub(crate) fn operator(&self, rule: usize) -> Operator {
        self.operators
            .get(rule)
            .copied()
            .unwrap_or(Operator::Redact)
    }

    /// Writes what takes the place of a match.
    pub(crate) fn write(&self, rule: &Rule, index: usize, value: &[u8], out: &mut Vec<u8>) {
        let _ = (self.operator(index), value);
        out.extend_from_slice(&rule.placeholder);
    }
}
