//! Whether a query takes an exchange that is at hand, without an index.

use super::{Clock, Condition, Moment, Pattern, Phrase, Query, Span, Term, TimeField};
use crate::{facts::Facts, words::words};

impl Query {
    /// Whether it takes the exchange of which these are the facts. It says the same as the index
    /// does, but for texts that were there earlier in the session: those are not at hand.
    pub fn takes(&self, facts: &Facts, clock: &Clock) -> bool {
        self.terms.iter().all(|term| term.takes(facts, clock))
    }
}

impl Term {
    fn takes(&self, facts: &Facts, clock: &Clock) -> bool {
        let is = match &self.condition {
            Condition::Text { place, any } => facts
                .texts()
                .filter(|(at, _)| place.covers(*at))
                .any(|(_, text)| any.iter().any(|phrase| phrase.stands_in(text))),
            Condition::Word { field, any } => facts
                .words()
                .filter(|(name, _)| name == field)
                .any(|(_, value)| any.iter().any(|pattern| pattern.takes(value))),
            Condition::Number { field, any } => facts
                .number(*field)
                .is_some_and(|number| any.iter().any(|span| span.takes(number))),
            Condition::Time {
                field,
                from,
                before,
            } => {
                let time = match field {
                    TimeField::Started => Some(facts.started()),
                    TimeField::Ended => facts.ended(),
                };
                let micros = |moment: &Moment| moment.micros(clock);
                time.is_some_and(|time| {
                    from.as_ref().is_none_or(|from| time >= micros(from))
                        && before.as_ref().is_none_or(|before| time < micros(before))
                })
            }
        };
        is != self.negated
    }
}

impl Phrase {
    fn stands_in(&self, text: &str) -> bool {
        let text: Vec<String> = words(text).collect();
        text.windows(self.words.len()).any(|some| self.is(some))
    }

    /// Whether these words, as many as it has, are its own.
    pub(crate) fn is(&self, some: &[String]) -> bool {
        let last = self.words.len().saturating_sub(1);
        let mut both = self.words.iter().zip(some).enumerate();
        both.all(|(place, (wanted, word))| {
            if self.prefix && place == last {
                word.starts_with(wanted)
            } else {
                word == wanted
            }
        })
    }
}

impl Pattern {
    /// Whether a value, in lower case, is like this.
    pub(crate) fn takes(&self, value: &str) -> bool {
        match self {
            Self::Is(text) => text == value,
            Self::Like(pattern) => like(pattern, value),
        }
    }
}

impl Span {
    fn takes(self, number: i64) -> bool {
        self.least.is_none_or(|least| number >= least)
            && self.most.is_none_or(|most| number <= most)
    }
}

/// Whether the text is the pattern with any text for each `*`.
pub(crate) fn like(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else {
        return pattern == text;
    };
    let Some(mut text) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let last = parts.pop().unwrap_or_default();
    for part in parts {
        // The earliest place leaves most for what comes after.
        match text.find(part) {
            Some(at) => text = &text[at + part.len()..],
            None => return false,
        }
    }
    text.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::like;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, is) in [
            ("a*", "a", true),
            ("a*", "abc", true),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "abd", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*aa", "aa", false),
            ("*", "", true),
            ("**", "x", true),
            (
                "repo:*:ref:*/main",
                "repo:acme/api:ref:refs/heads/main",
                true,
            ),
            ("abc", "abcd", false),
        ] {
            assert_eq!(like(pattern, text), is, "{pattern} {text}");
        }
    }
}
