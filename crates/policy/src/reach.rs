//! Whom a policy can concern at all, read off its scope.

use cedar_policy::{ActionConstraint, EntityUid, Policy, PrincipalConstraint, ResourceConstraint};
use serde_json::Value;

use crate::names::Names;

/// Outside of its reach a policy neither applies nor fails. `None` stands for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Actions and groups of actions.
    pub(crate) actions: Option<Vec<EntityUid>>,
    /// Names of connections.
    pub(crate) connections: Option<Vec<String>>,
    /// Names of groups, one of which the caller is in.
    pub(crate) groups: Option<Vec<String>>,
}

impl Reach {
    /// The reach of `policy`, or why Cedar cannot take it apart.
    pub(crate) fn of(policy: &Policy, names: &Names) -> Result<Self, String> {
        let mut reach = Self::default();
        match policy.action_constraint() {
            ActionConstraint::Any => {}
            ActionConstraint::Eq(action) => reach.actions = Some(vec![action]),
            ActionConstraint::In(actions) => reach.actions = Some(actions),
        }
        match policy.principal_constraint() {
            PrincipalConstraint::In(group) | PrincipalConstraint::IsIn(_, group)
                if names.is_group(&group) =>
            {
                reach.groups = Some(vec![group.id().unescaped().to_owned()]);
            }
            _ => {}
        }
        match policy.resource_constraint() {
            // Connections are in nothing but themselves.
            ResourceConstraint::Eq(one)
            | ResourceConstraint::In(one)
            | ResourceConstraint::IsIn(_, one)
                if names.is_connection(&one) =>
            {
                reach.connections = Some(vec![one.id().unescaped().to_owned()]);
            }
            _ => {}
        }
        let parts = policy.to_json().map_err(|error| error.to_string())?;
        reach.narrow(parts.get("conditions"), names);
        Ok(reach)
    }

    /// Reads the first conditions too, as far as they say no more than a scope could: a scope
    /// takes one group or connection only. What stands behind them is not evaluated where they do
    /// not hold, so it does not fail there either.
    fn narrow(&mut self, conditions: Option<&Value>, names: &Names) {
        let kind = |uid: EntityUid| uid.type_name().to_string();
        let (group, connection) = (kind(names.group("")), kind(names.connection("")));
        for condition in conditions.and_then(Value::as_array).into_iter().flatten() {
            if let Some(groups) = among(condition, "principal", &group) {
                self.groups.get_or_insert(groups);
            } else if let Some(connections) = among(condition, "resource", &connection) {
                self.connections.get_or_insert(connections);
            } else {
                return;
            }
        }
    }
}

/// The ids of `when { <variable> in [<entities>] }`, where all entities are of one kind.
fn among(condition: &Value, variable: &str, kind: &str) -> Option<Vec<String>> {
    let operands = condition.pointer("/body/in")?;
    if condition.get("kind")? != "when" || operands.pointer("/left/Var")? != variable {
        return None;
    }
    let entities = operands.pointer("/right/Set")?.as_array()?;
    let id = |value: &Value| {
        let entity = value.pointer("/Value/__entity")?;
        let id = entity.get("id")?.as_str()?;
        (entity.get("type")? == kind).then(|| id.to_owned())
    };
    entities.iter().map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str) -> (Option<usize>, Option<Vec<String>>, Option<Vec<String>>) {
        let policy = Policy::parse(None, text).unwrap();
        let reach = Reach::of(&policy, &Names::new().unwrap()).unwrap();
        (
            reach.actions.map(|all| all.len()),
            reach.connections,
            reach.groups,
        )
    }

    fn some(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn scopes_and_first_conditions_narrow() {
        assert_eq!(
            reach("permit (principal, action, resource);"),
            (None, None, None)
        );
        assert_eq!(
            reach(
                r#"permit (principal in Tollbook::Group::"g",
                   action in [Tollbook::Action::"a", Tollbook::Action::"b"],
                   resource == Tollbook::Connection::"c");"#
            ),
            (Some(2), some(&["c"]), some(&["g"]))
        );
        assert_eq!(
            reach(
                r#"permit (principal, action == Tollbook::Action::"a", resource)
                   when { principal in [Tollbook::Group::"g", Tollbook::Group::"h"] }
                   when { resource in [Tollbook::Connection::"c", Tollbook::Connection::"d"] }
                   when { context.hour > 3 };"#
            ),
            (Some(1), some(&["c", "d"]), some(&["g", "h"]))
        );
    }

    #[test]
    fn anything_else_reaches_everywhere() {
        for condition in [
            r#"unless { principal in [Tollbook::Group::"g"] }"#,
            r#"when { !(principal in [Tollbook::Group::"g"]) }"#,
            r#"when { principal in [Tollbook::Group::"g"] || context.hour > 3 }"#,
            r#"when { context.hour > 3 } when { principal in [Tollbook::Group::"g"] }"#,
            r#"when { principal in [Tollbook::Group::"g", Tollbook::Caller::"i/s"] }"#,
            r#"when { resource in [Tollbook::Group::"g"] }"#,
        ] {
            let text = format!("permit (principal, action, resource) {condition};");
            assert_eq!(reach(&text), (None, None, None), "{condition}");
        }
    }
}
