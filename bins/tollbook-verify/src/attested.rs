//! Checkpoints that others than the log have signed, or given a time.

use tollbook_ledger::{
    Checkpoint, Past, VerifierKey,
    evidence::{ATTESTED, Attested, Manifest},
};
use tollbook_timestamp::Answer;

use crate::{
    bundle::Bundle,
    check::{Demands, absence, small},
    report::{Attestation, Faults},
};

/// A checkpoint of the evidence that others have signed.
pub(crate) struct Found {
    /// The note, with all lines.
    pub(crate) note: String,
    pub(crate) found: Attestation,
    kind: Attested,
}

/// The size and kind of the file with this name below the evidence.
pub(crate) fn of(name: &str) -> Option<(u64, Attested)> {
    let (folder, name) = name.split_once('/')?;
    Attested::of(name).filter(|_| folder == ATTESTED)
}

/// Reads them, in the order of their sizes. What is no checkpoint of the log is a fault.
pub(crate) fn read(
    bundle: &Bundle,
    manifest: &Manifest,
    key: &VerifierKey,
    faults: &mut Faults,
) -> Vec<Found> {
    let mut names = Vec::new();
    // What cannot be walked was told before.
    drop(bundle.walk(|name, is_file| {
        let kind = of(name).filter(|(size, _)| is_file && *size <= manifest.size);
        names.extend(kind.map(|(size, kind)| (size, kind, name.to_owned())));
    }));
    names.sort();
    for (size, kind, file) in &names {
        let is_stamped = |(other, kind, _): &(u64, Attested, String)| {
            *kind == Attested::Stamped && other == size
        };
        if *kind == Attested::Token && !names.iter().any(is_stamped) {
            faults.missing(None, file, "what it is a time stamp of is missing");
        }
    }
    names.retain(|(_, kind, _)| *kind != Attested::Token);
    let mut all = Vec::new();
    for (size, kind, file) in names {
        let Some(note) = small(bundle, &file, faults) else {
            continue;
        };
        match Checkpoint::open(&note, key) {
            Ok(head) if head.size == size => {}
            Ok(_) => {
                faults.wrong(None, &file, "it is about another size than its name says");
                continue;
            }
            Err(error) => {
                faults.wrong(None, &file, error);
                continue;
            }
        }
        // Where there are no records, that there are none is what has to be covered.
        let last = manifest.records.last();
        let covers = last.map_or(size == manifest.size, |last| last < size);
        all.push(Found {
            note,
            kind,
            found: Attestation {
                size,
                file,
                covers,
                past: Past::Unknown,
                witnesses: Vec::new(),
                met: false,
                stamp: None,
                trusted: false,
            },
        });
    }
    all
}

impl Found {
    /// Who signed and when, and whether the log is the one that they saw.
    pub(crate) fn judge(
        &mut self,
        past: Past,
        demands: &Demands,
        bundle: &Bundle,
        faults: &mut Faults,
    ) {
        self.found.past = past;
        if past == Past::Fork {
            let what = "the log did not grow out of what others signed";
            faults.wrong(None, &self.found.file, what);
        }
        if self.kind == Attested::Stamped {
            return self.stamp(demands, bundle, faults);
        }
        let Some(quorum) = &demands.quorum else {
            return;
        };
        match quorum.judge(&self.note) {
            Ok(witnessed) => {
                self.found.met = witnessed.is_met() && past == Past::Consistent;
                self.found.witnesses = witnessed.by;
            }
            Err(error) => faults.wrong(None, &self.found.file, error),
        }
    }

    fn stamp(&mut self, demands: &Demands, bundle: &Bundle, faults: &mut Faults) {
        let file = format!("{ATTESTED}/{}", Attested::Token.file(self.found.size));
        let token = match bundle.read(&file, MAX_TOKEN) {
            Ok(token) => token,
            Err(absent) => return absence(faults, None, &file, absent),
        };
        let roots = demands.tsa_roots.as_ref();
        let answer = Answer::read(&token);
        match answer.and_then(|answer| answer.check(self.note.as_bytes(), roots)) {
            Ok(stamp) => {
                self.found.trusted = roots.is_some() && self.found.past == Past::Consistent;
                self.found.stamp = Some(stamp);
            }
            Err(error) => faults.wrong(None, &file, error),
        }
    }
}

/// A token and a chain of certificates.
const MAX_TOKEN: u64 = 1 << 20;
