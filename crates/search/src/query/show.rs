//! The text form of a query.

use std::fmt::{self, Display, Formatter, Write};

use super::{Condition, FieldKind, Pattern, Phrase, Place, Query, Span, Term};

impl Display for Query {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (place, term) in self.terms.iter().enumerate() {
            if place > 0 {
                f.write_char(' ')?;
            }
            term.fmt(f)?;
        }
        Ok(())
    }
}

impl Display for Term {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.negated {
            f.write_char('-')?;
        }
        self.condition.fmt(f)
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { place, any } => {
                if *place != Place::Any || any.len() > 1 {
                    write!(f, "{}:", place.name())?;
                }
                list(f, any)
            }
            Self::Word { field, any } => {
                write!(f, "{field}:")?;
                list(f, any)
            }
            Self::Number { field, any } => {
                write!(f, "{}:", field.name())?;
                for (place, span) in any.iter().enumerate() {
                    if place > 0 {
                        f.write_char(',')?;
                    }
                    f.write_str(&range(*span, field.kind()))?;
                }
                Ok(())
            }
            Self::Time {
                field,
                from,
                before,
            } => {
                write!(f, "{}:", field.name())?;
                match (from, before) {
                    (Some(from), Some(before)) => write!(f, "{from}..{}", before.last_day()),
                    (Some(from), None) => write!(f, ">={from}"),
                    (None, Some(before)) => write!(f, "<{before}"),
                    (None, None) => f.write_char('*'),
                }
            }
        }
    }
}

impl Display for Phrase {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let [word] = &*self.words {
            f.write_str(word)?;
        } else {
            write!(f, "\"{}\"", self.words.join(" "))?;
        }
        if self.prefix {
            f.write_char('*')
        } else {
            Ok(())
        }
    }
}

impl Display for Pattern {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Like(text) => f.write_str(text),
            Self::Is(text) if is_plain(text) => f.write_str(text),
            Self::Is(text) => {
                f.write_char('"')?;
                for c in text.chars() {
                    if matches!(c, '"' | '\\') {
                        f.write_char('\\')?;
                    }
                    f.write_char(c)?;
                }
                f.write_char('"')
            }
        }
    }
}

fn list<T: Display>(f: &mut Formatter<'_>, all: &[T]) -> fmt::Result {
    for (place, one) in all.iter().enumerate() {
        if place > 0 {
            f.write_char(',')?;
        }
        one.fmt(f)?;
    }
    Ok(())
}

/// Whether a value needs no quotes.
fn is_plain(text: &str) -> bool {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\\' | ',' | '*');
    !text.is_empty() && !text.contains(special)
}

fn range(span: Span, kind: FieldKind) -> String {
    match (span.least, span.most) {
        (Some(least), Some(most)) if least == most => number(least, kind),
        (Some(least), Some(most)) => format!("{}..{}", number(least, kind), number(most, kind)),
        (Some(least), None) => format!(">={}", number(least, kind)),
        (None, Some(most)) => format!("<={}", number(most, kind)),
        (None, None) => "*".to_owned(),
    }
}

fn number(number: i64, kind: FieldKind) -> String {
    match kind {
        FieldKind::Duration => duration(number),
        FieldKind::Dollars => {
            let text = format!("{}.{:06}", number / 1_000_000, number % 1_000_000);
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => number.to_string(),
    }
}

/// A length of time in the largest unit of which it is a whole number.
pub(super) fn duration(micros: i64) -> String {
    const UNITS: [(i64, &str); 5] = [
        (86_400_000_000, "d"),
        (3_600_000_000, "h"),
        (60_000_000, "m"),
        (1_000_000, "s"),
        (1_000, "ms"),
    ];
    let whole = UNITS
        .iter()
        .find(|(unit, _)| micros != 0 && micros % unit == 0);
    match whole {
        Some((unit, name)) => format!("{}{name}", micros / unit),
        None => format!("{micros}us"),
    }
}
