//! Checking the whole book.

use rusqlite::{OptionalExtension, Transaction, params};
use serde::Serialize;
use serde_json::Value;
use tollbook_exchange::{ExchangeId, SessionId, Timestamp};
use tollbook_ledger::{
    BOOK, Chain, Chains, ContentDigest, Entry, Header, Integrity, Kind, MAX_FAULTS, Past, Pulse,
    Verifier, VerifierKey,
};

use super::count;
use crate::{
    Error, ErrorKind,
    database::signed,
    envelope::{VERSION, content, shape_name},
    journal::{REQUEST, shape_of},
    row::{IntentRow, OutcomeRow, Row},
    sessions,
};

/// What [`Reader::verify`](crate::Reader::verify) found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verification {
    /// `verified`; `tampered` if anything is wrong; `unproven` if no checkpoint covers it all.
    pub verdict: &'static str,
    /// `proven` if each record is what was signed; `broken` if one is not; else `unknown`.
    pub integrity: &'static str,
    /// `complete` if all is there that was signed; `incomplete` if not; else `not_shown`.
    pub completeness: &'static str,
    /// The number of entries.
    pub size: u64,
    /// The root of the tree over them, in hexadecimal.
    pub root: String,
    /// The log's name, as its key has it.
    pub origin: String,
    /// The public key that was used, in its text form.
    pub key: String,
    /// The newest signed checkpoint. Keep it: a later book must be one that grew out of it.
    pub checkpoint: String,
    /// What the checkpoints say that somebody kept, in the order in which they were given.
    pub kept: Vec<Kept>,
    /// What is wrong; at most a thousand things.
    pub faults: Vec<Fault>,
    /// How much is wrong, also beyond what `faults` holds.
    pub fault_count: u64,
    /// The number of exchanges.
    pub exchanges: u64,
    /// Exchanges that have no outcome yet.
    pub open: u64,
    /// The sessions of more than one exchange, or that could have more.
    pub sessions: u64,
    /// When nobody wrote, and why; at most a thousand times.
    pub silences: Vec<Silence>,
    /// How many such times there are, also beyond what `silences` holds.
    pub silence_count: u64,
    /// The last sign of life of the recorder: when, and whether it said that it stops.
    pub last_sign: Option<LastSign>,
}

/// A time in which nobody wrote. A book that is complete can have them: they show that the gate was
/// closed, or did not run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Silence {
    /// The time of the last entry before.
    pub from: Timestamp,
    /// The time of the first entry after.
    pub to: Timestamp,
    /// The index of that entry.
    pub index: u64,
    /// `stopped` if the recorder said that it stops, `crashed` if it ended without a word, `late`
    /// if it ran on and a heartbeat is missing.
    pub why: &'static str,
}

/// The last entry that a recorder wrote of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LastSign {
    /// When.
    pub at: Timestamp,
    /// Whether it said that it stops.
    pub stopped: bool,
}

/// One thing that is wrong with the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Fault {
    /// The index of the entry, if it is the fault of one.
    pub index: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// What a checkpoint that somebody kept says of the book.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Kept {
    /// The number of entries it is about, if it could be read.
    pub size: Option<u64>,
    /// `consistent` if the book grew out of it; `fork`, `behind`, `foreign`, `unreadable` or
    /// `unknown` if not.
    pub verdict: &'static str,
    /// The same in a sentence.
    pub what: String,
}

impl Kept {
    /// Whether the book grew out of it.
    pub fn is_consistent(&self) -> bool {
        self.verdict == Past::Consistent.as_str()
    }
}

impl Verification {
    /// Whether every byte of the book is what the log's key signed, and the book grew out of every
    /// checkpoint that was kept.
    pub fn is_verified(&self) -> bool {
        self.verdict == tollbook_ledger::Verdict::Verified.as_str()
            && self.kept.iter().all(Kept::is_consistent)
    }
}

pub(super) fn verify(
    book: &Transaction<'_>,
    key: VerifierKey,
    kept: &[String],
) -> Result<Verification, Error> {
    let head: Result<Option<(i64, Vec<u8>, String)>, _> = book
        .query_row("SELECT size, frontier, note FROM head", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional();
    let mut audit = Audit {
        book,
        faults: Vec::new(),
        fault_count: 0,
        intents: 0,
        outcomes: 0,
    };
    let head = head.unwrap_or_else(|_| {
        audit.fault(None, "the signed head cannot be read");
        None
    });
    let (origin, key_text) = (key.name().to_owned(), key.to_string());
    let mut verifier = Verifier::new(key);
    kept.iter().for_each(|note| verifier.keep(note));
    let checkpoint = match &head {
        Some((_, _, note)) => {
            verifier.checkpoint(note);
            note.clone()
        }
        None => String::new(),
    };

    let signed_size = head.as_ref().map_or(0, |(size, ..)| *size);
    let mut from = 0;
    while let Some(damaged) = entries(from, &mut verifier, &mut audit)? {
        // Page by page the rest may well be there.
        verifier.unreadable();
        from = damaged.saturating_add(1);
        if from >= signed_size {
            break;
        }
    }
    audit.pages()?;
    // Where entries are missing that is the fault, and not what no longer fits because of it.
    if verifier.is_whole() {
        let head_fits = head.is_some_and(|(size, frontier, _)| {
            signed(verifier.size()).is_ok_and(|entries| entries == size)
                && frontier == verifier.tree().to_bytes()
        });
        if !head_fits {
            audit.fault(None, "the stored head is not that of the entries");
        }
        let read = audit.tables(verifier.unread());
        let read = read.and_then(|()| audit.sessions(&verifier));
        if read.is_err() {
            audit.fault(None, "the tables of exchanges and sessions cannot be read");
        }
    }
    let sessions = agents(verifier.chains()).count() as u64;

    let report = verifier.finish();
    let ledger = report.faults.iter().map(|fault| Fault {
        index: fault.index,
        what: fault.what.to_string(),
    });
    let mut faults: Vec<Fault> = ledger.chain(audit.faults).collect();
    // Those of an entry in the order of the log, and then those of the book as a whole.
    faults.sort_by_key(|fault| fault.index.unwrap_or(u64::MAX));
    faults.truncate(MAX_FAULTS);
    let (verdict, integrity) = if audit.fault_count > 0 {
        (tollbook_ledger::Verdict::Tampered, Integrity::Broken)
    } else {
        (report.verdict, report.integrity)
    };
    let kept = report.kept.iter().map(|kept| Kept {
        size: kept.size,
        verdict: kept.past.as_str(),
        what: kept.past.to_string(),
    });
    Ok(Verification {
        verdict: verdict.as_str(),
        integrity: integrity.as_str(),
        completeness: report.completeness.as_str(),
        size: report.size,
        root: report.root.to_string(),
        origin,
        key: key_text,
        checkpoint,
        kept: kept.collect(),
        faults,
        fault_count: report.fault_count + audit.fault_count,
        exchanges: audit.intents,
        open: audit.intents.saturating_sub(audit.outcomes),
        sessions,
        silences: silences(&report.pulse),
        silence_count: report.pulse.count(),
        last_sign: report.pulse.last().map(|(at, stopped)| LastSign {
            at: Timestamp::from_micros(at),
            stopped,
        }),
    })
}

/// Takes the entries from this index on. Returns the index of one that cannot be read.
fn entries(
    from: i64,
    verifier: &mut Verifier,
    audit: &mut Audit<'_>,
) -> Result<Option<i64>, Error> {
    let book = audit.book;
    let mut entries = book.prepare_cached(
        "SELECT seq, leaf, salt, envelope FROM entry WHERE seq >= ?1 ORDER BY seq",
    )?;
    let mut entries = entries.query([from])?;
    let mut next = from;
    loop {
        let row = match entries.next() {
            Ok(Some(row)) => row,
            Ok(None) => return Ok(None),
            Err(_) => return Ok(Some(next)),
        };
        let place: i64 = row.get(0)?;
        next = place.saturating_add(1);
        let blob = |column| row.get_ref(column).ok()?.as_blob().ok();
        let (Some(leaf), Some(salt), Some(envelope)) = (blob(1), blob(2), blob(3)) else {
            verifier.unreadable();
            continue;
        };
        let entry = Entry {
            leaf,
            salt,
            envelope,
        };
        if let Some(header) = verifier.entry(&entry) {
            if place != signed(header.sequence)? {
                let what = "the entry is stored under another index";
                audit.fault(Some(header.sequence), what);
            }
            audit.entry(&header, &entry);
        }
    }
}

fn silences(pulse: &Pulse) -> Vec<Silence> {
    let silences = pulse.silences().iter().map(|silence| Silence {
        from: Timestamp::from_micros(silence.from),
        to: Timestamp::from_micros(silence.to),
        index: silence.index,
        why: silence.why.as_str(),
    });
    silences.collect()
}

/// The chains of sessions that the table `session` has, without the book's own.
fn agents(chains: &Chains) -> impl Iterator<Item = (&[u8; 16], &Chain)> {
    chains.iter().filter(|(id, _)| **id != BOOK)
}

/// The checks that need more than the log: bodies, and the table of exchanges.
struct Audit<'a> {
    book: &'a Transaction<'a>,
    faults: Vec<Fault>,
    fault_count: u64,
    intents: u64,
    outcomes: u64,
}

impl Audit<'_> {
    /// Checks what belongs to an entry that is itself what was signed.
    fn entry(&mut self, header: &Header, entry: &Entry<'_>) {
        if self.belongings(header, entry).is_err() {
            let what = "what belongs to the entry cannot be read: the journal is damaged";
            self.fault(Some(header.sequence), what);
        }
    }

    fn belongings(&mut self, header: &Header, entry: &Entry<'_>) -> Result<(), Error> {
        let index = Some(header.sequence);
        let envelope: Value = serde_json::from_slice(entry.envelope).unwrap_or(Value::Null);
        let salt = entry.salt.try_into().map_err(|_| ErrorKind::Corrupt)?;
        let (fits, body) = match (header.kind, Row::read(&envelope)) {
            (Kind::Intent, Some(Row::Intent(row))) => {
                self.intents += 1;
                let same = row.id.as_bytes() == &header.exchange
                    && row.session.as_bytes() == &header.session;
                let body = self.request(&row, salt)?;
                if self.intent_row(header.sequence)? != Some(row) {
                    self.fault(index, "the table of exchanges differs from the intent");
                }
                (same, body == envelope["request"]["body"])
            }
            (Kind::Outcome, Some(Row::Outcome(row))) => {
                self.outcomes += 1;
                let body = self.response(&row, &envelope["response"], salt)?;
                let same = row.id.as_bytes() == &header.exchange;
                if self.outcome_row(header.sequence)? != Some(row) {
                    self.fault(index, "the table of exchanges differs from the outcome");
                }
                (same, body)
            }
            (Kind::Intent | Kind::Outcome, _) => {
                self.fault(index, "the envelope is not one that this build reads");
                return Ok(());
            }
            (kind, _) => (own(kind, header, &envelope), true),
        };
        if !fits {
            self.fault(index, "the envelope is not that of its leaf");
        }
        if !body {
            self.fault(index, "the stored body is not the one that was recorded");
        }
        Ok(())
    }

    /// What the intent's envelope must say of the stored body.
    fn request(&self, row: &IntentRow, salt: &[u8; 32]) -> Result<Value, Error> {
        let mut digest = ContentDigest::new(salt);
        let whole = self.parts(row.id, true, &mut digest, &mut |kind| kind == REQUEST)?;
        Ok(if whole { content(&digest) } else { Value::Null })
    }

    /// Whether the stored response is what the outcome's envelope says.
    fn response(&self, row: &OutcomeRow, recorded: &Value, salt: &[u8; 32]) -> Result<bool, Error> {
        let mut digest = ContentDigest::new(salt);
        let shape = recorded["shape"].as_str();
        let whole = self.parts(row.id, false, &mut digest, &mut |kind| {
            matches!(kind, 1 | 2) && shape == Some(shape_name(shape_of(kind)))
        })?;
        Ok(whole && recorded["body"] == content(&digest))
    }

    /// Takes the parts of a body into the digest. Whether they are of the right kind and none is
    /// missing among them.
    fn parts(
        &self,
        id: ExchangeId,
        of_request: bool,
        digest: &mut ContentDigest,
        of_kind: &mut dyn FnMut(i64) -> bool,
    ) -> Result<bool, Error> {
        let mut parts = self.book.prepare_cached(
            "SELECT kind, ordinal, at, data FROM part WHERE exchange = ?1 AND (kind = ?2) = ?3
             ORDER BY kind, ordinal",
        )?;
        let mut parts = parts.query(params![id.as_bytes(), REQUEST, of_request])?;
        let mut whole = true;
        while let Some(part) = parts.next()? {
            let ordinal = signed(digest.parts())?;
            whole &= of_kind(part.get(0)?) && part.get::<_, i64>(1)? == ordinal;
            // A time that cannot be is part of no digest.
            let at = u64::try_from(part.get::<_, i64>(2)?);
            whole &= at.is_ok();
            digest.part(
                at.unwrap_or(0),
                part.get_ref(3)?.as_blob().map_err(blob_error)?,
            );
        }
        Ok(whole)
    }

    fn intent_row(&self, index: u64) -> Result<Option<IntentRow>, Error> {
        let mut row = self.book.prepare_cached(
            "SELECT id, session, connection, protocol, started, kind, issuer, subject, action,
                 model, verdict
             FROM exchange WHERE intent = ?1 AND length(id) = 16 AND length(session) = 16",
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

    fn outcome_row(&self, index: u64) -> Result<Option<OutcomeRow>, Error> {
        // `closed` is looked up by the expression that has an index.
        let mut row = self.book.prepare_cached(
            "SELECT id, ended, outcome, status FROM exchange
             WHERE coalesce(closed, intent) = ?1 AND closed = ?1 AND length(id) = 16
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
    fn pages(&mut self) -> Result<(), Error> {
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
    fn sessions(&mut self, verifier: &Verifier) -> Result<(), Error> {
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
    fn tables(&mut self, unread: u64) -> Result<(), Error> {
        let exchanges = count(self.book, "SELECT count(*) FROM exchange")?;
        let closed = count(self.book, "SELECT count(closed) FROM exchange")?;
        let fits = |rows: u64, entries: u64| (entries..=entries + unread).contains(&rows);
        if !fits(exchanges, self.intents) || !fits(closed, self.outcomes) {
            self.fault(
                None,
                "the table of exchanges has rows without entries, or lacks some",
            );
        }
        let stray = count(
            self.book,
            "SELECT count(*) FROM part WHERE exchange NOT IN (SELECT id FROM exchange)",
        )?;
        if stray > 0 {
            self.fault(None, "there are bodies of no exchange");
        }
        Ok(())
    }

    fn fault(&mut self, index: Option<u64>, what: &str) {
        self.fault_count += 1;
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                index,
                what: what.to_owned(),
            });
        }
    }
}

/// Whether the envelope of an entry of no exchange is that of its leaf.
fn own(kind: Kind, header: &Header, envelope: &Value) -> bool {
    let time = Timestamp::from_micros(header.time).to_string();
    let told = match kind {
        Kind::Close => {
            envelope["session"] == SessionId::from_bytes(header.session).to_string()
                && envelope["entries"] == header.link.ordinal
        }
        Kind::Start | Kind::State => envelope["period"] == header.period,
        Kind::Heartbeat => {
            envelope["period"] == header.period && envelope["open"] == header.link.open
        }
        _ => envelope["open"] == header.link.open,
    };
    told && envelope["v"] == VERSION
        && envelope["kind"] == kind.as_str()
        && envelope["time"] == time
}

fn blob_error(error: rusqlite::types::FromSqlError) -> Error {
    Error::because(ErrorKind::Corrupt, error)
}
