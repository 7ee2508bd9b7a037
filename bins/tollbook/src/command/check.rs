//! `tollbook check`.

use std::{env, path::Path, process::ExitCode};

use clap::Args;
use serde_json::json;
use tollbook_gateway::{Plan, Summary};

use crate::{
    command::{Configuration, Form, mask::own_rules},
    exit::Failure,
    print::{self, Tone, field, heading, inert, tone},
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
        let (_, config) = self.configuration.read()?;
        let own = own_rules(&config, file.parent().unwrap_or(Path::new(".")))?;
        let costs = own.rules().zip(own.costs());
        if self.form.json {
            let rules: Vec<_> = costs
                .map(|(rule, cost)| {
                    json!({
                        "rule": rule.id, "lane": cost.lane, "tried": cost.tried,
                        "words": cost.words, "reach": cost.reach,
                    })
                })
                .collect();
            print::json(&json!({ "ok": true, "file": file, "plan": summary, "rules": rules }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut page = page(&file.display().to_string(), &summary);
        if own.rules().next().is_some() {
            page.push(heading("rules of your own"));
        }
        for (rule, cost) in costs {
            page.push(field(
                rule.id,
                &format!(
                    "lane `{}`: tried {}; {} words, looks at {} bytes at most",
                    cost.lane, cost.tried, cost.words, cost.reach
                ),
            ));
        }
        print::page(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What would run. What is not configured is left out, unless it is worth knowing that it is not.
fn page(file: &str, plan: &Summary) -> Vec<String> {
    let scheme = if plan.tls { "https" } else { "http" };
    let mut page = vec![heading(&format!("{file} is right"))];
    let mut line = |name: &str, value: String| page.push(field(name, &value));
    line("book", plan.data.display().to_string());
    line("admin", format!("http://{}/readyz", plan.admin));
    if !plan.witnesses.is_empty() {
        let quorum = plan.witness_quorum;
        line(
            "witnesses",
            format!("{} of {}", quorum, list(&plan.witnesses)),
        );
    }
    if let Some(authority) = &plan.timestamps {
        line("time stamps", inert(authority));
    }
    if let Some(witness) = &plan.witness {
        line("witness", format!("for others at http://{witness}"));
    }
    line("issuers", list(&plan.issuers));
    line("federation", list(&plan.federation));
    line(
        "policies",
        format!("{} ({})", plan.policies, plan.policy_hash),
    );
    for warning in &plan.warnings {
        line("warning", tone(&inert(warning), Tone::Bad));
    }
    line("rules", format!("{} kinds of secrets", plan.rules));
    line("detectors", format!("{} kinds of risks", plan.detectors));
    line("budgets", list(&plan.budgets));
    line("people", list(&plan.people));
    let operators = match list(&plan.operators) {
        none if plan.operators.is_empty() => {
            format!("{none}: nobody can revoke tokens or load policies by the admin API")
        }
        groups => groups,
    };
    line("operators", operators);
    if !plan.break_glass.is_empty() {
        line("emergency", list(&plan.break_glass));
    }
    if !plan.channels.is_empty() {
        line("announces", list(&plan.channels));
    }
    if !plan.sinks.is_empty() {
        line("sinks", list(&plan.sinks));
    }
    for connection in &plan.connections {
        page.push(heading(&match &connection.listen {
            None => format!("{}://{}/{}", scheme, plan.listen, connection.name),
            Some(listen) => format!("{}://{listen}/{}", connection.protocol, connection.name),
        }));
        let mut line = |name: &str, value: String| page.push(field(name, &value));
        line(
            "upstream",
            format!("{} ({})", connection.upstream, connection.protocol),
        );
        line("allow", list(&connection.allow));
        line("durable", connection.durability.clone());
        let wire = if connection.mask_wire {
            "the record and the wire"
        } else {
            "the record"
        };
        line("masks", wire.to_owned());
        let what = if let (Some(tls), Some(rows)) = (connection.tls, &connection.rows) {
            line("clients", format!("TLS {tls}"));
            line("rows", format!("{rows} in the record"));
            "statements"
        } else {
            let tools = if connection.judges_tools {
                "judged before they are released"
            } else {
                "pass unjudged"
            };
            line("tool calls", tools.to_owned());
            "requests"
        };
        let asks = if connection.fail_fast {
            "that need one are turned away until they have it"
        } else {
            "that need one are held until people have decided"
        };
        line("approvals", format!("{what} {asks}"));
    }
    page
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        "none".to_owned()
    } else {
        names.join(", ")
    }
}
