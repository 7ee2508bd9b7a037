//! The commands, one a file.

pub(crate) mod approvals;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod exchanges;
pub(crate) mod export;
pub(crate) mod mask;
pub(crate) mod policy;
pub(crate) mod quickstart;
pub(crate) mod recover;
pub(crate) mod remote;
pub(crate) mod serve;
pub(crate) mod token;
pub(crate) mod verify;

use std::{
    env,
    future::Future,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::{AutoStream, ColorChoice};

use clap::Args;
use tollbook_gateway::config::{Config, Mistakes};
use tollbook_recording::{ErrorKind, Reader};
use tracing_subscriber::EnvFilter;

use crate::exit::Failure;

/// The variable that says what is logged.
const LOG: &str = "TOLLBOOK_LOG";

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Form {
    /// Print JSON: one object, or for lists one object a line.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which configuration goes with a command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Configuration {
    /// The configuration; else $TOLLBOOK_CONFIG, else ./tollbook.toml, else the user's
    /// configuration folder.
    #[arg(
        long,
        value_name = "FILE",
        env = "TOLLBOOK_CONFIG",
        hide_env_values = true
    )]
    config: Option<PathBuf>,
}

impl Configuration {
    /// This one.
    pub(crate) fn of(file: &Path) -> Self {
        Self {
            config: Some(file.to_owned()),
        }
    }

    /// The file that counts.
    pub(crate) fn file(&self) -> Result<PathBuf, Failure> {
        if let Some(file) = &self.config {
            return Ok(file.clone());
        }
        let here = PathBuf::from("tollbook.toml");
        let user = env::var_os("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))
            .map(|folder| folder.join("tollbook/config.toml"));
        [Some(here), user]
            .into_iter()
            .flatten()
            .find(|file| file.is_file())
            .ok_or_else(|| {
                Failure::usage(
                    "there is no configuration: name one with --config, or put a tollbook.toml \
                     here; `tollbook quickstart` runs without one",
                )
            })
    }
}

impl Configuration {
    /// The file that counts, and what it says.
    pub(crate) fn read(&self) -> Result<(PathBuf, Config), Failure> {
        let file = self.file()?;
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let (config, all) = Config::read(&text, folder, env::vars());
        if all.is_empty() {
            return Ok((file, config));
        }
        let file = Some(file);
        Err(Failure::usage(Mistakes { file, all }.to_string()))
    }
}

/// Where the book is, for the commands that read it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Book {
    /// The folder of the book, of a running gateway or a copy; else the configuration says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    configuration: Configuration,
}

impl Book {
    /// Opens the book for reading.
    pub(crate) fn open(&self) -> Result<Reader, Failure> {
        let folder = self.folder()?;
        Reader::open(&folder).map_err(|error| match error.kind() {
            ErrorKind::NoBook => {
                Failure::Unknown(format!("there is no book in {}", folder.display()))
            }
            _ => Failure::unknown(
                &format!("cannot read the book in {}", folder.display()),
                error,
            ),
        })
    }

    fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        let (_, config) = self.configuration.read()?;
        Ok(config.gateway.data)
    }
}

/// Runs a command that needs the runtime.
pub(crate) fn block_on(
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unknown("cannot start the runtime", error))?
        .block_on(command)
}

/// Logs to standard error, at what `$TOLLBOOK_LOG` says and else at `default`.
pub(crate) fn log(default: &str) -> Result<(), Failure> {
    let filter = match env::var(LOG) {
        Ok(text) if !text.trim().is_empty() => text,
        Ok(_) | Err(env::VarError::NotPresent) => default.to_owned(),
        Err(error) => return Err(Failure::usage(format!("{LOG}: {error}"))),
    };
    let filter =
        EnvFilter::try_new(filter).map_err(|error| Failure::usage(format!("{LOG}: {error}")))?;
    let colours =
        io::stderr().is_terminal() && AutoStream::choice(&io::stderr()) != ColorChoice::Never;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(io::stderr)
        .init();
    Ok(())
}
