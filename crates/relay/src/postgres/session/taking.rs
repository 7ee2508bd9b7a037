//! What each message of a client asks for: what it changes among the names, what runs by it, and what has
//! to be known before it can be judged.

use std::sync::{Arc, atomic::Ordering};

use tokio::io::{AsyncRead, AsyncWrite};
use tollbook_exchange::{Action, Refusal, Verdict};
use tollbook_identity::Authenticate;
use tollbook_wire_postgres::{Error, Frame, Frontend, Target};

use super::{
    document,
    expected::Kind,
    from_client::FromClient,
    names::{Portal, Undo},
    refused,
    state::{Described, Of},
    text::Text,
};
use crate::postgres::{Fault, Uses};

/// What the client's message is about, where it runs something.
pub(super) struct Run {
    pub(super) method: &'static str,
    pub(super) action: Action,
    pub(super) document: Vec<u8>,
    pub(super) kind: Kind,
    pub(super) portal: Option<Arc<Portal>>,
    pub(super) undo: Undo,
    pub(super) before: Option<(Frame, Of)>,
    pub(super) uses: Uses,
    pub(super) unmaskable: Option<Refusal>,
}

/// How it went with one message of the client.
pub(super) enum Taken {
    Done,
    /// It has to wait.
    Stalled(Frame),
    /// The client ends the session.
    Terminated,
}

impl<A, C, S> FromClient<'_, A, C, S>
where
    A: Authenticate,
    C: AsyncRead + AsyncWrite + Unpin + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    /// Takes a message of the client.
    pub(super) fn take(&mut self, frame: Frame) -> Result<Taken, Fault> {
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
        if text.may_move_names() && !self.options.protected.is_empty() {
            state.may_move();
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
        if text.may_move_names() && !self.options.protected.is_empty() {
            state.may_move();
        }
        let before = (!portal.is_described(state.trusts_descriptions())).then(|| {
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
}

/// How many statements and portals a session may have.
const NAMES: usize = 100_000;
