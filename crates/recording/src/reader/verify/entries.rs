//! The entries of the log, looked at by several threads and taken in order.
//!
//! What an entry brought is looked at for itself: that takes nearly all of the time, for everything is
//! opened, parsed and digested. What entries say of each other is the verifier's, which takes them one
//! after the other. So each thread has a window of the log at a time, and the windows come back in turn.

use std::{
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use rusqlite::Transaction;
use tollbook_ledger::{Entry, Hash, Verifier};

use super::audit::{Audit, Looked};
use crate::{Error, ErrorKind, database, keys::Keyring};

/// What the verifier is told of one entry.
pub(super) enum Step {
    /// There is one, and nothing of it can be read.
    Unreadable,
    /// Leaf, salt and envelope.
    Open(Vec<u8>, Vec<u8>, Vec<u8>),
    /// Leaf, and the digest over what is stored.
    Sealed(Vec<u8>, Hash),
}

/// A part of the log, by the indexes of its entries.
#[derive(Clone, Copy)]
struct Window {
    from: i64,
    to: i64,
    /// From here on what cannot be read is not looked for one by one.
    end: i64,
}

/// Takes the entries of the log before `end`, and those after it that can be read. Returns what the
/// threads found.
pub(super) fn take(
    book: &Transaction<'_>,
    end: i64,
    verifier: &mut Verifier,
    (journal, keyring): (&Path, Result<&Keyring, ErrorKind>),
) -> Result<Looked, Error> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let windows = usize::try_from(end / WINDOW).unwrap_or(usize::MAX);
    let threads = threads.min(windows.saturating_add(1)).min(MAX_THREADS);
    thread::scope(|scope| {
        let mut lanes = Vec::new();
        let mut looking = Vec::new();
        for _ in 0..threads {
            let (ask, asked) = sync_channel(AHEAD);
            let (tell, told) = sync_channel(AHEAD);
            let keyring = keyring.clone();
            looking.push(scope.spawn(move || look(journal, keyring, &asked, &tell)));
            lanes.push((ask, told));
        }
        feed(book, end, verifier, &lanes)?;
        drop(lanes);
        let mut looked = Looked::default();
        for thread in looking {
            let found = thread.join().map_err(|_| ErrorKind::Corrupt)?;
            looked.add(found?);
        }
        Ok(looked)
    })
}

/// The way of windows to a thread, and of what it found back.
type Lane = (SyncSender<Window>, Receiver<Vec<Step>>);

/// Hands out windows in turn, and gives the verifier what comes back in the same order.
fn feed(
    book: &Transaction<'_>,
    end: i64,
    verifier: &mut Verifier,
    lanes: &[Lane],
) -> Result<(), Error> {
    let mut first = book.prepare("SELECT min(seq) FROM entry WHERE seq >= ?1")?;
    // The threads have snapshots of their own, in which a book that is being written has more.
    let last = book.query_row("SELECT max(seq) FROM entry", [], |row| {
        row.get::<_, Option<i64>>(0)
    });
    let beyond = match last {
        Ok(last) => last.map_or(0, |last| last.saturating_add(1)),
        // Where that cannot be read, what comes cannot be cut off either.
        Err(_) => i64::MAX,
    };
    let mut from = 0;
    let (mut given, mut taken) = (0, 0);
    let mut over = false;
    while !over || taken < given {
        while !over && given - taken < lanes.len() * AHEAD {
            let there = first.query_row([from], |row| row.get::<_, Option<i64>>(0));
            match there {
                // What is missing in between the verifier finds out by what comes next.
                Ok(Some(next)) => from = next,
                Ok(None) => over = true,
                // Page by page the rest may well be there.
                Err(_) => over = from >= end && given > 0,
            }
            if over {
                break;
            }
            let to = from.saturating_add(WINDOW).min(beyond);
            let (ask, _) = &lanes[given % lanes.len()];
            if ask.send(Window { from, to, end }).is_err() {
                // It ended with an error, which it tells when it is joined.
                return Ok(());
            }
            given += 1;
            from = to;
        }
        if taken < given {
            let (_, told) = &lanes[taken % lanes.len()];
            let Ok(steps) = told.recv() else {
                return Ok(());
            };
            steps.iter().for_each(|step| step.give(verifier));
            taken += 1;
        }
    }
    Ok(())
}

/// Looks at windows until there are no more, each in one snapshot: entries do not change, but for what is
/// dropped of them, and with that what the lists have.
fn look(
    journal: &Path,
    keyring: Result<&Keyring, ErrorKind>,
    asked: &Receiver<Window>,
    tell: &SyncSender<Vec<Step>>,
) -> Result<Looked, Error> {
    let mut connection = database::read(journal)?;
    let book = connection.transaction()?;
    let mut audit = Audit::new(&book, keyring, journal);
    while let Ok(window) = asked.recv() {
        let mut steps = Vec::new();
        let mut from = window.from;
        while let Some(damaged) = some(from, window.to, &mut steps, &mut audit)? {
            steps.push(Step::Unreadable);
            from = damaged.saturating_add(1);
            if from >= window.to.min(window.end) {
                break;
            }
        }
        if tell.send(steps).is_err() {
            break;
        }
    }
    Ok(audit.looked)
}

/// Looks at the entries from one index on, up to another. Returns the index of one that cannot be read.
fn some(
    from: i64,
    to: i64,
    steps: &mut Vec<Step>,
    audit: &mut Audit<'_>,
) -> Result<Option<i64>, Error> {
    let book = audit.book;
    let mut entries = book.prepare_cached(
        "SELECT seq, leaf, salt, envelope FROM entry WHERE seq >= ?1 AND seq < ?2 ORDER BY seq",
    )?;
    let mut entries = entries.query([from, to])?;
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
            steps.push(Step::Unreadable);
            continue;
        };
        steps.push(audit.entry(place, leaf, salt, envelope)?);
    }
}

impl Step {
    fn give(&self, verifier: &mut Verifier) {
        match self {
            Self::Unreadable => verifier.unreadable(),
            Self::Open(leaf, salt, envelope) => {
                verifier.entry(&Entry {
                    leaf,
                    salt,
                    envelope,
                });
            }
            Self::Sealed(leaf, digest) => {
                verifier.sealed(leaf, digest);
            }
        }
    }
}

/// How many entries a thread looks at before another is waited for.
const WINDOW: i64 = 256;
/// How many windows of a thread may wait.
const AHEAD: usize = 2;
const MAX_THREADS: usize = 4;
