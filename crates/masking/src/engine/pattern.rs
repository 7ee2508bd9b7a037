//! Anchored regular expressions of bounded length.

use crate::engine::{class::Class, window::Window};

/// A regular expression that is tried at one place and never searches.
#[derive(Debug)]
pub(crate) struct Pattern {
    min: usize,
    max: usize,
}

/// How far a pattern reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    No,
    NotYet,
    /// The longest match ends here.
    End(usize),
}

impl Pattern {
    pub(crate) fn parse(_text: &str) -> Result<Self, String> {
        Err("patterns cannot be read".to_owned())
    }

    /// The longest match that begins at `at`.
    pub(crate) fn longest(&self, _window: &Window<'_>, _at: usize) -> Reach {
        Reach::No
    }

    /// The length of the shortest match.
    pub(crate) const fn min(&self) -> usize {
        self.min
    }

    /// The length of the longest match.
    pub(crate) const fn max(&self) -> usize {
        self.max
    }

    /// What the first bytes of a match may be, as far as every match has so many.
    pub(crate) fn starts(&self) -> Vec<Class> {
        Vec::new()
    }
}
