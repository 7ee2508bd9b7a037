//! What each statement is.

use sqlparser::ast::{
    AlterTableOperation, ContextModifier, CopySource, CopyTarget, Expr, FunctionArg,
    FunctionArgExpr, FunctionArguments, ObjectType, Query, Reset, Set, SetExpr, Statement as Tree,
    TransactionAccessMode, TransactionMode, Use, Value,
};

use super::{Words, names, walk::walk};
use crate::{
    Class, Dialect, Place, Prepared, Settings, Statement, StatementKind, Unknown, lexer::Token,
};

/// Settings that change what later texts mean, who asks, or whether rows may be seen.
const MEANING: [&str; 20] = [
    "all",
    "role",
    "session_authorization",
    "search_path",
    "schema",
    "database",
    "standard_conforming_strings",
    "backslash_quote",
    "client_encoding",
    "names",
    "sql_mode",
    "character_set_client",
    "character_set_connection",
    "collation_connection",
    "row_security",
    "session_replication_role",
    "default_transaction_read_only",
    "transaction_read_only",
    "foreign_key_checks",
    "unknown",
];

/// The options of `EXPLAIN` with which a statement is planned and not run.
/// <https://www.postgresql.org/docs/18/sql-explain.html>
const PLANS: [&str; 7] = [
    "verbose",
    "costs",
    "settings",
    "generic_plan",
    "buffers",
    "format",
    "summary",
];

/// Fills in the facts of one statement.
pub(crate) fn statement(
    dialect: Dialect,
    text: &str,
    tokens: &[Token],
    tree: &Tree,
    settings: &Settings,
    out: &mut Statement,
) {
    let words = Words { text, tokens };
    of(dialect, words, tree, settings, out);
    if out.class == Class::Ddl && grants(words) {
        out.at_least(Class::Privilege);
    }
}

fn of(dialect: Dialect, words: Words<'_>, tree: &Tree, settings: &Settings, out: &mut Statement) {
    use StatementKind as Kind;

    let mut is = |kind: Kind, class: Class| {
        out.kind = kind;
        out.at_least(class);
    };
    let mut written = false;
    match tree {
        Tree::Query(query) => is(query_kind(query), Class::Read),
        Tree::Insert(_) => is(Kind::Insert, Class::Write),
        Tree::Update(_) => is(Kind::Update, Class::Write),
        Tree::Delete(_) => is(Kind::Delete, Class::Write),
        Tree::Merge(_) => is(Kind::Merge, Class::Write),
        Tree::Truncate(truncate) => {
            is(Kind::Truncate, Class::Write);
            out.unbounded = true;
            for table in &truncate.table_names {
                out.relations_written.extend(names::object(&table.name));
            }
        }
        Tree::Copy {
            source, to, target, ..
        } => return copy(dialect, tree, source, *to, target, settings, out),
        Tree::Explain {
            statement,
            analyze,
            options,
            ..
        } => {
            // The server takes more spellings of `analyze` than one, and later versions have more
            // options: what is not known to only plan is taken to run.
            let is_run = *analyze
                || options.iter().flatten().any(|option| {
                    let name = option.name.value.to_ascii_lowercase();
                    !PLANS.contains(&name.as_str())
                });
            of(dialect, words, statement, settings, out);
            // What is only planned changes nothing, but its functions may be called.
            if !is_run && out.unknown.is_none() {
                plan(dialect, settings, out);
            }
            out.kind = Kind::Explain;
            return;
        }
        Tree::ExplainTable { table_name, .. } => {
            is(Kind::Show, Class::Read);
            out.relations_read.extend(names::object(table_name));
        }
        Tree::Prepare {
            name, statement, ..
        } => {
            of(dialect, words, statement, settings, out);
            out.kind = Kind::Prepare;
            out.at_least(Class::Session);
            let begin = (0..words.tokens.len()).find(|at| words.is(*at, "as"));
            let begin = begin.and_then(|at| words.tokens.get(at + 1));
            let end = words.tokens.last();
            out.prepared = begin.zip(end).map(|(begin, end)| Prepared {
                name: names::ident(name),
                text: words
                    .text
                    .get(begin.span.start..end.span.end)
                    .map(str::to_owned),
            });
            return;
        }
        Tree::Deallocate { .. } => is(Kind::Deallocate, Class::Session),
        Tree::Declare { stmts } => {
            is(Kind::Declare, Class::Read);
            if stmts.iter().any(|declare| declare.for_query.is_none()) {
                out.doubt(Unknown::Unsupported);
            }
        }
        Tree::Fetch { into: None, .. } | Tree::Close { .. } => is(Kind::Fetch, Class::Read),
        Tree::LISTEN { .. } | Tree::UNLISTEN { .. } => is(Kind::Listen, Class::Session),
        Tree::NOTIFY { .. } => is(Kind::Notify, Class::Session),
        Tree::Set(set) => return set_statement(dialect, tree, set, settings, out),
        Tree::Reset(reset) => {
            is(Kind::Set, Class::Session);
            match &reset.reset {
                Reset::ALL => sets(out, "all"),
                Reset::SessionAuthorization => sets(out, "session_authorization"),
                Reset::ConfigurationParameter(name) => match names::object(name) {
                    Some(name) => sets(out, &name),
                    None => out.doubt(Unknown::Unsupported),
                },
            }
        }
        Tree::Discard { .. } => {
            is(Kind::Set, Class::Session);
            sets(out, "all");
        }
        Tree::Use(target) if dialect == Dialect::MySql => {
            is(Kind::Set, Class::Session);
            if !matches!(target, Use::Object(_)) {
                out.doubt(Unknown::Unsupported);
            }
            sets(out, "database");
        }
        Tree::ShowVariable { .. }
        | Tree::ShowStatus { .. }
        | Tree::ShowVariables { .. }
        | Tree::ShowCreate { .. }
        | Tree::ShowColumns { .. }
        | Tree::ShowDatabases { .. }
        | Tree::ShowProcessList { .. }
        | Tree::ShowCharset(_)
        | Tree::ShowTables { .. }
        | Tree::ShowCollation { .. } => is(Kind::Show, Class::Read),
        Tree::StartTransaction {
            modes,
            statements,
            exception: None,
            has_end_keyword: false,
            ..
        } if statements.is_empty() => {
            is(Kind::Transaction, Class::Transaction);
            out.changes_meaning |= may_write(modes);
        }
        Tree::Commit { .. }
        | Tree::Rollback { .. }
        | Tree::Savepoint { .. }
        | Tree::ReleaseSavepoint { .. } => is(Kind::Transaction, Class::Transaction),
        Tree::Lock(_) | Tree::LockTables { .. } | Tree::UnlockTables => {
            is(Kind::Lock, Class::Session);
        }
        Tree::Analyze(_) | Tree::Vacuum(_) => is(Kind::Vacuum, Class::Write),
        Tree::Kill { .. } => is(Kind::Kill, Class::Privilege),
        Tree::Grant(_) | Tree::Revoke(_) => is(Kind::Grant, Class::Privilege),
        Tree::CreateRole(_) | Tree::AlterRole { .. } | Tree::CreateUser(_) | Tree::AlterUser(_) => {
            is(Kind::Role, Class::Privilege);
        }
        Tree::Drop {
            object_type: ObjectType::Role | ObjectType::User,
            ..
        } => is(Kind::Role, Class::Privilege),
        Tree::CreatePolicy(_)
        | Tree::AlterPolicy(_)
        | Tree::DropPolicy(_)
        | Tree::CreateServer(_)
        | Tree::CreateExtension(_) => is(Kind::Ddl, Class::Privilege),
        Tree::Drop { names, .. } => {
            is(Kind::Ddl, Class::Ddl);
            out.relations_written
                .extend(names.iter().filter_map(names::object));
        }
        Tree::AlterTable(alter) => {
            is(Kind::Ddl, Class::Ddl);
            written = true;
            let rights = alter.operations.iter().any(|operation| {
                matches!(
                    operation,
                    AlterTableOperation::OwnerTo { .. }
                        | AlterTableOperation::DisableRowLevelSecurity
                        | AlterTableOperation::EnableRowLevelSecurity
                )
            });
            if rights {
                out.at_least(Class::Privilege);
            }
        }
        Tree::CreateView(view) => {
            is(Kind::Ddl, Class::Ddl);
            out.relations_written.extend(names::object(&view.name));
        }
        Tree::CreateTable(_) | Tree::CreateIndex(_) | Tree::AlterIndex { .. } => {
            is(Kind::Ddl, Class::Ddl);
            written = true;
        }
        Tree::AlterView { .. }
        | Tree::AlterSchema(_)
        | Tree::AlterType(_)
        | Tree::AlterFunction(_)
        | Tree::AlterOperator(_)
        | Tree::AlterOperatorFamily(_)
        | Tree::AlterOperatorClass(_)
        | Tree::CreateOperator(_)
        | Tree::CreateOperatorFamily(_)
        | Tree::CreateOperatorClass(_)
        | Tree::CreateSchema { .. }
        | Tree::CreateDatabase { .. }
        | Tree::CreateFunction(_)
        | Tree::CreateTrigger(_)
        | Tree::CreateSequence { .. }
        | Tree::CreateDomain(_)
        | Tree::CreateType { .. }
        | Tree::CreateCollation(_)
        | Tree::DropFunction(_)
        | Tree::DropDomain(_)
        | Tree::DropProcedure { .. }
        | Tree::DropTrigger(_)
        | Tree::DropExtension(_)
        | Tree::DropOperator(_)
        | Tree::DropOperatorFamily(_)
        | Tree::DropOperatorClass(_)
        | Tree::Comment { .. }
        | Tree::RenameTable(_) => {
            is(Kind::Ddl, Class::Ddl);
            written = true;
        }
        _ => {
            out.doubt(Unknown::Unsupported);
            return;
        }
    }
    walk(dialect, tree, written, settings, out);
}

/// The kind of a query: of the change that is its last part, if it is one.
fn query_kind(query: &Query) -> StatementKind {
    match &*query.body {
        SetExpr::Insert(_) => StatementKind::Insert,
        SetExpr::Update(_) => StatementKind::Update,
        SetExpr::Delete(_) => StatementKind::Delete,
        SetExpr::Merge(_) => StatementKind::Merge,
        SetExpr::Query(query) => query_kind(query),
        _ => StatementKind::Select,
    }
}

/// Makes of what a statement does what its plan does.
fn plan(dialect: Dialect, settings: &Settings, out: &mut Statement) {
    out.class = Class::Read;
    out.unbounded = false;
    out.locks_rows = false;
    out.settings.clear();
    out.changes_meaning = false;
    let written = std::mem::take(&mut out.relations_written);
    out.relations_read.extend(written);
    for name in out.side_effects.clone() {
        if let crate::functions::Effect::Class(class) =
            crate::functions::effect(dialect, &name, settings)
        {
            out.at_least(class);
        }
    }
}

fn copy(
    dialect: Dialect,
    tree: &Tree,
    source: &CopySource,
    to: bool,
    target: &CopyTarget,
    settings: &Settings,
    out: &mut Statement,
) {
    walk(dialect, tree, false, settings, out);
    let (kind, class) = match target {
        CopyTarget::Stdin | CopyTarget::Stdout if to => (StatementKind::CopyOut, Class::Read),
        CopyTarget::Stdin | CopyTarget::Stdout => (StatementKind::CopyIn, Class::Write),
        CopyTarget::File { .. } => (StatementKind::CopyFile, Class::Privilege),
        CopyTarget::Program { .. } => (StatementKind::CopyProgram, Class::Privilege),
    };
    out.kind = kind;
    out.at_least(class);
    out.copy = Some(super::copy::form(tree));
    let CopySource::Table {
        table_name,
        columns,
    } = source
    else {
        return;
    };
    let Some(name) = names::object(table_name) else {
        return out.doubt(Unknown::Unsupported);
    };
    let place = if to { Place::Output } else { Place::Written };
    let mut uses = super::columns::Columns::default();
    if columns.is_empty() {
        uses.every(String::new(), place);
    }
    for column in columns {
        uses.named(std::slice::from_ref(column), place);
    }
    match to {
        true => out.relations_read.insert(name),
        false => out.relations_written.insert(name),
    };
    uses.finish(settings, out);
}

fn set_statement(
    dialect: Dialect,
    tree: &Tree,
    set: &Set,
    settings: &Settings,
    out: &mut Statement,
) {
    out.kind = StatementKind::Set;
    out.at_least(Class::Session);
    let global = |scope: &Option<ContextModifier>| matches!(scope, Some(ContextModifier::Global));
    let name = |out: &mut Statement, name: &sqlparser::ast::ObjectName| match names::object(name) {
        Some(name) => sets(out, &name),
        None => out.doubt(Unknown::Unsupported),
    };
    match set {
        Set::SingleAssignment {
            scope, variable, ..
        } => {
            name(out, variable);
            if global(scope) {
                out.at_least(Class::Privilege);
            }
        }
        Set::ParenthesizedAssignments { variables, .. } => {
            for variable in variables {
                name(out, variable);
            }
        }
        Set::MultipleAssignments { assignments } => {
            for assignment in assignments {
                name(out, &assignment.name);
                if global(&assignment.scope) {
                    out.at_least(Class::Privilege);
                }
            }
        }
        Set::SetSessionAuthorization(_) => sets(out, "session_authorization"),
        Set::SetRole { .. } => sets(out, "role"),
        Set::SetTimeZone { .. } => sets(out, "timezone"),
        Set::SetNames { .. } | Set::SetNamesDefault {} => sets(out, "names"),
        Set::SetTransaction { modes, .. } => {
            out.kind = StatementKind::Transaction;
            sets(out, "transaction");
            out.changes_meaning |= may_write(modes);
        }
        Set::SetSessionParam(_) => out.doubt(Unknown::Unsupported),
    }
    walk(dialect, tree, false, settings, out);
    // Names of settings and bare words as values look like columns.
    out.columns.clear();
    out.protected.clear();
}

/// Whether a transaction may write even where the session's default is that none does: that undoes
/// what somebody may rely on.
fn may_write(modes: &[TransactionMode]) -> bool {
    modes.contains(&TransactionMode::AccessMode(
        TransactionAccessMode::ReadWrite,
    ))
}

/// Takes note of a setting that is changed.
pub(crate) fn sets(out: &mut Statement, name: &str) {
    let name = name.to_ascii_lowercase();
    let bare = name.trim_start_matches('@');
    let (scope, bare) = match (name.starts_with("@@"), bare.split_once('.')) {
        (true, Some((scope, bare))) => (scope, bare),
        _ => ("", bare),
    };
    let bare = bare.replace([' ', '`'], "");
    out.at_least(Class::Session);
    // A variable of MySQL's session is no setting.
    if name.starts_with('@') && !name.starts_with("@@") {
        return;
    }
    if matches!(bare.as_str(), "role" | "session_authorization" | "password")
        || matches!(scope, "global" | "persist" | "persist_only")
    {
        out.at_least(Class::Privilege);
    }
    out.changes_meaning |= MEANING.contains(&bare.as_str()) || scope == "global";
    out.settings.insert(bare);
}

/// The first argument of a call, if it is a string.
pub(crate) fn first_text(arguments: &FunctionArguments) -> Option<String> {
    let FunctionArguments::List(list) = arguments else {
        return None;
    };
    let (FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Value(value)))
    | FunctionArg::Named {
        arg: FunctionArgExpr::Expr(Expr::Value(value)),
        ..
    }) = list.args.first()?
    else {
        return None;
    };
    match &value.value {
        Value::SingleQuotedString(text) => Some(text.clone()),
        _ => None,
    }
}

/// Words by which a change of what there is also changes who may do what.
fn grants(words: Words<'_>) -> bool {
    const PAIRS: [(&str, &str); 5] = [
        ("owner", "to"),
        ("security", "definer"),
        ("level", "security"),
        ("default", "privileges"),
        ("event", "trigger"),
    ];
    (0..words.tokens.len()).any(|at| {
        PAIRS
            .iter()
            .any(|(a, b)| words.is(at, a) && words.is(at + 1, b))
    })
}
