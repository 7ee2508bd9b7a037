//! `tollbook keys`.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Subcommand};
use serde_json::json;
use tollbook_recording::{ErrorKind, KeySource, rotate_keys};

use crate::{
    command::{Configuration, Form},
    exit::Failure,
    print::{self, field},
};

/// The keys that what is recorded is sealed under.
#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    Rotate(Rotate),
}

/// Wrap all keys of the book anew, under a fresh tenant key and a fresh top key.
///
/// Copies of keys.db from before are of no use without the top key that they were wrapped under: so
/// this is what ends the copies of erased keys that lie in backups. Where `[keys]` of the
/// configuration names programs that keep the top key, these wrap the new tenant key, and whatever
/// they keep is theirs to rotate. Keys that are sealed to a recipient stay as they are.
///
/// To move the top key, write the new place into `[keys]` and tell where it `--was`. The gateway must
/// not run meanwhile.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    configuration: Configuration,
    /// The file that the top key was in before, if it moves.
    #[arg(long, value_name = "FILE")]
    was: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

impl Keys {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self {
            Self::Rotate(rotate) => rotate.run(),
        }
    }
}

impl Rotate {
    fn run(self) -> Result<ExitCode, Failure> {
        let (_, config) = self.configuration.read()?;
        let was = self.was.as_ref().map(KeySource::file);
        let rotated = rotate_keys(&config.book(), was.as_ref());
        let scopes = rotated.map_err(|error| match error.kind() {
            ErrorKind::InUse => Failure::no(format!("nothing was done: {error}; stop it first")),
            ErrorKind::KeysMissing => Failure::no(format!("nothing was done: {error}")),
            _ => Failure::unknown("cannot rotate the keys", error),
        })?;
        if self.form.json {
            print::json(&json!({ "scopes": scopes }))?;
        } else {
            print::page(&[field(
                "wrapped anew",
                &format!("the keys of {scopes} scopes"),
            )])?;
            if let Some(was) = &self.was {
                print::aside(&format!("{} is not needed any more", was.display()));
            }
        }
        Ok(ExitCode::SUCCESS)
    }
}
