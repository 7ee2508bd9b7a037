//! One file of policies: its text, its rules and where they stand.

use cedar_policy::{Policy, PolicyId, PolicySet};
use jiff::tz::TimeZone;
use miette::Diagnostic;

use crate::{Mistake, annotations::Annotations};

/// A named text of Cedar policies.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: String,
    /// Where the text was made of another: from which byte on it stands for which line of that.
    pub(crate) made_of: Vec<(usize, usize)>,
}

/// A policy under the id that its annotation gives it.
pub(crate) struct Rule {
    pub(crate) policy: Policy,
    pub(crate) annotations: Annotations,
    /// The line it begins at.
    pub(crate) line: usize,
    /// Where in the text it begins.
    at: usize,
}

impl Source {
    pub(crate) fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            text: text.into(),
            made_of: Vec::new(),
        }
    }

    /// The rules of the text. Whatever is wrong with it is added to `mistakes`.
    pub(crate) fn rules(&self, zone: &TimeZone, mistakes: &mut Vec<Mistake>) -> Vec<Rule> {
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
            match statement.policy.map(|policy| annotated(&policy, zone)) {
                Some(Ok((policy, annotations))) => rules.push(Rule {
                    policy,
                    annotations,
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
        if let Some((_, line)) = (self.made_of.iter().rev()).find(|(from, _)| *from <= offset) {
            return *line;
        }
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
fn annotated(policy: &Policy, zone: &TimeZone) -> Result<(Policy, Annotations), Vec<String>> {
    let annotations = Annotations::of(policy, zone)?;
    let id = policy.annotation("id").unwrap_or_default();
    Ok((policy.new_id(PolicyId::new(id)), annotations))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> (Vec<(String, usize)>, Vec<String>) {
        let source = Source::new("a.cedar", text);
        let mut mistakes = Vec::new();
        let rules = source.rules(&TimeZone::UTC, &mut mistakes);
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
             @id(\"b\") @approval(\"g:2\") permit(principal, action, resource);\n\
             @id(\"c\") @mode(\"shadwo\") forbid(principal, action, resource);\n\
             @id(\"d\") @expires(\"2030\") forbid(principal, action, resource);\n\
             @id permit(principal, action, resource);\n\
             @id(\"t\") permit(principal == ?principal, action, resource);\n\
             @id(\"e\") @approval(\"g\") forbid(principal, action, resource);\n\
             @id(\"ok\") @labels(\"any words\") @expires(\"2030-01-01\") @mode(\"shadow\")\n\
             @approval(\"g:1\") @reason(\"r\") forbid(principal, action, resource);",
        );
        assert_eq!(rules, [("ok".to_owned(), 9)]);
        assert_eq!(
            mistakes,
            [
                "a.cedar:1: the policy has no @id",
                "a.cedar:2: unknown annotation @raeson: the nearest known is @reason",
                "a.cedar:3: @approval is for a forbid: what the forbid covers then needs approval",
                "a.cedar:4: @mode(\"shadwo\") is not known: the only mode is \"shadow\"",
                "a.cedar:5: @expires(\"2030\") is no date like 2027-01-31 and no RFC 3339 time",
                "a.cedar:6: @id is empty",
                "a.cedar:7: templates are not available: write the principal and resource out",
                "a.cedar:8: @approval(\"g\") names no group and number of people, as in \"leads:1\"",
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
