//! Taking the book into the index.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use tollbook_budget::Prices;
use tollbook_recording::{Reader, Summary};

use super::{
    Caught, database,
    forget::{self, Terms},
    texts,
};
use crate::{Error, ErrorKind, Facts, blocks::Block, query::NumberField};

/// How many entries are taken in with one transaction.
const WINDOW: u64 = 1_000;
/// How many values and marks are kept in memory between two transactions.
const KEPT: usize = 500_000;

pub(super) fn catch_up(
    index: &mut Connection,
    book: &Reader,
    (prices, terms): (&Prices, Terms<'_>),
    entries: u64,
) -> Result<Caught, Error> {
    let mut caught = Caught::default();
    if !fits(index, book)? {
        database::clear(index)?;
        caught.rebuilt = true;
    }
    let size = book.size()?;
    let size = size.min(cursor(index)?.saturating_add(entries));
    let mut memory = Memory::default();
    // Cheap, and without a lock, where there is nothing to do.
    while cursor(index)? < size {
        let change = index.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let from = cursor(&change)?;
        let to = size.min(from.saturating_add(WINDOW));
        if from < to {
            memory.last(from);
            for summary in book.window(from..to)? {
                // Between the two it may have been erased.
                let Some(facts) = facts(book, &summary, prices, &mut caught)? else {
                    continue;
                };
                Filler {
                    index: &change,
                    memory: &mut memory,
                    terms,
                }
                .exchange(signed(summary.index)?, &facts)?;
                caught.exchanges += 1;
            }
            memory.write_uses(&change)?;
            let erased = book.erased_in(from..to)?;
            if !erased.is_empty() {
                memory = Memory::default();
                erase(
                    &change,
                    &mut memory,
                    book,
                    (prices, terms),
                    &erased,
                    &mut caught,
                )?;
            }
            memory.write_uses(&change)?;
            let anchor = book.leaf_at(to - 1)?;
            change.execute(
                "UPDATE state SET cursor = ?1, anchor = ?2",
                params![signed(to)?, anchor],
            )?;
        }
        change.commit()?;
        memory.at = to;
    }
    if forget::is_time(index, terms)? {
        forget::forget(index, terms)?;
    }
    caught.left = !is_clean(index)?;
    Ok(caught)
}

/// Whether nothing that was erased is left in the file, after a try to make it so.
pub(super) fn is_clean(index: &Connection) -> Result<bool, Error> {
    let stale: bool = index.query_row("SELECT stale FROM state", [], |row| row.get(0))?;
    Ok(!stale || database::purge(index)?)
}

/// Takes out all there is of exchanges of which something was erased since the index ends. What the
/// book still has of them is taken in with what comes after it.
pub(super) fn forget_erased(index: &mut Connection, book: &Reader) -> Result<bool, Error> {
    let fits = fits(index, book)?;
    if !fits {
        database::clear(index)?;
    }
    let erased = book.erased_in(cursor(index)?..book.size()?)?;
    let change = index.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut gone = !fits;
    for summary in &erased {
        let intent = signed(summary.index)?;
        gone |= remove(&change, intent)?;
        change
            .prepare_cached("DELETE FROM seen WHERE exchange = ?1")?
            .execute([intent])?;
    }
    if gone {
        change.execute("UPDATE state SET stale = 1", [])?;
    }
    change.commit()?;
    is_clean(index)
}

/// The facts of an exchange; `None` if it is not in the book any more.
fn facts(
    book: &Reader,
    summary: &Summary,
    prices: &Prices,
    caught: &mut Caught,
) -> Result<Option<Facts>, Error> {
    use tollbook_recording::ErrorKind::Corrupt;

    let record = match book.exchange(&summary.id.to_string()) {
        Ok(Some(record)) => record,
        Ok(None) => return Ok(None),
        // One that is damaged must not keep the others from being found.
        Err(error) if *error.kind() == Corrupt => {
            caught.damaged += 1;
            return Ok(Some(Facts::of_row(summary, prices)));
        }
        Err(error) => return Err(error.into()),
    };
    // Taken in without what it says, it would pass for one that has been looked at, and a secret in
    // it for one that was never seen.
    if let Some(why) = record["unavailable"]["why"].as_str() {
        return Err(Error::because(ErrorKind::Locked, why));
    }
    Ok(Some(Facts::of(&record, prices)))
}

/// Takes in what the book still has of exchanges of which something was erased, which may be all but
/// a body, in the place of what it had.
fn erase(
    index: &Transaction<'_>,
    memory: &mut Memory,
    book: &Reader,
    (prices, terms): (&Prices, Terms<'_>),
    erased: &[Summary],
    caught: &mut Caught,
) -> Result<(), Error> {
    index.execute("UPDATE state SET stale = 1", [])?;
    for summary in erased {
        let intent = signed(summary.index)?;
        remove(index, intent)?;
        index
            .prepare_cached("DELETE FROM seen WHERE exchange = ?1")?
            .execute([intent])?;
    }
    for summary in erased {
        if let Some(facts) = facts(book, summary, prices, caught)? {
            Filler {
                index,
                memory,
                terms,
            }
            .exchange(signed(summary.index)?, &facts)?;
        }
    }
    Ok(())
}

pub(super) fn forget(index: &mut Connection, intent: u64) -> Result<(), Error> {
    let change = index.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let intent = signed(intent)?;
    remove(&change, intent)?;
    change.execute("DELETE FROM seen WHERE exchange = ?1", [intent])?;
    change.commit()?;
    Ok(())
}

/// Whether the index is one of this book: the log still has, where the index ends, the entry that
/// it had then.
///
/// The index is read before the book: meanwhile both may only grow, by what others take in.
fn fits(index: &Connection, book: &Reader) -> Result<bool, Error> {
    let (cursor, anchor): (i64, Option<[u8; 32]>) =
        index.query_row("SELECT cursor, anchor FROM state", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    let Ok(cursor) = u64::try_from(cursor) else {
        return Ok(false);
    };
    if cursor == 0 {
        return Ok(true);
    }
    Ok(anchor.is_some() && book.leaf_at(cursor - 1)? == anchor)
}

pub(super) fn cursor(index: &Connection) -> Result<u64, Error> {
    let cursor: i64 = index.query_row("SELECT cursor FROM state", [], |row| row.get(0))?;
    u64::try_from(cursor).map_err(|_| ErrorKind::Index.into())
}

fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| ErrorKind::Book.into())
}

/// What was looked up before, while no other process changes the index.
#[derive(Default)]
struct Memory {
    /// Where the index ended when this was last right.
    at: u64,
    terms: HashMap<String, i64>,
    /// How often values are used more or less than the index says.
    uses: HashMap<i64, i64>,
    /// By session, which exchange brought what.
    seen: HashMap<i64, HashMap<i64, i64>>,
    marks: usize,
}

impl Memory {
    /// Forgets what may not be right any more, or is too much.
    fn last(&mut self, cursor: u64) {
        if cursor != self.at || self.terms.len() + self.marks > KEPT {
            *self = Self::default();
        }
    }

    fn write_uses(&mut self, index: &Transaction<'_>) -> Result<(), Error> {
        let mut update = index.prepare_cached("UPDATE term SET uses = uses + ?2 WHERE id = ?1")?;
        for (term, more) in self.uses.drain() {
            update.execute([term, more])?;
        }
        Ok(())
    }
}

struct Filler<'a, 'b> {
    index: &'a Transaction<'b>,
    memory: &'a mut Memory,
    terms: Terms<'a>,
}

impl Filler<'_, '_> {
    fn exchange(&mut self, intent: i64, facts: &Facts) -> Result<(), Error> {
        // It was taken in while it was open.
        remove(self.index, intent)?;
        let (mut session, mut connection) = (None, "");
        for (field, value) in facts.words() {
            let term = self.term(field, value)?;
            if field == "session" {
                session = Some(term);
            }
            if field == "connection" {
                connection = value;
            }
            let sql = "INSERT INTO posting (term, exchange) VALUES (?1, ?2)";
            self.index.prepare_cached(sql)?.execute([term, intent])?;
            *self.memory.uses.entry(term).or_default() += 1;
        }
        self.numbers(intent, session, facts)?;
        let mut own: Vec<&Block> = Vec::new();
        for block in facts.blocks() {
            let first = match session {
                Some(session) => self.is_first(session, block.mark(), intent)?,
                None => true,
            };
            if first || block.brought {
                own.push(block);
            }
        }
        let columns = texts::columns(own.into_iter());
        let ended = facts.ended();
        if columns.iter().all(String::is_empty) {
            return Ok(());
        }
        if let Some(ended) = ended.filter(|_| self.terms.are_over(connection, ended)) {
            forget::over(self.index, ended)?;
        } else {
            let sql = "INSERT INTO text
                (rowid, prompt, answer, thinking, input, result, system)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
            let [prompt, answer, thinking, input, result, system] = columns;
            self.index.prepare_cached(sql)?.execute(params![
                intent, prompt, answer, thinking, input, result, system
            ])?;
            self.index
                .prepare_cached("UPDATE exchange SET words = 1 WHERE intent = ?1")?
                .execute([intent])?;
        }
        Ok(())
    }

    fn numbers(&self, intent: i64, session: Option<i64>, facts: &Facts) -> Result<(), Error> {
        let of = |field| facts.number(field);
        let sql = "INSERT INTO exchange (
                intent, session, started, ended, status, tokens, tokens_in, tokens_out,
                tokens_cached, tokens_written, cost, duration, first_byte, bytes_in, bytes_out,
                masked, calls, risk)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18)";
        self.index.prepare_cached(sql)?.execute(params![
            intent,
            session,
            facts.started(),
            facts.ended(),
            of(NumberField::Status),
            of(NumberField::Tokens),
            of(NumberField::TokensIn),
            of(NumberField::TokensOut),
            of(NumberField::TokensCached),
            of(NumberField::TokensWritten),
            of(NumberField::Cost),
            of(NumberField::Duration),
            of(NumberField::FirstByte),
            of(NumberField::BytesIn),
            of(NumberField::BytesOut),
            of(NumberField::Masked),
            of(NumberField::Calls),
            of(NumberField::Risk),
        ])?;
        Ok(())
    }

    /// The number of a value of a field.
    fn term(&mut self, field: &str, value: &str) -> Result<i64, Error> {
        let key = format!("{field}\u{0}{value}");
        if let Some(id) = self.memory.terms.get(&key) {
            return Ok(*id);
        }
        let known = self
            .index
            .prepare_cached("SELECT id FROM term WHERE field = ?1 AND value = ?2")?
            .query_row([field, value], |row| row.get(0))
            .optional()?;
        let id = match known {
            Some(id) => id,
            None => {
                let sql = "INSERT INTO term (field, value, uses) VALUES (?1, ?2, 0)";
                self.index.prepare_cached(sql)?.insert([field, value])?
            }
        };
        self.memory.terms.insert(key, id);
        Ok(id)
    }

    /// Whether the session had nothing of this mark before this exchange.
    fn is_first(&mut self, session: i64, mark: i64, intent: i64) -> Result<bool, Error> {
        if !self.memory.seen.contains_key(&session) {
            let marks: HashMap<i64, i64> = self
                .index
                .prepare_cached("SELECT mark, exchange FROM seen WHERE session = ?1")?
                .query_map([session], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            self.memory.marks += marks.len();
            self.memory.seen.insert(session, marks);
        }
        let marks = self.memory.seen.entry(session).or_default();
        if let Some(brought) = marks.get(&mark) {
            return Ok(*brought == intent);
        }
        marks.insert(mark, intent);
        self.memory.marks += 1;
        let sql = "INSERT INTO seen (session, mark, exchange) VALUES (?1, ?2, ?3)";
        self.index
            .prepare_cached(sql)?
            .execute([session, mark, intent])?;
        Ok(true)
    }
}

/// Takes an exchange out, but for what it was the first to say. Tells whether it was there.
fn remove(index: &Transaction<'_>, intent: i64) -> Result<bool, Error> {
    let gone = index
        .prepare_cached("DELETE FROM exchange WHERE intent = ?1")?
        .execute([intent])?;
    if gone == 0 {
        return Ok(false);
    }
    index
        .prepare_cached(
            "UPDATE term SET uses = uses - 1
             WHERE id IN (SELECT term FROM posting WHERE exchange = ?1)",
        )?
        .execute([intent])?;
    index
        .prepare_cached("DELETE FROM posting WHERE exchange = ?1")?
        .execute([intent])?;
    index
        .prepare_cached("DELETE FROM text WHERE rowid = ?1")?
        .execute([intent])?;
    Ok(true)
}
