//! `sinks.db`: up to where each sink has sent, and what was set aside.

use std::{
    fmt,
    fs::OpenOptions,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use tollbook_exchange::{ExchangeId, Timestamp};

use crate::{Error, ErrorKind};

/// The cursors of the sinks of a book, in a file beside it. Clones share it.
///
/// Every call blocks: from async code call it on a thread for blocking work.
#[derive(Clone)]
pub struct Cursors(Arc<Mutex<Connection>>);

/// How a sink is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SinkState {
    /// Its name.
    pub name: String,
    /// What it sends to: `file`, `webhook`, …
    pub kind: String,
    /// The name of the log that it sends.
    pub log: String,
    /// The index of the first entry that it has not read.
    pub cursor: u64,
    /// How many entries the log has beyond that, as of the last look.
    pub behind: u64,
    /// How many records the other side has acknowledged.
    pub sent: u64,
    /// How many records were gone when it came to them: erased.
    pub skipped: u64,
    /// How many records are set aside.
    pub set_aside: u64,
    /// When the other side acknowledged something last.
    pub last_sent: Option<Timestamp>,
    /// Since when it fails; `None` while it does not.
    pub failing_since: Option<Timestamp>,
    /// Why the last try failed.
    pub why: Option<String>,
    /// Whether the failure is in the book.
    pub told: bool,
}

/// A record that the other side did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SetAside {
    /// The log that it is from.
    pub log: String,
    /// The index of its last entry.
    pub index: u64,
    /// The exchange.
    pub exchange: ExchangeId,
    /// Why.
    pub why: String,
    /// How often it was tried.
    pub tries: u32,
    /// When it was set aside.
    pub at: Timestamp,
    /// Whether it is to be sent again.
    pub again: bool,
}

/// Where a sink goes on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Place {
    pub(crate) state: SinkState,
    /// What the log has right before the cursor.
    pub(crate) anchor: Option<[u8; 32]>,
    /// Up to where the batch goes that may be under way.
    pub(crate) planned: Option<u64>,
}

/// A step forward.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) to: u64,
    pub(crate) anchor: Option<[u8; 32]>,
    pub(crate) sent: u64,
    pub(crate) skipped: u64,
    pub(crate) at: Timestamp,
}

impl Cursors {
    /// Opens the cursors in the folder of the book, or begins them: `sinks.db`, for its owner alone.
    ///
    /// # Errors
    ///
    /// When the file cannot be used, or is of another version.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path(folder.as_ref());
        let mut options = OpenOptions::new();
        options.create(true).truncate(false).read(true).write(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        // SQLite gives its other files the mode of this one.
        let file = options.open(&path);
        drop(file.map_err(|error| Error::because(ErrorKind::Cursors, error))?);
        let mut connection = Connection::open(&path)?;
        connection.busy_timeout(Duration::from_secs(10))?;
        connection.execute_batch(
            "PRAGMA synchronous = FULL;
             PRAGMA mmap_size = 0;
             PRAGMA trusted_schema = OFF;
             PRAGMA cell_size_check = ON;",
        )?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        if mode != "wal" {
            return Err(ErrorKind::Cursors.into());
        }
        let change = connection.transaction()?;
        let version: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match version {
            0 => change.execute_batch(SCHEMA)?,
            VERSION => {}
            _ => return Err(ErrorKind::Cursors.into()),
        }
        change.pragma_update(None, "user_version", VERSION)?;
        change.commit()?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }

    /// Opens the cursors that are in the folder of the book.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NoCursors`] when there are none, and those of [`open`](Self::open).
    pub fn existing(folder: impl AsRef<Path>) -> Result<Self, Error> {
        if !path(folder.as_ref()).is_file() {
            return Err(ErrorKind::NoCursors.into());
        }
        Self::open(folder)
    }

    /// Every sink that has run with the book, by name, as it was when it last changed.
    ///
    /// # Errors
    ///
    /// When the cursors cannot be read.
    pub fn states(&self) -> Result<Vec<SinkState>, Error> {
        let cursors = self.lock();
        let mut all = cursors.prepare_cached(&format!("{STATE} ORDER BY name"))?;
        let places = all.query_map([], place)?.collect::<Result<Vec<_>, _>>()?;
        Ok(places.into_iter().map(|place| place.state).collect())
    }

    /// What a sink has set aside, oldest first.
    ///
    /// # Errors
    ///
    /// When the cursors cannot be read.
    pub fn set_aside(&self, sink: &str, limit: u32) -> Result<Vec<SetAside>, Error> {
        let sql = "SELECT * FROM aside WHERE sink = ?1 ORDER BY id LIMIT ?2";
        let cursors = self.lock();
        let mut all = cursors.prepare_cached(sql)?;
        let all = all.query_map(params![sink, limit], aside)?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Has a sink try again what it set aside: the record of this index, or all. How many that are.
    /// The running gateway does so at its next look.
    ///
    /// # Errors
    ///
    /// When the cursors cannot be written.
    pub fn retry(&self, sink: &str, index: Option<u64>) -> Result<u64, Error> {
        let index = index.map(signed).transpose()?;
        let changed = self.lock().execute(
            // What is from another book stays: an index there is another record here, and the sink
            // would never come to it.
            "UPDATE aside SET again = 1 WHERE sink = ?1 AND (?2 IS NULL OR idx = ?2)
             AND origin = (SELECT origin FROM sink WHERE name = ?1)",
            params![sink, index],
        )?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    /// Where this sink goes on; at the start if it is a new one.
    pub(crate) fn begin(&self, name: &str, kind: &str, origin: &str) -> Result<Place, Error> {
        let cursors = self.lock();
        cursors.execute(
            "INSERT INTO sink (name, kind, origin) VALUES (?1, ?2, ?3)
             ON CONFLICT (name) DO UPDATE SET kind = ?2",
            [name, kind, origin],
        )?;
        let sql = format!("{STATE} WHERE name = ?1");
        Ok(cursors.query_row(&sql, [name], place)?)
    }

    /// Begins anew, with another book.
    pub(crate) fn rebase(&self, name: &str, origin: &str) -> Result<(), Error> {
        self.lock().execute(
            "UPDATE sink SET origin = ?2, cursor = 0, anchor = NULL, planned = NULL WHERE name = ?1",
            [name, origin],
        )?;
        Ok(())
    }

    /// Notes what will be sent together, before it is.
    pub(crate) fn plan(&self, name: &str, to: u64) -> Result<(), Error> {
        let to = signed(to)?;
        self.lock().execute(
            "UPDATE sink SET planned = ?2 WHERE name = ?1",
            params![name, to],
        )?;
        Ok(())
    }

    pub(crate) fn advance(&self, name: &str, step: &Step) -> Result<(), Error> {
        let at = (step.sent > 0).then_some(step.at.as_micros());
        self.lock().execute(
            "UPDATE sink SET cursor = ?2, anchor = ?3, planned = NULL, sent = sent + ?4,
                 skipped = skipped + ?5, last_sent = coalesce(?6, last_sent), behind = 0
             WHERE name = ?1",
            params![
                name,
                signed(step.to)?,
                step.anchor,
                signed(step.sent)?,
                signed(step.skipped)?,
                at
            ],
        )?;
        Ok(())
    }

    /// Keeps how far behind a sink is and why.
    pub(crate) fn keep(&self, state: &SinkState) -> Result<(), Error> {
        self.lock().execute(
            "UPDATE sink SET behind = ?2, failing_since = ?3, why = ?4, told = ?5 WHERE name = ?1",
            params![
                state.name,
                signed(state.behind)?,
                state.failing_since.map(Timestamp::as_micros),
                state.why,
                state.told
            ],
        )?;
        Ok(())
    }

    pub(crate) fn put_aside(&self, sink: &str, record: &SetAside) -> Result<(), Error> {
        self.lock().execute(
            "INSERT INTO aside (sink, origin, idx, exchange, why, tries, at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (sink, origin, idx)
             DO UPDATE SET why = ?5, tries = tries + ?6, at = ?7, again = 0",
            params![
                sink,
                record.log,
                signed(record.index)?,
                record.exchange.as_bytes(),
                record.why,
                record.tries,
                record.at.as_micros()
            ],
        )?;
        Ok(())
    }

    /// Those of what was set aside that somebody wants to be sent again.
    pub(crate) fn wanted(&self, sink: &str, origin: &str) -> Result<Vec<SetAside>, Error> {
        let sql = "SELECT * FROM aside
             WHERE sink = ?1 AND origin = ?2 AND again ORDER BY id LIMIT 100";
        let cursors = self.lock();
        let mut all = cursors.prepare_cached(sql)?;
        let all = all.query_map([sink, origin], aside)?;
        Ok(all.collect::<Result<_, _>>()?)
    }

    /// Forgets what was set aside; it was `sent`, or is gone from the book.
    pub(crate) fn taken_back(
        &self,
        sink: &str,
        record: &SetAside,
        sent: bool,
    ) -> Result<(), Error> {
        let mut cursors = self.lock();
        let change = cursors.transaction()?;
        change.execute(
            "DELETE FROM aside WHERE sink = ?1 AND origin = ?2 AND idx = ?3",
            params![sink, record.log, signed(record.index)?],
        )?;
        let count = if sent {
            "UPDATE sink SET sent = sent + 1 WHERE name = ?1"
        } else {
            "UPDATE sink SET skipped = skipped + 1 WHERE name = ?1"
        };
        change.execute(count, [sink])?;
        change.commit()?;
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How a sink is, if it has run.
    ///
    /// # Errors
    ///
    /// When the cursors cannot be read.
    pub fn state(&self, sink: &str) -> Result<Option<SinkState>, Error> {
        let sql = format!("{STATE} WHERE name = ?1");
        let place = self.lock().query_row(&sql, [sink], place).optional()?;
        Ok(place.map(|place| place.state))
    }
}

impl fmt::Debug for Cursors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cursors").finish_non_exhaustive()
    }
}

fn place(row: &Row<'_>) -> rusqlite::Result<Place> {
    let time = |name: &str| {
        let micros: Option<i64> = row.get(name)?;
        Ok::<_, rusqlite::Error>(micros.map(Timestamp::from_micros))
    };
    Ok(Place {
        state: SinkState {
            name: row.get("name")?,
            kind: row.get("kind")?,
            log: row.get("origin")?,
            cursor: number(row, "cursor")?,
            behind: number(row, "behind")?,
            sent: number(row, "sent")?,
            skipped: number(row, "skipped")?,
            set_aside: number(row, "set_aside")?,
            last_sent: time("last_sent")?,
            failing_since: time("failing_since")?,
            why: row.get("why")?,
            told: row.get("told")?,
        },
        anchor: row.get("anchor")?,
        planned: match row.get::<_, Option<i64>>("planned")? {
            Some(_) => Some(number(row, "planned")?),
            None => None,
        },
    })
}

fn aside(row: &Row<'_>) -> rusqlite::Result<SetAside> {
    Ok(SetAside {
        log: row.get("origin")?,
        index: number(row, "idx")?,
        exchange: ExchangeId::from_bytes(row.get("exchange")?),
        why: row.get("why")?,
        tries: row.get("tries")?,
        at: Timestamp::from_micros(row.get("at")?),
        again: row.get("again")?,
    })
}

fn number(row: &Row<'_>, name: &str) -> rusqlite::Result<u64> {
    let number: i64 = row.get(name)?;
    u64::try_from(number).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, number))
}

fn signed(number: u64) -> Result<i64, Error> {
    i64::try_from(number).map_err(|_| ErrorKind::Cursors.into())
}

fn path(folder: &Path) -> PathBuf {
    folder.join("sinks.db")
}

const STATE: &str = "SELECT *,
    (SELECT count(*) FROM aside WHERE aside.sink = sink.name) AS set_aside FROM sink";
const VERSION: i64 = 1;
const SCHEMA: &str = "
    CREATE TABLE sink (
        name TEXT PRIMARY KEY,
        kind TEXT NOT NULL,
        origin TEXT NOT NULL,
        cursor INTEGER NOT NULL DEFAULT 0,
        anchor BLOB,
        planned INTEGER,
        behind INTEGER NOT NULL DEFAULT 0,
        sent INTEGER NOT NULL DEFAULT 0,
        skipped INTEGER NOT NULL DEFAULT 0,
        last_sent INTEGER,
        failing_since INTEGER,
        why TEXT,
        told INTEGER NOT NULL DEFAULT 0
    ) STRICT;
    CREATE TABLE aside (
        id INTEGER PRIMARY KEY,
        sink TEXT NOT NULL,
        origin TEXT NOT NULL,
        idx INTEGER NOT NULL,
        exchange BLOB NOT NULL,
        why TEXT NOT NULL,
        tries INTEGER NOT NULL,
        at INTEGER NOT NULL,
        again INTEGER NOT NULL DEFAULT 0,
        UNIQUE (sink, origin, idx)
    ) STRICT;";

#[cfg(test)]
mod tests {
    use super::*;

    fn record(index: u64) -> SetAside {
        SetAside {
            log: "a".to_owned(),
            index,
            exchange: ExchangeId::from_bytes([7; 16]),
            why: "refused (400)".to_owned(),
            tries: 5,
            at: Timestamp::from_micros(9),
            again: false,
        }
    }

    #[test]
    fn a_place_outlives_the_process() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(
            Cursors::existing(folder.path()).unwrap_err().kind(),
            &ErrorKind::NoCursors
        );
        let cursors = Cursors::open(folder.path()).unwrap();
        assert_eq!(cursors.begin("s", "file", "a").unwrap().state.cursor, 0);
        cursors.plan("s", 12).unwrap();
        drop(cursors);
        let cursors = Cursors::existing(folder.path()).unwrap();
        assert_eq!(cursors.begin("s", "file", "a").unwrap().planned, Some(12));
        let step = Step {
            to: 12,
            anchor: Some([1; 32]),
            sent: 3,
            skipped: 1,
            at: Timestamp::from_micros(5),
        };
        cursors.advance("s", &step).unwrap();
        let place = cursors.begin("s", "file", "a").unwrap();
        assert_eq!((place.planned, place.anchor), (None, Some([1; 32])));
        let state = place.state;
        assert_eq!((state.cursor, state.sent, state.skipped), (12, 3, 1));
        assert_eq!(state.last_sent, Some(step.at));
    }

    #[test]
    fn what_was_set_aside_is_there_once_and_comes_back_when_it_is_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let cursors = Cursors::open(folder.path()).unwrap();
        cursors.begin("s", "file", "a").unwrap();
        for _ in 0..2 {
            cursors.put_aside("s", &record(4)).unwrap();
        }
        cursors.put_aside("s", &record(9)).unwrap();
        let all = cursors.set_aside("s", 10).unwrap();
        assert_eq!(all.iter().map(|one| one.index).collect::<Vec<_>>(), [4, 9]);
        assert_eq!(all[0].tries, 10);
        assert_eq!(cursors.states().unwrap()[0].set_aside, 2);

        assert!(cursors.wanted("s", "a").unwrap().is_empty());
        assert_eq!(cursors.retry("s", Some(5)).unwrap(), 0);
        assert_eq!(cursors.retry("s", Some(4)).unwrap(), 1);
        assert_eq!(cursors.wanted("s", "a").unwrap().len(), 1);
        assert!(cursors.wanted("s", "another").unwrap().is_empty());
        assert_eq!(cursors.retry("s", None).unwrap(), 2);
        cursors.rebase("s", "another").unwrap();
        assert_eq!(cursors.retry("s", None).unwrap(), 0, "of another log");
        cursors.rebase("s", "a").unwrap();
        cursors.taken_back("s", &record(4), true).unwrap();
        assert_eq!(cursors.wanted("s", "a").unwrap().len(), 1);
        assert_eq!(cursors.state("s").unwrap().unwrap().sent, 1);
        assert_eq!(cursors.state("t").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn the_file_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;

        let folder = tempfile::tempdir().unwrap();
        Cursors::open(folder.path()).unwrap();
        let mode = path(folder.path()).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
