//! A whole text.

use std::collections::BTreeSet;

use serde::Serialize;
use tollbook_exchange::Action;

use crate::{
    Class, Dialect, Fingerprint, Settings, Statement, StatementKind, Unknown, fingerprint, grammar,
    lexer::{self, Token},
    split::{self, Piece},
};

/// How many different names a fact may hold, and how long each may be in bytes.
const MAX_NAMES: usize = 4096;
const MAX_NAME: usize = 256;

/// The statements of a text, in order.
///
/// Each semicolon of the text is where the server sees one, or the statement it stands in is unknown and
/// goes on to the end of the text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Statements {
    all: Vec<Statement>,
    fingerprint: Fingerprint,
    bytes: usize,
}

impl Statements {
    /// Reads a text as the server would that has these settings before it.
    ///
    /// It never fails: what cannot be read is a statement of class [`Class::Unknown`]. A text without a
    /// statement (white space, comments, semicolons) has none, and does nothing.
    pub fn read(dialect: Dialect, text: &str, settings: &Settings) -> Self {
        let tokens = lexer::tokens(dialect, text, settings);
        let mut all: Vec<Statement> = Vec::new();
        let mut changed = false;
        for piece in split::split(dialect, text, &tokens, settings) {
            let mut statement = read(dialect, text, &tokens, &piece, settings);
            if changed {
                statement.doubt(Unknown::AfterSetting);
            }
            // PostgreSQL reads a whole text before it runs any of it; MySQL reads on when it has run.
            changed |= dialect == Dialect::MySql && statement.changes_meaning;
            all.push(statement);
        }
        Self {
            all,
            fingerprint: fingerprint::of_tokens(dialect, text, &tokens),
            bytes: text.len(),
        }
    }

    /// The statements.
    pub fn iter(&self) -> std::slice::Iter<'_, Statement> {
        self.all.iter()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// The weightiest class; [`Class::Read`] where there is no statement.
    pub fn class(&self) -> Class {
        let classes = self.all.iter().map(|statement| statement.class);
        classes.max().unwrap_or(Class::Read)
    }

    /// Whether nobody can say what one of the statements does.
    pub fn any_unknown(&self) -> bool {
        self.class() == Class::Unknown
    }

    /// The fingerprint of the whole text.
    pub const fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// The facts about the text, by the names that policies use: those of all statements together.
    ///
    /// | fact | type | meaning |
    /// |---|---|---|
    /// | `body_bytes` | long | length of the text |
    /// | `statements` | long | how many statements |
    /// | `statement_class` | text | the weightiest [`Class`] |
    /// | `statement_classes` `statement_kinds` | set | of each statement |
    /// | `unknown` | set | why statements are of class `unknown`: [`Unknown`] |
    /// | `tables_read` `tables_written` | set | relations |
    /// | `functions` `side_effects` `unknown_functions` | set | functions that are called |
    /// | `unbounded` | bool | a change that no column's condition bounds |
    /// | `locks_rows` | bool | `FOR UPDATE` and the like |
    /// | `settings` | set | settings that are changed |
    /// | `changes_meaning` | bool | whether one of them changes what texts mean or who asks |
    /// | `protected_columns` | set | protected columns that are used |
    /// | `protected_places` | set | … and what for: [`Place`](crate::Place) |
    /// | `fingerprint` | text | of the whole text |
    ///
    /// No literal is in them. Where a set would have more names than a fact may hold, or longer ones, it
    /// is cut, and `too_large` is in `unknown` and the class is `unknown`.
    pub fn action(&self) -> Action {
        let mut cut = false;
        let mut set = |of: &dyn Fn(&Statement) -> Vec<String>| {
            let mut names = BTreeSet::new();
            for name in self.all.iter().flat_map(of) {
                if name.len() > MAX_NAME || names.len() >= MAX_NAMES && !names.contains(&name) {
                    cut = true;
                } else {
                    names.insert(name);
                }
            }
            names
        };
        let action = Action::new("sql.query")
            .with("body_bytes", self.bytes)
            .with("statements", self.all.len())
            .with(
                "statement_kinds",
                set(&|of| vec![of.kind.as_str().to_owned()]),
            )
            .with("tables_read", set(&|of| names(&of.relations_read)))
            .with("tables_written", set(&|of| names(&of.relations_written)))
            .with("functions", set(&|of| names(&of.functions)))
            .with("side_effects", set(&|of| names(&of.side_effects)))
            .with("unknown_functions", set(&|of| names(&of.unknown_functions)))
            .with("unbounded", self.all.iter().any(|of| of.unbounded))
            .with("locks_rows", self.all.iter().any(|of| of.locks_rows))
            .with("settings", set(&|of| names(&of.settings)))
            .with(
                "changes_meaning",
                self.all.iter().any(|of| of.changes_meaning),
            )
            .with(
                "protected_columns",
                set(&|of| of.protected.iter().map(ToString::to_string).collect()),
            )
            .with("protected_places", set(&|of| places(&of.protected)))
            .with("fingerprint", self.fingerprint.to_string());
        let mut unknown = set(&|of| {
            of.unknown
                .iter()
                .map(|why| why.as_str().to_owned())
                .collect()
        });
        let mut classes = set(&|of| vec![of.class.as_str().to_owned()]);
        let mut class = self.class();
        if cut {
            unknown.insert(Unknown::TooLarge.as_str().to_owned());
            class = Class::Unknown;
            classes.insert(class.as_str().to_owned());
        }
        action
            .with("unknown", unknown)
            .with("statement_class", class.as_str())
            .with("statement_classes", classes)
    }
}

fn names(names: &BTreeSet<String>) -> Vec<String> {
    names.iter().cloned().collect()
}

fn places(columns: &BTreeSet<crate::ColumnUse>) -> Vec<String> {
    columns
        .iter()
        .map(|column| column.place.as_str().to_owned())
        .collect()
}

impl<'a> IntoIterator for &'a Statements {
    type Item = &'a Statement;
    type IntoIter = std::slice::Iter<'a, Statement>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn read(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    piece: &Piece,
    settings: &Settings,
) -> Statement {
    let tokens = tokens.get(piece.tokens.clone()).unwrap_or_default();
    let mut statement = Statement::new(dialect, text, tokens);
    match piece.unsure {
        Some(why) => {
            statement.kind = grammar::head(text, tokens);
            statement.doubt(why);
        }
        None => grammar::read(dialect, text, tokens, settings, &mut statement),
    }
    statement
}

impl Statement {
    /// A statement of which nothing is known yet.
    fn new(dialect: Dialect, text: &str, tokens: &[Token]) -> Self {
        let start = tokens.first().map_or(0, |token| token.span.start);
        let end = tokens.last().map_or(start, |token| token.span.end);
        Self {
            span: start..end,
            kind: StatementKind::Unknown,
            class: Class::Read,
            unknown: None,
            fingerprint: fingerprint::of_tokens(dialect, text, tokens),
            relations_read: BTreeSet::new(),
            relations_written: BTreeSet::new(),
            columns: BTreeSet::new(),
            protected: BTreeSet::new(),
            functions: BTreeSet::new(),
            side_effects: BTreeSet::new(),
            unknown_functions: BTreeSet::new(),
            unbounded: false,
            locks_rows: false,
            settings: BTreeSet::new(),
            changes_meaning: false,
            prepared: None,
            copy: None,
        }
    }

    /// Makes the statement unknown. The first reason stays.
    pub(crate) fn doubt(&mut self, why: Unknown) {
        self.class = Class::Unknown;
        self.unknown.get_or_insert(why);
    }

    /// Makes the statement's class this one, unless it is of a weightier one.
    pub(crate) fn at_least(&mut self, class: Class) {
        self.class = self.class.max(class);
    }
}
