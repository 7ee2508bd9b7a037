//! Checking the whole book.

mod audit;
mod parted;
mod tables;
mod verification;

pub use self::verification::{Fault, Kept, LastSign, Silence, ToldGap, Unread, Verification};

use std::path::Path;

use rusqlite::{OptionalExtension, Transaction};
use tollbook_exchange::Timestamp;
use tollbook_ledger::{
    BOOK, Chain, Chains, Completeness, Integrity, MAX_FAULTS, Pulse, Verifier, VerifierKey,
};

use self::audit::Audit;
use crate::{Error, database::signed, erased::Tombstones, opener::Opener};

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
