//! What a rule costs, and why.

use crate::{
    Masker,
    engine::{
        HOLD_BACK,
        lane::{self, Lane},
        rule::{CAP, Rule, Shape},
    },
};

/// How a rule is looked for, and so what it costs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuleCost {
    /// The kind of places in which most of its matches begin; finding these costs the same for all
    /// rules together.
    pub lane: &'static str,
    /// What the rule is told by at such a place.
    pub tried: &'static str,
    /// How many literals, keys or keywords it has.
    pub words: usize,
    /// The most bytes that are looked at from the beginning of a match on. A match may be longer.
    pub reach: usize,
}

impl Masker {
    /// What each rule costs, in the order of [`Masker::rules`].
    pub fn costs(&self) -> impl Iterator<Item = RuleCost> {
        self.engine.rules.iter().map(cost)
    }
}

fn cost(rule: &Rule) -> RuleCost {
    let longest = rule.literals.iter().map(Vec::len).max().unwrap_or(0);
    let body = rule.max.map_or(CAP, |max| max + 1);
    let (reach, tried) = match rule.shape {
        Shape::Token { .. } => (longest + body, "where one of its literals stands"),
        Shape::Assignment { .. } => (1 + body, "behind one of its keys"),
        Shape::JsonKey { .. } => (1 + body, "in a member of one of its names"),
        Shape::UserInfo => (body, "at each `:` behind `//`"),
        Shape::PrivateKey => (longest + body, "where a PEM block begins"),
        Shape::Value { .. } if rule.keywords.is_empty() => {
            (body, "at each place whose first bytes fit")
        }
        Shape::Value { .. } => (
            body,
            "at each place whose first bytes fit and that one of its keywords stands before",
        ),
        Shape::Email => (HOLD_BACK, "before each `@`"),
    };
    RuleCost {
        lane: lane::of(rule).map_or("none", name),
        tried,
        words: rule.literals.len() + rule.keywords.len(),
        reach,
    }
}

const fn name(lane: Lane) -> &'static str {
    match lane {
        Lane::Run => "run",
        Lane::Literal => "literal",
        Lane::Separator => "separator",
        Lane::User => "user",
        Lane::Digit => "digit",
        Lane::Upper => "upper",
        Lane::Hex => "hex",
        Lane::At => "at",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_a_lane_and_a_bounded_reach() {
        let masker = Masker::builtin();
        for (rule, cost) in masker.rules().zip(masker.costs()) {
            assert_ne!(cost.lane, "none", "{}", rule.id);
            assert!(
                (1..=HOLD_BACK).contains(&cost.reach),
                "{}: {cost:?}",
                rule.id
            );
        }
    }
}
