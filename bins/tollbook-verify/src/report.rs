//! What was found.

use serde_json::{Value, json};
use tollbook_ledger::{
    Broken, Chain, Completeness, Cosigned, Integrity, Kept, MAX_FAULTS, Past, Pulse,
    evidence::{Manifest, id_to_text, time_to_text},
};
use tollbook_timestamp::Stamp;

/// What the check of evidence found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// Whether each record is what the log's key signed.
    pub integrity: Integrity,
    /// Whether no record is missing that was asked for.
    pub completeness: Completeness,
    /// The log's public key that was used, in its text form; empty if there was none.
    pub key: String,
    /// Whether that key was given, and not only found in the evidence.
    pub key_given: bool,
    /// The name of the log.
    pub log: String,
    /// The number of entries that the signed head is about.
    pub size: Option<u64>,
    /// The root of the signed head, in hexadecimal.
    pub root: Option<String>,
    /// What the evidence says of itself, if that could be read.
    pub manifest: Option<Manifest>,
    /// The number of exchanges that the selection takes, if the leaves show it.
    pub exchanges: Option<u64>,
    /// How many of them have no outcome yet.
    pub open: Option<u64>,
    /// The number of records that were checked and are what was signed.
    pub records: u64,
    /// How the chain of the session ends that was asked for, where the leaves of the whole log are
    /// not there: its records are without a gap up to that one.
    pub session: Option<Chain>,
    /// When nobody wrote, and why, if the leaves of the whole log are there.
    pub pulse: Option<Pulse>,
    /// What the checkpoints say that the auditor kept, in the order in which they were given.
    pub kept: Vec<Kept>,
    /// Checkpoints in the evidence that others have signed, the smallest first.
    pub attested: Vec<Attestation>,
    /// How many witnesses must have signed one that all records are under, if that is demanded.
    pub quorum: Option<usize>,
    /// Whether a time stamp of a checkpoint that all records are under is demanded.
    pub stamps_demanded: bool,
    /// What is wrong; at most [`MAX_FAULTS`].
    pub faults: Vec<Fault>,
    /// How much is wrong, also beyond what `faults` holds.
    pub fault_count: u64,
}

/// A checkpoint that others than the log have signed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attestation {
    /// The number of entries that it is about.
    pub size: u64,
    /// Its file.
    pub file: String,
    /// Whether all records of the evidence are under it; where there are none, whether it is about the
    /// whole log.
    pub covers: bool,
    /// What it says of the log.
    pub past: Past,
    /// The witnesses that signed, of those whose keys were given.
    pub witnesses: Vec<Cosigned>,
    /// Whether they are enough.
    pub met: bool,
    /// What the time-stamping authority said, if it is a checkpoint that has a time stamp.
    pub stamp: Option<Stamp>,
    /// Whether that authority is one of those whose roots were given.
    pub trusted: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The index of the record in the log, if it is the fault of one.
    pub index: Option<u64>,
    /// The file it is about.
    pub file: String,
    /// What is wrong.
    pub what: String,
}

/// The faults so far, and what they are about.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    pub(crate) list: Vec<Fault>,
    pub(crate) count: u64,
    /// Something is not what was signed.
    pub(crate) broken: bool,
    /// Something is missing.
    pub(crate) lacks: bool,
    /// Something could not be read.
    pub(crate) unread: bool,
}

impl Faults {
    /// Something is not what it should be.
    pub(crate) fn wrong(&mut self, index: Option<u64>, file: &str, what: impl ToString) {
        self.broken = true;
        self.add(index, file, what.to_string());
    }

    /// A record does not come next in its session.
    pub(crate) fn session(&mut self, index: u64, file: &str, broken: Broken) {
        match broken {
            Broken::Missing { .. } => self.missing(Some(index), file, broken),
            _ => self.wrong(Some(index), file, broken),
        }
    }

    /// Something is not there.
    pub(crate) fn missing(&mut self, index: Option<u64>, file: &str, what: impl ToString) {
        self.lacks = true;
        self.add(index, file, what.to_string());
    }

    /// Something cannot be read, so that nobody can tell.
    pub(crate) fn unread(&mut self, index: Option<u64>, file: &str, what: impl ToString) {
        self.unread = true;
        self.add(index, file, what.to_string());
    }

    fn add(&mut self, index: Option<u64>, file: &str, what: String) {
        self.count += 1;
        if self.list.len() < MAX_FAULTS {
            self.list.push(Fault {
                index,
                file: file.to_owned(),
                what,
            });
        }
    }
}

impl Report {
    /// Whether all is well: integrity and completeness are shown, and the log grew out of every
    /// checkpoint that was kept.
    pub fn is_verified(&self) -> bool {
        self.exit_code() == 0
    }

    /// 0 if all is well, 1 if something is wrong or missing, 3 if it cannot be told.
    pub fn exit_code(&self) -> u8 {
        let wrong = |past: Past| matches!(past, Past::Fork | Past::Behind | Past::Foreign(_));
        let no = self.integrity == Integrity::Broken
            || self.completeness == Completeness::Incomplete
            || self.kept.iter().any(|kept| wrong(kept.past))
            || !self.is_witnessed()
            || !self.is_stamped();
        let yes = self.fault_count == 0
            && self.integrity == Integrity::Proven
            && self.completeness == Completeness::Complete
            && self.kept.iter().all(|kept| kept.past == Past::Consistent);
        match (no, yes) {
            (true, _) => 1,
            (false, true) => 0,
            (false, false) => 3,
        }
    }

    /// Whether enough witnesses have signed what all records are under, if that is demanded.
    pub fn is_witnessed(&self) -> bool {
        let enough = |attested: &Attestation| attested.met && attested.covers;
        self.quorum.is_none() || self.attested.iter().any(enough)
    }

    /// Whether an authority that is trusted gave a time to what all records are under, if that is
    /// demanded.
    pub fn is_stamped(&self) -> bool {
        let one = |attested: &Attestation| attested.trusted && attested.covers;
        !self.stamps_demanded || self.attested.iter().any(one)
    }

    /// How many entries of the log came after the newest checkpoint that enough witnesses have
    /// signed, if that is demanded: that no record is missing among them rests on the log's key alone.
    pub fn unwitnessed(&self) -> Option<u64> {
        let met = self.attested.iter().filter(|attested| attested.met);
        let signed = met.map(|attested| attested.size).max().unwrap_or(0);
        self.quorum?;
        Some(self.size?.saturating_sub(signed))
    }

    /// The short answer.
    pub fn verdict(&self) -> &'static str {
        match self.exit_code() {
            0 => "verified",
            1 => "not_verified",
            _ => "cannot_tell",
        }
    }

    /// The report as JSON. `checkpoints` are the names of those that were kept.
    pub fn to_json(&self, checkpoints: &[String]) -> Value {
        let kept = self.kept.iter().enumerate().map(|(place, kept)| {
            json!({
                "file": checkpoints.get(place),
                "size": kept.size,
                "verdict": kept.past.as_str(),
                "what": kept.past.to_string(),
            })
        });
        let faults = self
            .faults
            .iter()
            .map(|fault| json!({ "index": fault.index, "file": fault.file, "what": fault.what }));
        json!({
            "verdict": self.verdict(),
            "integrity": self.integrity.as_str(),
            "completeness": self.completeness.as_str(),
            "log": self.log,
            "key": self.key,
            "key_given": self.key_given,
            "size": self.size,
            "root": self.root,
            "selection": self.manifest.as_ref().map(selection),
            "contents": self.manifest.as_ref().map(|manifest| manifest.contents),
            "exchanges": self.exchanges,
            "open": self.open,
            "records": self.records,
            "session": self.session.map(|chain| json!({
                "records": chain.entries,
                "last": chain.last,
                "open": chain.open,
                "closed": chain.closed,
            })),
            "silences": self.pulse.as_ref().map(silences),
            "silence_count": self.pulse.as_ref().map(Pulse::count),
            "last_sign": self.pulse.as_ref().and_then(Pulse::last).map(|(at, stopped)| json!({
                "at": time_to_text(at),
                "stopped": stopped,
            })),
            "checkpoints": kept.collect::<Vec<_>>(),
            "quorum": self.quorum,
            "witnessed": self.quorum.map(|_| self.is_witnessed()),
            "unwitnessed": self.unwitnessed(),
            "stamped": self.stamps_demanded.then(|| self.is_stamped()),
            "attested": self.attested.iter().map(attestation).collect::<Vec<_>>(),
            "faults": faults.collect::<Vec<_>>(),
            "fault_count": self.fault_count,
        })
    }
}

fn silences(pulse: &Pulse) -> Value {
    let silences = pulse.silences().iter().map(|silence| {
        json!({
            "from": time_to_text(silence.from),
            "to": time_to_text(silence.to),
            "index": silence.index,
            "why": silence.why.as_str(),
        })
    });
    silences.collect()
}

fn attestation(attested: &Attestation) -> Value {
    let witnesses = attested.witnesses.iter();
    let witnesses = witnesses.map(|one| json!({ "witness": one.witness, "time": one.time }));
    json!({
        "file": attested.file,
        "size": attested.size,
        "covers": attested.covers,
        "verdict": attested.past.as_str(),
        "witnesses": witnesses.collect::<Vec<_>>(),
        "met": attested.met,
        "time": attested.stamp.as_ref().map(|stamp| time_to_text(stamp.time)),
        "trusted": attested.trusted,
    })
}

fn selection(manifest: &Manifest) -> Value {
    let selection = &manifest.selection;
    json!({
        "exchanges": selection.exchanges.iter().map(id_to_text).collect::<Vec<_>>(),
        "session": selection.session.as_ref().map(id_to_text),
        "since": selection.since.map(time_to_text),
        "until": selection.until.map(time_to_text),
    })
}
