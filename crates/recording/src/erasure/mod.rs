//! The end of what is recorded: erasure, retention, and holds against both.
//!
//! What is recorded is sealed under keys that can be destroyed, so it is erased by destroying them.
//! The log stays as it was: its leaves commit to what nobody can open any more.
//!
//! 1. Tombstones are written into the log, in one transaction: which keys, how many exchanges, who
//!    asked, on what ground.
//! 2. What the keys would open is dropped, and the columns of lists are emptied.
//! 3. The keys are overwritten.
//! 4. The write-ahead logs of both databases are cut to nothing, which have pages as they were.
//! 5. It is noted beside the keys up to which entry all that was done.
//!
//! The tombstones come first because they are the list that the rest is done by, each step of which
//! can be done again: a crash is made good at the next start, a log that could not be cut because
//! somebody read it at the next start, erasure or retention, and so is a copy of the keys from
//! before an erasure that somebody puts back. The other way round a crash would leave a loss that
//! nothing explains.
//!
//! What is under way meanwhile holds keys that are destroyed. It is recorded to its end under them,
//! and nobody can read it. The next exchange of the same principal in the same session begins a scope
//! of its own.

mod doomed;
mod hold;
mod retention;
mod settle;
mod survey;
mod tombstone;

use std::{
    collections::HashSet,
    ops::Range,
    sync::{MutexGuard, PoisonError},
    thread,
    time::Duration,
};

pub use hold::{Hold, RefusedErasure};
pub use retention::{Retention, Term, Terms};
use rusqlite::Connection;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tollbook_exchange::{SessionId, Timestamp};
use tollbook_ledger::Leaf;

pub(crate) use doomed::{Doomed, empty};
pub(crate) use settle::settle;

use crate::{
    Error, ErrorKind, Reader, Recorder, Summary, database,
    database::unsigned,
    envelope, folder,
    keys::{Class, KeyId, Keyring},
    queue::{Entry, Job},
    reader::list::of_scopes,
};
use survey::{Scope, Survey};
use tombstone::{Cause, Tombstone};

/// Whose records are meant.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Whom {
    /// All that belongs to a session.
    Session(SessionId),
    /// All that a subject did, in whatever session.
    Subject {
        /// Who vouches for the subject: the issuer's name.
        issuer: String,
        /// The subject, as the issuer names it.
        subject: String,
    },
}

/// An erasure that somebody asks for.
#[derive(Clone, Debug)]
pub struct Erasure {
    /// Of whom.
    pub whom: Whom,
    /// Who asks.
    pub by: String,
    /// On what ground, such as the number of a request. No names and no secrets: it stays.
    pub basis: String,
    /// Why it is done although something has to be kept for longer, if it is to be.
    pub override_minimum: Option<String>,
}

/// What an erasure would take, or took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Erased {
    /// Sessions that are or were erased, in whole or in part.
    pub sessions: u64,
    /// Exchanges.
    pub exchanges: u64,
    /// The first of them.
    pub from: Option<Timestamp>,
    /// The last of them.
    pub to: Option<Timestamp>,
    /// Exchanges that stay, because the gate's own acts are told by them.
    pub kept: u64,
    /// The holds that forbid it.
    pub holds: Vec<u64>,
    /// Until when something of it has to be kept, if that is still to come.
    pub kept_until: Option<Timestamp>,
    /// The indexes of the log's entries that say so, once it is done.
    pub tombstones: Vec<u64>,
}

/// What a retention would take, or took.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Expired {
    /// By class.
    pub classes: Vec<ExpiredClass>,
    /// The indexes of the log's entries that say so, once it is done.
    pub tombstones: Vec<u64>,
}

/// What a retention would take, or took, of one class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ExpiredClass {
    /// The class.
    pub class: &'static str,
    /// Exchanges.
    pub exchanges: u64,
    /// The first of them.
    pub from: Option<Timestamp>,
    /// The last of them.
    pub to: Option<Timestamp>,
    /// Exchanges that would go and are held.
    pub held: u64,
    /// When something goes next.
    pub next: Option<Timestamp>,
}

impl Recorder {
    /// Erases what somebody did, or a session: nobody can read it any more, and the log still
    /// verifies. What is under way then is erased as well. Blocks; not to be called from async code.
    ///
    /// What the gate itself did stays, also where the subject had it do so: whoever operates the
    /// gate cannot erase what shows that.
    ///
    /// Nothing found is no error: then there is no tombstone, unless an erasure that could not be done
    /// to its end before was so now.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Held`] under a hold, which is recorded. [`ErrorKind::KeptUntil`] if something of
    /// it has to be kept for longer. Others when it could not be done to its end: the next
    /// erasure, retention or start does the rest.
    pub fn erase(&self, erasure: &Erasure, retention: &Retention) -> Result<Erased, Error> {
        let _alone = self.erasing();
        let left = self.settle()?;
        let survey = Survey::of(&self.book()?)?;
        let keys = &self.inner().scopes.keyring;
        let (found, mut erased) = erasure.whom.find(Ok(keys), &survey, retention)?;
        if found.is_empty() {
            // One that could not be done to its end before is so now.
            erased.tombstones = left;
            return Ok(erased);
        }
        if !erased.holds.is_empty() {
            let refused = tombstone::refused(&erased.holds, &erasure.by, &erasure.basis)?;
            self.write(Job {
                entries: vec![refused],
                ..Job::default()
            })?;
            return Err(ErrorKind::Held(erased.holds.len()).into());
        }
        if let (Some(until), None) = (erased.kept_until, &erasure.override_minimum) {
            return Err(ErrorKind::KeptUntil(until).into());
        }
        let minimum = erasure.override_minimum.as_deref();
        let cause = Cause {
            why: "erasure",
            by: &erasure.by,
            basis: &erasure.basis,
            minimum: minimum.filter(|_| erased.kept_until.is_some()),
            exchanges: 0,
        };
        let doomed = [(Class::Metadata, found)];
        erased.tombstones = self.destroy(&doomed, &cause)?;
        Ok(erased)
    }

    /// Destroys what has been kept for long enough. Blocks; not to be called from async code.
    ///
    /// By a clock that went ahead by more than two days since the last entry before the start, or in
    /// jumps since then, nothing is destroyed unasked, also not after another start, until it is set right.
    /// That is so where `by` is the gate itself, whose names begin with a parenthesis; whoever else asks
    /// for it says that the clock is right.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ClockDoubted`] for that, which is recorded. When it could not be done to its end: the next erasure, retention or start does the rest.
    pub fn retain(&self, retention: &Retention, by: &str) -> Result<Expired, Error> {
        let _alone = self.erasing();
        self.settle()?;
        let now = Timestamp::now();
        let shared = &self.inner().shared;
        if !by.starts_with('(') {
            shared.trust_clock();
        } else if shared.doubts_clock() {
            let told = json!({ "state": "retention_refused", "why": "clock", "now": now });
            let entry = envelope::condition(self.inner().config.period(), told)?;
            self.write(Job {
                entries: vec![entry],
                ..Job::default()
            })?;
            return Err(ErrorKind::ClockDoubted.into());
        }
        let survey = Survey::of(&self.book()?)?;
        let (due, nothing) = expired(retention, &survey, now, |_| true);
        if due.is_empty() {
            return Ok(nothing);
        }
        let mut ended = keys_of(&due);
        let scopes = &self.inner().scopes;
        // What somebody goes on with meanwhile is not old. What was just written is let go of soon.
        let mut busy = scopes.end_idle(&ended);
        for _ in 0..LET_GO {
            if busy.is_empty() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
            busy = scopes.end_idle(&busy);
        }
        ended.retain(|key| !busy.contains(key));
        // From here on nothing more can come into them; what came since the first look counts.
        let survey = Survey::of(&self.book()?);
        let survey = survey.inspect_err(|_| scopes.spare(ended.iter().copied()))?;
        let (due, mut expired) =
            expired(retention, &survey, now, |scope| ended.contains(&scope.key));
        let going = keys_of(&due);
        scopes.spare(ended.difference(&going).copied());
        let cause = Cause {
            why: "retention",
            by,
            basis: "the configured retention",
            minimum: None,
            exchanges: 0,
        };
        if !due.is_empty() {
            expired.tombstones = self.destroy(&due, &cause)?;
        }
        Ok(expired)
    }

    /// Puts a hold on a session or a subject. Blocks; not to be called from async code.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn hold(&self, whom: &Whom, by: &str, reason: &str) -> Result<Hold, Error> {
        let _alone = self.erasing();
        let (session, subject) = match whom {
            Whom::Session(session) => (Some(*session), None),
            Whom::Subject { issuer, subject } => {
                let keys = &self.inner().scopes.keyring;
                (None, Some(hex(&keys.subject(issuer, subject)?)))
            }
        };
        let text = session.map(|session| session.to_string());
        let entry = tombstone::hold(text.as_deref(), subject.as_deref(), by, reason)?;
        let since = Timestamp::from_micros(entry.time);
        Ok(Hold {
            id: self.hold_entry(entry)?,
            session,
            subject,
            reason: reason.to_owned(),
            by: by.to_owned(),
            since,
            released: None,
            refused: Vec::new(),
        })
    }

    /// Ends a hold. `None` if there is none of this id in force. Blocks; not to be called from async
    /// code.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub fn release(&self, hold: u64, by: &str, reason: &str) -> Result<Option<Hold>, Error> {
        let _alone = self.erasing();
        let mut holds = hold::active(&self.book()?)?.into_iter();
        let Some(mut held) = holds.find(|held| held.id == hold) else {
            return Ok(None);
        };
        let entry = tombstone::release(hold, by, reason)?;
        held.released = Some(Timestamp::from_micros(entry.time));
        self.hold_entry(entry)?;
        Ok(Some(held))
    }

    /// What an [erasure](Self::erase) would take.
    ///
    /// # Errors
    ///
    /// When the journal or its keys cannot be read.
    pub fn would_erase(&self, whom: &Whom, retention: &Retention) -> Result<Erased, Error> {
        let survey = Survey::of(&self.book()?)?;
        let keys = &self.inner().scopes.keyring;
        Ok(whom.find(Ok(keys), &survey, retention)?.1)
    }

    /// What a [retention](Self::retain) would take.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn would_expire(&self, retention: &Retention) -> Result<Expired, Error> {
        let survey = Survey::of(&self.book()?)?;
        Ok(expired(retention, &survey, Timestamp::now(), |_| true).1)
    }

    /// All holds there ever were, oldest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>, Error> {
        hold::all(&self.book()?)
    }

    /// Destroys scopes, each with all that goes with the class. Returns the tombstones.
    fn destroy(
        &self,
        doomed: &[(Class, Vec<&Scope>)],
        cause: &Cause<'_>,
    ) -> Result<Vec<u64>, Error> {
        let inner = self.inner();
        let mut job = Job::default();
        for (class, scopes) in doomed {
            for some in scopes.chunks(MAX_KEYS) {
                let keys = some.iter().flat_map(|scope| match class {
                    Class::Metadata => scope.keys().collect(),
                    // What was closed apart has no other class.
                    _ => vec![scope.key],
                });
                let tombstone = Tombstone {
                    keys: keys.collect(),
                    classes: going(*class).to_vec(),
                };
                let cause = Cause {
                    exchanges: count(some, *class),
                    ..cause.clone()
                };
                job.entries.push(tombstone.entry(&cause)?);
            }
            if *class == Class::Metadata {
                job.gone.extend(scopes.iter().map(|scope| scope.key));
            }
        }
        let keys = keys_of(doomed);
        inner.scopes.end(&keys);
        self.write(job)?;
        let told = self.settle()?;
        // Their keys are gone now, which is reason enough for none of them to go on.
        inner.scopes.spare(keys.into_iter());
        Ok(told)
    }

    /// Does what tombstones say and is not known to be done. Returns them.
    fn settle(&self) -> Result<Vec<u64>, Error> {
        let keyring = &self.inner().scopes.keyring;
        let journal = folder::journal(self.folder());
        let settled = settle(&self.book()?, keyring, &journal, |doomed| {
            self.write(Job {
                doomed: Some(doomed),
                ..Job::default()
            })
        })?;
        match settled.is_cut {
            true => Ok(settled.tombstones),
            false => Err(Error::because(
                ErrorKind::Database,
                "somebody reads the book, so that what was erased is still in a write-ahead log",
            )),
        }
    }

    /// Writes the entry of a hold, and tells where it stands.
    fn hold_entry(&self, entry: Entry) -> Result<u64, Error> {
        self.write(Job {
            entries: vec![entry],
            ..Job::default()
        })?;
        // Nobody else writes one meanwhile.
        let last = self.book()?.query_row(
            "SELECT seq FROM entry WHERE substr(leaf, 2, 1) = x'09' ORDER BY seq DESC LIMIT 1",
            [],
            |row| row.get(0),
        )?;
        unsigned(last)
    }

    /// Writes a job, and waits until it is durable.
    fn write(&self, job: Job) -> Result<(), Error> {
        let (waiting, written) = oneshot::channel();
        let inner = self.inner();
        inner.shared.push(Job {
            waiting: Some(waiting),
            ..job
        })?;
        written.blocking_recv().map_err(|_| inner.blocked())?
    }

    fn book(&self) -> Result<Connection, Error> {
        database::read(&folder::journal(self.folder()))
    }

    /// So that no hold comes between the look for holds and what is done.
    fn erasing(&self) -> MutexGuard<'_, ()> {
        let erasing = &self.inner().erasing;
        erasing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// What an [erasure](Recorder::erase) would take.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read, or, for a subject, its keys.
    pub fn would_erase(&self, whom: &Whom, retention: &Retention) -> Result<Erased, Error> {
        self.read(|book| {
            let survey = Survey::of(book)?;
            Ok(whom.find(self.keyring(), &survey, retention)?.1)
        })
    }

    /// What a [retention](Recorder::retain) would take.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn would_expire(&self, retention: &Retention) -> Result<Expired, Error> {
        self.read(|book| Ok(expired(retention, &Survey::of(book)?, Timestamp::now(), |_| true).1))
    }

    /// The exchanges of which something was erased, by the tombstones among these entries of the log.
    /// What is derived from the book has to forget it.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn erased_in(&self, entries: Range<u64>) -> Result<Vec<Summary>, Error> {
        self.read(|book| {
            let mut keys = HashSet::new();
            for (_, tombstone) in tombstones(book, entries)? {
                keys.extend(tombstone.keys);
            }
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let mut scopes = HashSet::new();
            let mut rows = book.prepare("SELECT number, key FROM scope")?;
            let mut rows = rows.query([])?;
            while let Some(row) = rows.next()? {
                if keys.contains(&KeyId(row.get(1)?)) {
                    scopes.insert(unsigned(row.get(0)?)?);
                }
            }
            of_scopes(book, &scopes)
        })
    }

    /// All holds there ever were, oldest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn holds(&self) -> Result<Vec<Hold>, Error> {
        self.read(|book| hold::all(book))
    }
}

impl Whom {
    /// The scopes that are to be erased, and what there is to tell of them.
    fn find<'a>(
        &self,
        keys: Result<&Keyring, ErrorKind>,
        survey: &'a Survey,
        retention: &Retention,
    ) -> Result<(Vec<&'a Scope>, Erased), Error> {
        let holder = match self {
            Self::Session(_) => None,
            Self::Subject { issuer, subject } => Some(keys?.subject(issuer, subject)?),
        };
        let theirs = survey.scopes.iter().filter(|scope| match self {
            Self::Session(session) => scope.session == *session,
            Self::Subject { .. } => holder == Some(scope.holder),
        });
        let (own, found): (Vec<_>, Vec<_>) = theirs
            .filter(|scope| scope.erased != ALL)
            .partition(|scope| scope.is_own());
        let holds = survey.holds.iter();
        let holds = holds.filter(|hold| found.iter().any(|scope| scope.is_under(hold)));
        let until = found.iter().map(|scope| scope.kept_until(retention)).max();
        let now = Timestamp::now();
        let sessions: HashSet<_> = found.iter().map(|scope| scope.session).collect();
        let told = Erased {
            sessions: sessions.len() as u64,
            exchanges: count(&found, Class::Metadata),
            from: found.iter().map(|scope| scope.first).min(),
            to: found.iter().map(|scope| scope.last).max(),
            kept: count(&own, Class::Metadata),
            holds: holds.map(|hold| hold.id).collect(),
            kept_until: until.filter(|until| *until > now),
            tombstones: Vec::new(),
        };
        Ok((found, told))
    }
}

/// The scopes whose time is over, by class, and what there is to tell of them: of those alone that
/// `may` go.
fn expired<'a>(
    retention: &Retention,
    survey: &'a Survey,
    now: Timestamp,
    may: impl Fn(&Scope) -> bool,
) -> (Vec<(Class, Vec<&'a Scope>)>, Expired) {
    let mut due = Vec::new();
    let mut told = Expired::default();
    let mut gone: HashSet<KeyId> = HashSet::new();
    for class in Class::ALL {
        let there = survey.scopes.iter();
        let there = there.filter(|scope| {
            scope.erased & class.bit() == 0 && !scope.open && scope.count(class) > 0
        });
        let (mut going, mut held, mut next) = (Vec::new(), Vec::new(), None::<Timestamp>);
        for scope in there {
            match scope.expires(class, retention) {
                None => {}
                Some(at) if at > now => next = Some(next.map_or(at, |next| next.min(at))),
                Some(_) if survey.holds.iter().any(|hold| scope.is_under(hold)) => held.push(scope),
                Some(_) if may(scope) => going.push(scope),
                Some(_) => {}
            }
        }
        told.classes.push(ExpiredClass {
            class: class.as_str(),
            exchanges: count(&going, class),
            from: going.iter().map(|scope| scope.first).min(),
            to: going.iter().map(|scope| scope.last).max(),
            held: count(&held, class),
            next,
        });
        // With the metadata all of it goes already.
        going.retain(|scope| !gone.contains(&scope.key));
        if class == Class::Metadata {
            gone.extend(going.iter().map(|scope| scope.key));
        }
        if !going.is_empty() {
            due.push((class, going));
        }
    }
    (due, told)
}

/// What is destroyed when this class expires.
const fn going(class: Class) -> &'static [Class] {
    match class {
        Class::Metadata => &Class::ALL,
        Class::Request => &[Class::Request],
        Class::Answer => &[Class::Answer],
        Class::Rows => &[Class::Rows],
    }
}

/// The tombstones among these entries, with their indexes.
fn tombstones(book: &Connection, entries: Range<u64>) -> Result<Vec<(u64, Tombstone)>, Error> {
    let mut found = Vec::new();
    each_tombstone(book, entries, |index, envelope| {
        let tombstone = Tombstone::read(envelope).ok_or(ErrorKind::Corrupt)?;
        found.push((index, tombstone));
        Ok(())
    })?;
    Ok(found)
}

/// Looks at the envelope of each tombstone among these entries.
fn each_tombstone(
    book: &Connection,
    entries: Range<u64>,
    mut look: impl FnMut(u64, &Value) -> Result<(), Error>,
) -> Result<(), Error> {
    let bound = |index: u64| i64::try_from(index).unwrap_or(i64::MAX);
    // The literal is that of the index, without which all of the log would be looked at.
    let mut stored = book.prepare_cached(
        "SELECT seq, leaf, salt, envelope FROM entry
         WHERE substr(leaf, 2, 1) = x'08' AND seq >= ?1 AND seq < ?2 ORDER BY seq",
    )?;
    let mut stored = stored.query([bound(entries.start), bound(entries.end)])?;
    while let Some(entry) = stored.next()? {
        let index = unsigned(entry.get(0)?)?;
        let envelope = committed(
            index,
            &entry.get::<_, Vec<u8>>(1)?,
            entry.get(2)?,
            &entry.get::<_, Vec<u8>>(3)?,
        )?;
        look(index, &envelope)?;
    }
    Ok(())
}

/// The envelope of an entry that is stored as it is, if it is what the leaf commits to: what is to
/// be destroyed, or not to be, nobody may change.
fn committed(
    index: u64,
    leaf: &[u8],
    salt: Option<[u8; 32]>,
    envelope: &[u8],
) -> Result<Value, Error> {
    let leaf = Leaf::from_bytes(leaf)?;
    let salt = salt.ok_or(ErrorKind::Corrupt)?;
    if leaf.header.sequence != index || !leaf.opens_with(&salt, envelope) {
        return Err(ErrorKind::Corrupt.into());
    }
    serde_json::from_slice(envelope).map_err(|error| Error::because(ErrorKind::Corrupt, error))
}

fn keys_of(doomed: &[(Class, Vec<&Scope>)]) -> HashSet<KeyId> {
    let scopes = doomed.iter().flat_map(|(_, scopes)| scopes);
    scopes.map(|scope| scope.key).collect()
}

/// How many exchanges of these scopes have something of this class.
fn count(scopes: &[&Scope], class: Class) -> u64 {
    scopes.iter().map(|scope| scope.count(class)).sum()
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl std::fmt::Debug for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Session(session) => f.debug_tuple("Session").field(session).finish(),
            // Who is to be erased is not to stand in a log.
            Self::Subject { .. } => f.write_str("Subject(..)"),
        }
    }
}

/// The bits of all classes.
const ALL: u8 = 0b1111;
/// How many keys one tombstone names.
const MAX_KEYS: usize = 4096;
/// How often, ten milliseconds apart, a retention looks whether somebody is done with a scope.
const LET_GO: usize = 20;

#[cfg(test)]
mod tests;
