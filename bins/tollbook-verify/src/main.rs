//! `tollbook-verify`: checks evidence out of a book.

use std::process::ExitCode;

use clap::Parser;
use tollbook_verify::Command;

fn main() -> ExitCode {
    Command::parse().run()
}
