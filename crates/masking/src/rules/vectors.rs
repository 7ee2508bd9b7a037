//! What rules must show before they are used: that they find what they say they find, and nothing
//! in a text that is masked already.

use crate::{
    engine::{Engine, Rule, rule::Shape},
    json,
    profile::Profile,
    rules::{
        error::RuleError,
        source::{Checked, Place},
    },
};

/// Compiles the rules and runs those that are not trusted.
pub(super) fn check(rules: Vec<Checked>, mistakes: &mut Vec<RuleError>) -> Engine {
    let placeholders: Vec<String> = rules
        .iter()
        .map(|checked| placeholder(&checked.rule))
        .collect();
    let doubtful: Vec<(Place, String)> = rules
        .iter()
        .filter(|checked| !checked.trusted)
        .map(|checked| (checked.place.clone(), checked.rule.id.to_string()))
        .collect();
    let mut compiled = Vec::with_capacity(rules.len());
    for mut checked in rules {
        if !checked.trusted {
            let engine = Engine::new(vec![checked.rule]);
            let mut wrong = on_vectors(&engine, &checked.positive, &checked.negative);
            wrong.extend(on_placeholders(&engine, &placeholders));
            checked.rule = match engine.rules.into_iter().next() {
                Some(rule) => rule,
                None => continue,
            };
            mistakes.extend(wrong.into_iter().map(|reason| checked.mistake(reason)));
        }
        compiled.push(checked.rule);
    }
    let engine = Engine::new(compiled);
    let profile = Profile::all(&engine);
    for (place, id) in doubtful {
        let text = format!("[REDACTED:{id}]");
        if let Some(span) = engine.spans(&profile.on, text.as_bytes(), false).first() {
            let by = &engine.rules[span.rule].id;
            // The rule that is to blame has been told already, unless it is one of this crate.
            if !mistakes
                .iter()
                .any(|mistake| mistake.rule.as_deref() == Some(&**by))
            {
                let reason =
                    format!("its placeholder would be found by rule {by}; it needs another id");
                mistakes.push(place.mistake(&id, reason));
            }
        }
    }
    engine
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

/// Masking what is masked already must change nothing: no rule finds what stands in place of a
/// match, its own or another's, even where the rule's own surroundings are.
fn on_placeholders(engine: &Engine, placeholders: &[String]) -> Option<String> {
    let rule = engine.rules.first()?;
    let profile = Profile::all(engine);
    let own = placeholder(rule);
    let all = placeholders.iter();
    // Values behind a key are looked at as a whole, so one placeholder is as good as another.
    let texts: Vec<(&String, String)> = match rule.shape {
        Shape::Token { .. } => all
            .map(|text| (text, text.clone()))
            .chain(literals(rule).map(|literal| (&own, format!("{literal}{own}"))))
            .collect(),
        Shape::Value { .. } => {
            let near = rule
                .keywords
                .first()
                .map(|word| String::from_utf8_lossy(word));
            let near = near.unwrap_or_default();
            all.map(|text| (text, format!("{near} {text}"))).collect()
        }
        Shape::Assignment { .. } | Shape::JsonKey { .. } => literals(rule)
            .flat_map(|key| [format!("{key}={own}"), format!("\"{key}\":\"{own}\"")])
            .map(|text| (&own, text))
            .collect(),
        Shape::UserInfo => vec![(&own, format!("x://u:{own}@h"))],
        Shape::PrivateKey => vec![(&own, format!("-----BEGIN PRIVATE KEY-----\n{own}"))],
        Shape::Email => vec![(&own, format!("{own}@{own}"))],
    };
    texts
        .iter()
        .find(|(_, text)| !engine.spans(&profile.on, text.as_bytes(), true).is_empty())
        .map(|(text, _)| format!("it finds the placeholder {text} in a masked text"))
}

fn literals(rule: &Rule) -> impl Iterator<Item = std::borrow::Cow<'_, str>> {
    rule.literals
        .iter()
        .map(|literal| String::from_utf8_lossy(literal))
}

fn placeholder(rule: &Rule) -> String {
    String::from_utf8_lossy(&rule.placeholder).into_owned()
}
