//! Which columns a statement names, and what for.

use std::{
    collections::{BTreeMap, BTreeSet},
    convert::Infallible,
    ops::ControlFlow,
};

use sqlparser::ast::{
    AssignmentTarget, Distinct, Expr, GroupByExpr, Ident, JoinConstraint, JoinOperator, ObjectName,
    OrderByExpr, OrderByKind, Query, Select, SelectItem, SelectItemQualifiedWildcardKind, SetExpr,
    TableFactor, TableWithJoins, Value, Visit, Visitor,
};

use super::names;
use crate::{ColumnUse, Place, Settings, Statement};

/// What a statement says of columns, before it is known which names are tables.
#[derive(Debug, Default)]
pub(crate) struct Columns {
    /// Names before a column, the column, the place.
    uses: BTreeSet<(String, String, Place)>,
    /// Tables by their names in the statement, and by their aliases.
    called: BTreeMap<String, BTreeSet<String>>,
    /// Whether rows come from elsewhere than from tables.
    derived: bool,
}

impl Columns {
    /// The places of a query's columns.
    pub(crate) fn select(&mut self, select: &Select) {
        self.items(&select.projection);
        if let Some(Distinct::On(columns)) = &select.distinct {
            self.all(columns, Place::Group);
        }
        let conditions = [
            &select.prewhere,
            &select.selection,
            &select.having,
            &select.qualify,
        ];
        for condition in conditions.into_iter().flatten() {
            self.exprs(condition, Place::Where);
        }
        if let GroupByExpr::Expressions(columns, _) = &select.group_by {
            for column in columns {
                self.told(column, &select.projection, Place::Group);
            }
        }
        self.orders(&select.sort_by, &select.projection);
        self.tables(&select.from);
    }

    /// Conditions of joins.
    pub(crate) fn tables(&mut self, tables: &[TableWithJoins]) {
        for join in tables.iter().flat_map(|table| &table.joins) {
            match constraint(&join.join_operator) {
                Some(JoinConstraint::On(condition)) => self.exprs(condition, Place::Join),
                Some(JoinConstraint::Using(columns)) => {
                    for column in columns {
                        self.column(column, Place::Join);
                    }
                }
                _ => {}
            }
        }
    }

    /// The order of a query's rows.
    pub(crate) fn order(&mut self, query: &Query) {
        let projection = match &*query.body {
            SetExpr::Select(select) => select.projection.as_slice(),
            _ => &[],
        };
        if let Some(OrderByKind::Expressions(orders)) = query.order_by.as_ref().map(|by| &by.kind) {
            self.orders(orders, projection);
        }
    }

    pub(crate) fn orders(&mut self, orders: &[OrderByExpr], projection: &[SelectItem]) {
        for order in orders {
            self.told(&order.expr, projection, Place::Order);
        }
    }

    /// What comes out of a query or of `RETURNING`.
    pub(crate) fn items(&mut self, items: &[SelectItem]) {
        for item in items {
            match item {
                SelectItem::UnnamedExpr(expr)
                | SelectItem::ExprWithAlias { expr, .. }
                | SelectItem::ExprWithAliases { expr, .. } => {
                    let direct = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
                    let place = if direct {
                        Place::Output
                    } else {
                        Place::Expression
                    };
                    self.exprs(expr, place);
                }
                SelectItem::Wildcard(_) => self.add(String::new(), "*".to_owned(), Place::Output),
                SelectItem::QualifiedWildcard(kind, _) => match kind {
                    SelectItemQualifiedWildcardKind::ObjectName(table) => {
                        let table = names::object(table).unwrap_or_default();
                        self.add(table, "*".to_owned(), Place::Output);
                    }
                    SelectItemQualifiedWildcardKind::Expr(expr) => {
                        self.exprs(expr, Place::Output);
                        self.add(String::new(), "*".to_owned(), Place::Output);
                    }
                },
            }
        }
    }

    /// A column that is written.
    pub(crate) fn target(&mut self, target: &AssignmentTarget) {
        match target {
            AssignmentTarget::ColumnName(column) => self.column(column, Place::Written),
            AssignmentTarget::Tuple(columns) => {
                for column in columns {
                    self.column(column, Place::Written);
                }
            }
        }
    }

    pub(crate) fn column(&mut self, column: &ObjectName, place: Place) {
        let parts: Vec<Ident> = column
            .0
            .iter()
            .filter_map(|part| part.as_ident().cloned())
            .collect();
        self.named(&parts, place);
    }

    pub(crate) fn named(&mut self, parts: &[Ident], place: Place) {
        if let Some((column, table)) = parts.split_last() {
            self.add(names::parts(table), names::ident(column), place);
        }
    }

    pub(crate) fn all(&mut self, exprs: &[Expr], place: Place) {
        for expr in exprs {
            self.exprs(expr, place);
        }
    }

    /// The columns in an expression, without those of queries within it, which have places of their own.
    pub(crate) fn exprs(&mut self, expr: &Expr, place: Place) {
        let mut finder = Finder {
            columns: self,
            place,
            depth: 0,
        };
        let ControlFlow::Continue(()) = expr.visit(&mut finder);
    }

    /// All columns of a table.
    pub(crate) fn every(&mut self, table: String, place: Place) {
        self.add(table, "*".to_owned(), place);
    }

    /// Takes note of a table, or of something like one, and what it is called.
    pub(crate) fn factor(&mut self, factor: &TableFactor, table: Option<String>) {
        self.derived |= table.is_none();
        for called in called(factor) {
            let known = self.called.entry(called).or_default();
            known.extend(table.clone());
        }
    }

    /// Takes note of any expression: a column that has no place gets one.
    pub(crate) fn seen(&mut self, expr: &Expr) {
        match expr {
            Expr::Identifier(name) if !name.value.starts_with('@') => {
                self.add(String::new(), names::ident(name), Place::Other);
            }
            Expr::CompoundIdentifier(parts) => self.named(parts, Place::Other),
            _ => {}
        }
    }

    /// Finds out whose the columns are, and which are protected.
    pub(crate) fn finish(self, settings: &Settings, out: &mut Statement) {
        let tables: BTreeSet<String> = out
            .relations_read
            .union(&out.relations_written)
            .cloned()
            .collect();
        let only = tables
            .iter()
            .next()
            .filter(|_| tables.len() == 1 && !self.derived);
        let placed: BTreeSet<(String, String)> = self
            .uses
            .iter()
            .filter(|(.., place)| *place != Place::Other)
            .map(|(table, column, _)| (table.clone(), column.clone()))
            .collect();
        for (qualifier, column, place) in self.uses {
            if place == Place::Other && placed.contains(&(qualifier.clone(), column.clone())) {
                continue;
            }
            // `SELECT u FROM users u` gives the whole row.
            let row = qualifier
                .is_empty()
                .then(|| self.called.get(&column))
                .flatten();
            let (of, column) = match row {
                Some(tables) => (Some(tables), "*".to_owned()),
                None => (self.called.get(&qualifier), column),
            };
            let mut add = |table: Option<&String>| {
                out.columns.insert(ColumnUse {
                    table: table.cloned(),
                    column: column.clone(),
                    place,
                });
            };
            match of {
                Some(of) if !of.is_empty() => of.iter().for_each(|table| add(Some(table))),
                _ if qualifier.is_empty() && row.is_none() => add(only),
                _ => add(None),
            }
        }
        for protected in &settings.protected_columns {
            let (table, column) = match protected.rsplit_once('.') {
                Some((table, column)) => (Some(table), column),
                None => (None, protected.as_str()),
            };
            for found in &out.columns {
                let hit = found.column == column || found.column == "*";
                let known = found.table.as_deref();
                let same = match (table, known) {
                    (Some(table), Some(known)) => last(table) == last(known),
                    // A wildcard over something that reads no such table has no such column.
                    (Some(table), None) if found.column == "*" => {
                        tables.iter().any(|known| last(known) == last(table))
                    }
                    _ => true,
                };
                if hit && same {
                    out.protected.insert(ColumnUse {
                        table: table.map(str::to_owned),
                        column: column.to_owned(),
                        place: found.place,
                    });
                }
            }
        }
    }

    fn add(&mut self, table: String, column: String, place: Place) {
        self.uses.insert((table, column, place));
    }

    /// An expression that may name a column of the result instead: by its alias, or by its number.
    fn told(&mut self, expr: &Expr, projection: &[SelectItem], place: Place) {
        self.exprs(expr, place);
        let item = match expr {
            Expr::Identifier(name) => projection.iter().find(
                |item| matches!(item, SelectItem::ExprWithAlias { alias, .. } if alias == name),
            ),
            Expr::Value(value) => match &value.value {
                Value::Number(number, _) => {
                    let number: Option<usize> = number.parse().ok();
                    number.and_then(|number| projection.get(number.checked_sub(1)?))
                }
                _ => None,
            },
            _ => None,
        };
        match item {
            Some(SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. }) => {
                self.exprs(expr, place);
            }
            Some(_) => self.add(String::new(), "*".to_owned(), place),
            None => {}
        }
    }
}

struct Finder<'c> {
    columns: &'c mut Columns,
    place: Place,
    depth: usize,
}

impl Visitor for Finder<'_> {
    type Break = Infallible;

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<Infallible> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<Infallible> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Infallible> {
        match expr {
            _ if self.depth > 0 => {}
            Expr::Identifier(name) if !name.value.starts_with('@') => {
                self.columns.named(std::slice::from_ref(name), self.place);
            }
            Expr::CompoundIdentifier(parts) => self.columns.named(parts, self.place),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

/// What columns have before them that are of this table: its alias, or else its name, in full and without
/// its schema.
pub(crate) fn called(factor: &TableFactor) -> Vec<String> {
    let (name, alias) = match factor {
        TableFactor::Table { name, alias, .. } => (names::object(name), alias),
        TableFactor::Derived { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::JsonTable { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => (None, alias),
        _ => return Vec::new(),
    };
    match (alias, name) {
        (Some(alias), _) => vec![names::ident(&alias.name)],
        (None, Some(name)) => vec![last(&name).to_owned(), name],
        (None, None) => Vec::new(),
    }
}

/// A name without its schema.
fn last(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

const fn constraint(join: &JoinOperator) -> Option<&JoinConstraint> {
    match join {
        JoinOperator::Join(on)
        | JoinOperator::Inner(on)
        | JoinOperator::Left(on)
        | JoinOperator::LeftOuter(on)
        | JoinOperator::Right(on)
        | JoinOperator::RightOuter(on)
        | JoinOperator::FullOuter(on)
        | JoinOperator::CrossJoin(on)
        | JoinOperator::StraightJoin(on) => Some(on),
        _ => None,
    }
}
