//! The end of words: what was said in an exchange is found for as long as the retention of the index
//! says, and is in the book for as long as that of the book does.

use std::time::Duration;

use rusqlite::{Connection, TransactionBehavior, params};
use serde::Serialize;
use tollbook_exchange::Timestamp;
use tollbook_recording::Retention;

use crate::Error;

/// What [`Index::forget_words`](super::Index::forget_words) took out, or would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Forgotten {
    /// Exchanges whose words go.
    pub exchanges: u64,
    /// When the first of them ended.
    pub from: Option<Timestamp>,
    /// When the last of them did.
    pub to: Option<Timestamp>,
    /// When the words of another exchange go next.
    pub next: Option<Timestamp>,
}

/// What is forgotten, and when it is now.
#[derive(Clone, Copy)]
pub(super) struct Terms<'a> {
    retention: &'a Retention,
    now: i64,
}

impl<'a> Terms<'a> {
    pub(super) fn now(retention: &'a Retention) -> Self {
        let now = Timestamp::now().as_micros();
        Self { retention, now }
    }

    /// Whether anything is ever forgotten.
    fn is_any(self) -> bool {
        let named = self.retention.connections.keys();
        let mut terms = named.map(|name| self.retention.words(name));
        self.retention.terms.index.max.is_some() || terms.any(|term| term.is_some())
    }

    /// When the words of an exchange of this connection that ended then are forgotten, if ever.
    fn end(self, connection: &str, ended: i64) -> Option<i64> {
        Some(ended.saturating_add(micros(self.retention.words(connection)?)))
    }

    /// Whether its words are not to be in the index any more.
    pub(super) fn are_over(self, connection: &str, ended: Option<i64>) -> bool {
        let end = ended.and_then(|ended| self.end(connection, ended));
        end.is_some_and(|end| end <= self.now)
    }
}

/// What is due. Each exchange that has words and is over is looked at.
pub(super) fn due(index: &Connection, terms: Terms<'_>) -> Result<(Vec<i64>, Forgotten), Error> {
    let (mut due, mut told) = (Vec::new(), Forgotten::default());
    if !terms.is_any() {
        return Ok((due, told));
    }
    let mut rows = index.prepare_cached(
        "SELECT intent, ended, (
             SELECT value FROM posting JOIN term ON id = term
             WHERE exchange = intent AND field = 'connection')
         FROM exchange WHERE words AND ended IS NOT NULL ORDER BY ended",
    )?;
    let mut rows = rows.query([])?;
    let mut next: Option<i64> = None;
    while let Some(row) = rows.next()? {
        let ended: i64 = row.get(1)?;
        let connection: Option<String> = row.get(2)?;
        let Some(end) = terms.end(&connection.unwrap_or_default(), ended) else {
            continue;
        };
        if end > terms.now {
            next = Some(next.map_or(end, |next| next.min(end)));
            continue;
        }
        due.push(row.get(0)?);
        told.exchanges += 1;
        told.from = told.from.or(Some(Timestamp::from_micros(ended)));
        told.to = Some(Timestamp::from_micros(ended));
    }
    told.next = next.map(Timestamp::from_micros);
    Ok((due, told))
}

/// Takes out the words that are due, and notes that this was looked for. What the file still has of
/// them is stale.
pub(super) fn forget(index: &mut Connection, terms: Terms<'_>) -> Result<Forgotten, Error> {
    let change = index.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (due, told) = due(&change, terms)?;
    for intent in &due {
        change
            .prepare_cached("DELETE FROM text WHERE rowid = ?1")?
            .execute([intent])?;
        change
            .prepare_cached("UPDATE exchange SET words = 0 WHERE intent = ?1")?
            .execute([intent])?;
    }
    if let Some(to) = told.to {
        over(&change, to.as_micros())?;
        change.execute("UPDATE state SET stale = 1", [])?;
    }
    change.execute("UPDATE state SET looked = ?1", [terms.now])?;
    change.commit()?;
    Ok(told)
}

/// Notes that words of an exchange that ended then are not here.
pub(super) fn over(index: &Connection, ended: i64) -> Result<(), Error> {
    index
        .prepare_cached("UPDATE state SET forgotten = max(coalesce(forgotten, ?1), ?1)")?
        .execute(params![ended])?;
    Ok(())
}

/// Whether it is time to look for what is due.
pub(super) fn is_time(index: &Connection, terms: Terms<'_>) -> Result<bool, Error> {
    if !terms.is_any() {
        return Ok(false);
    }
    let looked: Option<i64> = index.query_row("SELECT looked FROM state", [], |row| row.get(0))?;
    Ok(looked.is_none_or(|looked| {
        // A clock that was set back is no reason to wait for it.
        !(0..micros(EVERY)).contains(&terms.now.saturating_sub(looked))
    }))
}

/// Until when exchanges ended whose words are not here, if there are such.
pub(super) fn until(index: &Connection) -> Result<Option<Timestamp>, Error> {
    let until: Option<i64> =
        index.query_row("SELECT forgotten FROM state", [], |row| row.get(0))?;
    Ok(until.map(Timestamp::from_micros))
}

fn micros(time: Duration) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

/// The file is written anew when something was forgotten, so that it is not done for each exchange.
const EVERY: Duration = Duration::from_secs(24 * 60 * 60);
