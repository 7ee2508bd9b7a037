//! Reading a TOML text key by key, noting every mistake with its line.

use std::{cell::RefCell, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{Mistake, nearest::nearest};

/// A text and what was found wrong with it so far.
pub(crate) struct Notes<'a> {
    name: &'a str,
    text: &'a str,
    found: RefCell<Vec<Mistake>>,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Placed<T> {
    pub(crate) value: T,
    pub(crate) span: Range<usize>,
}

/// One table of the text.
pub(crate) struct Section<'a> {
    notes: &'a Notes<'a>,
    table: &'a DeTable<'a>,
    pub(crate) span: Range<usize>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Notes<'a> {
    pub(crate) const fn new(name: &'a str, text: &'a str) -> Self {
        Self {
            name,
            text,
            found: RefCell::new(Vec::new()),
        }
    }

    /// The document, if it is TOML at all.
    pub(crate) fn parse(&self) -> Option<Spanned<DeTable<'a>>> {
        match DeTable::parse(self.text) {
            Ok(table) => Some(table),
            Err(error) => {
                let line = error.span().map(|span| self.line(&span));
                let message = error.message().to_owned();
                let mistake = Mistake::new(self.name, line, message);
                self.found.borrow_mut().push(mistake);
                None
            }
        }
    }

    /// Notes a mistake at a place in the text.
    pub(crate) fn at(&self, span: &Range<usize>, message: impl Into<String>) {
        let mistake = Mistake::new(self.name, Some(self.line(span)), message);
        self.found.borrow_mut().push(mistake);
    }

    /// The line in which the span begins, counted from 1.
    pub(crate) fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        before.bytes().filter(|byte| *byte == b'\n').count() + 1
    }

    pub(crate) fn finish(self) -> Vec<Mistake> {
        self.found.into_inner()
    }
}

impl<'a> Section<'a> {
    pub(crate) fn new(notes: &'a Notes<'a>, table: &'a DeTable<'a>, span: Range<usize>) -> Self {
        Self {
            notes,
            table,
            span,
            known: RefCell::default(),
        }
    }

    /// What stands under `key`.
    pub(crate) fn value(&self, key: &'static str) -> Option<&'a Spanned<DeValue<'a>>> {
        self.known.borrow_mut().push(key);
        self.table.get(key)
    }

    /// The table under `key`.
    pub(crate) fn section(&self, key: &'static str) -> Option<Section<'a>> {
        let value = self.value(key)?;
        let table = self.typed(key, value, "a table", DeValue::as_table)?;
        Some(Section::new(self.notes, table, value.span()))
    }

    /// The tables of the array under `key`.
    pub(crate) fn sections(&self, key: &'static str) -> Vec<Section<'a>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let all = self.typed(key, value, "an array of tables", DeValue::as_array);
        let entries = all.into_iter().flat_map(|all| all.iter());
        entries
            .filter_map(|entry| {
                let table = self.typed(key, entry, "an array of tables", DeValue::as_table)?;
                Some(Section::new(self.notes, table, entry.span()))
            })
            .collect()
    }

    /// The text under `key`, which must not be empty.
    pub(crate) fn text(&self, key: &'static str) -> Option<Placed<String>> {
        let value = self.value(key)?;
        let text = self.typed(key, value, "a string", DeValue::as_str)?;
        if text.trim().is_empty() {
            self.notes.at(&value.span(), format!("`{key}` is empty"));
            return None;
        }
        Some(Placed {
            value: text.to_owned(),
            span: value.span(),
        })
    }

    /// The text under `key`, which must be there.
    pub(crate) fn required(&self, key: &'static str) -> Option<Placed<String>> {
        if !self.table.contains_key(key) {
            self.notes.at(&self.span, format!("`{key}` is missing"));
        }
        self.text(key)
    }

    /// The texts of the list under `key`.
    pub(crate) fn texts(&self, key: &'static str) -> Option<Vec<Placed<String>>> {
        let value = self.value(key)?;
        let all = self.typed(key, value, "a list of strings", DeValue::as_array)?;
        let texts = all.iter().filter_map(|entry| {
            let text = self.typed(key, entry, "a list of strings", DeValue::as_str)?;
            Some(Placed {
                value: text.to_owned(),
                span: entry.span(),
            })
        });
        Some(texts.collect())
    }

    /// The texts of the list under `key`, without their places.
    pub(crate) fn names(&self, key: &'static str) -> Option<Vec<String>> {
        let texts = self.texts(key)?;
        Some(texts.into_iter().map(|text| text.value).collect())
    }

    /// The whole number under `key`.
    pub(crate) fn number(&self, key: &'static str) -> Option<Placed<i64>> {
        let value = self.value(key)?;
        let number = integer(value.get_ref());
        if number.is_none() {
            let message = format!("`{key}` must be a whole number");
            self.notes.at(&value.span(), message);
        }
        number.map(|number| Placed {
            value: number,
            span: value.span(),
        })
    }

    /// The yes or no under `key`.
    pub(crate) fn flag(&self, key: &'static str) -> Option<bool> {
        let value = self.value(key)?;
        self.typed(key, value, "true or false", |value| match value {
            DeValue::Boolean(flag) => Some(*flag),
            _ => None,
        })
    }

    /// All keys and values, whatever their names.
    pub(crate) fn entries(
        &self,
    ) -> impl Iterator<
        Item = (
            &'a Spanned<std::borrow::Cow<'a, str>>,
            &'a Spanned<DeValue<'a>>,
        ),
    > {
        self.table.iter()
    }

    /// Notes a mistake about this section.
    pub(crate) fn wrong(&self, message: impl Into<String>) {
        self.notes.at(&self.span, message);
    }

    /// Names every key that nobody asked for.
    pub(crate) fn finish(self) {
        let known = self.known.into_inner();
        for key in self.table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let near = nearest(key.get_ref(), known.iter().copied()).unwrap_or_default();
                let message = format!("unknown key `{}`: did you mean `{near}`?", key.get_ref());
                self.notes.at(&key.span(), message);
            }
        }
    }

    fn typed<T>(
        &self,
        key: &str,
        value: &'a Spanned<DeValue<'a>>,
        wanted: &str,
        read: impl FnOnce(&'a DeValue<'a>) -> Option<T>,
    ) -> Option<T> {
        let read = read(value.get_ref());
        if read.is_none() {
            self.notes
                .at(&value.span(), format!("`{key}` must be {wanted}"));
        }
        read
    }
}

/// The number that `value` is, in TOML's decimal form.
pub(crate) fn integer(value: &DeValue<'_>) -> Option<i64> {
    match value {
        DeValue::Integer(number) if number.radix() == 10 => {
            number.as_str().replace('_', "").parse().ok()
        }
        _ => None,
    }
}
