//! The command line.

use std::{
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use tollbook_ledger::{Quorum, VerifierKey, WitnessKey};
use tollbook_timestamp::Roots;

use crate::{
    check::{Demands, check_with},
    print,
};

/// Check evidence about what AI agents did, offline and alone.
///
/// You were given a folder of records: what an AI agent or a CI job asked a model, what it got, who
/// it was and what was decided. They come out of the book of a Tollbook gateway. This program
/// checks, without a network, without keys and without asking whoever gave you the folder, that
///
///  - each record is, byte for byte, what the gateway signed when it was written (integrity),
///
///  - no record is missing that the folder says it holds, and no session has a gap (completeness),
///
///  - when the gateway did not run, as its heartbeats show (silent),
///
///  - the log was never rewritten since you last saw a checkpoint of it (--checkpoint),
///
///  - witnesses whom you trust saw the same log as you, as far as the records here go (--witness);
///    of what the log has after what they signed, the log's key alone says that none is missing, and
///    the answer says how much that is,
///
///  - the records are as old as they say (--tsa-roots).
///
/// Two things must come from somewhere else than the folder. The gateway's public key (--vkey):
/// without it you learn that the records belong to *some* log. And a checkpoint that you kept from
/// earlier: whoever holds the gateway's secret key could have written another log yesterday. Keep
/// the file `checkpoint` of this folder for next time.
///
/// The records are plain JSON in `records/`. Read them with anything.
#[derive(Debug, Parser)]
#[command(
    name = "tollbook-verify",
    version,
    after_help = "Exit codes: 0 all is shown and well; 1 something is wrong or missing; 2 wrong \
                  use; 3 it cannot be told, such as when the evidence has not what completeness \
                  needs.\n\nFormats: C2SP signed-note, tlog-checkpoint, tlog-tiles and \
                  tlog-proof (https://c2sp.org), RFC 6962. Other programs read them too."
)]
pub struct Command {
    /// The folder of the evidence.
    bundle: PathBuf,
    /// The log's public key, as a file or as its text `name+id+base64`; else the folder's own.
    #[arg(long, value_name = "FILE|TEXT", value_parser = key_from)]
    vkey: Option<VerifierKey>,
    /// A checkpoint of the log that you kept from earlier. May be given more than once.
    #[arg(long, value_name = "FILE")]
    checkpoint: Vec<PathBuf>,
    /// The public key of a witness that counts, `name+id+base64`. May be given more than once.
    #[arg(long, value_name = "KEY", value_parser = witness_from)]
    witness: Vec<WitnessKey>,
    /// How many of them must have signed a checkpoint that all records here are under; else all.
    #[arg(long, value_name = "N", requires = "witness")]
    quorum: Option<usize>,
    /// The roots of the time-stamping authorities that you trust, in PEM. One of them must have given a
    /// time to a checkpoint that all records here are under.
    #[arg(long, value_name = "FILE")]
    tsa_roots: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

impl Command {
    /// Checks, prints, and says how it went.
    pub fn run(self) -> ExitCode {
        match self.checked() {
            Ok(code) => ExitCode::from(code),
            Err((code, message)) => {
                anstream::eprintln!("tollbook-verify: {}", print::inert(&message));
                ExitCode::from(code)
            }
        }
    }

    fn checked(self) -> Result<u8, (u8, String)> {
        let kept = self.checkpoint.iter().map(|file| {
            fs::read_to_string(file)
                .map_err(|error| (2, format!("cannot read {}: {error}", file.display())))
        });
        let kept = kept.collect::<Result<Vec<_>, _>>()?;
        let needed = self.quorum.unwrap_or(self.witness.len());
        let quorum = (!self.witness.is_empty()).then(|| Quorum::new(self.witness.clone(), needed));
        let quorum = quorum
            .transpose()
            .map_err(|error| (2, format!("--witness and --quorum: {error}")))?;
        let roots = self.tsa_roots.as_deref().map(|file| {
            let wrong = |why: String| (2, format!("cannot use {}: {why}", file.display()));
            let pem = fs::read(file).map_err(|error| wrong(error.to_string()))?;
            Roots::from_pem(&pem).map_err(|error| wrong(error.to_string()))
        });
        let demands = Demands {
            key: self.vkey,
            kept,
            quorum,
            tsa_roots: roots.transpose()?,
        };
        let report = check_with(&self.bundle, &demands).map_err(|error| (3, error.to_string()))?;
        let names: Vec<String> = self
            .checkpoint
            .iter()
            .map(|file| file.display().to_string())
            .collect();
        let text = if self.json {
            format!("{}\n", report.to_json(&names))
        } else {
            print::page(&report, &names)
        };
        match anstream::stdout().lock().write_all(text.as_bytes()) {
            // Whoever read has seen enough; the answer is in the exit code.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err((3, format!("cannot write to standard output: {error}")))
            }
            _ => Ok(report.exit_code()),
        }
    }
}

fn witness_from(text: &str) -> Result<WitnessKey, String> {
    text.parse()
        .map_err(|_| "this is no public key of a witness".to_owned())
}

/// The public key that is in the file of this name, or else is this text.
///
/// # Errors
///
/// When it is neither.
pub fn key_from(text: &str) -> Result<VerifierKey, String> {
    let file = Path::new(text);
    let read = if file.is_file() {
        fs::read_to_string(file).map_err(|error| error.to_string())?
    } else {
        text.to_owned()
    };
    let parsed: Result<VerifierKey, _> = read.trim().parse();
    parsed.map_err(|error| format!("neither a file with a public key nor one: {error}"))
}
