//! One exchange on its way into the book.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tollbook_exchange::{Draft, Exchange, Level, Outcome, ResponsePart, ResponseShape, SessionId};
use tollbook_ledger::{ContentDigest, SealedDigest};

use crate::{
    Error, ErrorKind, Spool, blob,
    body::{self, Part, Recipe, seal_chunk},
    envelope::{self, Sealing},
    failure,
    gap::Missed,
    journal::response_kind,
    keys::{Class, ScopeKeys},
    queue::{Brings, Chunk, Job},
    recorder::Inner,
    scopes::{Cut, Scope, Scopes},
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
            if let Some(spool) = open.spool
                && inner.shared.waits_for_room()
            {
                inner.shared.spool_takes(spool, pending)?;
                return open.answer(&inner, None, None);
            }
            let admitted = inner.in_time(inner.admit(pending)).await?;
            open.answer(&inner, Some(admitted), None)
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
            if let Some(spool) = open.spool
                && inner.shared.waits_for_room()
            {
                // It passed before it was durable, and so does its answer.
                inner.shared.spool_takes(spool, pending)?;
                open.exchange.draft(|draft| draft.level = Level::Spool);
                return open.answer(&inner, None, None);
            }
            inner
                .in_time(async {
                    let admitted = inner.admit(pending).await?;
                    let (waiting, written) = oneshot::channel();
                    open.answer(&inner, Some(admitted), Some(waiting))?;
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
        let closed = self.open.close(&self.inner, otherwise, self.slot.take());
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
///
/// All that is costly about them happens here, in the caller's task, and not in the writer's thread.
struct Progress {
    /// The salt of the intent, until that is handed over.
    intent: Option<[u8; 32]>,
    /// The salt of the outcome, until that is handed over.
    outcome: Option<[u8; 32]>,
    /// Fixed when the intent is handed over: both entries stand in one chain.
    session: Option<SessionId>,
    /// Fixed then too, and with it the keys.
    scope: Option<Arc<Scope>>,
    /// Keys in case that the exchange begins a scope.
    reserved: Option<ScopeKeys>,
    /// Fixed when the first part comes.
    shape: Option<ResponseShape>,
    response: ContentDigest,
    /// The answer as it is stored.
    stored: SealedDigest,
    chunks: u64,
    /// Whether its intent waits in memory although the exchange may not: it refers to what does.
    waits: bool,
}

/// A job that has all but the numbers of what it brings.
struct Ready {
    job: Job,
    /// What an intent in it asks with.
    asked: Option<Cut>,
}

impl Open {
    pub(crate) fn new(
        exchange: Exchange,
        [intent, outcome]: [[u8; 32]; 2],
        reserved: ScopeKeys,
        spool: Option<Spool>,
    ) -> Self {
        Self {
            exchange,
            spool,
            progress: Mutex::new(Progress {
                intent: Some(intent),
                outcome: Some(outcome),
                session: None,
                scope: None,
                reserved: Some(reserved),
                shape: None,
                response: ContentDigest::new(&outcome),
                stored: SealedDigest::new(),
                chunks: 0,
                waits: false,
            }),
        }
    }

    /// Hands over what was asked, unless that was done before. Either way `waiting` is told when
    /// it is durable, for jobs are written in the order they come.
    pub(crate) fn ask(
        &self,
        inner: &Inner,
        admitted: Option<OwnedSemaphorePermit>,
        waiting: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Result<(), Error> {
        let mut progress = self.progress();
        progress.still_open()?;
        let mut ready = Ready::new(admitted, waiting);
        self.exchange
            .draft(|draft| progress.ask(&self.exchange, draft, &inner.scopes, &mut ready))?;
        self.push(ready, &mut progress, &inner.shared)
    }

    /// Hands over what has come of the response.
    fn answer(
        &self,
        inner: &Inner,
        admitted: Option<OwnedSemaphorePermit>,
        waiting: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Result<(), Error> {
        let mut progress = self.progress();
        progress.still_open()?;
        let mut ready = Ready::new(admitted, waiting);
        self.exchange.draft(|draft| {
            progress.ask(&self.exchange, draft, &inner.scopes, &mut ready)?;
            progress.answer(&self.exchange, draft, &mut ready.job)
        })?;
        self.push(ready, &mut progress, &inner.shared)
    }

    /// Hands over all that is left, and the outcome.
    fn close(
        &self,
        inner: &Inner,
        otherwise: Outcome,
        slot: Option<OwnedSemaphorePermit>,
    ) -> Result<(), Error> {
        let mut progress = self.progress();
        progress.still_open()?;
        let mut ready = Ready::new(slot, None);
        self.exchange.draft(|draft| {
            draft.outcome.get_or_insert(otherwise);
            progress.ask(&self.exchange, draft, &inner.scopes, &mut ready)?;
            progress.answer(&self.exchange, draft, &mut ready.job)?;
            progress.close(&self.exchange, draft, otherwise, &mut ready.job)
        })?;
        self.push(ready, &mut progress, &inner.shared)
    }

    /// What may wait in memory, if this exchange does.
    pub(crate) const fn spool(&self) -> Option<Spool> {
        self.spool
    }

    /// Numbers what the job brings and hands it over. The scope is locked meanwhile: nothing may be
    /// written before the pieces that it refers to.
    fn push(&self, ready: Ready, progress: &mut Progress, shared: &Shared) -> Result<(), Error> {
        let push = |mut job: Job, waits: bool| {
            if waits && let Some(waiting) = job.waiting.take() {
                // Whoever was told that it is durable would forward it. What becomes of the exchange
                // is recorded all the same, behind what it refers to.
                let _left = waiting.send(Err(ErrorKind::Space.into()));
            }
            match self.spool.is_some() || waits {
                true => shared.push_spooled(job),
                false => shared.push(job),
            }
        };
        let Ready { mut job, asked } = ready;
        let scope = progress.scope.as_ref().ok_or(ErrorKind::NotOpen)?;
        job.within = Some(Arc::clone(scope));
        job.connection = self.exchange.connection().into();
        let Some(asked) = asked else {
            return push(job, progress.waits);
        };
        let mut pieces = scope.pieces();
        // What is forwarded because it is durable must not refer to what exists in memory alone: the
        // row of the scope, or pieces of it. Those are handed over while the scope is locked, so that
        // what waits can only become less from here on.
        progress.waits = self.spool.is_none() && shared.waits_in(scope);
        let (first, count) = scope.number(&mut pieces, asked, &mut job.packs)?;
        let mut stored = SealedDigest::new();
        for pack in &job.packs {
            stored.piece(PACKS, u64::from(pack.number), &pack.digest());
        }
        if let Some(intent) = job.entries.first_mut() {
            intent.brought(&stored);
            intent.brings = Brings {
                scope: scope.number,
                first,
                count,
            };
        }
        job.scope = scope.row(&mut pieces);
        push(job, progress.waits)
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

    fn ask(
        &mut self,
        exchange: &Exchange,
        draft: &mut Draft,
        scopes: &Scopes,
        ready: &mut Ready,
    ) -> Result<(), Error> {
        let Some(salt) = self.intent else {
            return Ok(());
        };
        let session = self.session(exchange, draft);
        let scope = match &self.scope {
            Some(scope) => Arc::clone(scope),
            None => scopes.of(exchange.id(), session, draft, &mut self.reserved)?,
        };
        self.scope = Some(Arc::clone(&scope));
        if let Some(unused) = self.reserved.take() {
            scopes.give_back(unused);
        }
        let body = draft.request.body.as_inner();
        let mut digest = ContentDigest::new(&salt);
        body.chunks(MAX_PART).for_each(|part| digest.part(0, part));
        let mut cut = scope.cut(body)?;
        let sealing = Sealing {
            keys: &scope.keys,
            salt,
            recipe: mem::take(&mut cut.recipe),
        };
        let entry = envelope::intent(exchange, draft, session, sealing, &digest)?;
        ready.job.entries.push(entry);
        ready.asked = Some(cut);
        draft.request.body = Default::default();
        self.intent = None;
        Ok(())
    }

    fn answer(
        &mut self,
        exchange: &Exchange,
        draft: &mut Draft,
        job: &mut Job,
    ) -> Result<(), Error> {
        draft.response.pending = 0;
        let parts = mem::take(&mut draft.response.parts);
        if parts.is_empty() {
            return Ok(());
        }
        let shape = *self.shape.get_or_insert(draft.response.shape);
        let mut chunk: Vec<Part> = Vec::new();
        let mut bytes = 0;
        for ResponsePart { at, bytes: data } in parts {
            let mut rest = data.into_inner();
            // An event is one part; a body may be cut anywhere.
            let most = match shape {
                ResponseShape::Events => rest.len(),
                _ => body::PACK_BYTES,
            };
            loop {
                let data = rest.split_to(rest.len().min(most));
                self.response.part(at, &data);
                bytes += data.len();
                chunk.push((at, data));
                if bytes >= body::PACK_BYTES {
                    self.chunk(exchange, shape, &mem::take(&mut chunk), job)?;
                    bytes = 0;
                }
                if rest.is_empty() {
                    break;
                }
            }
        }
        self.chunk(exchange, shape, &chunk, job)
    }

    /// Seals parts that came.
    fn chunk(
        &mut self,
        exchange: &Exchange,
        shape: ResponseShape,
        parts: &[Part],
        job: &mut Job,
    ) -> Result<(), Error> {
        if parts.is_empty() {
            return Ok(());
        }
        let scope = self.scope.as_ref().ok_or(ErrorKind::NotOpen)?;
        let (kind, ordinal) = (response_kind(shape), self.chunks);
        let key = scope.keys.key(Class::of_answer(exchange.protocol()));
        let data = seal_chunk(key, exchange.id(), kind, ordinal, parts)?;
        let number = kind.to_be_bytes()[7];
        self.stored
            .piece(number, ordinal, &blob::digest(&[], &data));
        self.chunks += 1;
        job.chunks.push(Chunk {
            exchange: exchange.id(),
            kind,
            ordinal,
            data,
        });
        Ok(())
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
        let sealing = Sealing {
            keys: &self.scope.as_ref().ok_or(ErrorKind::NotOpen)?.keys,
            salt,
            recipe: Recipe::default(),
        };
        let mut entry = envelope::outcome(exchange, draft, session, outcome, sealing, shape, body)?;
        entry.brought(&self.stored);
        job.entries.push(entry);
        Ok(())
    }
}

impl Ready {
    fn new(
        admitted: Option<OwnedSemaphorePermit>,
        waiting: Option<oneshot::Sender<Result<(), Error>>>,
    ) -> Self {
        Self {
            job: Job {
                waiting,
                admitted,
                ..Job::default()
            },
            asked: None,
        }
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

/// The digest of a request's body has parts of this size.
pub(crate) const MAX_PART: usize = 16 << 20;
/// The kind of packs in a leaf's seal; those of parts of an answer are their own.
pub(crate) const PACKS: u8 = 0;
