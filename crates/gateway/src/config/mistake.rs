//! What is wrong with a configuration, all of it at once.

use std::{fmt, path::PathBuf};

/// A value and the line that gives it, for mistakes that are found when it is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The line in the file, counted from 1; `None` for what no line gives.
    pub line: Option<usize>,
    /// The value.
    pub value: T,
}

/// One mistake, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line in the file, counted from 1; `None` for what is missing as a whole or comes from
    /// the environment.
    pub line: Option<usize>,
    /// What is wrong and what would be right. Never the value of a credential.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// Every mistake of a configuration, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    /// The file, where there is one.
    pub file: Option<PathBuf>,
    /// The mistakes; never empty.
    pub all: Vec<Mistake>,
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.all.len();
        let noun = if count == 1 { "mistake" } else { "mistakes" };
        match &self.file {
            Some(file) => write!(f, "{count} {noun} in {}", file.display())?,
            None => write!(f, "{count} {noun} in the configuration")?,
        }
        self.all
            .iter()
            .try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

impl std::error::Error for Mistakes {}

/// The known word that is nearest to `word`, if any is near enough to be what was meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|known| (strsim::levenshtein(word, known), known))
        .filter(|(distance, known)| *distance <= 1 + known.len() / 3)
        .min()
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_offered_only_when_it_is_near() {
        let known = ["listen", "admin", "data"];
        assert_eq!(nearest("lisen", known), Some("listen"));
        assert_eq!(nearest("dta", known), Some("data"));
        assert_eq!(nearest("frobnicate", known), None);
    }
}
