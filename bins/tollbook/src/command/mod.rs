//! The commands, one a file.

pub(crate) mod approvals;
pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod doctor;
pub(crate) mod erase;
pub(crate) mod exchanges;
pub(crate) mod export;
pub(crate) mod hold;
pub(crate) mod keys;
pub(crate) mod mask;
mod order;
pub(crate) mod policy;
pub(crate) mod quickstart;
pub(crate) mod recover;
pub(crate) mod remote;
pub(crate) mod replay;
pub(crate) mod retention;
pub(crate) mod search;
pub(crate) mod serve;
pub(crate) mod sessions;
pub(crate) mod sinks;
pub(crate) mod token;
pub(crate) mod verify;
pub(crate) mod why;
pub(crate) mod witness;

use std::{
    env,
    future::Future,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anstream::{AutoStream, ColorChoice};

use clap::Args;
use tollbook_budget::Prices;
use tollbook_gateway::{
    Plan,
    config::{Config, Mistakes},
    control::{self, Noted, Unnoted, View},
};
use tollbook_ledger::Quorum;
use tollbook_masking::Masker;
use tollbook_recording::{ErrorKind, KeySource, Reader};
use tollbook_search::{Index, SavedSearches, Trail};
use tracing_subscriber::EnvFilter;

use crate::{exit::Failure, print};

/// The variable that says what is logged.
const LOG: &str = "TOLLBOOK_LOG";

/// How many entries are taken into the index without a word: what a second is enough for.
const PATIENCE: u64 = 2_000;

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

impl Configuration {
    /// What counts for the book in this folder, if it is known: the configuration of another folder
    /// says nothing of this one.
    pub(crate) fn of_book(&self, folder: &Path) -> Result<Option<(PathBuf, Config)>, Failure> {
        let read = match self.read() {
            Ok(read) => read,
            // One that was named must not count for nothing.
            Err(failure) if self.config.is_some() => return Err(failure),
            Err(_) => return Ok(None),
        };
        let is_same = |other: &Path| match (folder.canonicalize(), other.canonicalize()) {
            (Ok(folder), Ok(other)) => folder == other,
            _ => false,
        };
        Ok(Some(read).filter(|(_, config)| is_same(&config.gateway.data)))
    }
}

/// Where the book is, for the commands that read it.
#[derive(Clone, Debug, Args)]
pub(crate) struct Book {
    /// The folder of the book, of a running gateway or a copy; else the configuration says.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The identity of the recipient that the keys of sessions are sealed to, where `[keys]` of the
    /// configuration names one: a file of age-keygen.
    #[arg(long, value_name = "FILE")]
    identity: Option<PathBuf>,
    #[command(flatten)]
    configuration: Configuration,
}

impl Book {
    /// Opens the book for reading.
    pub(crate) fn open(&self) -> Result<Reader, Failure> {
        let (folder, own) = self.own()?;
        let mut keys = own.map_or_else(KeySource::default, |(_, config)| config.keys);
        if let Some(identity) = &self.identity {
            keys = keys.with_identity(identity);
        }
        Reader::open_with(&folder, &keys).map_err(|error| match error.kind() {
            ErrorKind::NoBook => {
                Failure::Unknown(format!("there is no book in {}", folder.display()))
            }
            _ => Failure::unknown(
                &format!("cannot read the book in {}", folder.display()),
                error,
            ),
        })
    }

    /// Opens the book with its index, which is caught up with it; made anew first if `anew`.
    pub(crate) fn search(&self, anew: bool) -> Result<(Reader, Index), Failure> {
        let book = self.open()?;
        let (folder, prices) = (self.folder()?, self.prices()?);
        let index = if anew {
            Index::anew(folder, prices)
        } else {
            Index::open(folder, prices)
        };
        let index = index.map_err(search_failed)?;
        let index = index.retaining(self.retention().unwrap_or_default());
        let behind = index.behind(&book).map_err(search_failed)?;
        if behind > PATIENCE {
            print::aside(&format!(
                "taking {behind} entries of the book into the index first"
            ));
        }
        index.catch_up(&book).map_err(search_failed)?;
        Ok((book, index))
    }

    /// What the gateway of this book masks with.
    pub(crate) fn masker(&self) -> Result<Masker, Failure> {
        let (_, own) = self.own()?;
        Ok(masker(own.as_ref()))
    }

    /// Has it noted in the book that somebody looks at it. Nothing of it may be shown before this
    /// returns.
    pub(crate) fn noted(&self, view: &View) -> Result<Noted, Failure> {
        noted(&self.folder()?, &self.configuration, view)
    }

    /// Why an exchange happened, if the index can tell without keeping anybody waiting.
    pub(crate) fn trail(&self, book: &Reader, id: &str) -> Option<Trail> {
        let index = Index::open(self.folder().ok()?, self.prices().ok()?).ok()?;
        if !index.is_kept() || index.behind(book).ok()? > PATIENCE {
            return None;
        }
        let index = index.retaining(self.retention().unwrap_or_default());
        index.catch_up(book).ok()?;
        // The step before it, and what followed of each call of one answer.
        index.trail(book, id, 1, 100).ok()?
    }

    /// The witnesses of the book, where the configuration says where it is and who they are.
    pub(crate) fn witnesses(&self) -> Option<Quorum> {
        if self.data.is_some() {
            return None;
        }
        let (_, config) = self.configuration.read().ok()?;
        config.record.witnesses.quorum()
    }

    /// The roots of the authority for time stamps, where the configuration says where the book is.
    pub(crate) fn tsa_roots(&self) -> Option<PathBuf> {
        if self.data.is_some() {
            return None;
        }
        let (_, config) = self.configuration.read().ok()?;
        config
            .record
            .timestamp
            .map(|timestamp| timestamp.roots.value)
    }

    /// The searches that were saved beside the book.
    pub(crate) fn saved(&self) -> Result<SavedSearches, Failure> {
        Ok(SavedSearches::of(self.folder()?))
    }

    /// What answers cost: as the configuration has it, where that says where the book is.
    pub(crate) fn prices(&self) -> Result<Prices, Failure> {
        let built_in = || {
            Prices::built_in().map_err(|error| Failure::unknown("cannot read the prices", error))
        };
        if self.data.is_some() {
            return built_in();
        }
        let (_, config) = self.configuration.read()?;
        let Some(file) = config.limits.prices else {
            return built_in();
        };
        let file = file.value;
        let text = std::fs::read_to_string(&file)
            .map_err(|error| Failure::usage(format!("cannot read {}: {error}", file.display())))?;
        Prices::parse(&text).map_err(|error| Failure::usage(format!("{}: {error}", file.display())))
    }

    /// The configuration that goes with the book.
    pub(crate) const fn configuration(&self) -> &Configuration {
        &self.configuration
    }

    /// What the configuration says, where there is one: a book alone has none.
    pub(crate) fn settings(&self) -> Result<Option<(PathBuf, Config)>, Failure> {
        if self.data.is_some() && self.configuration.config.is_none() {
            return Ok(None);
        }
        self.configuration.read().map(Some)
    }

    /// The folder of the book.
    pub(crate) fn folder(&self) -> Result<PathBuf, Failure> {
        if let Some(folder) = &self.data {
            return Ok(folder.clone());
        }
        let (_, config) = self.configuration.read()?;
        Ok(config.gateway.data)
    }
}

/// Has it noted in the book in this folder that somebody looks at it.
pub(crate) fn noted(
    folder: &Path,
    configuration: &Configuration,
    view: &View,
) -> Result<Noted, Failure> {
    let own = configuration.of_book(folder)?;
    let config = own.as_ref().map(|(_, config)| config.book());
    // Where no gateway runs the book is opened for the note, on a runtime of its own, which cannot end
    // within another one: some commands have one.
    let note = || control::note(folder, config, || masker(own.as_ref()), view);
    let noted = tokio::task::block_in_place(note).map_err(unnoted)?;
    if let Some(why) = noted.nowhere() {
        print::aside(&format!(
            "this is a copy of a book ({why}): that you look at it is noted nowhere"
        ));
    }
    Ok(noted)
}

/// What the configuration masks with, and without one the built-in rules.
fn masker(read: Option<&(PathBuf, Config)>) -> Masker {
    let own = read.and_then(|(file, config)| {
        let folder = file.parent().unwrap_or(Path::new("."));
        Plan::masker(config, folder, env::vars(), "default").ok()
    });
    own.unwrap_or_else(Masker::builtin)
}

/// Why nothing is shown.
fn unnoted(error: Unnoted) -> Failure {
    let hint = match &error {
        Unnoted::Book(error) => match error.kind() {
            ErrorKind::AnchorLost => "; name its configuration with --config",
            ErrorKind::Space | ErrorKind::Blocked(_) => "",
            _ => "; `tollbook verify` tells what is wrong, and a copy without log.key can be read",
        },
        Unnoted::Unreachable(_) => "; is it starting, or of another release?",
        _ => "",
    };
    let told = "nothing is shown, because the book has to say who looked";
    match Failure::unknown(told, error) {
        Failure::Unknown(message) => Failure::Unknown(message + hint),
        other => other,
    }
}

/// Why the book cannot be searched, and what helps.
pub(crate) fn search_failed(error: tollbook_search::Error) -> Failure {
    match error.kind() {
        tollbook_search::ErrorKind::Index => Failure::unknown(
            "cannot search the book (`tollbook search --rebuild` makes the index anew)",
            error,
        ),
        tollbook_search::ErrorKind::Locked => Failure::unknown(
            "cannot search the book: name the configuration that has its [keys] with --config, or the \
             identity that it is sealed to with --identity",
            error,
        ),
        _ => Failure::unknown("cannot search the book", error),
    }
}

/// Runs a command that needs the runtime.
pub(crate) fn block_on(
    command: impl Future<Output = Result<ExitCode, Failure>>,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::unknown("cannot start the runtime", error))?;
    let done = runtime.block_on(command);
    // All that counts has been closed; what still waits for a disk that hangs is left to itself.
    runtime.shutdown_timeout(LEFT);
    done
}

/// How long work that nobody waits for may take at the end.
const LEFT: std::time::Duration = std::time::Duration::from_secs(1);

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
