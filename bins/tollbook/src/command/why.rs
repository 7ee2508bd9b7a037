//! `tollbook why`.

use std::process::ExitCode;

use clap::Args;
use tollbook_gateway::control::{View, ViewAction};
use tollbook_search::{Cause, Step, Trail};

use crate::{
    command::{Book, Form, exchanges::hint, sessions::id_error},
    exit::Failure,
    print::{self, Tone, field, heading, inert, local, tone},
};

/// The most characters of a text on the page; `--json` has all of them.
const TEXT: usize = 300;
/// The most steps back that are shown one by one.
const STEPS: usize = 10;

/// Tell why an exchange happened: which prompt and which tool calls led to it, and what it made
/// happen in turn.
///
/// A tool call in a recorded answer and the request that brings its result carry the same id; where
/// both belong to one session of one caller, the first caused the second. A SQL statement was caused by
/// the last tool call of the same caller whose input holds it, apart from values.
#[derive(Debug, Args)]
pub(crate) struct Why {
    #[command(flatten)]
    book: Book,
    /// The exchange's id, or the first eight or more digits of it.
    id: String,
    /// Tell at most so many steps in either direction.
    #[arg(long, value_name = "N", default_value_t = 100)]
    steps: usize,
    #[command(flatten)]
    form: Form,
}

impl Why {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (book, index) = self.book.search(false)?;
        let trail = index
            .trail(&book, &self.id, self.steps, self.steps)
            .map_err(|error| id_error(&error))?;
        let Some(trail) = trail else {
            return Err(Failure::no(format!("the book has no exchange {}", self.id)));
        };
        self.book.noted(&view(&trail))?;
        if self.form.json {
            print::json(&trail)?;
            return Ok(ExitCode::SUCCESS);
        }
        print::page(&page(&trail))?;
        if trail.cut {
            print::aside("there is more than is told here: --steps N goes further");
        }
        hint(&format!(
            "tollbook sessions show {}",
            trail.exchange.summary.id
        ));
        Ok(ExitCode::SUCCESS)
    }
}

/// The exchange that was asked about, and those that are shown with it.
fn view(trail: &Trail) -> View {
    let others = trail.caused_by.iter().chain(&trail.causes);
    let others = others.map(|cause| cause.exchange.summary.id);
    let all = [trail.exchange.summary.id].into_iter().chain(others);
    View::new(ViewAction::Why).showing(all)
}

/// From the prompt at the beginning down to what followed.
fn page(trail: &Trail) -> Vec<String> {
    let mut page = Vec::new();
    let back = &trail.caused_by;
    for (number, cause) in back.iter().enumerate().rev() {
        let is_first = number + 1 == back.len();
        if is_first || number < STEPS {
            page.extend(step(&cause.exchange, Tone::Aside));
            page.push(call(cause));
        } else if number == STEPS {
            let left_out = back.len() - 1 - STEPS;
            let line = format!("… {left_out} more, which --json has");
            page.push(tone(&line, Tone::Aside));
        }
    }
    page.extend(step(&trail.exchange, Tone::Plain));
    if back.is_empty() && trail.exchange.prompt.is_empty() {
        page.push(field("", &tone("nothing recorded led to it", Tone::Aside)));
    }
    for cause in &trail.causes {
        page.push(call(cause));
        page.extend(step(&cause.exchange, Tone::Aside));
    }
    page
}

fn step(step: &Step, meant: Tone) -> Vec<String> {
    let summary = &step.summary;
    let mut line = vec![
        local(&summary.started.to_string()),
        summary.id.to_string(),
        inert(summary.action.as_deref().unwrap_or("-")),
    ];
    match summary.outcome.as_deref() {
        Some("complete") => {}
        other => line.push(inert(other.unwrap_or("open"))),
    }
    let line = line.join("  ");
    let mut lines = vec![match meant {
        Tone::Plain => heading(&line),
        other => tone(&line, other),
    }];
    if !step.prompt.is_empty() {
        lines.push(field("prompt", &cut(&step.prompt)));
    }
    lines
}

fn call(cause: &Cause) -> String {
    let input = match cause.input.as_str() {
        Some(raw) => raw.to_owned(),
        None => cause.input.to_string(),
    };
    field(
        "calls",
        &format!("{} {}", heading(&inert(&cause.tool)), cut(&input)),
    )
}

fn cut(text: &str) -> String {
    let text = inert(text);
    match text.char_indices().nth(TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
