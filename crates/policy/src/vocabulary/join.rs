//! From parts to one schema.

use cedar_policy::SchemaFragment;
use serde_json::{Map, Value};
use tollbook_exchange::Vocabulary as Part;

/// What every protocol has, and the parts of those that every set speaks.
pub(super) const CORE: Part = Part::new("tollbook", crate::SCHEMA);
/// The part of the Claude API.
pub(super) const CLAUDE: Part = Part::new("claude", include_str!("claude.cedarschema"));
/// The part of SQL databases.
pub(super) const SQL: Part = Part::new("sql", include_str!("sql.cedarschema"));

const NAMESPACE: &str = "Tollbook";

/// The schema of all parts, in its JSON form. The first brings what the others add to.
///
/// # Errors
///
/// Which part is no part, and why.
pub(super) fn join(parts: &[Part]) -> Result<Value, String> {
    let mut joined: Option<Value> = None;
    for part in parts {
        let told = |why: String| format!("the part of `{}`: {why}", part.protocol());
        let (fragment, _) = SchemaFragment::from_cedarschema_str(part.schema())
            .map_err(|error| told(error.to_string()))?;
        let json = fragment
            .to_json_value()
            .map_err(|error| told(error.to_string()))?;
        match &mut joined {
            None => joined = Some(json),
            Some(joined) => add(joined, json).map_err(told)?,
        }
    }
    joined.ok_or_else(|| "there are no parts".to_owned())
}

fn add(joined: &mut Value, mut part: Value) -> Result<(), String> {
    if part
        .as_object()
        .is_none_or(|spaces| spaces.len() != 1 || !spaces.contains_key(NAMESPACE))
    {
        return Err(format!("it declares something outside of `{NAMESPACE}`"));
    }
    // A part has no say in who callers are and what connections are.
    let declares = |pointer| match part.pointer(pointer) {
        Some(Value::Object(declared)) => declared.len(),
        _ => 0,
    };
    let types = declares("/Tollbook/commonTypes");
    let facts = usize::from(part.pointer("/Tollbook/commonTypes/Facts").is_some());
    if declares("/Tollbook/entityTypes") > 0 || types > facts {
        return Err("it declares more than facts and actions".to_owned());
    }
    for (name, fact) in taken(&mut part, FACTS) {
        if fact.get("required") != Some(&Value::Bool(false)) {
            return Err(format!("the fact `{name}` is not optional"));
        }
        let known = here(joined, FACTS)?;
        match known.get(&name) {
            // What a fact is called for people does not count.
            Some(other) if bare(other) != bare(&fact) => {
                return Err(format!("the fact `{name}` has another type elsewhere"));
            }
            Some(_) => {}
            None => drop(known.insert(name, fact)),
        }
    }
    for (name, action) in taken(&mut part, ACTIONS) {
        if here(joined, ACTIONS)?
            .insert(name.clone(), action)
            .is_some()
        {
            return Err(format!("the action `{name}` is declared elsewhere"));
        }
    }
    Ok(())
}

const FACTS: &str = "/Tollbook/commonTypes/Facts/attributes";
const ACTIONS: &str = "/Tollbook/actions";

fn taken(part: &mut Value, pointer: &str) -> Map<String, Value> {
    match part.pointer_mut(pointer).map(Value::take) {
        Some(Value::Object(taken)) => taken,
        _ => Map::new(),
    }
}

fn here<'a>(joined: &'a mut Value, pointer: &str) -> Result<&'a mut Map<String, Value>, String> {
    let found = joined.pointer_mut(pointer).and_then(Value::as_object_mut);
    found.ok_or_else(|| "the first part has neither facts nor actions".to_owned())
}

fn bare(fact: &Value) -> Value {
    let mut fact = fact.clone();
    if let Some(fact) = fact.as_object_mut() {
        fact.remove("annotations");
    }
    fact
}
