//! `tollbook export`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use tollbook_exchange::{SessionId, Timestamp};
use tollbook_ledger::evidence::Selection;
use tollbook_recording::{Error, ErrorKind, EvidenceOptions, Reader};

use crate::{
    command::{
        Book, Form,
        exchanges::{hint, since},
    },
    exit::Failure,
    print::{self, field, heading, inert},
};

/// Write records out of the book, for others.
#[derive(Debug, Subcommand)]
pub(crate) enum Export {
    Evidence(Evidence),
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
        match self {
            Self::Evidence(evidence) => evidence.run(),
        }
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
