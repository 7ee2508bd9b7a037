//! `tollbook hold`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;
use tollbook_gateway::control::{Order, View, ViewAction};
use tollbook_recording::Hold as Held;

use crate::{
    command::{Book, Form, order::Whose},
    exit::Failure,
    print::{self, Table, Tone, field, inert, local},
};

/// Keep records from being destroyed, whoever asks and however old they are.
///
/// A legal hold beats erasure and retention. Its beginning and its end are entries of the log. The
/// log does not tell which subject is held, only a keyed hash of it; the reason is kept as it is.
#[derive(Debug, Subcommand)]
pub(crate) enum Hold {
    Add(Add),
    Release(Release),
    List(List),
}

/// Put a hold on a session or a subject.
#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    whose: Whose,
    /// Why. No names and no secrets: it stays in the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    form: Form,
}

/// End a hold. What was to be destroyed meanwhile goes at the next look of the retention. The erasures
/// that it forbade are told by who asked and on what ground: they have to be asked for again.
#[derive(Debug, Args)]
pub(crate) struct Release {
    /// The hold, as `tollbook hold list` numbers it.
    hold: u64,
    /// Why. No names and no secrets: it stays in the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    form: Form,
}

/// List holds. Exit code 1: there are none.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Those that have ended as well.
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    form: Form,
}

impl Hold {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::Release(release) => release.run(),
            Self::List(list) => list.run(),
        }
    }
}

impl Add {
    fn run(self) -> Result<ExitCode, Failure> {
        needed(&self.reason)?;
        let order = Order::Hold {
            of: self.whose.of()?,
            reason: self.reason,
        };
        done(&self.book.order(&order)?, "held", self.form)
    }
}

impl Release {
    fn run(self) -> Result<ExitCode, Failure> {
        needed(&self.reason)?;
        let order = Order::Release {
            hold: self.hold,
            reason: self.reason,
        };
        let told = self.book.order(&order)?;
        let code = done(&told, "released", self.form)?;
        for refused in told["refused"].as_array().into_iter().flatten() {
            let text = |key: &str| inert(refused[key].as_str().unwrap_or_default());
            print::aside(&format!(
                "it had forbidden an erasure that {} asked for ({}): tollbook erase … --basis \"{}\"",
                text("by"),
                local(refused["at"].as_str().unwrap_or_default()),
                text("basis"),
            ));
        }
        Ok(code)
    }
}

impl List {
    fn run(self) -> Result<ExitCode, Failure> {
        let holds = self.book.open()?.holds();
        let mut holds = holds.map_err(|error| Failure::unknown("cannot read the book", error))?;
        holds.retain(|hold| self.all || hold.released.is_none());
        self.book.noted(&View::new(ViewAction::Survey))?;
        if self.form.json {
            for hold in &holds {
                print::json(hold)?;
            }
        } else {
            let mut table = Table::new(&[
                "HOLD", "SINCE", "WHAT", "BY", "REASON", "FORBADE", "RELEASED",
            ]);
            for hold in &holds {
                let refused = hold.refused.len().to_string();
                let released = hold.released.map(|at| local(&at.to_string()));
                let cells = [
                    hold.id.to_string(),
                    local(&hold.since.to_string()),
                    what(hold),
                    inert(&hold.by),
                    inert(&hold.reason),
                    refused,
                    released.unwrap_or_default(),
                ];
                table.row(cells.map(|cell| (cell, Tone::Plain)).into());
            }
            print::page(&table.lines())?;
        }
        Ok(match holds.is_empty() {
            true => ExitCode::from(1),
            false => ExitCode::SUCCESS,
        })
    }
}

fn needed(reason: &str) -> Result<(), Failure> {
    match reason.trim() {
        "" => Err(Failure::usage("--reason is empty")),
        _ => Ok(()),
    }
}

fn done(told: &Value, what: &str, form: Form) -> Result<ExitCode, Failure> {
    if form.json {
        print::json(told)?;
    } else {
        print::page(&[field(what, &format!("hold {}", told["id"]))])?;
    }
    Ok(ExitCode::SUCCESS)
}

fn what(hold: &Held) -> String {
    let session = hold.session.map(|session| format!("session {session}"));
    let subject = hold.subject.as_deref().unwrap_or_default();
    let beginning: String = subject.chars().take(16).collect();
    session.unwrap_or_else(|| inert(&format!("subject #{beginning}")))
}
