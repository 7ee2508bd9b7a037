//! The query language: one for the command line, the API and the console.
//!
//! A query is a list of terms, all of which must be true:
//!
//! ```text
//! principal.repository:acme/api tool:Bash "drop table" since:7d -verdict:allow tokens:>10k
//! ```
//!
//! - A word or a `"quoted phrase"` is looked for in prompts, answers, thinking, tool inputs and
//!   results. A `*` at its end takes words that begin so. Case does not matter, and whatever is
//!   neither letter nor digit only parts words.
//! - `field:value` holds a field against a value. `*` stands for any text within a value, commas
//!   part alternatives, quotes take everything literally.
//! - Numbers take `>`, `>=`, `<`, `<=` and `least..most`, with the units of the field: `10k`,
//!   `2.5s`, `1mb`, `0.05`.
//! - Times are `7d` (so long ago), a date, or an RFC 3339 time.
//! - `-` before a term turns it round.
//! - `@name` is a saved search.

mod fields;
mod parse;
mod show;
mod takes;
mod time;

pub use fields::{Field, FieldKind, fields};
pub use parse::QueryError;
pub use time::Clock;

pub(crate) use fields::{NumberField, Place, TimeField};
pub(crate) use time::Moment;

use std::str::FromStr;

use tollbook_exchange::Timestamp;

/// A question to the book. Its text form is that of the [module](self), and parses to the same
/// query again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    pub(crate) terms: Vec<Term>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    pub(crate) negated: bool,
    pub(crate) condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Condition {
    /// One of these phrases stands at this place.
    Text { place: Place, any: Vec<Phrase> },
    /// The field has a value like one of these.
    Word { field: String, any: Vec<Pattern> },
    /// The field's number is in one of these ranges.
    Number { field: NumberField, any: Vec<Span> },
    /// The field's time is in this range.
    Time {
        field: TimeField,
        from: Option<Moment>,
        before: Option<Moment>,
    },
}

/// Words that follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Phrase {
    /// In lower case; at least one.
    pub(crate) words: Vec<String>,
    /// Whether the last one may go on.
    pub(crate) prefix: bool,
}

/// What a value must be like. In lower case, as values are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pattern {
    /// Exactly this.
    Is(String),
    /// This, with any text for each `*`.
    Like(String),
}

/// A range of numbers, both ends in it, in the smallest unit of the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) least: Option<i64>,
    pub(crate) most: Option<i64>,
}

impl Query {
    /// The query that takes every exchange.
    pub fn all() -> Self {
        Self::default()
    }

    /// Reads a query in which `@name` stands for the query that `saved` has for that name.
    ///
    /// # Errors
    ///
    /// When it is none, or there is no saved search of a name in it.
    pub fn parse(text: &str, saved: &dyn Fn(&str) -> Option<Self>) -> Result<Self, QueryError> {
        parse::query(text, saved)
    }

    /// The query that takes what both take.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.terms.extend(other.terms);
        self
    }

    /// Takes only exchanges of which a field is exactly this value, whatever characters it has.
    ///
    /// `field` is one of those of [`fields`] that are words; a field of any other kind, or of no
    /// such name, takes nothing.
    #[must_use]
    pub fn with(mut self, field: &str, value: &str) -> Self {
        self.terms.push(Term {
            negated: false,
            condition: Condition::Word {
                field: fields::full_name(field).to_owned(),
                any: vec![Pattern::Is(value.to_lowercase())],
            },
        });
        self
    }

    /// Takes only exchanges that began then or later.
    #[must_use]
    pub fn since(mut self, time: Timestamp) -> Self {
        self.terms.push(Term {
            negated: false,
            condition: Condition::Time {
                field: TimeField::Started,
                from: Some(Moment::At(time)),
                before: None,
            },
        });
        self
    }

    /// Whether it takes every exchange.
    pub fn is_all(&self) -> bool {
        self.terms.is_empty()
    }

    /// Whether a term of it is about this field, one that is words.
    pub fn names(&self, field: &str) -> bool {
        let name = fields::full_name(field);
        let is =
            |term: &Term| matches!(&term.condition, Condition::Word { field, .. } if field == name);
        self.terms.iter().any(is)
    }

    /// Whether it looks into texts.
    pub fn reads_text(&self) -> bool {
        let is_text = |term: &Term| matches!(term.condition, Condition::Text { .. });
        self.terms.iter().any(is_text)
    }

    /// The phrases that are looked for, in lower case; for marking them in what was found.
    pub(crate) fn phrases(&self) -> impl Iterator<Item = (Place, &Phrase)> {
        let wanted = self.terms.iter().filter(|term| !term.negated);
        wanted.flat_map(|term| match &term.condition {
            Condition::Text { place, any } => any
                .iter()
                .map(|phrase| (*place, phrase))
                .collect::<Vec<_>>(),
            _ => Vec::new(),
        })
    }
}

impl FromStr for Query {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        parse::query(text, &|_| None)
    }
}
