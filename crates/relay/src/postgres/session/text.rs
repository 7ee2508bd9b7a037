//! The text of a statement, and what is known of it.

use tollbook_exchange::{Action, Refusal};
use tollbook_sql::{Class, Dialect, Settings, Statement, StatementKind, Statements};

use super::names::Names;
use crate::postgres::{Protected, Uses};

/// A text, and what it does as far as it says.
#[derive(Debug)]
pub(super) struct Text {
    /// The text as it came.
    pub(super) text: String,
    /// The same with what `EXECUTE` runs in its place, where that is known.
    pub(super) resolved: Option<String>,
    /// The facts, as policies judge them.
    pub(super) action: Action,
    statements: Statements,
    /// Those that run, where they are others.
    run: Option<Statements>,
    /// Whether nobody knows what they mean.
    doubted: bool,
}

/// How texts are read in the state that the session is in.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// What the server said of its settings, and the operator's names.
    pub(super) settings: Settings,
    /// Whether the client's encoding is one in which nothing else looks like ASCII.
    pub(super) is_plain: bool,
    /// Whether settings may change before the text is read.
    pub(super) is_open: bool,
}

/// What the SQL of a text does to the names of statements and portals.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// Every statement is forgotten.
    pub(super) forgets_all: bool,
    /// Statements are forgotten.
    pub(super) forgets: Vec<String>,
    /// Statements are prepared.
    pub(super) prepares: Vec<(String, Text)>,
    /// Names of portals may mean others.
    pub(super) moves_portals: bool,
}

impl Text {
    /// Reads a text.
    pub(super) fn read(text: &str, reading: &Reading, names: &Names) -> Self {
        let statements = Statements::read(Dialect::Postgres, text, &reading.settings);
        let resolved = resolved(text, &statements, names);
        let run = (resolved.as_ref())
            .map(|resolved| Statements::read(Dialect::Postgres, resolved, &reading.settings));
        let mut action = run.as_ref().unwrap_or(&statements).action();
        let doubted = !reading.is_sure_of(text, &statements);
        if doubted {
            action = unknown(action, "after_setting");
        }
        Self {
            text: text.to_owned(),
            resolved,
            action,
            statements,
            run,
            doubted,
        }
    }

    /// What it has to do with protected columns.
    pub(super) fn uses(&self, protected: &Protected) -> Uses {
        let uses = protected.uses(self.run.as_ref().unwrap_or(&self.statements));
        match self.doubted {
            true => protected.doubted(uses),
            false => uses,
        }
    }

    /// Why its answer could not be masked, if so.
    pub(super) fn unmaskable(&self, protected: &Protected) -> Option<Refusal> {
        protected.refusal(self.run.as_ref().unwrap_or(&self.statements))
    }

    /// What is said of a statement that nobody here has seen.
    pub(super) fn unseen() -> Self {
        let statements = Statements::read(Dialect::Postgres, "", &Settings::default());
        let action = unknown(statements.action(), "elsewhere");
        Self {
            text: String::new(),
            resolved: None,
            action,
            statements,
            run: None,
            doubted: true,
        }
    }

    /// Whether it may change how later texts are read.
    pub(super) fn may_change_meaning(&self) -> bool {
        (self.statements.iter()).any(|of| of.changes_meaning || of.class == Class::Unknown)
    }

    /// Whether it runs nothing, or one statement.
    pub(super) fn is_alone(&self) -> bool {
        self.statements.len() <= 1
    }

    /// The names of the prepared statements that its SQL runs.
    pub(super) fn runs(&self) -> impl Iterator<Item = String> {
        let runs = self.statements.iter();
        let runs = runs.filter(|of| of.kind == StatementKind::Execute);
        runs.filter_map(|of| Some(plain(&of.prepared.as_ref()?.name)))
    }

    /// What its SQL does to names.
    pub(super) fn effects(&self, reading: &Reading) -> Effects {
        let mut effects = Effects::default();
        for of in &self.statements {
            match of.kind {
                StatementKind::Prepare => {
                    let Some(prepared) = &of.prepared else {
                        effects.forgets_all = true;
                        continue;
                    };
                    let (name, text) = (plain(&prepared.name), prepared.text.as_deref());
                    let text = match text {
                        Some(text) => Self::read(text, reading, &Names::default()),
                        None => Self::unseen(),
                    };
                    effects.prepares.push((name, text));
                }
                StatementKind::Deallocate => match &of.prepared {
                    Some(prepared) if prepared.name != "all" => {
                        effects.forgets.push(plain(&prepared.name));
                    }
                    _ => effects.forgets_all = true,
                },
                // DISCARD is one of them.
                StatementKind::Set if of.settings.contains("all") => {
                    effects.forgets_all = true;
                    effects.moves_portals = true;
                }
                StatementKind::Declare | StatementKind::Fetch => effects.moves_portals = true,
                _ => {}
            }
        }
        effects
    }
}

impl Reading {
    /// Whether the facts about a text hold, whatever the settings become before the server reads it.
    fn is_sure_of(&self, text: &str, read: &Statements) -> bool {
        if !text.is_ascii() && !self.is_plain {
            return false;
        }
        if !self.is_open || !text.contains('\\') {
            return !self.is_open || text.is_ascii() || self.is_plain;
        }
        let mut other = self.settings.clone();
        other.standard_conforming_strings = !other.standard_conforming_strings;
        *read == Statements::read(Dialect::Postgres, text, &other)
    }
}

/// The action of something that nobody can judge.
fn unknown(action: Action, why: &'static str) -> Action {
    let class = Class::Unknown.as_str();
    let set = |of: &str| {
        [of.to_owned()]
            .into_iter()
            .collect::<std::collections::BTreeSet<_>>()
    };
    action
        .with("statement_class", class)
        .with("statement_classes", set(class))
        .with("unknown", set(why))
}

/// The text with what `EXECUTE` runs in its place; none if it runs nothing, or something unknown.
fn resolved(text: &str, statements: &Statements, names: &Names) -> Option<String> {
    let mut resolved = String::new();
    let mut any = false;
    for of in statements {
        if !resolved.is_empty() {
            resolved.push_str(";\n");
        }
        let piece = text.get(of.span.clone())?;
        if of.kind != StatementKind::Execute {
            resolved.push_str(piece);
            continue;
        }
        any = true;
        let (inner, arguments) = executed(of, piece, names)?;
        resolved.push_str(&inner);
        if let Some(arguments) = arguments {
            // They are expressions, and run too.
            resolved.push_str(";\nSELECT ");
            resolved.push_str(arguments);
        }
    }
    any.then_some(resolved)
}

/// What an `EXECUTE` runs, and the expressions that it is given.
fn executed<'a>(
    of: &Statement,
    piece: &'a str,
    names: &Names,
) -> Option<(String, Option<&'a str>)> {
    let prepared = of.prepared.as_ref()?;
    let statement = names.statement(&plain(&prepared.name))?;
    let inner = &statement.text;
    let text = inner.resolved.as_ref().unwrap_or(&inner.text).clone();
    if text.is_empty() {
        return None;
    }
    let word = piece
        .get(..7)
        .filter(|word| word.eq_ignore_ascii_case("execute"))?;
    let rest = piece.get(word.len()..)?.trim_start();
    // A comment or a quoted name between is not looked through.
    let end = rest.find(|sign: char| !sign.is_ascii_alphanumeric() && sign != '_');
    let rest = rest.get(end.unwrap_or(rest.len())..)?.trim();
    match rest {
        "" => Some((text, None)),
        _ => {
            let arguments = rest.strip_prefix('(')?.strip_suffix(')')?;
            Some((text, Some(arguments)))
        }
    }
}

/// A name of SQL as the server keeps it.
fn plain(name: &str) -> String {
    match name
        .strip_prefix('"')
        .and_then(|name| name.strip_suffix('"'))
    {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => name.to_owned(),
    }
}
