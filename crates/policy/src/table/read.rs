//! From TOML to cases.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tollbook_exchange::{
    Access, Action, Actor, Fact, Finding, Groups, Operator, Principal, PrincipalKind, Timestamp,
    Verdict,
};
use toml::{Spanned, de::DeValue};

use crate::{
    LoadError,
    document::{Notes, Section, integer},
    nearest::nearest,
    table::Case,
    vocabulary::Vocabulary,
};

/// 2026-01-01T12:00:00Z.
const AT: Timestamp = Timestamp::from_micros(1_767_268_800_000_000);

/// The cases of `text`.
pub(super) fn cases(
    name: &str,
    text: &str,
    vocabulary: &Vocabulary,
) -> Result<Vec<Case>, LoadError> {
    let notes = Notes::new(name, text);
    let mut cases: Vec<Case> = Vec::new();
    if let Some(table) = notes.parse() {
        let document = Section::new(&notes, table.get_ref(), table.span());
        let reader = Reader {
            notes: &notes,
            vocabulary,
        };
        let default = document.section("default").map(|section| {
            let given = reader.given(&section, Given::default());
            section.finish();
            given
        });
        let default = default.unwrap_or_default();
        for section in document.sections("case") {
            if let Some(case) = reader.case(&section, default.clone()) {
                if let Some(other) = cases.iter().find(|other| other.name == case.name) {
                    let other = other.line;
                    section.wrong(format!("the name is taken by the case in line {other}"));
                }
                cases.push(case);
            }
            section.finish();
        }
        document.finish();
    }
    let mut mistakes = notes.finish();
    if mistakes.is_empty() {
        return Ok(cases);
    }
    mistakes.sort();
    Err(LoadError::new(mistakes))
}

/// What a case has in common with others.
#[derive(Clone)]
struct Given {
    principal: Principal,
    connection: String,
    protocol: String,
    action: String,
    facts: BTreeMap<String, Fact>,
    at: Timestamp,
}

impl Default for Given {
    fn default() -> Self {
        Self {
            principal: Principal::new(PrincipalKind::Ci, "test", "test"),
            connection: "claude".to_owned(),
            protocol: "claude".to_owned(),
            action: "messages.create".to_owned(),
            facts: BTreeMap::new(),
            at: AT,
        }
    }
}

struct Reader<'a> {
    notes: &'a Notes<'a>,
    vocabulary: &'a Vocabulary,
}

impl<'a> Reader<'a> {
    fn case(&self, section: &Section<'a>, default: Given) -> Option<Case> {
        let name = section.required("name");
        let given = self.given(section, default);
        let expect = section.required("expect").and_then(|text| {
            let verdicts = [Verdict::Allow, Verdict::Deny, Verdict::Approve];
            let found = verdicts.into_iter().find(|it| it.as_str() == text.value);
            if found.is_none() {
                let message = "`expect` is one of allow, deny, approve";
                self.notes.at(&text.span, message);
            }
            found
        });
        let names = |key| Some(section.names(key)?.into_iter().collect::<BTreeSet<_>>());
        let (rules, requires) = (names("rules"), names("requires"));
        let (shadow, errors) = (names("shadow"), names("errors"));
        let mut action = Action::new(given.action);
        for (name, fact) in given.facts {
            action.facts.insert(name.into(), fact);
        }
        let findings = self.findings(section);
        Some(Case {
            name: name?.value,
            line: self.notes.line(&section.span),
            principal: given.principal,
            connection: given.connection,
            protocol: given.protocol,
            action,
            findings,
            at: given.at,
            expect: expect?,
            rules,
            requires,
            shadow,
            errors: errors.unwrap_or_default(),
        })
    }

    /// What `section` says, and otherwise `default`.
    fn given(&self, section: &Section<'a>, default: Given) -> Given {
        let text = |key| section.text(key).map(|text| text.value);
        let mut facts = default.facts;
        if let Some(own) = section.section("facts") {
            facts.extend(self.facts(&own));
        }
        let action = section.text("action").map(|action| {
            if self.vocabulary.action(&action.value).is_none() {
                let known = self.vocabulary.action_names();
                let known = known.filter(|name| self.vocabulary.action(name).is_some());
                let near = nearest(&action.value, known).unwrap_or_default();
                let message = format!(
                    "there is no action `{}`: did you mean `{near}`?",
                    action.value
                );
                self.notes.at(&action.span, message);
            }
            action.value
        });
        let at = section.text("at").and_then(|at| {
            let parsed = at.value.parse().ok();
            if parsed.is_none() {
                self.notes
                    .at(&at.span, "`at` must be a time as RFC 3339 has it");
            }
            parsed
        });
        let principal = section.section("principal");
        Given {
            principal: principal.map_or(default.principal, |section| self.principal(section)),
            connection: text("connection").unwrap_or(default.connection),
            protocol: text("protocol").unwrap_or(default.protocol),
            action: action.unwrap_or(default.action),
            facts,
            at: at.unwrap_or(default.at),
        }
    }

    fn principal(&self, section: Section<'a>) -> Principal {
        let text = |key| section.text(key).map(|text| text.value);
        let kind = section.text("kind").and_then(|kind| {
            let kinds = [
                PrincipalKind::Ci,
                PrincipalKind::Human,
                PrincipalKind::Service,
            ];
            let found = kinds.into_iter().find(|it| it.as_str() == kind.value);
            if found.is_none() {
                let message = "`kind` is one of ci, human, service";
                self.notes.at(&kind.span, message);
            }
            found
        });
        let (issuer, subject) = (text("issuer"), text("subject"));
        let mut principal = Principal::new(
            kind.unwrap_or(PrincipalKind::Ci),
            issuer.unwrap_or_else(|| "test".to_owned()),
            subject.unwrap_or_else(|| "test".to_owned()),
        );
        let unknown = section.value("groups").map(Spanned::get_ref);
        principal.groups = if unknown.and_then(DeValue::as_str) == Some("unknown") {
            Groups::Unknown
        } else {
            section
                .names("groups")
                .unwrap_or_default()
                .into_iter()
                .collect()
        };
        if let Some(claims) = section.section("claims") {
            let claims = claims.entries();
            principal.claims = claims
                .map(|(name, value)| (name.get_ref().to_string(), json(value.get_ref())))
                .collect();
        }
        let names = |key| section.names(key).unwrap_or_default();
        principal.roles = names("roles").into_iter().collect();
        let rules = names("rules");
        principal.access = (!rules.is_empty()).then(|| Access {
            rules,
            ..Access::default()
        });
        principal.stable_id = text("stable_id");
        principal.actor = text("actor").map(|login| Actor {
            login: Some(login),
            ..Actor::default()
        });
        principal.environment = text("environment");
        principal.on_behalf_of = text("on_behalf_of");
        section.finish();
        principal
    }

    fn facts(&self, section: &Section<'a>) -> Vec<(String, Fact)> {
        let mut facts = Vec::new();
        for (name, value) in section.entries() {
            let Some(fact) = fact(value.get_ref()) else {
                let message =
                    "a fact is true or false, a whole number, a string or a list of strings";
                self.notes.at(&value.span(), message);
                continue;
            };
            let name = name.get_ref().to_string();
            if !self.vocabulary.takes(&name, &fact) {
                let known = self.vocabulary.facts().map(|(name, _)| name);
                let near = nearest(&name, known).unwrap_or_default();
                let message = match near == name {
                    true => format!("the fact `{name}` has another type or is the engine's own"),
                    false => format!("there is no fact `{name}`: did you mean `{near}`?"),
                };
                self.notes.at(&value.span(), message);
            }
            facts.push((name, fact));
        }
        facts
    }

    fn findings(&self, section: &Section<'a>) -> Vec<Finding> {
        let found = |rule: &str, count| Finding::new(rule, "request.body", Operator::Redact, count);
        let value = section.value("findings").map(Spanned::get_ref);
        let entries = value.and_then(DeValue::as_array);
        if value.is_some() && entries.is_none() {
            section.wrong("`findings` must be a list");
        }
        let mut findings = Vec::new();
        for entry in entries.into_iter().flat_map(|entries| entries.iter()) {
            match entry.get_ref() {
                DeValue::String(rule) => findings.push(found(rule, 1)),
                DeValue::Table(table) => {
                    let table = Section::new(self.notes, table, entry.span());
                    let rule = table.required("rule");
                    let count = table.number("count").map_or(1, |count| count.value);
                    let count = u32::try_from(count).unwrap_or_default();
                    findings.extend(rule.map(|rule| found(&rule.value, count)));
                    table.finish();
                }
                _ => {
                    let message = "a finding is the id of a rule, or `{ rule, count }`";
                    self.notes.at(&entry.span(), message);
                }
            }
        }
        findings
    }
}

fn fact(value: &DeValue<'_>) -> Option<Fact> {
    Some(match value {
        DeValue::Boolean(value) => Fact::Bool(*value),
        DeValue::Integer(_) => Fact::Long(integer(value)?),
        DeValue::String(text) => Fact::Text(text.clone().into_owned()),
        DeValue::Array(values) => {
            let texts = values.iter().map(|value| value.get_ref().as_str());
            Fact::Set(
                texts
                    .map(|text| text.map(str::to_owned))
                    .collect::<Option<_>>()?,
            )
        }
        _ => return None,
    })
}

/// The JSON value that an issuer would have put into a token.
fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Integer(number) => {
            integer(value).map_or_else(|| Value::from(number.as_str()), Value::from)
        }
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(Value::Null, |number: f64| number.into()),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(values) => values.iter().map(|value| json(value.get_ref())).collect(),
        DeValue::Table(table) => {
            let entries = table.iter();
            entries
                .map(|(name, value)| (name.get_ref().to_string(), json(value.get_ref())))
                .collect()
        }
    }
}
