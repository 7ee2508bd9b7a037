//! `tollbook policy`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand};
use serde_json::json;
use tollbook_exchange::{ExchangeId, Timestamp};
use tollbook_gateway::{
    Plan, PolicySource,
    config::Config,
    control::{CONNECTION, View, ViewAction},
    policy::{PolicySet, Recorded, Report, replay},
};
use tollbook_recording::{ErrorKind, Filter, Reader};

use crate::{
    command::{Configuration, Form, exchanges::since, noted, remote::Remote},
    exit::Failure,
    print::{self, Table, Tone, field, heading, inert, tone},
};

/// How many exchanges are put to other policies unless told.
const REPLAYED: u64 = 1_000;

/// Test policies, see what led to a decision, and find out what other policies would have said.
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    Test(Test),
    Print(Print),
    Explain(Explain),
    Replay(Replay),
    Show(Show),
    Reload(Reload),
}

/// Run the tests beside the policies: every `*.test.toml` in their folder.
#[derive(Debug, Args)]
pub(crate) struct Test {
    #[command(flatten)]
    configuration: Configuration,
    /// Test the policies in this folder instead of those of the configuration.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// Print the policies in Cedar, also those that are written in the short form.
#[derive(Debug, Args)]
pub(crate) struct Print {
    #[command(flatten)]
    configuration: Configuration,
    /// Only the text of this name, such as policies/payments.toml.
    name: Option<String>,
}

/// Tell what led to the decision about an exchange: each policy that could have had a part, and
/// what it had to say. It is put to the policies as they are now.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    #[command(flatten)]
    configuration: Configuration,
    /// The folder of the book, of a running gateway or a copy; else the configuration says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Put it to the policies in this folder instead.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// The exchange's id, or the first eight or more digits of it.
    id: String,
    #[command(flatten)]
    form: Form,
}

/// Put recorded exchanges to candidate policies, and list those that they decide in another way.
#[derive(Debug, Args)]
pub(crate) struct Replay {
    #[command(flatten)]
    configuration: Configuration,
    /// The folder of the book, of a running gateway or a copy; else the configuration says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The candidate policies; else those of the configuration as they are now.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
    /// Begun since then: an RFC 3339 time, or so long ago as `90s`, `15m`, `2h` or `7d`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// At most so many, the newest.
    #[arg(long, value_name = "N", default_value_t = REPLAYED)]
    limit: u64,
    #[command(flatten)]
    form: Form,
}

/// Show which policies a running gateway asks.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    form: Form,
}

/// Let a running gateway load its policies anew: all of them, or none. SIGHUP does the same.
#[derive(Debug, Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    form: Form,
}

impl Policy {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Test(test) => test.run(),
            Self::Print(print) => print.run(),
            Self::Explain(explain) => explain.run(),
            Self::Replay(replay) => replay.run(),
            Self::Show(show) => show.run().await,
            Self::Reload(reload) => reload.run().await,
        }
    }
}

impl Test {
    fn run(self) -> Result<ExitCode, Failure> {
        let (_, source) = source(&self.configuration, self.policies)?;
        let outcomes = source.test().map_err(|mistakes| mistaken(&mistakes))?;
        let failed = outcomes.iter().filter(|outcome| !outcome.passed()).count();
        if self.form.json {
            outcomes.iter().try_for_each(print::json)?;
        } else {
            let mut page: Vec<String> = outcomes
                .iter()
                .map(|outcome| {
                    let place = format!("{}:{}", outcome.file, outcome.line);
                    if outcome.passed() {
                        format!(
                            "{} {} ({place})",
                            tone("✓", Tone::Good),
                            inert(&outcome.case)
                        )
                    } else {
                        format!(
                            "{} {place}: {}",
                            tone("✗", Tone::Bad),
                            inert(&outcome.to_string())
                        )
                    }
                })
                .collect();
            page.push(format!(
                "{} passed, {failed} failed",
                outcomes.len() - failed
            ));
            print::page(&page)?;
        }
        Ok(ExitCode::from(u8::from(failed > 0)))
    }
}

impl Print {
    fn run(self) -> Result<ExitCode, Failure> {
        let (_, source) = source(&self.configuration, None)?;
        let set = load(&source)?;
        if let Some(name) = &self.name {
            let text = set.to_cedar(name).ok_or_else(|| {
                let names: Vec<&str> = set.texts().map(|(name, _)| name).collect();
                Failure::no(format!(
                    "there is no text `{name}`; there are {}",
                    names.join(", ")
                ))
            })?;
            print::page(&[text.trim_end().to_owned()])?;
            return Ok(ExitCode::SUCCESS);
        }
        for (name, text) in set.texts().filter(|(_, text)| !text.trim().is_empty()) {
            print::page(&[
                format!("// {name}"),
                text.trim_end().to_owned(),
                String::new(),
            ])?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Explain {
    fn run(self) -> Result<ExitCode, Failure> {
        let (config, source) = source(&self.configuration, self.policies)?;
        let set = load(&source)?;
        let folder = self.data.unwrap_or(config.gateway.data);
        let reader = book(&folder)?;
        let record = reader
            .exchange(&self.id)
            .map_err(|error| match error.kind() {
                ErrorKind::Id | ErrorKind::Ambiguous => Failure::usage(error.to_string()),
                _ => Failure::unknown("cannot read the exchange", error),
            })?;
        let record =
            record.ok_or_else(|| Failure::no(format!("the book has no exchange {}", self.id)))?;
        let view = View::new(ViewAction::Show).showing(record["id"].as_str());
        noted(&folder, &self.configuration, &view)?;
        let recorded = Recorded::from_exchange_json(&record)
            .map_err(|error| Failure::no(error.to_string()))?;
        let explanation = recorded.explain(&set);
        let then = &recorded.decided;
        let same_policies = then.policy_hash == set.hash();
        if self.form.json {
            print::json(&json!({
                "exchange": recorded.id,
                "decided": then,
                "same_policies": same_policies,
                "explanation": explanation,
            }))?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut page = vec![heading(&format!("exchange {}", recorded.id))];
        page.push(field("then", &decided(then)));
        if !same_policies {
            page.push(field(
                "policies",
                "are others now than then; what follows is what they say now",
            ));
        }
        page.push(field("now", &inert(explanation.to_string().trim_end())));
        print::page(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Replay {
    fn run(self) -> Result<ExitCode, Failure> {
        let (config, source) = source(&self.configuration, self.policies)?;
        let set = load(&source)?;
        let folder = self.data.unwrap_or(config.gateway.data);
        let reader = book(&folder)?;
        let mut filter = Filter::default();
        filter.limit = self.limit;
        filter.except = Some(CONNECTION.to_owned());
        filter.since = self.since;
        let found = reader
            .exchanges(&filter)
            .map_err(|error| Failure::unknown("cannot read the book", error))?;
        let found = found.into_iter().map(|summary| summary.id);
        let noted = |view: &View| noted(&folder, &self.configuration, view).map(drop);
        let changed = judge_again(&reader, found, &set, self.form, noted)?;
        Ok(ExitCode::from(u8::from(changed)))
    }
}

/// Puts recorded exchanges to `policies`, tells what they decide in another way, and whether they do.
/// That somebody sees it is `noted` before.
pub(super) fn judge_again(
    reader: &Reader,
    exchanges: impl IntoIterator<Item = ExchangeId>,
    policies: &PolicySet,
    form: Form,
    noted: impl FnOnce(&View) -> Result<(), Failure>,
) -> Result<bool, Failure> {
    let (mut recorded, mut unjudged) = (Vec::new(), 0_usize);
    for id in exchanges {
        let record = reader
            .exchange(&id.to_string())
            .map_err(|error| Failure::unknown("cannot read the book", error))?;
        // What was refused before it was judged has nothing to judge, nor have the gate's own acts.
        match record.as_ref().map(Recorded::from_exchange_json) {
            Some(Ok(one)) => recorded.push(one),
            _ => unjudged += 1,
        }
    }
    let report = replay(&recorded, policies);
    let changed = report.changed.iter().map(|change| &change.id);
    noted(&View::new(ViewAction::Replay).showing(changed))?;
    if form.json {
        print::json(&json!({
            "policy_hash": policies.hash(), "same": report.same, "unjudged": unjudged,
            "changed": report.changed,
        }))?;
    } else {
        print::page(&self::report(&report, unjudged))?;
    }
    Ok(!report.changed.is_empty())
}

impl Show {
    async fn run(self) -> Result<ExitCode, Failure> {
        let shown = self.remote.get("/v1/policy", &[]).await?;
        if self.form.json {
            print::json(&shown)?;
            return Ok(ExitCode::SUCCESS);
        }
        let text = |key: &str| inert(shown[key].as_str().unwrap_or("-"));
        let mut page = vec![
            field("hash", &text("hash")),
            field("policies", &shown["policies"].to_string()),
            field("folder", &text("folder")),
        ];
        for warning in shown["warnings"].as_array().into_iter().flatten() {
            page.push(field(
                "warning",
                &inert(warning.as_str().unwrap_or_default()),
            ));
        }
        print::page(&page)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Reload {
    async fn run(self) -> Result<ExitCode, Failure> {
        let changed = self.remote.post("/v1/policy/reload", &json!({})).await?;
        if self.form.json {
            print::json(&changed)?;
            return Ok(ExitCode::SUCCESS);
        }
        let hash = |key: &str| changed[key].as_str().unwrap_or("-").to_owned();
        let line = if hash("before") == hash("after") {
            "loaded; the policies are the same as before".to_owned()
        } else {
            format!("loaded: {} in place of {}", hash("after"), hash("before"))
        };
        print::page(&[line])?;
        Ok(ExitCode::SUCCESS)
    }
}

/// The configuration, and where its policies come from: the folder `other` if that is given.
pub(super) fn source(
    configuration: &Configuration,
    other: Option<PathBuf>,
) -> Result<(Config, PolicySource), Failure> {
    let (file, config) = configuration.read()?;
    let folder = file.parent().unwrap_or(std::path::Path::new("."));
    let source = Plan::policy_source(&config, folder)
        .map_err(|mistakes| Failure::usage(mistakes.to_string()))?;
    Ok(match other {
        Some(other) => (config, source.with_folder(&other)),
        None => (config, source),
    })
}

pub(super) fn load(source: &PolicySource) -> Result<PolicySet, Failure> {
    source.load().map_err(|mistakes| mistaken(&mistakes))
}

fn mistaken(mistakes: &[String]) -> Failure {
    Failure::usage(mistakes.join("\n"))
}

fn book(folder: &Path) -> Result<Reader, Failure> {
    Reader::open(folder).map_err(|error| {
        Failure::unknown(
            &format!("cannot read the book in {}", folder.display()),
            error,
        )
    })
}

fn decided(decision: &tollbook_exchange::Decision) -> String {
    let mut text = decision.verdict.as_str().to_owned();
    if !decision.rules.is_empty() {
        text.push_str(&format!(" by {}", decision.rules.join(", ")));
    }
    if let Some(approval) = &decision.approval {
        text.push_str(&format!(", let through by {approval}"));
    }
    inert(&text)
}

fn report(report: &Report, unjudged: usize) -> Vec<String> {
    let mut table = Table::new(&["ID", "WAS", "NOW", "BY"]);
    for change in &report.changed {
        let rules = if change.rules.is_empty() {
            "no rule permits it".to_owned()
        } else {
            change.rules.join(", ")
        };
        table.row(vec![
            (change.id.clone(), Tone::Plain),
            (change.was.as_str().to_owned(), Tone::Aside),
            (change.now.as_str().to_owned(), Tone::Plain),
            (inert(&rules), Tone::Plain),
        ]);
    }
    let mut page = if report.changed.is_empty() {
        Vec::new()
    } else {
        table.lines()
    };
    page.push(format!(
        "{} decided as they were, {} in another way, {unjudged} never judged",
        report.same,
        report.changed.len()
    ));
    page
}
