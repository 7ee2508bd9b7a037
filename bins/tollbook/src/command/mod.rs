//! The commands, one a file.

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod exchanges;
pub(crate) mod quickstart;
pub(crate) mod serve;
pub(crate) mod verify;

use std::{
    env,
    future::Future,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use tollbook_gateway::config::{Config, Mistakes};
use tollbook_recording::Reader;

use crate::{Global, exit::Failure};

/// Where the book is, for the commands that read it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Book {
    /// The folder of the book, of a running gateway or a copy; else the configuration says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Book {
    /// Opens the book for reading.
    pub(crate) fn open(&self, global: &Global) -> Result<Reader, Failure> {
        let folder = self.folder(global)?;
        Reader::open(&folder).map_err(|error| {
            Failure::unknown(
                &format!("cannot read the book in {}", folder.display()),
                error,
            )
        })
    }

    fn folder(&self, global: &Global) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        let file = configuration(global)?;
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        let folder = file.parent().unwrap_or(Path::new("."));
        let (config, all) = Config::read(&text, folder, env::vars());
        if !all.is_empty() {
            return Err(Failure::usage(
                Mistakes {
                    file: Some(file),
                    all,
                }
                .to_string(),
            ));
        }
        Ok(config.gateway.data)
    }
}

/// The configuration file that goes with the command.
pub(crate) fn configuration(global: &Global) -> Result<PathBuf, Failure> {
    if let Some(file) = &global.config {
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
                "there is no configuration: name one with --config, or put a tollbook.toml here; \
             `tollbook quickstart` writes one to begin with",
            )
        })
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
pub(crate) fn log(default: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("TOLLBOOK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(default));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
}
