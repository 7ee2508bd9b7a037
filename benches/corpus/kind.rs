//! Kinds of values that must not be seen.

use super::{
    form::{self, Value},
    personal,
    random::Random,
    secrets,
};

/// What must stand beside a value so that a reader knows it for what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Nothing: its form tells.
    Nothing,
    /// A word before it on the same line that names it.
    Word,
    /// A key that it is the value of.
    Key,
}

/// Who a kind belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A secret whose form its maker has described, or that stands under its maker's name.
    Structured,
    /// A secret without a form: a password, a key of one's own.
    Generic,
    /// Personal data with a checksum, or whose form says as much.
    Checksummed,
    /// Other personal data.
    Personal,
}

impl Class {
    /// The name in a report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Structured => "structured secrets",
            Self::Generic => "generic secrets",
            Self::Checksummed => "checksummed personal data",
            Self::Personal => "other personal data",
        }
    }
}

/// One kind of value.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name, such as `github-pat`.
    pub name: &'static str,
    /// What it is counted with, such as `forge`.
    pub family: &'static str,
    /// Who it belongs to.
    pub class: Class,
    /// What must stand beside it.
    pub need: Need,
    /// What people call it: words, several of them apart by `|`.
    pub words: &'static str,
    make: Make,
}

/// How a value is made up.
#[derive(Clone, Copy, Debug)]
pub(super) enum Make {
    Form(&'static str),
    Code(fn(&mut Random) -> String),
}

impl Kind {
    pub(super) const fn new(
        (name, family): (&'static str, &'static str),
        class: Class,
        (need, words): (Need, &'static str),
        make: Make,
    ) -> Self {
        Self {
            name,
            family,
            class,
            need,
            words,
            make,
        }
    }

    /// Every kind of secret.
    pub fn secrets() -> Vec<Self> {
        secrets::all()
    }

    /// Every kind of personal data.
    pub fn personal() -> Vec<Self> {
        personal::all()
    }

    /// A value of this kind.
    pub fn value(&self, random: &mut Random) -> Value {
        match self.make {
            Make::Form(form) => form::value(form, random),
            Make::Code(code) => Value::marked(&code(random)),
        }
    }

    /// One of the names it goes by, in words.
    pub fn name_in_words(&self, random: &mut Random) -> String {
        let all: Vec<&str> = self.words.split('|').collect();
        match random.pick(&all) {
            "" => self.name.replace('-', " "),
            words => words.to_owned(),
        }
    }
}
