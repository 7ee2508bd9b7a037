//! What was not recorded: counted while it happens, and told as soon as the book can be written.
//!
//! Until then the counts are in a note, a small file that outlives the process. Its room is set
//! aside when the recorder begins, so that a full disk does not keep it from being written; it
//! belongs on another disk than the book, so that a broken one does not either. What a note tells
//! may be told twice, where a crash comes between the entry and the end of the note, and never not
//! at all, except for its last second.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    path::PathBuf,
    sync::{
        Mutex, MutexGuard, PoisonError,
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tollbook_exchange::Timestamp;

use crate::{Config, OnFailure, failure::Allow, folder::owner_only, writer::Shared};

/// What was not recorded of one connection, for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Gap {
    connection: String,
    /// Why it could not be recorded.
    why: String,
    /// What the connection does then.
    on_record_failure: String,
    /// When the first of it was, and the last.
    from: Timestamp,
    to: Timestamp,
    #[serde(flatten)]
    counts: Unrecorded,
    allowed: Option<Allow>,
}

/// How much was not recorded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Unrecorded {
    /// Requests that passed without a record.
    pub passed: u64,
    /// Requests that were refused without a record.
    pub refused: u64,
    /// Exchanges whose request was recorded, and not how they ended.
    pub unfinished: u64,
    /// Requests that passed while their record waited in memory, and have none.
    pub lost: u64,
}

/// One thing that was not recorded.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Missed {
    Passed,
    Refused,
    Unfinished,
    Lost,
}

/// All that was not recorded and is not told yet.
#[derive(Debug, Default)]
pub(crate) struct Gaps(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    gaps: BTreeMap<(String, String, String), Gap>,
    /// What is being written into the book, and stays in the note until that is done.
    telling: Vec<Gap>,
    /// All since the recorder began, told or not.
    all: Unrecorded,
    /// Changes so far.
    revision: u64,
}

/// What is found of an earlier recorder.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Told {
    blocked: Option<Blocked>,
    gaps: Vec<Gap>,
}

/// When recording ended, and why.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Blocked {
    since: Timestamp,
    why: String,
}

/// The file that outlives the process.
#[derive(Debug)]
pub(crate) struct Note {
    file: File,
    written: usize,
}

impl Gaps {
    /// Unrecorded something.
    pub(crate) fn missed(
        &self,
        missed: Missed,
        connection: &str,
        why: &'static str,
        policy: Option<&OnFailure>,
    ) {
        let now = Timestamp::now();
        let policy = policy.unwrap_or(&OnFailure::Block);
        let mut table = self.table();
        table.revision += 1;
        let key = (connection, why, policy.as_str());
        let key = (key.0.to_owned(), key.1.to_owned(), key.2.to_owned());
        let gap = table.gaps.entry(key).or_insert_with(|| Gap {
            connection: connection.to_owned(),
            why: why.to_owned(),
            on_record_failure: policy.as_str().to_owned(),
            from: now,
            to: now,
            counts: Unrecorded::default(),
            allowed: policy.allowed().cloned(),
        });
        gap.to = now;
        gap.counts.count(missed);
        table.all.count(missed);
    }

    /// What is not told yet, to tell it. Followed by [`told`](Self::told) or by
    /// [`give_back`](Self::give_back).
    pub(crate) fn take(&self) -> Vec<Gap> {
        let mut table = self.table();
        let taken: Vec<Gap> = std::mem::take(&mut table.gaps).into_values().collect();
        table.telling.extend(taken.iter().cloned());
        taken
    }

    /// What was taken is in the book.
    pub(crate) fn told(&self) {
        let mut table = self.table();
        table.revision += 1;
        table.telling.clear();
    }

    /// What was taken could not be told.
    pub(crate) fn give_back(&self) {
        let mut table = self.table();
        for gap in std::mem::take(&mut table.telling) {
            table.revision += 1;
            let policy = gap.on_record_failure.clone();
            let key = (gap.connection.clone(), gap.why.clone(), policy);
            match table.gaps.get_mut(&key) {
                Some(later) => later.joined(&gap),
                None => drop(table.gaps.insert(key, gap)),
            }
        }
    }

    /// All that was counted since the recorder began.
    pub(crate) fn counts(&self) -> Unrecorded {
        self.table().all
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Gap {
    /// What the book says of it.
    pub(crate) fn told(&self) -> Value {
        let mut told = json!({ "state": "gap" });
        if let (Value::Object(told), Ok(Value::Object(gap))) =
            (&mut told, serde_json::to_value(self))
        {
            told.extend(gap);
        }
        told
    }

    fn joined(&mut self, earlier: &Self) {
        self.from = self.from.min(earlier.from);
        self.to = self.to.max(earlier.to);
        self.counts.add(earlier.counts);
    }
}

impl Unrecorded {
    const fn count(&mut self, missed: Missed) {
        *match missed {
            Missed::Passed => &mut self.passed,
            Missed::Refused => &mut self.refused,
            Missed::Unfinished => &mut self.unfinished,
            Missed::Lost => &mut self.lost,
        } += 1;
    }

    const fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.refused += other.refused;
        self.unfinished += other.unfinished;
        self.lost += other.lost;
    }
}

impl Note {
    /// Opens the note of a recorder. Gives what an earlier one left in it, as the book says it.
    pub(crate) fn open(config: &Config) -> (Option<Self>, Vec<Value>) {
        let path = path(config);
        let opened = owner_only().create(true).truncate(false).open(&path);
        let opened = opened.and_then(|mut file| {
            // One that was torn is not all text. That there was one is told all the same.
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            // What is there stays until the book has it.
            if text.len() < ROOM {
                file.write_all(" ".repeat(ROOM - text.len()).as_bytes())?;
                file.sync_all()?;
            }
            let told = left(String::from_utf8_lossy(&text).trim());
            let written = text.len().max(ROOM);
            Ok((Self { file, written }, told))
        });
        match opened {
            Ok((note, told)) => (Some(note), told),
            Err(error) => {
                // Gaps are told by the process that sees them, if it can.
                tracing::warn!(%error, "the note of what is not recorded cannot be kept");
                (None, Vec::new())
            }
        }
    }

    /// Puts this into the place of what is there. Durable when it returns.
    fn write(&mut self, text: &str) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0))?;
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(bytes.len().max(self.written), b' ');
        self.file.write_all(&bytes)?;
        self.written = bytes.len();
        self.file.sync_data()
    }
}

/// Keeps the note until the recorder is closed.
pub(crate) fn keep(mut note: Note, over: &Receiver<()>, shared: &Shared) {
    let (mut kept, mut since) = (None, None);
    loop {
        let last = !matches!(over.recv_timeout(INTERVAL), Err(RecvTimeoutError::Timeout));
        let blocked = shared.failed().map(|why| Blocked {
            since: *since.get_or_insert_with(Timestamp::now),
            why: why.as_ref().to_owned(),
        });
        let (gaps, revision) = {
            let table = shared.gaps.table();
            let gaps = table.telling.iter().chain(table.gaps.values());
            (gaps.cloned().collect::<Vec<Gap>>(), table.revision)
        };
        let now = (revision, blocked.is_some());
        if kept != Some(now) {
            let text = match gaps.is_empty() && blocked.is_none() {
                true => Ok(String::new()),
                false => serde_json::to_string(&Told { blocked, gaps }),
            };
            match text
                .map_err(io::Error::from)
                .and_then(|text| note.write(&text))
            {
                Ok(()) => kept = Some(now),
                Err(error) => tracing::warn!(%error, "what is not recorded cannot be noted"),
            }
        }
        if last {
            return;
        }
    }
}

/// What an earlier recorder left, as the book says it.
fn left(text: &str) -> Vec<Value> {
    if text.is_empty() {
        return Vec::new();
    }
    let Ok(Told { blocked, gaps }) = serde_json::from_str(text) else {
        return vec![json!({ "state": "gap", "connection": null, "why": "note_unreadable" })];
    };
    let blocked = blocked.into_iter().flat_map(|Blocked { since, why }| {
        [
            json!({ "state": "blocked", "since": since, "why": why }),
            json!({ "state": "recovered", "before": "blocked" }),
        ]
    });
    blocked.chain(gaps.iter().map(Gap::told)).collect()
}

/// Where the note lies: where it is told to, else beside the anchor, else in the folder of the book.
fn path(config: &Config) -> PathBuf {
    match (&config.note, &config.anchor) {
        (Some(note), _) => note.clone(),
        (None, Some(anchor)) => {
            let mut path = anchor.as_os_str().to_owned();
            path.push(".gaps");
            path.into()
        }
        (None, None) => config.folder.join("journal.gaps"),
    }
}

/// Longer than the note of a usual gateway.
const ROOM: usize = 16 << 10;
const INTERVAL: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_found_by_the_next_recorder_and_what_is_told_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::new(dir.path(), "log.example");
        let gaps = Gaps::default();
        gaps.missed(Missed::Passed, "claude", "journal_space", None);
        gaps.missed(Missed::Refused, "claude", "journal_space", None);
        gaps.missed(Missed::Refused, "other", "journal_space", None);
        let (note, told) = Note::open(&config);
        assert!(told.is_empty());
        let mut note = note.unwrap();
        let text = serde_json::to_string(&Told {
            blocked: None,
            gaps: gaps.table().gaps.values().cloned().collect(),
        });
        note.write(&text.unwrap()).unwrap();
        // Twice, because the book may not have got it the first time.
        for _ in 0..2 {
            let (_, told) = Note::open(&config);
            let of = |gap: &Value| (gap["connection"].clone(), gap["passed"].clone());
            let told: Vec<_> = told.iter().map(of).collect();
            assert_eq!(
                told,
                [(json!("claude"), json!(1)), (json!("other"), json!(0))]
            );
        }
        note.write("").unwrap();
        assert!(Note::open(&config).1.is_empty());
        std::fs::write(path(&config), "{\"blocked\":").unwrap();
        assert_eq!(Note::open(&config).1[0]["why"], "note_unreadable");
        std::fs::write(path(&config), b"{\"blocked\":\xc3").unwrap();
        let (note, told) = Note::open(&config);
        assert_eq!(told[0]["why"], "note_unreadable");
        note.unwrap().write("").unwrap();
        assert!(Note::open(&config).1.is_empty());
    }

    #[test]
    fn what_could_not_be_told_is_joined_with_what_came_since() {
        let gaps = Gaps::default();
        gaps.missed(Missed::Refused, "claude", "journal_space", None);
        let taken = gaps.take();
        gaps.missed(Missed::Refused, "claude", "journal_space", None);
        gaps.missed(Missed::Lost, "claude", "journal_blocked", None);
        let first = taken[0].from;
        assert_eq!(gaps.table().telling, taken, "the note still has it");
        gaps.give_back();
        let counts = gaps.counts();
        assert_eq!((counts.refused, counts.lost), (2, 1));
        let told = gaps.take();
        assert_eq!(told.len(), 2);
        assert!(
            told.iter()
                .any(|gap| gap.from == first && gap.counts.refused == 2)
        );
        gaps.told();
        assert!(gaps.table().telling.is_empty() && gaps.take().is_empty());
    }
}
