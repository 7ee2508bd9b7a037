//! `tollbook retention`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tollbook_gateway::control::{Order, View, ViewAction};
use tollbook_search::{Forgotten, Index};

use crate::{
    command::{Book, Form, search_failed},
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
        let mut would = serde_json::to_value(would)
            .map_err(|error| Failure::unknown("cannot tell what would go", error))?;
        if let Some(index) = self.book.index()? {
            add(&mut would, &index.would_forget().map_err(search_failed)?);
        }
        self.book.noted(&View::new(ViewAction::Survey))?;
        show(&would, "WOULD GO", self.form)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Apply {
    fn run(self) -> Result<ExitCode, Failure> {
        let mut told = self.book.order(&Order::Retain {})?;
        self.book.forget()?;
        if let Some(index) = self.book.index()? {
            let (forgotten, is_gone) = index.forget_words().map_err(search_failed)?;
            if !is_gone {
                print::aside(
                    "somebody reads the search index, which has the words until it is done",
                );
            }
            add(&mut told, &forgotten);
        }
        show(&told, "GONE", self.form)?;
        Ok(ExitCode::SUCCESS)
    }
}

impl Book {
    /// The search index, where there is one and it is known how long words stay in it.
    fn index(&self) -> Result<Option<Index>, Failure> {
        let folder = self.folder()?;
        let Ok(retention) = self.retention() else {
            return Ok(None);
        };
        if !folder.join("search.db").exists() {
            return Ok(None);
        }
        let index = Index::open(folder, self.prices()?).map_err(search_failed)?;
        Ok(index.is_kept().then(|| index.retaining(retention)))
    }
}

/// Adds what goes of the search index. No hold is on it: the book has what it is made of.
fn add(told: &mut Value, forgotten: &Forgotten) {
    let class = json!({
        "class": "index",
        "exchanges": forgotten.exchanges,
        "from": forgotten.from,
        "to": forgotten.to,
        "held": 0,
        "next": forgotten.next,
    });
    if let Some(classes) = told["classes"].as_array_mut() {
        classes.push(class);
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
