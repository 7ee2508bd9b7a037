//! Which rules count.

/// A set of rules, by their indexes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selection(Vec<u64>);

impl Selection {
    pub(crate) fn has(&self, rule: usize) -> bool {
        self.0
            .get(rule / 64)
            .is_some_and(|word| word & (1 << (rule % 64)) != 0)
    }

    pub(crate) fn add(&mut self, rule: usize) {
        let word = rule / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (rule % 64);
    }
}

impl FromIterator<usize> for Selection {
    fn from_iter<I: IntoIterator<Item = usize>>(rules: I) -> Self {
        let mut selection = Self::default();
        rules.into_iter().for_each(|rule| selection.add(rule));
        selection
    }
}
