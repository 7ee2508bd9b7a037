//! The state's database: its schema, and how it must be opened.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, OpenFlags, OptionalExtension};

use crate::{Error, ErrorKind};

/// Opens the database for its one writer, and brings its schema up to date. `key_check` names the
/// key that goes with it.
pub(crate) fn open(path: &Path, key_check: &[u8]) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA mmap_size = 0;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;",
    )?;
    let version = known_version(&connection)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(ErrorKind::Database.into());
    }
    if version > 0 {
        check(&connection)?;
    }
    let migrate = connection.transaction()?;
    let done = usize::try_from(version).unwrap_or(0);
    for step in MIGRATIONS.iter().skip(done) {
        migrate.execute_batch(step)?;
    }
    migrate.pragma_update(None, "application_id", APPLICATION)?;
    migrate.pragma_update(None, "user_version", newest())?;
    migrate.execute(
        "INSERT INTO kept (name, data) VALUES ('key check', ?1) ON CONFLICT DO NOTHING",
        [key_check],
    )?;
    let kept: Vec<u8> = migrate.query_row(
        "SELECT data FROM kept WHERE name = 'key check'",
        [],
        |row| row.get(0),
    )?;
    if kept != key_check {
        return Err(ErrorKind::Key.into());
    }
    migrate.commit()?;
    Ok(connection)
}

/// Whether the file at `path` holds nothing yet.
pub(crate) fn is_new(path: &Path) -> Result<bool, Error> {
    match path.metadata() {
        Ok(metadata) => Ok(metadata.len() == 0),
        Err(error) => Err(Error::because(ErrorKind::Folder, error)),
    }
}

/// Opens a database to read it, whether or not somebody writes it meanwhile.
pub(crate) fn read(path: &Path) -> Result<Connection, Error> {
    if !path.exists() || is_new(path)? {
        return Err(ErrorKind::NoState.into());
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    let (connection, version) = match known_version(&connection) {
        Ok(version) => (connection, version),
        // A copy on a medium that cannot be written has no place for the files that go with a
        // write-ahead log. It needs none if there is no log.
        Err(error) if error.kind() == ErrorKind::Database && !has_log(path) => {
            let flags = flags | OpenFlags::SQLITE_OPEN_URI;
            let connection = Connection::open_with_flags(immutable(path), flags)?;
            let version = known_version(&connection)?;
            (connection, version)
        }
        Err(error) => return Err(error),
    };
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
    )?;
    if version == newest() {
        Ok(connection)
    } else {
        Err(ErrorKind::Schema(version).into())
    }
}

/// An unsigned number as SQLite keeps it.
pub(crate) fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| ErrorKind::Corrupt.into())
}

/// How many rows at most, as SQLite counts.
pub(crate) fn limit(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The schema's version, if it is one this build knows; 0 in a new file.
fn known_version(connection: &Connection) -> Result<i32, Error> {
    let pragma = |name: &str| connection.query_row(name, [], |row| row.get::<_, i32>(0));
    let version = pragma("PRAGMA user_version")?;
    let application = pragma("PRAGMA application_id")?;
    let tables: Option<i64> = connection
        .query_row("SELECT 1 FROM sqlite_schema LIMIT 1", [], |row| row.get(0))
        .optional()?;
    if tables.is_none() && version == 0 {
        return Ok(0);
    }
    if application != APPLICATION {
        return Err(ErrorKind::Corrupt.into());
    }
    if (1..=newest()).contains(&version) {
        Ok(version)
    } else {
        Err(ErrorKind::Schema(version).into())
    }
}

/// Refuses a damaged file before anything is decided by it.
fn check(connection: &Connection) -> Result<(), Error> {
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(ErrorKind::Corrupt.into())
    }
}

fn has_log(path: &Path) -> bool {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    Path::new(&log).exists()
}

/// The path as a URI for a file that nobody changes (<https://sqlite.org/uri.html>).
fn immutable(path: &Path) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => {
                uri.push(char::from(*byte));
            }
            _ => uri.push_str(&format!("%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}

fn newest() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Nobody but a checkpoint, or a command that reads, holds a lock besides the writer.
const BUSY: Duration = Duration::from_secs(10);
/// "tols", so that `file` and its kind can tell what the database is.
const APPLICATION: i32 = 0x746f_6c73;

/// One step for each version of the schema. A step that was released is never changed.
///
/// Records are kept whole, as JSON; the columns beside them are what is searched by.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE kept (
        name TEXT PRIMARY KEY,
        data BLOB NOT NULL
    ) STRICT;

    -- Times of these three are seconds since 1970.
    CREATE TABLE token (
        hash BLOB PRIMARY KEY,
        issued INTEGER NOT NULL,
        expires INTEGER NOT NULL,
        revoked INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX token_issued ON token (issued DESC, hash);
    CREATE INDEX token_expires ON token (expires);
    CREATE TABLE revocation (
        id INTEGER PRIMARY KEY,
        until INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE TABLE assertion (
        hash BLOB PRIMARY KEY,
        exchanges INTEGER NOT NULL,
        until INTEGER NOT NULL
    ) STRICT;

    -- Times of these two are microseconds since 1970.
    CREATE TABLE approval (
        id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        state TEXT NOT NULL,
        open INTEGER NOT NULL,
        identity TEXT NOT NULL,
        owner TEXT NOT NULL,
        connection TEXT NOT NULL,
        exact TEXT NOT NULL,
        semantic TEXT,
        slot TEXT NOT NULL,
        created INTEGER NOT NULL,
        due INTEGER,
        ended INTEGER,
        record TEXT NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX approval_slot ON approval (slot) WHERE open = 1;
    CREATE INDEX approval_identity ON approval (identity) WHERE open = 1;
    CREATE INDEX approval_owner ON approval (owner, connection, created);
    CREATE INDEX approval_created ON approval (created);
    CREATE INDEX approval_due ON approval (due) WHERE due IS NOT NULL;
    CREATE INDEX approval_ended ON approval (ended) WHERE ended IS NOT NULL;
    CREATE TABLE granted (
        id TEXT PRIMARY KEY,
        version INTEGER NOT NULL,
        identity TEXT NOT NULL,
        connection TEXT NOT NULL,
        begins INTEGER NOT NULL,
        until INTEGER NOT NULL,
        review INTEGER NOT NULL,
        record TEXT NOT NULL
    ) STRICT;
    CREATE INDEX granted_scope ON granted (identity, connection, until);
"];

#[cfg(test)]
mod tests {
    use super::*;

    fn new(dir: &tempfile::TempDir) -> std::path::PathBuf {
        let path = dir.path().join("50% of? the #1 st\u{e4}te.db");
        std::fs::File::create(&path).unwrap();
        path
    }

    #[test]
    fn the_state_is_safe_against_power_cuts() {
        let dir = tempfile::tempdir().unwrap();
        let connection = open(&new(&dir), b"check").unwrap();
        let pragma = |name| -> i64 {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .unwrap()
        };
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("mmap_size"), 0);
        let mode: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .unwrap();
        assert_eq!(mode, "wal");
    }

    #[test]
    fn an_unknown_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = new(&dir);
        let connection = open(&path, b"check").unwrap();
        connection.pragma_update(None, "user_version", 99).unwrap();
        drop(connection);
        for refused in [open(&path, b"check"), read(&path)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Schema(99));
        }
    }

    #[test]
    fn the_database_of_another_program_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = new(&dir);
        let other = Connection::open(&path).unwrap();
        other.execute_batch("CREATE TABLE theirs (x)").unwrap();
        drop(other);
        let before = std::fs::read(&path).unwrap();
        for refused in [open(&path, b"check"), read(&path)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_database_keeps_to_its_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = new(&dir);
        drop(open(&path, b"check").unwrap());
        assert!(open(&path, b"check").is_ok());
        let refused = open(&path, b"other").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Key);
    }

    #[test]
    fn a_file_that_nobody_changes_is_read_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = new(&dir);
        drop(open(&path, b"check").unwrap());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(immutable(&path), flags).unwrap();
        assert_eq!(known_version(&connection).unwrap(), newest());
    }
}
