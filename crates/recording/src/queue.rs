//! What waits to be written.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tollbook_exchange::{ExchangeId, SessionId};
use tollbook_ledger::{Hash, Kind, Seal};

use crate::{
    Error, ErrorKind, blob,
    erasure::Doomed,
    keys::KeyId,
    row::Row,
    scopes::{NewScope, Scope},
};

/// The way to the writer. It has no limit of its own: every job holds the bytes or the slot that
/// it was admitted with, so [`push`](Self::push) never has to wait or to refuse for want of room.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    lane: Mutex<Lane>,
    ready: Condvar,
}

#[derive(Debug, Default)]
struct Lane {
    jobs: VecDeque<Job>,
    /// How many of the jobs somebody waits for.
    awaited: usize,
    closed: bool,
}

/// What must be written together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Job {
    /// The row of a scope that begins with it.
    pub(crate) scope: Option<NewScope>,
    pub(crate) entries: Vec<Entry>,
    pub(crate) packs: Vec<StoredPack>,
    pub(crate) chunks: Vec<Chunk>,
    /// The scope it belongs to, which is not forgotten before it is written: until then nobody could
    /// find out where its numbers go on.
    pub(crate) within: Option<Arc<Scope>>,
    /// The connection of its exchange, if it has one.
    pub(crate) connection: Arc<str>,
    /// What is dropped.
    pub(crate) doomed: Option<Doomed>,
    /// Keys whose metadata nobody can read from here on: what is on its way under them is empty in
    /// lists.
    pub(crate) gone: Vec<KeyId>,
    /// Who waits for it.
    pub(crate) waiting: Option<oneshot::Sender<Result<(), Error>>>,
    /// What it was admitted with; given back when it is written.
    pub(crate) admitted: Option<OwnedSemaphorePermit>,
}

/// What [`Queue::take`] gives.
#[derive(Debug)]
pub(crate) enum Taken {
    Jobs(Vec<Job>),
    /// Nothing came in time.
    Nothing,
    /// The queue is closed and empty.
    Closed,
}

/// An entry of the log before it has its place in it.
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// The seconds within which the next heartbeat comes, in entries that say so.
    pub(crate) period: u16,
    pub(crate) time: i64,
    pub(crate) exchange: ExchangeId,
    pub(crate) session: SessionId,
    /// The salted digest of the envelope.
    pub(crate) salted: Hash,
    /// How the envelope is stored.
    pub(crate) seal: Seal,
    /// The salt of an envelope that is stored as it is; that of a sealed one is sealed with it.
    pub(crate) salt: Option<[u8; 32]>,
    /// What is stored.
    pub(crate) envelope: Vec<u8>,
    /// What it puts into the table of exchanges, if it belongs to one.
    pub(crate) row: Option<Row>,
    /// Where the body lies that was asked with.
    pub(crate) brings: Brings,
}

/// Which pieces of which scope an intent brings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brings {
    pub(crate) scope: u64,
    pub(crate) first: u32,
    pub(crate) count: u32,
}

/// Pieces of requests that were not there before, sealed.
pub(crate) struct StoredPack {
    pub(crate) scope: u64,
    /// The number of its first piece.
    pub(crate) number: u32,
    pub(crate) pieces: u32,
    pub(crate) addresses: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// Parts of an answer, sealed.
pub(crate) struct Chunk {
    pub(crate) exchange: ExchangeId,
    pub(crate) kind: i64,
    pub(crate) ordinal: u64,
    pub(crate) data: Vec<u8>,
}

impl Queue {
    /// Hands a job over, or back if nothing is taken any more.
    pub(crate) fn push(&self, job: Job) -> Result<(), Box<Job>> {
        let mut lane = self.lane();
        if lane.closed {
            return Err(Box::new(job));
        }
        lane.awaited += usize::from(job.waiting.is_some());
        lane.jobs.push_back(job);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits until then for jobs and takes the oldest, as many as fit into one transaction.
    ///
    /// Jobs that nobody waits for, such as outcomes, give others a moment to come along: otherwise
    /// each request that follows on another would wait for two syncs, that of the outcome before
    /// it and its own.
    pub(crate) fn take(&self, until: Instant) -> Taken {
        let time = until.saturating_duration_since(Instant::now());
        let (lane, _) = self
            .ready
            .wait_timeout_while(self.lane(), time, |lane| {
                lane.jobs.is_empty() && !lane.closed
            })
            .unwrap_or_else(PoisonError::into_inner);
        if lane.jobs.is_empty() {
            return match lane.closed {
                true => Taken::Closed,
                false => Taken::Nothing,
            };
        }
        let idle =
            |lane: &mut Lane| lane.awaited == 0 && !lane.closed && lane.jobs.len() < MAX_JOBS;
        let (mut lane, _) = self
            .ready
            .wait_timeout_while(lane, LINGER, idle)
            .unwrap_or_else(PoisonError::into_inner);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < MAX_JOBS && bytes < MAX_BYTES {
            let Some(job) = lane.jobs.pop_front() else {
                break;
            };
            bytes += job.bytes();
            lane.awaited -= usize::from(job.waiting.is_some());
            taken.push(job);
        }
        Taken::Jobs(taken)
    }

    /// Takes no more. What is in the queue can still be taken out.
    pub(crate) fn close(&self) {
        self.lane().closed = true;
        self.ready.notify_all();
    }

    /// Whether it takes no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.lane().closed
    }

    fn lane(&self) -> MutexGuard<'_, Lane> {
        self.lane.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Job {
    /// Tells whoever waits that it is durable, and gives back what the job was admitted with.
    pub(crate) fn done(self) {
        drop(self.admitted);
        if let Some(waiting) = self.waiting {
            // A waiter that has left needs no answer.
            let _left = waiting.send(Ok(()));
        }
    }

    /// Tells whoever waits that it will never be written.
    pub(crate) fn fail(self, kind: &ErrorKind) {
        if let Some(waiting) = self.waiting {
            let _left = waiting.send(Err(kind.clone().into()));
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        let entries = self.entries.iter().map(|entry| entry.envelope.len());
        entries
            .chain(self.packs.iter().map(|pack| pack.data.len()))
            .chain(self.chunks.iter().map(|chunk| chunk.data.len()))
            .sum()
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry")
            .field("kind", &self.kind)
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}

impl StoredPack {
    /// Its digest, as a leaf's seal has it.
    pub(crate) fn digest(&self) -> Hash {
        pack_digest(self.pieces, &self.addresses, &self.data)
    }
}

/// The digest of a pack, as a leaf's seal has it.
pub(crate) fn pack_digest(pieces: u32, addresses: &[u8], data: &[u8]) -> Hash {
    blob::digest(&[&pieces.to_be_bytes(), addresses], data)
}

impl std::fmt::Debug for StoredPack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredPack")
            .field("scope", &self.scope)
            .field("number", &self.number)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chunk")
            .field("exchange", &self.exchange)
            .field("ordinal", &self.ordinal)
            .finish_non_exhaustive()
    }
}

/// As much as goes into one transaction: the point where larger groups stop being faster.
const MAX_JOBS: usize = 256;
const MAX_BYTES: usize = 4 << 20;
/// How long a job that nobody waits for stays for others. A crash within it leaves an exchange
/// whose end nobody saw, as a crash a moment earlier would have.
const LINGER: Duration = Duration::from_millis(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn take(queue: &Queue) -> Option<usize> {
        match queue.take(Instant::now() + Duration::from_secs(10)) {
            Taken::Jobs(jobs) => Some(jobs.len()),
            _ => None,
        }
    }

    fn job(bytes: usize) -> Job {
        let chunk = Chunk {
            exchange: ExchangeId::generate(),
            kind: 1,
            ordinal: 0,
            data: vec![0; bytes],
        };
        Job {
            chunks: vec![chunk],
            ..Job::default()
        }
    }

    #[test]
    fn a_group_is_bounded_in_jobs_and_in_bytes() {
        let queue = Queue::default();
        for _ in 0..MAX_JOBS + 1 {
            queue.push(job(1)).unwrap();
        }
        assert_eq!(take(&queue), Some(MAX_JOBS));
        assert_eq!(take(&queue), Some(1));

        for _ in 0..3 {
            queue.push(job(MAX_BYTES / 2)).unwrap();
        }
        assert_eq!(take(&queue), Some(2));
    }

    #[test]
    fn a_closed_queue_is_emptied_and_takes_no_more() {
        let queue = Queue::default();
        queue.push(job(1)).unwrap();
        queue.close();
        assert!(queue.push(job(1)).is_err());
        assert_eq!(take(&queue), Some(1));
        assert!(matches!(queue.take(Instant::now()), Taken::Closed));
    }

    #[test]
    fn nothing_comes_in_time() {
        let queue = Queue::default();
        assert!(matches!(queue.take(Instant::now()), Taken::Nothing));
    }

    #[test]
    fn outcomes_go_along_with_the_next_request() {
        let queue = std::sync::Arc::new(Queue::default());
        queue.push(job(1)).unwrap();
        let taker = std::thread::spawn({
            let queue = std::sync::Arc::clone(&queue);
            move || take(&queue)
        });
        let (waiting, _answer) = oneshot::channel();
        let awaited = Job {
            waiting: Some(waiting),
            ..job(1)
        };
        queue.push(awaited).unwrap();
        assert_eq!(taker.join().unwrap(), Some(2));
        // And without one they do not wait for ever.
        queue.push(job(1)).unwrap();
        assert_eq!(take(&queue), Some(1));
    }
}
