//! The handle through which everything is recorded.

use std::{
    collections::{HashMap, hash_map},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tollbook_exchange::{Exchange, ExchangeId};
use tollbook_ledger::VerifierKey;

use crate::{
    Config, Error, ErrorKind, Recording,
    anchor::Anchor,
    folder::Folder,
    journal::Journal,
    keys::Keyring,
    recording::Open,
    scopes::Scopes,
    space::{Space, Watch},
    writer::{self, Shared},
};

/// Writes exchanges into the book. Clones share one book.
///
/// One thread writes. Everything that waits when it begins a transaction goes into that
/// transaction, so that many exchanges share one sync of the disk. An exchange is handed over in
/// three steps: [`begin`](Self::begin) opens it, [`commit`](Self::commit) makes what was asked
/// durable, and the end of its [`Recording`] writes how it ended.
///
/// When the last clone is gone, what waits is written and the threads end; that blocks for as long
/// as it takes.
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
    /// Dropped after the threads have been joined: the folder is free when nothing writes.
    folder: Folder,
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
        let folder = Folder::claim(&config.folder)?;
        let mut anchor = config.anchor.as_deref().map(Anchor::claim).transpose()?;
        let mut journal = Journal::open(&folder, &config, anchor.as_ref())?;
        // After the journal, which is the one that was anchored, and before anything is written.
        let keyring = Keyring::open(folder.path(), &config.keys, journal.size() == 0)?;
        journal.settle(&folder.journal()?, &keyring)?;
        let scopes = Scopes::open(&folder.journal()?, keyring)?;
        journal.start()?;
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
        let watch = Watch::new(&config, folder.journal()?)?;
        let room = config.queue.clamp(1, Semaphore::MAX_PERMITS.min(MAX_ROOM));
        let slots = config.exchanges.clamp(1, Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared::new(room, slots, journal.size()));
        let key = journal.verifier_key();
        let threads = writer::start(
            journal,
            folder.journal()?,
            config.heartbeat,
            anchor,
            watch,
            &shared,
        )?;
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
        if self.0.shared.space().0 == Space::Reserve {
            self.0.shared.refused.fetch_add(1, Ordering::Relaxed);
            return Err(ErrorKind::Space.into());
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
        let open = Arc::new(Open::new(exchange.clone(), salts, reserved));
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
        let inner = &self.0;
        let open = inner.open().get(&exchange.id()).cloned();
        let open = open.ok_or(ErrorKind::NotOpen)?;
        let bytes = exchange.draft(|draft| draft.request.body.as_inner().len());
        inner
            .in_time(async {
                let admitted = inner.admit(bytes).await?;
                let (waiting, written) = oneshot::channel();
                open.ask(inner, admitted, waiting)?;
                written.await.map_err(|_| inner.blocked())?
            })
            .await?;
        exchange.draft(|draft| draft.committed = true);
        Ok(())
    }

    /// Whether the book is being written.
    pub fn health(&self) -> Health {
        match self.0.shared.stopped() {
            None if (self.0.shared.writing()).is_some_and(|time| time > self.0.config.deadline) => {
                Health::Stalled
            }
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
    /// Tells whether all of it could be written: what was wrong before stays so.
    pub fn close(&self) -> Health {
        let before = self.health();
        self.0.close();
        match self.0.shared.stopped() {
            Some(reason) if reason.as_ref() != writer::CLOSED => Health::Blocked {
                reason: reason.as_ref().to_owned(),
            },
            _ => before,
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

    fn close(&self) {
        self.shared.queue.close();
        let threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            // A thread that panicked has stopped the recorder and said so.
            let _panicked = thread.join();
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.close();
    }
}

/// What an envelope takes, roughly.
const ENTRY_BYTES: usize = 4 << 10;
/// Permits are taken as 32-bit numbers.
const MAX_ROOM: usize = u32::MAX as usize;
