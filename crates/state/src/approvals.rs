//! Approvals.

use rusqlite::{Connection, OptionalExtension, Transaction, params, types::Value};
use tollbook_approvals::{
    Approval, ApprovalId, BoxFuture, Digests, Filter, Grant, GrantFilter, GrantId, Opened,
    State as Standing, Store, StoreError,
};
use tollbook_exchange::Timestamp;

use crate::{
    Error, ErrorKind, State,
    database::{limit, signed},
    grants,
    tokens::{all, json, record, text},
};

/// Approvals and grants in the [`State`].
#[derive(Clone, Debug)]
pub struct SqliteApprovals(pub(crate) State);

impl Store for SqliteApprovals {
    fn open<'a>(
        &'a self,
        approval: &'a Approval,
        limit: usize,
    ) -> BoxFuture<'a, Result<Opened, StoreError>> {
        let approval = approval.clone();
        Box::pin(async move {
            let done = self.0.write(move |to| open(to, &approval, limit));
            done.await.map_err(StoreError::new)
        })
    }

    fn swap<'a>(
        &'a self,
        expected: u64,
        next: &'a Approval,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let next = next.clone();
        Box::pin(async move {
            let done = self.0.write(move |to| swap(to, expected, &next));
            done.await.map_err(StoreError::new)
        })
    }

    fn approval<'a>(
        &'a self,
        id: &'a ApprovalId,
    ) -> BoxFuture<'a, Result<Option<Approval>, StoreError>> {
        let id = id.to_string();
        Box::pin(async move {
            let found = self.0.read(move |from| {
                let mut select =
                    from.prepare_cached("SELECT record FROM approval WHERE id = ?1")?;
                let found = select.query_row([id], text).optional()?;
                found.map(|text| record(&text)).transpose()
            });
            found.await.map_err(StoreError::new)
        })
    }

    fn matching<'a>(
        &'a self,
        owner: &'a str,
        connection: &'a str,
        digests: &'a Digests,
    ) -> BoxFuture<'a, Result<Vec<Approval>, StoreError>> {
        let owner = owner.to_owned();
        let connection = connection.to_owned();
        let digests = digests.clone();
        Box::pin(async move {
            let found = self.0.read(move |from| {
                // No digest equals a missing one: in SQL nothing equals NULL.
                let mut select = from.prepare_cached(
                    "SELECT record FROM approval
                     WHERE owner = ?1 AND connection = ?2 AND (exact = ?3 OR semantic = ?4)
                     ORDER BY created DESC, id DESC LIMIT 64",
                )?;
                let by = params![owner, connection, digests.exact, digests.semantic];
                all(select.query_map(by, text)?)
            });
            found.await.map_err(StoreError::new)
        })
    }

    fn approvals<'a>(
        &'a self,
        filter: &'a Filter,
    ) -> BoxFuture<'a, Result<Vec<Approval>, StoreError>> {
        let filter = filter.clone();
        Box::pin(async move {
            let found = self.0.read(move |from| list(from, &filter));
            found.await.map_err(StoreError::new)
        })
    }

    fn due(&self, now: Timestamp, most: usize) -> BoxFuture<'_, Result<Vec<Approval>, StoreError>> {
        Box::pin(async move {
            let found = self.0.read(move |from| {
                let mut select = from.prepare_cached(
                    "SELECT record FROM approval WHERE due <= ?1 ORDER BY due, id LIMIT ?2",
                )?;
                all(select.query_map(params![now.as_micros(), limit(most)], text)?)
            });
            found.await.map_err(StoreError::new)
        })
    }

    fn add_grant<'a>(&'a self, grant: &'a Grant) -> BoxFuture<'a, Result<(), StoreError>> {
        let grant = grant.clone();
        Box::pin(async move {
            let done = self.0.write(move |to| grants::add(to, &grant));
            done.await.map_err(StoreError::new)
        })
    }

    fn swap_grant<'a>(
        &'a self,
        expected: u64,
        next: &'a Grant,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        let next = next.clone();
        Box::pin(async move {
            let done = self.0.write(move |to| grants::swap(to, expected, &next));
            done.await.map_err(StoreError::new)
        })
    }

    fn grant<'a>(&'a self, id: &'a GrantId) -> BoxFuture<'a, Result<Option<Grant>, StoreError>> {
        let id = id.to_string();
        Box::pin(async move {
            let found = self.0.read(move |from| grants::find(from, &id));
            found.await.map_err(StoreError::new)
        })
    }

    fn grants<'a>(
        &'a self,
        filter: &'a GrantFilter,
    ) -> BoxFuture<'a, Result<Vec<Grant>, StoreError>> {
        let filter = filter.clone();
        Box::pin(async move {
            let found = self.0.read(move |from| grants::list(from, &filter));
            found.await.map_err(StoreError::new)
        })
    }

    fn forget(&self, before: Timestamp) -> BoxFuture<'_, Result<u64, StoreError>> {
        let before = before.as_micros();
        Box::pin(async move {
            let done = self.0.write(move |to| {
                let approvals = to.execute("DELETE FROM approval WHERE ended < ?1", [before])?;
                Ok(approvals as u64 + grants::forget(to, before)?)
            });
            done.await.map_err(StoreError::new)
        })
    }
}

/// Looks, counts and inserts.
fn open(to: &Transaction<'_>, approval: &Approval, most: usize) -> Result<Opened, Error> {
    let mut in_slot =
        to.prepare_cached("SELECT record FROM approval WHERE slot = ?1 AND open = 1")?;
    if let Some(found) = in_slot.query_row([&approval.slot], text).optional()? {
        return Ok(Opened::Joined(Box::new(record(&found)?)));
    }
    let mut pending = to.prepare_cached(
        "SELECT count(*) FROM approval WHERE identity = ?1 AND open = 1 AND state = ?2",
    )?;
    let by = params![approval.identity, Standing::Pending.as_str()];
    let pending: i64 = pending.query_row(by, |row| row.get(0))?;
    if pending >= limit(most) {
        return Ok(Opened::Full);
    }
    let mut insert = to.prepare_cached(
        "INSERT INTO approval (id, version, state, open, identity, owner, connection, exact,
             semantic, slot, created, due, ended, record)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
         ON CONFLICT (id) DO NOTHING",
    )?;
    if insert.execute(params_from(approval)?)? == 1 {
        Ok(Opened::New)
    } else {
        Err(ErrorKind::Exists.into())
    }
}

fn swap(to: &Transaction<'_>, expected: u64, next: &Approval) -> Result<bool, Error> {
    let mut update = to.prepare_cached(
        "UPDATE approval
         SET version = ?2, state = ?3, open = ?4, identity = ?5, owner = ?6, connection = ?7,
             exact = ?8, semantic = ?9, slot = ?10, created = ?11, due = ?12, ended = ?13,
             record = ?14
         WHERE id = ?1 AND version = ?15",
    )?;
    let columns = columns(next)?.into_iter();
    let expected = Value::from(signed(expected)?);
    let by = columns.chain([expected]);
    Ok(update.execute(rusqlite::params_from_iter(by))? == 1)
}

fn list(from: &Connection, filter: &Filter) -> Result<Vec<Approval>, Error> {
    let mut select = from.prepare_cached(
        "SELECT record FROM approval
         WHERE (?1 IS NULL OR state = ?1) AND (?2 IS NULL OR identity = ?2)
             AND (?3 IS NULL OR created >= ?3)
         ORDER BY created DESC, id DESC",
    )?;
    let state = filter.state.map(Standing::as_str);
    let since = filter.since.map(Timestamp::as_micros);
    let mut rows = select.query(params![state, filter.identity, since])?;
    let mut found = Vec::new();
    while found.len() < filter.limit
        && let Some(row) = rows.next()?
    {
        let approval: Approval = record(&text(row)?)?;
        if filter.admits(&approval) {
            found.push(approval);
        }
    }
    Ok(found)
}

/// The columns of an approval, in the order of the table.
fn columns(approval: &Approval) -> Result<[Value; 14], Error> {
    let time = |time: Option<Timestamp>| time.map(Timestamp::as_micros).into();
    let due = match approval.state {
        Standing::Pending => Some(approval.expires),
        Standing::Approved => approval.use_until,
        _ => None,
    };
    Ok([
        approval.id.to_string().into(),
        signed(approval.version)?.into(),
        approval.state.as_str().to_owned().into(),
        i64::from(!approval.state.is_final()).into(),
        approval.identity.clone().into(),
        approval.owner.clone().into(),
        approval.connection.clone().into(),
        approval.digests.exact.clone().into(),
        approval.digests.semantic.clone().into(),
        approval.slot.clone().into(),
        approval.created.as_micros().into(),
        time(due),
        time(approval.ended),
        json(approval)?.into(),
    ])
}

fn params_from(approval: &Approval) -> Result<impl rusqlite::Params, Error> {
    Ok(rusqlite::params_from_iter(columns(approval)?))
}
