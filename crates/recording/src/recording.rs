//! One exchange on its way into the book.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tollbook_exchange::{Draft, Exchange, Outcome, ResponsePart, ResponseShape, SessionId};
use tollbook_ledger::ContentDigest;

use crate::{
    Error, ErrorKind, Spool, envelope, failure,
    gap::Missed,
    journal::{REQUEST, response_kind},
    queue::{Job, Part},
    recorder::Inner,
    writer::Shared,
};

/// An exchange that is open with a [`Recorder`](crate::Recorder).
///
/// Dropping it closes the exchange: its outcome is handed to the writer, whatever happened, and
/// without waiting. That is always possible because every open exchange holds a slot until its
/// outcome is written, and slots are bounded; the queue's own bound is for requests and for parts
/// of responses, whose senders can wait. So neither can keep the other out, and the writer waits
/// for nothing but the disk.
///
/// An exchange that has not been concluded by then is `indeterminate` if the thread is panicking,
/// and `client_gone` otherwise.
#[derive(Debug)]
#[must_use = "dropping it closes the exchange"]
pub struct Recording {
    inner: Arc<Inner>,
    open: Arc<Open>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Recording {
    pub(crate) const fn new(
        inner: Arc<Inner>,
        open: Arc<Open>,
        slot: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            inner,
            open,
            slot: Some(slot),
        }
    }

    /// The exchange.
    pub fn exchange(&self) -> &Exchange {
        &self.open.exchange
    }

    /// Whether so much of the response has gathered that it should be [kept](Self::keep) before
    /// more comes.
    pub fn is_full(&self) -> bool {
        self.exchange().draft(|draft| draft.response.pending) >= self.inner.config.step
    }

    /// Hands what has gathered of the response to the writer, when there is room for it.
    ///
    /// Nothing is lost when the future is dropped: what was not handed over stays in the draft.
    ///
    /// # Errors
    ///
    /// When nothing is written any more, or there was no room in time. Then no more of the
    /// response should be let through.
    pub fn keep(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (inner, open) = (Arc::clone(&self.inner), Arc::clone(&self.open));
        async move {
            let pending = open.exchange.draft(|draft| draft.response.pending);
            if let Some(spool) = open.spool {
                inner.shared.spool_takes(spool, pending)?;
                return open.answer(&inner.shared, None, None);
            }
            let admitted = inner.in_time(inner.admit(pending)).await?;
            open.answer(&inner.shared, Some(admitted), None)
        }
    }

    /// Makes durable what has gathered of the response. When this returns, that may be let through.
    ///
    /// # Errors
    ///
    /// When it could not be written, or not in time: then nothing of it may be let through.
    pub fn release(&self) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let (inner, open) = (Arc::clone(&self.inner), Arc::clone(&self.open));
        async move {
            let pending = open.exchange.draft(|draft| draft.response.pending);
            if let Some(spool) = open.spool {
                // It passed before it was durable, and so does its answer.
                inner.shared.spool_takes(spool, pending)?;
                return open.answer(&inner.shared, None, None);
            }
            inner
                .in_time(async {
                    let admitted = inner.admit(pending).await?;
                    let (waiting, written) = oneshot::channel();
                    open.answer(&inner.shared, Some(admitted), Some(waiting))?;
                    written.await.map_err(|_| inner.blocked())?
                })
                .await
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let otherwise = if thread::panicking() {
            Outcome::Indeterminate
        } else {
            Outcome::ClientGone
        };
        let closed = self
            .open
            .close(&self.inner.shared, otherwise, self.slot.take());
        self.inner.forget(self.exchange().id());
        if let Err(error) = closed {
            let connection = self.exchange().connection();
            let missed = Missed::Unfinished;
            let why = failure::word(error.kind());
            self.inner.shared.gaps.missed(missed, connection, why, None);
            tracing::error!(
                exchange = %self.exchange().id(),
                %error,
                "the outcome of an exchange could not be recorded"
            );
        }
    }
}

/// What the recorder knows of an open exchange.
#[derive(Debug)]
pub(crate) struct Open {
    exchange: Exchange,
    /// What may wait in memory until there is room on the disk, where it may.
    spool: Option<Spool>,
    progress: Mutex<Progress>,
}

/// How much of an exchange has been handed to the writer. Jobs are pushed while this is locked, so
/// that they come in the order of the log: intent, parts, outcome.
struct Progress {
    /// The salt of the intent, until that is handed over.
    intent: Option<[u8; 32]>,
    /// The salt of the outcome, until that is handed over.
    outcome: Option<[u8; 32]>,
    /// Fixed when the intent is handed over: both entries stand in one chain.
    session: Option<SessionId>,
    /// Fixed when the first part comes.
    shape: Option<ResponseShape>,
    response: ContentDigest,
}

impl Open {
    pub(crate) fn new(
        exchange: Exchange,
        [intent, outcome]: [[u8; 32]; 2],
        spool: Option<Spool>,
    ) -> Self {
        Self {
            exchange,
            spool,
            progress: Mutex::new(Progress {
                intent: Some(intent),
                outcome: Some(outcome),
                session: None,
                shape: None,
                response: ContentDigest::new(&outcome),
            }),
        }
    }

    /// Hands over what was asked, unless that was done before. Either way `waiting` is told when
    /// it is durable, for jobs are written in the order they come.
    pub(crate) fn ask(
        &self,
        shared: &Shared,
        admitted: Option<OwnedSemaphorePermit>,
        waiting: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Result<(), Error> {
        let mut progress = self.progress();
        progress.still_open()?;
        let mut job = Job {
            waiting,
            admitted,
            ..Job::default()
        };
        self.exchange
            .draft(|draft| progress.ask(&self.exchange, draft, &mut job))?;
        self.push(shared, job)
    }

    /// Hands over what has come of the response.
    fn answer(
        &self,
        shared: &Shared,
        admitted: Option<OwnedSemaphorePermit>,
        waiting: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Result<(), Error> {
        let mut progress = self.progress();
        progress.still_open()?;
        let mut job = Job {
            waiting,
            admitted,
            ..Job::default()
        };
        self.exchange.draft(|draft| {
            progress.ask(&self.exchange, draft, &mut job)?;
            progress.answer(&self.exchange, draft, &mut job);
            Ok::<_, Error>(())
        })?;
        self.push(shared, job)
    }

    /// Hands over all that is left, and the outcome.
    fn close(
        &self,
        shared: &Shared,
        otherwise: Outcome,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Error> {
        let mut progress = self.progress();
        progress.still_open()?;
        let mut job = Job {
            admitted: slot,
            ..Job::default()
        };
        self.exchange.draft(|draft| {
            draft.outcome.get_or_insert(otherwise);
            progress.ask(&self.exchange, draft, &mut job)?;
            progress.answer(&self.exchange, draft, &mut job);
            progress.close(&self.exchange, draft, otherwise, &mut job)
        })?;
        self.push(shared, job)
    }

    /// What may wait in memory, if this exchange does.
    pub(crate) const fn spool(&self) -> Option<Spool> {
        self.spool
    }

    fn push(&self, shared: &Shared, job: Job) -> Result<(), Error> {
        match self.spool {
            Some(_) => shared.push_spooled(job),
            None => shared.push(job),
        }
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    fn still_open(&self) -> Result<(), Error> {
        match self.outcome {
            Some(_) => Ok(()),
            None => Err(ErrorKind::NotOpen.into()),
        }
    }

    fn session(&mut self, exchange: &Exchange, draft: &Draft) -> SessionId {
        *self
            .session
            .get_or_insert_with(|| envelope::session(exchange, draft))
    }

    fn ask(&mut self, exchange: &Exchange, draft: &mut Draft, job: &mut Job) -> Result<(), Error> {
        let Some(salt) = self.intent else {
            return Ok(());
        };
        let body = mem::take(&mut draft.request.body).into_inner();
        let mut digest = ContentDigest::new(&salt);
        let mut rest = body;
        while !rest.is_empty() {
            let data = rest.split_to(rest.len().min(MAX_PART));
            let ordinal = digest.parts();
            digest.part(0, &data);
            job.parts.push(Part {
                exchange: exchange.id(),
                kind: REQUEST,
                ordinal,
                at: 0,
                data,
            });
        }
        let session = self.session(exchange, draft);
        job.entries
            .push(envelope::intent(exchange, draft, session, salt, &digest)?);
        self.intent = None;
        Ok(())
    }

    fn answer(&mut self, exchange: &Exchange, draft: &mut Draft, job: &mut Job) {
        draft.response.pending = 0;
        let parts = mem::take(&mut draft.response.parts);
        if parts.is_empty() {
            return;
        }
        let kind = response_kind(*self.shape.get_or_insert(draft.response.shape));
        for ResponsePart { at, bytes } in parts {
            let data = bytes.into_inner();
            // What SQLite can keep: a layer's odd clock must not stop the journal.
            let at = at.min(i64::MAX.unsigned_abs());
            let ordinal = self.response.parts();
            self.response.part(at, &data);
            job.parts.push(Part {
                exchange: exchange.id(),
                kind,
                ordinal,
                at,
                data,
            });
        }
    }

    fn close(
        &mut self,
        exchange: &Exchange,
        draft: &Draft,
        otherwise: Outcome,
        job: &mut Job,
    ) -> Result<(), Error> {
        let Some(salt) = self.outcome.take() else {
            return Err(ErrorKind::NotOpen.into());
        };
        let outcome = draft.outcome.unwrap_or(otherwise);
        let shape = self.shape.unwrap_or(draft.response.shape);
        let session = self.session(exchange, draft);
        let body = &self.response;
        let entry = envelope::outcome(exchange, draft, session, outcome, salt, shape, body)?;
        job.entries.push(entry);
        Ok(())
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Progress")
            .field("asked", &self.intent.is_none())
            .field("closed", &self.outcome.is_none())
            .finish_non_exhaustive()
    }
}

/// Bodies of requests are cut here, well below what SQLite takes as one value.
const MAX_PART: usize = 16 << 20;
