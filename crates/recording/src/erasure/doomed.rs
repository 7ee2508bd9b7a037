//! What is dropped of a scope whose keys are destroyed.

use std::{collections::HashSet, sync::Arc};

use rusqlite::{OptionalExtension, Transaction, params};
use tollbook_ledger::Leaf;

use crate::{Error, blob, database::signed, keys::KeyId, scopes::piece_id};

/// Some of what is dropped.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doomed {
    /// The indexes of the first entries of exchanges, and what of each, in the order of the log: so
    /// that each page is changed but once.
    pub(super) exchanges: Vec<(u64, Gone)>,
    /// The keys for metadata that the tombstones tell of.
    pub(super) told: Arc<HashSet<KeyId>>,
    /// The numbers of scopes whose requests are.
    pub(super) scopes: Vec<u64>,
}

/// What of an exchange is dropped.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone {
    pub(super) metadata: bool,
    /// The answer, of whichever class it is.
    pub(super) answer: bool,
}

impl Doomed {
    /// Drops what the keys would open, and what of it stands in columns. What is dropped leaves its
    /// digest behind, so that the log can be checked as before. Nothing is changed where that was
    /// done before.
    pub(crate) fn drop_in(&self, book: &Transaction<'_>) -> Result<(), Error> {
        for (intent, gone) in &self.exchanges {
            if gone.metadata {
                drop_metadata(book, *intent, &self.told)?;
            }
            if gone.answer {
                drop_answer(book, *intent)?;
            }
        }
        self.scopes
            .iter()
            .try_for_each(|scope| drop_requests(book, *scope))
    }
}

fn drop_metadata(book: &Transaction<'_>, intent: u64, told: &HashSet<KeyId>) -> Result<(), Error> {
    empty(book, intent)?;
    // Whose scope it was: by the keyed hash one could still see which of them were one subject's.
    book.prepare_cached(
        "UPDATE scope SET holder = zeroblob(32)
         WHERE number = (SELECT scope FROM exchange WHERE intent = ?1) AND holder <> zeroblob(32)",
    )?
    .execute([signed(intent)?])?;
    let closed: Option<i64> = book
        .prepare_cached("SELECT closed FROM exchange WHERE intent = ?1")?
        .query_row([signed(intent)?], |row| row.get(0))?;
    for entry in [Some(signed(intent)?), closed].into_iter().flatten() {
        let (leaf, envelope): (Vec<u8>, Vec<u8>) = book
            .prepare_cached("SELECT leaf, envelope FROM entry WHERE seq = ?1")?
            .query_row([entry], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // An outcome may have a key of its own. Without a tombstone for that it would be a loss.
        let key = KeyId(Leaf::from_bytes(&leaf)?.header.seal.key);
        if told.contains(&key) && !blob::is_stub(&envelope) {
            book.prepare_cached("UPDATE entry SET envelope = ?2 WHERE seq = ?1")?
                .execute(params![entry, blob::stub(&[], &envelope)])?;
        }
    }
    Ok(())
}

fn drop_requests(book: &Transaction<'_>, scope: u64) -> Result<(), Error> {
    let last = piece_id(scope, u32::MAX)?;
    let mut from = piece_id(scope, 0)?;
    // One at a time: packs are large.
    while let Some((id, pieces, addresses, data)) = book
        .prepare_cached(
            "SELECT id, pieces, addresses, data FROM pack WHERE id BETWEEN ?1 AND ?2
             ORDER BY id LIMIT 1",
        )?
        .query_row([from, last], |row| {
            let (addresses, data): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, u32>(1)?,
                addresses,
                data,
            ))
        })
        .optional()?
    {
        if !blob::is_stub(&data) {
            let stub = blob::stub(&[&pieces.to_be_bytes(), &addresses], &data);
            book.prepare_cached("UPDATE pack SET data = ?2, addresses = x'' WHERE id = ?1")?
                .execute(params![id, stub])?;
        }
        if id == last {
            break;
        }
        from = id + 1;
    }
    Ok(())
}

fn drop_answer(book: &Transaction<'_>, intent: u64) -> Result<(), Error> {
    let parts: Vec<i64> = book
        .prepare_cached(
            "SELECT part.rowid FROM exchange JOIN part ON exchange = id WHERE intent = ?1",
        )?
        .query_map([signed(intent)?], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    // One at a time: parts are large.
    for part in parts {
        let data: Vec<u8> = book
            .prepare_cached("SELECT data FROM part WHERE rowid = ?1")?
            .query_row([part], |row| row.get(0))?;
        if !blob::is_stub(&data) {
            book.prepare_cached("UPDATE part SET data = ?2 WHERE rowid = ?1")?
                .execute(params![part, blob::stub(&[], &data)])?;
        }
    }
    Ok(())
}

/// Blanks the columns of an exchange that say who asked for what, byte for byte.
pub(crate) fn empty(book: &Transaction<'_>, intent: u64) -> Result<(), Error> {
    let blank =
        |column| format!("{column} = replace(hex(zeroblob(octet_length({column}))), '00', ' ')");
    let columns = ["kind", "issuer", "subject", "action", "model"].map(blank);
    let sql = format!("UPDATE caller SET {} WHERE intent = ?1", columns.join(", "));
    book.prepare_cached(&sql)?.execute([signed(intent)?])?;
    Ok(())
}
