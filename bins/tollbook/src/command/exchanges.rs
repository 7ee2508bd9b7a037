//! `tollbook exchanges`.

use std::{process::ExitCode, thread, time::Duration};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tollbook_budget::Prices;
use tollbook_exchange::{Outcome, Timestamp, Verdict};
use tollbook_gateway::control::{self, Noted, View, ViewAction};
use tollbook_recording::{ErrorKind, Filter, Reader, Summary};
use tollbook_search::{Cause, Facts, Query};

use crate::{
    command::{
        Book, Form,
        search::{clock, query, tell_forgotten, without_views},
        search_failed,
    },
    exit::Failure,
    print::{self, Table, Tone, inert, local, tone},
};

/// How often `tail` looks for what is new.
const LOOK: Duration = Duration::from_millis(250);
/// How many exchanges `tail` reads at a time.
const PAGE: u64 = 1_000;

/// Read the book: list, show or follow exchanges.
#[derive(Debug, Subcommand)]
pub(crate) enum Exchanges {
    List(List),
    Show(Show),
    Tail(Tail),
}

/// List exchanges, newest first.
///
/// With a query, those that it takes; `tollbook search --help` tells how to ask.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The query.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    #[command(flatten)]
    book: Book,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u64,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    form: Form,
}

/// Show one exchange: who, what, the decision and who approved it, prompt and answer, what became
/// of tool calls, and its place in the log.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    book: Book,
    /// The exchange's id, or the first eight or more digits of it.
    id: String,
    #[command(flatten)]
    form: Form,
}

/// Follow exchanges as they end.
///
/// With a query, those that it takes; `tollbook search --help` tells how to ask.
#[derive(Debug, Args)]
pub(crate) struct Tail {
    /// The query.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    #[command(flatten)]
    book: Book,
    /// Begin with so many that are there already.
    #[arg(long, value_name = "N", default_value_t = 10)]
    limit: u64,
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    form: Form,
}

/// Which exchanges.
#[derive(Debug, Args)]
struct Which {
    /// Begun since then: an RFC 3339 time, or so long ago as `90s`, `15m`, `2h` or `7d`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Through this connection.
    #[arg(long, value_name = "NAME")]
    connection: Option<String>,
    /// Asked for by this subject.
    #[arg(long, value_name = "SUBJECT")]
    subject: Option<String>,
    /// With this verdict: allow, deny or approve.
    #[arg(long, value_name = "VERDICT", value_parser = verdict)]
    verdict: Option<Verdict>,
    /// With this outcome, such as complete, denied or client_gone.
    #[arg(long, value_name = "OUTCOME", value_parser = outcome)]
    outcome: Option<Outcome>,
    /// Those too who looked at the book, on the connection `(book)`.
    #[arg(long)]
    all: bool,
}

impl Which {
    fn filter(&self, limit: u64) -> Filter {
        let mut filter = Filter::default();
        filter.limit = limit;
        filter.since = self.since;
        filter.connection = self.connection.clone();
        filter.except = self.without_views().then(|| control::CONNECTION.to_owned());
        filter.subject = self.subject.clone();
        filter.verdict = self.verdict;
        filter.outcome = self.outcome;
        filter
    }
}

impl Which {
    /// Whether those who looked at the book are left out: each look would find the one before.
    fn without_views(&self) -> bool {
        !self.all && self.connection.is_none()
    }

    /// The same as a query.
    fn query(&self) -> Query {
        let mut query = Query::all();
        for (field, value) in [
            ("connection", self.connection.as_deref()),
            ("subject", self.subject.as_deref()),
            ("verdict", self.verdict.map(Verdict::as_str)),
            ("outcome", self.outcome.map(Outcome::as_str)),
        ] {
            if let Some(value) = value {
                query = query.with(field, value);
            }
        }
        if let Some(since) = self.since {
            query = query.since(since);
        }
        query
    }

    /// Whether the filter takes this exchange, for those that come one by one.
    fn takes(&self, summary: &Summary) -> bool {
        let is = |wanted: Option<&str>, found: Option<&str>| wanted.is_none() || wanted == found;
        self.since.is_none_or(|since| summary.started >= since)
            && is(self.connection.as_deref(), Some(&summary.connection))
            && is(self.subject.as_deref(), summary.subject.as_deref())
            && is(
                self.verdict.map(Verdict::as_str),
                summary.verdict.as_deref(),
            )
            && is(
                self.outcome.map(Outcome::as_str),
                summary.outcome.as_deref(),
            )
    }
}

impl Exchanges {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
            Self::Tail(tail) => tail.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<ExitCode, Failure> {
        let query = query(&self.query, &self.book)?;
        let asked = query.clone().and(self.which.query());
        let found = if query.is_all() {
            summaries(&self.book.open()?, &self.which.filter(self.limit))?
        } else {
            let query = without_views(asked.clone(), self.which.all)?;
            found(&self.book, &query, self.limit)?
        };
        let view = View::new(ViewAction::List).query(asked.to_string());
        let ids = found.iter().map(|summary| summary.id);
        self.book.noted(&view.showing(ids))?;
        if self.form.json {
            found.iter().try_for_each(print::json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&COLUMNS);
        found.iter().for_each(|summary| table.row(cells(summary)));
        print::page(&table.lines())?;
        match found.first() {
            Some(newest) => hint(&format!("tollbook exchanges show {}", newest.id)),
            None => hint("nothing here yet; `tollbook exchanges tail` waits for the first"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Show {
    fn run(self) -> Result<ExitCode, Failure> {
        let reader = self.book.open()?;
        let found = reader
            .exchange(&self.id)
            .map_err(|error| match error.kind() {
                ErrorKind::Id | ErrorKind::Ambiguous => Failure::usage(error.to_string()),
                _ => Failure::unknown("cannot read the exchange", error),
            })?;
        let Some(mut record) = found else {
            return Err(Failure::no(format!("the book has no exchange {}", self.id)));
        };
        match self.book.trail(&reader, &self.id) {
            Some(trail) => {
                let id = |cause: &Cause| json!(cause.exchange.summary.id);
                record["causes"] = trail.causes.iter().map(id).collect();
                record["caused_by"] = trail.caused_by.first().map(id).unwrap_or_default();
            }
            // Nothing is not the same as not known.
            None => record["causes"] = Value::Null,
        }
        let shown = record["id"].as_str();
        self.book
            .noted(&View::new(ViewAction::Show).showing(shown))?;
        if self.form.json {
            print::json(&record)?;
        } else {
            let steps = steps(&reader, &record)?;
            print::page(&print::exchange(&record, &steps))?;
            match record["decision"]["verdict"].as_str() {
                Some("deny" | "approve") => hint(&format!("tollbook policy explain {}", self.id)),
                _ => hint("tollbook verify"),
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl Tail {
    fn run(self) -> Result<ExitCode, Failure> {
        let asked = query(&self.query, &self.book)?.and(self.which.query());
        let query = without_views(asked.clone(), self.which.all)?;
        let reader = self.book.open()?;
        let unreadable = |error| Failure::unknown("cannot read the book", error);
        // The size comes first: what is opened or closed while the list is read is left out of the
        // list and followed, so that it is printed, and printed once.
        let mut next = reader.size().map_err(unreadable)?;
        let mut found = if self.query.is_empty() {
            summaries(&reader, &self.which.filter(self.limit))?
        } else {
            found(&self.book, &query, self.limit)?
        };
        found.retain(|summary| summary.ended.is_some() && summary.latest < next);
        found.reverse();
        let prices = self.book.prices()?;
        let view = View::new(ViewAction::Tail).query(asked.to_string());
        let noted = self.book.noted(&view.kept_open())?;
        loop {
            still_noted(&noted)?;
            for summary in &found {
                if self.form.json {
                    print::json(summary)?;
                } else {
                    let line = cells(summary)
                        .into_iter()
                        .map(|(text, meant)| tone(&text, meant));
                    print::page(&[line.collect::<Vec<_>>().join("  ")])?;
                }
            }
            thread::sleep(LOOK);
            found = reader.follow(next, PAGE).map_err(unreadable)?;
            next = found.last().map_or(next, |summary| summary.latest + 1);
            found.retain(|summary| {
                let is_view = summary.connection == control::CONNECTION;
                summary.ended.is_some()
                    && self.which.takes(summary)
                    && !(is_view && self.query.is_empty() && self.which.without_views())
            });
            if !self.query.is_empty() {
                found = taken(&reader, found, &query, &prices)?;
            }
        }
    }
}

/// Nothing more is shown when the gateway that notes it is gone.
fn still_noted(noted: &Noted) -> Result<(), Failure> {
    if noted.is_open() {
        return Ok(());
    }
    Err(Failure::Unknown(
        "the gateway has ended, so that nobody notes who looks; begin anew".to_owned(),
    ))
}

pub(super) const COLUMNS: [&str; 8] = [
    "TIME", "ID", "WHO", "ACTION", "MODEL", "VERDICT", "OUTCOME", "STATUS",
];

pub(super) fn cells(summary: &Summary) -> Vec<(String, Tone)> {
    let or_dash = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), inert);
    let plain = |text: Option<&str>| (or_dash(text), Tone::Plain);
    let verdict = match summary.verdict.as_deref() {
        Some("allow") => Tone::Good,
        Some(_) => Tone::Bad,
        None => Tone::Aside,
    };
    let outcome = match summary.outcome.as_deref() {
        Some("complete") => Tone::Good,
        Some(_) => Tone::Bad,
        None => Tone::Aside,
    };
    vec![
        (local(&summary.started.to_string()), Tone::Aside),
        (summary.id.to_string(), Tone::Plain),
        plain(summary.subject.as_deref()),
        plain(summary.action.as_deref()),
        plain(summary.model.as_deref()),
        (or_dash(summary.verdict.as_deref()), verdict),
        (
            summary
                .outcome
                .as_deref()
                .map_or_else(|| "open".to_owned(), inert),
            outcome,
        ),
        (
            summary
                .status
                .map_or_else(|| "-".to_owned(), |status| status.to_string()),
            Tone::Plain,
        ),
    ]
}

fn summaries(reader: &Reader, filter: &Filter) -> Result<Vec<Summary>, Failure> {
    reader
        .exchanges(filter)
        .map_err(|error| Failure::unknown("cannot read the book", error))
}

/// The exchanges that the query takes, newest first.
fn found(book: &Book, query: &Query, limit: u64) -> Result<Vec<Summary>, Failure> {
    let (book, index) = book.search(false)?;
    tell_forgotten(&index, query)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let indexes = index
        .indexes(query, &clock(), limit, None)
        .map_err(search_failed)?;
    book.summaries(&indexes)
        .map_err(|error| Failure::unknown("cannot read the book", error))
}

/// Those of these exchanges that the query takes, found out without an index: they have just ended.
fn taken(
    reader: &Reader,
    found: Vec<Summary>,
    query: &Query,
    prices: &Prices,
) -> Result<Vec<Summary>, Failure> {
    let clock = clock();
    let mut taken = Vec::new();
    for summary in found {
        let record = reader
            .exchange(&summary.id.to_string())
            .map_err(|error| Failure::unknown("cannot read the book", error))?;
        if record.is_some_and(|record| query.takes(&Facts::of(&record, prices), &clock)) {
            taken.push(summary);
        }
    }
    Ok(taken)
}

/// How many of the gate's own acts are looked through for those about an approval.
const ACTS: u64 = 1_000;
/// How long before an exchange people may have decided about it, in microseconds: a day.
const BEFORE: i64 = 24 * 3_600 * 1_000_000;

/// The records of what people did about the approval or grant by which an exchange passed, oldest
/// first. A person's word is an exchange of its own, under the gate's own connection.
fn steps(reader: &Reader, record: &Value) -> Result<Vec<Value>, Failure> {
    let Some(by) = record["decision"]["approval"].as_str() else {
        return Ok(Vec::new());
    };
    let time = |key: &str| record[key].as_str()?.parse::<Timestamp>().ok();
    let mut filter = Filter::default();
    filter.limit = ACTS;
    filter.connection = Some("(gate)".to_owned());
    filter.since = time("started")
        .map(|started| Timestamp::from_micros(started.as_micros().saturating_sub(BEFORE)));
    filter.until = time("ended");
    let by_people = [
        "approval.voted",
        "approval.approved",
        "approval.denied",
        "grant.granted",
        "grant.reviewed",
    ];
    let mut steps = Vec::new();
    for act in summaries(reader, &filter)? {
        if !act
            .action
            .as_deref()
            .is_some_and(|name| by_people.contains(&name))
        {
            continue;
        }
        let act = reader
            .exchange(&act.id.to_string())
            .map_err(|error| Failure::unknown("cannot read the book", error))?
            .unwrap_or_default();
        if act["action"]["approval"] == by || act["action"]["grant"] == by {
            steps.push(act);
        }
    }
    steps.reverse();
    Ok(steps)
}

/// The next useful command, for a person at a terminal.
pub(super) fn hint(next: &str) {
    if std::io::IsTerminal::is_terminal(&std::io::stdout()) {
        anstream::eprintln!("{}", tone(&format!("→ {next}"), Tone::Aside));
    }
}

pub(crate) fn since(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse() {
        return Ok(time);
    }
    let wrong = || "write an RFC 3339 time, or 90s, 15m, 2h or 7d".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: i64 = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return Err(wrong()),
    };
    let number: i64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    let ago = number
        .checked_mul(seconds)
        .and_then(|ago| ago.checked_mul(1_000_000))
        .ok_or_else(wrong)?;
    Ok(Timestamp::from_micros(
        Timestamp::now().as_micros().saturating_sub(ago),
    ))
}

fn verdict(text: &str) -> Result<Verdict, String> {
    [Verdict::Allow, Verdict::Deny, Verdict::Approve]
        .into_iter()
        .find(|verdict| verdict.as_str() == text)
        .ok_or_else(|| "it is allow, deny or approve".to_owned())
}

fn outcome(text: &str) -> Result<Outcome, String> {
    Outcome::ALL
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
        .ok_or_else(|| {
            let all: Vec<_> = Outcome::ALL
                .iter()
                .map(|outcome| outcome.as_str())
                .collect();
            format!("it is one of {}", all.join(", "))
        })
}
