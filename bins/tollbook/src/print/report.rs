//! What `verify` found.

use tollbook_exchange::Timestamp;
use tollbook_recording::{ToldGap, Verification};

use super::{Tone, field, inert, local, tone};

/// The most faults that are shown; `--json` has more.
const FAULTS: usize = 20;

/// The most silences that are shown, the newest; `--json` has more.
const SILENCES: usize = 5;

/// The page of a verification.
pub(crate) fn report(report: &Verification) -> Vec<String> {
    let (word, meant) = if report.is_verified() {
        ("verified", Tone::Good)
    } else {
        (report.verdict, Tone::Bad)
    };
    let mut page = vec![
        field("book", &tone(word, meant)),
        field("integrity", integrity(report.integrity)),
        field("complete", completeness(report.completeness)),
        field("log", &inert(&report.origin)),
        field(
            "entries",
            &format!(
                "{}, for {} {}",
                report.size,
                report.exchanges,
                exchanges(report.exchanges)
            ),
        ),
        field("root", &report.root),
        field("key", &tone(&inert(&report.key), Tone::Aside)),
    ];
    if report.open > 0 {
        let have = if report.open == 1 { "has" } else { "have" };
        page.push(field(
            "open",
            &format!(
                "{} {} {have} no outcome yet",
                report.open,
                exchanges(report.open)
            ),
        ));
    }
    for (name, unread, why) in [
        ("erased", report.erased, "tombstones in the log say so"),
        (
            "unopened",
            report.unopened,
            "for want of keys; as they are stored they were checked",
        ),
    ] {
        if !unread.is_empty() {
            let counts = format!(
                "{} entries, {} requests, {} answers: {why}",
                unread.entries, unread.requests, unread.answers
            );
            page.push(field(name, &counts));
        }
    }
    for silence in report.silences.iter().rev().take(SILENCES).rev() {
        let why = match silence.why {
            "stopped" => "it was stopped",
            "crashed" => "it ended without a word",
            _ => "heartbeats are missing",
        };
        let (from, to) = (time(silence.from), time(silence.to));
        page.push(field("silent", &format!("{from} to {to}: {why}")));
    }
    if report.silence_count > SILENCES as u64 {
        let more = report.silence_count - SILENCES as u64;
        page.push(field("", &format!("and {more} earlier")));
    }
    for gap in report.gaps.iter().rev().take(SILENCES).rev() {
        page.push(field("not recorded", &not_recorded(gap)));
    }
    if report.gaps.len() > SILENCES {
        let more = report.gaps.len() - SILENCES;
        page.push(field("", &format!("and {more} earlier")));
    }
    if let Some(sign) = report.last_sign {
        let word = if sign.stopped { "stopped" } else { "running" };
        page.push(field("last sign", &format!("{word} at {}", time(sign.at))));
    }
    for fault in report.faults.iter().take(FAULTS) {
        let place = fault
            .index
            .map_or_else(|| "the book".to_owned(), |index| format!("index {index}"));
        page.push(field(
            "fault",
            &tone(&format!("{place}: {}", inert(&fault.what)), Tone::Bad),
        ));
    }
    let shown = report.faults.len().min(FAULTS) as u64;
    if report.fault_count > shown {
        page.push(field(
            "",
            &format!("and {} more", report.fault_count - shown),
        ));
    }
    page
}

/// What was not recorded, in one line.
fn not_recorded(gap: &ToldGap) -> String {
    let counts = [
        (gap.counts.passed, "passed"),
        (gap.counts.refused, "refused"),
        (gap.counts.unfinished, "without an end"),
        (gap.counts.lost, "lost"),
    ];
    let counts = counts.into_iter().filter(|(count, _)| *count > 0);
    let counts: Vec<String> = counts
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let when = match (gap.from, gap.to) {
        (Some(from), Some(to)) => format!("{} to {}", time(from), time(to)),
        _ => "nobody knows when".to_owned(),
    };
    let (connection, why, index) = (inert(&gap.connection), inert(&gap.why), gap.index);
    format!(
        "{when}, {connection}: {} ({why}, index {index})",
        counts.join(", ")
    )
}

fn time(time: Timestamp) -> String {
    local(&time.to_string())
}

fn integrity(verdict: &str) -> &'static str {
    match verdict {
        "proven" => "proven: each record is, byte for byte, what the log's key signed",
        "broken" => "BROKEN: something is not what the log's key signed",
        _ => "unknown: not all is there that shows it",
    }
}

fn completeness(verdict: &str) -> &'static str {
    match verdict {
        "complete" => "yes: no record is missing, and no session has a gap",
        "incomplete" => "NO: records are missing that were signed",
        _ => "not shown",
    }
}

const fn exchanges(count: u64) -> &'static str {
    if count == 1 { "exchange" } else { "exchanges" }
}
