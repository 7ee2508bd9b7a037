//! Texts, and what is to be said of them.

use std::collections::BTreeSet;

use serde::Deserialize;
use tollbook_sql::{Dialect, Settings, Statement, Statements};

/// A file of cases.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    dialect: String,
    case: Vec<Case>,
}

/// A text and what is to be said of it; `testdata/README.md` has the keys.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) text: String,
    #[serde(default)]
    why: String,
    #[serde(default = "one")]
    pub(crate) count: usize,
    class: Option<String>,
    kinds: Option<Vec<String>>,
    unknown: Option<BTreeSet<String>>,
    read: Option<BTreeSet<String>>,
    written: Option<BTreeSet<String>>,
    functions: Option<BTreeSet<String>>,
    side_effects: Option<BTreeSet<String>>,
    settings: Option<BTreeSet<String>>,
    unbounded: Option<bool>,
    locks: Option<bool>,
    meaning: Option<bool>,
    #[serde(default = "yes")]
    pub(crate) server: bool,
    #[serde(default = "yes")]
    conforming: bool,
    #[serde(default)]
    ansi_quotes: bool,
    #[serde(default)]
    no_backslash_escapes: bool,
}

fn one() -> usize {
    1
}

fn yes() -> bool {
    true
}

impl Case {
    pub(crate) fn before(&self) -> Settings {
        Settings {
            standard_conforming_strings: self.conforming,
            ansi_quotes: self.ansi_quotes,
            no_backslash_escapes: self.no_backslash_escapes,
            ..Settings::default()
        }
    }

    /// What differs from what is said of it.
    fn wrong(&self, dialect: Dialect) -> Vec<String> {
        let read = Statements::read(dialect, &self.text, &self.before());
        let set = |of: &dyn Fn(&Statement) -> BTreeSet<String>| -> BTreeSet<String> {
            read.iter().flat_map(of).collect()
        };
        let any = |of: &dyn Fn(&Statement) -> bool| read.iter().any(of);
        let unknown = |of: &Statement| {
            of.unknown
                .iter()
                .map(|why| why.as_str().to_owned())
                .collect()
        };
        let kinds: Vec<_> = read.iter().map(|of| of.kind.as_str().to_owned()).collect();
        let mut wrong = Vec::new();
        let mut same = |what: &str, told: Option<String>, found: String| {
            if told.as_ref().is_some_and(|told| *told != found) {
                wrong.push(format!("{what} is {found}, not {}", told.unwrap()));
            }
        };
        let told = |set: &Option<BTreeSet<String>>| set.as_ref().map(|set| format!("{set:?}"));
        let found = |set: BTreeSet<String>| format!("{set:?}");
        let flag = |flag: Option<bool>| flag.map(|flag| flag.to_string());
        same(
            "count",
            Some(self.count.to_string()),
            read.len().to_string(),
        );
        same(
            "class",
            self.class.clone(),
            read.class().as_str().to_owned(),
        );
        same(
            "kinds",
            self.kinds.as_ref().map(|kinds| format!("{kinds:?}")),
            format!("{kinds:?}"),
        );
        same("unknown", told(&self.unknown), found(set(&unknown)));
        same(
            "read",
            told(&self.read),
            found(set(&|of| of.relations_read.clone())),
        );
        same(
            "written",
            told(&self.written),
            found(set(&|of| of.relations_written.clone())),
        );
        same(
            "functions",
            told(&self.functions),
            found(set(&|of| of.functions.clone())),
        );
        same(
            "side_effects",
            told(&self.side_effects),
            found(set(&|of| of.side_effects.clone())),
        );
        same(
            "settings",
            told(&self.settings),
            found(set(&|of| of.settings.clone())),
        );
        same(
            "unbounded",
            flag(self.unbounded),
            any(&|of| of.unbounded).to_string(),
        );
        same(
            "locks",
            flag(self.locks),
            any(&|of| of.locks_rows).to_string(),
        );
        same(
            "meaning",
            flag(self.meaning),
            any(&|of| of.changes_meaning).to_string(),
        );
        if !wrong.is_empty() {
            let reasons = found(set(&unknown));
            wrong.push(format!("unknown: {reasons}"));
        }
        wrong
    }
}

/// The cases of a dialect.
pub(crate) fn cases(dialect: Dialect) -> Vec<Case> {
    let (text, name) = match dialect {
        Dialect::Postgres => (
            include_str!("../../testdata/corpus/postgres.toml"),
            "postgres",
        ),
        _ => (include_str!("../../testdata/corpus/mysql.toml"), "mysql"),
    };
    let file: File = toml::from_str(text).unwrap();
    assert_eq!(file.dialect, name);
    file.case
}

#[test]
fn every_text_is_what_the_corpus_says() {
    let mut all = Vec::new();
    for dialect in [Dialect::Postgres, Dialect::MySql] {
        for case in cases(dialect) {
            let wrong = case.wrong(dialect);
            if !wrong.is_empty() {
                all.push(format!(
                    "{dialect:?}: {:?} ({}): {}",
                    case.text,
                    case.why,
                    wrong.join("; ")
                ));
            }
        }
    }
    assert!(all.is_empty(), "{}\n{}", all.len(), all.join("\n"));
}
