//! All keys of an issuer, by id.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use serde_json::Value;

use super::Key;
use crate::{
    Algorithm, Reason,
    token::{JsonFault, object},
};

/// The usable keys of one published set.
#[derive(Debug, Default)]
pub(crate) struct KeySet {
    by_id: HashMap<String, Slot>,
    /// Usable keys without an id.
    unnamed: Vec<Arc<Key>>,
}

#[derive(Debug)]
enum Slot {
    Usable(Arc<Key>),
    /// Published, but not to be used.
    Refused,
    /// Published more than once under this id.
    Ambiguous,
}

/// Why a document is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SetFault {
    NotJson,
    DuplicateMember,
    NoKeys,
    TooManyKeys,
}

impl SetFault {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotJson => "is not a JSON object",
            Self::DuplicateMember => "names a member twice",
            Self::NoKeys => "has no list of keys",
            Self::TooManyKeys => "has more than 100 keys",
        }
    }
}

const MOST_KEYS: usize = 100;
const KID_LIMIT: usize = 256;

impl KeySet {
    /// Reads a JSON Web Key Set. Keys that cannot be used are left out and reported; a document
    /// that is no key set at all changes nothing, so that a gate page or an error page served with
    /// status 200 does not lock everybody out.
    ///
    /// `uses` are the purposes that a key for tokens may be published for.
    pub(crate) fn parse(issuer: &str, document: &[u8], uses: &[&str]) -> Result<Self, SetFault> {
        let document = object(document).map_err(|fault| match fault {
            JsonFault::NotAnObject => SetFault::NotJson,
            JsonFault::DuplicateMember => SetFault::DuplicateMember,
        })?;
        let keys = document
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(SetFault::NoKeys)?;
        if keys.len() > MOST_KEYS {
            return Err(SetFault::TooManyKeys);
        }
        let mut set = Self::default();
        for (index, jwk) in keys.iter().enumerate() {
            if let Err(fault) = set.add(jwk, uses) {
                tracing::warn!(issuer, index, fault, "published key not used");
            }
        }
        Ok(set)
    }

    /// The key that `kid` names, or without a `kid` the only one that could have been meant.
    pub(crate) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Reason> {
        let Some(kid) = kid else {
            let mut fitting = self.usable().filter(|key| key.takes(algorithm));
            return match (fitting.next(), fitting.next()) {
                (None, _) => Err(Reason::UnknownKid),
                (Some(key), None) => Ok(Arc::clone(key)),
                (Some(_), Some(_)) => Err(Reason::KeyAmbiguous),
            };
        };
        match self.by_id.get(kid) {
            None => Err(Reason::UnknownKid),
            Some(Slot::Usable(key)) => Ok(Arc::clone(key)),
            Some(Slot::Refused) => Err(Reason::KeyUnusable),
            Some(Slot::Ambiguous) => Err(Reason::KeyAmbiguous),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.usable().count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.usable().next().is_none()
    }

    fn usable(&self) -> impl Iterator<Item = &Arc<Key>> {
        let named = self.by_id.values().filter_map(|slot| match slot {
            Slot::Usable(key) => Some(key),
            Slot::Refused | Slot::Ambiguous => None,
        });
        named.chain(&self.unnamed)
    }

    fn add(&mut self, jwk: &Value, uses: &[&str]) -> Result<(), &'static str> {
        let jwk = jwk.as_object().ok_or("is not a JSON object")?;
        let key = Key::read(jwk, uses).map(Arc::new);
        match jwk.get("kid") {
            None => self.unnamed.push(key?),
            Some(Value::String(kid)) if (1..=KID_LIMIT).contains(&kid.len()) => {
                match self.by_id.entry(kid.clone()) {
                    // Two keys under one id, even if one is unusable: which is meant is anybody's
                    // guess, and guessing is how a key of lesser trust gets tried.
                    Entry::Occupied(mut taken) => {
                        taken.insert(Slot::Ambiguous);
                        return Err("shares its id with another");
                    }
                    Entry::Vacant(free) => match key {
                        Ok(key) => free.insert(Slot::Usable(key)),
                        Err(fault) => {
                            free.insert(Slot::Refused);
                            return Err(fault);
                        }
                    },
                };
            }
            Some(_) => return Err("has an id that is not a text of 1 to 256 bytes"),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    use serde_json::json;

    use super::*;

    fn ed(kid: &str, fill: u8) -> Value {
        json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": URL_SAFE_NO_PAD.encode([fill; 32])})
    }

    fn set(keys: &[Value]) -> KeySet {
        KeySet::parse(
            "ci",
            json!({ "keys": keys }).to_string().as_bytes(),
            &["sig"],
        )
        .unwrap()
    }

    fn find(set: &KeySet, kid: Option<&str>) -> Result<(), Reason> {
        set.find(kid, Algorithm::EdDsa).map(|_| ())
    }

    #[test]
    fn an_id_finds_its_key_only() {
        let set = set(&[ed("a", 1), ed("b", 2)]);
        assert_eq!(set.len(), 2);
        assert_eq!(find(&set, Some("a")), Ok(()));
        assert_eq!(find(&set, Some("../a")), Err(Reason::UnknownKid));
        assert_eq!(find(&set, Some("")), Err(Reason::UnknownKid));
    }

    #[test]
    fn of_two_keys_under_one_id_neither_is_used() {
        let mut weak = ed("a", 1);
        weak["use"] = json!("enc");
        for keys in [
            [ed("a", 1), ed("a", 2)],
            [weak.clone(), ed("a", 2)],
            [ed("a", 2), weak],
        ] {
            let set = set(&keys);
            assert_eq!(find(&set, Some("a")), Err(Reason::KeyAmbiguous));
            assert!(set.is_empty());
        }
    }

    #[test]
    fn without_an_id_there_must_be_one_choice() {
        assert_eq!(find(&set(&[]), None), Err(Reason::UnknownKid));
        assert_eq!(find(&set(&[ed("a", 1)]), None), Ok(()));
        assert_eq!(
            find(&set(&[ed("a", 1), ed("b", 2)]), None),
            Err(Reason::KeyAmbiguous)
        );
        let mut unnamed = ed("", 3);
        unnamed.as_object_mut().unwrap().remove("kid");
        assert_eq!(find(&set(std::slice::from_ref(&unnamed)), None), Ok(()));
        assert_eq!(
            find(&set(&[unnamed, ed("a", 1)]), None),
            Err(Reason::KeyAmbiguous)
        );
    }

    #[test]
    fn an_unusable_key_is_told_from_an_unknown_one() {
        let mut short = ed("a", 1);
        short["x"] = json!("AA");
        assert_eq!(find(&set(&[short]), Some("a")), Err(Reason::KeyUnusable));
    }

    #[test]
    fn a_document_that_is_no_key_set_is_told_apart() {
        let parse = |text: &str| KeySet::parse("ci", text.as_bytes(), &["sig"]).map(|_| ());
        assert_eq!(parse("<html>"), Err(SetFault::NotJson));
        assert_eq!(parse("{}"), Err(SetFault::NoKeys));
        assert_eq!(
            parse(r#"{"keys":[],"keys":[]}"#),
            Err(SetFault::DuplicateMember)
        );
        let hundred = vec!["{}"; 100].join(",");
        assert_eq!(parse(&format!(r#"{{"keys":[{hundred}]}}"#)), Ok(()));
        assert_eq!(
            parse(&format!(r#"{{"keys":[{hundred},{{}}]}}"#)),
            Err(SetFault::TooManyKeys)
        );
    }
}
