//! Misspelt names behind `has`.
//!
//! To Cedar's validator `context has modle` is merely always false. A forbid that asks so never
//! forbids, and nobody would hear of it.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::Policy;
use serde_json::Value;

use crate::nearest::nearest;

/// The names that each of Cedar's variables has, by the schema.
#[derive(Debug)]
pub(crate) struct Attributes(BTreeMap<&'static str, BTreeSet<String>>);

/// A name that no variable has.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unknown {
    pub(crate) name: String,
    pub(crate) message: String,
}

impl Attributes {
    /// The names in a schema, in its JSON form.
    pub(crate) fn of_schema(schema: &Value) -> Self {
        let names = |path: &str| {
            let attributes = schema.pointer(path).and_then(Value::as_object);
            attributes
                .map(|attributes| attributes.keys().cloned().collect())
                .unwrap_or_default()
        };
        Self(BTreeMap::from([
            ("context", names("/Tollbook/commonTypes/Facts/attributes")),
            (
                "principal",
                names("/Tollbook/entityTypes/Caller/shape/attributes"),
            ),
            (
                "resource",
                names("/Tollbook/entityTypes/Connection/shape/attributes"),
            ),
            ("action", BTreeSet::new()),
        ]))
    }

    /// The names that `policy` asks for and no variable has, or why Cedar cannot take it apart.
    pub(crate) fn unknown_in(&self, policy: &Policy) -> Result<Vec<Unknown>, String> {
        let parts = policy.to_json().map_err(|error| error.to_string())?;
        let mut unknown = Vec::new();
        self.walk(&parts["conditions"], &mut unknown);
        Ok(unknown)
    }

    fn walk(&self, expression: &Value, unknown: &mut Vec<Unknown>) {
        match expression {
            Value::Array(parts) => parts.iter().for_each(|part| self.walk(part, unknown)),
            Value::Object(parts) => {
                unknown.extend(parts.get("has").and_then(|has| self.check(has)));
                parts.values().for_each(|part| self.walk(part, unknown));
            }
            _ => {}
        }
    }

    fn check(&self, has: &Value) -> Option<Unknown> {
        let variable = has.pointer("/left/Var")?.as_str()?;
        let name = has.get("attr")?.as_str()?;
        let known = self.0.get(variable)?;
        if known.contains(name) {
            return None;
        }
        let meant = nearest(name, known.iter().map(String::as_str))
            .map(|near| format!(": did you mean `{near}`?"));
        Some(Unknown {
            name: name.to_owned(),
            message: format!(
                "`{variable}` never has `{name}`{}",
                meant.unwrap_or_default()
            ),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocabulary::Vocabulary;

    #[test]
    fn names_are_checked_wherever_they_are_asked_for() {
        let vocabulary = Vocabulary::of(&[]).unwrap();
        let attributes = &vocabulary.attributes;
        let unknown = |condition: &str| {
            let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
            let policy = Policy::parse(None, text).unwrap();
            attributes
                .unknown_in(&policy)
                .unwrap()
                .into_iter()
                .map(|unknown| unknown.message)
                .collect::<Vec<_>>()
        };
        assert!(
            unknown("context has model || principal has kind || resource has protocol").is_empty()
        );
        assert_eq!(
            unknown(
                "context has model || (if context has \"modle\" then true else principal has kidn)"
            ),
            [
                "`context` never has `modle`: did you mean `model`?",
                "`principal` never has `kidn`: did you mean `kind`?",
            ]
        );
        assert_eq!(unknown("!(action has x)"), ["`action` never has `x`"]);
    }
}
