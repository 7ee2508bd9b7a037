//! Claims that are objects, flattened, so that rules and policies can name what is in them.

use serde_json::{Map, Value};

use crate::Reason;

/// How deep objects are flattened. What lies deeper stays an object, which nothing can name.
const DEPTH: usize = 6;
/// The longest flattened name, in bytes.
const NAME_LIMIT: usize = 512;

/// The claims without objects: the member `b` of the object `a` becomes the claim `a/b`, or `ab`
/// where `a` already ends in a slash, as names that are addresses do. Lists stay lists.
///
/// Two claims that come to have one name are refused: which of them a rule meant is anybody's
/// guess.
pub(super) fn flat(claims: Map<String, Value>) -> Result<Map<String, Value>, Reason> {
    let mut flat = Map::with_capacity(claims.len());
    for (name, value) in claims {
        add(&mut flat, name, value, DEPTH)?;
    }
    Ok(flat)
}

fn add(
    flat: &mut Map<String, Value>,
    name: String,
    value: Value,
    depth: usize,
) -> Result<(), Reason> {
    match value {
        Value::Object(members) if depth > 0 => {
            let slash = if name.ends_with('/') { "" } else { "/" };
            for (member, value) in members {
                let name = format!("{name}{slash}{member}");
                if name.len() > NAME_LIMIT {
                    return Err(Reason::ClaimTooLarge);
                }
                add(flat, name, value, depth - 1)?;
            }
        }
        value => {
            if flat.insert(name, value).is_some() {
                return Err(Reason::ClaimAmbiguous);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn flattened(claims: Value) -> Result<Value, Reason> {
        let Value::Object(claims) = claims else {
            panic!("claims are an object")
        };
        flat(claims).map(Value::Object)
    }

    #[test]
    fn members_are_named_by_their_path() {
        assert_eq!(
            flattened(json!({
                "sub": "a",
                "kubernetes.io": {"namespace": "pay", "pod": {"name": "p", "uid": "u"}},
                "https://sts.amazonaws.com/": {"aws_account": "1", "request_tags": {"a/b": "c"}},
                "list": [{"a": 1}],
                "empty": {},
                "null": null,
            })),
            Ok(json!({
                "sub": "a",
                "kubernetes.io/namespace": "pay",
                "kubernetes.io/pod/name": "p",
                "kubernetes.io/pod/uid": "u",
                "https://sts.amazonaws.com/aws_account": "1",
                "https://sts.amazonaws.com/request_tags/a/b": "c",
                "list": [{"a": 1}],
                "null": null,
            }))
        );
    }

    #[test]
    fn two_claims_of_one_name_are_refused() {
        for claims in [
            json!({"a": {"b": 1}, "a/b": 2}),
            json!({"a/b": 1, "a": {"b": 2}}),
            json!({"a": {"b": 1}, "a/": {"b": 1}}),
        ] {
            assert_eq!(
                flattened(claims.clone()),
                Err(Reason::ClaimAmbiguous),
                "{claims}"
            );
        }
    }

    #[test]
    fn what_lies_too_deep_has_no_name() {
        let deep = json!({"1": {"2": {"3": {"4": {"5": {"6": {"7": {"8": 1}}}}}}}});
        assert_eq!(flattened(deep), Ok(json!({"1/2/3/4/5/6/7": {"8": 1}})));
        let long = json!({"a": {"b".repeat(600): 1}});
        assert_eq!(flattened(long), Err(Reason::ClaimTooLarge));
    }

    /// Objects in objects, with few names, so that they often meet.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop::collection::vec(("[ab/]{0,2}", inner), 0..4)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        })
    }

    fn leaves(value: &Value) -> usize {
        match value {
            Value::Object(members) => members.values().map(leaves).sum(),
            _ => 1,
        }
    }

    proptest! {
        /// Nothing that a token says is lost or said by another name's place: a token is refused,
        /// or it has as many claims as values.
        #[test]
        fn every_value_keeps_a_name_of_its_own(value in any_value()) {
            let claims = Map::from_iter([("claim".to_owned(), value.clone())]);
            match flat(claims) {
                Ok(flat) => {
                    prop_assert_eq!(flat.len(), leaves(&value));
                    prop_assert!(flat.values().all(|value| !value.is_object()));
                }
                Err(reason) => prop_assert_eq!(reason, Reason::ClaimAmbiguous),
            }
        }
    }
}
