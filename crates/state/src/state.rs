//! The state as a whole.

use std::{fmt, path::Path, sync::Arc};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use zeroize::Zeroizing;

use crate::{
    Error, ErrorKind, SqliteApprovals, SqliteTokens, database,
    folder::{self, Folder, MasterKey},
    worker::{Broken, Worker},
};

/// The state in a folder.
///
/// A handle: clones share the database. Dropping the last one waits until what was begun is done.
#[derive(Clone)]
pub struct State(Arc<Inner>);

/// Fields are dropped in this order: SQLite tidies up when the writer is the last to go, and only
/// then may another process come.
struct Inner {
    reader: Worker,
    writer: Option<Writer>,
}

struct Writer {
    worker: Worker,
    key: MasterKey,
    _folder: Folder,
}

impl State {
    /// Opens the state in this folder for writing, and makes both if they are not there.
    ///
    /// Blocks for a moment: to be called at start.
    ///
    /// # Errors
    ///
    /// When another process has it open ([`ErrorKind::InUse`]), it is damaged, was made by a later
    /// build or with another key, or the folder cannot be used.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let folder = Folder::claim(folder.as_ref())?;
        let path = folder.database()?;
        let key = folder.key(database::is_new(&path)?)?;
        let connection = database::open(&path, &*key.derive("check")?)?;
        let broken = Broken::default();
        let reader = database::read(&path)?;
        Ok(Self(Arc::new(Inner {
            reader: Worker::start("tollbook-state-reader", reader, broken.clone())?,
            writer: Some(Writer {
                worker: Worker::start("tollbook-state", connection, broken)?,
                key,
                _folder: folder,
            }),
        })))
    }

    /// Opens the state in this folder for reading, whether a gateway is running on it or not, or a
    /// copy of it. Everything that would write answers [`ErrorKind::ReadOnly`].
    ///
    /// # Errors
    ///
    /// When there is none ([`ErrorKind::NoState`]), it is damaged, or was made by another build.
    pub fn open_read_only(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let connection = database::read(&folder::database(folder.as_ref()))?;
        Ok(Self(Arc::new(Inner {
            reader: Worker::start("tollbook-state-reader", connection, Broken::default())?,
            writer: None,
        })))
    }

    /// Where gateway tokens and revocations are kept.
    pub fn tokens(&self) -> SqliteTokens {
        SqliteTokens(self.clone())
    }

    /// Where approvals and grants are kept.
    pub fn approvals(&self) -> SqliteApprovals {
        SqliteApprovals(self.clone())
    }

    /// A secret key for this purpose: always the same one for the same folder, and unrelated to that
    /// of any other purpose. It is not in the database.
    ///
    /// # Errors
    ///
    /// When the state is open for reading only.
    pub fn key(&self, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
        match &self.0.writer {
            Some(writer) => derived(&writer.key, purpose),
            None => Err(ErrorKind::ReadOnly.into()),
        }
    }

    /// Keeps `data` under this name, in place of what was there. Durable when it answers.
    ///
    /// # Errors
    ///
    /// When it is not kept.
    pub async fn put(&self, name: &str, data: Vec<u8>) -> Result<(), Error> {
        let name = format!("data: {name}");
        self.write(move |to| {
            let mut put = to.prepare_cached(
                "INSERT INTO kept (name, data) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET data = excluded.data",
            )?;
            put.execute(params![name, data])?;
            Ok(())
        })
        .await
    }

    /// What is kept under this name.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<Vec<u8>>, Error> {
        let name = format!("data: {name}");
        self.read(move |from| {
            let mut get = from.prepare_cached("SELECT data FROM kept WHERE name = ?1")?;
            Ok(get.query_row([name], |row| row.get(0)).optional()?)
        })
        .await
    }

    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        self.0.reader.read(read).await
    }

    pub(crate) async fn write<T: Send + 'static>(
        &self,
        write: impl FnOnce(&Transaction<'_>) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        match &self.0.writer {
            Some(writer) => writer.worker.write(write).await,
            None => Err(ErrorKind::ReadOnly.into()),
        }
    }
}

/// The key of [`State::key`] for this purpose, for a program that reads a folder with a gateway or
/// none.
///
/// # Errors
///
/// When the folder has no key, or one that others may read.
pub fn key_of(folder: &Path, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
    derived(&MasterKey::of(folder)?, purpose)
}

fn derived(key: &MasterKey, purpose: &str) -> Result<Zeroizing<[u8; 32]>, Error> {
    key.derive(&format!("key: {purpose}"))
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("read_only", &self.0.writer.is_none())
            .finish_non_exhaustive()
    }
}
