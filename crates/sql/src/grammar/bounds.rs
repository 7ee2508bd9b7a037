//! Whether a condition bounds a change.

use std::{collections::BTreeSet, convert::Infallible, ops::ControlFlow};

use sqlparser::ast::{
    BinaryOperator, Expr, Query, TableFactor, UnaryOperator, Value, Visit as _, Visitor,
};

use super::{columns, names};

/// Whether a column decides which rows a condition takes. Strict: of `a OR b` both sides must, and what is
/// always true for rows without NULL (`id = id`, `name LIKE '%'`) does not. A condition such as `id > 0`,
/// which data alone makes always true, does.
pub(crate) fn bounds(condition: &Expr) -> bool {
    match condition {
        Expr::Nested(inner) | Expr::IsTrue(inner) | Expr::IsNotFalse(inner) => bounds(inner),
        Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr,
        } => bounds(expr),
        Expr::BinaryOp { left, op, right } => match op {
            BinaryOperator::And => bounds(left) || bounds(right),
            BinaryOperator::Or => {
                (bounds(left) || is_false(left))
                    && (bounds(right) || is_false(right))
                    && !(is_false(left) && is_false(right))
            }
            _ => same(left) != same(right) && names_column(condition),
        },
        Expr::IsNotDistinctFrom(left, right) => {
            same(left) != same(right) && names_column(condition)
        }
        Expr::Like { pattern, .. } | Expr::ILike { pattern, .. } => {
            !is_any(pattern) && names_column(condition)
        }
        _ => names_column(condition),
    }
}

fn same(expr: &Expr) -> &Expr {
    match expr {
        Expr::Nested(inner) => same(inner),
        other => other,
    }
}

fn is_false(expr: &Expr) -> bool {
    matches!(same(expr), Expr::Value(value) if value.value == Value::Boolean(false))
}

/// A pattern of `%` alone.
fn is_any(pattern: &Expr) -> bool {
    matches!(same(pattern), Expr::Value(value)
        if matches!(&value.value, Value::SingleQuotedString(text) if text.bytes().all(|byte| byte == b'%') && !text.is_empty()))
}

/// Whether a column of the statement's own rows stands in an expression. In a query within it, only a name
/// can be one whose table is not the query's.
fn names_column(expr: &Expr) -> bool {
    let mut inner = Inner::default();
    let ControlFlow::Continue(()) = expr.visit(&mut inner);
    let mut names = Names { depth: 0, inner };
    expr.visit(&mut names).is_break()
}

/// The tables of queries within an expression, by the names that columns have before them.
#[derive(Default)]
struct Inner(BTreeSet<String>);

impl Visitor for Inner {
    type Break = Infallible;

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Infallible> {
        self.0.extend(columns::called(factor));
        ControlFlow::Continue(())
    }
}

struct Names {
    depth: usize,
    inner: Inner,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        let column = match expr {
            Expr::Identifier(name) => self.depth == 0 && !name.value.starts_with('@'),
            Expr::CompoundIdentifier(parts) => {
                let table = parts.len().checked_sub(2).and_then(|at| parts.get(at));
                self.depth == 0
                    || table.is_some_and(|table| !self.inner.0.contains(&names::ident(table)))
            }
            _ => false,
        };
        match column {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}
