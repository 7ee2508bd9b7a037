//! The rules for callers whose groups the issuer did not say.
//!
//! Unknown groups are not the same as none. A caller without groups passes a rule such as "permit
//! unless in `contractors`"; a caller whose groups nobody knows must not. So there is a second
//! set for such callers, made from the first:
//!
//! - a permit that mentions a group is left out;
//! - a forbid that mentions a group forbids as if the caller were in it. If only the scope
//!   mentions groups the conditions still count; otherwise they are dropped, for what they would
//!   say is not known.

use cedar_policy::{Effect, Policy};
use serde_json::{Value, json};

use crate::names::Names;

/// The form that `policy` takes for a caller in unknown groups, if it takes any, or why Cedar
/// cannot take it apart and put it together again.
pub(crate) fn twin(policy: &Policy, names: &Names) -> Result<Option<Policy>, String> {
    if !mentions_group(policy, names) {
        return Ok(Some(policy.clone()));
    }
    if policy.effect() == Effect::Permit {
        return Ok(None);
    }
    let assemble = |parts: Value| {
        Policy::from_json(Some(policy.id().clone()), parts).map_err(|error| error.to_string())
    };
    let mut parts = policy.to_json().map_err(|error| error.to_string())?;
    parts["principal"] = json!({ "op": "All" });
    let mut twin = assemble(parts.clone())?;
    if mentions_group(&twin, names) {
        parts["conditions"] = json!([]);
        twin = assemble(parts)?;
    }
    Ok(Some(twin))
}

fn mentions_group(policy: &Policy, names: &Names) -> bool {
    policy
        .entity_literals()
        .iter()
        .any(|uid| names.is_group(uid))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn twin_of(text: &str) -> Option<String> {
        let names = Names::new().unwrap();
        let policy = Policy::parse(None, text).unwrap();
        twin(&policy, &names)
            .unwrap()
            .and_then(|twin| twin.to_cedar())
    }

    #[test]
    fn rules_without_groups_stay() {
        let text = r#"forbid (principal, action, resource) when { context.stream };"#;
        assert_eq!(twin_of(text).as_deref(), Some(text));
    }

    #[test]
    fn permits_that_mention_a_group_are_left_out() {
        for text in [
            r#"permit (principal in Tollbook::Group::"a", action, resource);"#,
            r#"permit (principal, action, resource) unless { principal in Tollbook::Group::"a" };"#,
        ] {
            assert_eq!(twin_of(text), None);
        }
    }

    #[test]
    fn forbids_that_mention_a_group_hold_for_everyone() {
        let scope = twin_of(
            r#"forbid (principal in Tollbook::Group::"a", action, resource) when { context.stream };"#,
        );
        assert!(scope.is_some_and(|text| !text.contains("Group") && text.contains("stream")));
        let condition = twin_of(
            r#"forbid (principal, action, resource)
               when { context.stream && !(principal in Tollbook::Group::"a") };"#,
        );
        assert!(condition.is_some_and(|text| !text.contains("Group") && !text.contains("stream")));
    }
}
