//! Through a statement's tree: tables, functions, changes within queries.

use std::{collections::HashSet, convert::Infallible, ops::ControlFlow, ptr};

use sqlparser::ast::{
    Assignment, Expr, FromTable, Function, Ident, MergeAction, MergeInsertKind, MergeUpdateKind,
    ObjectName, OnConflictAction, OnInsert, Query, Select, SetExpr, Statement as Tree, TableFactor,
    TableObject, TableWithJoins, UpdateTableFromKind, Value, Visit as _, Visitor,
};

use super::{bounds, columns::Columns, names};
use crate::{
    Class, Dialect, Place, Settings, Statement, Unknown,
    functions::{self, Effect},
};

/// Takes what is in the tree into the facts.
pub(crate) fn walk(
    dialect: Dialect,
    tree: &Tree,
    written: bool,
    settings: &Settings,
    out: &mut Statement,
) {
    let mut walk = Walk {
        dialect,
        settings,
        out,
        columns: Columns::default(),
        queries: Vec::new(),
        scopes: Vec::new(),
        not_read: HashSet::new(),
        written,
    };
    let ControlFlow::Continue(()) = tree.visit(&mut walk);
    let Walk { columns, out, .. } = walk;
    columns.finish(settings, out);
    // The parser takes `ONLY t` for a table `only` with an alias.
    if out.relations_read.contains("only") || out.relations_written.contains("only") {
        out.doubt(Unknown::NotParsed);
    }
}

struct Walk<'w> {
    dialect: Dialect,
    settings: &'w Settings,
    out: &'w mut Statement,
    columns: Columns,
    /// The queries that the walk is in.
    queries: Vec<Entered>,
    /// What `WITH` defines in each of them.
    scopes: Vec<Scope>,
    /// Names that are no tables that are read: targets, functions. By their place in memory, which stays
    /// while the tree is borrowed.
    not_read: HashSet<*const ObjectName>,
    /// Whether tables outside of queries are written.
    written: bool,
}

/// What leaving a query undoes.
struct Entered {
    /// The scope in which this query is a definition, and how much of it was visible before.
    definition: Option<(usize, usize)>,
}

/// The names that a `WITH` defines.
struct Scope {
    names: Vec<String>,
    queries: Vec<*const Query>,
    recursive: bool,
    /// How many of the names count: within a definition, those before it.
    visible: usize,
}

impl Walk<'_> {
    fn is_defined(&self, name: &str) -> bool {
        let visible = self
            .scopes
            .iter()
            .flat_map(|scope| scope.names.iter().take(scope.visible));
        visible.into_iter().any(|defined| defined == name)
    }

    fn read(&mut self, name: String) {
        self.out.relations_read.insert(name);
    }

    fn written(&mut self, name: &ObjectName) {
        match names::object(name) {
            Some(name) => drop(self.out.relations_written.insert(name)),
            None => self.out.doubt(Unknown::Unsupported),
        }
    }

    /// The tables of an `UPDATE` or `DELETE`, all of which may be changed.
    fn changed(&mut self, tables: &[TableWithJoins]) {
        for table in tables {
            let factors = table.joins.iter().map(|join| &join.relation);
            for factor in std::iter::once(&table.relation).chain(factors) {
                match factor {
                    TableFactor::Table { name, .. } => self.written(name),
                    TableFactor::NestedJoin {
                        table_with_joins, ..
                    } => self.changed(std::slice::from_ref(table_with_joins)),
                    _ => {}
                }
            }
        }
        self.columns.tables(tables);
    }

    fn function(&mut self, name: &ObjectName) {
        let Some(mut name) = names::object(name) else {
            return self.out.doubt(Unknown::Function);
        };
        if self.dialect == Dialect::MySql {
            name.make_ascii_lowercase();
        }
        match functions::effect(self.dialect, &name, self.settings) {
            Effect::None => {}
            Effect::Class(class) => {
                self.out.side_effects.insert(name.clone());
                match class {
                    Class::Unknown => self.out.doubt(Unknown::Elsewhere),
                    class => self.out.at_least(class),
                }
            }
            Effect::Unlisted => {
                self.out.unknown_functions.insert(name.clone());
                self.out.doubt(Unknown::Function);
            }
        }
        self.out.functions.insert(name);
    }

    /// `set_config('role', …)` is `SET role`.
    fn setting(&mut self, call: &Function) {
        let name = names::object(&call.name).unwrap_or_default();
        if name.rsplit('.').next() != Some("set_config") {
            return;
        }
        let text = super::kinds::first_text(&call.args);
        super::kinds::sets(self.out, text.as_deref().unwrap_or("unknown"));
    }

    fn condition(&mut self, condition: Option<&Expr>) {
        if let Some(condition) = condition {
            self.columns.exprs(condition, Place::Where);
        }
        self.out.unbounded |= !condition.is_some_and(bounds::bounds);
    }

    /// A change, wherever in the statement it stands.
    fn change(&mut self, tree: &Tree) {
        match tree {
            Tree::Insert(insert) => {
                match &insert.table {
                    TableObject::TableName(name) => {
                        self.not_read.insert(ptr::from_ref(name));
                        self.written(name);
                    }
                    _ => self.out.doubt(Unknown::Unsupported),
                }
                for column in &insert.columns {
                    self.columns.column(column, Place::Written);
                }
                for assignment in &insert.assignments {
                    self.columns.target(&assignment.target);
                    self.columns.exprs(&assignment.value, Place::Expression);
                }
                let assignments = match &insert.on {
                    Some(OnInsert::DuplicateKeyUpdate(assignments)) => assignments.as_slice(),
                    Some(OnInsert::OnConflict(conflict)) => match &conflict.action {
                        OnConflictAction::DoUpdate(update) => {
                            if let Some(condition) = &update.selection {
                                self.columns.exprs(condition, Place::Where);
                            }
                            update.assignments.as_slice()
                        }
                        OnConflictAction::DoNothing => &[],
                    },
                    _ => &[],
                };
                for assignment in assignments {
                    self.columns.target(&assignment.target);
                    self.columns.exprs(&assignment.value, Place::Expression);
                }
                self.columns
                    .items(insert.returning.as_deref().unwrap_or_default());
            }
            Tree::Update(update) => {
                self.changed(std::slice::from_ref(&update.table));
                if let Some(
                    UpdateTableFromKind::BeforeSet(from) | UpdateTableFromKind::AfterSet(from),
                ) = &update.from
                {
                    self.columns.tables(from);
                }
                for assignment in &update.assignments {
                    self.columns.target(&assignment.target);
                    self.columns.exprs(&assignment.value, Place::Expression);
                }
                self.condition(update.selection.as_ref());
                self.columns.orders(&update.order_by, &[]);
                self.columns
                    .items(update.returning.as_deref().unwrap_or_default());
            }
            Tree::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) =
                    &delete.from;
                for table in &delete.tables {
                    self.written(table);
                }
                if delete.tables.is_empty() {
                    self.changed(from);
                } else {
                    self.columns.tables(from);
                }
                self.columns
                    .tables(delete.using.as_deref().unwrap_or_default());
                self.condition(delete.selection.as_ref());
                self.columns.orders(&delete.order_by, &[]);
                self.columns
                    .items(delete.returning.as_deref().unwrap_or_default());
            }
            Tree::Merge(merge) => {
                match &merge.table {
                    TableFactor::Table { name, .. } => self.written(name),
                    _ => self.out.doubt(Unknown::Unsupported),
                }
                self.columns.exprs(&merge.on, Place::Join);
                let mut inserts_only = true;
                for clause in &merge.clauses {
                    if let Some(condition) = &clause.predicate {
                        self.columns.exprs(condition, Place::Where);
                    }
                    match &clause.action {
                        MergeAction::Insert(insert) => {
                            for column in &insert.columns {
                                self.columns.column(column, Place::Written);
                            }
                            if let MergeInsertKind::Values(values) = &insert.kind {
                                for row in &values.rows {
                                    self.columns.all(row, Place::Expression);
                                }
                            }
                        }
                        MergeAction::Update(update) => {
                            inserts_only = false;
                            for assignment in merged(&update.kind) {
                                self.columns.target(&assignment.target);
                                self.columns.exprs(&assignment.value, Place::Expression);
                            }
                        }
                        MergeAction::DoNothing { .. } => {}
                        MergeAction::Delete { .. } => inserts_only = false,
                    }
                }
                self.out.unbounded |= !inserts_only && !bounds::bounds(&merge.on);
            }
            _ => return,
        }
        self.out.at_least(Class::Write);
    }

    /// `TABLE name` has its name in a form of its own, without quotes: both names that it may be.
    fn tables_of(&mut self, body: &SetExpr) {
        match body {
            SetExpr::Table(table) => {
                let name = table.table_name.clone().unwrap_or_default();
                let schema = table.schema_name.clone();
                for quote in [None, Some('"')] {
                    let parts = schema.iter().chain(std::iter::once(&name)).map(|part| {
                        let mut ident = Ident::new(part);
                        ident.quote_style = quote;
                        names::ident(&ident)
                    });
                    let name = parts.collect::<Vec<_>>().join(".");
                    if schema.is_some() || !self.is_defined(&name) {
                        self.read(name.clone());
                    }
                    self.columns.every(name, Place::Output);
                }
            }
            SetExpr::SetOperation { left, right, .. } => {
                self.tables_of(left);
                self.tables_of(right);
            }
            SetExpr::Values(values) => {
                for row in &values.rows {
                    self.columns.all(row, Place::Expression);
                }
            }
            _ => {}
        }
    }
}

/// What a `WHEN MATCHED` assigns.
fn merged(kind: &MergeUpdateKind) -> &[Assignment] {
    match kind {
        MergeUpdateKind::Set(assignments) => assignments,
        _ => &[],
    }
}

impl Visitor for Walk<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Infallible> {
        let here = ptr::from_ref(query);
        let mut definition = None;
        for (index, scope) in self.scopes.iter_mut().enumerate() {
            if let Some(at) = scope.queries.iter().position(|query| *query == here) {
                definition = Some((index, scope.visible));
                // Recursive definitions see each other. PostgreSQL orders them by who needs whom.
                scope.visible = if scope.recursive {
                    scope.names.len()
                } else {
                    at
                };
            }
        }
        self.queries.push(Entered { definition });
        let with = query.with.as_ref();
        let tables = with
            .map(|with| with.cte_tables.as_slice())
            .unwrap_or_default();
        self.scopes.push(Scope {
            names: tables
                .iter()
                .map(|table| names::ident(&table.alias.name))
                .collect(),
            queries: tables
                .iter()
                .map(|table| ptr::from_ref(&*table.query))
                .collect(),
            recursive: with.is_some_and(|with| with.recursive),
            visible: tables.len(),
        });
        if !query.locks.is_empty() || query.for_clause.is_some() {
            self.out.locks_rows = true;
            self.out.at_least(Class::Write);
        }
        self.columns.order(query);
        self.tables_of(&query.body);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Infallible> {
        self.scopes.pop();
        if let Some(Entered {
            definition: Some((scope, visible)),
        }) = self.queries.pop()
            && let Some(scope) = self.scopes.get_mut(scope)
        {
            scope.visible = visible;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Infallible> {
        self.columns.select(select);
        if let Some(into) = &select.into {
            match self.dialect {
                Dialect::Postgres => {
                    for target in &into.targets {
                        match target {
                            Expr::Identifier(name) => {
                                self.out.relations_written.insert(names::ident(name));
                            }
                            Expr::CompoundIdentifier(parts) => {
                                self.out.relations_written.insert(names::parts(parts));
                            }
                            _ => self.out.doubt(Unknown::Unsupported),
                        }
                    }
                    self.out.at_least(Class::Ddl);
                }
                // Into variables of the session; files are found by their words.
                Dialect::MySql => self.out.at_least(Class::Session),
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Infallible> {
        let table = match factor {
            TableFactor::Table {
                name,
                args: Some(_),
                ..
            } => {
                self.not_read.insert(ptr::from_ref(name));
                self.function(name);
                None
            }
            TableFactor::Table { name, .. } => {
                names::object(name).filter(|name| !self.is_defined(name))
            }
            TableFactor::Function { name, .. } => {
                self.function(name);
                None
            }
            TableFactor::NestedJoin {
                table_with_joins, ..
            } => {
                self.columns.tables(std::slice::from_ref(table_with_joins));
                None
            }
            TableFactor::Derived { .. }
            | TableFactor::TableFunction { .. }
            | TableFactor::UNNEST { .. }
            | TableFactor::JsonTable { .. }
            | TableFactor::XmlTable { .. } => None,
            // Of other servers.
            _ => {
                self.out.doubt(Unknown::Unsupported);
                None
            }
        };
        self.columns.factor(factor, table);
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<Infallible> {
        if self.not_read.contains(&ptr::from_ref(relation)) {
            return ControlFlow::Continue(());
        }
        match names::object(relation) {
            None => self.out.doubt(Unknown::Unsupported),
            Some(name) if self.written && self.queries.is_empty() => {
                self.out.relations_written.insert(name);
            }
            Some(name) if self.is_defined(&name) => {}
            Some(name) => self.read(name),
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        self.columns.seen(expr);
        match expr {
            Expr::Function(call) => {
                self.function(&call.name);
                self.setting(call);
            }
            // An assignment within an expression.
            Expr::BinaryOp {
                op: sqlparser::ast::BinaryOperator::Assignment,
                ..
            } => self.out.at_least(Class::Session),
            Expr::Value(value) if matches!(value.value, Value::Placeholder(_)) => {}
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, tree: &Tree) -> ControlFlow<Infallible> {
        self.change(tree);
        ControlFlow::Continue(())
    }
}
