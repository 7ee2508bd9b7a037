//! From the client to the server: judged, held, made durable, and only then forwarded.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream::FuturesOrdered};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf},
    sync::Notify,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tollbook_exchange::{Action, ExchangeId, Refusal, Verdict};
use tollbook_identity::Authenticate;
use tollbook_wire_postgres::{Error, Frame, Frontend, Target};

use super::{
    answer::{self, Running},
    document,
    expected::Kind,
    names::{Portal, Undo},
    refused::{self, Denied, Why},
    state::{Bell, Described, Of, State},
    text::Text,
};
use crate::{
    Asked, Caller, Gate, Open, Waiting,
    postgres::{
        Fault, Options, Results, Uses,
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

/// What the client's message is about, where it runs something.
struct Run {
    method: &'static str,
    action: Action,
    document: Vec<u8>,
    kind: Kind,
    portal: Option<Arc<Portal>>,
    undo: Undo,
    before: Option<(Frame, Of)>,
    uses: Uses,
    unmaskable: Option<Refusal>,
}

/// How it went with one message of the client.
enum Taken {
    Done,
    /// It has to wait.
    Stalled(Frame),
    /// The client ends the session.
    Terminated,
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

    /// Takes a message of the client.
    fn take(&mut self, frame: Frame) -> Result<Taken, Fault> {
        let kept = frame.clone();
        let message = Frontend::read(&kept)?;
        if self.is_new(&message) && self.closing.is_cancelled() {
            return Ok(Taken::Stalled(frame));
        }
        match message {
            Frontend::CopyData(_) | Frontend::CopyDone | Frontend::CopyFail { .. } => {
                return Ok(self.take_copy(frame));
            }
            Frontend::Flush => {
                self.plain(frame, None, Of::default());
                return Ok(Taken::Done);
            }
            Frontend::Terminate => return Ok(Taken::Terminated),
            Frontend::Sync => {
                self.lock().names.end_series();
                self.plain(frame, Some(Kind::Sync), Of::default());
                return Ok(Taken::Done);
            }
            _ => {}
        }
        if self.lock().queue.copying() {
            return Err(Error::Unexpected(frame.tag).into());
        }
        match message {
            Frontend::Query { text } => return Ok(self.take_query(frame, text)),
            Frontend::Parse {
                statement,
                text,
                types,
            } => self.take_parse(frame, statement, text, types.iter().collect()),
            Frontend::Bind(bind) => {
                let mut state = self.lock();
                if state.names.is_open_statement(bind.statement) {
                    return Ok(Taken::Stalled(frame));
                }
                if state.names.len() >= NAMES {
                    return Err(Error::Length.into());
                }
                let undo = (state.names).bind(bind.portal, bind.statement, frame.clone());
                drop(state);
                let of = Of {
                    undo,
                    ..Of::default()
                };
                self.plain(frame, Some(Kind::Bind), of);
            }
            Frontend::Describe(target) => self.take_describe(frame, target),
            Frontend::Execute { portal, rows } => return Ok(self.take_execute(frame, portal, rows)),
            Frontend::Close(target) => {
                let undo = match target {
                    Target::Statement(name) => self.lock().names.close_statement(name),
                    Target::Portal(name) => self.lock().names.close_portal(name),
                };
                let of = Of {
                    undo,
                    ..Of::default()
                };
                self.plain(frame, Some(Kind::Close), of);
            }
            Frontend::FunctionCall(call) => {
                self.lock().names.end_series();
                let action = Action::new("sql.call")
                    .with("function", i64::from(call.function))
                    .with("statement_class", "unknown");
                let run = Run {
                    method: "CALL",
                    action,
                    document: document::of_call(&call),
                    kind: Kind::Call,
                    portal: None,
                    undo: Undo::Nothing,
                    before: None,
                    uses: self.options.protected.doubted(Uses::default()),
                    unmaskable: None,
                };
                self.exchange(frame, run);
            }
            // Nobody asked for a password any more.
            _ => return Err(Error::Unexpected(frame.tag).into()),
        }
        Ok(Taken::Done)
    }

    /// Whether a message may begin something that was not begun.
    fn is_new(&self, message: &Frontend<'_>) -> bool {
        match message {
            Frontend::CopyData(_)
            | Frontend::CopyDone
            | Frontend::CopyFail { .. }
            | Frontend::Flush
            | Frontend::Terminate => false,
            // What was begun has to end, but nothing else begins with it.
            Frontend::Sync => self.lock().queue.is_empty() && self.steps.is_empty(),
            _ => true,
        }
    }

    fn take_query(&mut self, frame: Frame, text: &str) -> Taken {
        let mut state = self.lock();
        let reading = state.reading();
        let text = Text::read(text, &reading, &state.names);
        if text.runs().any(|name| state.names.is_open_statement(&name)) {
            return Taken::Stalled(frame);
        }
        let undo = state.names.sql(&text, &reading);
        if text.may_change_meaning() {
            state.may_change();
        }
        state.names.end_series();
        drop(state);
        let run = Run {
            method: "QUERY",
            document: document::of_query(&text),
            uses: text.uses(&self.options.protected),
            unmaskable: text.unmaskable(&self.options.protected),
            action: text.action,
            kind: Kind::Query,
            portal: None,
            undo,
            before: None,
        };
        self.exchange(frame, run);
        Taken::Done
    }

    fn take_parse(&mut self, frame: Frame, name: &str, text: &str, given: Vec<u32>) {
        let mut state = self.lock();
        let text = Arc::new(Text::read(text, &state.reading(), &state.names));
        let document = document::of_parse(name, &text);
        let scan = self.caller.masks.requests.json(&document, "request");
        let action = (text.action.clone()).with("body_scanned", scan.coverage.uninspected == 0);
        let decision = self.gate.decide(self.caller, &action, &scan.found);
        let undo = state.names.parse(name, Arc::clone(&text), given);
        drop(state);
        let unmaskable = text.unmaskable(&self.options.protected);
        if decision.verdict == Verdict::Deny || scan.blocked || unmaskable.is_some() {
            // Refused before it is prepared, as it would be when it runs.
            let run = Run {
                method: "PARSE",
                action: text.action.clone(),
                document,
                kind: Kind::Parse,
                portal: None,
                undo,
                before: None,
                uses: Uses::default(),
                unmaskable,
            };
            return self.exchange(frame, run);
        }
        let of = Of {
            undo,
            ..Of::default()
        };
        self.plain(frame, Some(Kind::Parse), of);
    }

    fn take_describe(&mut self, frame: Frame, target: Target<'_>) {
        let state = self.lock();
        let (kind, describes) = match target {
            Target::Statement(name) => {
                let statement = state.names.statement(name).cloned();
                if let Some(statement) = &statement {
                    statement.described.store(true, Ordering::Relaxed);
                }
                let described = statement.map_or(Described::Unknown, Described::Statement);
                (Kind::DescribeStatement, described)
            }
            Target::Portal(name) => {
                let portal = state.names.portal(name).cloned();
                if let Some(portal) = &portal {
                    portal.described.store(true, Ordering::Relaxed);
                }
                let described = portal.map_or(Described::Unknown, Described::Portal);
                (Kind::DescribePortal, described)
            }
        };
        drop(state);
        let of = Of {
            describes,
            ..Of::default()
        };
        self.plain(frame, Some(kind), of);
    }

    fn take_execute(&mut self, frame: Frame, name: &str, rows: i32) -> Taken {
        let mut state = self.lock();
        if state.names.is_open_portal(name) {
            return Taken::Stalled(frame);
        }
        // Nobody here knows what it is: it is judged so, and what it gives is asked for.
        let portal = match state.names.portal(name) {
            Some(portal) => Arc::clone(portal),
            None => Arc::new(Portal::unseen()),
        };
        let unseen;
        let text = match &portal.statement {
            Some(statement) => &statement.text,
            None => {
                unseen = Text::unseen();
                &unseen
            }
        };
        if text.runs().any(|name| state.names.is_open_statement(&name)) {
            return Taken::Stalled(frame);
        }
        let text_now;
        let mut text: &Text = text;
        if text.runs().next().is_some() {
            // What a name stands for may have changed since it was prepared.
            text_now = Text::read(&text.text, &state.reading(), &state.names);
            text = &text_now;
        }
        let reading = state.reading();
        let undo = state.names.sql(text, &reading);
        if text.may_change_meaning() {
            state.may_change();
        }
        let before = (!portal.is_described()).then(|| {
            portal.described.store(true, Ordering::Relaxed);
            let of = Of {
                describes: Described::Portal(Arc::clone(&portal)),
                is_ours: true,
                ..Of::default()
            };
            (refused::describe_portal(name), of)
        });
        let run = Run {
            method: "EXECUTE",
            action: text.action.clone(),
            document: document::of_execute(name, &portal, text, rows),
            kind: Kind::Execute,
            portal: Some(Arc::clone(&portal)),
            undo,
            before,
            uses: text.uses(&self.options.protected),
            unmaskable: text.unmaskable(&self.options.protected),
        };
        drop(state);
        self.exchange(frame, run);
        Taken::Done
    }

    /// What is copied belongs to what the server reads it for. It cannot be sent before that is known.
    fn take_copy(&mut self, frame: Frame) -> Taken {
        let mut state = self.lock();
        if !state.queue.copying() {
            if state.queue.is_empty() && self.steps.is_empty() {
                // It is left over from copying that failed. The server would throw it away.
                return Taken::Done;
            }
            return Taken::Stalled(frame);
        }
        match frame.tag {
            b'd' => {
                let first = state.queue.first();
                if let Some(run) = first.and_then(|first| first.of.run.as_mut()) {
                    run.copy(&frame.body);
                }
            }
            _ => state.queue.copy_ends(),
        }
        drop(state);
        self.plain(frame, None, Of::default());
        Taken::Done
    }

    /// Takes a message to the server that needs no leave.
    fn plain(&mut self, frame: Frame, kind: Option<Kind>, of: Of) {
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
    fn exchange(&mut self, frame: Frame, run: Run) {
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

    fn lock(&self) -> std::sync::MutexGuard<'a, State> {
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
/// How many statements and portals a session may have.
const NAMES: usize = 100_000;
/// How long something may take before the client is told that it waits for people.
const FIRST_NOTICE: Duration = Duration::from_millis(200);
/// When nothing waits.
const FOREVER: Duration = Duration::from_secs(3600);
