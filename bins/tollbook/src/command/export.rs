//! `tollbook export`.

use std::{
    error::Error as _,
    fs::{self, File},
    io::{self, BufWriter, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use clap::{Args, Subcommand};
use tollbook_exchange::{SessionId, Timestamp};
use tollbook_gateway::control::{View, ViewAction};
use tollbook_ledger::evidence::Selection;
use tollbook_recording::{Error, ErrorKind, EvidenceOptions, Reader};
use tollbook_search::{ExportOptions, Format};

use crate::{
    command::{
        Book, Form,
        exchanges::{hint, since},
        search::{clock, query, tell_forgotten},
    },
    exit::Failure,
    print::{self, field, heading, inert},
};

/// Write records out of the book, for others: what a query takes, in a form that other programs
/// read, oldest first.
///
/// jsonl has everything, an exchange a line, as `exchanges show --json` has it; csv is for
/// spreadsheets and has nothing of what was said; har is an HTTP archive; ocsf has events of the Open
/// Cybersecurity Schema Framework 1.8 for a SIEM; otlp has spans of OpenTelemetry with attributes for
/// generative AI, for a collector; parquet is a table for programs that analyse data. `tollbook search
/// --help` tells how to ask.
///
/// `--after` goes on where an export ended: what it wrote last is told on standard error.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Export {
    #[command(subcommand)]
    evidence: Option<With>,
    #[command(flatten)]
    records: Records,
}

/// What is written with proofs.
#[derive(Debug, Subcommand)]
enum With {
    Evidence(Evidence),
}

/// Records without proofs.
#[derive(Debug, Args)]
struct Records {
    /// The query; without one, everything.
    #[arg(value_name = "QUERY")]
    query: Vec<String>,
    #[command(flatten)]
    book: Book,
    /// The form: jsonl, csv, har, ocsf, otlp or parquet.
    #[arg(long, value_name = "FORMAT", default_value = "jsonl")]
    format: Format,
    /// The file to write, which must not be there; else standard output.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Leave out what was said: the bodies of requests and answers, and the input of tool calls.
    #[arg(long)]
    without_contents: bool,
    /// Only exchanges after this index in the log.
    #[arg(long, value_name = "INDEX")]
    after: Option<u64>,
}

/// Write records with proofs into a folder that an auditor can check offline.
///
/// Whoever gets the folder needs nothing but the program `tollbook-verify`: no gateway, no database,
/// no key. It shows that the records are what the gateway signed, and that none was left out of what
/// was asked for. Give them the log's public key (`log.vkey`) on another way than the folder.
///
/// Works on a running gateway's folder or on a copy. Without a filter, everything is written.
#[derive(Debug, Args)]
pub(crate) struct Evidence {
    /// The folder to write; it must be empty or not there.
    #[arg(value_name = "FOLDER")]
    to: PathBuf,
    #[command(flatten)]
    book: Book,
    /// Only this exchange: its id, or the first eight or more digits of it. May be given more than
    /// once.
    #[arg(long, value_name = "ID")]
    exchange: Vec<String>,
    /// Only exchanges of this session.
    #[arg(long, value_name = "ID")]
    session: Option<SessionId>,
    /// Only what was asked since then: an RFC 3339 time, or so long ago as `90s`, `15m`, `2h` or
    /// `7d`.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    since: Option<Timestamp>,
    /// Only what was asked before.
    #[arg(long, value_name = "WHEN", value_parser = since)]
    until: Option<Timestamp>,
    /// Leave out the leaves of other exchanges: nobody sees when and how often the gate was used,
    /// and nobody can see that no record was left out.
    #[arg(long)]
    without_leaves: bool,
    /// Leave out the bodies of requests and answers, all but their digests.
    #[arg(long)]
    without_contents: bool,
    #[command(flatten)]
    form: Form,
}

impl Export {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.evidence {
            Some(With::Evidence(evidence)) => evidence.run(),
            None => self.records.run(),
        }
    }
}

impl Records {
    fn run(self) -> Result<ExitCode, Failure> {
        let query = query(&self.query, &self.book)?;
        if self.to.is_none() && !self.format.is_text() && io::stdout().is_terminal() {
            return Err(Failure::usage(format!(
                "{} is no text for a terminal; name a file with --to",
                self.format
            )));
        }
        let mut options = ExportOptions::new(self.format);
        options.contents = !self.without_contents;
        options.after = self.after;
        let (book, index) = self.book.search(false)?;
        tell_forgotten(&index, &query)?;
        let view = View::new(ViewAction::Export)
            .query(query.to_string())
            .format(self.format.to_string());
        let noted = self.book.noted(&view.kept_open())?;
        let exported = match &self.to {
            None => {
                let out = io::stdout().lock();
                let mut out = BufWriter::new(out);
                index.export(&book, &query, &clock(), &options, &mut out)
            }
            Some(file) => {
                let mut out = BufWriter::new(self.file(file)?);
                let exported = index.export(&book, &query, &clock(), &options, &mut out);
                if exported.is_err() {
                    // Part of an export looks like all of one.
                    drop(fs::remove_file(file));
                }
                exported
            }
        };
        let exported = exported.map_err(|error| {
            let is_pipe = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
            let cause = error.source().and_then(|cause| cause.downcast_ref());
            if cause.is_some_and(is_pipe) {
                // Whoever read has seen enough.
                std::process::exit(0);
            }
            Failure::unknown("cannot export", error)
        })?;
        // What was written is out; that it is told so is all that is missing.
        if let Err(error) = noted.shown(exported.exchanges) {
            print::aside(&inert(&format!(
                "in the book this export broke off: {error}"
            )));
        }
        let mut told = format!("{} exchanges", exported.exchanges);
        if exported.left_out > 0 {
            told.push_str(&format!(
                ", {} left out that were no call over HTTP",
                exported.left_out
            ));
        }
        if let Some(last) = exported.last {
            told.push_str(&format!("; go on with --after {last}"));
        }
        print::aside(&told);
        Ok(ExitCode::SUCCESS)
    }

    /// A new file, for its owner alone: what is in it came out of the book.
    fn file(&self, path: &Path) -> Result<File, Failure> {
        let mut options = File::options();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options
            .open(path)
            .map_err(|error| Failure::unknown(&format!("cannot write {}", path.display()), error))
    }
}

impl Evidence {
    fn run(self) -> Result<ExitCode, Failure> {
        let reader = self.book.open()?;
        let mut options = EvidenceOptions::default();
        options.selection = self.selection(&reader)?;
        options.leaves = !self.without_leaves;
        options.contents = !self.without_contents;
        options.writer = concat!("tollbook ", env!("CARGO_PKG_VERSION")).to_owned();
        let view = View::new(ViewAction::Evidence).query(self.asked());
        let noted = self.book.noted(&view)?;
        if let Some(view) = noted.exchange() {
            closed(&reader, &view.to_string());
        }
        let written = reader
            .evidence(None, &options, &self.to)
            .map_err(|error| self.failed(error))?;
        if self.form.json {
            print::json(&written)?;
            return Ok(ExitCode::SUCCESS);
        }
        let open = match written.open {
            0 => String::new(),
            open => format!(", {open} without an outcome yet"),
        };
        print::page(&[
            heading(&inert(&self.to.display().to_string())),
            field(
                "records",
                &format!(
                    "{} of {} exchanges{open}",
                    written.records, written.exchanges
                ),
            ),
            field(
                "log",
                &format!("{}, {} entries", inert(&written.origin), written.size),
            ),
            field("key", &inert(&written.key)),
            field(
                "written",
                &format!("{} files, {} bytes", written.files, written.bytes),
            ),
        ])?;
        hint(&format!("tollbook-verify {}", self.to.display()));
        Ok(ExitCode::SUCCESS)
    }

    /// What was asked for, as a query would say it.
    fn asked(&self) -> String {
        let ids = self.exchange.iter().map(|id| format!("id:{id}"));
        let session = self.session.map(|session| format!("session:{session}"));
        let since = self.since.map(|since| format!("started:>={since}"));
        let until = self.until.map(|until| format!("started:<{until}"));
        let all = ids.chain(session).chain(since).chain(until);
        all.collect::<Vec<_>>().join(" ")
    }

    fn selection(&self, reader: &Reader) -> Result<Selection, Failure> {
        let mut selection = Selection {
            session: self.session.map(|session| *session.as_bytes()),
            since: self.since.map(Timestamp::as_micros),
            until: self.until.map(Timestamp::as_micros),
            ..Selection::default()
        };
        for id in &self.exchange {
            let found = reader
                .exchange_id(id)
                .map_err(|error| match error.kind() {
                    ErrorKind::Id | ErrorKind::Ambiguous => Failure::usage(error.to_string()),
                    _ => Failure::unknown("cannot read the book", error),
                })?
                .ok_or_else(|| Failure::no(format!("the book has no exchange {id}")))?;
            selection.exchanges.insert(*found.as_bytes());
        }
        Ok(selection)
    }

    fn failed(&self, error: Error) -> Failure {
        match error.kind() {
            ErrorKind::Corrupt => Failure::no(
                "the book does not fit what was signed, so nothing in it can be proven; \
                 `tollbook verify` tells where",
            ),
            ErrorKind::Evidence => {
                Failure::unknown(&format!("cannot write {}", self.to.display()), error)
            }
            _ => Failure::unknown("cannot read the book", error),
        }
    }
}

/// Waits until the view has an outcome in the book, which comes right behind it: evidence would tell
/// of it as of an exchange that is under way.
fn closed(reader: &Reader, view: &str) {
    const TIMES: u32 = 100;

    for _ in 0..TIMES {
        let found = reader.exchange(view).ok().flatten();
        if found.is_none_or(|view| view["outcome"].is_string()) {
            return;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
