//! The order of the check.

use std::path::Path;

use tollbook_ledger::{
    Checkpoint, Completeness, Integrity, Past, Quorum, Tile, VerifierKey,
    evidence::{CHECKPOINT, MANIFEST, Manifest, RECORDS, VKEY},
};
use tollbook_timestamp::Roots;

use crate::{
    attested,
    bundle::{Absent, Bundle, NoEvidence},
    record,
    report::{Faults, Report},
    tree,
};

/// What an auditor knows and asks for. By default nothing.
#[derive(Clone, Debug, Default)]
pub struct Demands {
    /// The log's public key; without it the evidence's own is used, and the report says so.
    pub key: Option<VerifierKey>,
    /// Checkpoints of the log from earlier: signed notes.
    pub kept: Vec<String>,
    /// The witnesses of whom so many must have signed a checkpoint that all records are under.
    pub quorum: Option<Quorum>,
    /// The time-stamping authorities of which one must have given a time to a checkpoint that all
    /// records are under.
    pub tsa_roots: Option<Roots>,
}

/// Checks the evidence in a folder.
///
/// `key` is the log's public key as the auditor knows it; without it the evidence's own is used,
/// and the report says so. `kept` are checkpoints of the log from earlier: signed notes.
///
/// It reads each file once and holds one at a time, and of the log a tile of each level.
///
/// # Errors
///
/// [`NoEvidence`] when the folder cannot be read or has no manifest. What is wrong with evidence
/// that is there stands in the report.
pub fn check(
    folder: impl AsRef<Path>,
    key: Option<&VerifierKey>,
    kept: &[String],
) -> Result<Report, NoEvidence> {
    let demands = Demands {
        key: key.cloned(),
        kept: kept.to_vec(),
        ..Demands::default()
    };
    check_with(folder, &demands)
}

/// As [`check`], with all that an auditor may ask for.
///
/// # Errors
///
/// Those of [`check`].
pub fn check_with(folder: impl AsRef<Path>, demands: &Demands) -> Result<Report, NoEvidence> {
    let key = demands.key.as_ref();
    let bundle = Bundle::open(folder.as_ref())?;
    let mut faults = Faults::default();
    let manifest = manifest(&bundle, &mut faults)?;
    let own = own_key(&bundle, &mut faults);
    if let (Some(key), Some(own)) = (key, &own)
        && key != own
    {
        faults.wrong(
            None,
            VKEY,
            "this is another key than the one that was given",
        );
    }
    let mut report = Report {
        integrity: Integrity::Unknown,
        completeness: Completeness::NotShown,
        key: String::new(),
        key_given: key.is_some(),
        log: manifest
            .as_ref()
            .map_or_else(String::new, |manifest| manifest.origin.clone()),
        size: None,
        root: None,
        manifest,
        exchanges: None,
        open: None,
        records: 0,
        session: None,
        pulse: None,
        kept: Vec::new(),
        attested: Vec::new(),
        quorum: demands.quorum.as_ref().map(Quorum::needed),
        stamps_demanded: demands.tsa_roots.is_some(),
        faults: Vec::new(),
        fault_count: 0,
    };
    if let Some(key) = key.or(own.as_ref()) {
        report.key = key.to_string();
        report.log = key.name().to_owned();
        if let Some(head) = head(&bundle, key, &mut faults) {
            report.size = Some(head.1.size);
            report.root = Some(head.1.root.to_string());
            if let Some(manifest) = report.manifest.clone() {
                contents(
                    &bundle,
                    key,
                    &head,
                    &manifest,
                    demands,
                    &mut report,
                    &mut faults,
                );
            }
        }
    }
    Ok(conclude(report, faults))
}

/// All that there is once key, head and manifest are known.
fn contents(
    bundle: &Bundle,
    key: &VerifierKey,
    (note, head): &(String, Checkpoint),
    manifest: &Manifest,
    demands: &Demands,
    report: &mut Report,
    faults: &mut Faults,
) {
    if manifest.size != head.size || manifest.origin != head.origin {
        faults.wrong(
            None,
            MANIFEST,
            "it is about another log than the checkpoint",
        );
        return;
    }
    strays(bundle, manifest, faults);
    let mut attested = attested::read(bundle, manifest, key, faults);
    let notes = attested.iter().map(|attested| attested.note.clone());
    let kept: Vec<String> = demands.kept.iter().cloned().chain(notes).collect();
    let mut tree = tree::check(bundle, key, head, manifest, &kept, faults);
    let found = tree.kept.split_off(demands.kept.len());
    for (attested, kept) in attested.iter_mut().zip(found) {
        attested.judge(kept.past, demands, bundle, faults);
    }
    report.attested = attested
        .into_iter()
        .map(|attested| attested.found)
        .collect();
    (report.records, report.session) = record::check(bundle, note, head, manifest, faults);
    report.pulse = tree.pulse;
    report.kept = tree.kept;
    if let Some((exchanges, open)) = tree.exchanges {
        report.exchanges = Some(exchanges);
        report.open = Some(open);
        report.completeness = Completeness::Complete;
    }
}

/// The verdicts.
fn conclude(mut report: Report, faults: Faults) -> Report {
    let says = |found: fn(Past) -> bool| report.kept.iter().any(|kept| found(kept.past));
    let apart = (report.attested.iter())
        .any(|attested| matches!(attested.past, Past::Fork | Past::Foreign(_)));
    let forked = apart || says(|past| matches!(past, Past::Fork | Past::Foreign(_)));
    let behind = says(|past| matches!(past, Past::Fork | Past::Behind));
    report.integrity = if faults.broken || forked {
        Integrity::Broken
    } else if faults.unread || report.size.is_none() {
        Integrity::Unknown
    } else {
        Integrity::Proven
    };
    if faults.lacks || behind {
        report.completeness = Completeness::Incomplete;
    } else if faults.unread {
        report.completeness = Completeness::NotShown;
    }
    report.faults = faults.list;
    // Those of a record in the order of the log, and then those of the evidence as a whole.
    report
        .faults
        .sort_by_key(|fault| fault.index.unwrap_or(u64::MAX));
    report.fault_count = faults.count;
    report
}

fn manifest(bundle: &Bundle, faults: &mut Faults) -> Result<Option<Manifest>, NoEvidence> {
    let text = match bundle.read(MANIFEST, MAX_MANIFEST) {
        Ok(text) => text,
        Err(Absent::Missing) => {
            return Err(NoEvidence {
                folder: bundle.path().to_owned(),
                why: None,
            });
        }
        Err(absent) => {
            faults.unread(None, MANIFEST, absent);
            return Ok(None);
        }
    };
    let manifest = std::str::from_utf8(&text).ok();
    let manifest = manifest.and_then(|text| Manifest::from_text(text).ok());
    if manifest.is_none() {
        let what = "it was changed, or is of a version that this program does not know";
        faults.wrong(None, MANIFEST, what);
    }
    Ok(manifest)
}

fn own_key(bundle: &Bundle, faults: &mut Faults) -> Option<VerifierKey> {
    let text = small(bundle, VKEY, faults)?;
    let key = text.strip_suffix('\n').and_then(|text| text.parse().ok());
    if key.is_none() {
        faults.wrong(None, VKEY, "this is no public key of a log");
    }
    key
}

/// The signed head, as text and taken apart.
fn head(bundle: &Bundle, key: &VerifierKey, faults: &mut Faults) -> Option<(String, Checkpoint)> {
    let note = small(bundle, CHECKPOINT, faults)?;
    match Checkpoint::open(&note, key) {
        Ok(head) => Some((note, head)),
        Err(error) => {
            faults.wrong(None, CHECKPOINT, error);
            None
        }
    }
}

pub(crate) fn small(bundle: &Bundle, name: &str, faults: &mut Faults) -> Option<String> {
    match bundle.read(name, MAX_SMALL).map(String::from_utf8) {
        Ok(Ok(text)) => return Some(text),
        Ok(Err(_)) => faults.wrong(None, name, "this is no text"),
        Err(absent) => absence(faults, None, name, absent),
    }
    None
}

/// Notes that a file that should be there is not to be had.
pub(crate) fn absence(faults: &mut Faults, index: Option<u64>, name: &str, absent: Absent) {
    match absent {
        Absent::Missing => faults.missing(index, name, absent),
        Absent::Large => faults.wrong(index, name, absent),
        Absent::Unreadable => faults.unread(index, name, absent),
    }
}

/// Looks for what should not be there: somebody could take it for evidence.
fn strays(bundle: &Bundle, manifest: &Manifest, faults: &mut Faults) {
    let walked = bundle.walk(|name, is_file| {
        if !is_file || !belongs(name, manifest) {
            let index = record_of(name).map(|(index, _)| index);
            faults.wrong(index, name, "this does not belong to the evidence");
        }
    });
    if walked.is_err() {
        faults.unread(None, ".", "the folder cannot be read");
    }
}

fn belongs(name: &str, manifest: &Manifest) -> bool {
    if matches!(name, MANIFEST | VKEY | CHECKPOINT) {
        return true;
    }
    if let Some((size, _)) = attested::of(name) {
        return size <= manifest.size;
    }
    if let Some(tile) = Tile::from_path(name) {
        let wanted = manifest.leaves || tile.level() != tollbook_ledger::Level::Entries;
        return wanted && Tile::of(manifest.size, tile.level(), tile.index()) == Some(tile);
    }
    record_of(name).is_some_and(|(index, kind)| {
        let content = manifest.contents && matches!(kind, "body" | "parts");
        manifest.records.contains(index) && (content || matches!(kind, "json" | "tlog-proof"))
    })
}

/// Index and extension of a record's file.
fn record_of(name: &str) -> Option<(u64, &str)> {
    let (folder, name) = name.split_once('/')?;
    let (index, extension) = name.split_once('.')?;
    let parsed: u64 = index.parse().ok()?;
    (folder == RECORDS && parsed.to_string() == index).then_some((parsed, extension))
}

/// A run of records takes a line of at most 50 bytes: more than a million of them.
const MAX_MANIFEST: u64 = 64 << 20;
/// As long a note as Go's implementation reads.
const MAX_SMALL: u64 = 1_000_000;
