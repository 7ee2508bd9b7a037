//! What is known of one statement.

use std::{collections::BTreeSet, fmt, ops::Range};

use serde::Serialize;

use crate::Fingerprint;

/// One statement of a text, and what it does as far as the text says.
///
/// Names are as the text has them, in one form: parts with dots between, a part in quotes only where
/// it needs them. PostgreSQL's names without quotes are lower case, as the server folds them; MySQL's
/// are as written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Statement {
    /// Where it stands in the text, in bytes, without its semicolon.
    pub span: Range<usize>,
    /// What it is; of an unknown statement, what its first words say.
    pub kind: StatementKind,
    /// How it has to be treated.
    pub class: Class,
    /// Why its class is [`Class::Unknown`], if it is.
    pub unknown: Option<Unknown>,
    /// The same for statements that differ in values alone.
    pub fingerprint: Fingerprint,
    /// Tables and views it reads. Names that the statement itself defines (`WITH`) are left out.
    pub relations_read: BTreeSet<String>,
    /// Tables and views it changes, makes or drops.
    pub relations_written: BTreeSet<String>,
    /// The columns it names, and for what.
    pub columns: BTreeSet<ColumnUse>,
    /// Those of them that are protected, also behind `*` and whole rows.
    pub protected: BTreeSet<ColumnUse>,
    /// Functions it calls.
    pub functions: BTreeSet<String>,
    /// Those that do more than compute.
    pub side_effects: BTreeSet<String>,
    /// Those that are neither the server's own nor named by the operator as harmless.
    pub unknown_functions: BTreeSet<String>,
    /// `UPDATE`, `DELETE`, `MERGE` or `TRUNCATE` whose condition, if any, no column decides.
    pub unbounded: bool,
    /// `FOR UPDATE` and the like.
    pub locks_rows: bool,
    /// The settings it changes, by name; `role` and `session_authorization` too.
    pub settings: BTreeSet<String>,
    /// Whether one of those settings changes what later texts mean or who asks.
    pub changes_meaning: bool,
    /// Of `PREPARE`, `EXECUTE` and `DEALLOCATE`: the name, and the text that is prepared.
    pub prepared: Option<Prepared>,
    /// Of `COPY`: what of, and in which form.
    pub copy: Option<Copied>,
}

/// What a statement is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the statement of its name")]
pub enum StatementKind {
    Select,
    Insert,
    Update,
    Delete,
    Merge,
    Truncate,
    Ddl,
    Grant,
    /// Roles and users are made, changed or taken on.
    Role,
    Set,
    Show,
    Transaction,
    CopyIn,
    CopyOut,
    CopyProgram,
    /// A file of the server is read or written.
    CopyFile,
    Explain,
    Call,
    Do,
    Prepare,
    Execute,
    Deallocate,
    Declare,
    Fetch,
    Listen,
    Notify,
    Lock,
    /// `VACUUM`, `ANALYZE`, `OPTIMIZE`.
    Vacuum,
    Kill,
    Unknown,
}

impl StatementKind {
    /// The word for policies and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
            Self::Merge => "merge",
            Self::Truncate => "truncate",
            Self::Ddl => "ddl",
            Self::Grant => "grant",
            Self::Role => "role",
            Self::Set => "set",
            Self::Show => "show",
            Self::Transaction => "transaction",
            Self::CopyIn => "copy_in",
            Self::CopyOut => "copy_out",
            Self::CopyProgram => "copy_program",
            Self::CopyFile => "copy_file",
            Self::Explain => "explain",
            Self::Call => "call",
            Self::Do => "do",
            Self::Prepare => "prepare",
            Self::Execute => "execute",
            Self::Deallocate => "deallocate",
            Self::Declare => "declare",
            Self::Fetch => "fetch",
            Self::Listen => "listen",
            Self::Notify => "notify",
            Self::Lock => "lock",
            Self::Vacuum => "vacuum",
            Self::Kill => "kill",
            Self::Unknown => "unknown",
        }
    }
}

/// How a statement has to be treated, the weightier the later. A statement that does several things is
/// of the weightiest class of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Tells something and changes nothing.
    Read,
    /// Begins and ends transactions.
    Transaction,
    /// Changes the session or waits: settings, advisory locks, `LISTEN`, `pg_sleep`.
    Session,
    /// Changes data, or locks rows of it.
    Write,
    /// Changes what data there is.
    Ddl,
    /// Changes who may do what, takes on another role, or reaches out of the database.
    Privilege,
    /// Nobody here can say. Not a guess, and not the same as any other class.
    Unknown,
}

impl Class {
    /// The word for policies and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Transaction => "transaction",
            Self::Session => "session",
            Self::Write => "write",
            Self::Ddl => "ddl",
            Self::Privilege => "privilege",
            Self::Unknown => "unknown",
        }
    }
}

/// Why nobody can say what a statement does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unknown {
    /// The parser does not know it.
    NotParsed,
    /// A statement that was parsed and that this crate does not know.
    Unsupported,
    /// A string, a name or a comment has no end.
    Unterminated,
    /// A sign that is not SQL.
    Sign,
    /// An escape that is not one, or is declared elsewhere (`UESCAPE`).
    Escape,
    /// `/*! … */` and hints that set variables: the server's version decides whether they count.
    ExecutableComment,
    /// Longer, deeper or more than the limits.
    TooLarge,
    /// Semicolons within parentheses or within the body of a routine: where statements end is not certain.
    Boundary,
    /// A statement before this one changes how the text is read.
    AfterSetting,
    /// What runs is not in the text: `DO`, `CALL`, `EXECUTE`, functions that run SQL they are given.
    Elsewhere,
    /// It calls a function that nobody has named as harmless.
    Function,
    /// Words that change data stand in what was parsed as a query.
    Disagreement,
}

impl Unknown {
    /// The word for policies and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotParsed => "not_parsed",
            Self::Unsupported => "unsupported",
            Self::Unterminated => "unterminated",
            Self::Sign => "sign",
            Self::Escape => "escape",
            Self::ExecutableComment => "executable_comment",
            Self::TooLarge => "too_large",
            Self::Boundary => "boundary",
            Self::AfterSetting => "after_setting",
            Self::Elsewhere => "elsewhere",
            Self::Function => "function",
            Self::Disagreement => "disagreement",
        }
    }
}

/// A column and what it is used for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ColumnUse {
    /// Its table, where the text says which.
    pub table: Option<String>,
    /// Its name, or `*` for all of them.
    pub column: String,
    /// What it is used for.
    pub place: Place,
}

impl fmt::Display for ColumnUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.table {
            Some(table) => write!(f, "{table}.{}", self.column),
            None => f.write_str(&self.column),
        }
    }
}

/// What a column is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// A column of the result as it is.
    Output,
    /// Part of an expression that gives a column of the result or a value that is written: the result
    /// has no origin any more.
    Expression,
    /// A condition on rows or groups.
    Where,
    /// A condition that joins.
    Join,
    /// Grouping, and what makes rows distinct.
    Group,
    /// Order of rows.
    Order,
    /// It is written.
    Written,
    /// Anything else.
    Other,
}

impl Place {
    /// The word for policies and records.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Expression => "expression",
            Self::Where => "where",
            Self::Join => "join",
            Self::Group => "group",
            Self::Order => "order",
            Self::Written => "written",
            Self::Other => "other",
        }
    }
}

/// What `COPY` copies, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Copied {
    /// The columns in their order, if the text names them. Without them it is all columns of a table,
    /// or those of a query.
    pub columns: Vec<String>,
    /// Whether it is CSV. What is binary says so on the wire as well.
    pub csv: bool,
    /// Whether the first line is one of names.
    pub header: bool,
    /// What stands between cells.
    pub delimiter: char,
    /// What stands for null; none for what the form has for it.
    #[serde(skip)]
    pub null: Option<String>,
    /// What stands around a cell of CSV.
    pub quote: char,
    /// What stands before a quote in a cell of CSV.
    pub escape: char,
}

/// A statement that the SQL text itself prepares, runs or forgets by a name.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub struct Prepared {
    /// The name. `DEALLOCATE ALL` has `all`.
    pub name: String,
    /// What is prepared, where the text has it. It may hold literals, and is not written out.
    #[serde(skip)]
    pub text: Option<String>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
