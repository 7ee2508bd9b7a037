//! The threads behind a recorder: one writes, one keeps the write-ahead log short, and one the
//! anchor close behind the book.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode};
use serde_json::json;
use tokio::sync::Semaphore;
use tollbook_exchange::{ExchangeId, Timestamp};
use tollbook_ledger::Kind;

use crate::{
    Error, ErrorKind,
    anchor::{Anchor, Head, SharedHead, follow},
    database::{connect, with_suffix},
    failure::{self, Spool},
    folder::Folder,
    gap::{self, Gaps, Missed, Note},
    journal::Journal,
    queue::{Job, Queue, Taken},
    scopes::Scope,
    space::{Space, Watch},
    spool::Spooled,
};

/// What the recorder's handles and its threads share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    /// Bytes that may still be admitted to the queue.
    pub(crate) room: Arc<Semaphore>,
    /// Exchanges that may still be opened.
    pub(crate) slots: Arc<Semaphore>,
    pub(crate) entries: AtomicU64,
    pub(crate) commits: AtomicU64,
    /// The end of the log, where there is an anchor to keep it.
    head: Mutex<Option<SharedHead>>,
    /// What the anchor holds and the journal does not know yet.
    anchored: Mutex<Option<SharedHead>>,
    /// The number of entries that the anchor is about.
    pub(crate) anchor_size: AtomicU64,
    /// The room on the disk, and its free bytes.
    space: Mutex<(Space, u64)>,
    /// By how many milliseconds the clock is ahead of what was known of the time before, in jumps.
    ahead: AtomicI64,
    /// Exchanges that were not begun for want of room.
    pub(crate) refused: AtomicU64,
    /// What is not recorded and not told yet.
    pub(crate) gaps: Gaps,
    /// What passed before it was durable.
    spool: Mutex<Spooled>,
    /// When the write began that is under way.
    writing: Mutex<Option<Instant>>,
    /// Why nothing is written any more.
    stopped: OnceLock<Arc<str>>,
}

impl Shared {
    pub(crate) fn new(room: usize, slots: usize, entries: u64) -> Self {
        Self {
            queue: Queue::default(),
            room: Arc::new(Semaphore::new(room)),
            slots: Arc::new(Semaphore::new(slots)),
            entries: AtomicU64::new(entries),
            commits: AtomicU64::new(0),
            head: Mutex::default(),
            anchored: Mutex::default(),
            anchor_size: AtomicU64::new(0),
            space: Mutex::new((Space::Enough, u64::MAX)),
            ahead: AtomicI64::new(0),
            refused: AtomicU64::new(0),
            gaps: Gaps::default(),
            spool: Mutex::default(),
            writing: Mutex::default(),
            stopped: OnceLock::new(),
        }
    }

    /// Hands a job to the writer. If there is none any more, whoever waits for the job is told.
    pub(crate) fn push(&self, job: Job) -> Result<(), Error> {
        self.queue.push(job).map_err(|job| {
            let kind = self.blocked();
            job.fail(&kind);
            kind.into()
        })
    }

    /// Hands a job to the writer that may have to wait until there is room on the disk.
    pub(crate) fn push_spooled(&self, job: Job) -> Result<(), Error> {
        let mut spool = lock(&self.spool);
        // Behind what waits already: the jobs of an exchange keep their order.
        let waits = self.space().0 == Space::Reserve || !spool.is_empty();
        if waits && self.stopped().is_none() {
            spool.push(job);
            return Ok(());
        }
        drop(spool);
        self.push(job)
    }

    /// Whether what is handed over has to wait for room on the disk.
    pub(crate) fn waits_for_room(&self) -> bool {
        self.space().0 == Space::Reserve || !lock(&self.spool).is_empty()
    }

    /// Whether something of this scope waits for room on the disk.
    pub(crate) fn waits_in(&self, scope: &Arc<Scope>) -> bool {
        lock(&self.spool).holds(scope)
    }

    /// Whether so much more may wait for room on the disk.
    pub(crate) fn spool_takes(&self, spool: Spool, bytes: usize) -> Result<(), Error> {
        lock(&self.spool).takes(spool, bytes)
    }

    /// Notes that a request passes before it is durable.
    pub(crate) fn passes_late(&self, exchange: ExchangeId, connection: &str) {
        lock(&self.spool).passes(exchange, connection);
    }

    /// Hands over what waited for room on the disk.
    fn unspool(&self) {
        let mut spool = lock(&self.spool);
        let mut refused = Vec::new();
        for job in spool.take() {
            match self.queue.push(job) {
                Ok(()) => {}
                Err(job) => refused.push(*job),
            }
        }
        // The recorder ends. They go on waiting, for the last that is written.
        refused.into_iter().for_each(|job| spool.push(job));
    }

    /// Ends all writing, for good. The first reason counts.
    pub(crate) fn stop(&self, reason: &str) {
        self.stopped.get_or_init(|| reason.into());
        self.queue.close();
        self.room.close();
        self.slots.close();
        while let Taken::Jobs(jobs) = self.queue.take(Instant::now()) {
            self.fail(jobs);
        }
        let (waited, late) = lock(&self.spool).lost();
        self.fail(waited);
        for connection in late {
            self.gaps
                .missed(Missed::Lost, &connection, "journal_blocked", None);
        }
    }

    /// Gives up jobs that will never be written: whoever waits is told, and what ended without a record
    /// of its end is counted. Those that passed late are counted for themselves.
    fn fail(&self, jobs: Vec<Job>) {
        let why = self.blocked();
        for job in jobs {
            let of_kind = |kind| job.entries.iter().find(|entry| entry.kind == kind);
            if let Some(outcome) = of_kind(Kind::Outcome)
                && !lock(&self.spool).is_late(outcome.exchange)
            {
                let missed = match of_kind(Kind::Intent) {
                    Some(_) => Missed::Lost,
                    None => Missed::Unfinished,
                };
                let word = failure::word(&why);
                self.gaps.missed(missed, &job.connection, word, None);
            }
            job.fail(&why);
        }
    }

    pub(crate) fn stopped(&self) -> Option<&Arc<str>> {
        self.stopped.get()
    }

    /// Why nothing is written any more, unless the recorder was told to end.
    pub(crate) fn failed(&self) -> Option<&Arc<str>> {
        self.stopped().filter(|reason| reason.as_ref() != CLOSED)
    }

    /// For how long the write that is under way has been so.
    pub(crate) fn writing(&self) -> Option<Duration> {
        let began = *lock(&self.writing);
        began.map(|began| began.elapsed())
    }

    /// The room on the disk, and its free bytes.
    pub(crate) fn space(&self) -> (Space, u64) {
        *lock(&self.space)
    }

    /// Notes that the clock went ahead, or back, by so many milliseconds.
    pub(crate) fn clock_went(&self, by: i64) {
        self.ahead.fetch_add(by, Ordering::Relaxed);
    }

    /// Whether the clock went so far ahead that nothing is to be destroyed by it unasked.
    pub(crate) fn doubts_clock(&self) -> bool {
        self.doubt() > 0
    }

    /// By how much it did, for the book to keep.
    fn doubt(&self) -> i64 {
        doubted(self.ahead.load(Ordering::Relaxed))
    }

    /// Notes that somebody says that the clock is right.
    pub(crate) fn trust_clock(&self) {
        self.ahead.store(0, Ordering::Relaxed);
    }

    /// The end of the log.
    pub(crate) fn head(&self) -> Option<SharedHead> {
        lock(&self.head).clone()
    }

    pub(crate) fn set_head(&self, head: Head) {
        *lock(&self.head) = Some(Arc::new(head));
    }

    /// Notes that the anchor holds this.
    pub(crate) fn anchored(&self, head: SharedHead) {
        self.anchor_size.store(head.size, Ordering::Relaxed);
        *lock(&self.anchored) = Some(head);
    }

    fn set_writing(&self, began: Option<Instant>) {
        *lock(&self.writing) = began;
    }

    /// The error of everything that is refused because writing ended.
    pub(crate) fn blocked(&self) -> ErrorKind {
        let reason = self.stopped.get().cloned();
        ErrorKind::Blocked(reason.unwrap_or_else(|| CLOSED.into()))
    }
}

/// What the threads work on.
pub(crate) struct Work {
    pub(crate) journal: Journal,
    pub(crate) path: PathBuf,
    pub(crate) heartbeat: Duration,
    pub(crate) deadline: Duration,
    pub(crate) anchor: Option<Anchor>,
    pub(crate) watch: Watch,
    /// Claimed for as long as one of them may still write, also where nobody waits for it any more.
    pub(crate) folder: Arc<Folder>,
}

/// Starts the threads. The last one is the writer's end: the others end after it.
pub(crate) fn start(work: Work, shared: &Arc<Shared>) -> Result<Vec<JoinHandle<()>>, Error> {
    let thread = |error: io::Error| Error::because(ErrorKind::Folder, error);
    let Work {
        journal,
        path,
        heartbeat,
        deadline,
        anchor,
        watch,
        folder,
    } = work;
    // Held by the writer: its end is how the anchor's thread learns of it.
    let (writing, written) = sync_channel::<()>(0);
    let mut threads = Vec::new();
    if let Some(anchor) = anchor {
        shared.set_head(journal.head());
        let follow = thread::Builder::new()
            .name("tollbook-anchor".into())
            .spawn({
                let shared = Arc::clone(shared);
                move || follow(anchor, &written, &shared)
            });
        threads.push(follow.map_err(thread)?);
    }
    let connection = connect(&path)?;
    // A checkpoint that meets a reader or the writer is simply tried again later.
    connection.busy_timeout(Duration::ZERO)?;
    // One waiting call is enough: whoever is called sees all that was written before.
    let (call, called) = sync_channel(1);
    let keeper = thread::Builder::new().name("tollbook-wal".into()).spawn({
        let (shared, claimed) = (Arc::clone(shared), Arc::clone(&folder));
        move || {
            keep_short(&connection, &with_suffix(&path, "-wal"), &called, &shared);
            drop((connection, claimed));
        }
    });
    let writer = thread::Builder::new()
        .name("tollbook-writer".into())
        .spawn({
            let shared = Arc::clone(shared);
            let mut stalls = Stalls::new(deadline);
            move || {
                write(journal, heartbeat, watch, &mut stalls, &shared, &call);
                drop((writing, folder));
            }
        });
    threads.push(writer.map_err(thread)?);
    threads.push(keeper.map_err(thread)?);
    Ok(threads)
}

/// Writes what comes, in groups: all that waits when a group begins shares one sync. At the end of
/// each period it writes a heartbeat, and a last entry when it is told to end.
fn write(
    mut journal: Journal,
    heartbeat: Duration,
    mut watch: Watch,
    stalls: &mut Stalls,
    shared: &Arc<Shared>,
    call: &SyncSender<()>,
) {
    // Also if this thread panics, nobody waits for it in vain.
    let _stop = StopOnDrop(Arc::clone(shared));
    journal.wait_while({
        let shared = Arc::clone(shared);
        move || !shared.queue.is_closed()
    });
    let mut due = Instant::now() + heartbeat;
    loop {
        let taken = shared.queue.take(due.min(watch.next()));
        let (jobs, over) = match taken {
            Taken::Jobs(jobs) => (jobs, false),
            Taken::Nothing => (Vec::new(), false),
            Taken::Closed => (Vec::new(), true),
        };
        // Whoever else stopped the recorder knows of the disk, or of the anchor, what this thread does
        // not: nothing is written any more, also not that it ends in good order.
        if shared.failed().is_some() {
            shared.fail(jobs);
            return;
        }
        let began = Instant::now();
        let before = journal.size();
        shared.set_writing(Some(began));
        if let Some(anchored) = lock(&shared.anchored).take() {
            journal.note_anchored(anchored);
        }
        journal.note_doubt(shared.doubt());
        let mut written = match jobs.is_empty() {
            true => Ok(()),
            false => journal.append(&jobs),
        };
        if over {
            written = written.and_then(|()| end(&mut journal, shared));
        } else if watch.next() <= Instant::now() {
            written = written.and_then(|()| look(&mut watch, &mut journal, stalls, shared));
        }
        if !over && due <= Instant::now() {
            written = written.and_then(|()| journal.beat());
            due = Instant::now() + heartbeat;
        }
        shared.set_writing(None);
        stalls.took(began.elapsed());
        match written {
            // A look that found nothing.
            Ok(()) if jobs.is_empty() && journal.size() == before => {}
            Ok(()) => {
                shared.entries.store(journal.size(), Ordering::Relaxed);
                if shared.head().is_some() {
                    shared.set_head(journal.head());
                }
                shared.commits.fetch_add(1, Ordering::Relaxed);
                lock(&shared.spool).written(&jobs);
                jobs.into_iter().for_each(Job::done);
                // Full means that the other thread has been called already.
                let _called = call.try_send(());
            }
            Err(error) => {
                shared.stop(&reason("the journal could not be written", &error));
                let why = shared.blocked();
                tracing::error!(error = %why, jobs = jobs.len(), "recording stopped");
                shared.fail(jobs);
                return;
            }
        }
        if over {
            return;
        }
    }
}

/// Looks whether the journal is still the file that is written, and how much room it has.
fn look(
    watch: &mut Watch,
    journal: &mut Journal,
    stalls: &mut Stalls,
    shared: &Shared,
) -> Result<(), Error> {
    if watch.is_gone() {
        return Err(ErrorKind::Gone.into());
    }
    if let Some(by) = watch.clock_jump() {
        tracing::warn!(by, "the clock was set, or the machine slept");
        shared.clock_went(by);
        journal.note_doubt(shared.doubt());
        let now = Timestamp::now();
        journal.tell(vec![
            json!({ "state": "clock_jump", "by_ms": by, "now": now }),
        ])?;
    }
    let looked = watch.look();
    if let Some((space, free)) = looked {
        room(watch, journal, shared, space, free)?;
    }
    // What little room there is belongs to what is open.
    if shared.space().0 != Space::Reserve {
        shared.unspool();
        tell_gaps(journal, shared)?;
        if let Some(told) = stalls.told() {
            journal.tell(vec![told])?;
        }
    }
    Ok(())
}

/// Writes what was not recorded.
fn tell_gaps(journal: &mut Journal, shared: &Shared) -> Result<(), Error> {
    let gaps = shared.gaps.take();
    if gaps.is_empty() {
        return Ok(());
    }
    let told = journal.tell(gaps.iter().map(gap::Gap::told).collect());
    match told {
        Ok(()) => shared.gaps.told(),
        Err(_) => shared.gaps.give_back(),
    }
    told
}

/// Writes all that is left to be told, and that the recorder ends.
fn end(journal: &mut Journal, shared: &Shared) -> Result<(), Error> {
    // Also into the reserve, which has been given up for what is open.
    let spooled: Vec<Job> = lock(&shared.spool).take().into();
    if !spooled.is_empty() {
        journal.append(&spooled)?;
        lock(&shared.spool).written(&spooled);
    }
    let (space, free) = shared.space();
    let refused = shared.refused.swap(0, Ordering::Relaxed);
    if refused > 0 {
        journal.state(space, free, refused)?;
    }
    tell_gaps(journal, shared)?;
    journal.stop()
}

/// Notes how much room the disk has, and tells where that is another state.
fn room(
    watch: &Watch,
    journal: &mut Journal,
    shared: &Shared,
    space: Space,
    free: u64,
) -> Result<(), Error> {
    let refused = {
        let mut known = lock(&shared.space);
        if known.0 == space {
            known.1 = free;
            return Ok(());
        }
        // What is refused from here on belongs to the state that begins.
        let refused = shared.refused.swap(0, Ordering::Relaxed);
        *known = (space, free);
        refused
    };
    tracing::warn!(
        free,
        state = space.as_str(),
        "the room on the disk of the book"
    );
    watch.enter(space);
    journal.state(space, free, refused)
}

/// The writes that took longer than they may.
#[derive(Debug)]
struct Stalls {
    deadline: Duration,
    count: u64,
    longest: Duration,
}

impl Stalls {
    const fn new(deadline: Duration) -> Self {
        Self {
            deadline,
            count: 0,
            longest: Duration::ZERO,
        }
    }

    fn took(&mut self, time: Duration) {
        if time > self.deadline {
            self.count += 1;
            self.longest = self.longest.max(time);
        }
    }

    /// What the book says of them, once.
    fn told(&mut self) -> Option<serde_json::Value> {
        let (count, longest) = (self.count, self.longest);
        *self = Self::new(self.deadline);
        let longest = u64::try_from(longest.as_millis()).unwrap_or(u64::MAX);
        (count > 0).then(|| json!({ "state": "stalled", "writes": count, "longest_ms": longest }))
    }
}

/// Starts the thread that keeps the note of what is not recorded until `over` has no sender.
pub(crate) fn start_note(
    note: Note,
    over: Receiver<()>,
    shared: &Arc<Shared>,
) -> Result<JoinHandle<()>, Error> {
    let shared = Arc::clone(shared);
    thread::Builder::new()
        .name("tollbook-gaps".into())
        .spawn(move || gap::keep(note, &over, &shared))
        .map_err(|error| Error::because(ErrorKind::Folder, error))
}

/// Moves the write-ahead log into the database until the writer is gone.
fn keep_short(connection: &Connection, wal: &Path, called: &Receiver<()>, shared: &Shared) {
    let mut dirty = true;
    let mut last = Instant::now();
    loop {
        let over = match called.recv_timeout(PAUSE) {
            Ok(()) => {
                dirty = true;
                // A pause gathers the work of many commits.
                if last.elapsed() < PAUSE {
                    continue;
                }
                false
            }
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        };
        last = Instant::now();
        if dirty {
            // Only a truncating checkpoint makes the writer begin anew while readers come and go.
            let mode = if over || size(wal) > WAL_LIMIT {
                "TRUNCATE"
            } else {
                "PASSIVE"
            };
            match checkpoint(connection, mode) {
                Ok(whole) => dirty = !whole,
                Err(error) => {
                    // A sync that failed here must not be tried again either.
                    shared.stop(&reason("the journal could not be checkpointed", &error));
                    tracing::error!(error = %shared.blocked(), "recording stopped");
                    return;
                }
            }
        }
        if over {
            return;
        }
    }
}

/// Whether all of the log is in the database now.
fn checkpoint(connection: &Connection, mode: &str) -> Result<bool, Error> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    let done = connection.query_row(&sql, [], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, i64>(1)?,
            row.get::<_, i64>(2)?,
        ))
    });
    match done {
        Ok((busy, log, moved)) => Ok(busy == 0 && log == moved),
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

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size(file: &Path) -> u64 {
    file.metadata().map_or(0, |metadata| metadata.len())
}

fn reason(what: &str, error: &Error) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{what}: {source}"),
        None => format!("{what}: {error}"),
    }
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.stop(if thread::panicking() {
            "the writer panicked"
        } else {
            CLOSED
        });
    }
}

/// By how many milliseconds a clock is ahead that went ahead by so many; zero if that is no reason to
/// doubt it.
pub(crate) const fn doubted(ahead: i64) -> i64 {
    if ahead > MAX_AHEAD { ahead } else { 0 }
}

pub(crate) const CLOSED: &str = "the recorder was closed";
const PAUSE: Duration = Duration::from_millis(500);
/// In milliseconds: two days.
const MAX_AHEAD: i64 = 48 * 60 * 60 * 1000;
const WAL_LIMIT: u64 = 64 << 20;
