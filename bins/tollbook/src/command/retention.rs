//! `tollbook retention`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::Value;
use tollbook_gateway::control::{Order, View, ViewAction};

use crate::{
    command::{Book, Form},
    exit::Failure,
    print::{self, Table, Tone, inert, local},
};

/// See what has been kept for long enough, and destroy it.
///
/// `[retention]` of the configuration says how long that is. A running gateway does it once a day.
#[derive(Debug, Subcommand)]
pub(crate) enum Retention {
    Plan(Plan),
    Apply(Apply),
}

/// Tell what would be destroyed now, what is held, and when something goes next.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    form: Form,
}

/// Destroy it now. A tombstone in the log says so, and the log still verifies.
#[derive(Debug, Args)]
pub(crate) struct Apply {
    /// Tell what would be destroyed, and destroy nothing, as `tollbook retention plan` does.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    form: Form,
}

impl Retention {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Plan(plan) => plan.run(),
            Self::Apply(Apply {
                dry_run: true,
                book,
                form,
            }) => Plan { book, form }.run(),
            Self::Apply(apply) => apply.run(),
        }
    }
}

impl Plan {
    fn run(self) -> Result<ExitCode, Failure> {
        let would = self.book.open()?.would_expire(&self.book.retention()?);
        let would = would.map_err(|error| Failure::unknown("cannot look into the book", error))?;
        let would = serde_json::to_value(would)
            .map_err(|error| Failure::unknown("cannot tell what would go", error))?;
        self.book.noted(&View::new(ViewAction::Survey))?;
        show(&would, "WOULD GO", self.form)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Apply {
    fn run(self) -> Result<ExitCode, Failure> {
        let told = self.book.order(&Order::Retain {})?;
        self.book.forget()?;
        show(&told, "GONE", self.form)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn show(told: &Value, gone: &str, form: Form) -> Result<(), Failure> {
    if form.json {
        return print::json(told);
    }
    let mut table = Table::new(&["CLASS", gone, "FROM", "TO", "HELD", "NEXT"]);
    for class in told["classes"].as_array().into_iter().flatten() {
        let time = |key: &str| class[key].as_str().map(local).unwrap_or_default();
        let cells = [
            inert(class["class"].as_str().unwrap_or_default()),
            class["exchanges"].to_string(),
            time("from"),
            time("to"),
            class["held"].to_string(),
            time("next"),
        ];
        table.row(cells.map(|cell| (cell, Tone::Plain)).into());
    }
    print::page(&table.lines())
}
