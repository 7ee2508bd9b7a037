//! What is dropped of a scope whose keys are destroyed.

use rusqlite::{OptionalExtension, Transaction, params};

use crate::{Error, blob, database::signed, keys::Class, scopes::piece_id};

/// A scope of which something is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Doomed {
    pub(super) number: u64,
    /// What.
    pub(super) classes: Vec<Class>,
    /// The indexes of the first entries of its exchanges.
    pub(super) exchanges: Vec<u64>,
}

impl Doomed {
    /// Drops what the keys would open, and what of it stands in columns. What is dropped leaves its
    /// digest behind, so that the log can be checked as before. Nothing is changed where that was
    /// done before.
    pub(crate) fn drop_in(&self, book: &Transaction<'_>) -> Result<(), Error> {
        for class in &self.classes {
            match class {
                Class::Metadata => self.drop_metadata(book)?,
                Class::Request => self.drop_requests(book)?,
                Class::Answer => self.drop_answers(book)?,
            }
        }
        Ok(())
    }

    fn drop_metadata(&self, book: &Transaction<'_>) -> Result<(), Error> {
        for intent in &self.exchanges {
            empty(book, *intent)?;
            let closed: Option<i64> = book
                .prepare_cached("SELECT closed FROM exchange WHERE intent = ?1")?
                .query_row([signed(*intent)?], |row| row.get(0))?;
            for entry in [Some(signed(*intent)?), closed].into_iter().flatten() {
                let envelope: Vec<u8> = book
                    .prepare_cached("SELECT envelope FROM entry WHERE seq = ?1")?
                    .query_row([entry], |row| row.get(0))?;
                book.prepare_cached("UPDATE entry SET envelope = ?2 WHERE seq = ?1")?
                    .execute(params![
                        entry,
                        left(&envelope, || blob::stub(&[], &envelope))
                    ])?;
            }
        }
        Ok(())
    }

    fn drop_requests(&self, book: &Transaction<'_>) -> Result<(), Error> {
        let last = piece_id(self.number, u32::MAX)?;
        let mut from = piece_id(self.number, 0)?;
        // One at a time: packs are large.
        while let Some((id, pieces, addresses, data)) = book
            .prepare_cached(
                "SELECT id, pieces, addresses, data FROM pack WHERE id BETWEEN ?1 AND ?2
                 ORDER BY id LIMIT 1",
            )?
            .query_row([from, last], |row| {
                let addresses: Vec<u8> = row.get(2)?;
                let data: Vec<u8> = row.get(3)?;
                Ok((
                    row.get::<_, i64>(0)?,
                    row.get::<_, u32>(1)?,
                    addresses,
                    data,
                ))
            })
            .optional()?
        {
            let stub = left(&data, || {
                blob::stub(&[&pieces.to_be_bytes(), &addresses], &data)
            });
            book.prepare_cached("UPDATE pack SET data = ?2, addresses = x'' WHERE id = ?1")?
                .execute(params![id, stub])?;
            if id == last {
                break;
            }
            from = id + 1;
        }
        Ok(())
    }

    fn drop_answers(&self, book: &Transaction<'_>) -> Result<(), Error> {
        for intent in &self.exchanges {
            let id: [u8; 16] = book
                .prepare_cached("SELECT id FROM exchange WHERE intent = ?1")?
                .query_row([signed(*intent)?], |row| row.get(0))?;
            let places: Vec<(i64, i64)> = book
                .prepare_cached("SELECT kind, ordinal FROM part WHERE exchange = ?1")?
                .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            for (kind, ordinal) in places {
                let place = params![id, kind, ordinal];
                let data: Vec<u8> = book
                    .prepare_cached(
                        "SELECT data FROM part WHERE exchange = ?1 AND kind = ?2 AND ordinal = ?3",
                    )?
                    .query_row(place, |row| row.get(0))?;
                book.prepare_cached(
                    "UPDATE part SET data = ?4 WHERE exchange = ?1 AND kind = ?2 AND ordinal = ?3",
                )?
                .execute(params![
                    id,
                    kind,
                    ordinal,
                    left(&data, || blob::stub(&[], &data))
                ])?;
            }
        }
        Ok(())
    }
}

/// Empties the columns of an exchange that say who asked for what.
pub(crate) fn empty(book: &Transaction<'_>, intent: u64) -> Result<(), Error> {
    book.prepare_cached(
        "UPDATE exchange SET kind = NULL, issuer = NULL, subject = NULL, action = NULL,
             model = NULL WHERE intent = ?1",
    )?
    .execute([signed(intent)?])?;
    Ok(())
}

/// What is left of something stored: what already was left of it, or what is now.
fn left(stored: &[u8], stub: impl FnOnce() -> Vec<u8>) -> Vec<u8> {
    if blob::is_stub(stored) {
        stored.to_vec()
    } else {
        stub()
    }
}
