//! What a rule costs, and why.

use crate::engine::{
    lane::{self, Lane},
    rule::{CAP, Rule, Shape},
};

/// How a rule is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Explained {
    /// The name of the lane in which most of its matches begin.
    pub lane: &'static str,
    /// The most bytes that are looked at from the beginning of a match on. A match may be longer.
    pub reach: usize,
    /// How often the rule is tried.
    pub cost: &'static str,
}

/// How a rule is looked for.
pub(crate) fn explain(rule: &Rule) -> Explained {
    let longest = rule.literals.iter().map(Vec::len).max().unwrap_or(0);
    let body = match rule.max {
        Some(max) => max + 1,
        None => CAP,
    };
    let (reach, cost) = match rule.shape {
        Shape::Token { .. } => (longest + body, "tried where one of its literals stands"),
        Shape::Assignment { .. } => (1 + body, "tried behind one of its keys"),
        Shape::JsonKey { .. } => (
            1 + body,
            "tried behind one of its keys; costs nothing where a document's structure is known",
        ),
        Shape::UserInfo => (body, "tried at each `:` behind `//`"),
        Shape::PrivateKey => (longest + body, "tried where a PEM block begins"),
        Shape::Value { .. } if rule.keywords.is_empty() => {
            (body, "tried at each place of its lane")
        }
        Shape::Value { .. } => (
            body,
            "tried at each place of its lane; looks for its keywords where its form is found",
        ),
        Shape::Email => (CAP, "tried before each `@`"),
    };
    Explained {
        lane: lane::of(rule).map_or("none", name),
        reach,
        cost,
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
