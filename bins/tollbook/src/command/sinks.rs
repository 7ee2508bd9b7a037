//! `tollbook sinks`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::json;
use tollbook_exchange::Timestamp;
use tollbook_gateway::control::{View, ViewAction};
use tollbook_sinks::{Cursors, ErrorKind, SinkState};

use crate::{
    command::{Book, Form, exchanges::hint},
    exit::Failure,
    print::{self, Table, Tone, field, heading, inert, local},
};

/// Look after sinks: where copies of records go while the gateway runs.
#[derive(Debug, Subcommand)]
pub(crate) enum Sinks {
    List(List),
    Show(Show),
    Retry(Retry),
}

/// List the sinks that have run with the book: what each has sent, and how far behind it is.
///
/// The exit code is 1 when one of them fails or has set records aside.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    form: Form,
}

/// Show a sink, and the records that it has set aside with the reason: those that the other side
/// refused for good.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    book: Book,
    /// The sink's name.
    name: String,
    /// At most so many records.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
    #[command(flatten)]
    form: Form,
}

/// Have a sink send again what it has set aside. The running gateway does so at its next look.
#[derive(Debug, Args)]
pub(crate) struct Retry {
    #[command(flatten)]
    book: Book,
    /// The sink's name.
    name: String,
    /// Only the record with this index; else all of them.
    #[arg(long, value_name = "INDEX")]
    index: Option<u64>,
    #[command(flatten)]
    form: Form,
}

impl Sinks {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Retry(retry) => retry.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<ExitCode, Failure> {
        let Some(cursors) = open(&self.book)? else {
            return Ok(ExitCode::SUCCESS);
        };
        let states = cursors.states().map_err(unreadable)?;
        let well = |state: &SinkState| state.failing_since.is_none() && state.set_aside == 0;
        let code = if states.iter().all(well) {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        };
        if self.form.json {
            states.iter().try_for_each(print::json)?;
            return Ok(code);
        }
        let mut table = Table::new(&["sink", "kind", "sent", "set aside", "behind", "state"]);
        for state in &states {
            let (told, tone) = told(state);
            table.row(vec![
                (inert(&state.name), Tone::Plain),
                (inert(&state.kind), Tone::Plain),
                (state.sent.to_string(), Tone::Plain),
                (state.set_aside.to_string(), Tone::Plain),
                (state.behind.to_string(), Tone::Plain),
                (told, tone),
            ]);
        }
        print::page(&table.lines())?;
        if let Some(state) = states.iter().find(|state| state.set_aside > 0) {
            hint(&format!("tollbook sinks show {}", state.name));
        }
        Ok(code)
    }
}

impl Show {
    fn run(self) -> Result<ExitCode, Failure> {
        let (cursors, state) = found(&self.book, &self.name)?;
        let aside = cursors.set_aside(&self.name, self.limit);
        let aside = aside.map_err(unreadable)?;
        self.book.noted(&View::new(ViewAction::Survey))?;
        if self.form.json {
            let mut shown = serde_json::to_value(&state)
                .map_err(|error| Failure::unknown("cannot write the sink", error))?;
            shown["records"] = json!(aside);
            print::json(&shown)?;
            return Ok(ExitCode::SUCCESS);
        }
        let time = |time: Option<_>| time.map_or_else(|| "never".to_owned(), at);
        let mut page = vec![
            heading(&inert(&state.name)),
            field("kind", &inert(&state.kind)),
            field("log", &inert(&state.log)),
            field("state", &told(&state).0),
            field(
                "cursor",
                &format!("{}, {} behind", state.cursor, state.behind),
            ),
            field(
                "sent",
                &format!("{}, last {}", state.sent, time(state.last_sent)),
            ),
            field("skipped", &format!("{} that were erased", state.skipped)),
            field("set aside", &state.set_aside.to_string()),
        ];
        if !aside.is_empty() {
            let mut table = Table::new(&["index", "exchange", "tries", "since", "why"]);
            for record in &aside {
                let again = if record.again {
                    " (to be sent again)"
                } else {
                    ""
                };
                table.row(vec![
                    (record.index.to_string(), Tone::Plain),
                    (record.exchange.to_string(), Tone::Plain),
                    (record.tries.to_string(), Tone::Plain),
                    (at(record.at), Tone::Plain),
                    (format!("{}{again}", inert(&record.why)), Tone::Bad),
                ]);
            }
            page.push(heading("set aside"));
            page.extend(table.lines());
        }
        print::page(&page)?;
        if !aside.is_empty() {
            hint(&format!("tollbook sinks retry {}", self.name));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Retry {
    fn run(self) -> Result<ExitCode, Failure> {
        let (cursors, state) = found(&self.book, &self.name)?;
        let count = cursors.retry(&self.name, self.index);
        let count = count.map_err(unreadable)?;
        if count == 0
            && let Some(index) = self.index
        {
            return Err(Failure::no(format!(
                "{} has not set aside {index}",
                state.name
            )));
        }
        if self.form.json {
            print::json(&json!({ "sink": state.name, "again": count }))?;
        } else {
            print::page(&[format!("{count} records will be sent again")])?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// The cursors beside the book; `None`, and a word about it, where no sink has run.
fn open(book: &Book) -> Result<Option<Cursors>, Failure> {
    match Cursors::existing(book.folder()?) {
        Ok(cursors) => Ok(Some(cursors)),
        Err(error) if *error.kind() == ErrorKind::NoCursors => {
            print::aside("no sink has run with this book");
            Ok(None)
        }
        Err(error) => Err(unreadable(error)),
    }
}

fn found(book: &Book, name: &str) -> Result<(Cursors, SinkState), Failure> {
    let none = || Failure::no(format!("no sink `{}` has run with this book", inert(name)));
    let cursors = open(book)?.ok_or_else(none)?;
    let state = cursors.state(name).map_err(unreadable)?;
    let state = state.ok_or_else(none)?;
    Ok((cursors, state))
}

fn told(state: &SinkState) -> (String, Tone) {
    match (&state.why, state.failing_since) {
        (Some(why), Some(since)) => {
            let told = format!("failing since {}: {}", at(since), inert(why));
            (told, Tone::Bad)
        }
        _ => ("ok".to_owned(), Tone::Good),
    }
}

fn at(time: Timestamp) -> String {
    local(&time.to_string())
}

fn unreadable(error: tollbook_sinks::Error) -> Failure {
    Failure::unknown("cannot read the sinks", error)
}
