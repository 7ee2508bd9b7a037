//! Statements and portals by their names, as the server has them when it has read what was sent.
//!
//! Names change when a message is judged and not when it is answered, because what follows in a pipeline
//! refers to them. A change that fails is undone. What refers to a change beyond the end of its series has to
//! wait until that has been answered ([`Names::is_open`]): within a series it would not run if the change
//! had failed, beyond it would run with whatever had the name before.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use tollbook_wire_postgres::{Format, Frame, Status};

use super::{
    columns::ColumnOf,
    text::{Reading, Text},
};

/// A statement that was prepared.
#[derive(Debug)]
pub(super) struct Statement {
    /// Its name; empty for the one without.
    pub(super) name: String,
    /// Its text.
    pub(super) text: Arc<Text>,
    /// The types of its parameters, as the client gave them.
    pub(super) given: Vec<u32>,
    /// The same as the server has them, once it has said so.
    pub(super) types: OnceLock<Vec<u32>>,
    /// The columns of its result, once the server has said so; all in the format of text.
    pub(super) columns: OnceLock<Arc<[ColumnOf]>>,
    /// Whether the server was asked for the columns.
    pub(super) described: AtomicBool,
    series: u64,
    dead: AtomicBool,
}

/// A statement with parameters, ready to run.
#[derive(Debug)]
pub(super) struct Portal {
    /// The statement; none if nobody here knows it.
    pub(super) statement: Option<Arc<Statement>>,
    /// What made it, with its parameters and formats.
    pub(super) bind: Frame,
    /// The columns of its result, once the server has said so.
    pub(super) columns: OnceLock<Arc<[ColumnOf]>>,
    /// Whether the server was asked for the columns.
    pub(super) described: AtomicBool,
    series: u64,
    dead: AtomicBool,
}

/// Takes back a change that was not made.
#[derive(Debug, Default)]
pub(super) enum Undo {
    /// Nothing was changed.
    #[default]
    Nothing,
    /// A statement got a name, or was refused it.
    Statement {
        made: Arc<Statement>,
        was: Option<Arc<Statement>>,
        /// Whether it has the name. A name that is taken is not given again.
        given: bool,
    },
    /// A portal got a name.
    Portal {
        name: String,
        made: Arc<Portal>,
        was: Option<Arc<Portal>>,
    },
    /// A statement was forgotten.
    ClosedStatement(Option<Arc<Statement>>),
    /// A portal was forgotten.
    ClosedPortal(String, Option<Arc<Portal>>),
    /// What SQL itself changed. One that is alone in its text has failed when the text has.
    Sql { all: Vec<Undo>, alone: bool },
}

/// All names of a session.
#[derive(Debug, Default)]
pub(super) struct Names {
    statements: HashMap<String, Arc<Statement>>,
    portals: HashMap<String, Arc<Portal>>,
    /// The series that is being sent: how many ended before it.
    series: u64,
    /// How many have been answered.
    answered: u64,
}

impl Names {
    /// A text was prepared.
    pub(super) fn parse(&mut self, name: &str, text: Arc<Text>, given: Vec<u32>) -> Undo {
        let made = Arc::new(Statement {
            name: name.to_owned(),
            text,
            given,
            types: OnceLock::new(),
            columns: OnceLock::new(),
            described: AtomicBool::new(false),
            series: self.series,
            dead: AtomicBool::new(false),
        });
        let was = self.statements.get(name).cloned();
        let given = name.is_empty() || was.is_none();
        if given {
            self.statements.insert(name.to_owned(), Arc::clone(&made));
        }
        Undo::Statement { made, was, given }
    }

    /// A portal was made.
    pub(super) fn bind(&mut self, name: &str, statement: &str, bind: Frame) -> Undo {
        let made = Arc::new(Portal {
            statement: self.statements.get(statement).cloned(),
            bind,
            columns: OnceLock::new(),
            described: AtomicBool::new(false),
            series: self.series,
            dead: AtomicBool::new(false),
        });
        let was = self.portals.insert(name.to_owned(), Arc::clone(&made));
        let name = name.to_owned();
        Undo::Portal { name, made, was }
    }

    pub(super) fn close_statement(&mut self, name: &str) -> Undo {
        Undo::ClosedStatement(self.statements.remove(name))
    }

    pub(super) fn close_portal(&mut self, name: &str) -> Undo {
        Undo::ClosedPortal(name.to_owned(), self.portals.remove(name))
    }

    /// What the SQL of a text does to names.
    pub(super) fn sql(&mut self, text: &Text, reading: &Reading) -> Undo {
        let effects = text.effects(reading);
        let mut all = Vec::new();
        if effects.forgets_all {
            let names: Vec<_> = self.statements.keys().cloned().collect();
            all.extend(names.iter().map(|name| self.close_statement(name)));
        }
        for name in effects.forgets {
            all.push(self.close_statement(&name));
        }
        for (name, text) in effects.prepares {
            all.push(self.parse(&name, Arc::new(text), Vec::new()));
        }
        if effects.moves_portals {
            // A cursor of this name is a portal, and nobody here sees what it gives.
            let names: Vec<_> = self.portals.keys().cloned().collect();
            all.extend(names.iter().map(|name| self.close_portal(name)));
        }
        if all.is_empty() {
            return Undo::Nothing;
        }
        let alone = text.is_alone();
        Undo::Sql { all, alone }
    }

    /// The series ends with a Sync, or with a message that ends one by itself.
    pub(super) const fn end_series(&mut self) {
        self.series += 1;
    }

    /// So many series were answered together with others.
    pub(super) const fn merged(&mut self, series: u64) {
        self.answered += series;
    }

    /// A series was answered.
    pub(super) fn ready(&mut self, status: Status) {
        let over = self.answered;
        self.answered += 1;
        if status == Status::Idle {
            self.portals.retain(|_, portal| portal.series > over);
        }
    }

    /// Takes back what was not made, and what only seems so.
    pub(super) fn undo(&mut self, undo: Undo) {
        match undo {
            Undo::Nothing => {}
            Undo::Statement { made, was, given } => {
                made.dead.store(true, Ordering::Relaxed);
                let now = self.statements.get(&made.name);
                if given && now.is_some_and(|now| Arc::ptr_eq(now, &made)) {
                    self.statements.remove(&made.name);
                    if let Some(was) = was.filter(|was| !was.dead.load(Ordering::Relaxed)) {
                        self.statements.insert(was.name.clone(), was);
                    }
                }
            }
            Undo::Portal { name, made, was } => {
                made.dead.store(true, Ordering::Relaxed);
                let now = self.portals.get(&name);
                if now.is_some_and(|now| Arc::ptr_eq(now, &made)) {
                    self.portals.remove(&name);
                    if let Some(was) = was.filter(|was| !was.dead.load(Ordering::Relaxed)) {
                        self.portals.insert(name, was);
                    }
                }
            }
            Undo::ClosedStatement(was) => {
                if let Some(was) = was.filter(|was| !was.dead.load(Ordering::Relaxed)) {
                    self.statements.entry(was.name.clone()).or_insert(was);
                }
            }
            Undo::ClosedPortal(name, was) => {
                if let Some(was) = was.filter(|was| !was.dead.load(Ordering::Relaxed)) {
                    self.portals.entry(name).or_insert(was);
                }
            }
            Undo::Sql { all, alone } => {
                for undo in all.into_iter().rev() {
                    match undo {
                        undo if alone => self.undo(undo),
                        // Some statements of the text ran: nobody knows what has the name now.
                        Undo::Statement { made, .. } => {
                            self.statements.remove(&made.name);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    /// The server has made a statement.
    pub(super) fn parsed(&mut self, undo: &Undo) {
        match undo {
            // The name was taken, as far as was known: something that is not seen here has set it free.
            Undo::Statement { made, given, .. } if !given => {
                self.statements.remove(&made.name);
            }
            Undo::Sql { all, .. } => all.iter().for_each(|undo| self.parsed(undo)),
            _ => {}
        }
    }

    pub(super) fn statement(&self, name: &str) -> Option<&Arc<Statement>> {
        self.statements.get(name)
    }

    pub(super) fn portal(&self, name: &str) -> Option<&Arc<Portal>> {
        self.portals.get(name)
    }

    /// Whether it is open what has this statement's name: it was changed in a series that ended and was
    /// not answered.
    pub(super) fn is_open_statement(&self, name: &str) -> bool {
        (self.statements.get(name)).is_some_and(|statement| self.is_open(statement.series))
    }

    /// The same of a portal.
    pub(super) fn is_open_portal(&self, name: &str) -> bool {
        (self.portals.get(name)).is_some_and(|portal| self.is_open(portal.series))
    }

    const fn is_open(&self, series: u64) -> bool {
        series < self.series && series >= self.answered
    }

    /// The series that is being sent.
    pub(super) const fn series(&self) -> u64 {
        self.series
    }

    /// Whether a series was answered.
    pub(super) const fn is_answered(&self, series: u64) -> bool {
        series < self.answered
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.statements.len() + self.portals.len()
    }
}

impl Statement {
    /// Notes the columns that a portal of it has.
    pub(super) fn describe(&self, columns: &Arc<[ColumnOf]>) {
        let as_text = columns.iter().map(|column| ColumnOf {
            format: Format::Text,
            ..column.clone()
        });
        // What it was said to be once, it stays: the server refuses to run one whose result has changed.
        drop(self.columns.set(as_text.collect()));
        self.described.store(true, Ordering::Relaxed);
    }
}

impl Undo {
    /// The same for a text of which nothing runs.
    pub(super) fn of_nothing(self) -> Self {
        match self {
            Self::Sql { all, .. } => Self::Sql { all, alone: true },
            other => other,
        }
    }
}

impl Portal {
    /// A portal that nobody here has seen being made.
    pub(super) fn unseen() -> Self {
        Self {
            statement: None,
            bind: Frame::new(b'B', Vec::new()),
            columns: OnceLock::new(),
            described: AtomicBool::new(false),
            series: 0,
            dead: AtomicBool::new(false),
        }
    }

    /// The columns of what it gives, in the formats that were asked for.
    pub(super) fn columns(&self) -> Option<Arc<[ColumnOf]>> {
        if let Some(columns) = self.columns.get() {
            return Some(Arc::clone(columns));
        }
        let columns = self.statement.as_ref()?.columns.get()?;
        Some(ColumnOf::formatted(columns, &self.bind))
    }

    /// Whether the server was asked for its columns or for its statement's.
    pub(super) fn is_described(&self) -> bool {
        let asked = |flag: &AtomicBool| flag.load(Ordering::Relaxed);
        let statement = self.statement.as_ref();
        asked(&self.described) || statement.is_some_and(|of| asked(&of.described))
    }
}
