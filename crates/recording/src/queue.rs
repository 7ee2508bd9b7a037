//! What waits to be written.

use std::{
    collections::VecDeque,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tollbook_exchange::{ExchangeId, SessionId};
use tollbook_ledger::Kind;

use crate::{Error, ErrorKind, row::Row};

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
    pub(crate) entries: Vec<Entry>,
    pub(crate) parts: Vec<Part>,
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
    pub(crate) salt: [u8; 32],
    pub(crate) envelope: Vec<u8>,
    /// What it puts into the table of exchanges, if it belongs to one.
    pub(crate) row: Option<Row>,
}

/// A piece of a body.
pub(crate) struct Part {
    pub(crate) exchange: ExchangeId,
    pub(crate) kind: i64,
    pub(crate) ordinal: u64,
    pub(crate) at: u64,
    pub(crate) data: Bytes,
}

impl Queue {
    /// Hands a job over, or back if nothing is taken any more.
    pub(crate) fn push(&self, job: Job) -> Result<(), Job> {
        let mut lane = self.lane();
        if lane.closed {
            return Err(job);
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
            .chain(self.parts.iter().map(|part| part.data.len()))
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

impl std::fmt::Debug for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Part")
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
        let part = Part {
            exchange: ExchangeId::generate(),
            kind: 0,
            ordinal: 0,
            at: 0,
            data: Bytes::from(vec![0; bytes]),
        };
        Job {
            parts: vec![part],
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
