//! `tollbook sessions`.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tollbook_exchange::Timestamp;
use tollbook_gateway::control::{View, ViewAction};
use tollbook_search::{Conversation, ErrorKind, Index, Part, Session, Turn};

use crate::{
    command::{
        Book, Form,
        exchanges::{hint, since},
        search::{clock, query, tell_forgotten},
        search_failed,
    },
    exit::Failure,
    print::{self, Table, Tone, field, heading, inert, local, tone},
};

/// The most characters of a text on the page, unless `--full` is given.
const TEXT: usize = 2_000;
/// The same for a system prompt, which hardly anybody reads twice.
const SYSTEM: usize = 200;

/// Read the book by sessions: what an agent, a job or a person did in one go.
#[derive(Debug, Subcommand)]
pub(crate) enum Sessions {
    List(List),
    Show(Show),
}

/// List sessions, those first in which something happened last.
///
/// With a query, those with an exchange that it takes; `tollbook search --help` tells how to ask.
/// What the gate does itself is left out unless the query names a connection.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// The query.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    #[command(flatten)]
    book: Book,
    /// At most so many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// With an exchange begun since then: an RFC 3339 time, or so long ago as `90s`, `15m`, `2h` or `7d`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Go on after the session with this `index`: that of the last one of the page before.
    #[arg(long, value_name = "INDEX")]
    cursor: Option<u64>,
    #[command(flatten)]
    form: Form,
}

/// Show a session as a conversation: who said what, which tools were called and what they gave back,
/// what was masked, what was decided, and what each turn took and cost.
///
/// History that an agent sends again with each turn is shown once.
#[derive(Debug, Args)]
pub(crate) struct Show {
    #[command(flatten)]
    book: Book,
    /// The session's id, or that of an exchange in it, or the first eight or more digits.
    id: String,
    /// Show texts in full.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    form: Form,
}

impl Sessions {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Show(show) => show.run(),
        }
    }
}

impl List {
    fn run(self) -> Result<ExitCode, Failure> {
        let mut asked = query(&self.query, &self.book)?;
        let view = View::new(ViewAction::Sessions).query(asked.to_string());
        if !asked.names("connection") {
            asked = asked.and(query(&["-connection:(*".to_owned()], &self.book)?);
        }
        if let Some(since) = self.since {
            asked = asked.since(since);
        }
        let (book, index) = self.book.search(false)?;
        tell_forgotten(&index, &asked)?;
        let found = index
            .sessions(&book, &asked, &clock(), self.limit, self.cursor)
            .map_err(search_failed)?;
        let ids = found.iter().map(|session| session.id);
        self.book.noted(&view.showing(ids))?;
        if self.form.json {
            found.iter().try_for_each(print::json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&[
            "LAST",
            "ID",
            "WHO",
            "MODEL",
            "EXCHANGES",
            "DENIED",
            "CALLS",
            "MASKED",
            "TOKENS",
            "COST",
        ]);
        found.iter().for_each(|session| table.row(cells(session)));
        print::page(&table.lines())?;
        match found.first() {
            Some(newest) => hint(&format!("tollbook sessions show {}", newest.id)),
            None => hint("nothing here yet"),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn cells(session: &Session) -> Vec<(String, Tone)> {
    let or_dash = |text: &Option<String>| text.as_deref().map_or_else(|| "-".to_owned(), inert);
    let last = session
        .ended
        .map_or_else(|| "open".to_owned(), |ended| local(&ended.to_string()));
    let bad = if session.denied > 0 {
        Tone::Bad
    } else {
        Tone::Plain
    };
    vec![
        (last, Tone::Aside),
        (session.id.to_string(), Tone::Plain),
        (or_dash(&session.subject), Tone::Plain),
        (or_dash(&session.model), Tone::Plain),
        (session.exchanges.to_string(), Tone::Plain),
        (session.denied.to_string(), bad),
        (session.calls.to_string(), Tone::Plain),
        (session.masked.to_string(), Tone::Plain),
        (session.tokens.to_string(), Tone::Plain),
        (money(session.cost), Tone::Plain),
    ]
}

impl Show {
    fn run(self) -> Result<ExitCode, Failure> {
        let (book, index) = self.book.search(false)?;
        let found = index
            .session(&book, &self.id)
            .map_err(|error| id_error(&error))?;
        let Some(session) = found else {
            return Err(Failure::no(format!("the book has no session {}", self.id)));
        };
        let unreadable = |error| Failure::unknown("cannot read the session", error);
        self.book
            .noted(&View::new(ViewAction::Sessions).showing([session.id]))?;
        let turns = index.conversation(&book, &session).map_err(unreadable)?;
        if self.form.json {
            return self.json(&session, turns);
        }
        print::page(&head(&session, &index))?;
        for turn in turns {
            print::page(&self.turn(&turn.map_err(unreadable)?))?;
        }
        hint(&format!("tollbook search session:{}", session.id));
        Ok(ExitCode::SUCCESS)
    }

    fn json(&self, session: &Session, turns: Conversation<'_>) -> Result<ExitCode, Failure> {
        let unreadable = |error| Failure::unknown("cannot read the session", error);
        let turns: Vec<Turn> = turns.collect::<Result<_, _>>().map_err(unreadable)?;
        let mut whole = json!(session);
        whole["turns"] = json!(turns);
        print::json(&whole)?;
        Ok(ExitCode::SUCCESS)
    }

    fn turn(&self, turn: &Turn) -> Vec<String> {
        let mut page = vec![String::new(), title(turn)];
        page.extend(decision(turn).map(|line| field("decision", &line)));
        for part in &turn.said {
            page.push(self.part(part));
        }
        let masked: Vec<String> = turn
            .masked
            .iter()
            .map(|(rule, count)| format!("{count} × {}", inert(rule)))
            .collect();
        if !masked.is_empty() {
            page.push(field("masked", &masked.join(", ")));
        }
        for (name, told) in [
            ("told", &turn.refusal["message"]),
            ("error", &turn.error["message"]),
        ] {
            page.extend(
                told.as_str()
                    .map(|told| field(name, &tone(&inert(told), Tone::Bad))),
            );
        }
        if turn.repeated > 0 {
            let line = format!("{} blocks that were said before", turn.repeated);
            page.push(field("sent again", &tone(&line, Tone::Aside)));
        }
        page
    }

    fn part(&self, part: &Part) -> String {
        let limit = if part.kind == "system" { SYSTEM } else { TEXT };
        let text = match part.text.char_indices().nth(limit) {
            Some((at, _)) if !self.full => {
                format!("{}… ({} bytes in all)", &part.text[..at], part.text.len())
            }
            _ => part.text.clone(),
        };
        let text = marked(&inert(&text));
        let tool = part.tool.as_deref().map(inert).unwrap_or_default();
        match part.kind {
            "prompt" => field("user", &text),
            "statement" => field("sql", &text),
            "rows" => field("gave", &text),
            "answer" => field("model", &text),
            "thinking" => field("thinking", &tone(&text, Tone::Aside)),
            "call" => {
                let judged = match part.note.as_deref() {
                    Some("allow") => format!(" {}", tone("allow", Tone::Good)),
                    Some("not_asked") | None => String::new(),
                    Some(other) => format!(" {}", tone(&inert(other), Tone::Bad)),
                };
                let rules: Vec<String> = part.rules.iter().map(|rule| inert(rule)).collect();
                let by = match rules.join(", ").as_str() {
                    "" => String::new(),
                    rules => format!(" by {rules}"),
                };
                field("calls", &format!("{}{judged}{by} {text}", heading(&tool)))
            }
            "result" => {
                let failed = if part.failed {
                    tone(" failed", Tone::Bad)
                } else {
                    String::new()
                };
                field("gave back", &format!("{}{failed} {text}", heading(&tool)))
            }
            "system" => field("system", &tone(&text, Tone::Aside)),
            _ => {
                let kind = part.note.as_deref().map(inert).unwrap_or_default();
                field("sent", &format!("[{kind}] {text}"))
            }
        }
    }
}

fn head(session: &Session, index: &Index) -> Vec<String> {
    let who = [&session.issuer, &session.subject].map(|name| name.as_deref().map(inert));
    let who: Vec<String> = who.into_iter().flatten().collect();
    let ended = match session.ended {
        Some(ended) => local(&ended.to_string()),
        None => "still open".to_owned(),
    };
    let mut page = vec![
        heading(&format!("session {}", session.id)),
        field("who", &who.join(" ")),
        field(
            "when",
            &format!("{} – {ended}", local(&session.started.to_string())),
        ),
        field(
            "took",
            &format!(
                "{} exchanges, {} tokens, {}",
                session.exchanges,
                session.tokens,
                money(session.cost)
            ),
        ),
        field(
            "what",
            &format!(
                "{} tools called, {} findings masked, {} exchanges denied",
                session.calls, session.masked, session.denied
            ),
        ),
    ];
    if !index.is_kept() {
        page.push(field("index", "temporary: the folder cannot be written"));
    }
    page
}

/// The first line of a turn.
fn title(turn: &Turn) -> String {
    let text = |value: &Value| value.as_str().map(inert);
    let mut parts = vec![heading(
        &text(&turn.started)
            .map(|time| local(&time))
            .unwrap_or_default(),
    )];
    parts.push(turn.id.to_string());
    parts.extend(text(&turn.model["served"]).or_else(|| text(&turn.model["requested"])));
    parts.extend(
        turn.thread
            .filter(|thread| *thread > 1)
            .map(|thread| format!("thread {thread}")),
    );
    match turn.outcome.as_str() {
        Some("complete") => {}
        Some(other) => parts.push(tone(&inert(other), Tone::Bad)),
        None => parts.push(tone("open", Tone::Aside)),
    }
    if let Some(status) = turn.status.as_u64().filter(|status| *status != 200) {
        parts.push(format!("status {status}"));
    }
    let count = |key: &str| turn.usage[key].as_u64().unwrap_or_default();
    if turn.usage.is_object() {
        let prompt = count("input_tokens")
            + count("cache_read_input_tokens")
            + count("cache_creation_input_tokens");
        parts.push(format!("{prompt} + {} tokens", count("output_tokens")));
    }
    parts.extend(turn.cost.map(money));
    parts.join("  ")
}

/// What was decided, where that is more than that it may pass.
fn decision(turn: &Turn) -> Option<String> {
    let verdict = turn.decision["verdict"].as_str()?;
    let approval = turn.decision["approval"].as_str();
    if verdict == "allow" && approval.is_none() {
        return None;
    }
    let rules = turn.decision["rules"].as_array().into_iter().flatten();
    let rules: Vec<String> = rules.filter_map(Value::as_str).map(inert).collect();
    let meant = if verdict == "deny" {
        Tone::Bad
    } else {
        Tone::Plain
    };
    let mut line = format!("{} by {}", tone(&inert(verdict), meant), rules.join(", "));
    if let Some(approval) = approval {
        line.push_str(&format!(", let through by {}", inert(approval)));
    }
    Some(line)
}

/// The text with the places marked at which something was masked.
fn marked(text: &str) -> String {
    let mut marked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("[REDACTED:") {
        let end = rest[at..].find(']').map_or(rest.len(), |end| at + end + 1);
        marked.push_str(&rest[..at]);
        marked.push_str(&heading(&rest[at..end]));
        rest = &rest[end..];
    }
    marked + rest
}

/// An amount of US dollars.
fn money(dollars: f64) -> String {
    if dollars >= 1.0 {
        format!("${dollars:.2}")
    } else {
        format!("${dollars:.4}")
    }
}

/// What is wrong with an id, or with the book.
pub(super) fn id_error(error: &tollbook_search::Error) -> Failure {
    match error.kind() {
        ErrorKind::Id | ErrorKind::Ambiguous => Failure::usage(error.to_string()),
        _ => Failure::unknown("cannot read the book", error),
    }
}
