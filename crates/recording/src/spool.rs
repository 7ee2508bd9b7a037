//! Records that wait in memory until there is room on the disk again.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::{Duration, Instant},
};

use tollbook_exchange::ExchangeId;
use tollbook_ledger::Kind;

use crate::{Error, ErrorKind, failure::Spool, queue::Job, scopes::Scope};

/// What passed before it was durable.
///
/// While the disk has no room, jobs wait here; while it only hangs, they wait in the writer's queue,
/// as all others do. Either way is known here whose request is not in the book yet, so that it can be
/// told if it never gets there.
#[derive(Debug, Default)]
pub(crate) struct Spooled {
    jobs: VecDeque<Job>,
    bytes: usize,
    since: Option<Instant>,
    /// The exchanges whose request is not in the book, with their connection until that is counted.
    late: HashMap<ExchangeId, Option<Arc<str>>>,
}

impl Spooled {
    /// Whether something of this size may wait as well.
    pub(crate) fn takes(&self, spool: Spool, bytes: usize) -> Result<(), Error> {
        let waited = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        if self.bytes.saturating_add(bytes) > spool.bytes || waited > spool.time {
            return Err(ErrorKind::Space.into());
        }
        Ok(())
    }

    /// Notes that a request passes before it is durable.
    pub(crate) fn passes(&mut self, exchange: ExchangeId, connection: &str) {
        self.late.insert(exchange, Some(connection.into()));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Whether a job of this scope waits.
    pub(crate) fn holds(&self, scope: &Arc<Scope>) -> bool {
        let of_scope = |job: &Job| (job.within.as_ref()).is_some_and(|own| Arc::ptr_eq(own, scope));
        self.jobs.iter().any(of_scope)
    }

    pub(crate) fn push(&mut self, job: Job) {
        self.bytes += job.bytes();
        self.since.get_or_insert_with(Instant::now);
        self.jobs.push_back(job);
    }

    /// All that waits, in the order in which it came.
    pub(crate) fn take(&mut self) -> VecDeque<Job> {
        (self.bytes, self.since) = (0, None);
        std::mem::take(&mut self.jobs)
    }

    /// Notes what is durable now.
    pub(crate) fn written(&mut self, jobs: &[Job]) {
        if self.late.is_empty() {
            return;
        }
        for entry in jobs.iter().flat_map(|job| &job.entries) {
            if entry.kind == Kind::Intent {
                self.late.remove(&entry.exchange);
            }
        }
    }

    /// Whether the request of this exchange passed late, and is not in the book.
    pub(crate) fn is_late(&self, exchange: ExchangeId) -> bool {
        self.late.contains_key(&exchange)
    }

    /// What waits when nothing is written any more, and the connections of the requests that passed
    /// and will never be in the book. Their exchanges stay known as late, for what follows of them.
    pub(crate) fn lost(&mut self) -> (Vec<Job>, Vec<Arc<str>>) {
        let connections = self.late.values_mut().filter_map(Option::take).collect();
        (self.take().into(), connections)
    }
}
