//! The rules of one name.

/// No more rules than this count for one name; the rule compiler refuses more.
pub(crate) const MAX_RULES: usize = 12;

/// A few rules, by their indexes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    rules: [usize; MAX_RULES],
    length: usize,
}

impl Rules {
    pub(crate) const fn is_empty(&self) -> bool {
        self.length == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.rules.into_iter().take(self.length)
    }

    /// Those of which `stays` says so.
    #[must_use]
    pub(crate) fn filter(&self, mut stays: impl FnMut(usize) -> bool) -> Self {
        self.iter().filter(|rule| stays(*rule)).collect()
    }
}

impl FromIterator<usize> for Rules {
    fn from_iter<I: IntoIterator<Item = usize>>(rules: I) -> Self {
        let mut few = Self::default();
        for (slot, rule) in few.rules.iter_mut().zip(rules) {
            *slot = rule;
            few.length += 1;
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_few_rules() {
        let many: Rules = (0..30).collect();
        assert!(many.iter().eq(0..MAX_RULES) && !many.is_empty());
        assert!(many.filter(|rule| rule > 9).iter().eq([10, 11]));
    }
}
