//! `tollbook replay`.

mod play;
mod resend;
mod serve;
mod what_if;

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use clap::Args;
use tollbook_exchange::{ExchangeId, SessionId, Timestamp};
use tollbook_gateway::{
    Plan,
    config::Mistakes,
    control::{View, ViewAction},
};
use tollbook_masking::{Base, Masker};
use tollbook_recording::{ErrorKind, Filter, Reader};
use tollbook_replay::Pace;

use crate::{
    command::{
        Book, Form,
        exchanges::since,
        search::{clock, query},
        search_failed,
        sessions::id_error,
    },
    exit::Failure,
};

/// How many exchanges of a query are replayed unless told.
const LIMIT: u64 = 1_000;

/// Replay what is recorded: watch it, serve it to the same client, send it elsewhere, or put it to
/// other policies and rules.
///
/// WHAT is a session's id, an exchange's id, the first eight or more digits of one, or a query as
/// `tollbook search --help` tells. Say one thing to do with it:
///
///   tollbook replay 0199e2a0 --play                      watch it in its own time
///   tollbook replay 0199e2a0 --serve 127.0.0.1:8090      be the API for the same client, offline
///   tollbook replay 0199e2a0 --to https://api.anthropic.com --model claude-haiku-4-5 \
///     --header-env x-api-key=ANTHROPIC_API_KEY           ask again, and compare the answers
///   tollbook replay since:7d --policy candidate/         what would other policies have said?
///   tollbook replay since:7d --rules house.toml          what would other rules have found?
///
/// The book holds what was said after masking, so that is what is replayed: where a secret was,
/// there is a placeholder, and a tool call with such a place in it does not do what it did.
///
/// Exit code 0: done. 1: with --fail-on-difference, when something was not as it was. 2: wrong use.
/// 3: the book or the upstream could not be read.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
#[allow(rustdoc::bare_urls, reason = "it is a text for terminals")]
pub(crate) struct Replay {
    /// A session, an exchange, or a query.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    book: Book,
    #[command(flatten)]
    way: Way,
    /// How many times as fast as it was, such as 2 or 0.5, or `max` for no waiting. As it was for
    /// --play, and `max` for --serve, unless told.
    #[arg(long, value_name = "N", value_parser = speed)]
    speed: Option<f64>,
    /// Take no pause for longer than this, such as 2s or 500ms.
    #[arg(long, value_name = "TIME", value_parser = time)]
    max_pause: Option<Duration>,
    /// Write what --play shows into a new file as an asciicast (version 2), for players of terminal
    /// sessions. Without --play nothing is shown, and nobody waits.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["serve", "to", "policy", "rules"])]
    asciicast: Option<PathBuf>,
    /// What --serve gives where nothing recorded fits: `404`, an error of the API, or `next`, the
    /// closest answer that is left.
    #[arg(long, value_name = "WHICH", default_value = "404", value_parser = ["404", "next"], requires = "serve")]
    fallback: String,
    /// Let --serve give an answer only where the setting is the same too: system prompt, tools,
    /// model, dates and ids in texts.
    #[arg(long, requires = "serve")]
    same_setting: bool,
    /// Let --serve listen where other machines can reach it, and answer under any name. Whoever
    /// reaches it can read the record.
    #[arg(long, requires = "serve")]
    allow_remote: bool,
    /// The model that --to asks for instead of the recorded one.
    #[arg(long, value_name = "MODEL", requires = "to")]
    model: Option<String>,
    /// A header that --to sends, with the environment variable that has its value, such as
    /// `x-api-key=ANTHROPIC_API_KEY`. May be given again.
    #[arg(long, value_name = "NAME=VARIABLE", requires = "to")]
    header_env: Vec<String>,
    /// The masking profile by which requests are compared and answers shown, and which rules count
    /// for --rules; else that of the connection, or `default`.
    #[arg(long, value_name = "NAME")]
    profile: Option<String>,
    /// Only exchanges begun since then: an RFC 3339 time, or so long ago as `90s`, `15m`, `2h` or `7d`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// At most so many exchanges, the newest: 1000 of a query, all of a session, unless told.
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// End with exit code 1 when something is not as it was.
    #[arg(long, conflicts_with_all = ["play", "asciicast"])]
    fail_on_difference: bool,
    #[command(flatten)]
    form: Form,
}

/// What is done with what is replayed.
#[derive(Debug, Args)]
#[group(multiple = false)]
struct Way {
    /// Show it in the terminal, in its own time.
    #[arg(long)]
    play: bool,
    /// Listen on this address and answer the same client with the recorded answers: by what is
    /// asked, and in order. Stops at Ctrl-C, and tells what nobody asked for.
    #[arg(long, value_name = "ADDRESS")]
    serve: Option<SocketAddr>,
    /// Send the recorded requests to this upstream, in order, and compare the answers. It may be a
    /// gateway, such as http://127.0.0.1:8080/claude. What was refused then is not sent.
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Tell which verdicts would be others with the policies in this folder.
    #[arg(long, value_name = "DIR")]
    policy: Option<PathBuf>,
    /// Tell what these masking rules would find in addition: a file, or `builtin`. May be given
    /// again.
    #[arg(long, value_name = "FILE")]
    rules: Vec<String>,
}

impl Replay {
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        if self.way.serve.is_some() {
            self.serve().await
        } else if self.way.to.is_some() {
            self.resend().await
        } else if self.way.policy.is_some() {
            self.policies()
        } else if !self.way.rules.is_empty() {
            self.rules()
        } else if self.way.play || self.asciicast.is_some() {
            self.play().await
        } else {
            Err(Failure::usage(
                "say what to do: --play, --serve ADDRESS, --to URL, --policy DIR or --rules FILE",
            ))
        }
    }

    /// The book, and the exchanges that are replayed, oldest first.
    fn select(&self) -> Result<(Arc<Reader>, Vec<ExchangeId>), Failure> {
        let unreadable = |error| Failure::unknown("cannot read the book", error);
        let mut filter = Filter::default();
        filter.since = self.since;
        let reader = self.book.open()?;
        let mut found = match &self.what[..] {
            [] => {
                filter.limit = self.limit.unwrap_or(LIMIT);
                reader.exchanges(&filter).map_err(unreadable)?
            }
            [id] if is_id(id) => match self.named(&reader, id)? {
                Named::Exchange(id) => {
                    self.noted(&[id])?;
                    return Ok((Arc::new(reader), vec![id]));
                }
                Named::Session(session) => {
                    filter.session = Some(session);
                    filter.limit = self.limit.unwrap_or(u64::MAX);
                    reader.exchanges(&filter).map_err(unreadable)?
                }
            },
            words => {
                let mut asked = query(words, &self.book)?;
                if let Some(since) = self.since {
                    asked = asked.since(since);
                }
                let (book, index) = self.book.search(false)?;
                let limit = usize::try_from(self.limit.unwrap_or(LIMIT)).unwrap_or(usize::MAX);
                let indexes = index
                    .indexes(&asked, &clock(), limit, None)
                    .map_err(search_failed)?;
                book.summaries(&indexes).map_err(unreadable)?
            }
        };
        // What the gate does itself is nothing that anybody could ask for again.
        found.retain(|summary| !summary.connection.starts_with('('));
        found.sort_by_key(|summary| summary.index);
        let found: Vec<ExchangeId> = found.into_iter().map(|summary| summary.id).collect();
        self.noted(&found)?;
        Ok((Arc::new(reader), found))
    }

    /// Has it noted in the book that these are read.
    fn noted(&self, found: &[ExchangeId]) -> Result<(), Failure> {
        let view = View::new(ViewAction::Replay).query(self.what.join(" "));
        self.book.noted(&view.showing(found)).map(drop)
    }

    /// The same, of which there must be some.
    fn selected(&self) -> Result<(Arc<Reader>, Vec<ExchangeId>), Failure> {
        if self.what.is_empty() {
            return Err(Failure::usage(
                "replay what? name a session or an exchange by its id, or write a query; \
                 `tollbook sessions list` tells which there are",
            ));
        }
        let (reader, found) = self.select()?;
        if found.is_empty() {
            return Err(Failure::no("the book has no such exchange"));
        }
        Ok((reader, found))
    }

    fn named(&self, reader: &Reader, id: &str) -> Result<Named, Failure> {
        let exchange = reader.exchange_id(id).map_err(|error| match error.kind() {
            ErrorKind::Id | ErrorKind::Ambiguous => Failure::usage(error.to_string()),
            _ => Failure::unknown("cannot read the book", error),
        })?;
        if let Some(exchange) = exchange {
            return Ok(Named::Exchange(exchange));
        }
        if let Ok(session) = id.parse::<SessionId>() {
            return Ok(Named::Session(session));
        }
        let (book, index) = self.book.search(false)?;
        let session = index
            .session(&book, id)
            .map_err(|error| id_error(&error))?
            .ok_or_else(|| Failure::no(format!("the book has no session and no exchange {id}")))?;
        Ok(Named::Session(session.id))
    }

    /// What masks as the record of this exchange was masked, as far as can be told from the
    /// configuration; without one, by the rules that are built in.
    fn masker(&self, reader: &Reader, one: Option<&ExchangeId>) -> Result<Masker, Failure> {
        let Some((file, config)) = self.book.settings()? else {
            let base = self.profile.as_deref().unwrap_or("default");
            let base: Base = base.parse().map_err(wrong)?;
            return Masker::builtin().profile(base).build().map_err(wrong);
        };
        let record = match one {
            Some(id) => reader.exchange(&id.to_string()),
            None => Ok(None),
        };
        let record = record.map_err(|error| Failure::unknown("cannot read the book", error))?;
        let record = record.unwrap_or_default();
        let of_connection = || {
            let mut all = config.connections.iter();
            let connection = all.find(|one| record["connection"] == *one.name)?;
            let groups = record["principal"]["groups"].as_array();
            let is_in = |names: &Vec<String>| {
                let mut groups = groups.into_iter().flatten();
                groups.any(|group| names.iter().any(|name| *group == **name))
            };
            let mask = &connection.mask;
            let own = mask.groups.iter().find(|(names, _)| is_in(names));
            own.and_then(|(_, own)| own.record.clone())
                .or_else(|| mask.everyone.record.clone())
        };
        let profile = self.profile.clone().or_else(of_connection);
        let profile = profile.as_deref().unwrap_or("default");
        let folder = file.parent().unwrap_or(Path::new("."));
        Plan::masker(&config, folder, env::vars(), profile).map_err(|mistakes| {
            let file = Some(file.clone());
            Failure::usage(Mistakes { file, ..mistakes }.to_string())
        })
    }

    /// The pace, which is this one unless told.
    fn pace(&self, pace: Pace) -> Pace {
        let pace = self.speed.map_or(pace, |speed| pace.speed(speed));
        self.max_pause
            .map_or(pace, |longest| pace.max_pause(longest))
    }

    /// The exit code where something was, or was not, as it was.
    fn code(&self, differs: bool) -> ExitCode {
        ExitCode::from(u8::from(self.fail_on_difference && differs))
    }
}

enum Named {
    Exchange(ExchangeId),
    Session(SessionId),
}

/// Whether a word is an id, or the beginning of one, and not a word to look for.
fn is_id(word: &str) -> bool {
    let digits = word.chars().filter(char::is_ascii_hexdigit).count();
    let known = |c: char| c.is_ascii_hexdigit() || c == '-';
    digits >= 8 && word.len() <= 36 && word.chars().all(known)
}

/// Why something could not be replayed.
fn failed(error: tollbook_replay::Error) -> Failure {
    match error.kind() {
        tollbook_replay::ErrorKind::Address => Failure::usage(error.to_string()),
        _ => Failure::unknown("cannot replay", error),
    }
}

fn wrong(error: impl std::error::Error) -> Failure {
    Failure::usage(error.to_string())
}

fn speed(text: &str) -> Result<f64, String> {
    if text == "max" {
        return Ok(f64::INFINITY);
    }
    let speed: Option<f64> = text.parse().ok();
    speed
        .filter(|speed| *speed > 0.0 && speed.is_finite())
        .ok_or_else(|| "write a number above 0, or max".to_owned())
}

fn time(text: &str) -> Result<Duration, String> {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let number: Option<f64> = number.parse().ok();
    number
        .and_then(|number| Duration::try_from_secs_f64(number * unit).ok())
        .ok_or_else(|| "write a time such as 2s or 500ms".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_from_words() {
        for id in [
            "0199e2a0",
            "0199e2a0-0000-7000-8000-000000000001",
            "deadbeef",
        ] {
            assert!(is_id(id), "{id}");
        }
        for word in ["decade", "since:7d", "0199e2a", "--------", "0199e2a0x"] {
            assert!(!is_id(word), "{word}");
        }
    }

    #[test]
    fn speeds_and_times_are_read() {
        assert_eq!(speed("2"), Ok(2.0));
        assert_eq!(speed("max"), Ok(f64::INFINITY));
        for text in ["0", "-1", "inf", "NaN", "fast"] {
            assert!(speed(text).is_err(), "{text}");
        }
        assert_eq!(time("2s"), Ok(Duration::from_secs(2)));
        assert_eq!(time("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(time("0.5"), Ok(Duration::from_millis(500)));
        for text in ["-1s", "2m", "", "s"] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
