//! What the log says of what was destroyed, and of what must not be.

use serde_json::{Value, json};
use tollbook_ledger::Kind;

use crate::{
    Error,
    envelope::own,
    keys::{Class, KeyId},
    queue::Entry,
};

/// Keys that are destroyed, as an entry of the log says so.
///
/// It is written before they are, and is the list that a crash, or a copy of the keys that is put
/// back, is held against. It has no word of what was recorded: ids of keys are random, and who is
/// erased is not named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    /// Whose keys.
    pub(crate) keys: Vec<KeyId>,
    /// Which of them.
    pub(crate) classes: Vec<Class>,
}

/// Why keys are destroyed, for the record.
#[derive(Clone, Debug)]
pub(super) struct Cause<'a> {
    /// `erasure` or `retention`.
    pub(super) why: &'static str,
    /// Who asked.
    pub(super) by: &'a str,
    /// On what ground.
    pub(super) basis: &'a str,
    /// Why a minimum did not count, where one would have.
    pub(super) minimum: Option<&'a str>,
    /// How many exchanges.
    pub(super) exchanges: u64,
}

impl Tombstone {
    /// The entry.
    pub(super) fn entry(&self, cause: &Cause<'_>) -> Result<Entry, Error> {
        let keys: Vec<String> = self.keys.iter().map(ToString::to_string).collect();
        let classes: Vec<&str> = self.classes.iter().map(|class| class.as_str()).collect();
        own(
            Kind::Tombstone,
            0,
            json!({
                "why": cause.why,
                "by": cause.by,
                "basis": cause.basis,
                "minimum_overridden": cause.minimum,
                "exchanges": cause.exchanges,
                "classes": classes,
                "keys": keys,
            }),
        )
    }

    /// Reads the envelope of one.
    pub(crate) fn read(envelope: &Value) -> Option<Self> {
        if envelope.get("kind")?.as_str()? != Kind::Tombstone.as_str() {
            return None;
        }
        let keys = envelope.get("keys")?.as_array()?.iter();
        let classes = envelope.get("classes")?.as_array()?.iter();
        Some(Self {
            keys: keys
                .map(|key| KeyId::parse(key.as_str()?))
                .collect::<Option<_>>()?,
            classes: classes
                .map(|class| Class::parse(class.as_str()?))
                .collect::<Option<_>>()?,
        })
    }
}

/// The entry of a hold that begins. Its subject is told by its keyed hash alone.
pub(super) fn hold(
    session: Option<&str>,
    subject: Option<&str>,
    by: &str,
    reason: &str,
) -> Result<Entry, Error> {
    let told = json!({
        "act": "added", "session": session, "subject": subject, "by": by, "reason": reason,
    });
    own(Kind::Hold, 0, told)
}

/// The entry of a hold that ends. `hold` is the index of its first entry.
pub(super) fn release(hold: u64, by: &str, reason: &str) -> Result<Entry, Error> {
    let told = json!({ "act": "released", "hold": hold, "by": by, "reason": reason });
    own(Kind::Hold, 0, told)
}

/// The entry of an erasure that was asked for and is not done, because of these holds.
pub(super) fn refused(holds: &[u64], by: &str, basis: &str) -> Result<Entry, Error> {
    let told = json!({ "act": "erasure_refused", "holds": holds, "by": by, "basis": basis });
    own(Kind::Hold, 0, told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_is_read_as_it_was_written() {
        let tombstone = Tombstone {
            keys: vec![KeyId::random().unwrap(), KeyId::random().unwrap()],
            classes: vec![Class::Request, Class::Answer],
        };
        let cause = Cause {
            why: "erasure",
            by: "corp/ana",
            basis: "ticket 12",
            minimum: None,
            exchanges: 3,
        };
        let entry = tombstone.entry(&cause).unwrap();
        let envelope: Value = serde_json::from_slice(&entry.envelope).unwrap();
        assert_eq!(Tombstone::read(&envelope), Some(tombstone.clone()));
        for key in ["keys", "classes", "kind"] {
            let mut other = envelope.clone();
            other[key] = json!(["x"]);
            assert_eq!(Tombstone::read(&other), None, "{key}");
        }
    }
}
