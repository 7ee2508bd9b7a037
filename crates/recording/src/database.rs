//! The journal's database: its schema, and how it must be opened.

use std::{path::Path, time::Duration};

use rusqlite::{Connection, ErrorCode, OpenFlags, config::DbConfig};

use crate::{Error, ErrorKind};

/// Opens the journal for its one writer, and creates the tables of a new one.
pub(crate) fn open(path: &Path, limit: Option<u64>) -> Result<Connection, Error> {
    // Older versions can corrupt a database when two connections checkpoint at once.
    if rusqlite::version_number() < 3_051_003 {
        return Err(ErrorKind::Engine.into());
    }
    let mut connection = connect(path)?;
    let version = version(&connection)?;
    if version != 0 && version != SCHEMA {
        return Err(ErrorKind::Schema(version).into());
    }
    connection.pragma_update(None, "page_size", PAGE)?;
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(ErrorKind::Database.into());
    }
    if let Some(limit) = limit {
        let pages = i64::try_from(limit / u64::from(PAGE)).unwrap_or(i64::MAX);
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
    }
    if version == 0 {
        let create = connection.transaction()?;
        create.execute_batch(TABLES)?;
        create.pragma_update(None, "application_id", APPLICATION)?;
        create.pragma_update(None, "user_version", SCHEMA)?;
        create.commit()?;
    }
    Ok(connection)
}

/// A second connection to a journal that is open for writing.
pub(crate) fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    keep_plans(&connection)?;
    connection.busy_timeout(BUSY)?;
    connection.pragma_update(None, "synchronous", SYNCHRONOUS)?;
    connection.execute_batch(
        "PRAGMA fullfsync = ON;
         PRAGMA checkpoint_fullfsync = ON;
         PRAGMA mmap_size = 0;
         PRAGMA wal_autocheckpoint = 0;
         PRAGMA secure_delete = FAST;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Opens a journal to read it, whether or not somebody writes it meanwhile.
pub(crate) fn read(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let connection = match version(&connection) {
        Ok(_) => connection,
        // A copy on a medium that cannot be written has no place for the files that go with a
        // write-ahead log. It needs none if there is no log.
        Err(_) if !with_suffix(path, "-wal").exists() => {
            Connection::open_with_flags(immutable(path), flags | OpenFlags::SQLITE_OPEN_URI)?
        }
        Err(error) => return Err(error),
    };
    keep_plans(&connection)?;
    connection.busy_timeout(BUSY)?;
    connection.execute_batch(
        "PRAGMA query_only = ON; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
    )?;
    match version(&connection)? {
        SCHEMA => Ok(connection),
        version => Err(ErrorKind::Schema(version).into()),
    }
}

/// Has a statement keep its plan whatever is bound to it. Otherwise SQLite parses and plans it anew at
/// each use where a table has a partial index that a bound value might be held against.
/// <https://sqlite.org/qpsg.html>
pub(crate) fn keep_plans(connection: &Connection) -> Result<(), Error> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    Ok(())
}

/// Cuts the write-ahead log to nothing. Whether that could be: it cannot while somebody reads it.
pub(crate) fn cut_log(connection: &Connection) -> Result<bool, Error> {
    let cut = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
        row.get::<_, i64>(0)
    });
    match cut {
        Ok(busy) => Ok(busy == 0),
        Err(error)
            if matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// The path of a file that SQLite keeps beside the database.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> std::path::PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// An unsigned number as SQLite keeps it.
pub(crate) fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| ErrorKind::Corrupt.into())
}

/// A number of SQLite's that cannot be negative.
pub(crate) fn unsigned(number: i64) -> Result<u64, Error> {
    u64::try_from(number).map_err(|_| ErrorKind::Corrupt.into())
}

fn version(connection: &Connection) -> Result<i32, Error> {
    Ok(connection.query_row("PRAGMA user_version", [], |row| row.get(0))?)
}

/// The path as a URI for a file that nobody changes (<https://sqlite.org/uri.html>).
pub(crate) fn immutable(path: &Path) -> String {
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

/// Only a checkpoint holds the database's lock besides the writer, and never for long.
pub(crate) const BUSY: Duration = Duration::from_secs(10);
const PAGE: u32 = 4 << 10;
const SCHEMA: i32 = 4;
/// At FULL the write-ahead log is synced at each commit. A build that is told to sync less, which no
/// release can be, is there to fail the power-cut test.
const SYNCHRONOUS: &str = match option_env!("TEST_WEAKENED") {
    Some(_) if cfg!(debug_assertions) => "NORMAL",
    _ => "FULL",
};
/// "toll", so that `file` and its kind can tell what the database is.
const APPLICATION: i32 = 0x746f_6c6c;

/// `entry` is the log and `head` is the tree and its signed checkpoint. `pack` holds the bodies of
/// requests, as pieces of a scope, and `part` those of answers. What is in them, and the envelopes of
/// exchanges, is sealed; the salt of an entry that is sealed is so too, and the column is null.
/// `scope` tells of whom and of which session a scope is, by a keyed hash and an id.
///
/// `exchange` and `caller` are derived from the envelopes, for lists. Who asked for what is in the
/// latter: its rows come at the end, and are changed once, when they are erased, to blanks of the same
/// length. So they stay where they are, and with `secure_delete` no page has an older copy of one. `session` is derived
/// from the leaves: the end of the chain of each session that is not one exchange alone.
/// `anchored` is the tree as the anchor has it, or had shortly before, so that few leaves have to be
/// read to see whether the book is the one that was anchored.
/// Leaves stand before envelopes so that reading them all does not read those.
///
/// There are few indexes, because each of them is one more page in every commit: what a search
/// needs belongs into an index of its own, which need not be there before a request may pass.
///
/// `pack.id` is the number of the scope in the upper half and that of the pack's first piece in the
/// lower, so that a conversation lies together. `exchange.first` and `brought` are the pieces that the
/// intent brought. `clock.ahead` is by how many milliseconds the clock was found to have gone ahead, while
/// that is so much that it is doubted. `part.kind` is 1 for a response that is one body and 2 for one of events.
const TABLES: &str = "
    CREATE TABLE entry (
        seq INTEGER PRIMARY KEY,
        leaf BLOB NOT NULL,
        salt BLOB,
        envelope BLOB NOT NULL
    ) STRICT;
    CREATE TABLE scope (
        number INTEGER PRIMARY KEY,
        key BLOB NOT NULL,
        session BLOB NOT NULL,
        holder BLOB NOT NULL,
        alone INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE pack (
        id INTEGER PRIMARY KEY,
        pieces INTEGER NOT NULL,
        addresses BLOB NOT NULL,
        data BLOB NOT NULL
    ) STRICT;
    CREATE TABLE part (
        exchange BLOB NOT NULL,
        kind INTEGER NOT NULL,
        ordinal INTEGER NOT NULL,
        data BLOB NOT NULL,
        PRIMARY KEY (exchange, kind, ordinal)
    ) STRICT;
    CREATE TABLE head (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        size INTEGER NOT NULL,
        frontier BLOB NOT NULL,
        note TEXT NOT NULL
    ) STRICT;
    CREATE TABLE anchored (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        size INTEGER NOT NULL,
        frontier BLOB NOT NULL
    ) STRICT;
    CREATE TABLE clock (
        one INTEGER PRIMARY KEY CHECK (one = 1),
        ahead INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE exchange (
        intent INTEGER PRIMARY KEY,
        scope INTEGER NOT NULL,
        first INTEGER NOT NULL,
        brought INTEGER NOT NULL,
        closed INTEGER,
        id BLOB NOT NULL UNIQUE,
        session BLOB NOT NULL,
        connection TEXT NOT NULL,
        protocol TEXT NOT NULL,
        started INTEGER NOT NULL,
        ended INTEGER,
        verdict TEXT,
        outcome TEXT,
        status INTEGER
    ) STRICT;
    CREATE TABLE caller (
        intent INTEGER PRIMARY KEY,
        kind TEXT,
        issuer TEXT,
        subject TEXT,
        action TEXT,
        model TEXT
    ) STRICT;
    CREATE TABLE session (
        id BLOB PRIMARY KEY,
        entries INTEGER NOT NULL,
        exchanges INTEGER NOT NULL,
        open INTEGER NOT NULL,
        head BLOB NOT NULL,
        last INTEGER NOT NULL,
        time INTEGER NOT NULL,
        closed INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX scope_session ON scope (session, holder) WHERE alone = 0;
    CREATE INDEX entry_tombstone ON entry (seq) WHERE substr(leaf, 2, 1) = x'08';
    CREATE INDEX entry_hold ON entry (seq) WHERE substr(leaf, 2, 1) = x'09';
    CREATE INDEX exchange_closed ON exchange (closed) WHERE closed IS NOT NULL;
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_is_safe_against_power_cuts() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        std::fs::File::create(&path).unwrap();
        let connection = open(&path, None).unwrap();
        let pragma = |name| -> i64 {
            connection
                .pragma_query_value(None, name, |row| row.get(0))
                .unwrap()
        };
        assert_eq!(pragma("synchronous"), 2);
        assert_eq!(pragma("page_size"), i64::from(PAGE));
        assert_eq!(pragma("wal_autocheckpoint"), 0);
        assert_eq!(pragma("mmap_size"), 0);
    }

    #[test]
    fn an_unknown_schema_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("journal.db");
        std::fs::File::create(&path).unwrap();
        let connection = open(&path, None).unwrap();
        for unknown in [SCHEMA - 1, SCHEMA + 1] {
            connection
                .pragma_update(None, "user_version", unknown)
                .unwrap();
            for refused in [open(&path, None), read(&path)] {
                assert_eq!(refused.unwrap_err().kind(), &ErrorKind::Schema(unknown));
            }
        }
    }

    #[test]
    fn a_file_that_nobody_changes_is_read_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("50% of? the #1 b\u{f6}ok.db");
        std::fs::File::create(&path).unwrap();
        drop(open(&path, None).unwrap());
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(immutable(&path), flags).unwrap();
        assert_eq!(version(&connection).unwrap(), SCHEMA);
    }
}
