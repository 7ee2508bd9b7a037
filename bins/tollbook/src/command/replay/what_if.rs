//! `tollbook replay --policy` and `--rules`.

use std::{collections::BTreeMap, fs, process::ExitCode};

use serde_json::json;
use tollbook_exchange::Finding;
use tollbook_masking::{Base, Masker};
use tollbook_replay::{RecordedExchange, findings};

use super::{Replay, failed, wrong};
use crate::{
    command::policy::{judge_again, load, source},
    exit::Failure,
    print::{self, Table, Tone, inert},
};

impl Replay {
    /// What other policies would have said.
    pub(super) fn policies(&self) -> Result<ExitCode, Failure> {
        let (_, source) = source(self.book.configuration(), self.way.policy.clone())?;
        let set = load(&source)?;
        let (reader, found) = self.select()?;
        // That they are read was noted when they were selected.
        let changed = judge_again(&reader, found, &set, self.form, |_| Ok(()))?;
        Ok(self.code(changed))
    }

    /// What other rules would find in addition.
    pub(super) fn rules(&self) -> Result<ExitCode, Failure> {
        let masker = self.other_rules()?;
        let (reader, all) = self.select()?;
        let (mut exchanges, mut unreadable, mut incomplete) = (0_u64, 0_u64, 0_u64);
        let mut rules: BTreeMap<String, u64> = BTreeMap::new();
        let mut table = Table::new(&["ID", "RULE", "PLACE", "COUNT"]);
        for id in &all {
            let record = reader
                .exchange(&id.to_string())
                .map_err(|error| Failure::unknown("cannot read the book", error))?;
            let recorded = RecordedExchange::from_json(record.unwrap_or_default());
            if !recorded.is_whole() {
                // What is left of it was looked through, and the rest may have had more.
                incomplete += 1;
            }
            let found = match findings(&recorded, &masker) {
                Ok(found) => found,
                Err(error) if error.kind() == tollbook_replay::ErrorKind::Stream => {
                    unreadable += 1;
                    continue;
                }
                Err(error) => return Err(failed(error)),
            };
            exchanges += u64::from(!found.is_empty());
            for finding in &found {
                *rules.entry(finding.rule.to_string()).or_default() += u64::from(finding.count);
            }
            if self.form.json {
                if !found.is_empty() {
                    print::json(&json!({ "exchange": id.to_string(), "findings": found }))?;
                }
            } else {
                found
                    .iter()
                    .for_each(|finding| table.row(row(&id.to_string(), finding)));
            }
        }
        if self.form.json {
            print::json(&json!({
                "exchanges": all.len(), "with_findings": exchanges, "unreadable": unreadable,
                "incomplete": incomplete, "rules": rules,
            }))?;
        } else {
            let mut page = if exchanges == 0 {
                Vec::new()
            } else {
                table.lines()
            };
            page.push(format!(
                "{exchanges} of {} exchanges have something that these rules would mask",
                all.len()
            ));
            if unreadable > 0 {
                page.push(format!("{unreadable} have an answer that cannot be read"));
            }
            if incomplete > 0 {
                page.push(format!(
                    "of {incomplete} a part was erased or cannot be opened, and was not looked at"
                ));
            }
            print::page(&page)?;
            print::aside(
                "What the rules of then masked is gone from the record, so nothing can be told of it. \
                 History that was sent again counts again.",
            );
        }
        Ok(self.code(exchanges > 0))
    }

    fn other_rules(&self) -> Result<Masker, Failure> {
        let mut builder = Masker::builder();
        for file in &self.way.rules {
            builder = if file == "builtin" {
                builder.builtin()
            } else {
                let text = fs::read_to_string(file)
                    .map_err(|error| Failure::usage(format!("cannot read {file}: {error}")))?;
                builder.rules(file, text)
            };
        }
        let base = self.profile.as_deref().unwrap_or("default");
        let base: Base = base.parse().map_err(wrong)?;
        let rules = builder.build().map_err(wrong)?;
        rules.profile(base).build().map_err(wrong)
    }
}

fn row(id: &str, finding: &Finding) -> Vec<(String, Tone)> {
    vec![
        (id.to_owned(), Tone::Plain),
        (inert(&finding.rule), Tone::Bad),
        (inert(&finding.place), Tone::Plain),
        (finding.count.to_string(), Tone::Plain),
    ]
}
