//! What the book says was erased.

use std::collections::HashMap;

use rusqlite::Connection;
use serde_json::{Value, json};
use tollbook_exchange::Timestamp;
use tollbook_ledger::Leaf;

use crate::{
    Error, ErrorKind,
    database::{signed, unsigned},
    keys::{CLASSES, Class, KeyId},
};

/// The tombstones of a book: which keys were destroyed, and where it says so.
///
/// A tombstone is an entry of the book's own. Its envelope has in `keys` the ids of scopes' keys, of
/// 32 hexadecimal digits each, in `classes` which of them, by the names of [`Class`], and whatever else
/// is to be told.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tombstones {
    /// The entries before this index were looked at.
    seen: u64,
    /// By key, the index of the first tombstone for each class.
    by_key: HashMap<KeyId, [Option<u64>; CLASSES]>,
    stones: HashMap<u64, Stone>,
}

/// What is told of a tombstone.
#[derive(Clone, Debug)]
struct Stone {
    time: i64,
    envelope: Value,
}

impl Tombstones {
    /// Goes on to the tombstones that came since. Those that are not what was committed to count
    /// for nothing.
    pub(crate) fn read(&mut self, book: &Connection) -> Result<(), Error> {
        let size: i64 =
            book.query_row("SELECT coalesce(max(seq) + 1, 0) FROM entry", [], |row| {
                row.get(0)
            })?;
        let mut found = book.prepare_cached(
            "SELECT seq, leaf, salt, envelope FROM entry
             WHERE seq >= ?1 AND substr(leaf, 2, 1) = x'08' ORDER BY seq",
        )?;
        // The literal is that of the index, without which all of the log would be looked at.
        let mut found = found.query([signed(self.seen)?])?;
        while let Some(row) = found.next()? {
            let (leaf, salt, envelope): (Vec<u8>, Option<[u8; 32]>, Vec<u8>) =
                (row.get(1)?, row.get(2)?, row.get(3)?);
            if let (Ok(leaf), Some(salt)) = (Leaf::from_bytes(&leaf), salt)
                && leaf.opens_with(&salt, &envelope)
            {
                self.push(leaf.header.sequence, leaf.header.time, &envelope)?;
            }
        }
        self.seen = unsigned(size)?;
        Ok(())
    }

    fn push(&mut self, index: u64, time: i64, envelope: &[u8]) -> Result<(), Error> {
        let mut envelope: Value = serde_json::from_slice(envelope)
            .map_err(|error| Error::because(ErrorKind::Corrupt, error))?;
        for key in envelope["keys"].as_array().into_iter().flatten() {
            let Some(id) = key.as_str().and_then(KeyId::parse) else {
                continue;
            };
            let places = self.by_key.entry(id).or_default();
            for class in envelope["classes"].as_array().into_iter().flatten() {
                if let Some(class) = class.as_str().and_then(Class::parse) {
                    places[usize::from(class.number())].get_or_insert(index);
                }
            }
        }
        if let Value::Object(told) = &mut envelope {
            told.remove("keys");
        }
        self.stones.insert(index, Stone { time, envelope });
        Ok(())
    }

    /// Where the book says that this key was destroyed.
    pub(crate) fn of(&self, id: KeyId, class: Class) -> Option<u64> {
        self.by_key.get(&id)?[usize::from(class.number())]
    }

    /// How an erased exchange is shown: which classes, and what the tombstones say.
    pub(crate) fn show(&self, id: KeyId, classes: &[Class]) -> Value {
        let names: Vec<_> = classes.iter().map(|class| class.as_str()).collect();
        let mut indexes: Vec<u64> = classes
            .iter()
            .filter_map(|class| self.of(id, *class))
            .collect();
        indexes.sort_unstable();
        indexes.dedup();
        let stones = indexes.iter().filter_map(|index| {
            let stone = self.stones.get(index)?;
            Some(json!({
                "index": index,
                "time": Timestamp::from_micros(stone.time),
                "told": stone.envelope,
            }))
        });
        json!({ "classes": names, "tombstones": stones.collect::<Vec<_>>() })
    }
}
