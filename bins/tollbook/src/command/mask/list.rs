//! `tollbook mask rules`.

use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::{
    findings::{confidence, kind},
    source::Source,
};
use crate::{
    command::Form,
    exit::Failure,
    print::{self, Table, Tone, inert},
};

/// List the rules: what each finds, how sure it is, where it is looked for and whether it counts.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    form: Form,
}

impl List {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let masker = self.source.masker()?;
        let rules = masker.rules().zip(masker.costs());
        if self.form.json {
            for (rule, cost) in rules {
                print::json(&json!({
                    "rule": rule.id, "description": rule.description, "source": rule.source,
                    "kind": kind(rule.kind), "tags": rule.tags,
                    "confidence": confidence(rule.confidence), "operator": rule.operator,
                    "lane": cost.lane, "tried": cost.tried, "words": cost.words,
                    "reach": cost.reach,
                }))?;
            }
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&["RULE", "KIND", "SURE", "LANE", "COUNTS", "WHAT IT FINDS"]);
        for (rule, cost) in rules {
            let counts = if rule.operator.is_some() { "yes" } else { "no" };
            let cells = [
                rule.id,
                kind(rule.kind),
                confidence(rule.confidence),
                cost.lane,
                counts,
                rule.description,
            ];
            table.row(cells.map(|cell| (inert(cell), Tone::Plain)).into());
        }
        print::page(&table.lines())?;
        Ok(ExitCode::SUCCESS)
    }
}
