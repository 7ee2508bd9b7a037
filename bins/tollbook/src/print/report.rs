//! What `verify` found.

use tollbook_recording::Verification;

use super::{Tone, field, inert, tone};

/// The most faults that are shown; `--json` has more.
const FAULTS: usize = 20;

/// The page of a verification.
pub(crate) fn report(report: &Verification) -> Vec<String> {
    let (word, meant) = if report.is_verified() {
        ("verified", Tone::Good)
    } else {
        (report.verdict, Tone::Bad)
    };
    let mut page = vec![
        field("book", &tone(word, meant)),
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

const fn exchanges(count: u64) -> &'static str {
    if count == 1 { "exchange" } else { "exchanges" }
}
