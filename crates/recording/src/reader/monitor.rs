//! Reading again what was written.

use rusqlite::Transaction;
use tollbook_ledger::{Entry, Hash, Leaf, Verifier};

use super::{Fault, Reader};
use crate::{Error, ErrorKind, database::signed, opener};

/// Goes after the writer of a book and reads again what it wrote.
///
/// A disk can give back something else than what it was given, and whoever finds out in a year
/// finds out too late. Each [`look`](Self::look) reads what came since the last one, holds it
/// against what was signed, and remembers what was wrong. It needs no keys for that. It does not look at what it read before:
/// that is what [`Reader::verify`] is for.
pub struct Monitor {
    reader: Reader,
    verifier: Verifier,
    /// Where the journal cannot be read because it is damaged.
    damage: Option<u64>,
}

impl Monitor {
    /// Begins at the beginning of the book.
    ///
    /// # Errors
    ///
    /// When there is no key in its folder.
    pub fn new(reader: Reader) -> Result<Self, Error> {
        let verifier = Verifier::new(reader.key(None)?);
        Ok(Self {
            reader,
            verifier,
            damage: None,
        })
    }

    /// Reads on, at most so many entries. Returns whether it has seen all that there is. Blocks.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read. What is wrong with one that can be is in
    /// [`faults`](Self::faults).
    pub fn look(&mut self, limit: u64) -> Result<bool, Error> {
        let verifier = &mut self.verifier;
        let read = self.reader.read(|book| go_on(book, verifier, limit));
        if let Err(error) = &read
            && error.is_damage()
        {
            self.damage = Some(self.verifier.size());
            return Ok(true);
        }
        read
    }

    /// What was wrong so far; at most a thousand things.
    pub fn faults(&self) -> Vec<Fault> {
        let faults = self.verifier.faults().iter().map(|fault| Fault {
            index: fault.index,
            what: fault.what.to_string(),
        });
        let damage = self.damage.map(|index| Fault {
            index: Some(index),
            what: "the journal is damaged, and cannot be read from here on".to_owned(),
        });
        faults.chain(damage).collect()
    }

    /// The number of entries that it has seen.
    pub const fn seen(&self) -> u64 {
        self.verifier.size()
    }
}

impl std::fmt::Debug for Monitor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Monitor")
            .field("seen", &self.seen())
            .finish_non_exhaustive()
    }
}

fn go_on(book: &Transaction<'_>, verifier: &mut Verifier, limit: u64) -> Result<bool, Error> {
    let (size, note): (i64, String) = book.query_row("SELECT size, note FROM head", [], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let seen = verifier.size();
    let all = signed(seen.saturating_add(limit))? >= size;
    if all && size > signed(seen)? {
        // The head over what follows, which is compared when that has been read.
        verifier.checkpoint(&note);
    }
    let mut entries = book.prepare_cached(
        "SELECT leaf, salt, envelope FROM entry WHERE seq >= ?1 ORDER BY seq LIMIT ?2",
    )?;
    let mut entries = entries.query([signed(seen)?, signed(limit)?])?;
    while let Some(row) = entries.next()? {
        let blob = |column| {
            let blob = row.get_ref(column)?.as_blob();
            blob.map_err(|error| Error::because(ErrorKind::Corrupt, error))
        };
        let (leaf, envelope) = (blob(0)?, blob(2)?);
        let sealed = match Leaf::from_bytes(leaf) {
            Ok(leaf) => opener::stored(book, &leaf.header, envelope)?,
            // Whatever it is, it does not fit.
            Err(_) => Some(Hash::empty()),
        };
        match sealed {
            Some(sealed) => verifier.sealed(leaf, &sealed),
            None => verifier.entry(&Entry {
                leaf,
                salt: blob(1)?,
                envelope,
            }),
        };
    }
    Ok(all)
}
