//! What a SQL text does, as facts that a policy can judge.
//!
//! A gate in front of a database sees texts. It has to know where each statement ends, which of them
//! change something, what they read and write, and what it cannot know. A gate that guesses is a gate
//! that lets through `WITH x AS (DELETE …) SELECT`, `EXPLAIN ANALYZE DELETE`, or whatever stands behind a
//! string that only the server sees the end of. So here:
//!
//! 1. One lexer cuts the text as the server does, with the session's settings ([`Settings`]), and the
//!    parser gets its tokens and never the text. Where the end of a statement is not certain, the rest of
//!    the text is one unknown statement.
//! 2. What is not parsed, what runs text or code that is not here (`DO`, `CALL`, `EXECUTE`), and what calls a
//!    function that nobody knows is of [`Class::Unknown`], with the reason ([`Unknown`]).
//! 3. A statement that does several things is of the weightiest class of them.
//! 4. No literal is in a fact, in `Debug`, or in what is serialized.
//!
//! [`Statements::read`] gives the statements, [`Statements::action`] the facts about the whole text;
//! [`fingerprint`] and [`normalized`] leave the values out, also of what is no SQL, and [`literals`] says where
//! they stand.
//!
//! ```
//! use tollbook_sql::{Class, Dialect, Settings, Statements, Unknown};
//!
//! let settings = Settings::default();
//! let read = |text| Statements::read(Dialect::Postgres, text, &settings);
//!
//! let change = read("WITH gone AS (DELETE FROM app.users RETURNING *) SELECT * FROM gone");
//! assert_eq!(change.class(), Class::Write);
//! let statement = change.iter().next().unwrap();
//! assert!(statement.relations_written.contains("app.users") && statement.unbounded);
//!
//! // A string in which a backslash escapes nothing ends earlier than it looks.
//! assert_eq!(read(r"SELECT '\'; DROP TABLE users; --'").len(), 2);
//! assert_eq!(read("SELECT 'a").iter().next().unwrap().unknown, Some(Unknown::Unterminated));
//! assert_eq!(read("SELECT nobody_knows(1)").action().text("statement_class"), Some("unknown"));
//! ```
//!
//! # Policies
//!
//! In Cedar, with the facts of [`Statements::action`] as context. The schema of `tollbook-policy` has these
//! names and the action; its cookbook has such policies with their tests.
//!
//! ```text
//! // Read-only.
//! permit (principal, action == Tollbook::Action::"sql.query", resource)
//! when { ["read", "transaction"].containsAll(context.statement_classes) };
//!
//! // Changes, but none without bounds.
//! permit (principal in Tollbook::Group::"writers", action == Tollbook::Action::"sql.query", resource)
//! when { ["read", "transaction", "write"].containsAll(context.statement_classes) };
//! @reason("a change of all rows")
//! forbid (principal, action == Tollbook::Action::"sql.query", resource)
//! when { context.unbounded };
//!
//! // What changes tables or rights, and what nobody can read, has to be approved.
//! @reason("changes of tables and rights, and what nobody can read, are approved")
//! @approval("dba:1")
//! forbid (principal, action == Tollbook::Action::"sql.query", resource)
//! when { context.statement_classes.containsAny(["ddl", "privilege", "unknown"]) };
//!
//! // Nobody searches by a protected column.
//! forbid (principal, action == Tollbook::Action::"sql.query", resource)
//! when { context.protected_places.containsAny(["where", "join", "group", "order", "expression"]) };
//! ```
//!
//! # What a text cannot say
//!
//! Views, triggers, rules, row policies, and functions behind operators, casts and default values run without
//! being named. `search_path` decides which `users` a text means. A function of the server's can be overloaded
//! by one that somebody made; `(row).name` may call a function. A command such as `SELECT` of a view that calls a
//! function that writes is a `read` here. The role that the gate logs in with has to be able to do no
//! more than it should.
//!
//! MySQL runs a text statement by statement: behind a statement that changes how texts are read, the rest is
//! unknown. PostgreSQL reads a text as a whole before it runs any of it.

mod dialect;
mod fingerprint;
mod functions;
mod grammar;
mod lexer;
mod split;
mod statement;
mod statements;

pub use dialect::{Dialect, Settings};
pub use fingerprint::{Fingerprint, fingerprint, literals, normalized};
pub use functions::side_effect;
pub use statement::{Class, ColumnUse, Copied, Place, Prepared, Statement, StatementKind, Unknown};
pub use statements::Statements;
