//! Gateway tokens, revocations, and counts of exchanges.

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};
use tollbook_identity::{
    AssertionHash, Revocation, Revoked, StoreError, StoreFuture, TokenHash, TokenId, TokenRecord,
    TokenStore,
};

use crate::{Error, ErrorKind, State, database::limit};

/// Gateway tokens in the [`State`].
#[derive(Clone, Debug)]
pub struct SqliteTokens(pub(crate) State);

impl TokenStore for SqliteTokens {
    fn insert(&self, record: TokenRecord) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let done = self.0.write(move |to| insert(to, &record)).await;
            done.map_err(store_error)
        })
    }

    fn find(&self, hash: TokenHash) -> StoreFuture<'_, Option<TokenRecord>> {
        Box::pin(async move {
            let found = self.0.read(move |from| find(from, &hash)).await;
            found.map_err(store_error)
        })
    }

    fn revoke(&self, revocation: Revocation) -> StoreFuture<'_, Vec<TokenId>> {
        Box::pin(async move {
            let done = self.0.write(move |to| revoke(to, &revocation)).await;
            done.map_err(store_error)
        })
    }

    fn revocations(&self, now: i64) -> StoreFuture<'_, Vec<Revocation>> {
        Box::pin(async move {
            let found = self.0.read(move |from| {
                let mut select = from
                    .prepare_cached("SELECT record FROM revocation WHERE until > ?1 ORDER BY id")?;
                all(select.query_map([now], text)?)
            });
            found.await.map_err(store_error)
        })
    }

    fn count_exchange(
        &self,
        assertion: AssertionHash,
        until: i64,
        limit: u32,
    ) -> StoreFuture<'_, u32> {
        Box::pin(async move {
            let done = self.0.write(move |to| count(to, &assertion, until, limit));
            done.await.map_err(store_error)
        })
    }

    fn list(&self, most: usize) -> StoreFuture<'_, Vec<TokenRecord>> {
        Box::pin(async move {
            let found = self.0.read(move |from| {
                let mut select = from.prepare_cached(
                    "SELECT record FROM token ORDER BY issued DESC, hash LIMIT ?1",
                )?;
                all(select.query_map([limit(most)], text)?)
            });
            found.await.map_err(store_error)
        })
    }

    fn purge(&self, before: i64) -> StoreFuture<'_, u64> {
        Box::pin(async move {
            let done = self.0.write(move |to| {
                let tokens = to.execute("DELETE FROM token WHERE expires < ?1", [before])?;
                let counts = to.execute("DELETE FROM assertion WHERE until < ?1", [before])?;
                let revoked = to.execute("DELETE FROM revocation WHERE until < ?1", [before])?;
                Ok((tokens + counts + revoked) as u64)
            });
            done.await.map_err(store_error)
        })
    }
}

fn insert(to: &Transaction<'_>, record: &TokenRecord) -> Result<(), Error> {
    let mut insert = to.prepare_cached(
        "INSERT INTO token (hash, issued, expires, revoked, record) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT DO NOTHING",
    )?;
    let inserted = insert.execute(params![
        record.hash.as_bytes(),
        record.issued,
        record.expires,
        record.revoked.is_some(),
        json(record)?,
    ])?;
    if inserted == 1 {
        Ok(())
    } else {
        Err(ErrorKind::Exists.into())
    }
}

fn find(from: &Connection, hash: &TokenHash) -> Result<Option<TokenRecord>, Error> {
    let mut select = from.prepare_cached("SELECT record FROM token WHERE hash = ?1")?;
    let found = select.query_row([hash.as_bytes()], text).optional()?;
    found.map(|text| record(&text)).transpose()
}

/// Which tokens a revocation voids is for the identity crate to say, so every one that is not revoked
/// yet is looked at.
fn revoke(to: &Transaction<'_>, revocation: &Revocation) -> Result<Vec<TokenId>, Error> {
    to.execute(
        "INSERT INTO revocation (until, record) VALUES (?1, ?2)",
        params![revocation.until, json(revocation)?],
    )?;
    let mut voided = Vec::new();
    {
        let mut select = to.prepare_cached("SELECT record FROM token WHERE revoked = 0")?;
        let mut rows = select.query([])?;
        while let Some(row) = rows.next()? {
            let record: TokenRecord = record(&text(row)?)?;
            if record.revoked.is_none() && revocation.voids(&record) {
                voided.push(record);
            }
        }
    }
    let mut update =
        to.prepare_cached("UPDATE token SET revoked = 1, record = ?2 WHERE hash = ?1")?;
    let mut ids = Vec::with_capacity(voided.len());
    for mut record in voided {
        record.revoked = Some(Revoked {
            at: revocation.at,
            why: revocation.why.clone(),
        });
        update.execute(params![record.hash.as_bytes(), json(&record)?])?;
        ids.push(record.id());
    }
    ids.sort_unstable();
    Ok(ids)
}

fn count(
    to: &Transaction<'_>,
    assertion: &AssertionHash,
    until: i64,
    limit: u32,
) -> Result<u32, Error> {
    let mut select = to.prepare_cached("SELECT exchanges FROM assertion WHERE hash = ?1")?;
    let counted: Option<u32> = select
        .query_row([assertion.as_bytes()], |row| row.get(0))
        .optional()?;
    let so_far = counted.unwrap_or(0);
    let exchanges = so_far + u32::from(so_far < limit);
    if exchanges > 0 {
        let mut upsert = to.prepare_cached(
            "INSERT INTO assertion (hash, exchanges, until) VALUES (?1, ?2, ?3)
             ON CONFLICT (hash) DO UPDATE
             SET exchanges = excluded.exchanges, until = max(until, excluded.until)",
        )?;
        upsert.execute(params![assertion.as_bytes(), exchanges, until])?;
    }
    Ok(if so_far < limit {
        exchanges
    } else {
        limit.saturating_add(1)
    })
}

/// The record as it is kept.
pub(crate) fn json(record: &impl Serialize) -> Result<String, Error> {
    // The error may quote the record.
    serde_json::to_string(record).map_err(|_| ErrorKind::Corrupt.into())
}

/// The record that was kept.
pub(crate) fn record<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|_| ErrorKind::Corrupt.into())
}

pub(crate) fn text(row: &Row<'_>) -> rusqlite::Result<String> {
    row.get(0)
}

/// All records of a query.
pub(crate) fn all<T: DeserializeOwned>(
    rows: impl Iterator<Item = rusqlite::Result<String>>,
) -> Result<Vec<T>, Error> {
    rows.map(|text| record(&text?)).collect()
}

fn store_error(error: Error) -> StoreError {
    match error.kind() {
        ErrorKind::Exists => StoreError::Exists,
        _ => StoreError::unavailable(error),
    }
}
