//! The way out for a book that cannot be continued: a new epoch that says so.

use std::path::{Path, PathBuf};

use rusqlite::OptionalExtension;
use serde::Serialize;
use serde_json::json;

use crate::{
    Config, Error, ErrorKind,
    anchor::Anchor,
    database,
    folder::{self, Folder, epoch_name},
    journal::Journal,
    keys::Keyring,
};

/// What [`recover`] did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Recovered {
    /// The number of the new epoch.
    pub epoch: u32,
    /// The name of its log.
    pub log: String,
    /// Its public key, which those need who verify the book.
    pub key: String,
    /// Where the book lies that was not continued. It can be read and verified there.
    pub before: PathBuf,
    /// The number of entries of that book, if it can be read.
    pub entries: Option<u64>,
    /// The number of entries that its anchor was about.
    pub anchored: Option<u64>,
}

/// Begins a new epoch in the place of a book that [`Recorder::open`](crate::Recorder::open) refuses
/// to continue.
///
/// A book that was restored is never written on: its key would sign a second history of what the
/// anchor is about. It is put aside instead, and a new one begins under the next name and with a key
/// of its own, whose first entry has the heads of both, and the reason. Blocks.
///
/// # Errors
///
/// [`ErrorKind::NothingToRecover`] when nothing keeps the book from being continued, and others when
/// the folder or the anchor cannot be used.
pub fn recover(config: &Config, reason: &str) -> Result<Recovered, Error> {
    let folder = Folder::claim(&config.folder)?;
    let mut anchor = config.anchor.as_deref().map(Anchor::claim).transpose()?;
    let opened = folder.check_epochs(&config.origin);
    let opened = opened.and_then(|()| Journal::open(&folder, config, anchor.as_ref()));
    let why = match opened {
        Ok(_) => return Err(ErrorKind::NothingToRecover.into()),
        Err(error) => match error.kind() {
            ErrorKind::Behind { .. }
            | ErrorKind::Forked { .. }
            | ErrorKind::AnchorForeign
            | ErrorKind::AnchorLost
            | ErrorKind::EpochLost
            | ErrorKind::Corrupt
            | ErrorKind::Database => error.kind().clone(),
            // What another try, or another setting, may mend.
            _ => return Err(error),
        },
    };

    let head = match folder.unfinished()? {
        // Where it lies in parts in both folders it is left alone: SQLite would begin another log.
        Some(epoch) => head(&folder.aside(epoch)),
        None => head(folder.path()),
    };
    let head = head.ok().flatten();
    let held = anchor.as_ref().and_then(Anchor::held).map(str::to_owned);
    // What an attempt before was cut off in is gone on with, into the same folder.
    let old = match folder.unfinished()? {
        Some(epoch) => epoch,
        None => folder.newest_epoch(&config.origin, held.as_deref())?,
    };
    let before = folder.put_aside(old, held.as_deref())?;
    let epoch = old + 1;
    let next = Config {
        origin: epoch_name(&config.origin, epoch),
        ..config.clone()
    };
    // Not held against the anchor, which is about the log before.
    let mut journal = Journal::open(&folder, &next, None)?;
    // The keys of the book before lie with it; this one has its own.
    Keyring::open(folder.path(), &next.keys, true)?;
    journal.begin_epoch(&json!({
        "number": epoch,
        "reason": reason,
        "refused": word(&why),
        "head": head,
        "anchor": held,
    }))?;
    journal.stop()?;
    if let Some(anchor) = &mut anchor {
        anchor.swap(&journal.head().note)?;
    }
    Ok(Recovered {
        epoch,
        log: next.origin,
        key: journal.verifier_key().to_string(),
        before,
        entries: head.as_deref().and_then(size),
        anchored: held.as_deref().and_then(size),
    })
}

/// The signed head of the journal, if there is one that can be read.
fn head(folder: &Path) -> Result<Option<String>, Error> {
    let journal = database::read(&folder::journal(folder))?;
    let note = journal.query_row("SELECT note FROM head", [], |row| row.get(0));
    Ok(note.optional()?)
}

/// The number of entries that a checkpoint speaks of, whoever signed it.
fn size(note: &str) -> Option<u64> {
    note.lines().nth(1)?.parse().ok()
}

/// Why the book was refused, in one word for the record.
const fn word(why: &ErrorKind) -> &'static str {
    match why {
        ErrorKind::Behind { .. } => "behind",
        ErrorKind::Forked { .. } => "forked",
        ErrorKind::AnchorForeign => "anchor_foreign",
        ErrorKind::AnchorLost => "anchor_lost",
        ErrorKind::EpochLost => "epoch_lost",
        ErrorKind::Database => "unreadable",
        _ => "corrupt",
    }
}
