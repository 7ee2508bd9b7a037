//! Reading a query.

use std::fmt;

use super::{
    Condition, Field, FieldKind, Moment, NumberField, Pattern, Phrase, Place, Query, Span, Term,
    TimeField, fields,
};
use crate::words::words;

/// A query that cannot be read: where, why, and what may have been meant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct QueryError {
    at: usize,
    message: String,
    nearest: Option<&'static str>,
}

impl QueryError {
    /// Where it is wrong: the number of characters before it.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// What is wrong, without where.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The field that may have been meant, where one is unknown.
    pub const fn nearest(&self) -> Option<&'static str> {
        self.nearest
    }
}

impl fmt::Display for QueryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at character {}: {}", self.at + 1, self.message)?;
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => Ok(()),
        }
    }
}

pub(super) fn query(
    text: &str,
    saved: &dyn Fn(&str) -> Option<Query>,
) -> Result<Query, QueryError> {
    let mut parser = Parser { text, at: 0 };
    let mut terms = Vec::new();
    while parser.skip_space() {
        match parser.saved(saved)? {
            Some(query) => terms.extend(query.terms),
            None => terms.push(parser.term()?),
        }
    }
    Ok(Query { terms })
}

struct Parser<'a> {
    text: &'a str,
    /// In bytes.
    at: usize,
}

/// One value as it is written.
struct Written {
    text: String,
    quoted: bool,
    /// Whether a `*` follows the quotes.
    starred: bool,
    at: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let is = self.peek() == Some(wanted);
        if is {
            self.at += wanted.len_utf8();
        }
        is
    }

    /// Whether anything is left after the space.
    fn skip_space(&mut self) -> bool {
        let rest = self.rest().trim_start();
        self.at = self.text.len() - rest.len();
        !rest.is_empty()
    }

    /// The saved search that comes, if one does.
    fn saved(
        &mut self,
        saved: &dyn Fn(&str) -> Option<Query>,
    ) -> Result<Option<Query>, QueryError> {
        if !self.take('@') {
            return Ok(None);
        }
        let written = self.value(false)?;
        let at = written.at - 1;
        match saved(&written.text) {
            Some(query) => Ok(Some(query)),
            None => Err(self.wrong(at, format!("there is no saved search `{}`", written.text))),
        }
    }

    fn term(&mut self) -> Result<Term, QueryError> {
        let negated = self.take('-');
        if negated && self.peek() == Some('@') {
            let message = "a saved search cannot be turned round".to_owned();
            return Err(self.wrong(self.at, message));
        }
        let condition = match self.field()? {
            Some((name, at)) => self.values(&name, at)?,
            None => {
                let written = self.value(false)?;
                Condition::Text {
                    place: Place::Any,
                    any: vec![self.phrase(&written)?],
                }
            }
        };
        Ok(Term { negated, condition })
    }

    /// The name before a colon, if what comes is a field, and where it begins.
    fn field(&mut self) -> Result<Option<(String, usize)>, QueryError> {
        let end = |c: char| c.is_whitespace() || matches!(c, ':' | '"');
        let rest = self.rest();
        let Some(length) = rest.find(end).filter(|at| rest[*at..].starts_with(':')) else {
            return Ok(None);
        };
        let (name, at) = (rest[..length].to_lowercase(), self.at);
        if name.is_empty() {
            return Err(self.wrong(at, "there is no field before the colon".to_owned()));
        }
        self.at += length + 1;
        Ok(Some((name, at)))
    }

    fn values(&mut self, name: &str, at: usize) -> Result<Condition, QueryError> {
        match name {
            "since" => return self.time(TimeField::Started, Some(Limit::From)),
            "until" => return self.time(TimeField::Started, Some(Limit::Before)),
            "started" => return self.time(TimeField::Started, None),
            "ended" => return self.time(TimeField::Ended, None),
            _ => {}
        }
        let Some(field) = fields::named(name) else {
            // Any claim of a caller is a field.
            if name
                .strip_prefix("principal.")
                .is_some_and(|claim| !claim.is_empty())
            {
                return self.words(name);
            }
            return Err(QueryError {
                nearest: fields::nearest(name),
                ..self.wrong(
                    at,
                    format!("there is no field `{name}` (put the text in quotes to look for it)"),
                )
            });
        };
        if let Some(place) = Place::named(field.name) {
            let any = self.list(Self::phrase)?;
            return Ok(Condition::Text { place, any });
        }
        match NumberField::named(field.name) {
            Some(number) => {
                let any = self.list(|parser, written| parser.span(written, field))?;
                Ok(Condition::Number { field: number, any })
            }
            None => self.words(field.name),
        }
    }

    fn words(&mut self, field: &str) -> Result<Condition, QueryError> {
        let any = self.list(|_, written| {
            let text = written.text.to_lowercase();
            Ok(if !written.quoted && text.contains('*') {
                Pattern::Like(text)
            } else {
                Pattern::Is(text)
            })
        })?;
        Ok(Condition::Word {
            field: field.to_owned(),
            any,
        })
    }

    /// Values with commas between them.
    fn list<T>(
        &mut self,
        mut read: impl FnMut(&Self, &Written) -> Result<T, QueryError>,
    ) -> Result<Vec<T>, QueryError> {
        let mut all = Vec::new();
        loop {
            let written = self.value(true)?;
            all.push(read(self, &written)?);
            if !self.take(',') {
                return Ok(all);
            }
        }
    }

    /// One value, in quotes or up to the next space; in a list up to the next comma too.
    fn value(&mut self, in_list: bool) -> Result<Written, QueryError> {
        let at = self.at;
        if self.take('"') {
            let text = self.quoted(at)?;
            let starred = self.take('*');
            if let Some(next) = self.peek()
                && !next.is_whitespace()
                && !(in_list && next == ',')
            {
                let message = "a space must follow what stands in quotes".to_owned();
                return Err(self.wrong(self.at, message));
            }
            return Ok(Written {
                text,
                quoted: true,
                starred,
                at,
            });
        }
        let end = |c: char| c.is_whitespace() || c == '"' || (in_list && c == ',');
        let rest = self.rest();
        let text = &rest[..rest.find(end).unwrap_or(rest.len())];
        self.at += text.len();
        if self.peek() == Some('"') {
            let message = "quotes begin and end a whole value".to_owned();
            return Err(self.wrong(self.at, message));
        }
        if text.is_empty() {
            return Err(self.wrong(at, "a value is missing".to_owned()));
        }
        Ok(Written {
            text: text.to_owned(),
            quoted: false,
            starred: false,
            at,
        })
    }

    fn quoted(&mut self, begin: usize) -> Result<String, QueryError> {
        let mut text = String::new();
        let mut rest = self.rest().char_indices();
        while let Some((at, c)) = rest.next() {
            match c {
                '"' => {
                    self.at += at + 1;
                    return Ok(text);
                }
                '\\' => text.extend(rest.next().map(|(_, c)| c)),
                c => text.push(c),
            }
        }
        Err(self.wrong(begin, "the quotes are not closed".to_owned()))
    }

    fn phrase(&self, written: &Written) -> Result<Phrase, QueryError> {
        let words: Vec<String> = words(&written.text).collect();
        if words.is_empty() {
            let message = "there is no letter or digit to look for".to_owned();
            return Err(self.wrong(written.at, message));
        }
        Ok(Phrase {
            words,
            prefix: written.starred || (!written.quoted && written.text.ends_with('*')),
        })
    }

    fn span(&self, written: &Written, field: &Field) -> Result<Span, QueryError> {
        let wrong = || {
            let form = match field.kind {
                FieldKind::Bytes => "a number of bytes such as 300, 64kb or 1.5mib",
                FieldKind::Duration => "a length of time such as 250ms, 2.5s or 3m",
                FieldKind::Dollars => "dollars such as 0.05",
                _ => "a number such as 200, 10k or 1.5m",
            };
            let message = format!(
                "`{}` takes {form}, with >, >=, < or <= before it or as least..most",
                field.name
            );
            self.wrong(written.at, message)
        };
        let number = |text: &str| number(text, field.kind).ok_or_else(wrong);
        let text = written.text.to_lowercase();
        let (mut least, mut most) = (None, None);
        if text == "*" {
        } else if let Some(text) = text.strip_prefix(">=") {
            least = Some(number(text)?);
        } else if let Some(text) = text.strip_prefix("<=") {
            most = Some(number(text)?);
        } else if let Some(text) = text.strip_prefix('>') {
            least = Some(number(text)?.checked_add(1).ok_or_else(wrong)?);
        } else if let Some(text) = text.strip_prefix('<') {
            most = Some(number(text)?.checked_sub(1).ok_or_else(wrong)?);
        } else if let Some((from, to)) = text.split_once("..") {
            (least, most) = (Some(number(from)?), Some(number(to)?));
        } else {
            least = Some(number(&text)?);
            most = least;
        }
        Ok(Span { least, most })
    }

    /// A range of times. `limit` is that of a field that has one by its name.
    fn time(&mut self, field: TimeField, limit: Option<Limit>) -> Result<Condition, QueryError> {
        let written = self.value(false)?;
        let wrong = || {
            let form = "a time such as 7d, 2026-11-22 or 2026-11-22T08:00:00Z";
            let message = match limit {
                Some(_) => format!("this takes {form}"),
                None => format!("this takes {form}, with >, >=, < or <= before it or as from..to"),
            };
            self.wrong(written.at, message)
        };
        let moment = |text: &str| Moment::parse(text).ok_or_else(wrong);
        let after = |moment: Moment| moment.after().ok_or_else(wrong);
        let text = written.text.as_str();
        let (from, before) = match limit {
            Some(Limit::From) => (Some(moment(text)?), None),
            Some(Limit::Before) => (None, Some(moment(text)?)),
            None if text == "*" => (None, None),
            None => {
                if let Some(text) = text.strip_prefix(">=") {
                    (Some(moment(text)?), None)
                } else if let Some(text) = text.strip_prefix("<=") {
                    (None, Some(after(moment(text)?)?))
                } else if let Some(text) = text.strip_prefix('>') {
                    (Some(after(moment(text)?)?), None)
                } else if let Some(text) = text.strip_prefix('<') {
                    (None, Some(moment(text)?))
                } else if let Some((from, to)) = text.split_once("..") {
                    let to = match moment(to)? {
                        day @ Moment::Day(_) => after(day)?,
                        time => time,
                    };
                    (Some(moment(from)?), Some(to))
                } else {
                    let moment = moment(text)?;
                    (Some(moment), Some(after(moment)?))
                }
            }
        };
        Ok(Condition::Time {
            field,
            from,
            before,
        })
    }

    /// `at` is in bytes.
    fn wrong(&self, at: usize, message: String) -> QueryError {
        QueryError {
            at: self.text[..at].chars().count(),
            message,
            nearest: None,
        }
    }
}

#[derive(Clone, Copy)]
enum Limit {
    From,
    Before,
}

/// A decimal number with a unit, in the smallest unit. `None` if it is none, too large, or finer
/// than that unit.
fn number(text: &str, kind: FieldKind) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(digits.unwrap_or(text.len()));
    let unit: i64 = match (kind, unit) {
        (FieldKind::Duration, "us") => 1,
        (FieldKind::Duration, "ms") => 1_000,
        (FieldKind::Duration, "s") => 1_000_000,
        (FieldKind::Duration, "m") => 60_000_000,
        (FieldKind::Duration, "h") => 3_600_000_000,
        (FieldKind::Duration, "d") => 86_400_000_000,
        (FieldKind::Duration, _) => return None,
        (FieldKind::Dollars, "") => 1_000_000,
        (FieldKind::Dollars, _) => return None,
        (_, "") => 1,
        (FieldKind::Bytes, "b") => 1,
        (FieldKind::Bytes, "kib") => 1 << 10,
        (FieldKind::Bytes, "mib") => 1 << 20,
        (FieldKind::Bytes, "gib") => 1 << 30,
        (FieldKind::Bytes, "kb") | (_, "k") => 1_000,
        (FieldKind::Bytes, "mb") | (_, "m") => 1_000_000,
        (FieldKind::Bytes, "gb") | (_, "g") => 1_000_000_000,
        _ => return None,
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || number.ends_with('.') {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(unit)?;
    if part.is_empty() {
        return Some(whole);
    }
    let scale = 10_i128.checked_pow(u32::try_from(part.len()).ok()?)?;
    let part = part.parse::<u64>().ok()?;
    let part = i128::from(part).checked_mul(i128::from(unit))?;
    if part % scale != 0 {
        return None;
    }
    whole.checked_add(i64::try_from(part / scale).ok()?)
}

/// A length of time, in microseconds.
pub(super) fn duration(text: &str) -> Option<i64> {
    number(text, FieldKind::Duration)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn query(text: &str) -> Result<Query, QueryError> {
        text.parse()
    }

    fn error(text: &str) -> String {
        query(text).unwrap_err().to_string()
    }

    #[test]
    fn the_query_of_the_documentation_is_read() {
        let text = r#"principal.repository:acme/api tool:Bash "drop table" since:7d -verdict:allow tokens:>10k"#;
        let read = query(text).unwrap();
        assert_eq!(
            read.to_string(),
            r#"principal.repository:acme/api tool:bash "drop table" started:>=7d -verdict:allow tokens:>=10001"#
        );
        assert_eq!(query(&read.to_string()), Ok(read));
    }

    #[test]
    fn every_form_has_one_text() {
        for (text, shown) in [
            ("", ""),
            ("  a   b ", "a b"),
            ("-a", "-a"),
            ("src/main.rs", "\"src main rs\""),
            ("foo*", "foo*"),
            ("\"drop tab\"*", "\"drop tab\"*"),
            ("prompt:hi", "prompt:hi"),
            ("prompt:hi,\"good day\"", "prompt:hi,\"good day\""),
            ("text:hi", "hi"),
            ("repository:acme/*", "principal.repository:acme/*"),
            ("principal.team:x", "principal.team:x"),
            ("subject:repo:a/b", "principal.subject:repo:a/b"),
            ("tool:Bash,\"a b\"", "tool:bash,\"a b\""),
            (r#"tool:"a\"\\*""#, r#"tool:"a\"\\*""#),
            ("status:429", "status:429"),
            ("status:>=500", "status:>=500"),
            ("status:<500", "status:<=499"),
            ("status:200..299,404", "status:200..299,404"),
            ("status:*", "status:*"),
            ("duration:>2.5s", "duration:>=2500001us"),
            ("duration:<=90s", "duration:<=90s"),
            ("duration:<=120s", "duration:<=2m"),
            ("bytes.out:>=1mib", "bytes.out:>=1048576"),
            ("cost:>=0.05", "cost:>=0.05"),
            ("cost:12", "cost:12"),
            ("until:2026-11-22", "started:<2026-11-22"),
            ("started:2026-11-22", "started:2026-11-22..2026-11-22"),
            (
                "started:2026-11-20..2026-11-22",
                "started:2026-11-20..2026-11-22",
            ),
            ("ended:>2026-11-22", "ended:>=2026-11-23"),
            (
                "since:2026-11-22T08:00:00+01:00",
                "started:>=2026-11-22T07:00:00.000000Z",
            ),
        ] {
            let read = query(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read.to_string(), shown, "{text}");
            assert_eq!(query(shown), Ok(read), "{shown}");
        }
    }

    #[test]
    fn errors_name_the_place_and_the_field_that_was_meant() {
        assert_eq!(
            error("a verdit:deny"),
            "at character 3: there is no field `verdit` (put the text in quotes to look for it); \
             did you mean `verdict`?"
        );
        assert_eq!(query("http://x").unwrap_err().nearest(), None);
        for (text, at, part) in [
            ("é \"open", 2, "not closed"),
            ("tool:", 5, "missing"),
            ("tool:a,", 7, "missing"),
            ("-", 1, "missing"),
            (":x", 0, "before the colon"),
            ("->", 1, "no letter or digit"),
            ("a\"b\"", 1, "quotes begin"),
            ("\"a\"b", 3, "space must follow"),
            ("status:ok", 7, "takes a number"),
            ("duration:>5", 9, "length of time"),
            ("cost:0.0000001", 5, "dollars"),
            ("since:yesterday", 6, "a time such as"),
            ("since:20261122", 6, "a time such as"),
            ("tokens:99999999999999999999", 7, "takes a number"),
        ] {
            let error = query(text).unwrap_err();
            assert_eq!(error.at(), at, "{text}: {error}");
            assert!(error.message().contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_are_exact() {
        use FieldKind::{Bytes, Count, Dollars, Duration};
        for (text, kind, is) in [
            ("1.5k", Count, Some(1_500)),
            ("1.5", Count, None),
            ("0.1kib", Bytes, None),
            ("0.5kib", Bytes, Some(512)),
            ("0.25kib", Bytes, Some(256)),
            ("1.234567", Dollars, Some(1_234_567)),
            ("1.000s", Duration, Some(1_000_000)),
            (".5", Dollars, None),
            ("5.", Dollars, None),
            ("1.2.3", Dollars, None),
            ("", Count, None),
            ("-1", Count, None),
        ] {
            assert_eq!(number(text, kind), is, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_at_a_place_in_it(text in "[ -~é漢İ\n]{0,60}") {
            match query(&text) {
                Ok(read) => prop_assert_eq!(query(&read.to_string()), Ok(read)),
                Err(error) => prop_assert!(error.at() <= text.chars().count()),
            }
        }

        #[test]
        fn what_looks_like_a_query_round_trips(
            terms in prop::collection::vec(
                ("-?", "(tool:|status:|since:|started:|ended:|prompt:|duration:|cost:|masked:|)",
                 "[a-z0-9<>=.*,\"dmsk-]{0,12}"),
                0..6,
            ),
        ) {
            let text: Vec<String> = terms.iter().map(|(a, b, c)| format!("{a}{b}{c}")).collect();
            if let Ok(read) = query(&text.join(" ")) {
                prop_assert_eq!(query(&read.to_string()), Ok(read));
            }
        }
    }
}
