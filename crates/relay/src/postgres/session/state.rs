//! What both directions of a session know together.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::Notify;
use tollbook_sql::Settings;
use tollbook_wire_postgres::{Frame, Status};

use super::{
    answer::Running,
    expected::Queue,
    names::{Names, Portal, Statement, Undo},
    refused::Denied,
    text::Reading,
};

/// What both directions of a session know. It is locked for moments, and never across an await.
#[derive(Debug)]
pub(super) struct State {
    /// What the server owes.
    pub(super) queue: Queue<Of>,
    /// Statements and portals.
    pub(super) names: Names,
    /// Where the session stands between two series.
    pub(super) status: Status,
    /// What the client is told in between.
    pub(super) aside: VecDeque<Frame>,
    /// The exchange that ran last, until its series ends: what is checked at its end may undo it.
    pub(super) last: Option<Running>,
    settings: Settings,
    is_plain: bool,
    /// The last series in which something may change settings: until it is answered, they are not known.
    changed_in: Option<u64>,
}

/// What is known of a message that the server answers.
#[derive(Debug, Default)]
pub(super) struct Of {
    /// What it runs.
    pub(super) run: Option<Running>,
    /// Why something else was sent in its place.
    pub(super) denied: Option<Denied>,
    /// Takes back what it changed.
    pub(super) undo: Undo,
    /// What it describes.
    pub(super) describes: Described,
    /// Whether the gate itself asked: the client does not hear of the answer.
    pub(super) is_ours: bool,
}

/// What is described.
#[derive(Debug, Default)]
pub(super) enum Described {
    /// Nothing, or nothing that is known.
    #[default]
    Unknown,
    /// A statement.
    Statement(Arc<Statement>),
    /// A portal.
    Portal(Arc<Portal>),
}

/// How the two directions wake each other.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// The server has answered something.
    pub(super) answered: Notify,
    /// The client is to be told something.
    pub(super) aside: Notify,
}

impl State {
    /// A session that begins with these settings.
    pub(super) fn new<'a>(
        settings: Settings,
        parameters: impl IntoIterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        let mut state = Self {
            queue: Queue::default(),
            names: Names::default(),
            status: Status::Idle,
            aside: VecDeque::new(),
            last: None,
            settings,
            is_plain: true,
            changed_in: None,
        };
        for (name, value) in parameters {
            state.set(name, value);
        }
        state
    }

    /// The server says that a setting has this value.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        match name {
            "standard_conforming_strings" => {
                self.settings.standard_conforming_strings = value != "off";
            }
            // The others have signs whose second byte is one of ASCII.
            "client_encoding" => {
                self.is_plain = ["UTF8", "SQL_ASCII"].contains(&value)
                    || value.starts_with("LATIN")
                    || value.starts_with("WIN125");
            }
            _ => {}
        }
    }

    /// How the next text is read.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            settings: self.settings.clone(),
            is_plain: self.is_plain,
            is_open: (self.changed_in).is_some_and(|series| !self.names.is_answered(series)),
        }
    }

    /// Something is sent that may change settings.
    pub(super) const fn may_change(&mut self) {
        self.changed_in = Some(self.names.series());
    }

    /// The server is ready: it has said what the settings are.
    pub(super) fn ready(&mut self, status: Status) {
        self.status = status;
        self.names.ready(status);
        self.merge();
    }

    /// Takes back what a message changed that failed, and what those changed that were skipped with it.
    /// Gives what they would have run.
    pub(super) fn undo(&mut self, skipped: Vec<Of>) -> Vec<Running> {
        let mut runs = Vec::new();
        for of in skipped.into_iter().rev() {
            self.names.undo(of.undo);
            forget_description(&of.describes);
            runs.extend(of.run);
        }
        self.merge();
        runs
    }

    /// Ends of series that are not answered on their own.
    pub(super) fn merge(&mut self) {
        let merged = self.queue.merged();
        self.names.merged(merged);
    }
}

/// What was asked for its columns has not told them.
fn forget_description(described: &Described) {
    match described {
        Described::Unknown => {}
        Described::Statement(statement) => statement.described.store(false, Ordering::Relaxed),
        Described::Portal(portal) => portal.described.store(false, Ordering::Relaxed),
    }
}
