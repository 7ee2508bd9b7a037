//! Patterns over names.

/// A pattern in which `*` stands for any letters, also none, and everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Glob(Vec<String>);

impl Glob {
    pub(crate) fn new(pattern: &str) -> Self {
        Self(pattern.split('*').map(str::to_owned).collect())
    }

    /// Whether `name` as a whole matches. Linear in its length for each `*`, never more.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let Some((first, rest)) = self.0.split_first() else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return name == first;
        };
        let Some(name) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some(mut name) = name.strip_suffix(last.as_str()) else {
            return false;
        };
        // The first place is as good as any: it leaves the most for the pieces behind.
        for piece in middle {
            match name.find(piece.as_str()) {
                Some(at) => name = &name[at + piece.len()..],
                None => return false,
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a pattern means, written without a thought for speed.
    fn naive(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), None) => naive(rest, name),
            (Some((b'*', rest)), Some((_, tail))) => naive(rest, name) || naive(pattern, tail),
            (Some((a, rest)), Some((b, tail))) => a == b && naive(rest, tail),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_means_what_it_says(pattern in "[ab*]{0,8}", name in "[ab*]{0,10}") {
            prop_assert_eq!(
                Glob::new(&pattern).matches(&name),
                naive(pattern.as_bytes(), name.as_bytes()),
                "{:?} {:?}", pattern, name
            );
        }
    }

    #[test]
    fn pieces_do_not_overlap() {
        assert!(!Glob::new("ab*ba").matches("aba"));
        assert!(Glob::new("claude-haiku-*").matches("claude-haiku-4-5"));
        assert!(!Glob::new("claude-haiku-*").matches("x-claude-haiku-4-5"));
    }
}
