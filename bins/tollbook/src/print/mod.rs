//! What a person sees. Data goes to standard output, everything else to standard error; colours
//! appear on a terminal only.

mod exchange;
mod inert;
mod report;
mod table;
mod time;

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

pub(crate) use self::{
    exchange::exchange, inert::inert, report::report, table::Table, time::local,
};
use crate::exit::Failure;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// How a word is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    Plain,
    Good,
    Bad,
    Aside,
}

/// The text in its tone.
pub(crate) fn tone(text: &str, tone: Tone) -> String {
    let style = match tone {
        Tone::Plain => return text.to_owned(),
        Tone::Good => GOOD,
        Tone::Bad => BAD,
        Tone::Aside => DIM,
    };
    format!("{style}{text}{style:#}")
}

/// A line that begins a block.
pub(crate) fn heading(text: &str) -> String {
    format!("{BOLD}{text}{BOLD:#}")
}

/// A named line of a block; further lines of the value stand under the first.
pub(crate) fn field(name: &str, value: &str) -> String {
    let mut lines = value.lines();
    let mut text = format!(
        "  {DIM}{name:<10}{DIM:#} {}",
        lines.next().unwrap_or_default()
    );
    for line in lines {
        text.push_str(&format!("\n{:13}{line}", ""));
    }
    text
}

/// What went wrong, for standard error.
pub(crate) fn failure(failure: &Failure) -> String {
    format!("{BAD}tollbook:{BAD:#} {}", inert(failure.message()))
}

/// Says something on the side, on standard error.
pub(crate) fn aside(text: &str) {
    anstream::eprintln!("{}", tone(text, Tone::Aside));
}

/// Prints lines for a person.
pub(crate) fn page(lines: &[String]) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    written(
        lines
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
            .and_then(|()| out.flush()),
    )
}

/// Prints one JSON object on a line of its own.
pub(crate) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::unknown("cannot write JSON", error))?;
    let mut out = io::stdout().lock();
    written(writeln!(out, "{text}").and_then(|()| out.flush()))
}

fn written(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        // Whoever read has seen enough; the rest of the output has nowhere to go.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::unknown("cannot write to standard output", error)),
    }
}
