//! The claims that policies and the record may see.

use std::collections::BTreeSet;

/// Names of claims, some of them by their beginning.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    names: BTreeSet<String>,
    beginnings: Vec<String>,
}

impl Kept {
    /// Whether the claim is kept.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.names.contains(name) || self.beginnings.iter().any(|start| name.starts_with(start))
    }
}

impl<S: AsRef<str>> FromIterator<S> for Kept {
    fn from_iter<I: IntoIterator<Item = S>>(names: I) -> Self {
        let mut kept = Self::default();
        for name in names {
            match name.as_ref().strip_suffix('*') {
                Some(beginning) => kept.beginnings.push(beginning.to_owned()),
                None => {
                    kept.names.insert(name.as_ref().to_owned());
                }
            }
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_at_the_end_stands_for_any_rest() {
        let kept = Kept::from_iter(["ref", "repo_property_*"]);
        for (name, is_kept) in [
            ("ref", true),
            ("ref_type", false),
            ("repo_property_team", true),
            ("repo_property", false),
            ("x_repo_property_team", false),
        ] {
            assert_eq!(kept.has(name), is_kept, "{name}");
        }
    }
}
