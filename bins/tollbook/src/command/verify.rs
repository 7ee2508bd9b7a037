//! `tollbook verify`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use tollbook_gateway::control::{View, ViewAction, note_if_running};
use tollbook_ledger::VerifierKey;
use tollbook_recording::Kept;

use crate::{
    command::{Book, Form},
    exit::Failure,
    print::{self, Tone, field, inert, tone},
};

/// Prove that nothing in the book was changed, removed or reordered.
///
/// Works without the gateway and without a network, on its folder or on a copy. Exit code 0: every
/// record is as it was written. 1: something is not; the faults name the index in the log.
///
/// That the newest records were not cut off together with their signed head, or the book replaced by
/// an older copy, only a checkpoint shows that you kept elsewhere: `--json` prints the newest as
/// `checkpoint`.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    book: Book,
    /// The log's public key, from a source other than the book itself; else the book's own.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// A checkpoint of the book that you kept from earlier. May be given more than once.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    #[command(flatten)]
    form: Form,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let key = self.key.as_deref().map(verifier_key).transpose()?;
        let kept = self.checkpoint.iter().map(|file| kept(file));
        let kept = kept.collect::<Result<Vec<_>, _>>()?;
        let reader = self.book.open()?;
        let report = reader
            .verify_with(key.as_ref(), &kept)
            .map_err(|error| Failure::unknown("cannot verify the book", error))?;
        // It shows no record, and does not change what it checks: a book at rest stays as it is.
        let noted = note_if_running(&self.book.folder()?, &View::new(ViewAction::Verify));
        if let Err(error) = noted {
            print::aside(&inert(&format!("not noted in the book: {error}")));
        }
        if self.form.json {
            print::json(&report)?;
        } else {
            let mut page = print::report(&report);
            for (file, kept) in self.checkpoint.iter().zip(&report.kept) {
                page.push(checkpoint(file, kept));
            }
            print::page(&page)?;
        }
        // A file that is no checkpoint says nothing about the book.
        let unreadable = report.kept.iter().any(|kept| kept.verdict == "unreadable");
        if unreadable && report.verdict == "verified" {
            return Ok(ExitCode::from(3));
        }
        Ok(if report.is_verified() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

fn kept(file: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(file)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))
}

fn checkpoint(file: &Path, kept: &Kept) -> String {
    let meant = if kept.is_consistent() {
        Tone::Good
    } else {
        Tone::Bad
    };
    let size = kept
        .size
        .map_or_else(String::new, |size| format!(" of {size} entries"));
    let name = inert(&file.display().to_string());
    field(
        "checkpoint",
        &format!("{name}{size}\n{}", tone(&inert(&kept.what), meant)),
    )
}

fn verifier_key(file: &Path) -> Result<VerifierKey, Failure> {
    let wrong =
        |why: String| Failure::usage(format!("cannot use the key {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    text.trim()
        .parse()
        .map_err(|error: tollbook_ledger::Error| wrong(error.to_string()))
}
