//! Where a view can be noted when no gateway answers.

use std::path::Path;

use tollbook_ledger::VerifierKey;
use tollbook_recording::{Config, is_copy};

/// What a folder with a book is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// The folder that is written into: so one does it.
    Book(Box<Config>),
    /// One that nothing may be written into, and why.
    Copy(&'static str),
}

impl Place {
    /// What this folder is. `config` is how the book of it is written, where that is known; without
    /// it the book itself tells its name.
    pub(super) fn of(folder: &Path, config: Option<Config>) -> Self {
        if !folder.join("log.key").exists() {
            return Self::Copy("the log's key is not there");
        }
        if is_copy(folder) {
            return Self::Copy("no gateway has written into this folder");
        }
        if rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_err() {
            return Self::Copy("the folder cannot be written");
        }
        match config.or_else(|| Some(Config::new(folder, origin(folder)?))) {
            Some(config) => Self::Book(Box::new(config)),
            None => Self::Copy("the log's public key is not there"),
        }
    }
}

/// The name under which the book was begun: that of its log, without the number of the epoch.
fn origin(folder: &Path) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("log.vkey")).ok()?;
    let key: VerifierKey = text.trim_end().parse().ok()?;
    let name = key.name();
    let epoch = name.rsplit_once("/e").filter(|(_, number)| {
        !number.starts_with('0') && number.parse().is_ok_and(|number: u32| number > 1)
    });
    Some(epoch.map_or(name, |(origin, _)| origin).to_owned())
}
