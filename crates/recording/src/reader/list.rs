//! Lists of exchanges.

use std::collections::HashSet;

use rusqlite::{Row, ToSql, Transaction};
use serde::Serialize;
use tollbook_exchange::{ExchangeId, Outcome, SessionId, Timestamp, Verdict};

use crate::{
    Error,
    database::{signed, unsigned},
};

/// Which exchanges to list. The default is the fifty newest.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Filter {
    /// At most so many.
    pub limit: u64,
    /// Only what began then or later.
    pub since: Option<Timestamp>,
    /// Only what began before.
    pub until: Option<Timestamp>,
    /// Only what came through this connection.
    pub connection: Option<String>,
    /// Only what came through another connection than this.
    pub except: Option<String>,
    /// Only what ended like this.
    pub outcome: Option<Outcome>,
    /// Only what was judged like this.
    pub verdict: Option<Verdict>,
    /// Only what this subject asked.
    pub subject: Option<String>,
    /// Only what belongs to this session.
    pub session: Option<SessionId>,
    /// Only what comes after this in the list: the [`Summary::index`] of the last one of the page
    /// before.
    pub after: Option<u64>,
}

/// An exchange in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The exchange.
    pub id: ExchangeId,
    /// Its session.
    pub session: SessionId,
    /// The connection it came through.
    pub connection: String,
    /// The connection's protocol.
    pub protocol: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; `None` while it is under way.
    pub ended: Option<Timestamp>,
    /// The kind of the caller, if it was known.
    pub kind: Option<String>,
    /// Who vouched for the caller.
    pub issuer: Option<String>,
    /// Who asked.
    pub subject: Option<String>,
    /// What was asked for.
    pub action: Option<String>,
    /// The model that was asked for.
    pub model: Option<String>,
    /// The policy's verdict.
    pub verdict: Option<String>,
    /// How it ended; `None` while it is under way.
    pub outcome: Option<String>,
    /// The status that the caller saw.
    pub status: Option<u16>,
    /// The index of its first entry in the log.
    pub index: u64,
    /// The index of its latest entry in the log.
    pub latest: u64,
}

impl Default for Filter {
    fn default() -> Self {
        Self {
            limit: 50,
            since: None,
            until: None,
            connection: None,
            except: None,
            outcome: None,
            verdict: None,
            subject: None,
            session: None,
            after: None,
        }
    }
}

pub(super) fn exchanges(book: &Transaction<'_>, filter: &Filter) -> Result<Vec<Summary>, Error> {
    let mut conditions: Vec<(&str, Box<dyn ToSql + '_>)> = Vec::new();
    if let Some(since) = filter.since {
        conditions.push(("started >= ?", Box::new(since.as_micros())));
    }
    if let Some(until) = filter.until {
        conditions.push(("started < ?", Box::new(until.as_micros())));
    }
    if let Some(connection) = &filter.connection {
        conditions.push(("connection = ?", Box::new(connection)));
    }
    if let Some(connection) = &filter.except {
        conditions.push(("connection <> ?", Box::new(connection)));
    }
    if let Some(outcome) = filter.outcome {
        conditions.push(("outcome = ?", Box::new(outcome.as_str())));
    }
    if let Some(verdict) = filter.verdict {
        conditions.push(("verdict = ?", Box::new(verdict.as_str())));
    }
    if let Some(subject) = &filter.subject {
        conditions.push(("subject = ?", Box::new(subject)));
    }
    if let Some(session) = &filter.session {
        conditions.push(("session = ?", Box::new(session.as_bytes())));
    }
    if let Some(after) = filter.after {
        conditions.push(("intent < ?", Box::new(signed(after)?)));
    }
    let mut sql = format!("{COLUMNS} WHERE TRUE");
    for (condition, _) in &conditions {
        sql.push_str(" AND ");
        sql.push_str(condition);
    }
    sql.push_str(" ORDER BY intent DESC LIMIT ?");
    let limit = i64::try_from(filter.limit).unwrap_or(i64::MAX);
    let values = conditions.iter().map(|(_, value)| value.as_ref());
    let values: Vec<&dyn ToSql> = values.chain([&limit as &dyn ToSql]).collect();
    let rows = book
        .prepare_cached(&sql)?
        .query_map(&*values, summary)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

pub(super) fn follow(book: &Transaction<'_>, from: u64, limit: u64) -> Result<Vec<Summary>, Error> {
    let sql = format!(
        "{COLUMNS} WHERE closed >= ?1 OR (intent >= ?1 AND closed IS NULL)
         ORDER BY latest LIMIT ?2"
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows = book
        .prepare_cached(&sql)?
        .query_map([signed(from)?, limit], summary)?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// The exchanges of these scopes.
pub(crate) fn of_scopes(
    book: &Transaction<'_>,
    scopes: &HashSet<u64>,
) -> Result<Vec<Summary>, Error> {
    let mut rows = book.prepare(COLUMNS)?;
    let mut rows = rows.query([])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        if scopes.contains(&unsigned(row.get("scope")?)?) {
            found.push(summary(row)?);
        }
    }
    Ok(found)
}

pub(super) fn summary(row: &Row<'_>) -> rusqlite::Result<Summary> {
    Ok(Summary {
        id: ExchangeId::from_bytes(row.get("id")?),
        session: SessionId::from_bytes(row.get("session")?),
        connection: row.get("connection")?,
        protocol: row.get("protocol")?,
        started: Timestamp::from_micros(row.get("started")?),
        ended: row
            .get::<_, Option<_>>("ended")?
            .map(Timestamp::from_micros),
        kind: row.get("kind")?,
        issuer: row.get("issuer")?,
        subject: row.get("subject")?,
        action: row.get("action")?,
        model: row.get("model")?,
        verdict: row.get("verdict")?,
        outcome: row.get("outcome")?,
        status: row.get("status")?,
        // Indexes are never negative; a damaged one shows as the largest.
        index: u64::try_from(row.get::<_, i64>("intent")?).unwrap_or(u64::MAX),
        latest: u64::try_from(row.get::<_, i64>("latest")?).unwrap_or(u64::MAX),
    })
}

pub(super) const COLUMNS: &str = "SELECT *, coalesce(closed, intent) AS latest FROM exchange";
