//! The page for a person.

use tollbook_ledger::{
    Completeness, Integrity,
    evidence::{Selection, id_to_text, time_to_text},
};

use crate::report::Report;

/// The most faults that are shown; `--json` has more.
const FAULTS: usize = 20;

/// The most silences that are shown.
const SILENCES: usize = 10;

/// The report as a person reads it. `checkpoints` are the names of those that were kept.
pub(crate) fn page(report: &Report, checkpoints: &[String]) -> String {
    let mut page = String::new();
    let mut line = |name: &str, value: &str| page += &format!("  {name:<12} {}\n", inert(value));
    line(
        "evidence",
        match report.exit_code() {
            0 => "verified",
            1 => "NOT VERIFIED",
            _ => "cannot be told",
        },
    );
    line(
        "integrity",
        match report.integrity {
            Integrity::Proven => "proven: each record is, byte for byte, what the log's key signed",
            Integrity::Broken => "BROKEN: something here is not what the log's key signed",
            _ => "unknown: nothing here shows it",
        },
    );
    line("completeness", completeness(report));
    line("log", &report.log);
    if let (Some(size), Some(root)) = (report.size, &report.root) {
        line("", &format!("{size} entries, root {root}"));
    }
    let whose = match (report.key.is_empty(), report.key_given) {
        (true, _) => "none that could be read",
        (false, true) => "as you gave it",
        (false, false) => "the folder's own: compare it with one that you have from elsewhere",
    };
    line("key", &report.key);
    line("", whose);
    if let Some(manifest) = &report.manifest {
        line("asked for", &selection(&manifest.selection));
        line("records", &records(report));
        let contents = if manifest.contents {
            "bodies of requests and answers are there"
        } else {
            "bodies of requests and answers were left out; the records have their digests"
        };
        line("contents", contents);
        line("written by", &manifest.writer);
    }
    if let Some(chain) = &report.session {
        let what = match (chain.closed, chain.open) {
            (true, _) => "no gap from its first record to the one that closed it",
            (false, 0) => "no gap from its first record to its last here; it was not closed yet",
            (false, _) => "no gap from its first record to its last here; exchanges are open",
        };
        line("session", &format!("{} records, {what}", chain.entries));
    }
    if let Some(pulse) = &report.pulse {
        for silence in pulse.silences().iter().take(SILENCES) {
            line("silent", &silence.to_string());
        }
        let shown = pulse.silences().len().min(SILENCES) as u64;
        if pulse.count() > shown {
            line("", &format!("and {} more", pulse.count() - shown));
        }
        match pulse.last() {
            Some((at, true)) => line("last sign", &format!("stopped at {}", time_to_text(at))),
            Some((at, false)) => line("last sign", &format!("running at {}", time_to_text(at))),
            None => {}
        }
    }
    for (kept, name) in report.kept.iter().zip(checkpoints) {
        let size = kept
            .size
            .map_or_else(String::new, |size| format!(" of {size} entries"));
        line("checkpoint", &format!("{name}{size}"));
        line("", &kept.past.to_string());
    }
    witnessed(report, &mut line);
    for fault in report.faults.iter().take(FAULTS) {
        let place = fault
            .index
            .map_or_else(String::new, |index| format!("index {index}, "));
        line("fault", &format!("{place}{}: {}", fault.file, fault.what));
    }
    let shown = report.faults.len().min(FAULTS) as u64;
    if report.fault_count > shown {
        line("", &format!("and {} more", report.fault_count - shown));
    }
    page
}

/// Who else signed, where somebody did or had to.
fn witnessed(report: &Report, line: &mut impl FnMut(&str, &str)) {
    if let Some(needed) = report.quorum {
        let told = if report.is_witnessed() {
            format!("yes, all records here, by {needed} or more of those you named")
        } else {
            format!("NO: not all records here by {needed} of those you named")
        };
        line("witnessed", &told);
        // Of single exchanges nothing is missing that came later.
        let is_open = (report.manifest.as_ref())
            .is_some_and(|manifest| manifest.selection.exchanges.is_empty());
        if let Some(count) = report.unwitnessed().filter(|count| *count > 0 && is_open) {
            let told = format!(
                "{count} entries of the log came later: that no record is missing among them rests on \
                 the log's key alone"
            );
            line("", &told);
        }
    } else if (report.attested.iter()).any(|attested| attested.stamp.is_none()) {
        line(
            "witnessed",
            "by whom is told if you name witnesses with --witness",
        );
    }
    if report.stamps_demanded {
        let told = if report.is_stamped() {
            "yes, all records here, by an authority that you trust"
        } else {
            "NO: not all records here by an authority that you trust"
        };
        line("time stamp", told);
    } else if (report.attested.iter()).any(|attested| attested.stamp.is_some()) {
        line(
            "time stamp",
            "by whom is told if you give roots with --tsa-roots",
        );
    }
    for attested in &report.attested {
        let under = if attested.covers { "all" } else { "not all" };
        let mut told = format!("{} entries, {under} records here", attested.size);
        for one in &attested.witnesses {
            let micros = i64::try_from(one.time).unwrap_or(i64::MAX);
            let time = time_to_text(micros.saturating_mul(1_000_000));
            told += &format!("; {} at {time}", one.witness);
        }
        if let Some(stamp) = &attested.stamp {
            told += &format!("; there were at {}", time_to_text(stamp.time));
        }
        line("", &told);
    }
}

fn completeness(report: &Report) -> &'static str {
    match report.completeness {
        Completeness::Complete => "complete: no record is missing of what was asked for",
        Completeness::Incomplete => "INCOMPLETE: something is missing that was signed",
        _ if report
            .manifest
            .as_ref()
            .is_some_and(|manifest| !manifest.leaves) =>
        {
            "not shown: the leaves of the whole log were left out of this evidence"
        }
        _ => "not shown: the leaves of the whole log are not all there",
    }
}

fn selection(selection: &Selection) -> String {
    if selection.is_all() {
        return "everything in the log".to_owned();
    }
    let mut parts = Vec::new();
    match selection.exchanges.len() {
        0 => {}
        1..=3 => {
            let ids: Vec<String> = selection.exchanges.iter().map(id_to_text).collect();
            parts.push(format!("exchange {}", ids.join(", ")));
        }
        many => parts.push(format!("{many} exchanges by their ids")),
    }
    if let Some(session) = &selection.session {
        parts.push(format!("session {}", id_to_text(session)));
    }
    if let Some(since) = selection.since {
        parts.push(format!("since {}", time_to_text(since)));
    }
    if let Some(until) = selection.until {
        parts.push(format!("until {}", time_to_text(until)));
    }
    parts.join(", ")
}

fn records(report: &Report) -> String {
    let held = report
        .manifest
        .as_ref()
        .map_or(0, |manifest| manifest.records.len());
    let mut text = format!("{held}, of which {} are what was signed", report.records);
    if let Some(exchanges) = report.exchanges {
        text += &format!("; {exchanges} exchanges");
    }
    if let Some(open) = report.open.filter(|open| *open > 0) {
        text += &format!(", {open} without an outcome yet");
    }
    if let Some(manifest) = &report.manifest {
        for (count, what) in [
            (manifest.erased.len(), "erased"),
            (manifest.emptied.len(), "of which the body was erased"),
        ] {
            if count > 0 {
                text += &format!("; {count} {what}");
            }
        }
    }
    text
}

/// The text with everything escaped that could act on a terminal or hide in it.
pub(crate) fn inert(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c == ' ' || c.is_ascii_graphic() {
            shown.push(c);
        } else {
            shown.extend(c.escape_unicode());
        }
    }
    shown
}
