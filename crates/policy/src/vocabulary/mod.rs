//! What the schema knows, in the forms in which it is asked for.

mod join;

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use cedar_policy::{Entity, EntityUid, Schema, SchemaFragment};
use serde_json::Value;
use tollbook_exchange::{Fact, Vocabulary as Part};

use crate::{attributes::Attributes, names::Names};

/// The facts that the engine puts in, and nobody else.
pub(crate) const OWN_FACTS: [&str; 8] = [
    "findings",
    "finding_count",
    "time",
    "hour",
    "weekday",
    "windows",
    "every",
    "some",
];

/// The schema of all parts, taken apart.
#[derive(Debug)]
pub(crate) struct Vocabulary {
    pub(crate) parts: Vec<Part>,
    pub(crate) schema: Schema,
    pub(crate) names: Names,
    pub(crate) attributes: Attributes,
    facts: BTreeMap<String, FactKind>,
    actions: HashMap<String, ActionKind>,
    groups: Vec<String>,
}

/// The type of a fact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FactKind {
    Bool,
    Long,
    Text,
    Set,
}

/// An action that can be asked for.
#[derive(Debug)]
pub(crate) struct ActionKind {
    pub(crate) uid: EntityUid,
    /// The action and the groups of actions it is in.
    pub(crate) entity: Entity,
    within: Vec<String>,
}

impl Vocabulary {
    /// The vocabulary of the protocols that every set speaks and of those of `more`. It is made once
    /// for the same protocols.
    ///
    /// # Errors
    ///
    /// What is wrong with a part.
    pub(crate) fn of(more: &[Part]) -> Result<Arc<Self>, String> {
        static MADE: LazyLock<Mutex<HashMap<Vec<Part>, Arc<Vocabulary>>>> =
            LazyLock::new(Mutex::default);
        // The order in which protocols are named says nothing.
        let mut parts = [&[join::CLAUDE, join::SQL], more].concat();
        parts.sort_unstable();
        parts.dedup();
        parts.insert(0, join::CORE);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = made.get(&parts) {
            return Ok(Arc::clone(made));
        }
        let vocabulary = Arc::new(Self::new(parts.clone())?);
        made.insert(parts, Arc::clone(&vocabulary));
        Ok(vocabulary)
    }

    fn new(parts: Vec<Part>) -> Result<Self, String> {
        let names = Names::new()?;
        let json = join::join(&parts)?;
        let fragment =
            SchemaFragment::from_json_value(json.clone()).map_err(|error| error.to_string())?;
        let schema =
            Schema::from_schema_fragments([fragment]).map_err(|error| error.to_string())?;
        let facts = json
            .pointer("/Tollbook/commonTypes/Facts/attributes")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, of)| {
                let kind = FactKind::of_schema(of);
                kind.map(|kind| (name.clone(), kind))
                    .ok_or_else(|| format!("the fact `{name}` has no type that facts have"))
            })
            .collect::<Result<_, String>>()?;
        let (actions, groups) = actions(&names, &schema, &json)?;
        Ok(Self {
            parts,
            attributes: Attributes::of_schema(&json),
            schema,
            names,
            facts,
            actions,
            groups,
        })
    }

    /// Every fact there is, with its type.
    pub(crate) fn facts(&self) -> impl Iterator<Item = (&str, FactKind)> {
        self.facts.iter().map(|(name, kind)| (name.as_str(), *kind))
    }

    /// Whether an action may have this fact.
    pub(crate) fn takes(&self, name: &str, fact: &Fact) -> bool {
        let kind = match fact {
            Fact::Bool(_) => FactKind::Bool,
            Fact::Long(_) => FactKind::Long,
            Fact::Text(_) => FactKind::Text,
            Fact::Set(_) => FactKind::Set,
            _ => return false,
        };
        !OWN_FACTS.contains(&name) && self.facts.get(name) == Some(&kind)
    }

    /// The action of this name.
    pub(crate) fn action(&self, name: &str) -> Option<&ActionKind> {
        self.actions.get(name)
    }

    /// Every action that is `uid` or in it.
    pub(crate) fn actions_in<'a>(&'a self, uid: &'a EntityUid) -> impl Iterator<Item = &'a str> {
        let id = uid.id().unescaped();
        let all = self.actions.iter();
        all.filter(move |(name, kind)| *name == id || kind.within.iter().any(|group| group == id))
            .map(|(name, _)| name.as_str())
    }

    /// Every action and every group of actions.
    pub(crate) fn action_names(&self) -> impl Iterator<Item = &str> {
        let actions = self.actions.keys().chain(&self.groups);
        actions.map(String::as_str)
    }
}

impl FactKind {
    fn of_schema(of: &Value) -> Option<Self> {
        let name = |of: &Value| {
            let name = of.get("name").or_else(|| of.get("type"))?.as_str()?;
            Some(name.trim_start_matches("__cedar::").to_owned())
        };
        match name(of)?.as_str() {
            "Bool" | "Boolean" => Some(Self::Bool),
            "Long" => Some(Self::Long),
            "String" => Some(Self::Text),
            "Set" => (name(of.get("element")?)? == "String").then_some(Self::Set),
            _ => None,
        }
    }
}

type Actions = (HashMap<String, ActionKind>, Vec<String>);

fn actions(names: &Names, schema: &Schema, json: &Value) -> Result<Actions, String> {
    let entities = schema
        .action_entities()
        .map_err(|error| error.to_string())?;
    let declared = json.pointer("/Tollbook/actions").and_then(Value::as_object);
    let mut actions = HashMap::new();
    let mut groups = Vec::new();
    for (name, of) in declared.into_iter().flatten() {
        // A group of actions applies to nothing itself.
        let callers = of.pointer("/appliesTo/principalTypes");
        let callers = callers.and_then(Value::as_array);
        if callers.is_none_or(Vec::is_empty) {
            groups.push(name.clone());
            continue;
        }
        let uid = names.action(name);
        let entity = entities
            .get(&uid)
            .ok_or_else(|| format!("the action `{name}` is not in the schema"))?;
        let within = entities.ancestors(&uid).into_iter().flatten();
        let kind = ActionKind {
            within: within
                .map(|group| group.id().unescaped().to_owned())
                .collect(),
            entity: entity.clone(),
            uid,
        };
        actions.insert(name.clone(), kind);
    }
    Ok((actions, groups))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_taken_apart() {
        let vocabulary = Vocabulary::of(&[]).unwrap();
        assert!(vocabulary.takes("model", &"x".into()));
        assert!(!vocabulary.takes("model", &true.into()));
        assert!(!vocabulary.takes("modle", &"x".into()));
        for own in OWN_FACTS {
            assert!(vocabulary.facts().any(|(name, _)| name == own), "{own}");
        }
        assert!(!vocabulary.takes("hour", &1_i64.into()));
        let within = |group: &str| {
            let group = vocabulary.names.action(group);
            let actions = vocabulary.actions_in(&group).map(str::to_owned);
            actions.collect::<Vec<_>>()
        };
        assert_eq!(within("tools"), ["tool.call"]);
        assert_eq!(within("models.list"), ["models.list"]);
        assert_eq!(within("claude").len(), 16);
        assert_eq!(within("sql").len(), 4);
        assert!(vocabulary.action("messages").is_none());
        assert!(vocabulary.action_names().any(|name| name == "messages"));
    }

    fn with(schema: &'static str) -> Result<Arc<Vocabulary>, String> {
        Vocabulary::of(&[Part::new("barter", schema)])
    }

    #[test]
    fn a_protocol_adds_its_part() {
        let of = "appliesTo { principal: Caller, resource: Connection, context: Facts }";
        let text = format!(
            "namespace Tollbook {{ type Facts = {{ goods?: Set<String>, model?: String }};
             action \"barter\"; action \"barter.offer\" in [\"barter\", \"scanned\"] {of}; }}"
        );
        let barter = with(text.leak()).unwrap();
        assert!(barter.takes(
            "goods",
            &std::collections::BTreeSet::from(["a".to_owned()]).into()
        ));
        assert!(barter.takes("model", &"x".into()));
        let group = barter.names.action("scanned");
        assert!(barter.actions_in(&group).any(|name| name == "barter.offer"));
        let without = Vocabulary::of(&[]).unwrap();
        assert!(without.action("barter.offer").is_none());
    }

    #[test]
    fn what_is_no_part_is_told() {
        for (schema, told) in [
            ("namespace", "the part of `barter`"),
            (
                "namespace Tollbook { type Facts = { a: String }; }",
                "not optional",
            ),
            (
                "namespace Tollbook { type Facts = { model?: Long }; }",
                "`model` has another type",
            ),
            (
                "namespace Tollbook { type Facts = { hour?: Long }; }",
                "`hour` has another type",
            ),
            (
                "namespace Tollbook { action \"messages.create\"; }",
                "`messages.create` is declared elsewhere",
            ),
            (
                "namespace Tollbook { entity Caller; }",
                "more than facts and actions",
            ),
            (
                "namespace Tollbook { type Other = { a?: String }; }",
                "more than facts and actions",
            ),
            ("namespace Other { }", "outside of `Tollbook`"),
            (
                "namespace Tollbook { type Facts = { a?: decimal }; }",
                "no type that facts have",
            ),
        ] {
            let error = with(schema).unwrap_err();
            assert!(error.contains(told), "{schema}: {error}");
        }
    }
}
