//! Columns that an operator protects, and what a statement has to do with them.

use std::collections::{BTreeMap, BTreeSet};

use tollbook_exchange::{Code, Operator, Refusal};
use tollbook_sql::{Copied, Place, StatementKind, Statements};

/// What becomes of the values of a protected column, for the caller as for the record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protection {
    /// The end of a text stays. What is no text becomes null.
    Partial,
    /// Equal texts become equal hashes. What is no text becomes null.
    Hash,
    /// A placeholder. What is no text becomes null.
    #[default]
    Redact,
    /// Null.
    Null,
}

/// The protected columns of a connection.
#[derive(Clone, Debug, Default)]
pub struct Protected {
    columns: BTreeMap<String, Protection>,
    /// Whether an expression over one of them is refused, and not masked.
    deny_expressions: bool,
}

/// What statements have to do with protected columns, as far as their text says.
#[derive(Clone, Debug, Default)]
pub struct Uses {
    /// What becomes of columns of the result that come from nowhere: expressions.
    pub(super) expressions: Option<Protection>,
    /// Whether a protected column is used at all, or nobody knows.
    pub(super) any: bool,
    /// What is copied out, in the order of the statements.
    pub(super) copies: Vec<Copied>,
}

impl Protected {
    /// These columns: `column`, `table.column` or `schema.table.column`, names in lower case unless they
    /// are quoted, as [`tollbook_sql::Settings::protected_columns`] takes them.
    pub fn new(columns: impl IntoIterator<Item = (String, Protection)>) -> Self {
        Self {
            columns: columns.into_iter().collect(),
            deny_expressions: false,
        }
    }

    /// Refuses statements whose result has expressions over protected columns, instead of masking these.
    #[must_use]
    pub fn deny_expressions(mut self, deny: bool) -> Self {
        self.deny_expressions = deny;
        self
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Their names, for [`tollbook_sql::Settings::protected_columns`].
    pub fn names(&self) -> BTreeSet<String> {
        self.columns.keys().cloned().collect()
    }

    /// What becomes of a column of a relation that has these names, without and with its schema.
    pub(super) fn of(&self, relations: &[(String, String)], column: &str) -> Option<Protection> {
        let hits = self.columns.iter().filter(|(name, _)| {
            let mut parts = split(name);
            let named = parts.pop();
            let table = parts.pop();
            let schema = parts.pop();
            let is = |wanted: &Option<String>, known: &str| {
                wanted.as_ref().is_none_or(|wanted| wanted == known)
            };
            named.as_deref() == Some(column)
                && (relations.iter())
                    .any(|(in_schema, relation)| is(&table, relation) && is(&schema, in_schema))
        });
        hits.map(|(_, protection)| *protection).max()
    }

    /// What becomes of a column of which only its name is known.
    pub(super) fn named(&self, column: &str) -> Option<Protection> {
        let hits = self.columns.iter();
        let hits = hits.filter(|(name, _)| split(name).pop().as_deref() == Some(column));
        hits.map(|(_, protection)| *protection).max()
    }

    /// The weightiest of all.
    pub(super) fn weightiest(&self) -> Option<Protection> {
        self.columns.values().copied().max()
    }

    /// What these statements have to do with them.
    pub fn uses(&self, statements: &Statements) -> Uses {
        let copies = statements.iter();
        let copies = copies.filter(|statement| statement.kind == StatementKind::CopyOut);
        let mut uses = Uses {
            copies: copies
                .filter_map(|statement| statement.copy.clone())
                .collect(),
            ..Uses::default()
        };
        if self.is_empty() {
            return uses;
        }
        for statement in statements {
            // What is fetched or run by a name was told elsewhere.
            let elsewhere = matches!(
                statement.kind,
                StatementKind::Fetch | StatementKind::Execute | StatementKind::Call
            );
            if elsewhere || statement.unknown.is_some() {
                uses.any = true;
                uses.expressions = uses.expressions.max(self.weightiest());
            }
            for column in &statement.protected {
                uses.any = true;
                let hidden = matches!(
                    column.place,
                    Place::Output | Place::Expression | Place::Other
                );
                if hidden && statement.kind != StatementKind::Explain {
                    let own = self.columns.get(&column.to_string()).copied();
                    let own = own.or_else(|| self.named(&column.column));
                    uses.expressions = uses.expressions.max(own.or(self.weightiest()));
                }
            }
        }
        uses
    }

    /// The same for statements of which nobody can say what they do.
    #[must_use]
    pub fn doubted(&self, uses: Uses) -> Uses {
        Uses {
            expressions: self.weightiest(),
            any: !self.is_empty(),
            ..uses
        }
    }

    /// Why these statements cannot be answered masked, if so: before anything of them is forwarded.
    pub fn refusal(&self, statements: &Statements) -> Option<Refusal> {
        if self.is_empty() {
            return None;
        }
        for statement in statements {
            if self.deny_expressions
                && (statement.protected.iter()).any(|column| column.place == Place::Expression)
            {
                return Some(refused(
                    "the result has an expression over a protected column",
                    "select the column itself, which comes out masked",
                ));
            }
            let copy =
                (statement.copy.as_ref()).filter(|_| statement.kind == StatementKind::CopyOut);
            if let Some(copy) = copy
                && copy.columns.is_empty()
                && !statement.protected.is_empty()
            {
                return Some(refused(
                    "what is copied has a protected column, and it is not known which it is",
                    "name the columns: COPY table (a, b) TO STDOUT",
                ));
            }
        }
        None
    }
}

fn refused(why: &str, hint: &str) -> Refusal {
    Refusal::new(
        Code::MaskingBlocked,
        format!("tollbook_masking_blocked: {why}; {hint}"),
    )
}

impl Protection {
    /// The operator of the masking engine; none for what becomes null.
    pub(super) const fn operator(self) -> Option<Operator> {
        match self {
            Self::Partial => Some(Operator::Partial),
            Self::Hash => Some(Operator::Hash),
            Self::Redact => Some(Operator::Redact),
            Self::Null => None,
        }
    }
}

/// The parts of a name, without their quotes.
fn split(name: &str) -> Vec<String> {
    let (mut parts, mut quoted) = (vec![String::new()], false);
    for sign in name.chars() {
        match sign {
            '"' => quoted = !quoted,
            '.' if !quoted => parts.push(String::new()),
            sign => {
                if let Some(part) = parts.last_mut() {
                    part.push(sign);
                }
            }
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use tollbook_sql::{Dialect, Settings};

    use super::*;

    fn protected() -> Protected {
        Protected::new([
            ("users.ssn".to_owned(), Protection::Redact),
            ("app.cards.number".to_owned(), Protection::Partial),
            ("token".to_owned(), Protection::Null),
        ])
    }

    fn read(text: &str) -> Statements {
        let settings = Settings {
            protected_columns: protected().names(),
            ..Settings::default()
        };
        Statements::read(Dialect::Postgres, text, &settings)
    }

    #[test]
    fn a_name_says_as_much_as_it_has_parts() {
        let of = |schema: &str, table: &str, column: &str| {
            protected().of(&[(schema.to_owned(), table.to_owned())], column)
        };
        assert_eq!(of("any", "users", "ssn"), Some(Protection::Redact));
        assert_eq!(of("any", "people", "ssn"), None);
        assert_eq!(of("app", "cards", "number"), Some(Protection::Partial));
        assert_eq!(of("web", "cards", "number"), None);
        assert_eq!(of("any", "any", "token"), Some(Protection::Null));
        assert_eq!(protected().named("ssn"), Some(Protection::Redact));
        assert_eq!(split("a.\"B.c\".d"), ["a", "B.c", "d"]);
    }

    #[test]
    fn what_has_no_origin_any_more_is_masked_where_a_protected_column_may_be_in_it() {
        let expressions = |text: &str| protected().uses(&read(text)).expressions;
        assert_eq!(
            expressions("SELECT upper(ssn) FROM users"),
            Some(Protection::Redact)
        );
        // A `token` may be in it.
        assert_eq!(expressions("SELECT u FROM users u"), Some(Protection::Null));
        assert_eq!(
            expressions("SELECT count(*) FROM users WHERE ssn = '1'"),
            None
        );
        assert_eq!(expressions("SELECT name FROM people"), None);
        assert_eq!(expressions("FETCH ALL FROM c"), Some(Protection::Null));
        assert_eq!(
            expressions("SELECT nobody_knows(1)"),
            Some(Protection::Null)
        );
        assert_eq!(expressions("EXPLAIN SELECT upper(ssn) FROM users"), None);
        assert!(
            protected()
                .uses(&read("SELECT 1 FROM users WHERE ssn = '1'"))
                .any
        );
    }

    #[test]
    fn what_cannot_be_masked_is_refused_with_a_way_out() {
        let refusal = |protected: Protected, text: &str| {
            protected
                .refusal(&read(text))
                .map(|refusal| refusal.message)
        };
        let copy = refusal(protected(), "COPY users TO STDOUT").unwrap();
        assert!(copy.contains("name the columns"), "{copy}");
        let copy = refusal(protected(), "COPY (SELECT ssn FROM users) TO STDOUT");
        assert!(copy.is_some());
        assert_eq!(refusal(protected(), "COPY users (id, ssn) TO STDOUT"), None);
        assert_eq!(refusal(protected(), "COPY orders TO STDOUT (FORMAT csv)"), Some(
            "tollbook_masking_blocked: what is copied has a protected column, and it is not known which it is; \
             name the columns: COPY table (a, b) TO STDOUT".to_owned()), "a `token` may be anywhere");
        let expression = "SELECT upper(ssn) FROM users";
        assert_eq!(refusal(protected(), expression), None);
        assert!(refusal(protected().deny_expressions(true), expression).is_some());
    }
}
