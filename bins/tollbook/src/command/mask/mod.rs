//! `tollbook mask`.

mod findings;
mod import;
mod lines;
mod list;
mod source;
mod write;

use std::{
    fs::File,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Subcommand, ValueEnum};
use tollbook_masking::Masker;
use zeroize::Zeroizing;

pub(crate) use self::source::own_rules;
use self::{findings::Findings, import::Import, list::List, source::Source, write::Writing};
use crate::exit::Failure;

/// As much is read at once. Nothing waits for more than is there.
const CHUNK: usize = 1 << 20;

/// Mask secrets and personal data in text, or tell where they are.
///
/// Reads standard input, or files one after the other, and writes the text with everything that
/// must not be seen replaced, such as `[REDACTED:github-pat]`. A text may be of any length: it is
/// never held in memory. With --findings it tells where something was found instead, and never what
/// it is.
///
/// Exit code 0: done. 1: with --fail-on-findings, when there were some. 2: wrong use. 3: a file could
/// not be read.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Mask {
    #[command(subcommand)]
    command: Option<More>,
    #[command(flatten)]
    filter: Filter,
}

#[derive(Debug, Subcommand)]
enum More {
    Rules(List),
    Import(Import),
}

#[derive(Debug, Args)]
struct Filter {
    /// What to read; `-` is standard input, and so is nothing.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    source: Source,
    /// Tell where something was found, a line each, instead of the text. Offsets and columns count
    /// bytes; lines and columns begin at 1, offsets at 0.
    #[arg(long)]
    findings: bool,
    /// Print findings as JSON, one object a line.
    #[arg(long, requires = "findings")]
    json: bool,
    /// How to read: files whose names end in .json or .jsonl as what they are, everything else as
    /// text, unless told. A document is held in memory until it has ended, up to 256 MiB; a
    /// larger one is read as text.
    #[arg(long, value_name = "FORMAT")]
    format: Option<Format>,
    /// End with exit code 1 when something was found.
    #[arg(long)]
    fail_on_findings: bool,
    /// Read so many bytes at once.
    #[arg(long, value_name = "BYTES", hide = true, default_value_t = CHUNK,
          value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..))]
    chunk: usize,
}

/// How a text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Text of any kind.
    Text,
    /// One JSON document, by its structure.
    Json,
    /// A JSON document on each line.
    Jsonl,
    /// The events of an answer, put together.
    Sse,
}

impl Mask {
    pub(crate) fn run(self) -> Result<ExitCode, Failure> {
        match self.command {
            Some(More::Rules(list)) => list.run(),
            Some(More::Import(import)) => import.run(),
            None => self.filter.run(),
        }
    }
}

impl Filter {
    fn run(self) -> Result<ExitCode, Failure> {
        let masker = self.source.masker()?;
        let mut files = self.files.clone();
        if files.is_empty() {
            files.push("-".into());
        }
        let mut found = false;
        for file in &files {
            found |= self.file(&masker, file)?;
        }
        Ok(ExitCode::from(u8::from(self.fail_on_findings && found)))
    }

    /// Goes through a file and tells whether something was found.
    fn file(&self, masker: &Masker, file: &Path) -> Result<bool, Failure> {
        let format = self.format.unwrap_or_else(|| Format::of(file));
        let is_stdin = file == Path::new("-");
        let unreadable =
            |error| Failure::unknown(&format!("cannot read {}", file.display()), error);
        let mut input: Box<dyn Read> = if is_stdin {
            Box::new(io::stdin().lock())
        } else {
            Box::new(File::open(file).map_err(unreadable)?)
        };
        let name = (!is_stdin).then_some(file);
        let mut sink: Box<dyn Sink> = if self.findings {
            Box::new(Findings::new(masker, format, name, self.json))
        } else {
            Box::new(Writing::new(masker, format))
        };
        // What is read here is what must not be seen.
        let mut chunk = Zeroizing::new(vec![0; self.chunk]);
        loop {
            let count = match input.read(&mut chunk) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(unreadable(error)),
            };
            sink.push(&chunk[..count])?;
        }
        sink.finish()
    }
}

impl Format {
    fn of(file: &Path) -> Self {
        match file.extension().and_then(|ending| ending.to_str()) {
            Some("json") => Self::Json,
            Some("jsonl" | "ndjson") => Self::Jsonl,
            _ => Self::Text,
        }
    }

    /// The type under which a body of this kind goes over HTTP.
    const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain",
            Self::Json => "application/json",
            Self::Jsonl => "application/x-jsonl",
            Self::Sse => "text/event-stream",
        }
    }
}

/// Where what was read goes.
trait Sink {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Failure>;

    /// The text has ended. Tells whether something was found in it.
    fn finish(&mut self) -> Result<bool, Failure>;
}

/// Writes to standard output. Whoever read it may have seen enough.
fn write(bytes: &[u8]) -> Result<(), Failure> {
    match io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::unknown("cannot write to standard output", error)),
    }
}

/// Writes what is left in the buffer of standard output.
fn flush() -> Result<(), Failure> {
    match io::stdout().lock().flush() {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        other => other.map_err(|error| Failure::unknown("cannot write to standard output", error)),
    }
}

/// A stream that cannot be read as what it should be.
fn unmaskable(error: impl std::error::Error) -> Failure {
    Failure::unknown("cannot mask the rest", error)
}
