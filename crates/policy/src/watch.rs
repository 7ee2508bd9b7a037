//! What a policy asks of time and of lists, beyond what Cedar can work out.
//!
//! Cedar knows no time zones, and has no `like` over the elements of a set. So policies name the
//! window or the pattern they mean, and for each question the engine says which of the named ones
//! hold: `context.windows.contains("mon-fri 08:00-18:00 Europe/Berlin")`,
//! `context.every.contains("models: claude-haiku-*")`, `context.some.contains("tools: mcp__*")`.
//! They must be written out, so that a misspelt one is found when the policy is loaded.

use std::{collections::BTreeMap, sync::Arc};

use jiff::Timestamp;
use serde_json::Value;
use tollbook_exchange::{Action, Fact, Finding};

use crate::{
    glob::Glob,
    nearest::nearest,
    request::masked,
    vocabulary::{FactKind, Vocabulary},
    window::Window,
};

/// The facts that hold what is watched.
const FACTS: [&str; 3] = ["windows", "every", "some"];

/// Something named by a policy that either holds for a question or not.
#[derive(Debug)]
pub(crate) struct Watch {
    /// As the policy writes it.
    pub(crate) literal: String,
    pub(crate) kind: WatchKind,
}

#[derive(Debug)]
pub(crate) enum WatchKind {
    Window(Window),
    Every(Patterns),
    Some(Patterns),
}

/// Names of a list, and the patterns they are held against.
#[derive(Debug)]
pub(crate) struct Patterns {
    /// The list's name and, where there is one, that of the same fact for a single name.
    facts: Vec<String>,
    globs: Vec<Glob>,
}

/// What all policies watch, by fact and text.
pub(crate) type Pool = BTreeMap<(String, String), Arc<Watch>>;

/// What is wrong with how a policy asks, and the word it says it with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) word: String,
    pub(crate) message: String,
}

impl Watch {
    /// What the policy with these `conditions`, in Cedar's JSON form, watches. What other policies
    /// watch too is taken from `pool`.
    pub(crate) fn in_conditions(
        conditions: &Value,
        vocabulary: &Vocabulary,
        pool: &mut Pool,
        wrong: &mut Vec<Wrong>,
    ) -> Vec<Arc<Self>> {
        let mut found = Vec::new();
        walk(conditions, &mut |fact, literal| {
            let Some(literal) = literal else {
                wrong.push(Wrong {
                    word: fact.to_owned(),
                    message: format!(
                        "`context.{fact}` is only there for `.contains(\"…\")` with the text written out"
                    ),
                });
                return;
            };
            let key = (fact.to_owned(), literal.to_owned());
            if let Some(watch) = pool.get(&key) {
                found.push(Arc::clone(watch));
                return;
            }
            match Self::parse(fact, literal, vocabulary) {
                Ok(watch) => {
                    let watch = Arc::new(watch);
                    found.push(Arc::clone(&watch));
                    pool.insert(key, watch);
                }
                Err(message) => wrong.push(Wrong {
                    word: literal.to_owned(),
                    message,
                }),
            }
        });
        found
    }

    fn parse(fact: &str, literal: &str, vocabulary: &Vocabulary) -> Result<Self, String> {
        let kind = match fact {
            "windows" => WatchKind::Window(Window::parse(literal)?),
            "every" => WatchKind::Every(Patterns::parse(literal, vocabulary)?),
            _ => WatchKind::Some(Patterns::parse(literal, vocabulary)?),
        };
        Ok(Self {
            literal: literal.to_owned(),
            kind,
        })
    }

    /// Whether it holds for a question.
    pub(crate) fn holds(&self, action: &Action, findings: &[Finding], at: Timestamp) -> bool {
        match &self.kind {
            WatchKind::Window(window) => window.is_open(at),
            WatchKind::Every(patterns) => (patterns.names(action, findings))
                .is_some_and(|names| names.iter().all(|name| patterns.matches(name))),
            WatchKind::Some(patterns) => (patterns.names(action, findings))
                .is_some_and(|names| names.iter().any(|name| patterns.matches(name))),
        }
    }
}

impl Patterns {
    /// Reads `<list>: <pattern> <pattern> …`.
    fn parse(text: &str, vocabulary: &Vocabulary) -> Result<Self, String> {
        let example = "write `models: claude-haiku-* claude-sonnet-4-5`";
        let (list, patterns) = text
            .split_once(':')
            .ok_or_else(|| format!("`{text}` names no list; {example}"))?;
        let list = list.trim();
        let lists = || {
            let all = vocabulary.facts();
            all.filter(|(name, kind)| *kind == FactKind::Set && !FACTS.contains(name))
        };
        if !lists().any(|(name, _)| name == list) {
            let near = nearest(list, lists().map(|(name, _)| name)).unwrap_or_default();
            return Err(format!("there is no list `{list}`: did you mean `{near}`?"));
        }
        let globs: Vec<Glob> = patterns.split_whitespace().map(Glob::new).collect();
        if globs.is_empty() {
            return Err(format!("`{text}` names no pattern; {example}"));
        }
        let one = list.strip_suffix('s').filter(|one| {
            let mut facts = vocabulary.facts();
            facts.any(|(name, kind)| name == *one && kind == FactKind::Text)
        });
        let facts = [Some(list), one].into_iter().flatten();
        Ok(Self {
            facts: facts.map(str::to_owned).collect(),
            globs,
        })
    }

    fn matches(&self, name: &str) -> bool {
        self.globs.iter().any(|glob| glob.matches(name))
    }

    /// The names that are held against the patterns; `None` where no such fact is there.
    fn names<'a>(&self, action: &'a Action, findings: &'a [Finding]) -> Option<Vec<&'a str>> {
        let mut names: Option<Vec<&str>> = None;
        for fact in &self.facts {
            if fact == "findings" {
                let rules = masked(findings).map(|finding| finding.rule.as_str());
                names.get_or_insert_default().extend(rules);
                continue;
            }
            match action.fact(fact) {
                Some(Fact::Set(these)) => {
                    let these = these.iter().map(String::as_str);
                    names.get_or_insert_default().extend(these);
                }
                Some(Fact::Text(name)) => names.get_or_insert_default().push(name),
                _ => {}
            }
        }
        names
    }
}

/// Calls `found` with every use of a watched fact: with the text it is asked for, or without one
/// where it is used in any other way.
fn walk(expression: &Value, found: &mut impl FnMut(&str, Option<&str>)) {
    match expression {
        Value::Array(parts) => parts.iter().for_each(|part| walk(part, found)),
        Value::Object(parts) => {
            for (operator, operands) in parts {
                let asks = matches!(
                    operator.as_str(),
                    "contains" | "containsAny" | "containsAll"
                );
                if let Some(fact) = operands.get("left").and_then(watched).filter(|_| asks) {
                    match texts(operands.get("right")) {
                        Some(texts) => texts.into_iter().for_each(|text| found(fact, Some(text))),
                        None => found(fact, None),
                    }
                    continue;
                }
                if let Some(fact) = watched(expression) {
                    found(fact, None);
                }
                walk(operands, found);
            }
        }
        _ => {}
    }
}

/// The watched fact that this expression reads.
fn watched(expression: &Value) -> Option<&str> {
    let name = expression.pointer("/./attr")?.as_str()?;
    FACTS.contains(&name).then_some(name)
}

/// The text or texts that are written out here.
fn texts<'a>(expression: Option<&'a Value>) -> Option<Vec<&'a str>> {
    let expression = expression?;
    let text = |expression: &'a Value| expression.get("Value")?.as_str();
    if let Some(text) = text(expression) {
        return Some(vec![text]);
    }
    let elements = expression.get("Set")?.as_array()?;
    elements.iter().map(text).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use cedar_policy::Policy;
    use tollbook_exchange::Operator;

    use super::*;

    fn watches(condition: &str) -> Result<Vec<Arc<Watch>>, Vec<String>> {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        let parts = Policy::parse(None, text).unwrap().to_json().unwrap();
        let mut wrong = Vec::new();
        let vocabulary = &*Vocabulary::of(&[]).unwrap();
        let conditions = &parts["conditions"];
        let found = Watch::in_conditions(conditions, vocabulary, &mut Pool::new(), &mut wrong);
        if wrong.is_empty() {
            return Ok(found);
        }
        Err(wrong.into_iter().map(|wrong| wrong.message).collect())
    }

    fn holds(condition: &str, action: &Action, findings: &[Finding]) -> bool {
        let found = watches(condition).unwrap();
        assert_eq!(found.len(), 1);
        found[0].holds(action, findings, Timestamp::UNIX_EPOCH)
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn every_and_some_are_about_elements() {
        let every = r#"context.every.contains("tools: read_* grep")"#;
        let some = r#"context.some.contains("tools: read_* grep")"#;
        for (tools, expected) in [
            (Some(&["grep", "read_file"][..]), (true, true)),
            (Some(&["grep", "write"][..]), (false, true)),
            (Some(&["write"][..]), (false, false)),
            (Some(&[][..]), (true, false)),
            (None, (false, false)),
        ] {
            let mut action = Action::new("messages.create");
            if let Some(tools) = tools {
                action = action.with("tools", set(tools));
            }
            let got = (holds(every, &action, &[]), holds(some, &action, &[]));
            assert_eq!(got, expected, "{tools:?}");
        }
    }

    #[test]
    fn a_list_covers_the_single_name_too() {
        let every = r#"context.every.contains("models: claude-haiku-*")"#;
        let batch = Action::new("batches.create").with("models", set(&["claude-haiku-4-5"]));
        assert!(holds(every, &batch, &[]));
        let other = batch.with("model", "claude-opus-4-5");
        assert!(!holds(every, &other, &[]));
        let call = Action::new("tool.call").with("tool", "mcp__a__b");
        assert!(holds(
            r#"context.some.contains("tools: mcp__*")"#,
            &call,
            &[]
        ));
    }

    #[test]
    fn findings_are_a_list_that_is_always_there() {
        let found = [Finding::new("aws-key", "request.body", Operator::Redact, 1)];
        let action = Action::new("messages.create");
        let some = r#"context.some.contains("findings: aws-*")"#;
        assert!(holds(some, &action, &found));
        assert!(!holds(some, &action, &[]));
        let flagged = [Finding::new("aws-key", "request.body", Operator::Flag, 1)];
        assert!(!holds(some, &action, &flagged), "detectors speak by labels");
        assert!(holds(
            r#"context.every.contains("findings: x")"#,
            &action,
            &[]
        ));
    }

    #[test]
    fn whatever_is_not_written_out_is_a_mistake() {
        let only = "is only there for `.contains(\"…\")` with the text written out";
        for (condition, message) in [
            (r#"context.windows == ["x"]"#, only),
            (
                r#"context has tool && context.every.contains(context.tool)"#,
                only,
            ),
            (r#"context.some.containsAny(context.windows)"#, only),
            (r#"["tools: x"].containsAny(context.some)"#, only),
            (r#"context["some"].isEmpty()"#, only),
            (
                r#"context.every.contains("tolos: x")"#,
                "no list `tolos`: did you mean `tools`?",
            ),
            (
                r#"context.every.contains("model: x")"#,
                "no list `model`: did you mean `models`?",
            ),
            (r#"context.every.contains("tools")"#, "names no list"),
            (r#"context.every.contains("tools: ")"#, "names no pattern"),
            (
                r#"context.windows.containsAny(["mon 8-9 UTC"])"#,
                "no time of day",
            ),
        ] {
            let wrong = watches(condition).unwrap_err();
            assert!(wrong[0].contains(message), "{condition}: {wrong:?}");
        }
        let all = r#"context.windows.containsAny(["mon 08:00-09:00 UTC", "tue 08:00-09:00 UTC"])"#;
        assert_eq!(watches(all).unwrap().len(), 2);
    }
}
