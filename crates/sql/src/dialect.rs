//! Which server reads the text, and how it is set.

use std::collections::BTreeSet;

/// Whose SQL a text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dialect {
    /// PostgreSQL, from 14 on.
    Postgres,
    /// MySQL and MariaDB.
    MySql,
}

/// What changes how a text is read: the server's session settings as they stand before the text, the
/// operator's names, and limits.
///
/// The settings of the session are not guessed: a relay follows them (`ParameterStatus` in
/// PostgreSQL, the `SET` statements that it lets through in MySQL) and tells them here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PostgreSQL's setting of this name. When `false`, a backslash escapes in `'…'` too.
    pub standard_conforming_strings: bool,
    /// MySQL's `sql_mode` has `ANSI_QUOTES`: `"…"` is a name.
    pub ansi_quotes: bool,
    /// MySQL's `sql_mode` has `NO_BACKSLASH_ESCAPES`: a backslash is a sign like others.
    pub no_backslash_escapes: bool,
    /// Columns to look for, as `column`, `table.column` or `schema.table.column`, in the form in which
    /// [`Statement::relations_read`](crate::Statement::relations_read) has names.
    pub protected_columns: BTreeSet<String>,
    /// Functions of the operator that only compute, as a statement calls them: `st_distance`,
    /// `app.price`.
    pub harmless_functions: BTreeSet<String>,
    /// The longest text that is read, in bytes. What is longer is one unknown statement.
    pub max_bytes: usize,
    /// How many operators a statement may have, apart from those in different elements of a list. What has
    /// more is unknown.
    pub max_operators: usize,
    /// How deeply expressions and queries may be nested. What is deeper is unknown.
    pub max_depth: usize,
    /// The most statements a text may have. The rest of a text with more is one unknown statement.
    pub max_statements: usize,
}

impl Settings {
    /// 1 MiB. What brings more data than that has `COPY` or parameters for it.
    pub const MAX_BYTES: usize = 1 << 20;
    /// Chains such as `a OR b OR …` become as deep a tree as they are long.
    pub const MAX_OPERATORS: usize = 10_000;
    /// What people and mappers write stays below 20.
    pub const MAX_DEPTH: usize = 50;
    /// Scripts of migrations have some hundred.
    pub const MAX_STATEMENTS: usize = 4096;
}

impl Default for Settings {
    /// As both servers are by default, without protected columns.
    fn default() -> Self {
        Self {
            standard_conforming_strings: true,
            ansi_quotes: false,
            no_backslash_escapes: false,
            protected_columns: BTreeSet::new(),
            harmless_functions: BTreeSet::new(),
            max_bytes: Self::MAX_BYTES,
            max_operators: Self::MAX_OPERATORS,
            max_depth: Self::MAX_DEPTH,
            max_statements: Self::MAX_STATEMENTS,
        }
    }
}
