//! `tollbook verify`.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use tollbook_ledger::VerifierKey;

use crate::{
    command::{Book, Form},
    exit::Failure,
    print,
};

/// Prove that nothing in the book was changed, removed or reordered.
///
/// Works without the gateway and without a network, on its folder or on a copy. Exit code 0: every
/// record is as it was written. 1: something is not; the faults name the index in the log.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    book: Book,
    /// The log's public key, from a source other than the book itself; else the book's own.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

impl Verify {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let key = self.key.as_deref().map(verifier_key).transpose()?;
        let reader = self.book.open()?;
        let report = reader
            .verify(key.as_ref())
            .map_err(|error| Failure::unknown("cannot verify the book", error))?;
        if self.form.json {
            print::json(&report)?;
        } else {
            print::page(&print::report(&report))?;
        }
        Ok(if report.is_verified() {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(1)
        })
    }
}

fn verifier_key(file: &Path) -> Result<VerifierKey, Failure> {
    let wrong =
        |why: String| Failure::usage(format!("cannot use the key {}: {why}", file.display()));
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    text.trim()
        .parse()
        .map_err(|error: tollbook_ledger::Error| wrong(error.to_string()))
}
