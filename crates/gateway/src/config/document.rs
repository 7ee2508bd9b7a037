//! Reading a TOML document key by key, noting every mistake with its line.
//!
//! A derived deserialiser stops at the first mistake. Someone who writes a configuration wants to
//! see them all, so the sections here hand out values one by one, take note of what is wrong, and
//! at the end name the keys that nobody asked for.

use std::{cell::RefCell, collections::BTreeMap, ops::Range, time::Duration};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::mistake::{Located, Mistake, nearest};

/// Environment variables that override single keys begin like this; parts are joined by `__`.
const PREFIX: &str = "TOLLBOOK_";
/// Variables that begin like that and are no overrides: where the configuration is, the log, and
/// what commands show to a gateway.
const OTHERS: [&str; 5] = [
    "TOLLBOOK_ADMIN_URL",
    "TOLLBOOK_CONFIG",
    "TOLLBOOK_LOG",
    "TOLLBOOK_TOKEN",
    "TOLLBOOK_TOKEN_FILE",
];

/// The mistakes found so far, and what is needed to place them.
pub(super) struct Notes<'a> {
    text: &'a str,
    overrides: BTreeMap<String, String>,
    used: RefCell<Vec<String>>,
    found: RefCell<Vec<(usize, Mistake)>>,
}

impl<'a> Notes<'a> {
    /// Notes on `text`, with the overriding variables picked from `environment`.
    pub(super) fn new(
        text: &'a str,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let overrides = environment
            .into_iter()
            .filter(|(name, _)| name.starts_with(PREFIX) && !OTHERS.contains(&&**name))
            .collect();
        Self {
            text,
            overrides,
            used: RefCell::default(),
            found: RefCell::default(),
        }
    }

    /// Notes a mistake at a place in the text.
    pub(super) fn at(&self, span: Range<usize>, message: impl Into<String>) {
        let mistake = Mistake {
            line: Some(self.line(&span)),
            message: message.into(),
        };
        self.found.borrow_mut().push((span.start, mistake));
    }

    /// The line in which the span begins, counted from 1.
    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    /// Notes a mistake that stands nowhere in particular.
    pub(super) fn anywhere(&self, message: impl Into<String>) {
        let mistake = Mistake {
            line: None,
            message: message.into(),
        };
        self.found.borrow_mut().push((usize::MAX, mistake));
    }

    /// Notes the overriding variables that no key asked for, once every key did.
    pub(super) fn unused(&self) {
        let used = self.used.borrow();
        for name in self.overrides.keys().filter(|name| !used.contains(name)) {
            self.anywhere(format!("environment variable {name} overrides no key"));
        }
    }

    /// All mistakes in the order of the text.
    pub(super) fn finish(self) -> Vec<Mistake> {
        let mut found = self.found.into_inner();
        found.sort_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, mistake)| mistake).collect()
    }

    fn overridden(&self, path: &str, key: &str) -> Option<String> {
        let name = format!("{PREFIX}{}__{}", path.replace(['.', '-'], "__"), key).to_uppercase();
        let value = self.overrides.get(&name)?.clone();
        self.used.borrow_mut().push(name);
        Some(value)
    }
}

/// One table of the document.
pub(super) struct Section<'a> {
    notes: &'a Notes<'a>,
    path: String,
    span: Range<usize>,
    table: Option<&'a DeTable<'a>>,
    known: RefCell<Vec<&'static str>>,
}

/// A value and where it stands, for mistakes that are found later.
#[derive(Clone, Debug)]
pub(super) struct Placed<T> {
    pub(super) value: T,
    span: Range<usize>,
}

impl<T> Placed<T> {
    /// Notes a mistake about this value.
    pub(super) fn wrong(&self, notes: &Notes<'_>, message: impl Into<String>) {
        if self.span.is_empty() {
            notes.anywhere(message);
        } else {
            notes.at(self.span.clone(), message);
        }
    }

    /// What the value means, with its line.
    pub(super) fn located<U>(self, notes: &Notes<'_>, value: impl FnOnce(T) -> U) -> Located<U> {
        Located {
            // Without a span it comes from the environment, for a section that is not written.
            line: (!self.span.is_empty()).then(|| notes.line(&self.span)),
            value: value(self.value),
        }
    }
}

impl<'a> Section<'a> {
    /// The document itself.
    pub(super) fn root(notes: &'a Notes<'a>, table: &'a DeTable<'a>) -> Self {
        Self {
            notes,
            path: String::new(),
            span: 0..0,
            table: Some(table),
            known: RefCell::default(),
        }
    }

    /// Where the section's mistakes go.
    pub(super) fn notes(&self) -> &'a Notes<'a> {
        self.notes
    }

    /// The line in which the section begins.
    pub(super) fn line(&self) -> usize {
        self.notes.line(&self.span)
    }

    /// Names the section for its environment variables: a `[[connection]]` by its `name`.
    pub(super) fn rename(&mut self, path: String) {
        self.path = path;
    }

    /// The table under `key`; empty when it is left out.
    pub(super) fn table(&self, key: &'static str) -> Section<'a> {
        let path = if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        };
        let (span, table) = match self.value(key) {
            Some(value) => match value.get_ref() {
                DeValue::Table(table) => (value.span(), Some(table)),
                other => {
                    self.wrong_type(key, value.span(), "a table", other);
                    (value.span(), None)
                }
            },
            None => (self.span.clone(), None),
        };
        Section {
            notes: self.notes,
            path,
            span,
            table,
            known: RefCell::default(),
        }
    }

    /// The tables of the array under `key`.
    pub(super) fn tables(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(key, value.span(), "an array of tables", value.get_ref());
            return Vec::new();
        };
        array
            .iter()
            .filter_map(|entry| match entry.get_ref() {
                DeValue::Table(table) => Some(Section {
                    notes: self.notes,
                    path: key.to_owned(),
                    span: entry.span(),
                    table: Some(table),
                    known: RefCell::default(),
                }),
                other => {
                    self.wrong_type(key, entry.span(), "a table", other);
                    None
                }
            })
            .collect()
    }

    /// The text under `key` if there is one, without judging it.
    pub(super) fn peek(&self, key: &'static str) -> Option<String> {
        self.table?.get(key)?.get_ref().as_str().map(str::to_owned)
    }

    /// Notes that `key` is known to the design but not to this version.
    pub(super) fn not_available(&self, key: &'static str, instead: &str) {
        if let Some(value) = self.value(key) {
            let message = format!("`{key}` is not available in this version; {instead}");
            self.notes.at(value.span(), message);
        }
    }

    /// Whether there is nothing under `key`, not even something wrong.
    pub(super) fn is_without(&self, key: &'static str) -> bool {
        match self.value(key).map(Spanned::get_ref) {
            Some(DeValue::Array(array)) => array.is_empty(),
            value => value.is_none(),
        }
    }

    /// Whether `key` stands in the section.
    pub(super) fn has(&self, key: &'static str) -> bool {
        self.value(key).is_some()
    }

    /// Whether a table stands under `key`.
    pub(super) fn is_table(&self, key: &'static str) -> bool {
        matches!(
            self.value(key).map(Spanned::get_ref),
            Some(DeValue::Table(_))
        )
    }

    /// The text under `key`, from the environment if it is overridden there.
    pub(super) fn text(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.value(key);
        if let Some(value) = self.notes.overridden(&self.path, key) {
            return Some(Placed {
                value,
                span: self.span.clone(),
            });
        }
        let value = value?;
        match value.get_ref() {
            DeValue::String(text) => Some(Placed {
                value: text.clone().into_owned(),
                span: value.span(),
            }),
            other => {
                self.wrong_type(key, value.span(), "a string", other);
                None
            }
        }
    }

    /// The text under `key`, which must be there and not be empty.
    pub(super) fn required(&self, key: &'static str) -> Option<Placed<String>> {
        if !self.has(key) && self.notes.overridden(&self.path, key).is_none() {
            let section = if self.path.is_empty() {
                "the document"
            } else {
                &self.path
            };
            self.wrong(format!("`{key}` is missing in {section}"));
            return None;
        }
        let text = self.text(key)?;
        if text.value.is_empty() {
            text.wrong(self.notes, format!("`{key}` is empty"));
            return None;
        }
        Some(text)
    }

    /// The list of texts under `key`.
    pub(super) fn texts(&self, key: &'static str) -> Option<Vec<Placed<String>>> {
        let value = self.value(key)?;
        let DeValue::Array(array) = value.get_ref() else {
            self.wrong_type(key, value.span(), "a list of strings", value.get_ref());
            return None;
        };
        let texts = array.iter().filter_map(|entry| match entry.get_ref() {
            DeValue::String(text) => Some(Placed {
                value: text.clone().into_owned(),
                span: entry.span(),
            }),
            other => {
                self.wrong_type(key, entry.span(), "a string", other);
                None
            }
        });
        Some(texts.collect())
    }

    /// The list of texts under `key`; empty where there is none.
    pub(super) fn values(&self, key: &'static str) -> Vec<String> {
        let texts = self.texts(key).unwrap_or_default();
        texts.into_iter().map(|text| text.value).collect()
    }

    /// The whole number under `key`.
    pub(super) fn count(&self, key: &'static str) -> Option<u64> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.as_str().replace('_', "").parse().ok(),
            other => {
                self.wrong_type(key, value.span(), "a whole number", other);
                return None;
            }
        };
        if number.is_none() {
            self.notes.at(
                value.span(),
                format!("`{key}` must be a whole number from 0 on"),
            );
        }
        number
    }

    /// The yes or no under `key`.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        match value.get_ref() {
            DeValue::Boolean(flag) => Some(*flag),
            other => {
                self.wrong_type(key, value.span(), "true or false", other);
                None
            }
        }
    }

    /// The table under `key`, whose keys are anybody's: each with its text or its list of texts.
    pub(super) fn pairs(&self, key: &'static str) -> Vec<(String, Vec<String>)> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let DeValue::Table(table) = value.get_ref() else {
            self.wrong_type(key, value.span(), "a table", value.get_ref());
            return Vec::new();
        };
        let scalar = |value: &Spanned<DeValue<'_>>| match value.get_ref() {
            DeValue::String(text) => Some(text.clone().into_owned()),
            DeValue::Boolean(flag) => Some(flag.to_string()),
            DeValue::Integer(number) => Some(number.as_str().to_owned()),
            other => {
                let wanted = "a string, a whole number, true or false, or a list of them";
                self.wrong_type(key, value.span(), wanted, other);
                None
            }
        };
        table
            .iter()
            .map(|(name, value)| {
                let values = match value.get_ref() {
                    DeValue::Array(all) => all.iter().filter_map(scalar).collect(),
                    _ => scalar(value).into_iter().collect(),
                };
                (name.get_ref().clone().into_owned(), values)
            })
            .collect()
    }

    /// The duration under `key`, such as `"500ms"`, `"30s"`, `"10m"` or `"1h"`.
    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        let text = self.text(key)?;
        let parsed = duration(&text.value);
        if parsed.is_none() {
            text.wrong(
                self.notes,
                format!("`{key}` is no duration; write `\"30s\"`, `\"10m\"` or `\"1h\"`"),
            );
        }
        parsed
    }

    /// The same, if it is more than nothing.
    pub(super) fn duration_above_zero(&self, key: &'static str) -> Option<Duration> {
        let text = self.text(key)?;
        let parsed = duration(&text.value).filter(|duration| !duration.is_zero());
        if parsed.is_none() {
            let what = format!("`{key}` is no duration above zero; write `\"2s\"` or `\"10m\"`");
            text.wrong(self.notes, what);
        }
        parsed
    }

    /// The same in whole seconds, as many as two bytes hold and at least one.
    pub(super) fn seconds(&self, key: &'static str) -> Option<Duration> {
        let text = self.text(key)?;
        let parsed = duration(&text.value).filter(|duration| {
            let seconds = 1..=u64::from(u16::MAX);
            duration.subsec_nanos() == 0 && seconds.contains(&duration.as_secs())
        });
        if parsed.is_none() {
            let what = format!("`{key}` takes whole seconds, from `\"1s\"` to `\"18h\"`");
            text.wrong(self.notes, what);
        }
        parsed
    }

    /// The days under `key`, such as `"90d"`.
    pub(super) fn days(&self, key: &'static str) -> Option<Duration> {
        let text = self.text(key)?;
        let days = text.value.strip_suffix('d');
        let days = days.and_then(|days| days.parse::<u32>().ok());
        if days.is_none() {
            let what = format!("`{key}` is in days; write `\"90d\"`");
            text.wrong(self.notes, what);
        }
        days.map(|days| Duration::from_secs(24 * 60 * 60) * days)
    }

    /// The size under `key`, such as `"512KiB"` or `"32MiB"`.
    pub(super) fn size(&self, key: &'static str) -> Option<usize> {
        let text = self.text(key)?;
        let parsed = size(&text.value);
        if parsed.is_none() {
            text.wrong(
                self.notes,
                format!("`{key}` is no size; write `\"512KiB\"` or `\"32MiB\"`"),
            );
        }
        parsed
    }

    /// One of a few words under `key`.
    pub(super) fn word(&self, key: &'static str, words: &[&'static str]) -> Option<&'static str> {
        let text = self.text(key)?;
        let found = words.iter().copied().find(|word| *word == text.value);
        if found.is_none() {
            let hint = match nearest(&text.value, words.iter().copied()) {
                Some(word) => format!("did you mean `{word}`?"),
                None => format!("it is one of {}", words.join(", ")),
            };
            text.wrong(
                self.notes,
                format!("`{key}` cannot be `{}`; {hint}", text.value),
            );
        }
        found
    }

    /// Notes a mistake about the section as a whole.
    pub(super) fn wrong(&self, message: impl Into<String>) {
        if self.table.is_some() && !self.span.is_empty() {
            self.notes.at(self.span.clone(), message);
        } else {
            self.notes.anywhere(message);
        }
    }

    /// Ends the section: every key that nobody asked for is a mistake.
    pub(super) fn finish(self) {
        self.end();
    }

    /// As [`finish`](Self::finish), where the section is only borrowed. Ask for nothing afterwards.
    pub(super) fn end(&self) {
        let known = self.known.borrow();
        for key in self.table.iter().flat_map(|table| table.keys()) {
            let name = key.get_ref().as_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = match nearest(name, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("known here: {}", known.join(", ")),
            };
            self.notes
                .at(key.span(), format!("unknown key `{name}`; {hint}"));
        }
    }

    fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        if !self.known.borrow().contains(&key) {
            self.known.borrow_mut().push(key);
        }
        self.table?.get(key)
    }

    fn wrong_type(&self, key: &str, span: Range<usize>, wanted: &str, got: &DeValue<'_>) {
        self.notes.at(
            span,
            format!("`{key}` must be {wanted}, not {}", got.type_str()),
        );
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: u64 = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3600).map(Duration::from_secs),
        _ => None,
    }
}

fn size(text: &str) -> Option<usize> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number: usize = number.parse().ok()?;
    match unit {
        "KiB" => number.checked_mul(1 << 10),
        "MiB" => number.checked_mul(1 << 20),
        "GiB" => number.checked_mul(1 << 30),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_name_their_unit() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("10m"), Some(Duration::from_secs(600)));
        assert_eq!(
            (duration("10"), duration("m"), duration("1d")),
            (None, None, None)
        );
        assert_eq!(size("32MiB"), Some(32 << 20));
        assert_eq!(size("2GiB"), Some(2 << 30));
        assert_eq!((size("32"), size("32MB")), (None, None));
    }
}
