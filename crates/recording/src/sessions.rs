//! The chains of sessions, as the writer goes on with them.

use std::collections::{BTreeSet, HashMap};

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tollbook_ledger::{BOOK, Chain, Hash, Header, Kind, Leaf, Link, leaf_hash};

use crate::{
    Error,
    database::{signed, unsigned},
};

/// The end of the chain of each session that may go on soon.
///
/// The others are in the table `session`, except those of one exchange alone: these need no row,
/// because their intent is known by the exchange.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    live: HashMap<[u8; 16], Live>,
    /// Those that the table does not have as they are here.
    changed: BTreeSet<[u8; 16]>,
    open: u32,
}

#[derive(Clone, Copy, Debug)]
struct Live {
    chain: Chain,
    /// When the last entry was written.
    time: i64,
}

impl Sessions {
    /// What the book says of sessions that were not closed.
    pub(crate) fn load(book: &Connection) -> Result<Self, Error> {
        let open = book.query_row("SELECT count(*) - count(closed) FROM exchange", [], |row| {
            row.get::<_, i64>(0)
        })?;
        let live = book
            .prepare(&format!("SELECT {COLUMNS} FROM session WHERE closed = 0"))?
            .query_map([], read)?
            .collect::<Result<_, _>>()?;
        Ok(Self {
            live,
            changed: BTreeSet::new(),
            open: u32::try_from(open).unwrap_or(u32::MAX),
        })
    }

    /// The place of the entry that comes next, if it is one of these.
    pub(crate) fn link(
        &mut self,
        book: &Connection,
        kind: Kind,
        exchange: &[u8; 16],
        session: &[u8; 16],
    ) -> Result<Link, Error> {
        let known = self.live.get(session).map(|live| live.chain);
        let chain = match known {
            Some(chain) => chain,
            None if exchange == session && *session != BOOK => match kind {
                Kind::Intent => Chain::new(),
                _ => alone(book, exchange)?,
            },
            None => row(book, session)?.unwrap_or_default(),
        };
        if known.is_none() {
            let live = Live { chain, time: 0 };
            self.live.insert(*session, live);
        }
        let mut link = chain.next(kind);
        if *session == BOOK {
            link.open = self.open;
        }
        Ok(link)
    }

    /// Goes on to the entry that was asked about last.
    pub(crate) fn push(&mut self, header: &Header, leaf: Hash) {
        match header.kind {
            Kind::Intent => self.open = self.open.saturating_add(1),
            Kind::Outcome => self.open = self.open.saturating_sub(1),
            _ => {}
        }
        let Some(live) = self.live.get_mut(&header.session) else {
            return;
        };
        live.chain.push(header, leaf);
        live.time = header.time;
        if !header.is_alone() {
            self.changed.insert(header.session);
        } else if live.chain.open == 0 {
            self.live.remove(&header.session);
        }
    }

    /// Writes what changed into the table.
    pub(crate) fn keep(&mut self, to: &Transaction<'_>) -> Result<(), Error> {
        let mut write = to.prepare_cached(
            "INSERT INTO session (id, entries, exchanges, open, head, last, time, closed)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
             ON CONFLICT (id) DO UPDATE SET entries = ?2, exchanges = ?3, open = ?4, head = ?5,
                 last = ?6, time = ?7, closed = ?8",
        )?;
        for id in std::mem::take(&mut self.changed) {
            let Some(Live { chain, time }) = self.live.get(&id) else {
                continue;
            };
            write.execute(params![
                id,
                signed(chain.entries)?,
                signed(chain.exchanges)?,
                chain.open,
                chain.head.0,
                signed(chain.last)?,
                time,
                chain.closed,
            ])?;
            if chain.closed {
                self.live.remove(&id);
            }
        }
        Ok(())
    }

    /// The chain of a session that may go on soon.
    pub(crate) fn chain(&self, session: &[u8; 16]) -> Option<&Chain> {
        self.live.get(session).map(|live| &live.chain)
    }

    /// The number of exchanges without an outcome.
    pub(crate) const fn open(&self) -> u32 {
        self.open
    }

    /// The sessions in which nothing is open and nothing came since then.
    pub(crate) fn idle(&self, since: i64) -> Vec<([u8; 16], Chain)> {
        let idle = self.live.iter().filter(|(id, live)| {
            live.chain.open == 0 && live.chain.exchanges > 0 && live.time <= since && **id != BOOK
        });
        idle.map(|(id, live)| (*id, live.chain)).collect()
    }
}

/// The chain of a session that is one exchange alone, after its intent.
fn alone(book: &Connection, exchange: &[u8; 16]) -> Result<Chain, Error> {
    let leaf: Vec<u8> = book
        .prepare_cached("SELECT leaf FROM exchange JOIN entry ON seq = intent WHERE id = ?1")?
        .query_row([exchange], |row| row.get(0))?;
    let mut chain = Chain::new();
    chain.push(&Leaf::from_bytes(&leaf)?.header, leaf_hash(&leaf));
    Ok(chain)
}

/// The chain that the table has of a session.
pub(crate) fn row(book: &Connection, session: &[u8; 16]) -> Result<Option<Chain>, Error> {
    Ok(book
        .prepare_cached(&format!("SELECT {COLUMNS} FROM session WHERE id = ?1"))?
        .query_row([session], read)
        .optional()?
        .map(|(_, live)| live.chain))
}

fn read(row: &Row<'_>) -> rusqlite::Result<([u8; 16], Live)> {
    let number = |column: &str| {
        let number: i64 = row.get(column)?;
        unsigned(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))
    };
    let chain = Chain {
        entries: number("entries")?,
        exchanges: number("exchanges")?,
        open: row.get("open")?,
        head: Hash(row.get("head")?),
        last: number("last")?,
        closed: row.get("closed")?,
    };
    let live = Live {
        chain,
        time: row.get("time")?,
    };
    Ok((row.get("id")?, live))
}

const COLUMNS: &str = "id, entries, exchanges, open, head, last, time, closed";
