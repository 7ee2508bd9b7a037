//! From the server to the client: recorded, masked, and let go when what it says may be known.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite, ReadHalf, WriteHalf};
use tollbook_exchange::{Action, ExchangeId, Masked, Outcome, Refusal};
use tollbook_identity::Authenticate;
use tollbook_wire_postgres::{Backend, Error, Field, Fields, Format, Frame};

use super::{
    End, answer,
    answer::Running,
    columns::ColumnOf,
    expected::{Expected, Heard, Kind},
    names::Undo,
    state::{Bell, Described, Of, State},
};
use crate::{
    Asked, Caller, Gate, Open,
    postgres::{
        Fault, Results, Uses,
        rows::Origins,
        wire::{Incoming, Outgoing},
    },
};

/// The direction from the server to the client.
pub(super) struct FromServer<'a, A, C, S> {
    pub(super) gate: &'a Gate<A>,
    pub(super) caller: &'a Caller,
    pub(super) database: &'a str,
    pub(super) results: &'a Arc<Results>,
    pub(super) state: &'a Mutex<State>,
    pub(super) bell: &'a Bell,
    pub(super) server: Incoming<ReadHalf<S>>,
    pub(super) client: Outgoing<WriteHalf<C>>,
    /// Rows that have come and were not looked at.
    pub(super) rows: Vec<Frame>,
    /// Their bytes.
    pub(super) bytes: usize,
    /// Exchanges of whose answers something is to be sent, in their order.
    pub(super) unsent: Vec<Arc<Open>>,
    /// Whether the server has said why it ends.
    pub(super) is_fatal: bool,
}

/// What becomes of a message of the server.
enum Becomes {
    /// The client gets it as it came.
    Passes,
    /// The client gets this.
    Replaced(Frame),
    /// The client gets nothing.
    Swallowed,
}

/// What the gate notes of an error that belongs to nothing that runs.
struct Failed {
    method: &'static str,
    action: Action,
    document: Vec<u8>,
}

/// Why the answer cannot go on.
#[derive(Debug)]
pub(super) enum Broken {
    /// The server broke the protocol or broke off.
    Server(Fault),
    /// The client broke off.
    Client,
    /// What comes cannot be recorded.
    Refused(Refusal),
}

impl<'a, A, C, S> FromServer<'a, A, C, S>
where
    A: Authenticate,
    C: AsyncRead + AsyncWrite + Unpin + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Relays until the server ends.
    pub(super) async fn run(&mut self) -> Result<End, Broken> {
        loop {
            let frame = match self.server.ready().map_err(Broken::Server)? {
                Some(frame) => frame,
                None => {
                    self.send().await?;
                    tokio::select! {
                        biased;
                        () = self.bell.aside.notified() => {
                            let aside = std::mem::take(&mut self.lock().aside);
                            aside.iter().for_each(|frame| self.client.put(frame));
                            continue;
                        }
                        frame = self.server.next() => match frame.map_err(Broken::Server)? {
                            Some(frame) => frame,
                            None => return Ok(End::Server),
                        },
                    }
                }
            };
            if frame.tag == b'D' {
                self.bytes += frame.wire_len();
                self.rows.push(frame);
                if self.bytes >= STEP {
                    self.look_at_rows()?;
                    self.make_room().await?;
                }
                continue;
            }
            self.look_at_rows()?;
            self.take(frame).await?;
            self.make_room().await?;
        }
    }

    /// Sends what has gathered, when it may be known.
    pub(super) async fn send(&mut self) -> Result<(), Broken> {
        self.look_at_rows()?;
        let unsent = std::mem::take(&mut self.unsent);
        if self.gate.parts().release.is_some() {
            let told = unsent.iter().filter(|open| open.has_said());
            let released = told.map(|open| open.page().release());
            for released in futures_util::future::join_all(released).await {
                released?;
            }
        }
        self.client.flush().await.map_err(|_| Broken::Client)
    }

    /// Sends when much has gathered, and waits for the writer of the book.
    async fn make_room(&mut self) -> Result<(), Broken> {
        let step = self
            .gate
            .parts()
            .release
            .map_or(STEP, |release| release.step);
        if self.client.waits() >= step.min(STEP) {
            self.send().await?;
        }
        let full = self.lock().queue.first().and_then(|first| {
            let run = first.of.run.as_ref()?;
            run.open.page().is_full().then(|| Arc::clone(&run.open))
        });
        let Some(open) = full else {
            return Ok(());
        };
        if self.gate.parts().release.is_some() {
            // It is made durable as a whole, or nobody would know how far it is.
            return self.send().await;
        }
        Ok(open.page().keep().await?)
    }

    /// Looks at the rows that have come.
    fn look_at_rows(&mut self) -> Result<(), Error> {
        if self.rows.is_empty() {
            return Ok(());
        }
        let mut rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let mut state = self.lock();
        // Each is judged by itself, though one answer goes for all.
        state.queue.heard(b'D')?;
        let run = state.queue.first().and_then(|first| first.of.run.as_mut());
        let run = run.ok_or(Error::Unexpected(b'D'))?;
        run.rows(&mut rows)?;
        rows.iter().for_each(|row| self.client.put(row));
        says(&mut self.unsent, &run.open);
        Ok(())
    }

    /// Takes a message that is no row.
    async fn take(&mut self, frame: Frame) -> Result<(), Broken> {
        let message = Backend::read(&frame)?;
        match &message {
            Backend::ParameterStatus { name, value } => self.lock().set(name, value),
            Backend::Notice(fields) => {
                let (other, line) = self.results.notice(fields, &self.uses())?;
                self.beside("NOTICE", line, None).await?;
                self.client.put(other.as_ref().unwrap_or(&frame));
                return Ok(());
            }
            Backend::Notification {
                process,
                channel,
                payload,
            } => {
                let (other, line) = self.results.notification(*process, channel, payload);
                self.beside("NOTIFICATION", line, None).await?;
                self.client.put(other.as_ref().unwrap_or(&frame));
                return Ok(());
            }
            Backend::Error(fields) if is_fatal(fields) => {
                self.is_fatal = true;
                let (other, line) = self.results.error(fields, &self.uses())?;
                self.beside("NOTICE", line, Some(fields)).await?;
                self.client.put(other.as_ref().unwrap_or(&frame));
                return Ok(());
            }
            message => {
                let origins = match message {
                    Backend::RowDescription(columns) => self.results.look_up(*columns).await,
                    _ => Origins::default(),
                };
                let (becomes, failed) = self.answer(frame.tag, message, &origins)?;
                self.bell.answered.notify_one();
                if let (Some(failed), Backend::Error(fields)) = (failed, message) {
                    self.note_failed(failed, fields).await?;
                }
                match becomes {
                    Becomes::Passes => {}
                    Becomes::Replaced(frame) => {
                        self.client.put(&frame);
                        return Ok(());
                    }
                    Becomes::Swallowed => return Ok(()),
                }
            }
        }
        self.client.put(&frame);
        Ok(())
    }

    /// Takes a message that answers something.
    fn answer(
        &mut self,
        tag: u8,
        message: &Backend<'_>,
        origins: &Origins,
    ) -> Result<(Becomes, Option<Failed>), Error> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut becomes = Becomes::Passes;
        let mut was_denied = false;
        if let Some(first) = state.queue.first() {
            let (kind, of) = (first.kind, &mut first.of);
            match (message, &of.denied) {
                (Backend::Error(_), Some(denied)) => {
                    becomes = Becomes::Replaced(denied.error()?);
                    of.denied = None;
                    was_denied = true;
                }
                // What was certain to fail did not.
                (_, Some(_)) => return Err(Error::Unexpected(tag)),
                (_, None) => {
                    if of.is_ours {
                        becomes = Becomes::Swallowed;
                    }
                    describe(of, message, origins);
                    let run = match kind {
                        // What fails at the end of a series is what ran last.
                        Kind::Sync => state.last.as_mut(),
                        _ => of.run.as_mut(),
                    };
                    if let Some(run) = run {
                        if let Some(told) = tell(run, kind, message, origins)? {
                            becomes = told;
                        }
                        says(&mut self.unsent, &run.open);
                    } else if let Backend::Error(fields) = message {
                        // The client hears of it even if the gate has asked: what follows does not run.
                        let (other, _) = self.results.error(fields, &Uses::default())?;
                        becomes = other.map_or(Becomes::Passes, Becomes::Replaced);
                    }
                }
            }
        }
        let mut failed = None;
        match state.queue.heard(tag)? {
            Heard::More => {
                if let (Backend::Error(_), Some(first)) = (message, state.queue.first()) {
                    let undo = std::mem::take(&mut first.of.undo);
                    state.names.undo(undo);
                }
            }
            Heard::Ended(expected) => self.ended(state, expected, message),
            Heard::Failed(first, skipped) => {
                let told = self.failed(state, first, skipped, message, was_denied);
                // What was refused has its exchange.
                failed = told.filter(|_| !was_denied);
            }
        }
        Ok((becomes, failed))
    }

    /// The first that was owed has been answered as a whole.
    fn ended(&mut self, state: &mut State, expected: Expected<Of>, message: &Backend<'_>) {
        let Expected { kind, of, .. } = expected;
        state.names.parsed(&of.undo);
        let mut over = Vec::new();
        if let Some(run) = of.run {
            over.extend(state.last.replace(run));
        }
        if let Backend::Ready(status) = message {
            over.extend(state.last.take());
            state.ready(*status);
        }
        for run in over {
            let open = run.finish(Outcome::Complete);
            says(&mut self.unsent, &open);
        }
        state.merge();
        debug_assert!(kind.ends_series() == matches!(message, Backend::Ready(_)));
    }

    /// The first that was owed failed, and what comes behind it in its series does not run.
    fn failed(
        &mut self,
        state: &mut State,
        first: Expected<Of>,
        skipped: Vec<Expected<Of>>,
        message: &Backend<'_>,
        was_denied: bool,
    ) -> Option<Failed> {
        let kind = first.kind;
        let runs_later = first.of.run.is_none();
        let failed = match (kind, &first.of.undo) {
            (Kind::Parse, Undo::Statement { made, .. }) => Failed {
                method: "PARSE",
                action: made.text.action.clone(),
                document: super::document::of_parse(&made.name, &made.text),
            },
            (Kind::Bind, Undo::Portal { name, made, .. }) => Failed {
                method: "BIND",
                action: Action::new("sql.query"),
                document: super::document::of_bind(name, made),
            },
            _ => Failed {
                method: "DESCRIBE",
                action: Action::new("sql.query"),
                document: b"{}".to_vec(),
            },
        };
        let all = std::iter::once(first).chain(skipped);
        let runs = state.undo(all.map(|expected| expected.of).collect());
        // They come in the order in which they are undone.
        let mut runs = runs.into_iter().rev();
        let mut told = Some(failed);
        if !was_denied
            && let Backend::Error(fields) = message
            && let Some(mut run) = runs.next()
        {
            if runs_later {
                // What it was for: a portal that was not made, a result that was not described.
                drop(run.failed(fields));
            }
            let open = run.finish(Outcome::UpstreamError);
            says(&mut self.unsent, &open);
            told = None;
        }
        runs.for_each(Running::skip);
        told
    }

    /// Notes an error that belongs to nothing that runs.
    async fn note_failed(&mut self, failed: Failed, fields: &Fields<'_>) -> Result<(), Broken> {
        let (_, line) = self.results.error(fields, &Uses::default())?;
        let sqlstate = fields.field(Field::CODE).unwrap_or_default();
        let open = self.aside(failed, line).await?;
        let result = [("sqlstate".to_owned(), json!(sqlstate))];
        answer::note(
            &self.caller.masks.answers,
            &open,
            result.into_iter().collect(),
        );
        open.exchange().conclude(Outcome::UpstreamError);
        Ok(())
    }

    /// Notes what the server says on its own: with what runs, or with what ran last, or as an exchange.
    async fn beside(
        &mut self,
        method: &'static str,
        line: Masked<Bytes>,
        error: Option<&Fields<'_>>,
    ) -> Result<(), Broken> {
        {
            let mut state = self.lock();
            let state = &mut *state;
            let run = state.queue.first().and_then(|first| first.of.run.as_mut());
            if let Some(run) = run.or(state.last.as_mut()) {
                match error {
                    Some(error) => drop(run.failed(error)?),
                    None => run.said(line),
                }
                says(&mut self.unsent, &run.open);
                return Ok(());
            }
        }
        let failed = Failed {
            method,
            action: Action::new("sql.notice"),
            document: b"{}".to_vec(),
        };
        let open = self.aside(failed, line).await?;
        open.exchange().conclude(Outcome::Complete);
        Ok(())
    }

    /// An exchange for something that the server says and that nothing which runs has asked for.
    async fn aside(&mut self, failed: Failed, line: Masked<Bytes>) -> Result<Arc<Open>, Broken> {
        let asked = Asked {
            method: failed.method,
            target: self.database.to_owned(),
            action: failed.action,
            document: failed.document,
        };
        let id = ExchangeId::generate();
        let open = self.gate.open(id, Some(self.caller), asked).await?;
        let open = Arc::new(open);
        open.answered(line);
        says(&mut self.unsent, &open);
        Ok(open)
    }

    /// What runs, or ran last, has to do with protected columns.
    fn uses(&self) -> Uses {
        let mut state = self.lock();
        let state = &mut *state;
        let run = state.queue.first().and_then(|first| first.of.run.as_mut());
        let run = run.or(state.last.as_mut());
        run.map(|run| run.uses().clone()).unwrap_or_default()
    }

    fn lock(&self) -> MutexGuard<'a, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Notes that something of an exchange's answer is to be sent.
fn says(unsent: &mut Vec<Arc<Open>>, open: &Arc<Open>) {
    if !unsent.last().is_some_and(|last| Arc::ptr_eq(last, open)) {
        unsent.push(Arc::clone(open));
    }
}

/// Keeps what a description tells.
fn describe(of: &Of, message: &Backend<'_>, origins: &Origins) {
    let columns = match message {
        Backend::RowDescription(columns) => ColumnOf::all(*columns, origins),
        Backend::NoData => Arc::default(),
        Backend::ParameterDescription(types) => {
            if let Described::Statement(statement) = &of.describes {
                // What it was said to be once, it stays.
                drop(statement.types.set(types.iter().collect()));
            }
            return;
        }
        _ => return,
    };
    match &of.describes {
        Described::Unknown => {}
        Described::Statement(statement) => drop(statement.columns.set(columns)),
        Described::Portal(portal) => {
            if let Some(statement) = &portal.statement {
                statement.describe(&columns);
            }
            drop(portal.columns.set(columns));
        }
    }
}

/// Adds what a message says to the record of what runs. Gives what becomes of it, if it is masked.
fn tell(
    run: &mut Running,
    kind: Kind,
    message: &Backend<'_>,
    origins: &Origins,
) -> Result<Option<Becomes>, Error> {
    match message {
        Backend::RowDescription(columns) if kind == Kind::Query => {
            run.begins(&ColumnOf::all(*columns, origins));
        }
        Backend::CommandComplete { tag } => run.ended(tag),
        Backend::EmptyQuery => run.paused(""),
        Backend::PortalSuspended => run.paused("suspended"),
        Backend::Error(fields) => return Ok(run.failed(fields)?.map(Becomes::Replaced)),
        Backend::CopyIn(format) => run.copies("in", format.format == Format::Text),
        Backend::CopyOut(format) => run.copies_out(*format)?,
        Backend::CopyData(data) => {
            return Ok(run.copied_out(data)?.map(|other| match other.is_empty() {
                true => Becomes::Swallowed,
                false => Becomes::Replaced(Frame::new(b'd', other)),
            }));
        }
        Backend::FunctionCall(value) => return Ok(run.returned(*value).map(Becomes::Replaced)),
        _ => {}
    }
    Ok(None)
}

/// Whether an error ends the session.
fn is_fatal(fields: &Fields<'_>) -> bool {
    let severity = fields.field(Field::SEVERITY_PLAIN);
    let severity = severity.or_else(|| fields.field(Field::SEVERITY));
    matches!(severity, Some("FATAL" | "PANIC"))
}

impl From<Error> for Broken {
    fn from(error: Error) -> Self {
        Self::Server(error.into())
    }
}

impl From<Refusal> for Broken {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// What is looked at and sent at once, in bytes.
const STEP: usize = 64 << 10;
