//! What rules must show before they are used: that they find what they say they find, and nothing
//! in a text that is masked already.

use crate::{
    engine::{Engine, Rule, rule::Shape},
    json,
    profile::Profile,
    rules::{error::RuleError, source::Checked},
};

/// Compiles the rules and runs those that are not trusted.
pub(super) fn check(rules: Vec<Checked>, mistakes: &mut Vec<RuleError>) -> Engine {
    let mut compiled = Vec::with_capacity(rules.len());
    for mut checked in rules {
        if !checked.trusted {
            let engine = Engine::new(vec![checked.rule]);
            let mut wrong = on_vectors(&engine, &checked.positive, &checked.negative);
            wrong.extend(on_placeholder(&engine));
            checked.rule = match engine.rules.into_iter().next() {
                Some(rule) => rule,
                None => continue,
            };
            mistakes.extend(wrong.into_iter().map(|reason| checked.mistake(reason)));
        }
        compiled.push(checked.rule);
    }
    Engine::new(compiled)
}

/// What is found where it should not be, or not where it should.
fn on_vectors(engine: &Engine, positive: &[String], negative: &[String]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (number, vector) in positive.iter().enumerate() {
        if !finds(engine, vector) {
            wrong.push(format!("positive vector {} is not found", number + 1));
        }
    }
    for (number, vector) in negative.iter().enumerate() {
        if finds(engine, vector) {
            wrong.push(format!("negative vector {} is found", number + 1));
        }
    }
    wrong
}

/// Whether the one rule of the engine finds anything in a text.
pub(super) fn finds(engine: &Engine, text: &str) -> bool {
    let member = engine
        .rules
        .iter()
        .any(|rule| matches!(rule.shape, Shape::JsonKey { .. }));
    let profile = Profile::all(engine);
    if member {
        // The rule is about the structure of documents, so its vectors are documents.
        return json::scan(engine, &profile, text.as_bytes(), &[])
            .is_ok_and(|scanned| !scanned.edits.is_empty());
    }
    !engine.spans(&profile.on, text.as_bytes(), false).is_empty()
}

/// Masking what is masked already must change nothing. The engine finds nothing within a
/// placeholder; a rule must not find one as a whole either, where the rule's own surroundings are.
fn on_placeholder(engine: &Engine) -> Option<String> {
    let rule = engine.rules.first()?;
    let own = String::from_utf8_lossy(&rule.placeholder);
    let texts: Vec<String> = match rule.shape {
        Shape::Token { .. } => literals(rule)
            .map(|literal| format!("{literal}{own}"))
            .collect(),
        Shape::Assignment { .. } | Shape::JsonKey { .. } => literals(rule)
            .flat_map(|key| [format!("{key}={own}"), format!("\"{key}\":\"{own}\"")])
            .collect(),
        Shape::Value { .. } => Vec::new(),
        Shape::UserInfo => vec![format!("x://u:{own}@h")],
        Shape::PrivateKey => vec![format!("-----BEGIN PRIVATE KEY-----\n{own}")],
        Shape::Email => vec![format!("{own}@{own}")],
    };
    let on = Profile::all(engine).on;
    texts
        .iter()
        .any(|text| !engine.spans(&on, text.as_bytes(), true).is_empty())
        .then(|| format!("it finds the placeholder {own} in a masked text"))
}

fn literals(rule: &Rule) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    rule.literals
        .iter()
        .map(|literal| String::from_utf8_lossy(literal))
}
