//! Sessions, as the index knows them.

use rusqlite::{Connection, OptionalExtension, ToSql};
use serde::Serialize;
use tollbook_exchange::{SessionId, Timestamp};
use tollbook_recording::{Reader, Summary};

use super::{Index, find::Ask};
use crate::{Clock, Conversation, Error, ErrorKind, Query, conversation::dollars};

/// A session in a list.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Session {
    /// The session.
    pub id: SessionId,
    /// The kind of the caller.
    pub kind: Option<String>,
    /// Who vouched for the caller.
    pub issuer: Option<String>,
    /// Who asked.
    pub subject: Option<String>,
    /// The connection its first exchange came through.
    pub connection: String,
    /// The model that its latest exchange asked for.
    pub model: Option<String>,
    /// When its first exchange began.
    pub started: Timestamp,
    /// When its latest one ended; `None` while one is under way.
    pub ended: Option<Timestamp>,
    /// How many exchanges it has.
    pub exchanges: u64,
    /// How many of them the policy denied.
    pub denied: u64,
    /// How many tools were called.
    pub calls: u64,
    /// How many findings were masked.
    pub masked: u64,
    /// Tokens of prompts and answers.
    pub tokens: u64,
    /// What they cost in US dollars.
    pub cost: f64,
    /// The index of the first entry of its latest exchange: what a list goes on from.
    pub index: u64,
}

impl Index {
    /// The sessions with an exchange that the query takes, those first in which something happened
    /// last. `before` is the [`Session::index`] of the last one of the page before. Numbers are of
    /// the whole session.
    ///
    /// # Errors
    ///
    /// When book or index cannot be read.
    pub fn sessions(
        &self,
        book: &Reader,
        query: &Query,
        clock: &Clock,
        limit: usize,
        before: Option<u64>,
    ) -> Result<Vec<Session>, Error> {
        let index = self.lock();
        let Some(ask) = Ask::of(&index, query, clock)? else {
            return Ok(Vec::new());
        };
        let mut which = "session IS NOT NULL".to_owned();
        let mut values = ask.values;
        if !query.is_all() {
            which.push_str(&format!(
                " AND session IN (SELECT exchange.session FROM {} WHERE {})",
                ask.from,
                ask.conditions.join(" AND ")
            ));
        }
        let sql = format!(
            "SELECT session FROM exchange WHERE {which} GROUP BY session
             HAVING max(intent) < ? ORDER BY max(intent) DESC LIMIT ?"
        );
        let before = before.map_or(Ok(i64::MAX), i64::try_from);
        values.push(before.map_err(|_| ErrorKind::Cursor)?.into());
        values.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
        let values = values.iter().map(|value| value as &dyn ToSql);
        let terms: Vec<i64> = index
            .prepare_cached(&sql)?
            .query_map(&*values.collect::<Vec<_>>(), |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut sessions = Vec::with_capacity(terms.len());
        for term in terms {
            sessions.extend(session(&index, book, term)?);
        }
        Ok(sessions)
    }

    /// The session of this id, of the first eight or more digits of it, or of the exchange that
    /// these are the digits of. `None` if there is none.
    ///
    /// # Errors
    ///
    /// Those of [`Reader::exchange_id`], and when the index cannot be read.
    pub fn session(&self, book: &Reader, id: &str) -> Result<Option<Session>, Error> {
        let named = |book: &Reader| -> Result<Option<String>, Error> {
            let Some(exchange) = book.exchange_id(id)? else {
                return Ok(None);
            };
            let record = book.exchange(&exchange.to_string())?.unwrap_or_default();
            Ok(record["session"].as_str().map(str::to_owned))
        };
        let prefix = id.to_lowercase();
        let digits = prefix.chars().filter(char::is_ascii_hexdigit).count();
        let index = self.lock();
        let mut known = Vec::new();
        if digits >= 8 {
            let (from, to) = (prefix.clone(), format!("{prefix}~"));
            known = index
                .prepare_cached(
                    "SELECT id FROM term
                     WHERE field = 'session' AND value >= ?1 AND value < ?2 AND uses > 0 LIMIT 2",
                )?
                .query_map([from, to], |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()?;
        }
        let term: Option<i64> = match *known {
            [one] => Some(one),
            [] => match named(book)? {
                Some(session) => index
                    .prepare_cached("SELECT id FROM term WHERE field = 'session' AND value = ?1")?
                    .query_row([session], |row| row.get(0))
                    .optional()?,
                None => None,
            },
            _ => return Err(ErrorKind::Ambiguous.into()),
        };
        let Some(term) = term else {
            return Ok(None);
        };
        session(&index, book, term)
    }

    /// What was said in a session, exchange by exchange.
    ///
    /// # Errors
    ///
    /// When the index cannot be read.
    pub fn conversation<'a>(
        &'a self,
        book: &'a Reader,
        session: &Session,
    ) -> Result<Conversation<'a>, Error> {
        let query = Query::all().with("session", &session.id.to_string());
        let mut turns = self.indexes(&query, &Clock::utc(), usize::MAX, None)?;
        turns.reverse();
        Ok(Conversation::of(book, self, turns))
    }
}

/// The session that is this value; `None` if it is gone from the book.
fn session(index: &Connection, book: &Reader, term: i64) -> Result<Option<Session>, Error> {
    let mut row = index.prepare_cached(
        "SELECT min(intent), max(intent), min(started), max(ended), count(*) - count(ended),
             count(*), total(calls), total(masked), total(tokens), total(cost),
             count(*) FILTER (WHERE EXISTS (
                 SELECT 1 FROM posting WHERE posting.exchange = exchange.intent AND posting.term = (
                     SELECT id FROM term WHERE field = 'verdict' AND value = 'deny')))
         FROM exchange WHERE session = ?1 GROUP BY session",
    )?;
    let mut rows = row.query([term])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    let number = |column| -> Result<u64, Error> {
        let number: i64 = row.get(column)?;
        u64::try_from(number).map_err(|_| ErrorKind::Index.into())
    };
    let sum = |column| -> Result<u64, Error> {
        let sum: f64 = row.get(column)?;
        // Sums of counts are whole and not negative; SQLite gives them as floating point so that
        // none overflows.
        Ok(format!("{sum:.0}").parse().unwrap_or(u64::MAX))
    };
    let ends = [number(0)?, number(1)?];
    let Ok::<[Summary; 2], _>([first, latest]) = book.summaries(&ends)?.try_into() else {
        return Ok(None);
    };
    let ended: Option<i64> = row.get(3)?;
    let open = number(4)?;
    Ok(Some(Session {
        id: first.session,
        kind: first.kind,
        issuer: first.issuer,
        subject: first.subject,
        connection: first.connection,
        model: latest.model,
        started: Timestamp::from_micros(row.get(2)?),
        ended: ended.filter(|_| open == 0).map(Timestamp::from_micros),
        exchanges: number(5)?,
        calls: sum(6)?,
        masked: sum(7)?,
        tokens: sum(8)?,
        cost: dollars(sum(9)?),
        denied: number(10)?,
        index: ends[1],
    }))
}
