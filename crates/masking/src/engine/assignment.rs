//! Values behind a key that says what they are: `password = "…"`, `API_KEY=…`, `secret: …`.

use crate::engine::{
    class::BARE,
    keys::{Keys, Name},
    rule::{CAP, Quotes, Rule, Shape},
    selection::Selection,
    swallow::{Quote, Swallow, Unit, quoted_unit},
    validate::is_masked,
    verdict::{Match, Verdict},
    window::{Ahead, Window},
};

/// White space behind the `=` or `:`.
const MAX_SPACE: usize = 4;
/// White space before it, where values stand in a column.
const MAX_COLUMN: usize = 24;
/// Backslashes before a quote: three levels of quoting.
const MAX_ESCAPES: usize = 3;

/// The value behind a separator.
struct Value {
    start: usize,
    end: usize,
    quote: Option<Quote>,
    /// The value goes on beyond what a decision may look at.
    goes_on: bool,
}

/// Looks for a value behind the `=` or `:` at `at`. With `json`, the text is that of a JSON
/// document, and what looks like a member of an object is judged as one.
pub(crate) fn assignment(
    rules: &[Rule],
    keys: &Keys,
    on: &Selection,
    json: bool,
    window: &Window<'_>,
    at: usize,
) -> Verdict {
    let Some((name, key_quote)) = key_before(json, window, at) else {
        return Verdict::No;
    };
    let found = keys.find(&name);
    if found.is_empty() {
        return Verdict::No;
    }
    let value = match value_behind(json, window, at) {
        Ok(value) => value,
        Err(verdict) => return verdict,
    };
    let is_member =
        json && window.bytes[at] == b':' && key_quote.is_some() && value.quote == key_quote;
    let body = &window.bytes[value.start..value.end];
    for index in found.iter().copied().filter(|rule| on.has(*rule)) {
        let rule = &rules[index];
        let fits = match rule.shape {
            Shape::Assignment {
                quotes: Quotes::Either,
            } => true,
            Shape::Assignment {
                quotes: Quotes::Required,
            } => value.quote.is_some(),
            Shape::Assignment {
                quotes: Quotes::Absent,
            } => value.quote.is_none(),
            Shape::JsonKey { .. } => is_member && !is_masked(body),
            _ => false,
        };
        let prose = value.goes_on && !is_member && body.contains(&b' ');
        let long_enough = body.len() >= rule.min;
        let short_enough = rule
            .max
            .is_none_or(|max| !value.goes_on && body.len() <= max);
        if !fits || prose || !long_enough || !short_enough {
            continue;
        }
        // A value without quotes is made of what it was looked for by.
        let is_of_class = value.quote.is_none() && *rule.class == BARE && rule.pattern.is_none();
        if !(if is_of_class {
            rule.validates(body)
        } else {
            rule.judges(body)
        }) {
            continue;
        }
        let swallow = value.goes_on.then_some(match value.quote {
            Some(quote) => Swallow::Quoted(quote),
            None => Swallow::Run(&BARE),
        });
        return Verdict::Match(Match {
            start: value.start,
            end: value.end,
            rule: index,
            swallow,
        });
    }
    Verdict::No
}

/// The name before a separator, and the quote it stands in.
fn key_before(json: bool, window: &Window<'_>, at: usize) -> Option<(Name, Option<Quote>)> {
    let mut back = 1;
    while matches!(window.before(at, back), Some(b' ' | b'\t')) {
        back += 1;
        if back > MAX_COLUMN + 1 {
            return None;
        }
    }
    let mut last = window.before(at, back)?;
    // As in `config["password"] = …`.
    let indexed = last == b']';
    if indexed {
        back += 1;
        last = window.before(at, back)?;
    }
    let mut quote = None;
    if matches!(last, b'"' | b'\'' | b'`') {
        let mut escapes = 0;
        back += 1;
        while escapes < MAX_ESCAPES && window.before(at, back) == Some(b'\\') {
            escapes += 1;
            back += 1;
        }
        quote = Some(Quote {
            byte: last,
            escapes,
            json,
        });
        last = window.before(at, back)?;
    } else if indexed {
        return None;
    }
    if !last.is_ascii_alphanumeric() {
        return None;
    }
    let mut name = Name::default();
    while let Some(byte) = window.before(at, back) {
        if !name.push_front(byte) {
            break;
        }
        back += 1;
    }
    Some((name, quote))
}

/// The value behind a separator, or what can be said without one.
fn value_behind(json: bool, window: &Window<'_>, at: usize) -> Result<Value, Verdict> {
    let byte = |at| match window.ahead(at) {
        Ahead::Byte(byte) => Ok(byte),
        Ahead::NotYet => Err(Verdict::NotYet),
        Ahead::End => Err(Verdict::No),
    };
    let mut start = at + 1;
    // `:=`, `==` and `=>`.
    if matches!(byte(start)?, b'=' | b'>') {
        start += 1;
    }
    let spaces = start;
    while matches!(byte(start)?, b' ' | b'\t') {
        start += 1;
        if start - spaces > MAX_SPACE {
            return Err(Verdict::No);
        }
    }
    // As in `b"…"` and `@"…"`.
    if matches!(byte(start)?, b'b' | b'B' | b'f' | b'r' | b'u' | b'@')
        && matches!(
            window.ahead(start + 1),
            Ahead::Byte(b'"' | b'\'' | b'`' | b'\\')
        )
    {
        start += 1;
    }
    let mut escapes = 0;
    while escapes < MAX_ESCAPES && byte(start)? == b'\\' {
        escapes += 1;
        start += 1;
    }
    match byte(start)? {
        byte @ (b'"' | b'\'' | b'`') => in_quotes(
            window,
            start + 1,
            Quote {
                byte,
                escapes,
                json,
            },
        ),
        _ if escapes > 0 => Err(Verdict::No),
        _ => without_quotes(window, start),
    }
}

fn in_quotes(window: &Window<'_>, start: usize, quote: Quote) -> Result<Value, Verdict> {
    let mut end = start;
    let goes_on = loop {
        if end - start >= CAP {
            break true;
        }
        match window.ahead(end) {
            Ahead::NotYet => return Err(Verdict::NotYet),
            // A text that was cut off may end within a value.
            Ahead::End => break false,
            Ahead::Byte(b'\n' | b'\r') => return Err(Verdict::No),
            Ahead::Byte(_) => {}
        }
        match quoted_unit(&window.bytes[end..], quote, window.end) {
            Unit::Inside(bytes) => end += bytes,
            Unit::Ends(bytes) => {
                end += bytes;
                break false;
            }
            Unit::NotYet => return Err(Verdict::NotYet),
        }
    };
    Ok(Value {
        start,
        end,
        quote: Some(quote),
        goes_on,
    })
}

fn without_quotes(window: &Window<'_>, start: usize) -> Result<Value, Verdict> {
    let rest = &window.bytes[start..];
    let run = BARE.run(&rest[..rest.len().min(CAP)]);
    let end = start + run;
    if run < CAP {
        match window.ahead(end) {
            Ahead::NotYet => return Err(Verdict::NotYet),
            // A call, an index or an expression, not a value.
            Ahead::Byte(b'(' | b'[' | b'{') => return Err(Verdict::No),
            _ => {}
        }
    }
    Ok(Value {
        start,
        end,
        quote: None,
        goes_on: run == CAP,
    })
}
