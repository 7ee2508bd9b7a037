//! The database of wrapped keys.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use super::key::{CLASSES, Class, DESTROYED, KeyId, WRAPPED, Wrapped};
use crate::{
    Error, ErrorKind,
    database::{connect, immutable, signed, unsigned, with_suffix},
    folder::owner_only,
};

/// `keys.db`: wrapped keys, made to be destroyed.
///
/// A key is destroyed by zeros that are written over its very bytes: the row keeps its length, so
/// SQLite changes it in place, and rows come at the end alone and are never moved, so no page has an
/// older copy of one. `secure_delete` is on besides, for what is taken out. Then the write-ahead log,
/// which has the page as it was, is cut to nothing. A disk may have kept a copy of what was
/// overwritten or cut; where that matters, the disk has to be encrypted.
#[derive(Debug)]
pub(super) struct Store {
    connection: Connection,
}

/// The keys that wrap the scopes' keys, themselves wrapped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ring {
    pub(super) id: [u8; 16],
    /// The tenant key under the top key.
    pub(super) tenant: Vec<u8>,
    /// The key of keyed hashes under the tenant key.
    pub(super) lookup: Vec<u8>,
}

/// The row of one scope.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) id: KeyId,
    /// What wraps its keys, sealed to a recipient; empty if the tenant key wraps them.
    pub(super) sealed: Vec<u8>,
    /// By the number of their class.
    pub(super) wrapped: [Wrapped; CLASSES],
}

impl Store {
    /// Whether there is one in this folder.
    pub(super) fn exists(folder: &Path) -> bool {
        path(folder).is_file()
    }

    /// Makes a new one, with the ring that everything begins with.
    ///
    /// It is made under another name, so that there is never one without its ring.
    pub(super) fn create(folder: &Path, source: &str, ring: &Ring) -> Result<Self, Error> {
        let (path, fresh) = (path(folder), folder.join("keys.db.new"));
        let make = || -> Result<(), Error> {
            owner_only()
                .create(true)
                .truncate(true)
                .open(&fresh)
                .map_err(unusable)?;
            let mut connection = connect(&fresh)?;
            connection.pragma_update(None, "secure_delete", "ON")?;
            let create = connection.transaction()?;
            create.execute_batch(TABLES)?;
            create.pragma_update(None, "application_id", APPLICATION)?;
            create.pragma_update(None, "user_version", SCHEMA)?;
            insert(&create, source, ring)?;
            create.commit()?;
            drop(connection);
            std::fs::rename(&fresh, &path).map_err(unusable)?;
            let folder = std::fs::File::open(folder).map_err(unusable)?;
            folder.sync_all().map_err(unusable)
        };
        make().map_err(keys)?;
        Self::open(folder)
    }

    /// Opens the one in this folder to write it.
    pub(super) fn open(folder: &Path) -> Result<Self, Error> {
        let open = || -> Result<Connection, Error> {
            let connection = connect(&path(folder))?;
            check(&connection)?;
            connection.pragma_update(None, "secure_delete", "ON")?;
            // Nobody but this connection writes here, and nobody else keeps the log short.
            connection.pragma_update(None, "wal_autocheckpoint", 1000)?;
            let mode: String =
                connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
            if mode != "wal" {
                return Err(ErrorKind::Keys.into());
            }
            Ok(connection)
        };
        let connection = open().map_err(keys)?;
        Ok(Self { connection })
    }

    /// Opens the one in this folder to read it, whether or not somebody writes it meanwhile.
    pub(super) fn read(folder: &Path) -> Result<Self, Error> {
        let path = path(folder);
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let open = || -> Result<Connection, Error> {
            let connection = Connection::open_with_flags(&path, flags)?;
            let connection = match check(&connection) {
                Ok(()) => connection,
                // As with the journal: a copy that cannot be written has no place for the files
                // that go with a write-ahead log, and needs none without a log.
                Err(_) if !with_suffix(&path, "-wal").exists() => {
                    let flags = flags | OpenFlags::SQLITE_OPEN_URI;
                    let connection = Connection::open_with_flags(immutable(&path), flags)?;
                    check(&connection)?;
                    connection
                }
                Err(error) => return Err(error),
            };
            connection.busy_timeout(crate::database::BUSY)?;
            connection.execute_batch(
                "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
            )?;
            Ok(connection)
        };
        let connection = open().map_err(keys)?;
        Ok(Self { connection })
    }

    /// The ring.
    pub(super) fn ring(&self) -> Result<Ring, Error> {
        let ring = self
            .connection
            .query_row("SELECT id, tenant, lookup FROM ring", [], |row| {
                Ok(Ring {
                    id: row.get(0)?,
                    tenant: row.get(1)?,
                    lookup: row.get(2)?,
                })
            });
        ring.map_err(|error| keys(error.into()))
    }

    /// Adds scopes at the end. Durable when this returns.
    pub(super) fn add(&mut self, scopes: &[Scope]) -> Result<(), Error> {
        let mut add = || -> Result<(), Error> {
            let write = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            {
                let mut insert = write.prepare_cached(
                    "INSERT INTO scope (id, sealed, metadata, request, answer, rows)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?;
                for scope in scopes {
                    let [metadata, request, answer, rows] = &scope.wrapped;
                    let (id, sealed) = (scope.id.0, &scope.sealed);
                    insert.execute(params![id, sealed, metadata, request, answer, rows])?;
                }
            }
            Ok(write.commit()?)
        };
        add().map_err(keys)
    }

    /// The row of a scope.
    pub(super) fn scope(&self, id: KeyId) -> Result<Option<Scope>, Error> {
        let find = || -> Result<Option<Scope>, Error> {
            let mut find = self.connection.prepare_cached(
                "SELECT sealed, metadata, request, answer, rows FROM scope WHERE id = ?1",
            )?;
            Ok(find
                .query_row([id.0], |row| {
                    Ok(Scope {
                        id,
                        sealed: row.get(0)?,
                        wrapped: [row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?],
                    })
                })
                .optional()?)
        };
        find().map_err(keys)
    }

    /// Writes zeros over keys. Durable when this returns; what they were may still be in the
    /// write-ahead log.
    pub(super) fn destroy(&mut self, doomed: &[(KeyId, Vec<Class>)]) -> Result<(), Error> {
        let mut destroy = || -> Result<(), Error> {
            let write = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            for (id, classes) in doomed {
                for class in classes {
                    let sql = format!("UPDATE scope SET {} = ?1 WHERE id = ?2", class.as_str());
                    write
                        .prepare_cached(&sql)?
                        .execute(params![DESTROYED, id.0])?;
                }
                // What wraps them goes with the last of them.
                write
                    .prepare_cached(
                        "UPDATE scope SET sealed = zeroblob(length(sealed))
                         WHERE id = ?2 AND metadata = ?1 AND request = ?1 AND answer = ?1 AND rows = ?1",
                    )?
                    .execute(params![DESTROYED, id.0])?;
            }
            Ok(write.commit()?)
        };
        destroy().map_err(keys)
    }

    /// Notes that what the log says up to this entry was destroyed is, and gone from the files.
    pub(super) fn set_erased(&mut self, through: u64) -> Result<(), Error> {
        let set = || -> Result<(), Error> {
            self.connection.execute(
                "UPDATE ring SET erased = max(erased, ?1)",
                [signed(through)?],
            )?;
            Ok(())
        };
        set().map_err(keys)
    }

    /// The index of the first entry of the log of which it is not known here whether what it says
    /// was destroyed is.
    pub(super) fn erased(&self) -> Result<u64, Error> {
        let erased = self
            .connection
            .query_row("SELECT erased FROM ring", [], |row| row.get(0));
        erased
            .map_err(|error| keys(error.into()))
            .and_then(unsigned)
    }

    /// Takes out these scopes, which nobody used.
    pub(super) fn remove_unused(&mut self, ids: &[KeyId]) -> Result<(), Error> {
        let find = || -> Result<Vec<i64>, Error> {
            let mut find = self
                .connection
                .prepare_cached("SELECT n FROM scope WHERE id = ?1")?;
            let rows = ids
                .iter()
                .map(|id| find.query_row([id.0], |row| row.get(0)));
            Ok(rows.collect::<Result<_, _>>()?)
        };
        let rows = find().map_err(keys)?;
        self.remove(&rows)
    }

    fn remove(&mut self, rows: &[i64]) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut remove = || -> Result<(), Error> {
            let write = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            for row in rows {
                write
                    .prepare_cached("DELETE FROM scope WHERE n = ?1")?
                    .execute([row])?;
            }
            Ok(write.commit()?)
        };
        remove().map_err(keys)
    }

    /// Puts another ring in the place of the one that is, and wraps anew what `rewrap` does: all in
    /// one transaction. What was wrapped before may still be in the write-ahead log.
    pub(super) fn rotate(
        &mut self,
        source: &str,
        ring: &Ring,
        mut rewrap: impl FnMut(&mut Scope) -> Result<(), Error>,
    ) -> Result<u64, Error> {
        let mut rotate = || -> Result<u64, Error> {
            let write = self
                .connection
                .transaction_with_behavior(TransactionBehavior::Immediate)?;
            let erased: i64 = write.query_row("SELECT erased FROM ring", [], |row| row.get(0))?;
            write.execute("DELETE FROM ring", [])?;
            insert(&write, source, ring)?;
            write.execute("UPDATE ring SET erased = ?1", [erased])?;
            let mut after = 0_i64;
            let mut count = 0;
            loop {
                let some: Vec<(i64, Scope)> = write
                    .prepare_cached(
                        "SELECT n, id, sealed, metadata, request, answer, rows FROM scope
                         WHERE n > ?1 ORDER BY n LIMIT 1000",
                    )?
                    .query_map([after], |row| {
                        let scope = Scope {
                            id: KeyId(row.get(1)?),
                            sealed: row.get(2)?,
                            wrapped: [row.get(3)?, row.get(4)?, row.get(5)?, row.get(6)?],
                        };
                        Ok((row.get(0)?, scope))
                    })?
                    .collect::<Result<_, _>>()?;
                let Some((last, _)) = some.last() else {
                    break;
                };
                after = *last;
                for (n, mut scope) in some {
                    let before = scope.clone();
                    rewrap(&mut scope)?;
                    if scope == before {
                        continue;
                    }
                    count += 1;
                    let [metadata, request, answer, rows] = &scope.wrapped;
                    write
                        .prepare_cached(
                            "UPDATE scope SET metadata = ?1, request = ?2, answer = ?3, rows = ?4
                             WHERE n = ?5",
                        )?
                        .execute(params![metadata, request, answer, rows, n])?;
                }
            }
            write.commit()?;
            Ok(count)
        };
        rotate().map_err(keys)
    }

    /// Cuts the write-ahead log to nothing: it has pages as they were before. Whether that could be:
    /// it cannot while somebody reads.
    pub(super) fn forget_log(&self) -> Result<bool, Error> {
        crate::database::cut_log(&self.connection).map_err(keys)
    }
}

/// The files of the keys, besides the top key.
pub(crate) const FILES: [&str; 3] = ["keys.db-wal", "keys.db-shm", "keys.db"];

fn path(folder: &Path) -> PathBuf {
    folder.join("keys.db")
}

fn insert(to: &Connection, source: &str, ring: &Ring) -> Result<(), Error> {
    to.execute(
        "INSERT INTO ring (one, id, source, tenant, lookup) VALUES (1, ?1, ?2, ?3, ?4)",
        params![ring.id, source, ring.tenant, ring.lookup],
    )?;
    Ok(())
}

fn check(connection: &Connection) -> Result<(), Error> {
    let version: i32 = connection.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    match version {
        SCHEMA => Ok(()),
        version => Err(ErrorKind::Schema(version).into()),
    }
}

/// The same error as one of the keys: it says of which database it speaks.
fn keys(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Database => error.into_kind(ErrorKind::Keys),
        _ => error,
    }
}

fn unusable(error: std::io::Error) -> Error {
    Error::because(ErrorKind::Keys, error)
}

const SCHEMA: i32 = 2;
/// "tolk", as the journal has "toll".
const APPLICATION: i32 = 0x746f_6c6b;
const _: () = assert!(WRAPPED == 60);

/// `ring` is one row. `scope.n` makes rows come in their order, at the end; the index over ids has
/// no keys in it. `ring.erased` is the first entry of the log whose destructions were not done here:
/// a copy that is put back has an older one.
const TABLES: &str = "
    CREATE TABLE ring (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        erased INTEGER NOT NULL DEFAULT 0,
        id BLOB NOT NULL,
        source TEXT NOT NULL,
        tenant BLOB NOT NULL,
        lookup BLOB NOT NULL
    ) STRICT;
    CREATE TABLE scope (
        n INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        sealed BLOB NOT NULL,
        metadata BLOB NOT NULL,
        request BLOB NOT NULL,
        answer BLOB NOT NULL,
        rows BLOB NOT NULL
    ) STRICT;
";
