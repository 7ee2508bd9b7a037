//! `tollbook check`.

use std::{env, process::ExitCode};

use clap::Args;
use serde_json::json;
use tollbook_gateway::Plan;

use crate::{
    command::{Configuration, Form},
    exit::Failure,
    print::{self, field, heading},
};

/// Print what would run, or every mistake of the configuration.
#[derive(Debug, Args)]
pub(crate) struct Check {
    #[command(flatten)]
    configuration: Configuration,
    #[command(flatten)]
    form: Form,
}

impl Check {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let file = self.configuration.file()?;
        let plan = match Plan::load(&file, env::vars()) {
            Ok(plan) => plan,
            Err(mistakes) if self.form.json => {
                let all: Vec<_> = mistakes
                    .all
                    .iter()
                    .map(|mistake| json!({ "line": mistake.line, "message": mistake.message }))
                    .collect();
                print::json(&json!({ "ok": false, "file": file, "mistakes": all }))?;
                return Ok(ExitCode::from(2));
            }
            Err(mistakes) => return Err(Failure::usage(mistakes.to_string())),
        };
        let summary = plan.summary();
        if self.form.json {
            print::json(&json!({ "ok": true, "file": file, "plan": summary }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let scheme = if summary.tls { "https" } else { "http" };
        let mut page = vec![heading(&format!("{} is right", file.display()))];
        page.push(field("book", &summary.data.display().to_string()));
        page.push(field("admin", &format!("http://{}/readyz", summary.admin)));
        page.push(field("issuers", &list(&summary.issuers)));
        page.push(field(
            "policies",
            &format!("{} ({})", summary.policies, summary.policy_hash),
        ));
        page.push(field(
            "rules",
            &format!("{} kinds of secrets", summary.rules),
        ));
        for connection in &summary.connections {
            page.push(heading(&format!(
                "{}://{}/{}",
                scheme, summary.listen, connection.name
            )));
            page.push(field(
                "upstream",
                &format!("{} ({})", connection.upstream, connection.protocol),
            ));
            page.push(field("allow", &list(&connection.allow)));
            let wire = if connection.mask_wire {
                "the record and the wire"
            } else {
                "the record"
            };
            page.push(field("masks", wire));
        }
        print::page(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
