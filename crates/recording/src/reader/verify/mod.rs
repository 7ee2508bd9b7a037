//! Checking the whole book.

mod audit;
mod entries;
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
use crate::{Error, ErrorKind, database::signed, keys::Keyring};

pub(super) fn verify(
    book: &Transaction<'_>,
    keyring: Result<&Keyring, ErrorKind>,
    journal: &Path,
    key: VerifierKey,
    kept: &[String],
) -> Result<Verification, Error> {
    let head: Result<Option<(i64, Vec<u8>, String)>, _> = book
        .query_row("SELECT size, frontier, note FROM head", [], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional();
    let mut audit = Audit::new(book, keyring.clone(), journal);
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
    let looked = entries::take(book, end, &mut verifier, (journal, keyring))?;
    audit.looked.add(looked);
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
    let mut found = audit.looked;
    let mut faults: Vec<Fault> = ledger.chain(found.faults).collect();
    // Those of an entry in the order of the log, and then those of the book as a whole.
    faults.sort_by_key(|fault| fault.index.unwrap_or(u64::MAX));
    faults.truncate(MAX_FAULTS);
    found.gaps.sort_by_key(|gap| gap.index);
    found.gaps.truncate(MAX_FAULTS);
    let (verdict, integrity) = if found.fault_count > 0 {
        (tollbook_ledger::Verdict::Tampered, Integrity::Broken)
    } else if found.lost_count > 0 {
        (tollbook_ledger::Verdict::Tampered, report.integrity)
    } else {
        (report.verdict, report.integrity)
    };
    let completeness = match found.lost_count {
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
        fault_count: report.fault_count + found.fault_count + found.lost_count,
        erased: found.erased,
        unopened: found.unopened,
        exchanges: found.intents,
        open: found.intents.saturating_sub(found.outcomes),
        sessions,
        silences: silences(&report.pulse),
        silence_count: report.pulse.count(),
        gaps: found.gaps,
        last_sign: report.pulse.last().map(|(at, stopped)| LastSign {
            at: Timestamp::from_micros(at),
            stopped,
        }),
    })
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
