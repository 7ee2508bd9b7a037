//! The engine: one handle by which approvals are asked for, decided and used.

use std::{
    collections::BTreeSet,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::TaskTracker;
use tollbook_exchange::{ExchangeId, Principal, Timestamp};

use crate::{
    Approval, ApprovalId, ApprovalsBuilder, Clock, Digests, Error, Event, EventId, EventKind,
    Filter, Key, Limits, Notify, Payload, People, PersonId, Refused, State, Store, Subject, Ticket,
    Witness, waiting::Waiting,
};

/// How often a step is tried when other gateways change the record at the same time.
const ATTEMPTS: usize = 8;

/// How many approvals one sweep ends at most.
const SWEEP: usize = 1000;

/// Approvals and grants: a cheap handle, of which all clones are one engine.
///
/// Each step is taken in the same order: the record is read, the step judged, the event made
/// durable by the [`Witness`], the record replaced in the [`Store`] if it is still the one that was
/// read, those who wait woken, the channels told. A step runs to its end even when the caller who
/// began it leaves; [`settle`](Self::settle) waits for such steps.
#[derive(Clone)]
pub struct Approvals(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) key: Key,
    pub(crate) witness: Arc<dyn Witness>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) people: People,
    pub(crate) limits: Limits,
    pub(crate) channels: Vec<Arc<dyn Notify>>,
    pub(crate) break_glass: BTreeSet<String>,
    pub(crate) reviewers: BTreeSet<String>,
    pub(crate) page: Option<String>,
    pub(crate) waiting: Waiting,
    pub(crate) asking: Turns,
    pub(crate) stepping: Turns,
    tasks: TaskTracker,
}

impl Inner {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        key: Key,
        witness: Arc<dyn Witness>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            store,
            key,
            witness,
            clock,
            people: People::default(),
            limits: Limits::default(),
            channels: Vec::new(),
            break_glass: BTreeSet::new(),
            reviewers: BTreeSet::new(),
            page: None,
            waiting: Waiting::default(),
            asking: Turns::default(),
            stepping: Turns::default(),
            tasks: TaskTracker::new(),
        }
    }
}

impl Approvals {
    /// An engine that keeps its records in `store`, digests requests under `key` and has each step
    /// noted by `witness`. To note nothing anywhere, say [`Unrecorded`](crate::Unrecorded).
    pub fn builder(store: Arc<dyn Store>, key: Key, witness: Arc<dyn Witness>) -> ApprovalsBuilder {
        ApprovalsBuilder::new(store, key, witness)
    }

    pub(crate) fn of(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Digests what a request does, as [`Ask`](crate::Ask) takes it.
    pub fn digests(&self, payload: Payload<'_>) -> Digests {
        Digests::of(&self.0.key, payload)
    }

    /// The limits it keeps to.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    /// Who is the same person as whom.
    pub fn people(&self) -> &People {
        &self.0.people
    }

    /// The approval of this name.
    ///
    /// # Errors
    ///
    /// [`Refused::NotFound`], and when the store fails.
    pub async fn show(&self, id: &ApprovalId) -> Result<Approval, Error> {
        let found = self.0.store.approval(id).await?;
        found.ok_or(Error::Refused(Refused::NotFound))
    }

    /// The approvals that the filter lets through, the newest first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn list(&self, filter: &Filter) -> Result<Vec<Approval>, Error> {
        Ok(self.0.store.approvals(filter).await?)
    }

    /// Gives up a pending approval.
    ///
    /// # Errors
    ///
    /// When it is not pending, or the step cannot be taken.
    pub async fn cancel(&self, id: &ApprovalId, by: Option<&Principal>) -> Result<Approval, Error> {
        let by = by.map(|by| self.0.people.person(by));
        self.step(id.clone(), by, None, Approval::cancel).await
    }

    /// Ends what time has ended, cancels what was given up, and forgets what is long over. To be
    /// called every few seconds by a task of the owner's.
    ///
    /// Nothing depends on it in safety: a step looks at the time itself.
    ///
    /// # Errors
    ///
    /// When the store or the witness fails; what was done until then stays done.
    pub async fn sweep(&self) -> Result<Swept, Error> {
        let mut swept = Swept::default();
        for id in self.0.waiting.take_abandoned() {
            // Somebody else may have come to wait for it.
            if !self.0.waiting.is_waited_for(&id) {
                match self.cancel(&id, None).await {
                    Ok(_) => swept.cancelled += 1,
                    Err(Error::Refused(_)) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let now = self.0.clock.now();
        for due in self.0.store.due(now, SWEEP).await? {
            match self.step(due.id, None, None, Approval::expire).await {
                Ok(ended) if ended.state == State::Lapsed => swept.lapsed += 1,
                Ok(_) => swept.expired += 1,
                // It was decided, or ended by somebody else, in the meantime.
                Err(Error::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let keep = micros(self.0.limits.keep);
        let before = Timestamp::from_micros(now.as_micros().saturating_sub_unsigned(keep));
        swept.forgotten = self.0.store.forget(before).await?;
        Ok(swept)
    }

    /// Tells the channels again of what is pending, after a restart. Answers how many there are.
    ///
    /// # Errors
    ///
    /// When the store or the witness fails.
    pub async fn resume(&self) -> Result<usize, Error> {
        self.sweep().await?;
        let pending = Filter::state(State::Pending).limit(SWEEP);
        let pending = self.0.store.approvals(&pending).await?;
        let count = pending.len();
        for approval in pending {
            let subject = Subject::Approval(Box::new(approval));
            let event = self.event(EventKind::StillPending, subject, None, None)?;
            self.tell(event);
        }
        Ok(count)
    }

    /// Waits until every step that has begun is over. For the end of the process, when nobody asks
    /// any more.
    pub async fn settle(&self) {
        self.0.tasks.close();
        self.0.tasks.wait().await;
        self.0.tasks.reopen();
    }

    /// Waits for the approval of this name.
    pub(crate) fn ticket(&self, approval: Approval) -> Ticket {
        let watch = self.0.waiting.subscribe(&approval.id);
        Ticket::new(self.clone(), approval, watch)
    }

    /// Takes a step of an approval.
    pub(crate) async fn step(
        &self,
        id: ApprovalId,
        by: Option<PersonId>,
        exchange: Option<ExchangeId>,
        step: impl Fn(&Approval, Timestamp) -> Result<Approval, Refused> + Send + Sync + 'static,
    ) -> Result<Approval, Error> {
        let this = self.clone();
        self.to_its_end(async move { this.step_now(&id, by, exchange, step).await })
            .await
    }

    async fn step_now(
        &self,
        id: &ApprovalId,
        by: Option<PersonId>,
        exchange: Option<ExchangeId>,
        step: impl Fn(&Approval, Timestamp) -> Result<Approval, Refused> + Send + Sync,
    ) -> Result<Approval, Error> {
        // Held across awaits on purpose: within one process a step that is noted is then the step
        // that is taken, and only another gateway can come in between.
        let _turn = self.0.stepping.of(id.as_str()).await;
        for _ in 0..ATTEMPTS {
            let old = self.show(id).await?;
            let next = step(&old, self.0.clock.now())?;
            let kind = match next.state {
                State::Pending => EventKind::Voted,
                State::Approved => EventKind::Approved,
                State::Denied => EventKind::Denied,
                State::Expired => EventKind::Expired,
                State::Cancelled => EventKind::Cancelled,
                State::Consumed => EventKind::Consumed,
                State::Lapsed => EventKind::Lapsed,
            };
            let subject = Subject::Approval(Box::new(next.clone()));
            let event = self.event(kind, subject, by.clone(), exchange)?;
            self.0.witness.note(&event).await?;
            match self.0.store.swap(old.version, &next).await {
                Ok(true) => {
                    self.0.waiting.tell(id);
                    self.tell(event);
                    return Ok(next);
                }
                Ok(false) => self.superseded(event).await?,
                Err(error) => {
                    // The store's failure is what the caller has to know of.
                    let _noted = self.superseded(event).await;
                    return Err(error.into());
                }
            }
        }
        Err(Error::Contended)
    }

    /// Takes back in the book what was noted and did not happen.
    pub(crate) async fn superseded(&self, event: Event) -> Result<(), Error> {
        let event = self.event(
            EventKind::Superseded,
            event.subject,
            event.by,
            event.exchange,
        )?;
        Ok(self.0.witness.note(&event).await?)
    }

    pub(crate) fn event(
        &self,
        kind: EventKind,
        subject: Subject,
        by: Option<PersonId>,
        exchange: Option<ExchangeId>,
    ) -> Result<Event, Error> {
        Ok(Event {
            id: EventId::generate()?,
            at: self.0.clock.now(),
            kind,
            subject,
            by,
            exchange,
        })
    }

    pub(crate) fn tell(&self, event: Event) {
        let event = Arc::new(event);
        for channel in &self.0.channels {
            channel.notify(Arc::clone(&event));
        }
    }

    /// Runs to its end what must not stop half way when the caller leaves.
    pub(crate) async fn to_its_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let done = self.0.tasks.spawn(work).await;
        done.unwrap_or(Err(Error::Interrupted))
    }
}

impl fmt::Debug for Approvals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Approvals").finish_non_exhaustive()
    }
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Swept {
    /// Pending ones whose time was up.
    pub expired: usize,
    /// Approved ones that were not used in time.
    pub lapsed: usize,
    /// Pending ones that were given up.
    pub cancelled: usize,
    /// Records that were removed.
    pub forgotten: u64,
}

/// Locks for names: a fixed number, so that nothing grows. Two names may share one.
pub(crate) struct Turns {
    locks: [Mutex<()>; 64],
    hasher: RandomState,
}

impl Turns {
    pub(crate) async fn of(&self, name: &str) -> MutexGuard<'_, ()> {
        let lock = self.hasher.hash_one(name) % 64;
        // The remainder fits, whatever the width of usize.
        self.locks[usize::try_from(lock).unwrap_or(0)].lock().await
    }
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            locks: [const { Mutex::const_new(()) }; 64],
            hasher: RandomState::new(),
        }
    }
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
