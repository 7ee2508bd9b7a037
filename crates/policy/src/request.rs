//! From the words of an exchange to a question for Cedar.

use std::collections::BTreeSet;

use cedar_policy::{
    Context, Entities, Entity, Request, RequestValidationError, RestrictedExpression, Schema,
};
use serde_json::Value;
use tollbook_exchange::{Action, Fact, Finding, Principal};

use crate::names::Names;

/// A question, and the entities it is about.
pub(crate) struct Question {
    pub(crate) request: Request,
    pub(crate) entities: Entities,
}

/// What does not fit the schema. Its details stay out: they may hold a caller's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfit {
    Caller,
    Connection,
    Action,
    Facts,
}

impl Unfit {
    /// The id under which it stands among the rules that could not be evaluated.
    pub(crate) const fn rule(self) -> &'static str {
        match self {
            Self::Caller => "tollbook.caller",
            Self::Connection => "tollbook.connection",
            Self::Action => "tollbook.action",
            Self::Facts => "tollbook.facts",
        }
    }
}

impl Question {
    pub(crate) fn new(
        names: &Names,
        schema: &Schema,
        principal: &Principal,
        connection: &str,
        protocol: &str,
        action: &Action,
        findings: &[Finding],
    ) -> Result<Self, Unfit> {
        let caller = caller(names, principal).ok_or(Unfit::Caller)?;
        let upstream = Entity::new(
            names.connection(connection),
            [("protocol".to_owned(), text(protocol))].into(),
            [].into(),
        )
        .map_err(|_| Unfit::Connection)?;
        let request = Request::new(
            caller.uid(),
            names.action(&action.name),
            upstream.uid(),
            context(action, findings)?,
            Some(schema),
        )
        .map_err(|error| match error {
            RequestValidationError::InvalidContext(_) => Unfit::Facts,
            _ => Unfit::Action,
        })?;
        let entities =
            Entities::from_entities([caller, upstream], Some(schema)).map_err(|_| Unfit::Caller)?;
        Ok(Self { request, entities })
    }
}

fn caller(names: &Names, principal: &Principal) -> Option<Entity> {
    // With a slash in the issuer's name two callers could have one uid.
    if principal.issuer.contains('/') {
        return None;
    }
    Entity::new_with_tags(
        names.caller(&principal.issuer, &principal.subject),
        [
            ("kind".to_owned(), text(principal.kind.as_str())),
            ("issuer".to_owned(), text(&principal.issuer)),
            ("subject".to_owned(), text(&principal.subject)),
            (
                "groups_known".to_owned(),
                RestrictedExpression::new_bool(principal.groups.is_known()),
            ),
        ],
        principal.groups.iter().map(|group| names.group(group)),
        principal
            .claims
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), set(claim(value)?)))),
    )
    .ok()
}

/// A claim as a set of texts. Objects and `null` have no such form and are no tags.
fn claim(value: &Value) -> Option<BTreeSet<String>> {
    match value {
        Value::Array(elements) => Some(elements.iter().filter_map(scalar).collect()),
        value => scalar(value).map(|value| BTreeSet::from([value])),
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(_) | Value::Bool(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn context(action: &Action, findings: &[Finding]) -> Result<Context, Unfit> {
    let mut facts = action
        .facts
        .iter()
        .map(|(name, fact)| Ok((name.to_string(), expression(fact)?)))
        .collect::<Result<Vec<_>, Unfit>>()?;
    let rules = findings.iter().map(|finding| finding.rule.clone());
    let count = findings.iter().map(|finding| i64::from(finding.count));
    // An action that speaks of findings itself makes a name twice, which Cedar refuses.
    facts.push(("findings".to_owned(), set(rules.collect())));
    facts.push((
        "finding_count".to_owned(),
        RestrictedExpression::new_long(count.fold(0, i64::saturating_add)),
    ));
    Context::from_pairs(facts).map_err(|_| Unfit::Facts)
}

fn expression(fact: &Fact) -> Result<RestrictedExpression, Unfit> {
    Ok(match fact {
        Fact::Bool(value) => RestrictedExpression::new_bool(*value),
        Fact::Long(value) => RestrictedExpression::new_long(*value),
        Fact::Text(value) => text(value),
        Fact::Set(values) => set(values.clone()),
        _ => return Err(Unfit::Facts),
    })
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn set(values: BTreeSet<String>) -> RestrictedExpression {
    RestrictedExpression::new_set(values.into_iter().map(RestrictedExpression::new_string))
}
