//! `tollbook`: the gateway, and the commands that read its book.

mod command;
mod exit;
mod print;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::exit::Failure;

/// The gate between AI agents and the Claude API, with a book that proves what happened.
///
/// Tollbook stands between a client and the API. It verifies who calls, decides what may pass,
/// masks secrets, adds the upstream credential so that the caller never has one, and writes every
/// exchange into a tamper-evident book. The client changes one thing: its base URL.
///
/// Begin with `tollbook quickstart`: it needs no configuration, account or network.
#[derive(Debug, Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Exit codes: 0 fine, 1 the answer is no, 2 wrong use or configuration, \
                  3 could not tell or not reachable."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// What goes with every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The configuration; else $TOLLBOOK_CONFIG, else ./tollbook.toml, else the user's
    /// configuration folder.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "TOLLBOOK_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
    /// Print JSON: one object, or for lists one object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole gateway on this machine, with a stand-in for whatever you do not have.
    Quickstart(command::quickstart::Quickstart),
    /// Run the gateway.
    Serve(command::serve::Serve),
    /// Print what would run, or every mistake of the configuration.
    Check(command::check::Check),
    /// Read the book: list, show or follow exchanges.
    #[command(subcommand)]
    Exchanges(command::exchanges::Exchanges),
    /// Prove that nothing in the book was changed, removed or reordered.
    Verify(command::verify::Verify),
    /// Print a completion script for a shell.
    Completions(command::completions::Completions),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = run(cli);
    match done {
        Ok(code) => code,
        Err(failure) => {
            anstream::eprintln!("{}", print::failure(&failure));
            failure.code()
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Quickstart(quickstart) => command::block_on(quickstart.run(&global)),
        Command::Serve(serve) => command::block_on(serve.run(&global)),
        Command::Check(check) => check.run(&global),
        Command::Exchanges(exchanges) => exchanges.run(&global),
        Command::Verify(verify) => verify.run(&global),
        Command::Completions(completions) => completions.run(),
    }
}
