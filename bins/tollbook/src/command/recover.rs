//! `tollbook recover`.

use std::process::ExitCode;

use clap::Args;
use tollbook_recording::{ErrorKind, recover};

use crate::{
    command::{Configuration, Form},
    exit::Failure,
    print::{self, field},
};

/// Begin a new epoch of a book that cannot be continued.
///
/// A gateway refuses to write on in a book that is older than its anchor, or not the one that was
/// anchored: a copy was put back, or its newest entries are lost. Put the newest copy back first, if
/// there is one.
///
/// If not, this puts the book aside, below its folder, where it can still be read and verified, and
/// begins a new one. Its first entry has the signed heads of both and your reason, so that nobody
/// can say later that there was no gap. The new book has a key of its own: give it to those who
/// verify. The gateway must not run meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Recover {
    #[command(flatten)]
    configuration: Configuration,
    /// Say that you accept what is missing.
    #[arg(long, required = true)]
    accept_gap: bool,
    /// Why, for the record. No names and no secrets: it is kept as it is.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    #[command(flatten)]
    form: Form,
}

impl Recover {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        let (_, config) = self.configuration.read()?;
        let recovered = match recover(&config.book(), &self.reason) {
            Ok(recovered) => recovered,
            Err(error) if *error.kind() == ErrorKind::NothingToRecover => {
                return Err(Failure::no(format!("nothing was done: {error}")));
            }
            Err(error) => return Err(Failure::unknown("cannot begin a new epoch", error)),
        };
        if self.form.json {
            print::json(&recovered)?;
            return Ok(ExitCode::SUCCESS);
        }
        let count = |entries: Option<u64>| match entries {
            Some(entries) => format!("{entries} entries"),
            None => "not known".to_owned(),
        };
        let before = recovered.before.display().to_string();
        print::page(&[
            field("epoch", &recovered.epoch.to_string()),
            field("log", &recovered.log),
            field("key", &recovered.key),
            field("found", &count(recovered.entries)),
            field("anchored", &count(recovered.anchored)),
            field("put aside", &before),
        ])?;
        print::aside(&format!(
            "It can be verified there: tollbook verify --data {before}"
        ));
        Ok(ExitCode::SUCCESS)
    }
}
