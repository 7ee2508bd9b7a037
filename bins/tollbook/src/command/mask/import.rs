//! `tollbook mask import`.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use tollbook_masking::Masker;

use super::{source::read, write};
use crate::{
    exit::Failure,
    print::{self, inert},
};

/// Turn a file of rules in the form of gitleaks into rules for --rules.
///
/// The rules go to standard output. What is different in them, what could not be kept and why goes
/// to standard error. The licence of the file goes with its rules.
#[derive(Debug, Args)]
pub(super) struct Import {
    /// The file, such as gitleaks.toml.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

impl Import {
    pub(super) fn run(self) -> Result<ExitCode, Failure> {
        let text = read(&self.file)?;
        let name = self.file.display().to_string();
        let imported = Masker::import_gitleaks(&name, &text)
            .map_err(|error| Failure::usage(error.to_string()))?;
        write(imported.rules.as_bytes())?;
        for kept in &imported.kept {
            for change in &kept.changes {
                print::aside(&format!(
                    "changed   {}: {}",
                    inert(&kept.from),
                    inert(change)
                ));
            }
        }
        for left in &imported.left_out {
            let (id, reason) = (inert(&left.id), inert(&left.reason));
            print::aside(&format!("left out  {id} (line {}): {reason}", left.line));
        }
        print::aside(&format!(
            "{} rules kept, {} left out",
            imported.kept.len(),
            imported.left_out.len()
        ));
        Ok(ExitCode::SUCCESS)
    }
}
