//! `tollbook approvals`.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};

use crate::{
    command::{Form, exchanges::hint, remote::Remote},
    exit::Failure,
    print::{self, Table, Tone, field, heading, inert, local},
};

/// The most characters of a fact on the page.
const FACT: usize = 200;

/// See what waits for approval, and decide.
///
/// A request that a policy lets pass only with approval is held by the gate. You decide with a
/// token of your own, in a group that the policy names. The hash proves that you saw what you
/// decide about: `show` prints it, and you type it back.
#[derive(Debug, Subcommand)]
pub(crate) enum Approvals {
    List(List),
    Show(Show),
    Approve(Approve),
    Deny(Deny),
    Cancel(Cancel),
    Grants(Grants),
    Grant(Grant),
    BreakGlass(BreakGlass),
    EndGrant(EndGrant),
    Review(Review),
}

/// List approvals, newest first.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    remote: Remote,
    /// In this state.
    #[arg(long, value_enum, value_name = "STATE")]
    state: Option<State>,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,
    #[command(flatten)]
    form: Form,
}

/// What can become of an approval.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum State {
    Pending,
    Approved,
    Denied,
    Expired,
    Cancelled,
    Consumed,
    Lapsed,
}

/// Show one approval: who asks, for what, why it needs you, and the hash.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    remote: Remote,
    /// The approval's id.
    id: String,
    #[command(flatten)]
    form: Form,
}

/// Approve a request, once and as it stands.
#[derive(Debug, Args)]
pub(crate) struct Approve {
    #[command(flatten)]
    remote: Remote,
    /// The approval's id.
    id: String,
    /// The hash that `show` prints; asked for at a terminal.
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// Deny a request. This is final.
#[derive(Debug, Args)]
pub(crate) struct Deny {
    #[command(flatten)]
    remote: Remote,
    /// The approval's id.
    id: String,
    /// The hash that `show` prints; asked for at a terminal.
    #[arg(long, value_name = "HASH")]
    hash: Option<String>,
    /// Why; the caller is told.
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// Withdraw a request that waits.
#[derive(Debug, Args)]
pub(crate) struct Cancel {
    #[command(flatten)]
    remote: Remote,
    /// The approval's id.
    id: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    form: Form,
}

/// List grants: approvals given beforehand, for a short time and a narrow purpose.
#[derive(Debug, Args)]
pub(crate) struct Grants {
    #[command(flatten)]
    remote: Remote,
    #[command(flatten)]
    form: Form,
}

/// Approve beforehand what one caller asks for on one connection, for at most four hours.
#[derive(Debug, Args)]
pub(crate) struct Grant {
    #[command(flatten)]
    remote: Remote,
    /// Whom it is for, as `issuer/id`.
    #[arg(long, value_name = "CALLER")]
    identity: String,
    /// On which connection.
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// The rule whose approval it stands for; may be given more than once.
    #[arg(long = "rule", value_name = "ID", required = true)]
    rules: Vec<String>,
    /// The action it is for, such as messages.create; any that the rules are about when left out.
    #[arg(long = "action", value_name = "NAME")]
    actions: Vec<String>,
    /// Your group that the rules name.
    #[arg(long, value_name = "GROUP")]
    group: String,
    /// For how many minutes: at most 240.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=240))]
    minutes: u64,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    form: Form,
}

/// In an emergency: let one caller pass without approval for at most fifteen minutes. Everybody is
/// told at once, and somebody else has to review it.
#[derive(Debug, Args)]
pub(crate) struct BreakGlass {
    #[command(flatten)]
    remote: Remote,
    /// Whom it is for, as `issuer/id`.
    #[arg(long, value_name = "CALLER")]
    identity: String,
    /// On which connection.
    #[arg(long, value_name = "NAME")]
    connection: String,
    /// For how many minutes: at most 15.
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=15))]
    minutes: u64,
    /// What the emergency is, for the record and for everybody who is told.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    form: Form,
}

/// End a grant before its time.
#[derive(Debug, Args)]
pub(crate) struct EndGrant {
    #[command(flatten)]
    remote: Remote,
    /// The grant's id.
    id: String,
    /// Why, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    form: Form,
}

/// Close the review of a broken glass.
#[derive(Debug, Args)]
pub(crate) struct Review {
    #[command(flatten)]
    remote: Remote,
    /// The grant's id.
    id: String,
    /// What you found, for the record.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    form: Form,
}

impl Approvals {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List(list) => list.run().await,
            Self::Show(show) => show.run().await,
            Self::Approve(one) => {
                decide(
                    &one.remote,
                    &one.id,
                    "approve",
                    one.hash,
                    one.reason,
                    one.form,
                )
                .await
            }
            Self::Deny(one) => {
                decide(&one.remote, &one.id, "deny", one.hash, one.reason, one.form).await
            }
            Self::Cancel(one) => {
                let path = format!("/v1/approvals/{}/cancel", segment(&one.id)?);
                let body = json!({ "reason": one.reason });
                let approval = one.remote.post(&path, &body).await?;
                told(&approval, one.form)
            }
            Self::Grants(grants) => grants.run().await,
            Self::Grant(grant) => {
                let body = json!({
                    "kind": "standing", "identity": grant.identity, "connection": grant.connection,
                    "rules": grant.rules, "actions": grant.actions, "group": grant.group,
                    "minutes": grant.minutes, "reason": grant.reason,
                });
                let made = grant.remote.post("/v1/grants", &body).await?;
                granted(&made, grant.form)
            }
            Self::BreakGlass(grant) => {
                let body = json!({
                    "kind": "break_glass", "identity": grant.identity,
                    "connection": grant.connection, "minutes": grant.minutes,
                    "reason": grant.reason,
                });
                let made = grant.remote.post("/v1/grants", &body).await?;
                granted(&made, grant.form)
            }
            Self::EndGrant(one) => {
                let path = format!("/v1/grants/{}/revoke", segment(&one.id)?);
                let made = one
                    .remote
                    .post(&path, &json!({ "reason": one.reason }))
                    .await?;
                granted(&made, one.form)
            }
            Self::Review(one) => {
                let path = format!("/v1/grants/{}/review", segment(&one.id)?);
                let made = one
                    .remote
                    .post(&path, &json!({ "reason": one.reason }))
                    .await?;
                granted(&made, one.form)
            }
        }
    }
}

impl List {
    async fn run(self) -> Result<ExitCode, Failure> {
        let mut query = vec![("limit", self.limit.to_string())];
        if let Some(state) = self.state.and_then(|state| state.to_possible_value()) {
            query.push(("state", state.get_name().to_owned()));
        }
        let answer = self.remote.get("/v1/approvals", &query).await?;
        let all = answer["approvals"].as_array().cloned().unwrap_or_default();
        if self.form.json {
            all.iter().try_for_each(print::json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&["CREATED", "ID", "STATE", "WHO", "ACTION", "NEEDS", "LEFT"]);
        for approval in &all {
            let text = |key: &str| inert(approval[key].as_str().unwrap_or("-"));
            let state = text("state");
            let meant = match &*state {
                "approved" | "consumed" => Tone::Good,
                "pending" => Tone::Plain,
                _ => Tone::Bad,
            };
            table.row(vec![
                (local(&text("created")), Tone::Aside),
                (text("id"), Tone::Plain),
                (state, meant),
                (inert(approval["who"].as_str().unwrap_or("-")), Tone::Plain),
                (text("action"), Tone::Plain),
                (inert(&needs(approval)), Tone::Plain),
                (left(approval), Tone::Aside),
            ]);
        }
        print::page(&table.lines())?;
        let waits = |approval: &&Value| approval["state"] == "pending";
        match all.iter().find(waits).or(all.first()) {
            Some(one) => {
                let id = inert(one["id"].as_str().unwrap_or_default());
                hint(&format!("tollbook approvals show {id}"));
            }
            None => hint("nothing that is yours to see; those who decide see what waits for them"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    async fn run(self) -> Result<ExitCode, Failure> {
        let path = format!("/v1/approvals/{}", segment(&self.id)?);
        let approval = self.remote.get(&path, &[]).await?;
        if self.form.json {
            print::json(&approval)?;
        } else {
            print::page(&page(&approval))?;
            if approval["state"] == "pending" {
                hint(&format!(
                    "tollbook approvals approve {0}, or deny {0}",
                    self.id
                ));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Grants {
    async fn run(self) -> Result<ExitCode, Failure> {
        let answer = self.remote.get("/v1/grants", &[]).await?;
        let all = answer["grants"].as_array().cloned().unwrap_or_default();
        if self.form.json {
            all.iter().try_for_each(print::json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&["ID", "KIND", "FOR", "CONNECTION", "BY", "UNTIL", "STATE"]);
        for grant in &all {
            let text = |key: &str| (inert(grant[key].as_str().unwrap_or("-")), Tone::Plain);
            table.row(vec![
                text("id"),
                text("kind"),
                text("identity"),
                text("connection"),
                text("by"),
                (local(&text("until").0), Tone::Aside),
                text("state"),
            ]);
        }
        print::page(&table.lines())?;
        Ok(ExitCode::SUCCESS)
    }
}

async fn decide(
    remote: &Remote,
    id: &str,
    vote: &str,
    hash: Option<String>,
    reason: Option<String>,
    form: Form,
) -> Result<ExitCode, Failure> {
    let path = format!("/v1/approvals/{}", segment(id)?);
    let hash = match hash {
        Some(hash) => hash,
        None if io::stdin().is_terminal() && !form.json => {
            let approval = remote.get(&path, &[]).await?;
            print::page(&page(&approval))?;
            typed(vote)?
        }
        None => {
            return Err(Failure::usage(
                "the hash is missing: read `tollbook approvals show`, and give it with --hash",
            ));
        }
    };
    let body = json!({ "vote": vote, "hash": hash.trim(), "reason": reason });
    let approval = remote.post(&format!("{path}/decision"), &body).await?;
    told(&approval, form)
}

/// The hash as the person types it.
fn typed(vote: &str) -> Result<String, Failure> {
    let failed = |error| Failure::unknown("cannot ask for the hash", error);
    let mut out = anstream::stderr().lock();
    write!(out, "To {vote} it, type the hash: ").map_err(failed)?;
    out.flush().map_err(failed)?;
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(failed)?;
    match line.trim() {
        "" => Err(Failure::no("nothing was typed, and nothing was decided")),
        hash => Ok(hash.to_owned()),
    }
}

fn told(approval: &Value, form: Form) -> Result<ExitCode, Failure> {
    if form.json {
        print::json(approval)?;
    } else {
        let id = inert(approval["id"].as_str().unwrap_or_default());
        let state = inert(approval["state"].as_str().unwrap_or_default());
        let more = match &*state {
            "pending" => format!(" ({} needed in all)", inert(&needs(approval))),
            _ => String::new(),
        };
        print::page(&[format!("{id} is {state}{more}")])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn granted(grant: &Value, form: Form) -> Result<ExitCode, Failure> {
    if form.json {
        print::json(grant)?;
    } else {
        let text = |key: &str| inert(grant[key].as_str().unwrap_or("-"));
        print::page(&[format!(
            "{} ({}) for {} on {} until {}: {}",
            text("id"),
            text("kind"),
            text("identity"),
            text("connection"),
            local(&text("until")),
            text("state")
        )])?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The approval as its approver reads it. Whatever the caller wrote is shown inert.
fn page(approval: &Value) -> Vec<String> {
    let text = |key: &str| inert(approval[key].as_str().unwrap_or("-"));
    let list = |key: &str| {
        let all = approval[key].as_array().into_iter().flatten();
        let all: Vec<String> = all.filter_map(Value::as_str).map(inert).collect();
        if all.is_empty() {
            "-".to_owned()
        } else {
            all.join(", ")
        }
    };
    let mut page = vec![heading(&format!("{} is {}", text("id"), text("state")))];
    page.push(field("who", &text("who")));
    for (name, value) in approval["about"].as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned);
        page.push(field(&inert(name), &inert(&value)));
    }
    page.push(field(
        "wants",
        &format!("{} on {}", text("action"), text("connection")),
    ));
    page.push(field("facts", &facts(&approval["facts"])));
    page.push(field("because", &list("rules")));
    if let Some(reason) = approval["reason"].as_str() {
        page.push(field("reason", &inert(reason)));
    }
    page.push(field("needs", &inert(&needs(approval))));
    page.push(field("labels", &list("labels")));
    page.push(field("risk", &approval["risk"].to_string()));
    for vote in approval["votes"].as_array().into_iter().flatten() {
        let part = |key: &str| inert(vote[key].as_str().unwrap_or("-"));
        page.push(field(
            &part("vote"),
            &format!("{} {}", part("person"), part("reason")),
        ));
    }
    page.push(field("left", &left(approval)));
    page.push(field("hash", &text("hash")));
    page.push(String::new());
    page.extend(
        inert(approval["view"].as_str().unwrap_or_default())
            .lines()
            .map(|line| format!("    {line}")),
    );
    if let Some(cut) = approval["view_cut"].as_u64().filter(|cut| *cut > 0) {
        page.push(format!("    … and {cut} bytes that are not shown"));
    }
    page
}

/// What is known of the action, without what has a line of its own or says nothing.
fn facts(facts: &Value) -> String {
    let tells = |name: &str, value: &Value| match (name, value) {
        ("name" | "labels" | "risk", _) => false,
        // That it was not is what an approver has to know.
        ("body_scanned", scanned) => *scanned != true,
        ("models", Value::Array(models)) => *models != [facts["model"].clone()],
        (_, Value::Array(all)) => !all.is_empty(),
        (_, other) => ![false.into(), 0.into(), Value::Null].contains(other),
    };
    let all = facts.as_object().into_iter().flatten();
    let lines: Vec<String> = all
        .filter(|(name, value)| tells(name, value))
        .map(|(name, value)| {
            let text = match value {
                Value::String(text) => text.clone(),
                Value::Array(all) => {
                    let all: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
                    all.join(", ")
                }
                other => other.to_string(),
            };
            let mut shown: String = text.chars().take(FACT).collect();
            if shown.len() < text.len() {
                shown.push('…');
            }
            // On one line: a fact must not look like the next one.
            format!("{}: {}", inert(name), inert(&shown.replace('\n', " ")))
        })
        .collect();
    lines.join("\n")
}

/// `leads:2, security:1`.
fn needs(approval: &Value) -> String {
    let all = approval["requires"].as_array().into_iter().flatten();
    let mut all: Vec<String> = all
        .map(|one| format!("{}:{}", one["group"].as_str().unwrap_or("?"), one["people"]))
        .collect();
    all.sort_unstable();
    all.dedup();
    all.join(", ")
}

fn left(approval: &Value) -> String {
    approval["seconds_left"].as_u64().map_or_else(
        || "-".to_owned(),
        |seconds| format!("{} min {} s", seconds / 60, seconds % 60),
    )
}

/// The id as one segment of a path.
fn segment(id: &str) -> Result<&str, Failure> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    if !id.is_empty() && id.bytes().all(fits) {
        Ok(id)
    } else {
        Err(Failure::usage("that is no id of an approval or grant"))
    }
}
