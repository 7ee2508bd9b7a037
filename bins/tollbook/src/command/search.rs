//! `tollbook search`.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use jiff::tz::TimeZone;
use serde_json::json;
use tollbook_exchange::Timestamp;
use tollbook_gateway::{
    control::{self, View, ViewAction},
    digest_key,
};
use tollbook_search::{Clock, ErrorKind, FieldKind, Index, Query, Snippet, fields};
use zeroize::Zeroizing;

use crate::{
    command::{
        Book, Form,
        exchanges::{COLUMNS, cells, hint, since},
        search_failed,
    },
    exit::Failure,
    print::{self, Table, Tone, heading, inert, local, tone},
};

/// Find exchanges by what was said in them, and by who, what, when and what became of it.
///
/// A query is a list of terms that must all be true:
///
///   tollbook search principal.repository:acme/api tool:Bash "drop table" since:7d verdict:deny
///
/// Words and "quoted phrases" are looked for in prompts, answers, thoughts, tool inputs and results,
/// as they were masked. `field:value` takes `*` for any text and commas between alternatives; numbers
/// take >, >=, <, <= and `least..most`, as in `tokens:>10k`; `-` before a term turns it round.
/// `--fields` tells all fields. A query that was kept with `--save NAME` is `@NAME` in others.
///
/// A text is found at the exchange that brought it, not at each later one of the session that sends
/// it again. Searching keeps an index, `search.db`, beside the book, and takes in what is new first.
///
/// `--secret` answers whether a key that has leaked was ever seen, though the book has it nowhere:
/// where a secret is masked, a keyed digest of it is left, the same however it was written.
///
/// Each search, and each other look at the book, is noted in it, on the connection `(book)`; those
/// are found with `connection:(book)` or `--all`.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Search {
    /// The query; without one, everything.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    #[command(flatten)]
    book: Book,
    /// At most so many, newest first.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Begun since then: an RFC 3339 time, or so long ago as `90s`, `15m`, `2h` or `7d`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Go on after the exchange with this `index`: that of the last one of the page before.
    #[arg(long, value_name = "INDEX")]
    cursor: Option<String>,
    /// Find those too who looked at the book, on the connection `(book)`.
    #[arg(long)]
    all: bool,
    /// Find the exchanges in which exactly the secret was masked that this file holds, or standard
    /// input with `-`. Exit code 1: there is none.
    #[arg(long, value_name = "FILE")]
    secret: Option<PathBuf>,
    /// Make the index anew first.
    #[arg(long)]
    rebuild: bool,
    /// Keep the query under this name; `@NAME` is it in any query.
    #[arg(long, value_name = "NAME")]
    save: Option<String>,
    /// Keep the query of this name no longer, and do nothing else.
    #[arg(long, value_name = "NAME")]
    unsave: Option<String>,
    /// Tell the saved searches, and do nothing else.
    #[arg(long)]
    saved: bool,
    /// Tell the fields that queries have, and do nothing else.
    #[arg(long)]
    fields: bool,
    #[command(flatten)]
    form: Form,
}

impl Search {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        if self.fields {
            return self.tell_fields();
        }
        if self.saved {
            return self.tell_saved();
        }
        if let Some(name) = &self.unsave {
            return match self.book.saved()?.forget(name).map_err(not_saved)? {
                true => Ok(ExitCode::SUCCESS),
                false => Err(Failure::no(format!("there is no saved search {name}"))),
            };
        }
        let query = query(&self.query, &self.book)?;
        if let Some(name) = &self.save {
            self.book.saved()?.keep(name, &query).map_err(not_saved)?;
        }
        let query = match self.since {
            Some(since) => query.since(since),
            None => query,
        };
        let asked = query.to_string();
        let query = match &self.secret {
            Some(file) => query.and(self.secret(file)?),
            None => query,
        };
        let query = without_views(query, self.all)?;
        let (book, index) = self.book.search(self.rebuild)?;
        tell_forgotten(&index, &query)?;
        let page = index
            .find(&book, &query, &clock(), self.limit, self.cursor.as_deref())
            .map_err(|error| match error.kind() {
                ErrorKind::Cursor => Failure::usage(error.to_string()),
                _ => search_failed(error),
            })?;
        let found = page.hits.iter().map(|hit| hit.summary.id);
        let action = match self.secret {
            Some(_) => ViewAction::Secret,
            None => ViewAction::Search,
        };
        self.book
            .noted(&View::new(action).query(asked).showing(found))?;
        let unseen = self.secret.is_some() && page.hits.is_empty();
        if unseen {
            self.unsure(&index)?;
        }
        let code = ExitCode::from(u8::from(unseen));
        if self.form.json {
            page.hits.iter().try_for_each(print::json)?;
            return Ok(code);
        }
        let mut table = Table::new(&COLUMNS);
        let rows = page.hits.iter().map(|hit| cells(&hit.summary));
        rows.for_each(|row| table.row(row));
        let mut lines = table.lines().into_iter();
        let mut shown: Vec<String> = lines.next().into_iter().collect();
        for (line, hit) in lines.zip(&page.hits) {
            shown.push(line);
            shown.extend(hit.snippets.iter().map(snippet));
        }
        print::page(&shown)?;
        match (&page.cursor, page.hits.first()) {
            (Some(cursor), _) => hint(&format!("there is more: --cursor {cursor}")),
            (None, Some(newest)) => hint(&format!("tollbook exchanges show {}", newest.summary.id)),
            (None, None) if unseen => hint("it was masked nowhere here"),
            (None, None) => hint("nothing like this; `tollbook search --fields` tells what to ask"),
        }
        Ok(code)
    }

    /// The query for a secret, by what the gateway has left of it where it masked it.
    fn secret(&self, file: &Path) -> Result<Query, Failure> {
        let unreadable = |error| Failure::unknown("cannot read the secret", error);
        let mut secret = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 1));
        let most = MAX_SECRET as u64 + 1;
        if file == Path::new("-") {
            let input = io::stdin().lock();
            input
                .take(most)
                .read_to_end(&mut secret)
                .map_err(unreadable)?;
        } else {
            let file = File::open(file).map_err(unreadable)?;
            file.take(most)
                .read_to_end(&mut secret)
                .map_err(unreadable)?;
        }
        if secret.len() > MAX_SECRET || secret.trim_ascii().is_empty() {
            let wrong = "that is no secret: it is empty, or longer than 64 KiB";
            return Err(Failure::usage(wrong));
        }
        let key = digest_key(&self.book.folder()?).map_err(|error| {
            Failure::unknown(
                "cannot look for a secret without the key of the digests, state.key, that the \
                 gateway has in its folder",
                error,
            )
        })?;
        let digests = self.book.masker()?.digests_of(&key, &secret);
        let any: Vec<String> = digests.iter().map(ToString::to_string).collect();
        read(&[format!("secret:{}", any.join(","))], &BTreeMap::new())
    }

    /// Says so where not all secrets can be found.
    fn unsure(&self, index: &Index) -> Result<(), Failure> {
        let more = read(&["secret:more".to_owned()], &BTreeMap::new())?;
        let cut = index
            .indexes(&more, &clock(), 1, None)
            .map_err(search_failed)?;
        if !cut.is_empty() {
            print::aside(
                "of some exchanges not all digests are there, because they had more secrets than are \
                 kept or are damaged: secret:more",
            );
        }
        Ok(())
    }

    fn tell_saved(&self) -> Result<ExitCode, Failure> {
        let all = self.book.saved()?.all().map_err(not_saved)?;
        if self.form.json {
            let mut all = all.iter();
            all.try_for_each(|(name, query)| {
                print::json(&json!({ "name": name, "query": query }))
            })?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&["NAME", "QUERY"]);
        for (name, query) in &all {
            table.row(vec![
                (inert(name), Tone::Plain),
                (inert(query), Tone::Plain),
            ]);
        }
        print::page(&table.lines())?;
        Ok(ExitCode::SUCCESS)
    }

    fn tell_fields(&self) -> Result<ExitCode, Failure> {
        if self.form.json {
            fields().iter().try_for_each(print::json)?;
            return Ok(ExitCode::SUCCESS);
        }
        let mut table = Table::new(&["FIELD", "SHORT", "VALUES", "WHAT IT IS"]);
        for field in fields() {
            table.row(vec![
                (field.name.to_owned(), Tone::Plain),
                (field.short.unwrap_or_default().to_owned(), Tone::Plain),
                (values(field.kind).to_owned(), Tone::Aside),
                (field.about.to_owned(), Tone::Plain),
            ]);
        }
        let mut lines = table.lines();
        lines.push(String::new());
        lines.push(heading("principal.NAME is any claim of the caller."));
        print::page(&lines)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Says so where not all texts can be found, because the retention of the index has let words go.
pub(super) fn tell_forgotten(index: &Index, query: &Query) -> Result<(), Failure> {
    if !query.reads_text() {
        return Ok(());
    }
    if let Some(until) = index.forgotten_until().map_err(search_failed)? {
        print::aside(&format!(
            "what was said until {} may not be found: the index has let words go, as [retention] says; \
             the book has them",
            local(&until.to_string())
        ));
    }
    Ok(())
}

/// The longest secret that is looked for: the longest private key has a quarter of it.
const MAX_SECRET: usize = 64 << 10;

/// The arguments of the program, with those terms last, after `--`, that begin with a hyphen: to the
/// parser of arguments they would be flags. Commands that take no query are left alone.
pub(crate) fn terms_last(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let takes_queries = |name: &OsString| {
        ["search", "exchanges", "sessions", "export", "replay"]
            .iter()
            .any(|one| name == one)
    };
    if !arguments.get(1).is_some_and(takes_queries) || arguments.iter().any(|one| one == "--") {
        return arguments;
    }
    let is_term = |argument: &OsString| {
        let text = argument.to_string_lossy();
        let rest = text.strip_prefix('-').unwrap_or_default();
        // No flag of one letter takes a value, and no others have one hyphen.
        rest.len() > 1 && !rest.starts_with('-')
    };
    let terms: Vec<OsString> = arguments.extract_if(.., |one| is_term(one)).collect();
    if !terms.is_empty() {
        arguments.push("--".into());
        arguments.extend(terms);
    }
    arguments
}

/// The query that the arguments make.
///
/// One argument is a whole query. Of several, each is a term: what the shell has taken the quotes
/// from gets them back.
///
/// What goes by a name in it is looked up beside the book.
pub(super) fn query(arguments: &[String], book: &Book) -> Result<Query, Failure> {
    let saved = if arguments.iter().any(|argument| argument.contains('@')) {
        book.saved()?.all().map_err(not_saved)?
    } else {
        BTreeMap::new()
    };
    read(arguments, &saved)
}

fn read(arguments: &[String], saved: &BTreeMap<String, String>) -> Result<Query, Failure> {
    let text = match arguments {
        [whole] => whole.clone(),
        several => several
            .iter()
            .map(|one| term(one))
            .collect::<Vec<_>>()
            .join(" "),
    };
    let saved = |name: &str| saved.get(name).and_then(|query| query.parse().ok());
    Query::parse(&text, &saved).map_err(|error| {
        // The place is shown under what was understood, for it may differ from what was typed.
        let mark = format!("{}^", " ".repeat(error.at()));
        let line = text.replace(char::is_whitespace, " ");
        Failure::usage(format!("cannot read the query {error}\n  {line}\n  {mark}"))
    })
}

fn not_saved(error: tollbook_search::Error) -> Failure {
    match error.kind() {
        ErrorKind::Name => Failure::usage(error.to_string()),
        _ => Failure::unknown("cannot use the saved searches", error),
    }
}

fn term(argument: &str) -> String {
    if !argument.contains(char::is_whitespace) || argument.contains('"') {
        return argument.to_owned();
    }
    let argument = &argument.replace('\\', "\\\\");
    match argument.split_once(':') {
        Some((field, value)) if !field.contains(char::is_whitespace) => {
            format!("{field}:\"{value}\"")
        }
        _ => match argument.strip_prefix('-') {
            Some(rest) => format!("-\"{rest}\""),
            None => format!("\"{argument}\""),
        },
    }
}

/// The same query, without those who looked at the book unless it asks for them: each look would
/// find the one before.
pub(super) fn without_views(query: Query, all: bool) -> Result<Query, Failure> {
    if all || query.names("connection") {
        return Ok(query);
    }
    let others = format!("-connection:{}", control::CONNECTION);
    Ok(query.and(read(&[others], &BTreeMap::new())?))
}

/// Now, with days that begin here.
pub(super) fn clock() -> Clock {
    Clock::new(Timestamp::now(), TimeZone::system())
}

fn snippet(snippet: &Snippet) -> String {
    let line = |text: &str| {
        let line = text.replace(char::is_whitespace, " ");
        inert(&line)
    };
    format!(
        "    {} {}{}{}",
        tone(snippet.place, Tone::Aside),
        line(&snippet.before),
        heading(&line(&snippet.found)),
        line(&snippet.after)
    )
}

const fn values(kind: FieldKind) -> &'static str {
    match kind {
        FieldKind::Word => "word",
        FieldKind::Text => "text",
        FieldKind::Count => "number, 10k",
        FieldKind::Bytes => "bytes, 64kb",
        FieldKind::Duration => "2.5s, 3m",
        FieldKind::Dollars => "dollars",
        FieldKind::Time => "7d, date, time",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_begin_with_a_hyphen_are_no_flags() {
        let sorted = |line: &str| {
            let arguments = line.split(' ').map(OsString::from);
            let sorted = terms_last(arguments).join(" ".as_ref());
            sorted.to_string_lossy().into_owned()
        };
        for (typed, meant) in [
            (
                "t search -verdict:allow --json a",
                "t search --json a -- -verdict:allow",
            ),
            ("t search -h", "t search -h"),
            ("t search -a -- -b", "t search -a -- -b"),
            ("t verify -ab", "t verify -ab"),
        ] {
            assert_eq!(sorted(typed), meant);
        }
    }

    #[test]
    fn quotes_that_the_shell_took_come_back() {
        let read = |arguments: &[&str]| {
            let arguments: Vec<String> = arguments.iter().map(|one| (*one).to_owned()).collect();
            super::read(&arguments, &BTreeMap::new()).map(|query| query.to_string())
        };
        let is = |arguments: &[&str], text: &str| {
            assert_eq!(read(arguments).ok().as_deref(), Some(text), "{arguments:?}");
        };
        is(&["tool:Bash \"drop table\""], "tool:bash \"drop table\"");
        is(&["tool:Bash", "drop table"], "tool:bash \"drop table\"");
        is(
            &["a", "prompt:drop table", "-no way"],
            "a prompt:\"drop table\" -\"no way\"",
        );
        is(&["drop table"], "drop table");
        is(&[], "");
        let Err(Failure::Usage(message)) = read(&["a", "verdit:deny"]) else {
            panic!("read");
        };
        assert!(
            message.ends_with("did you mean `verdict`?\n  a verdit:deny\n    ^"),
            "{message}"
        );
    }
}
