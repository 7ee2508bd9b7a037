//! The index's file and its tables.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig};

use crate::Error;

/// The index of a folder, and whether it is a file that stays.
pub(super) fn open(folder: &Path) -> Result<(Connection, bool), Error> {
    match kept(&path(folder)) {
        Ok(connection) => return Ok((connection, true)),
        Err(Unusable::Damaged) => {
            // It is made from the book, and can be made again.
            remove(folder);
            if let Ok(connection) = kept(&path(folder)) {
                return Ok((connection, true));
            }
        }
        Err(Unusable::Unwritable) => {}
    }
    // With nothing in its name it is a temporary file, which SQLite deletes when it is closed.
    let mut connection = Connection::open("")?;
    clear(&mut connection)?;
    Ok((connection, false))
}

/// Removes the index of a folder, as far as it may be removed. Who has it open still has it.
pub(super) fn remove(folder: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let mut path = path(folder).into_os_string();
        path.push(suffix);
        drop(fs::remove_file(PathBuf::from(path)));
    }
}

fn path(folder: &Path) -> PathBuf {
    folder.join("search.db")
}

/// Why a file is no index that can be used.
enum Unusable {
    /// What is in it is no index.
    Damaged,
    /// It cannot be written, or somebody else does not let go of it.
    Unwritable,
}

impl From<rusqlite::Error> for Unusable {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase, Unknown};
        match error.sqlite_error_code() {
            // `Unknown` is that of a table which is not there.
            Some(DatabaseCorrupt | NotADatabase | Unknown) | None => Self::Damaged,
            Some(_) => Self::Unwritable,
        }
    }
}

fn kept(path: &Path) -> Result<Connection, Unusable> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // SQLite gives its other files the mode of this one.
    options.open(path).map_err(|_| Unusable::Unwritable)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    // Plans do not hang on what is bound, so that no statement is planned anew at each use.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
    connection.execute_batch(
        "PRAGMA synchronous = NORMAL;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;
         PRAGMA cache_size = -65536;",
    )?;
    if version(&connection)? != VERSION {
        let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        // Another process may have made the tables since.
        if version(&change)? != VERSION {
            create(&change)?;
        }
        change.commit()?;
    }
    // What cannot be read at all is found out before anybody asks.
    connection.query_row("SELECT cursor FROM state", [], |_| Ok(()))?;
    Ok(connection)
}

/// Writes the file anew without what was taken out of the tables, and cuts its write-ahead log to
/// nothing. FTS5 keeps the words of what was deleted until its segments are merged, and SQLite the
/// pages that are free.
///
/// Tells whether it is done: the log cannot be cut while somebody reads what is older, and then the
/// index stays stale and the next one who takes something in tries again.
pub(super) fn purge(connection: &Connection) -> rusqlite::Result<bool> {
    connection.execute_batch(
        "DELETE FROM term WHERE NOT EXISTS (SELECT 1 FROM posting WHERE term = term.id);
         INSERT INTO text (text) VALUES ('optimize');
         VACUUM;",
    )?;
    let busy: i64 =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0))?;
    if busy != 0 {
        return Ok(false);
    }
    connection.execute("UPDATE state SET stale = 0", [])?;
    Ok(true)
}

/// Begins anew, with empty tables.
pub(super) fn clear(connection: &mut Connection) -> rusqlite::Result<()> {
    let change = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    create(&change)?;
    change.commit()
}

fn create(change: &Transaction<'_>) -> rusqlite::Result<()> {
    let tables: Vec<String> = change
        .prepare(
            "SELECT name FROM sqlite_schema
             WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name NOT LIKE 'text_%'",
        )?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    for table in tables {
        change.execute_batch(&format!("DROP TABLE \"{}\"", table.replace('"', "\"\"")))?;
    }
    change.execute_batch(TABLES)?;
    change.pragma_update(None, "application_id", APPLICATION)?;
    change.pragma_update(None, "user_version", VERSION)
}

fn version(connection: &Connection) -> rusqlite::Result<i32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

/// Another process takes in some thousand entries at a time.
const BUSY: Duration = Duration::from_secs(60);
const VERSION: i32 = 5;
/// "find".
const APPLICATION: i32 = 0x6669_6e64;

/// `exchange` has the numbers, `term` each value of each field once, `posting` which exchange has
/// which. `text` has the words of texts and not the texts: where they stand is told by the book.
/// `seen` is what was said in a session already, by the exchange that brought it.
///
/// `state.stale` is 1 while the file still has what was erased from the book, or words whose time is
/// over; `forgotten` is when the last exchange ended whose words are not here for that, and `looked`
/// when it was looked for such. `exchange.words` is 1 where `text` has a row.
///
/// `text` is fed with words that are cut already, so its tokenizer has only to part them at spaces.
const TABLES: &str = "
    CREATE TABLE state (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        cursor INTEGER NOT NULL,
        anchor BLOB,
        stale INTEGER NOT NULL,
        forgotten INTEGER,
        looked INTEGER
    ) STRICT;
    INSERT INTO state VALUES (1, 0, NULL, 0, NULL, NULL);
    CREATE TABLE exchange (
        intent INTEGER PRIMARY KEY,
        session INTEGER,
        started INTEGER NOT NULL,
        ended INTEGER,
        status INTEGER,
        tokens INTEGER,
        tokens_in INTEGER,
        tokens_out INTEGER,
        tokens_cached INTEGER,
        tokens_written INTEGER,
        cost INTEGER,
        duration INTEGER,
        first_byte INTEGER,
        bytes_in INTEGER,
        bytes_out INTEGER,
        masked INTEGER,
        calls INTEGER,
        risk INTEGER,
        words INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE INDEX exchange_words ON exchange (ended) WHERE words;
    CREATE INDEX exchange_session ON exchange (session, intent) WHERE session IS NOT NULL;
    CREATE TABLE term (
        id INTEGER PRIMARY KEY,
        field TEXT NOT NULL,
        value TEXT NOT NULL,
        uses INTEGER NOT NULL,
        UNIQUE (field, value)
    ) STRICT;
    CREATE TABLE posting (
        term INTEGER NOT NULL,
        exchange INTEGER NOT NULL,
        PRIMARY KEY (term, exchange)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX posting_exchange ON posting (exchange);
    CREATE TABLE seen (
        session INTEGER NOT NULL,
        mark INTEGER NOT NULL,
        exchange INTEGER NOT NULL,
        PRIMARY KEY (session, mark)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX seen_exchange ON seen (exchange);
    CREATE VIRTUAL TABLE text USING fts5 (
        prompt, answer, thinking, input, result, system,
        content = '', contentless_delete = 1, tokenize = 'ascii'
    );
";

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(folder: &Path) -> (i64, bool) {
        let (connection, kept) = open(folder).unwrap();
        let sql = "UPDATE state SET cursor = cursor + 1 RETURNING cursor";
        let cursor = connection.query_row(sql, [], |row| row.get(0)).unwrap();
        (cursor, kept)
    }

    #[test]
    fn an_index_that_cannot_be_read_is_begun_anew() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(cursor(dir.path()), (1, true));
        assert_eq!(cursor(dir.path()), (2, true));

        let file = dir.path().join("search.db");
        fs::write(&file, "no database at all, but long enough to be looked at").unwrap();
        assert_eq!(cursor(dir.path()), (1, true));

        Connection::open(&file)
            .unwrap()
            .pragma_update(None, "user_version", VERSION + 1)
            .unwrap();
        assert_eq!(cursor(dir.path()), (1, true));
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let _open = open(dir.path()).unwrap();
        for file in ["search.db", "search.db-wal", "search.db-shm"] {
            let mode = fs::metadata(dir.path().join(file))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn what_somebody_still_reads_stays_to_be_purged() {
        let dir = tempfile::tempdir().unwrap();
        let (connection, _) = open(dir.path()).unwrap();
        connection.busy_timeout(Duration::ZERO).unwrap();
        connection
            .execute("UPDATE state SET stale = 1", [])
            .unwrap();
        let stale = |connection: &Connection| -> bool {
            let sql = "SELECT stale FROM state";
            connection.query_row(sql, [], |row| row.get(0)).unwrap()
        };

        let (mut other, _) = open(dir.path()).unwrap();
        let reading = other.transaction().unwrap();
        assert!(stale(&reading));
        assert!(!purge(&connection).unwrap());
        assert!(stale(&connection));
        drop(reading);
        assert!(purge(&connection).unwrap());
        assert!(!stale(&connection));
    }

    #[test]
    fn without_a_folder_it_is_temporary() {
        assert_eq!(cursor(Path::new("/nonexistent")), (1, false));
    }
}
