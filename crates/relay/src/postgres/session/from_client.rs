//! From the client to the server: judged, held, made durable, and only then forwarded.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesOrdered};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tollbook_exchange::{ExchangeId, Refusal};
use tollbook_identity::Authenticate;
use tollbook_wire_postgres::Frame;

use super::{
    answer::{self, Running},
    expected::Kind,
    refused::{self, Denied, Why},
    state::{Bell, Of, State},
    taking::{Run, Taken},
};
use crate::{
    Asked, Caller, Gate, Open, Waiting,
    postgres::{
        Fault, Options, Results,
        wire::{Incoming, Outgoing},
    },
};

/// The direction from the client to the server.
pub(super) struct FromClient<'a, A, C, S> {
    pub(super) gate: &'a Gate<A>,
    pub(super) caller: &'a Caller,
    pub(super) database: &'a str,
    pub(super) options: &'a Options,
    pub(super) results: &'a Arc<Results>,
    pub(super) state: &'a Mutex<State>,
    pub(super) bell: &'a Bell,
    pub(super) cancelled: &'a Notify,
    /// Ends when no new statement may begin.
    pub(super) closing: &'a CancellationToken,
    pub(super) client: Incoming<ReadHalf<C>>,
    pub(super) server: Outgoing<WriteHalf<S>>,
    pub(super) steps: FuturesOrdered<Pin<Box<dyn Future<Output = Step> + Send + 'a>>>,
    /// For each step, what is known of it while it waits.
    pub(super) held: VecDeque<Option<Held>>,
    /// Bytes of the steps.
    pub(super) bytes: usize,
    /// A message that has to wait until earlier ones are answered.
    pub(super) stalled: Option<Frame>,
    /// Whether the server was asked to answer what that waits for.
    pub(super) hurried: bool,
}

/// A message on its way to the server, and what is owed for it.
pub(super) struct Step {
    before: Option<(Frame, Of)>,
    frame: Frame,
    kind: Option<Kind>,
    of: Of,
}

/// How the client ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// It said so: what it sent before runs still.
    Said,
    /// It is gone.
    Gone,
    /// It may begin nothing any more, and nothing runs.
    Stopped,
}

/// Something that may wait for people.
pub(super) struct Held {
    waiting: Waiting,
    cancel: CancellationToken,
    /// When the client is told next.
    tell: Instant,
}

impl<'a, A, C, S> FromClient<'a, A, C, S>
where
    A: Authenticate,
    C: AsyncRead + AsyncWrite + Unpin + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Relays until the client ends.
    pub(super) async fn run(&mut self) -> Result<Left, Fault> {
        let cancelled = self.cancelled;
        // From here on it hears of each cancel, also while something else is done.
        let mut cancel = Box::pin(cancelled.notified());
        cancel.as_mut().enable();
        loop {
            if self.take_what_has_come()? {
                return self.terminate().await;
            }
            while let Some(Some(step)) = self.steps.next().now_or_never() {
                self.apply(step)?;
                if self.server.is_full() {
                    self.server.flush().await?;
                }
            }
            if self.lock().queue.len() >= OWED && !std::mem::replace(&mut self.hurried, true) {
                // It keeps answers to itself until it has many or is asked.
                self.server.put(&refused::flush());
            }
            self.server.flush().await?;
            if self.ends() {
                return Ok(Left::Stopped);
            }
            let reads = self.stalled.is_none() && self.has_room();
            let closing = self.closing.is_cancelled();
            let tell = self.held.front().and_then(Option::as_ref);
            let tell = tell.map_or_else(|| Instant::now() + FOREVER, |held| held.tell);
            tokio::select! {
                biased;
                Some(step) = self.steps.next() => self.apply(step)?,
                () = &mut cancel => {
                    cancel.set(cancelled.notified());
                    cancel.as_mut().enable();
                    self.cancel();
                }
                () = self.bell.answered.notified() => {}
                () = self.closing.cancelled(), if !closing => {}
                frame = self.client.next(), if reads => match frame? {
                    Some(frame) => if self.take_or_stall(frame)? {
                        return self.terminate().await;
                    },
                    None => return Ok(self.gone().await),
                },
                () = sleep_until(tell), if !self.held.is_empty() => self.tell(),
            }
        }
    }

    /// Takes what has come already. Gives whether the client ends the session.
    fn take_what_has_come(&mut self) -> Result<bool, Fault> {
        if let Some(frame) = self.stalled.take()
            && self.take_or_stall(frame)?
        {
            return Ok(true);
        }
        while self.stalled.is_none() && self.has_room() {
            let Some(frame) = self.client.ready()? else {
                break;
            };
            if self.take_or_stall(frame)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn take_or_stall(&mut self, frame: Frame) -> Result<bool, Fault> {
        match self.take(frame)? {
            Taken::Done => {
                self.hurried = false;
                Ok(false)
            }
            Taken::Terminated => Ok(true),
            Taken::Stalled(frame) => {
                // What it waits for may lie with the server, which answers when it is asked to.
                if !std::mem::replace(&mut self.hurried, true) {
                    self.plain(refused::flush(), None, Of::default());
                }
                self.stalled = Some(frame);
                Ok(false)
            }
        }
    }

    fn has_room(&self) -> bool {
        self.steps.len() < STEPS && self.bytes < BYTES && self.lock().queue.len() < OWED
    }

    /// Whether the session has come to its end: nothing new may begin and nothing runs.
    fn ends(&self) -> bool {
        self.closing.is_cancelled() && self.steps.is_empty() && self.lock().queue.is_empty()
    }

    /// Takes a message to the server that needs no leave.
    pub(super) fn plain(&mut self, frame: Frame, kind: Option<Kind>, of: Of) {
        let step = Step {
            before: None,
            frame,
            kind,
            of,
        };
        self.bytes += step.frame.wire_len();
        self.held.push_back(None);
        self.steps.push_back(Box::pin(std::future::ready(step)));
    }

    /// Takes a message through the gate that runs something.
    pub(super) fn exchange(&mut self, frame: Frame, run: Run) {
        let held = Held {
            waiting: Waiting::default(),
            cancel: CancellationToken::new(),
            tell: Instant::now() + FIRST_NOTICE,
        };
        let (waiting, cancel) = (held.waiting.clone(), held.cancel.clone());
        let size = frame.wire_len();
        let (gate, caller, results) = (self.gate, self.caller, self.results);
        let asked = Asked {
            method: run.method,
            target: self.database.to_owned(),
            action: run.action,
            document: run.document,
        };
        let step = async move {
            let id = ExchangeId::generate();
            let passed = tokio::select! {
                passed = pass(gate, caller, id, asked, run.unmaskable, &waiting) => passed,
                () = cancel.cancelled() => Err(Why::Cancelled),
            };
            let mut of = Of {
                undo: run.undo,
                ..Of::default()
            };
            match passed {
                Ok(open) => {
                    let running = Running::new(open, run.portal, results, run.uses, gate);
                    of.run = Some(running);
                }
                Err(why) => {
                    of.undo = of.undo.of_nothing();
                    let approval = waiting.approval().map(ToString::to_string);
                    of.denied = Some(Denied { id, why, approval });
                }
            }
            Step {
                before: run.before,
                frame,
                kind: Some(run.kind),
                of,
            }
        };
        self.bytes += size;
        self.held.push_back(Some(held));
        self.steps.push_back(Box::pin(step));
    }

    /// Sends what has come through.
    fn apply(&mut self, step: Step) -> Result<(), Fault> {
        self.held.pop_front();
        let Step {
            before,
            frame,
            kind,
            mut of,
        } = step;
        self.bytes = self.bytes.saturating_sub(frame.wire_len());
        let mut state = self.lock();
        let Some(kind) = kind else {
            drop(state);
            self.server.put(&frame);
            return Ok(());
        };
        let send = match &of.denied {
            Some(denied) => denied.instead(&frame)?,
            None => frame,
        };
        if let Some(run) = &mut of.run {
            run.forwarded();
        }
        let mut describe = None;
        if let Some((frame, before)) = before {
            let pushed = match of.denied {
                Some(_) => Err(before),
                None => state.queue.push(Kind::DescribePortal, before),
            };
            match pushed {
                Ok(()) => describe = Some(frame),
                Err(of) => drop(state.undo(vec![of])),
            }
        }
        match state.queue.push(kind, of) {
            Ok(()) => {
                drop(state);
                if let Some(describe) = describe {
                    self.server.put(&describe);
                }
                self.server.put(&send);
            }
            // Something before it failed. The server would throw it away.
            Err(of) => {
                let skipped = state.undo(vec![of]);
                drop(state);
                skipped.into_iter().for_each(Running::skip);
            }
        }
        Ok(())
    }

    /// The client cancels. What runs is the server's to cancel; what is held ends here.
    fn cancel(&self) {
        if let Some(Some(held)) = self.held.front()
            && held.waiting.approval().is_some()
        {
            held.cancel.cancel();
        }
    }

    /// Tells the client what its statement waits for.
    fn tell(&mut self) {
        let every = self.gate.parts().wait.notice;
        let Some(Some(held)) = self.held.front_mut() else {
            return;
        };
        let Some(approval) = held.waiting.approval() else {
            held.tell = Instant::now() + FIRST_NOTICE;
            return;
        };
        held.tell = Instant::now() + every.max(FIRST_NOTICE);
        let notice = refused::waits(&approval.to_string());
        // What was sent before it is answered meanwhile.
        self.server.put(&refused::flush());
        if let Ok(notice) = notice {
            self.lock().aside.push_back(notice);
            self.bell.aside.notify_one();
        }
    }

    /// The client said that it ends: what it sent before runs still.
    async fn terminate(&mut self) -> Result<Left, Fault> {
        loop {
            tokio::select! {
                biased;
                step = self.steps.next() => match step {
                    Some(step) => self.apply(step)?,
                    None => break,
                },
                () = tokio::time::sleep(FIRST_NOTICE) => {
                    // Nobody waits for what people have to approve.
                    let held = self.held.front().and_then(Option::as_ref);
                    if held.is_some_and(|held| held.waiting.approval().is_some()) {
                        return Ok(Left::Gone);
                    }
                }
            }
        }
        self.server.put(&tollbook_wire_postgres::terminate());
        self.server.flush().await?;
        Ok(Left::Said)
    }

    /// The client is gone: the server is told, so that it does not wait for more.
    async fn gone(&mut self) -> Left {
        self.server.put(&tollbook_wire_postgres::terminate());
        // It is as good as gone too if it does not take that.
        drop(timeout(FIRST_NOTICE, self.server.flush()).await);
        Left::Gone
    }

    pub(super) fn lock(&self) -> std::sync::MutexGuard<'a, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens an exchange and takes it through the gate.
async fn pass<A: Authenticate>(
    gate: &Gate<A>,
    caller: &Caller,
    id: ExchangeId,
    asked: Asked,
    unmaskable: Option<Refusal>,
    waiting: &Waiting,
) -> Result<Open, Why> {
    let open = gate.open(id, Some(caller), asked).await;
    let open = open.map_err(Why::Refused)?;
    if let Some(refusal) = unmaskable {
        return Err(Why::Refused(open.refuse(refusal)));
    }
    match gate.pass(caller, &open, waiting).await {
        Ok(_permit) => Ok(open),
        Err(refusal) => {
            let why = Why::Refused(refusal);
            let result = [("sqlstate".to_owned(), why.sqlstate().into())];
            answer::note(&caller.masks.answers, &open, result.into_iter().collect());
            Err(why)
        }
    }
}

/// How many messages of a client may be on their way to the server.
const STEPS: usize = 128;
/// … and how long all of them may be together before no more is read.
const BYTES: usize = 4 << 20;
/// How many answers a server may owe before more is sent.
const OWED: usize = 1024;
/// How long something may take before the client is told that it waits for people.
const FIRST_NOTICE: Duration = Duration::from_millis(200);
/// When nothing waits.
const FOREVER: Duration = Duration::from_secs(3600);
