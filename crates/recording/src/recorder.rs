//! The handle through which everything is recorded.

use std::{
    collections::{HashMap, hash_map},
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::Ordering,
        mpsc::{SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tollbook_exchange::{Exchange, ExchangeId, Level, Timestamp};
use tollbook_ledger::VerifierKey;

use crate::{
    Config, Error, ErrorKind, OnFailure, Recording, Spool, Unrecorded,
    anchor::Anchor,
    failure,
    folder::{self, Folder},
    gap::{Missed, Note},
    journal::Journal,
    keys::Keyring,
    recording::Open,
    scopes::Scopes,
    space::{Space, Watch},
    writer::{self, Shared, Work},
};

/// Writes exchanges into the book. Clones share one book.
///
/// One thread writes. Everything that waits when it begins a transaction goes into that
/// transaction, so that many exchanges share one sync of the disk. An exchange is handed over in
/// three steps: [`begin`](Self::begin) opens it, [`commit`](Self::commit) makes what was asked
/// durable, and the end of its [`Recording`] writes how it ended.
///
/// What cannot be recorded is counted by connection and reason, and an entry of the book tells it
/// as soon as there can be one: within seconds where recording goes on by itself, and at the next
/// start where it does not, from a [note](Config::note) that outlives the process. Changes of the
/// room on the disk, stalls and jumps of the clock are entries too.
///
/// When the last clone is gone, what waits is written and the threads end; that blocks for as long
/// as it takes, but no longer than [`Config::farewell`].
#[derive(Clone, Debug)]
pub struct Recorder(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) config: Config,
    open: Mutex<HashMap<ExchangeId, Arc<Open>>>,
    pub(crate) scopes: Scopes,
    key: VerifierKey,
    /// Held while something is erased or held.
    pub(crate) erasing: Mutex<()>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Who keeps the note of what is not recorded, and what that ends with.
    note: Mutex<Option<(SyncSender<()>, JoinHandle<()>)>>,
    /// The threads that write claim it as well: the folder is free when nothing writes.
    folder: Arc<Folder>,
}

/// Whether the book is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// It is.
    Healthy,
    /// It is, and the disk has little room.
    LowSpace {
        /// Free bytes.
        free: u64,
    },
    /// What is open is recorded to its end, and nothing new begins: the disk is almost full. It
    /// goes on by itself when there is room.
    Reserve {
        /// Free bytes.
        free: u64,
    },
    /// A write takes longer than its deadline. Whoever waits for it is refused; when it comes to
    /// its end, the book is written again.
    Stalled,
    /// It is not, and will not be until the process starts anew.
    Blocked {
        /// Why, for operators. No recorded bytes.
        reason: String,
    },
}

/// What a recorder has done and has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Entries in the log.
    pub entries: u64,
    /// Transactions since the recorder was opened.
    pub commits: u64,
    /// Exchanges under way.
    pub open: usize,
    /// Bytes that wait to be written.
    pub queued: usize,
    /// The number of entries that the anchor was brought up to; `None` without an anchor, zero
    /// before this recorder first did. What is above it a copy that is put back could hide.
    pub anchored: Option<u64>,
    /// What was not recorded since the recorder was opened. The book tells it too, when it can.
    pub unrecorded: Unrecorded,
}

impl Recorder {
    /// Opens the book in a folder, or begins one. Exchanges that an earlier recorder left open are
    /// closed as [indeterminate](tollbook_exchange::Outcome::Indeterminate). Blocks.
    ///
    /// # Errors
    ///
    /// When the folder is in use or not usable, its key is not private, the journal is not one
    /// that this key signed, or it is not the one that was anchored: an older copy of it, or one
    /// that went on from such a copy. [`recover`](crate::recover) is the way out of the last.
    pub fn open(config: Config) -> Result<Self, Error> {
        let folder = Arc::new(Folder::claim(&config.folder)?);
        folder.check_epochs(&config.origin)?;
        let mut anchor = config.anchor.as_deref().map(Anchor::claim).transpose()?;
        let mut journal = Journal::open(&folder, &config, anchor.as_ref())?;
        // After the journal, which is the one that was anchored, and before anything is written.
        let keyring = Keyring::open(folder.path(), &config.keys, journal.size() == 0)?;
        // By its name alone: to open and close the file here would drop the locks that SQLite holds on
        // it (fcntl's are the process's), and another program that closes it would take the log away.
        let path = folder::journal(folder.path());
        journal.settle(&path, &keyring)?;
        let scopes = Scopes::open(&path, keyring)?;
        let last = journal.last_time()?;
        let now = Timestamp::now().as_micros();
        let away = last.map_or(0, |last| now.saturating_sub(last) / 1000);
        let ahead = match journal.doubt() {
            0 => away.max(0),
            // A clock that was set right while nothing was recorded is not doubted any more.
            doubt => doubt.saturating_add(away),
        };
        journal.note_doubt(writer::doubted(ahead));
        journal.start()?;
        let (note, left) = Note::open(&config);
        if !left.is_empty() {
            tracing::warn!(
                what = left.len(),
                "told what an earlier recorder could not record"
            );
            journal.tell(left)?;
        }
        let swept = journal.sweep(&scopes)?;
        if swept > 0 {
            tracing::warn!(exchanges = swept, "closed exchanges whose end nobody saw");
        }
        if let Some(anchor) = &mut anchor {
            // From here on the book says that it has an anchor, so that one is.
            let head = journal.head();
            anchor.swap(&head.note)?;
            journal.note_anchored(head.into());
        }
        let watch = Watch::new(&config, path.clone())?;
        let room = config.queue.clamp(1, Semaphore::MAX_PERMITS.min(MAX_ROOM));
        let slots = config.exchanges.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared::new(room, slots, journal.size()));
        shared.clock_went(ahead);
        let key = journal.verifier_key();
        let work = Work {
            journal,
            path,
            heartbeat: config.heartbeat,
            deadline: config.deadline,
            anchor,
            watch,
            folder: Arc::clone(&folder),
        };
        let threads = writer::start(work, &shared)?;
        let note = match note {
            Some(note) => {
                let (end, over) = sync_channel(0);
                Some((end, writer::start_note(note, over, &shared)?))
            }
            None => None,
        };
        Ok(Self(Arc::new(Inner {
            shared,
            config: Config {
                queue: room,
                exchanges: slots,
                ..config
            },
            open: Mutex::default(),
            scopes,
            key,
            erasing: Mutex::default(),
            threads: Mutex::new(threads),
            note: Mutex::new(note),
            folder,
        })))
    }

    /// Opens an exchange. It waits when too many are under way.
    ///
    /// # Errors
    ///
    /// When nothing is recorded any more, the disk is almost full, or no other exchange ended in
    /// time.
    pub async fn begin(&self, exchange: &Exchange) -> Result<Recording, Error> {
        self.begin_under(exchange, &OnFailure::Block).await
    }

    /// The same. Where the disk has no room, the exchange waits in memory if `policy` lets it.
    pub(crate) async fn begin_under(
        &self,
        exchange: &Exchange,
        policy: &OnFailure,
    ) -> Result<Recording, Error> {
        let mut spool = None;
        if self.0.shared.space().0 == Space::Reserve {
            spool = policy.spool();
            let takes = |spool| self.0.shared.spool_takes(spool, ENTRY_BYTES).is_ok();
            if !spool.is_some_and(takes) {
                self.0.shared.refused.fetch_add(1, Ordering::Relaxed);
                return Err(ErrorKind::Space.into());
            }
        }
        let mut salts = [[0; 32]; 2];
        for salt in &mut salts {
            getrandom::fill(salt).map_err(|_| ErrorKind::Random)?;
        }
        let inner = &self.0;
        let slots = Arc::clone(&inner.shared.slots);
        let slot = inner
            .in_time(async { slots.acquire_owned().await.map_err(|_| inner.blocked()) })
            .await?;
        let reserved = inner.in_time(inner.scopes.reserve()).await?;
        let open = Arc::new(Open::new(exchange.clone(), salts, reserved, spool));
        match inner.open().entry(exchange.id()) {
            hash_map::Entry::Occupied(_) => return Err(ErrorKind::Twice.into()),
            hash_map::Entry::Vacant(place) => place.insert(Arc::clone(&open)),
        };
        Ok(Recording::new(Arc::clone(inner), open, slot))
    }

    /// Makes durable what was asked. When this returns, it may be forwarded.
    ///
    /// # Errors
    ///
    /// When it could not be written, or not in time: then nothing may be forwarded. It may be
    /// written later nonetheless; the exchange's outcome will tell that it was refused.
    pub async fn commit(&self, exchange: &Exchange) -> Result<(), Error> {
        self.commit_under(exchange, &OnFailure::Block).await
    }

    /// The same. What was handed over, and is not durable in time, passes if `policy` lets it wait
    /// in memory.
    pub(crate) async fn commit_under(
        &self,
        exchange: &Exchange,
        policy: &OnFailure,
    ) -> Result<(), Error> {
        let inner = &self.0;
        let open = inner.open().get(&exchange.id()).cloned();
        let open = open.ok_or(ErrorKind::NotOpen)?;
        let bytes = exchange.draft(|draft| draft.request.body.as_inner().len());
        let late = || {
            exchange.draft(|draft| draft.level = Level::Spool);
            let connection = exchange.connection();
            inner.shared.passes_late(exchange.id(), connection);
        };
        if let Some(spool) = open.spool()
            && inner.shared.waits_for_room()
        {
            inner.shared.spool_takes(spool, bytes)?;
            late();
            open.ask(inner, None, None)?;
            exchange.draft(|draft| draft.committed = true);
            return Ok(());
        }
        let mut handed_over = false;
        // Whoever comes while the disk hangs need not find out by waiting as well.
        let hangs = policy.spool().filter(|spool| inner.may_wait(*spool));
        let deadline = match hangs {
            Some(_) if self.health() == Health::Stalled => Duration::ZERO,
            _ => inner.config.deadline,
        };
        let written = inner.in_time(async {
            let admitted = inner.admit(bytes).await?;
            let (waiting, written) = oneshot::channel();
            open.ask(inner, Some(admitted), Some(waiting))?;
            handed_over = true;
            match tokio::time::timeout(deadline, written).await {
                Ok(written) => written.map_err(|_| inner.blocked())?,
                Err(_) => Err(ErrorKind::Deadline.into()),
            }
        });
        match written.await {
            Err(error)
                if error.kind() == &ErrorKind::Deadline
                    && handed_over
                    && policy.spool().is_some_and(|spool| inner.may_wait(spool)) =>
            {
                late();
            }
            written => written?,
        }
        exchange.draft(|draft| draft.committed = true);
        Ok(())
    }

    /// Why an exchange could not be begun, as far as that is still so.
    pub(crate) fn unable(&self) -> Error {
        let shared = &self.0.shared;
        match shared.stopped() {
            Some(_) => self.0.blocked(),
            None if self.0.scopes.keyring.broken().is_some() => ErrorKind::Keys.into(),
            None if shared.space().0 == Space::Reserve => ErrorKind::Space.into(),
            None => ErrorKind::Deadline.into(),
        }
    }

    /// Counts what is not recorded of a connection.
    pub(crate) fn missed(
        &self,
        missed: Missed,
        connection: &str,
        why: &ErrorKind,
        policy: &OnFailure,
    ) {
        let why = failure::word(why);
        self.0
            .shared
            .gaps
            .missed(missed, connection, why, Some(policy));
    }

    /// Whether the book is being written.
    pub fn health(&self) -> Health {
        match self.0.shared.stopped() {
            None if (self.0.shared.writing()).is_some_and(|time| time > self.0.config.deadline) => {
                Health::Stalled
            }
            None if let Some(why) = self.0.scopes.keyring.broken() => Health::Blocked {
                reason: format!("no keys can be made: {why}"),
            },
            None => {
                let (space, free) = self.0.shared.space();
                match space {
                    Space::Enough => Health::Healthy,
                    Space::Low => Health::LowSpace { free },
                    Space::Reserve => Health::Reserve { free },
                }
            }
            Some(reason) => Health::Blocked {
                reason: reason.as_ref().to_owned(),
            },
        }
    }

    /// What the recorder has done and has to do.
    pub fn stats(&self) -> Stats {
        let shared = &self.0.shared;
        Stats {
            entries: shared.entries.load(Ordering::Relaxed),
            commits: shared.commits.load(Ordering::Relaxed),
            open: self.0.open().len(),
            queued: (self.0.config.queue).saturating_sub(shared.room.available_permits()),
            anchored: (self.0.config.anchor.as_ref())
                .map(|_| shared.anchor_size.load(Ordering::Relaxed)),
            unrecorded: shared.gaps.counts(),
        }
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    /// The public key of the log. Give it to those who shall verify the book.
    pub fn verifier_key(&self) -> &VerifierKey {
        &self.0.key
    }

    /// The folder of the book.
    pub fn folder(&self) -> &Path {
        self.0.folder.path()
    }

    /// Writes what waits and ends the threads. Nothing can be recorded afterwards, and exchanges
    /// still under way will count as indeterminate. Blocks.
    ///
    /// Tells whether all of it could be written: what was wrong before stays so. A disk that hangs
    /// is waited for as long as [`Config::farewell`] says; what it takes after that is in the book,
    /// and what it does not take is closed by the next start.
    pub fn close(&self) -> Health {
        let before = self.health();
        let in_time = self.0.close();
        match self.0.shared.failed() {
            Some(reason) => Health::Blocked {
                reason: reason.as_ref().to_owned(),
            },
            None if !in_time => Health::Blocked {
                reason: HANGS.to_owned(),
            },
            None => before,
        }
    }
}

impl Inner {
    /// Waits for room in the queue.
    pub(crate) async fn admit(&self, bytes: usize) -> Result<OwnedSemaphorePermit, Error> {
        // What is larger than the whole queue goes through it alone. An entry without a body
        // takes room as well.
        let bytes = bytes.saturating_add(ENTRY_BYTES).min(self.config.queue);
        let permits = u32::try_from(bytes).unwrap_or(u32::MAX);
        Arc::clone(&self.shared.room)
            .acquire_many_owned(permits)
            .await
            .map_err(|_| self.blocked())
    }

    /// Runs a write under the deadline.
    pub(crate) async fn in_time<T>(
        &self,
        write: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let deadline: Duration = self.config.deadline;
        match tokio::time::timeout(deadline, write).await {
            Ok(written) => written,
            Err(_) => Err(ErrorKind::Deadline.into()),
        }
    }

    pub(crate) fn forget(&self, exchange: ExchangeId) {
        self.open().remove(&exchange);
    }

    pub(crate) fn blocked(&self) -> Error {
        self.shared.blocked().into()
    }

    fn open(&self) -> MutexGuard<'_, HashMap<ExchangeId, Arc<Open>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what was handed over may wait in memory for the disk.
    fn may_wait(&self, spool: Spool) -> bool {
        let queued = (self.config.queue).saturating_sub(self.shared.room.available_permits());
        let hangs = self.shared.writing().unwrap_or_default();
        queued <= spool.bytes && hangs <= spool.time
    }

    /// Ends the threads. Whether they came to their end in time.
    fn close(&self) -> bool {
        let until = Instant::now() + self.config.farewell;
        self.shared.queue.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let mut in_time = true;
        for thread in threads {
            in_time &= join(thread, until);
        }
        let note = self
            .note
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some((end, thread)) = note {
            // Last, because the others have a word to say of what is not recorded.
            drop(end);
            join(thread, until.max(Instant::now() + LAST_NOTE));
        }
        in_time
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// Waits until then for a thread. One that hangs is left to itself.
fn join(thread: JoinHandle<()>, until: Instant) -> bool {
    let mut pause = Duration::from_micros(100);
    while !thread.is_finished() {
        if Instant::now() >= until {
            return false;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    // A thread that panicked has stopped the recorder and said so.
    let _panicked = thread.join();
    true
}

/// Why a recorder that was told to end did not.
const HANGS: &str = "the disk did not take what was to be written in time";
/// How long the note of what is not recorded may take at the end.
const LAST_NOTE: Duration = Duration::from_secs(1);
/// What an envelope takes, roughly.
const ENTRY_BYTES: usize = 4 << 10;
/// Permits are taken as 32-bit numbers.
const MAX_ROOM: usize = u32::MAX as usize;
