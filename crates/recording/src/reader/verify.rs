//! Checking the whole book.

use std::path::Path;

use rusqlite::{OptionalExtension, ToSql, Transaction, params};
use serde::Serialize;
use serde_json::Value;
use tollbook_exchange::{ExchangeId, SessionId, Timestamp};
use tollbook_ledger::{
    BOOK, Chain, Chains, Completeness, ContentDigest, Entry, Hash, Header, Integrity, Kind, Leaf,
    MAX_FAULTS, Past, Pulse, Verifier, VerifierKey,
};

use super::count;
use crate::{
    Error, Unrecorded,
    body::{Opened, Recipe},
    database::{self, signed},
    envelope::{VERSION, content, shape_name},
    erased::Tombstones,
    journal::shape_of,
    keys::{Class, KeyId},
    opener::{self, Content, Opener, brings},
    queue::Brings,
    recording::MAX_PART,
    row::{IntentRow, OutcomeRow, Row},
    scopes::piece_id,
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
    /// What was erased, as the book itself says.
    pub erased: Unread,
    /// What could not be opened for want of keys. It is held against what was signed as it is stored,
    /// and nobody looked whether the lists say the same.
    pub unopened: Unread,
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
    /// What was not recorded, as the book itself says; at most a thousand times.
    pub gaps: Vec<ToldGap>,
    /// The last sign of life of the recorder: when, and whether it said that it stops.
    pub last_sign: Option<LastSign>,
}

/// Counts of what nobody read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Unread {
    /// Entries.
    pub entries: u64,
    /// Bodies of requests.
    pub requests: u64,
    /// Bodies of answers.
    pub answers: u64,
}

impl Unread {
    /// Whether it counts nothing.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn count(&mut self, class: Class) {
        *match class {
            Class::Metadata => &mut self.entries,
            Class::Request => &mut self.requests,
            Class::Answer => &mut self.answers,
        } += 1;
    }
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

/// What was not recorded, as an entry of the book says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ToldGap {
    /// The index of the entry.
    pub index: u64,
    /// The connection; empty where that is not known.
    pub connection: String,
    /// When the first of it was, if that is known.
    pub from: Option<Timestamp>,
    /// When the last of it was, if that is known.
    pub to: Option<Timestamp>,
    /// Why it could not be recorded.
    pub why: String,
    /// How much it was.
    pub counts: Unrecorded,
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
    opener: Opener<'_>,
    journal: &Path,
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
        opener,
        journal,
        tombstones: Tombstones::default(),
        is_newest: false,
        erased: Unread::default(),
        unopened: Unread::default(),
        apart: 0,
        faults: Vec::new(),
        fault_count: 0,
        lost_count: 0,
        intents: 0,
        outcomes: 0,
        gaps: Vec::new(),
    };
    // What cannot be read here is told where it is met again.
    let _damaged = audit.tombstones.read(book);
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
    // A head that somebody made up may tell of any number.
    let end = book.query_row("SELECT max(seq) FROM entry", [], |row| {
        row.get::<_, Option<i64>>(0)
    });
    let end = match end {
        Ok(last) => signed_size.min(last.map_or(0, |last| last.saturating_add(1))),
        Err(_) => signed_size,
    };
    let mut from = 0;
    while let Some(damaged) = entries(from, &mut verifier, &mut audit)? {
        // Page by page the rest may well be there.
        verifier.unreadable();
        from = damaged.saturating_add(1);
        if from >= end {
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
    } else if audit.lost_count > 0 {
        (tollbook_ledger::Verdict::Tampered, report.integrity)
    } else {
        (report.verdict, report.integrity)
    };
    let completeness = match audit.lost_count {
        0 => report.completeness,
        _ => Completeness::Incomplete,
    };
    let kept = report.kept.iter().map(|kept| Kept {
        size: kept.size,
        verdict: kept.past.as_str(),
        what: kept.past.to_string(),
    });
    Ok(Verification {
        verdict: verdict.as_str(),
        integrity: integrity.as_str(),
        completeness: completeness.as_str(),
        size: report.size,
        root: report.root.to_string(),
        origin,
        key: key_text,
        checkpoint,
        kept: kept.collect(),
        faults,
        fault_count: report.fault_count + audit.fault_count + audit.lost_count,
        erased: audit.erased,
        unopened: audit.unopened,
        exchanges: audit.intents,
        open: audit.intents.saturating_sub(audit.outcomes),
        sessions,
        silences: silences(&report.pulse),
        silence_count: report.pulse.count(),
        gaps: audit.gaps,
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
        let salt = row.get_ref(2).ok().map(|salt| salt.as_blob_or_null());
        let (Some(leaf), Some(Ok(salt)), Some(envelope)) = (blob(1), salt, blob(3)) else {
            verifier.unreadable();
            continue;
        };
        let (header, opened) = audit.open(verifier, leaf, salt, envelope)?;
        if let Some(header) = header {
            if place != signed(header.sequence)? {
                let what = "the entry is stored under another index";
                audit.fault(Some(header.sequence), what);
            }
            audit.entry(&header, opened);
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

/// Key, session, holder, and whether the scope is that of one exchange alone.
type ScopeRow = ([u8; 16], [u8; 16], [u8; 32], bool);

/// The checks that need more than the log: bodies, and the table of exchanges.
struct Audit<'a> {
    book: &'a Transaction<'a>,
    opener: Opener<'a>,
    journal: &'a Path,
    tombstones: Tombstones,
    /// Whether the tombstones are also those that were written since.
    is_newest: bool,
    erased: Unread,
    unopened: Unread,
    /// Outcomes under keys of their own: of exchanges that nobody could open to close them.
    apart: u64,
    faults: Vec<Fault>,
    fault_count: u64,
    /// Faults that are keys which are gone, and nothing says why.
    lost_count: u64,
    intents: u64,
    outcomes: u64,
    gaps: Vec<ToldGap>,
}

impl Audit<'_> {
    /// Holds an entry against its leaf, and opens it if that can be.
    fn open(
        &mut self,
        verifier: &mut Verifier,
        leaf: &[u8],
        salt: Option<&[u8]>,
        envelope: &[u8],
    ) -> Result<(Option<Header>, Content<Opened>), Error> {
        let nothing = Content::Erased;
        let Ok(Leaf { header, .. }) = Leaf::from_bytes(leaf) else {
            return Ok((verifier.sealed(leaf, &Hash::empty()), nothing));
        };
        let sealed = match opener::stored(self.book, &header, envelope) {
            // What is of another type than was written does not fit either.
            Err(error) if error.is_damage() => Some(Hash::empty()),
            sealed => sealed?,
        };
        if let Some(sealed) = &sealed
            && (*sealed != header.seal.digest || salt.is_some())
        {
            let sealed = if salt.is_some() {
                &Hash::empty()
            } else {
                sealed
            };
            return Ok((verifier.sealed(leaf, sealed), nothing));
        }
        let opened = self.opener.envelope(&header, salt, envelope);
        let header = match (&sealed, &opened) {
            (_, Ok(Content::Open(opened))) => verifier.entry(&Entry {
                leaf,
                salt: &opened.salt,
                envelope: &opened.envelope,
            }),
            (Some(sealed), _) => verifier.sealed(leaf, sealed),
            (None, _) => verifier.entry(&Entry {
                leaf,
                salt: salt.unwrap_or_default(),
                envelope,
            }),
        };
        match opened {
            Ok(opened) => Ok((header, opened)),
            Err(error) if error.is_damage() => {
                if let Some(header) = header {
                    self.fault(Some(header.sequence), "its key does not open the envelope");
                }
                Ok((None, nothing))
            }
            Err(error) => Err(error),
        }
    }

    /// Checks what belongs to an entry that is itself what was signed.
    fn entry(&mut self, header: &Header, opened: Content<Opened>) {
        if self.belongings(header, opened).is_err() {
            let what = "what belongs to the entry cannot be read: the journal is damaged";
            self.fault(Some(header.sequence), what);
        }
    }

    fn belongings(&mut self, header: &Header, opened: Content<Opened>) -> Result<(), Error> {
        let index = Some(header.sequence);
        match header.kind {
            Kind::Intent => self.intents += 1,
            Kind::Outcome => self.outcomes += 1,
            _ => {}
        }
        let key = KeyId(header.seal.key);
        let Some(opened) = self.opened(header, key, Class::Metadata, opened)? else {
            return self.unread(header);
        };
        let envelope: Value = serde_json::from_slice(&opened.envelope).unwrap_or(Value::Null);
        let fits = match (header.kind, Row::read(&envelope)) {
            (Kind::Intent, Some(Row::Intent(row))) => {
                let same = row.id.as_bytes() == &header.exchange
                    && row.session.as_bytes() == &header.session;
                if self.intent_row(header.sequence)?.as_ref() != Some(&row) {
                    self.fault(index, "the table of exchanges differs from the intent");
                }
                let brings = brings(self.book, header.sequence)?.unwrap_or_default();
                self.scope(header, brings, &envelope)?;
                let recorded = &envelope["request"]["body"];
                self.request(header, brings, &opened.salt, &opened.recipe, recorded)?;
                same
            }
            (Kind::Outcome, Some(Row::Outcome(row))) => {
                let same = row.id.as_bytes() == &header.exchange;
                if self.outcome_row(header.sequence)?.as_ref() != Some(&row) {
                    self.fault(index, "the table of exchanges differs from the outcome");
                }
                self.response(header, &opened.salt, &envelope["response"])?;
                same
            }
            (Kind::Intent | Kind::Outcome, _) => {
                self.fault(index, "the envelope is not one that this build reads");
                return Ok(());
            }
            (kind, _) => {
                self.told(header, &envelope);
                own(kind, header, &envelope)
            }
        };
        if !fits {
            self.fault(index, "the envelope is not that of its leaf");
        }
        Ok(())
    }

    /// Takes down what the book says was not recorded.
    fn told(&mut self, header: &Header, envelope: &Value) {
        let is_gap = header.kind == Kind::State && envelope["state"] == "gap";
        if !is_gap || self.gaps.len() >= MAX_FAULTS {
            return;
        }
        let text = |key: &str| envelope[key].as_str().unwrap_or_default().to_owned();
        self.gaps.push(ToldGap {
            index: header.sequence,
            connection: text("connection"),
            from: text("from").parse().ok(),
            to: text("to").parse().ok(),
            why: text("why"),
            counts: serde_json::from_value(envelope.clone()).unwrap_or_default(),
        });
    }

    /// Checks what can be of an entry that nobody can open.
    fn unread(&mut self, header: &Header) -> Result<(), Error> {
        let index = Some(header.sequence);
        let row: Option<([u8; 16], [u8; 16], bool)> = self
            .book
            .prepare_cached(
                "SELECT id, session, trim(concat(issuer, subject, kind, action, model)) = ''
                 FROM exchange JOIN caller USING (intent)
                 WHERE closed = ?1 OR intent = ?1",
            )?
            .query_row([signed(header.sequence)?], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((id, session, is_empty)) = row else {
            self.fault(index, "the table of exchanges lacks the exchange");
            return Ok(());
        };
        if (id, session) != (header.exchange, header.session) {
            self.fault(index, "the table of exchanges has another exchange here");
        }
        let key = KeyId(header.seal.key);
        if header.kind == Kind::Intent {
            let brings = brings(self.book, header.sequence)?.unwrap_or_default();
            self.scope(header, brings, &Value::Null)?;
            if self.tombstones.of(key, Class::Metadata).is_some() && !is_empty {
                self.fault(index, "the table of exchanges tells of what was erased");
            }
            // One that brought nothing has a range with nothing in it.
            let first = piece_id(brings.scope, brings.first)?;
            let end = first.saturating_add(i64::from(brings.count));
            self.stubs(
                header,
                (key, Class::Request),
                "SELECT 1 FROM pack WHERE id >= ?1 AND id < ?2 AND substr(data, 1, 1) = x'00'
                     AND length(data) = 33 LIMIT 1",
                params![first, end],
            )?;
        } else {
            let key = self.answered(header)?;
            self.stubs(
                header,
                (key, Class::Answer),
                "SELECT 1 FROM part WHERE exchange = ?1 AND substr(data, 1, 1) = x'00'
                     AND length(data) = 33 LIMIT 1",
                params![header.exchange],
            )?;
        }
        Ok(())
    }

    /// A body of which a stub alone is left was dropped. That is a loss where nothing says why, and
    /// takes no key to be seen.
    fn stubs(
        &mut self,
        header: &Header,
        (key, class): (KeyId, Class),
        find: &str,
        of: &[&dyn ToSql],
    ) -> Result<(), Error> {
        if self.tombstones.of(key, class).is_some() {
            return Ok(());
        }
        let found = self
            .book
            .prepare_cached(find)?
            .query_row(of, |_| Ok(()))
            .optional()?;
        if found.is_some() {
            self.opened::<()>(header, key, class, Content::Erased)?;
        }
        Ok(())
    }

    /// Holds the scope of an intent against its leaf, and against its envelope if that is open.
    fn scope(&mut self, header: &Header, brings: Brings, envelope: &Value) -> Result<(), Error> {
        let found: Option<ScopeRow> = self
            .book
            .prepare_cached("SELECT key, session, holder, alone FROM scope WHERE number = ?1")?
            .query_row([signed(brings.scope)?], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()
            .unwrap_or_default();
        let principal = &envelope["principal"];
        let holder = match (principal["issuer"].as_str(), principal["subject"].as_str()) {
            (Some(issuer), Some(subject)) => self.opener.subject(issuer, subject),
            _ if envelope.is_object() => Some([0; 32]),
            _ => None,
        };
        let fits = found.is_some_and(|(key, session, stored, alone)| {
            key == header.seal.key
                && session == header.session
                && alone == header.is_alone()
                && holder.is_none_or(|holder| holder == stored)
        });
        if !fits {
            let what = "the table of scopes differs from the intent";
            self.fault(Some(header.sequence), what);
        }
        Ok(())
    }

    /// Whether the body that was asked with is what the intent's envelope says.
    fn request(
        &mut self,
        header: &Header,
        brings: Brings,
        salt: &[u8; 32],
        recipe: &Recipe,
        recorded: &Value,
    ) -> Result<(), Error> {
        let mut body = Parted::new(salt, recorded["bytes"].as_u64().unwrap_or(0));
        let key = KeyId(header.seal.key);
        let read = self
            .opener
            .request(key, brings, recipe, &mut |piece| body.more(piece));
        let Some(read) = self.read(header, read)? else {
            return Ok(());
        };
        if self.opened(header, key, Class::Request, read)?.is_some()
            && *recorded != content(&body.digest)
        {
            self.fault(Some(header.sequence), OTHER_BODY);
        }
        Ok(())
    }

    /// Whether the stored response is what the outcome's envelope says.
    fn response(
        &mut self,
        header: &Header,
        salt: &[u8; 32],
        recorded: &Value,
    ) -> Result<(), Error> {
        let key = self.answered(header)?;
        // One that nobody could read when it was closed has no digest.
        if recorded["body"].is_null() {
            return Ok(());
        }
        let mut digest = ContentDigest::new(salt);
        let mut whole = true;
        let shape = recorded["shape"].as_str();
        let read = self.opener.answer(
            ExchangeId::from_bytes(header.exchange),
            key,
            &mut |kind, parts| {
                whole &= shape == Some(shape_name(shape_of(kind)));
                parts.iter().for_each(|(at, bytes)| digest.part(*at, bytes));
                Ok(())
            },
        );
        let Some(read) = self.read(header, read)? else {
            return Ok(());
        };
        if self.opened(header, key, Class::Answer, read)?.is_some()
            && (!whole || recorded["body"] != content(&digest))
        {
            self.fault(Some(header.sequence), OTHER_BODY);
        }
        Ok(())
    }

    /// The key of the answer: that of the exchange's scope. The outcome may have one of its own.
    fn answered(&mut self, header: &Header) -> Result<KeyId, Error> {
        // A key of another length is told at the intent.
        let own = KeyId(header.seal.key);
        let key = opener::answer_key(self.book, header).unwrap_or(own);
        if key != own {
            self.apart += 1;
            let rows: i64 = self.book.query_row(
                "SELECT count(*) FROM scope WHERE key = ?1 AND session = ?2 AND alone = 1
                     AND holder = zeroblob(32)",
                params![header.seal.key, header.session],
                |row| row.get(0),
            )?;
            if rows != 1 {
                let what = "the table of scopes differs from the outcome";
                self.fault(Some(header.sequence), what);
            }
        }
        Ok(key)
    }

    /// What was read of a body; a fault if its key does not open it.
    fn read<T>(
        &mut self,
        header: &Header,
        read: Result<Content<T>, Error>,
    ) -> Result<Option<Content<T>>, Error> {
        match read {
            Ok(content) => Ok(Some(content)),
            Err(error) if error.is_damage() => {
                self.fault(Some(header.sequence), OTHER_BODY);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// What is open. The rest is counted, and a fault where a key is gone and nothing says why.
    fn opened<T>(
        &mut self,
        header: &Header,
        key: KeyId,
        class: Class,
        content: Content<T>,
    ) -> Result<Option<T>, Error> {
        let is_erased = match &content {
            Content::Erased => true,
            _ => self.tombstones.of(key, class).is_some(),
        };
        if !is_erased {
            if let Content::Open(opened) = content {
                return Ok(Some(opened));
            }
            self.unopened.count(class);
            return Ok(None);
        }
        if self.tombstones.of(key, class).is_none() && !self.is_newest {
            // What was erased since the book began to be read here has its tombstone further on.
            self.is_newest = true;
            self.tombstones.read(&database::read(self.journal)?)?;
        }
        if self.tombstones.of(key, class).is_some() {
            self.erased.count(class);
        } else {
            let what = format!(
                "the key for its {} is gone, and no tombstone says why",
                class.as_str()
            );
            self.lost_count += 1;
            self.push(Some(header.sequence), &what);
        }
        Ok(None)
    }

    fn intent_row(&self, index: u64) -> Result<Option<IntentRow>, Error> {
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

    fn outcome_row(&self, index: u64) -> Result<Option<OutcomeRow>, Error> {
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
        let callers = count(self.book, "SELECT count(*) FROM caller")?;
        let fits = |rows: u64, entries: u64| (entries..=entries + unread).contains(&rows);
        if !fits(exchanges, self.intents)
            || !fits(callers, self.intents)
            || !fits(closed, self.outcomes)
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
        if stray != self.apart {
            self.fault(None, "there are scopes of no exchange");
        }
        Ok(())
    }

    fn fault(&mut self, index: Option<u64>, what: &str) {
        self.fault_count += 1;
        self.push(index, what);
    }

    fn push(&mut self, index: Option<u64>, what: &str) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault {
                index,
                what: what.to_owned(),
            });
        }
    }
}

/// The digest of a request's body, which comes in other pieces than those that the digest has.
struct Parted {
    digest: ContentDigest,
    /// Bytes that are announced and did not begin a part yet, and that are missing in the one that
    /// did.
    ahead: u64,
    missing: u64,
}

impl Parted {
    fn new(salt: &[u8; 32], bytes: u64) -> Self {
        Self {
            digest: ContentDigest::new(salt),
            ahead: bytes,
            missing: 0,
        }
    }

    fn more(&mut self, mut piece: &[u8]) {
        while !piece.is_empty() {
            if self.missing == 0 {
                // More than was announced is another body in any case.
                self.missing = self.ahead.clamp(1, MAX_PART as u64);
                self.ahead = self.ahead.saturating_sub(self.missing);
                self.digest.begin(0, self.missing);
            }
            let most = usize::try_from(self.missing).unwrap_or(usize::MAX);
            let (now, rest) = piece.split_at(piece.len().min(most));
            self.digest.more(now);
            self.missing -= now.len() as u64;
            piece = rest;
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
        Kind::Stop => envelope["open"] == header.link.open,
        // What these tell stands in no leaf.
        _ => true,
    };
    told && envelope["v"] == VERSION
        && envelope["kind"] == kind.as_str()
        && envelope["time"] == time
}

const OTHER_BODY: &str = "the stored body is not the one that was recorded";
