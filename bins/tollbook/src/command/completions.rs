//! `tollbook completions`.

use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

use crate::{Cli, exit::Failure};

/// Print a completion script for a shell.
#[derive(Debug, Args)]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        generate(
            self.shell,
            &mut Cli::command(),
            "tollbook",
            &mut std::io::stdout(),
        );
        Ok(ExitCode::SUCCESS)
    }
}
