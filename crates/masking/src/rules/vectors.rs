//! The test vectors of rules, run before the rules are used.

use std::collections::HashMap;

use crate::{
    engine::{Engine, rule::Shape},
    json,
    profile::Profile,
    rules::{error::RuleError, source::Checked},
};

/// Checks the rules against their vectors and against each other, and compiles them.
pub(crate) fn check_all(rules: Vec<Checked>, mistakes: &mut Vec<RuleError>) -> Engine {
    let mut alone = Vec::with_capacity(rules.len());
    let mut known: HashMap<String, String> = HashMap::new();
    for Checked {
        rule,
        file,
        line,
        positive,
        negative,
    } in rules
    {
        let id = rule.id.clone();
        let mut wrong = |reason| {
            let (rule, line) = (Some(id.to_string()), Some(line));
            mistakes.push(RuleError {
                file: file.clone(),
                line,
                rule,
                reason,
            });
        };
        let here = format!("{file}:{line}");
        if let Some(there) = known.insert(id.to_string(), here) {
            wrong(format!("a rule of this id is already at {there}"));
        }
        let engine = Engine::new(vec![rule]);
        for (number, vector) in positive.iter().enumerate() {
            if matches(&engine, vector) == 0 {
                wrong(format!("positive vector {} is not found", number + 1));
            }
        }
        for (number, vector) in negative.iter().enumerate() {
            if matches(&engine, vector) != 0 {
                wrong(format!("negative vector {} is found", number + 1));
            }
        }
        alone.push((engine, file, line));
    }
    let placeholders: Vec<String> = alone
        .iter()
        .flat_map(|(engine, ..)| &engine.rules)
        .map(|rule| String::from_utf8_lossy(&rule.placeholder).into_owned())
        .collect();
    for (engine, file, line) in &alone {
        let mut surroundings = vec![(String::new(), "")];
        for rule in &engine.rules {
            surroundings.extend(rule.literals.iter().flat_map(|literal| {
                let literal = String::from_utf8_lossy(literal);
                match rule.shape {
                    Shape::Token { .. } => vec![(literal.into_owned(), "")],
                    Shape::Assignment { .. } | Shape::JsonKey { .. } => {
                        vec![
                            (format!("{literal}="), ""),
                            (format!("\"{literal}\":\""), "\""),
                        ]
                    }
                    Shape::Value { .. } | Shape::Email => Vec::new(),
                    Shape::UserInfo => vec![(format!("x{literal}u:"), "@h")],
                    Shape::PrivateKey => vec![(format!("{literal}PRIVATE KEY-----\n"), "")],
                }
            }));
        }
        let found = placeholders.iter().find(|placeholder| {
            surroundings.iter().any(|(before, after)| {
                let text = format!("{before}{placeholder}{after}");
                !engine
                    .spans(&Profile::all(engine).on, text.as_bytes(), true)
                    .is_empty()
            })
        });
        if let Some(placeholder) = found {
            let rule = engine.rules.first().map(|rule| rule.id.to_string());
            let reason = format!("it finds the placeholder {placeholder} in a masked text");
            mistakes.push(RuleError {
                file: file.clone(),
                line: Some(*line),
                rule,
                reason,
            });
        }
    }
    Engine::new(
        alone
            .into_iter()
            .flat_map(|(engine, ..)| engine.rules)
            .collect(),
    )
}

fn matches(engine: &Engine, vector: &str) -> usize {
    let member = engine
        .rules
        .iter()
        .any(|rule| matches!(rule.shape, Shape::JsonKey { .. }));
    let profile = Profile::all(engine);
    if member {
        // The rule is about the structure of documents, so its vectors are documents.
        return json::scan(engine, &profile, vector.as_bytes(), &[])
            .map_or(0, |scanned| scanned.edits.len());
    }
    engine.spans(&profile.on, vector.as_bytes(), false).len()
}
