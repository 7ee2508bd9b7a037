//! What the engine must reach.

use super::Report;
use crate::corpus::Class;

/// A goal and how far it is reached.
#[derive(Clone, Debug)]
pub struct Goal {
    /// What it is about.
    pub name: &'static str,
    /// What it must be.
    pub wanted: f64,
    /// What it is.
    pub reached: f64,
    /// Whether that is enough.
    pub is_met: bool,
}

/// Every goal. `code` is how many findings there are per MiB of clean source code.
pub fn goals(report: &Report, code: f64) -> Vec<Goal> {
    let class = |class: Class| {
        report
            .classes
            .get(class.name())
            .copied()
            .unwrap_or_default()
    };
    let all = report.all;
    let least = |name, reached: f64, wanted| Goal {
        name,
        wanted,
        reached,
        is_met: reached >= wanted,
    };
    let most = |name, reached: f64, wanted| Goal {
        name,
        wanted,
        reached,
        is_met: reached <= wanted,
    };
    let count = |number: u64| f64::from(u32::try_from(number).unwrap_or(u32::MAX));
    vec![
        least(
            "recall, structured secrets",
            class(Class::Structured).recall(),
            0.98,
        ),
        least(
            "recall, checksummed personal data",
            class(Class::Checksummed).recall(),
            0.95,
        ),
        least("precision", all.precision(), 0.95),
        most("findings per MiB of clean code", code, 1.0),
        most("leaked share of found bytes", all.leak(), 0.0),
        most(
            "found values with a piece in the output",
            count(all.canaries),
            0.0,
        ),
        most("chunkings with another output", count(all.unstable), 0.0),
    ]
}
