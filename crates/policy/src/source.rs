//! One file of policies: its text, its rules and where they stand.

use cedar_policy::{Policy, PolicyId, PolicySet};
use miette::Diagnostic;

use crate::{Mistake, nearest::nearest};

/// A named text of Cedar policies.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A policy under the id that its annotation gives it.
pub(crate) struct Rule {
    pub(crate) policy: Policy,
    /// The line it begins at.
    pub(crate) line: usize,
    /// Where in the text it begins.
    at: usize,
}

impl Source {
    /// The rules of the text. Whatever is wrong with it is added to `mistakes`.
    pub(crate) fn rules(&self, mistakes: &mut Vec<Mistake>) -> Vec<Rule> {
        let parsed = match self.text.parse::<PolicySet>() {
            Ok(parsed) => parsed,
            Err(errors) => {
                mistakes.extend(errors.iter().map(|error| self.mistake(error)));
                return Vec::new();
            }
        };
        let mut statements: Vec<Statement> = parsed
            .policies()
            .map(Statement::of_policy)
            .chain(parsed.templates().map(|template| Statement {
                place: place(template.id()),
                text: template.to_cedar(),
                policy: None,
            }))
            .collect();
        statements.sort_by_key(|statement| statement.place);

        let mut rules = Vec::new();
        let mut at = 0;
        for statement in statements {
            at = self.skip_blanks(at);
            let begin = at;
            let line = self.line(begin);
            if self.text[at..].starts_with(&statement.text) {
                at += statement.text.len();
            }
            match statement.policy.map(annotated) {
                Some(Ok(policy)) => rules.push(Rule {
                    policy,
                    line,
                    at: begin,
                }),
                Some(Err(wrong)) => mistakes.extend(
                    wrong
                        .into_iter()
                        .map(|message| Mistake::new(&self.name, Some(line), message)),
                ),
                None => mistakes.push(Mistake::new(
                    &self.name,
                    Some(line),
                    "templates are not available: write the principal and resource out",
                )),
            }
        }
        rules
    }

    /// What Cedar says is wrong, with the line it says it about.
    pub(crate) fn mistake(&self, error: &(impl Diagnostic + ?Sized)) -> Mistake {
        let line = error
            .labels()
            .and_then(|mut labels| labels.next())
            .map(|label| self.line(label.offset()));
        let mut message = error.to_string();
        if let Some(help) = error.help() {
            message = format!("{message}: {help}");
        }
        Mistake::new(&self.name, line, message)
    }

    /// The line at which `rule` says `word` first.
    pub(crate) fn line_of(&self, rule: &Rule, word: &str) -> usize {
        let from = &self.text[rule.at..];
        from.find(word)
            .map_or(rule.line, |found| self.line(rule.at + found))
    }

    fn line(&self, offset: usize) -> usize {
        let before = self.text.as_bytes().iter().take(offset);
        before.filter(|&&byte| byte == b'\n').count() + 1
    }

    /// The first byte from `at` on that is neither white space nor in a comment.
    fn skip_blanks(&self, at: usize) -> usize {
        let mut rest = self.text[at..].trim_start();
        while rest.starts_with("//") {
            rest = rest
                .split_once(['\n', '\r'])
                .map_or("", |(_, rest)| rest)
                .trim_start();
        }
        self.text.len() - rest.len()
    }
}

/// A policy or a template as it stands in the file.
struct Statement {
    place: usize,
    text: String,
    policy: Option<Policy>,
}

impl Statement {
    fn of_policy(policy: &Policy) -> Self {
        Self {
            place: place(policy.id()),
            text: policy.to_cedar().unwrap_or_default(),
            policy: Some(policy.clone()),
        }
    }
}

/// Cedar numbers the policies and templates of a text in their order: `policy0`, `policy1`, …
fn place(id: &PolicyId) -> usize {
    let number: &str = id.as_ref();
    number
        .trim_start_matches("policy")
        .parse()
        .unwrap_or(usize::MAX)
}

/// The policy under the id that it gives itself, or what is wrong with its annotations.
fn annotated(policy: Policy) -> Result<Policy, Vec<String>> {
    let mut wrong: Vec<String> = policy
        .annotations()
        .filter_map(|(name, value)| wrong_annotation(name, value))
        .collect();
    match policy.annotation("id") {
        None => wrong.push("the policy has no @id".to_owned()),
        Some(id) if wrong.is_empty() => return Ok(policy.new_id(PolicyId::new(id))),
        Some(_) => {}
    }
    Err(wrong)
}

fn wrong_annotation(name: &str, value: &str) -> Option<String> {
    match name {
        "id" | "reason" if value.trim().is_empty() => Some(format!("@{name} is empty")),
        "id" | "reason" if value.contains(char::is_control) => {
            Some(format!("@{name} holds a control character"))
        }
        "id" | "reason" => None,
        "approval" | "mode" | "expires" => {
            Some(format!("@{name} is not available in this version"))
        }
        _ => {
            let nearest = nearest(name, ["id", "reason"]).unwrap_or("id");
            Some(format!(
                "unknown annotation @{name}: the nearest known is @{nearest}"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> (Vec<(String, usize)>, Vec<String>) {
        let source = Source {
            name: "a.cedar".to_owned(),
            text: text.to_owned(),
        };
        let mut mistakes = Vec::new();
        let rules = source.rules(&mut mistakes);
        (
            rules
                .iter()
                .map(|rule| (rule.policy.id().to_string(), rule.line))
                .collect(),
            mistakes.iter().map(Mistake::to_string).collect(),
        )
    }

    #[test]
    fn rules_carry_their_own_id_and_line() {
        let (rules, mistakes) = load(
            "// @id(\"a\") permit(principal, action, resource);\n\
             @id(\"a\") permit(principal, action, resource);\n\n\
             @id(\"b\")\nforbid(principal, action, resource)\n  unless { true };\n\
             // the end\n@id(\"c\") permit(principal, action, resource);",
        );
        assert_eq!(mistakes, Vec::<String>::new());
        let rules: Vec<_> = rules
            .iter()
            .map(|(id, line)| (id.as_str(), *line))
            .collect();
        assert_eq!(rules, [("a", 2), ("b", 4), ("c", 8)]);
    }

    #[test]
    fn every_wrong_annotation_is_a_mistake_with_its_line() {
        let (rules, mistakes) = load(
            "permit(principal, action, resource);\n\
             @id(\"a\") @raeson(\"x\") permit(principal, action, resource);\n\
             @id(\"b\") @approval(\"g:2\") forbid(principal, action, resource);\n\
             @id(\"c\") @mode(\"shadow\") forbid(principal, action, resource);\n\
             @id(\"d\") @expires(\"2030\") forbid(principal, action, resource);\n\
             @id permit(principal, action, resource);\n\
             @id(\"t\") permit(principal == ?principal, action, resource);\n\
             @id(\"ok\") permit(principal, action, resource);",
        );
        assert_eq!(rules, [("ok".to_owned(), 8)]);
        assert_eq!(
            mistakes,
            [
                "a.cedar:1: the policy has no @id",
                "a.cedar:2: unknown annotation @raeson: the nearest known is @reason",
                "a.cedar:3: @approval is not available in this version",
                "a.cedar:4: @mode is not available in this version",
                "a.cedar:5: @expires is not available in this version",
                "a.cedar:6: @id is empty",
                "a.cedar:7: templates are not available: write the principal and resource out",
            ]
        );
    }

    #[test]
    fn a_text_that_does_not_parse_is_a_mistake_with_its_line() {
        let (_, mistakes) =
            load("@id(\"a\")\npermit(principal, action, resource)\nwhen { 1 + };\n");
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].starts_with("a.cedar:3: "), "{mistakes:?}");
    }
}
