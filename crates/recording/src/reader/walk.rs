//! Walking through the book along the log, for what is derived from it.

use std::ops::Range;

use rusqlite::OptionalExtension;
use tollbook_exchange::ExchangeId;
use tollbook_ledger::{Hash, Leaf, leaf_hash};

use super::{Reader, Summary, list};
use crate::{Error, ErrorKind, database::signed};

impl Reader {
    /// The exchanges of which the latest entry has an index in this range, in the order of those.
    ///
    /// One range after the other, up to [`size`](Self::size), takes each exchange once that has
    /// ended; one that was open at the time comes again with the entry that closes it.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn window(&self, range: Range<u64>) -> Result<Vec<Summary>, Error> {
        let bounds = [signed(range.start)?, signed(range.end)?];
        self.read(|book| {
            let sql = format!(
                "{0} WHERE closed >= ?1 AND closed < ?2
                 UNION ALL {0} WHERE intent >= ?1 AND intent < ?2 AND closed IS NULL
                 ORDER BY latest",
                list::COLUMNS
            );
            let rows = book
                .prepare_cached(&sql)?
                .query_map(bounds, list::summary)?
                .collect::<Result<_, _>>()?;
            Ok(rows)
        })
    }

    /// The exchanges of which these are the indexes of the first entries, in the same order. Those
    /// that are none are left out.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn summaries(&self, indexes: &[u64]) -> Result<Vec<Summary>, Error> {
        self.read(|book| {
            let sql = format!("{} WHERE intent = ?1", list::COLUMNS);
            let mut row = book.prepare_cached(&sql)?;
            let mut found = Vec::with_capacity(indexes.len());
            for index in indexes {
                found.extend(row.query_row([signed(*index)?], list::summary).optional()?);
            }
            Ok(found)
        })
    }

    /// The exchange to which the entry at this index belongs, if there is one.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn exchange_at(&self, index: u64) -> Result<Option<ExchangeId>, Error> {
        let index = signed(index)?;
        self.read(|book| {
            let id = book
                .prepare_cached("SELECT id FROM exchange WHERE intent = ?1 OR closed = ?1")?
                .query_row([index], |row| row.get(0))
                .optional()?;
            Ok(id.map(ExchangeId::from_bytes))
        })
    }

    /// The hashes of the leaves with these indexes: fewer where the log does not go so far.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn leaf_hashes(&self, range: Range<u64>) -> Result<Vec<Hash>, Error> {
        let bounds = [signed(range.start)?, signed(range.end)?];
        self.read(|book| {
            let mut rows = book.prepare_cached(
                "SELECT leaf FROM entry WHERE seq >= ?1 AND seq < ?2 ORDER BY seq",
            )?;
            let mut rows = rows.query(bounds)?;
            let mut hashes = Vec::new();
            while let Some(row) = rows.next()? {
                let leaf = row.get_ref(0)?.as_blob();
                let leaf = leaf.map_err(|error| Error::because(ErrorKind::Corrupt, error))?;
                hashes.push(leaf_hash(leaf));
            }
            Ok(hashes)
        })
    }

    /// When the entry at this index was written, in microseconds since 1970, if the log goes so far.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn entry_time(&self, index: u64) -> Result<Option<i64>, Error> {
        let index = signed(index)?;
        self.read(|book| {
            let leaf: Option<Vec<u8>> = book
                .prepare_cached("SELECT leaf FROM entry WHERE seq = ?1")?
                .query_row([index], |row| row.get(0))
                .optional()?;
            leaf.map(|leaf| Ok(Leaf::from_bytes(&leaf)?.header.time))
                .transpose()
        })
    }

    /// What the log has at this index, if it goes so far: another book has something else there.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn leaf_at(&self, index: u64) -> Result<Option<[u8; 32]>, Error> {
        let index = signed(index)?;
        self.read(|book| {
            let leaf: Option<Vec<u8>> = book
                .prepare_cached("SELECT leaf FROM entry WHERE seq = ?1")?
                .query_row([index], |row| row.get(0))
                .optional()?;
            Ok(leaf.map(|leaf| leaf_hash(&leaf).0))
        })
    }
}
