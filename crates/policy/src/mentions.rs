//! Which facts, attributes and claims the policies of a set speak of.
//!
//! Building a value for Cedar costs more than asking one policy about it, and most facts and
//! claims are never asked for. What no policy mentions is left out of the question; whether it has
//! its type is checked all the same.

use std::collections::HashSet;

use serde_json::Value;

/// Names that policies mention.
#[derive(Debug, Default)]
pub(crate) struct Mentions {
    /// Facts and attributes; `None` stands for all of them.
    names: Names,
    /// Claims; `None` stands for all of them.
    tags: Names,
}

/// Names, or all there are.
#[derive(Debug)]
struct Names(Option<HashSet<String>>);

impl Mentions {
    /// Everything counts as mentioned.
    pub(crate) const fn all() -> Self {
        Self {
            names: Names(None),
            tags: Names(None),
        }
    }

    /// Adds what a policy in Cedar's JSON form mentions.
    pub(crate) fn add(&mut self, expression: &Value) {
        match expression {
            Value::Array(parts) => parts.iter().for_each(|part| self.add(part)),
            Value::Object(parts) => {
                for (operator, operands) in parts {
                    self.operation(operator, operands);
                }
            }
            _ => {}
        }
    }

    /// Whether any policy asks for this fact or attribute.
    pub(crate) fn name(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether any policy asks for this claim.
    pub(crate) fn tag(&self, name: &str) -> bool {
        self.tags.contains(name)
    }

    fn operation(&mut self, operator: &str, operands: &Value) {
        match operator {
            "." | "has" => {
                match operands.get("attr").and_then(Value::as_str) {
                    Some(name) => self.names.add(name),
                    None => self.names.0 = None,
                }
                // The context by itself is no use of all it holds here.
                let left = operands.get("left");
                if left.is_none_or(|left| !is_context(left)) {
                    self.add(operands);
                }
            }
            "hasTag" | "getTag" => {
                match operands.pointer("/right/Value").and_then(Value::as_str) {
                    Some(name) => self.tags.add(name),
                    None => self.tags.0 = None,
                }
                self.add(operands);
            }
            // As a whole, for a comparison.
            "Var" if operands == "context" => self.names.0 = None,
            _ => self.add(operands),
        }
    }
}

fn is_context(expression: &Value) -> bool {
    expression.get("Var").is_some_and(|name| name == "context")
}

impl Names {
    fn add(&mut self, name: &str) {
        if let Some(names) = &mut self.0
            && !names.contains(name)
        {
            names.insert(name.to_owned());
        }
    }

    fn contains(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}

impl Default for Names {
    fn default() -> Self {
        Self(Some(HashSet::new()))
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy::Policy;

    use super::*;

    fn mentions(condition: &str) -> Mentions {
        let text = format!("forbid (principal, action, resource) when {{ {condition} }};");
        let mut mentions = Mentions::default();
        mentions.add(&Policy::parse(None, text).unwrap().to_json().unwrap());
        mentions
    }

    #[test]
    fn names_are_found_wherever_they_are_asked_for() {
        for condition in [
            "context has model",
            "!(context has model)",
            "context[\"model\"] like \"x*\"",
            "[true, context.model == \"x\"].contains(true)",
            "{ a: context.model }.a == \"x\"",
            "(if context.stream then context else context).model == \"x\"",
            "context.x.containsAny([context.model])",
        ] {
            assert!(mentions(condition).name("model"), "{condition}");
        }
        let few = mentions("context.stream && principal.kind == \"ci\"");
        assert!(few.name("stream") && few.name("kind") && !few.name("model"));
        assert!(!few.tag("ref"));
    }

    #[test]
    fn the_context_as_a_whole_is_everything() {
        for condition in [
            "context == { model: \"x\" }",
            "[context].contains({ model: \"x\" })",
            "(if true then context else context) == context",
        ] {
            assert!(mentions(condition).name("anything"), "{condition}");
        }
    }

    #[test]
    fn claims_are_found_by_their_names() {
        let few =
            mentions("principal.hasTag(\"ref\") && principal.getTag(\"sha\").contains(\"x\")");
        assert!(few.tag("ref") && few.tag("sha") && !few.tag("actor"));
        // A name that is worked out can be any.
        assert!(mentions("principal.hasTag(principal.kind)").tag("actor"));
    }
}
