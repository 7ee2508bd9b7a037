//! `tollbook`: the gateway, and the commands that read its book.

mod command;
mod exit;
mod memory;
mod print;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    #[command(subcommand)]
    command: Command,
}

// What the help says of a command stands at its type; a comment here would take its place.
#[derive(Debug, Subcommand)]
enum Command {
    Quickstart(command::quickstart::Quickstart),
    Serve(command::serve::Serve),
    Check(command::check::Check),
    #[command(subcommand)]
    Exchanges(command::exchanges::Exchanges),
    #[command(subcommand)]
    Sessions(command::sessions::Sessions),
    Search(command::search::Search),
    Why(command::why::Why),
    Replay(command::replay::Replay),
    #[command(subcommand)]
    Approvals(command::approvals::Approvals),
    #[command(subcommand)]
    Policy(command::policy::Policy),
    #[command(subcommand)]
    Token(command::token::Token),
    Connect(command::connect::Connect),
    Mask(command::mask::Mask),
    Doctor(command::doctor::Doctor),
    Verify(command::verify::Verify),
    Recover(command::recover::Recover),
    #[command(subcommand)]
    Hold(command::hold::Hold),
    Erase(command::erase::Erase),
    #[command(subcommand)]
    Retention(command::retention::Retention),
    #[command(subcommand)]
    Keys(command::keys::Keys),
    Export(command::export::Export),
    #[command(subcommand)]
    Witness(command::witness::Witness),
    #[command(subcommand)]
    Sinks(command::sinks::Sinks),
    Completions(command::completions::Completions),
}

fn main() -> ExitCode {
    let cli = Cli::parse_from(command::search::terms_last(std::env::args_os()));
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
    match cli.command {
        Command::Quickstart(quickstart) => command::block_on(quickstart.run()),
        Command::Serve(serve) => command::block_on(serve.run()),
        // What announces approvals is built on the runtime, also where it is only looked at.
        Command::Check(check) => command::block_on(async { check.run() }),
        Command::Exchanges(exchanges) => exchanges.run(),
        Command::Sessions(sessions) => sessions.run(),
        Command::Search(search) => search.run(),
        Command::Why(why) => why.run(),
        Command::Replay(replay) => command::block_on(replay.run()),
        Command::Approvals(approvals) => command::block_on(approvals.run()),
        Command::Policy(policy) => command::block_on(policy.run()),
        Command::Token(token) => command::block_on(token.run()),
        Command::Connect(connect) => command::block_on(connect.run()),
        Command::Mask(mask) => mask.run(),
        Command::Doctor(doctor) => command::block_on(doctor.run()),
        Command::Verify(verify) => verify.run(),
        Command::Recover(recover) => recover.run(),
        Command::Hold(hold) => hold.run(),
        Command::Erase(erase) => erase.run(),
        Command::Retention(retention) => retention.run(),
        Command::Keys(keys) => keys.run(),
        Command::Export(export) => export.run(),
        Command::Witness(witness) => witness.run(),
        Command::Sinks(sinks) => sinks.run(),
        Command::Completions(completions) => completions.run(),
    }
}
