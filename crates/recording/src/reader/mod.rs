//! Reading the book.

pub(crate) mod list;
mod monitor;
mod show;
mod verify;
mod walk;

pub use list::{Filter, Summary};
pub use monitor::Monitor;
pub use verify::{Fault, Kept, LastSign, Silence, ToldGap, Unread, Verification};

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use rusqlite::{Connection, Transaction};
use serde_json::Value;
use tollbook_exchange::ExchangeId;
use tollbook_ledger::VerifierKey;

use crate::{
    Attestations, Error, ErrorKind, Evidence, EvidenceOptions, KeySource, database,
    erased::Tombstones, evidence, folder, keys::Keyring, opener::Opener,
};

/// Reads the book in a folder: that of a running gateway, or a copy.
///
/// It never writes. Every call sees the book as it is at one moment, and blocks: from async code
/// call it on a thread for blocking work.
pub struct Reader {
    connection: Mutex<Connection>,
    folder: PathBuf,
    /// Or why there are none: much can be read without.
    keys: Result<Keyring, ErrorKind>,
    tombstones: Mutex<Tombstones>,
}

impl Reader {
    /// Opens the book in a folder, with the keys that lie in it.
    ///
    /// Without keys it can be listed and verified, and of what is sealed it says that it cannot be
    /// opened.
    ///
    /// # Errors
    ///
    /// When there is no journal, or it has a schema that this build does not know.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        Self::open_with(folder, &KeySource::default())
    }

    /// As [`open`](Self::open), with keys whose top key comes from elsewhere.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open).
    pub fn open_with(folder: impl AsRef<Path>, source: &KeySource) -> Result<Self, Error> {
        let folder = folder.as_ref().to_owned();
        let journal = folder::journal(&folder);
        if !journal.is_file() {
            return Err(ErrorKind::NoBook.into());
        }
        Ok(Self {
            connection: Mutex::new(database::read(&journal)?),
            keys: Keyring::read(&folder, source).map_err(|error| error.kind().clone()),
            tombstones: Mutex::default(),
            folder,
        })
    }

    /// The exchanges that pass the filter, newest first.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn exchanges(&self, filter: &Filter) -> Result<Vec<Summary>, Error> {
        self.read(|book| list::exchanges(book, filter))
    }

    /// The exchanges that were opened or closed by the entry at index `from` or a later one, in
    /// that order, at most `limit`. To go on, ask from the last one's [`Summary::latest`] plus one;
    /// to begin with what comes next, from [`size`](Self::size).
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn follow(&self, from: u64, limit: u64) -> Result<Vec<Summary>, Error> {
        self.read(|book| list::follow(book, from, limit))
    }

    /// One exchange with all that is recorded of it, by its id or the first eight or more digits
    /// of it. `None` if there is no such exchange.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Id`] and [`ErrorKind::Ambiguous`] for an id that names none or several, and
    /// others when the journal cannot be read.
    pub fn exchange(&self, id: &str) -> Result<Option<Value>, Error> {
        self.read(|book| show::exchange(book, self.opener(book), &self.tombstones, id))
    }

    /// The whole id of the exchange of which this is the id, or the first eight or more digits of
    /// it. `None` if there is no such exchange.
    ///
    /// # Errors
    ///
    /// Those of [`exchange`](Self::exchange).
    pub fn exchange_id(&self, id: &str) -> Result<Option<ExchangeId>, Error> {
        self.read(|book| show::exchange_id(book, id))
    }

    /// The number of exchanges.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn count(&self) -> Result<u64, Error> {
        self.read(|book| count(book, "SELECT count(*) FROM exchange"))
    }

    /// The number of entries of the log.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn size(&self) -> Result<u64, Error> {
        self.read(|book| count(book, "SELECT coalesce(max(seq) + 1, 0) FROM entry"))
    }

    /// The newest signed checkpoint: a signed note.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read.
    pub fn checkpoint(&self) -> Result<String, Error> {
        self.read(|book| Ok(book.query_row("SELECT note FROM head", [], |row| row.get(0))?))
    }

    /// Checks the whole book: that every entry is what the log's key signed, that every body is
    /// what its entry says, and that the lists are what the entries say.
    ///
    /// With the key that lies in the folder this shows that nobody without the signing key changed
    /// the book. Give the key that you kept yourself, and it also shows that the book was not
    /// replaced as a whole.
    ///
    /// It reads every byte. Meanwhile the write-ahead log of a running recorder cannot shrink.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read, or there is no key. What is wrong with a book that can be
    /// read is in the [`Verification`].
    pub fn verify(&self, key: Option<&VerifierKey>) -> Result<Verification, Error> {
        self.verify_with(key, &[])
    }

    /// As [`verify`](Self::verify), and holds checkpoints against the book that somebody kept from
    /// earlier: signed notes. The book must be one that grew out of each.
    ///
    /// # Errors
    ///
    /// Those of [`verify`](Self::verify).
    pub fn verify_with(
        &self,
        key: Option<&VerifierKey>,
        kept: &[String],
    ) -> Result<Verification, Error> {
        let key = self.key(key)?;
        let journal = folder::journal(&self.folder);
        self.read(|book| verify::verify(book, self.keyring(), &journal, key, kept))
    }

    /// Writes evidence into a folder, which must be empty or not there: the selected exchanges,
    /// with all that shows that they are in the log. See [`tollbook_ledger::evidence`].
    ///
    /// Whether what is in it is what was signed is for those to find out who check it. `key` is the
    /// log's, and that in the folder if there is none.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Evidence`] when the folder cannot be written, and [`ErrorKind::Corrupt`] when
    /// the book does not fit its signed head, so that there is no proof of anything in it, or a
    /// selected record is not what its key opens. [`verify`](Self::verify) tells why. Those of keys
    /// when there are none for what is selected, and others when the journal cannot be read.
    pub fn evidence(
        &self,
        key: Option<&VerifierKey>,
        options: &EvidenceOptions,
        folder: impl AsRef<Path>,
    ) -> Result<Evidence, Error> {
        let key = self.key(key)?;
        let attested = self.attestations();
        self.read(|book| {
            let opener = self.opener(book);
            evidence::write(book, opener, &key, &attested, options, folder.as_ref())
        })
    }

    /// The public key of the log that lies in the folder.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub fn verifier_key(&self) -> Result<VerifierKey, Error> {
        self.key(None)
    }

    /// The checkpoints of the book that others have signed too.
    pub fn attestations(&self) -> Attestations {
        Attestations::of(&self.folder)
    }

    fn key(&self, key: Option<&VerifierKey>) -> Result<VerifierKey, Error> {
        match key {
            Some(key) => Ok(key.clone()),
            None => Ok(folder::verifier_key(&self.folder)?.ok_or(ErrorKind::Key)?),
        }
    }

    /// Why what is sealed cannot be opened, if it cannot be.
    pub fn locked(&self) -> Option<&ErrorKind> {
        self.keys.as_ref().err()
    }

    fn opener<'a>(&'a self, book: &'a Transaction<'_>) -> Opener<'a> {
        Opener::new(book, self.keys.as_ref().map_err(Clone::clone))
    }

    /// The keys, or why there are none.
    pub(crate) fn keyring(&self) -> Result<&Keyring, ErrorKind> {
        self.keys.as_ref().map_err(Clone::clone)
    }

    /// Reads within one snapshot.
    pub(crate) fn read<T>(
        &self,
        read: impl FnOnce(&Transaction<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let mut connection = self
            .connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let snapshot = connection.transaction()?;
        read(&snapshot)
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

fn count(book: &Transaction<'_>, sql: &str) -> Result<u64, Error> {
    let count = book.prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    database::unsigned(count)
}
