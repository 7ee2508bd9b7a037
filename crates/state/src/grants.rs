//! Grants.

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tollbook_approvals::{Grant, GrantFilter};
use tollbook_exchange::Timestamp;

use crate::{
    Error, ErrorKind,
    database::signed,
    tokens::{json, record, text},
};

pub(crate) fn add(to: &Transaction<'_>, grant: &Grant) -> Result<(), Error> {
    let mut insert = to.prepare_cached(
        "INSERT INTO granted (id, version, identity, connection, begins, until, review, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
         ON CONFLICT (id) DO NOTHING",
    )?;
    let inserted = insert.execute(params![
        grant.id.as_str(),
        signed(grant.version)?,
        grant.scope.identity,
        grant.scope.connection,
        grant.from.as_micros(),
        grant.until.as_micros(),
        grant.review_is_open(),
        json(grant)?,
    ])?;
    if inserted == 1 {
        Ok(())
    } else {
        Err(ErrorKind::Exists.into())
    }
}

pub(crate) fn swap(to: &Transaction<'_>, expected: u64, next: &Grant) -> Result<bool, Error> {
    let mut update = to.prepare_cached(
        "UPDATE granted
         SET version = ?2, identity = ?3, connection = ?4, begins = ?5, until = ?6, review = ?7,
             record = ?8
         WHERE id = ?1 AND version = ?9",
    )?;
    let updated = update.execute(params![
        next.id.as_str(),
        signed(next.version)?,
        next.scope.identity,
        next.scope.connection,
        next.from.as_micros(),
        next.until.as_micros(),
        next.review_is_open(),
        json(next)?,
        signed(expected)?,
    ])?;
    Ok(updated == 1)
}

pub(crate) fn find(from: &Connection, id: &str) -> Result<Option<Grant>, Error> {
    let mut select = from.prepare_cached("SELECT record FROM granted WHERE id = ?1")?;
    let found = select.query_row([id], text).optional()?;
    found.map(|text| record(&text)).transpose()
}

/// Whether a grant is in force is for the approvals crate to say; SQL only narrows the search.
pub(crate) fn list(from: &Connection, filter: &GrantFilter) -> Result<Vec<Grant>, Error> {
    let mut select = from.prepare_cached(
        "SELECT record FROM granted
         WHERE (?1 IS NULL OR identity = ?1) AND (?2 IS NULL OR connection = ?2)
             AND (?3 IS NULL OR until > ?3) AND (?4 = 0 OR review = 1)
         ORDER BY begins DESC, id DESC",
    )?;
    let active = filter.active_at.map(Timestamp::as_micros);
    let by = params![
        filter.identity,
        filter.connection,
        active,
        filter.open_review
    ];
    let mut rows = select.query(by)?;
    let mut found = Vec::new();
    while found.len() < filter.limit()
        && let Some(row) = rows.next()?
    {
        let grant: Grant = record(&text(row)?)?;
        if filter.admits(&grant) {
            found.push(grant);
        }
    }
    Ok(found)
}

/// Those that ended before this time, in microseconds since 1970, and need no review any more.
pub(crate) fn forget(to: &Transaction<'_>, before: i64) -> Result<u64, Error> {
    let forgotten = to.execute(
        "DELETE FROM granted WHERE until < ?1 AND review = 0",
        [before],
    )?;
    Ok(forgotten as u64)
}
