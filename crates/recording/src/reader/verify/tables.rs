//! The tables beside the log: each row is that of an entry, and every entry has its row.

use rusqlite::OptionalExtension;
use tollbook_exchange::{ExchangeId, SessionId};
use tollbook_ledger::Verifier;

use super::audit::Audit;
use crate::{
    Error,
    database::signed,
    reader::count,
    row::{IntentRow, OutcomeRow},
    sessions,
};

impl Audit<'_> {
    pub(super) fn intent_row(&self, index: u64) -> Result<Option<IntentRow>, Error> {
        let mut row = self.book.prepare_cached(
            "SELECT id, session, connection, protocol, started, kind, issuer, subject, action,
                 model, verdict
             FROM exchange JOIN caller USING (intent)
             WHERE intent = ?1 AND length(id) = 16 AND length(session) = 16",
        )?;
        let row = row.query_row([signed(index)?], |row| {
            Ok(IntentRow {
                id: ExchangeId::from_bytes(row.get(0)?),
                session: SessionId::from_bytes(row.get(1)?),
                connection: row.get(2)?,
                protocol: row.get(3)?,
                started: row.get(4)?,
                kind: row.get(5)?,
                issuer: row.get(6)?,
                subject: row.get(7)?,
                action: row.get(8)?,
                model: row.get(9)?,
                verdict: row.get(10)?,
            })
        });
        Ok(row.optional()?)
    }

    pub(super) fn outcome_row(&self, index: u64) -> Result<Option<OutcomeRow>, Error> {
        let mut row = self.book.prepare_cached(
            "SELECT id, ended, outcome, status FROM exchange
             WHERE closed = ?1 AND length(id) = 16
                 AND ended IS NOT NULL AND outcome IS NOT NULL",
        )?;
        let row = row.query_row([signed(index)?], |row| {
            Ok(OutcomeRow {
                id: ExchangeId::from_bytes(row.get(0)?),
                ended: row.get(1)?,
                outcome: row.get(2)?,
                status: row.get(3)?,
            })
        });
        Ok(row.optional()?)
    }

    /// Holds indexes against their tables: what is looked up by an index is not read in the row.
    pub(super) fn pages(&mut self) -> Result<(), Error> {
        let mut check = self.book.prepare("PRAGMA integrity_check(20)")?;
        let mut lines = check.query([])?;
        let mut fits = false;
        loop {
            match lines.next() {
                Ok(Some(line)) => fits = line.get_ref(0)?.as_str().ok() == Some("ok"),
                Ok(None) => break,
                Err(_) => fits = false,
            }
            if !fits {
                break;
            }
        }
        if !fits {
            let what = "the database is damaged: its pages, tables and indexes do not fit";
            self.fault(None, what);
        }
        Ok(())
    }

    /// Holds the table of sessions against the chains of the log.
    pub(super) fn sessions(&mut self, verifier: &Verifier) -> Result<(), Error> {
        if verifier.unread() > 0 {
            // What chains lack then would be the table's fault.
            return Ok(());
        }
        let mut stored = 0;
        for (id, chain) in verifier.chains().iter() {
            let row = sessions::row(self.book, id)?;
            stored += u64::from(row.is_some());
            // That of an exchange that is alone and open needs no row.
            let alone = row.is_none() && chain.exchanges == 1 && chain.open == 1;
            if row != Some(*chain) && !alone {
                let what = "the table of sessions differs from the log";
                self.fault(Some(chain.last), what);
            }
        }
        if stored != count(self.book, "SELECT count(*) FROM session")? {
            self.fault(None, "the table of sessions has rows without entries");
        }
        Ok(())
    }

    /// Looks for rows that no entry knows of. Those of entries that could not be read are known.
    pub(super) fn tables(&mut self, unread: u64) -> Result<(), Error> {
        let exchanges = count(self.book, "SELECT count(*) FROM exchange")?;
        let closed = count(self.book, "SELECT count(closed) FROM exchange")?;
        let callers = count(self.book, "SELECT count(*) FROM caller")?;
        let fits = |rows: u64, entries: u64| (entries..=entries + unread).contains(&rows);
        if !fits(exchanges, self.looked.intents)
            || !fits(callers, self.looked.intents)
            || !fits(closed, self.looked.outcomes)
        {
            self.fault(
                None,
                "the table of exchanges has rows without entries, or lacks some",
            );
        }
        let stray = count(
            self.book,
            "SELECT count(*) FROM part WHERE exchange NOT IN (SELECT id FROM exchange)",
        )?;
        let brought = count(self.book, "SELECT coalesce(sum(brought), 0) FROM exchange")?;
        let pieces = count(self.book, "SELECT coalesce(sum(pieces), 0) FROM pack")?;
        if stray > 0 || brought != pieces {
            self.fault(None, "there are bodies of no exchange, or some are missing");
        }
        let stray = count(
            self.book,
            "SELECT count(*) FROM scope WHERE number NOT IN (SELECT scope FROM exchange)",
        )?;
        if stray != self.looked.apart {
            self.fault(None, "there are scopes of no exchange");
        }
        Ok(())
    }
}
