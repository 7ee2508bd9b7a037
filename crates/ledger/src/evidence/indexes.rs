//! Sets of indexes in a log.

use std::collections::BTreeSet;

/// Indexes in ascending order, kept as runs: a whole log takes as little room as one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Indexes {
    /// First and last of each run; between two runs there is a gap.
    runs: Vec<(u64, u64)>,
}

impl Indexes {
    /// No index.
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// Reads the runs that [`runs`](Self::runs) has.
    pub(super) fn from_runs(runs: Vec<(u64, u64)>) -> Option<Self> {
        let apart = |pair: &[(u64, u64)]| pair[0].1.saturating_add(1) < pair[1].0;
        let ordered = runs.iter().all(|(first, last)| first <= last);
        (ordered && runs.windows(2).all(apart)).then_some(Self { runs })
    }

    /// Adds an index above all others. Returns whether it is.
    pub fn push(&mut self, index: u64) -> bool {
        match self.runs.last_mut() {
            Some((_, last)) if index <= *last => return false,
            Some((_, last)) if index == *last + 1 => *last = index,
            _ => self.runs.push((index, index)),
        }
        true
    }

    /// These and some that are none of them.
    #[must_use]
    pub fn with(&self, others: &BTreeSet<u64>) -> Self {
        let mut all = Self::new();
        let mut others = others.iter().copied().peekable();
        for index in self.iter() {
            while let Some(other) = others.next_if(|other| *other < index) {
                all.push(other);
            }
            all.push(index);
        }
        others.for_each(|other| {
            all.push(other);
        });
        all
    }

    /// Whether the index is one of them.
    pub fn contains(&self, index: u64) -> bool {
        let after = self.runs.partition_point(|(first, _)| *first <= index);
        after > 0 && index <= self.runs[after - 1].1
    }

    /// How many they are.
    pub fn len(&self) -> u64 {
        let runs = self.runs.iter();
        runs.fold(0, |sum, (first, last)| {
            sum.saturating_add((last - first).saturating_add(1))
        })
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// The largest.
    pub fn last(&self) -> Option<u64> {
        self.runs.last().map(|(_, last)| *last)
    }

    /// All of them, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u64> {
        self.runs.iter().flat_map(|(first, last)| *first..=*last)
    }

    /// First and last of each run.
    pub fn runs(&self) -> &[(u64, u64)] {
        &self.runs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run() {
        let mut indexes = Indexes::new();
        assert_eq!((indexes.len(), indexes.last()), (0, None));
        for index in [0, 1, 2, 5, 7, 8] {
            assert!(indexes.push(index));
        }
        assert!(!indexes.push(8));
        assert_eq!(indexes.runs(), [(0, 2), (5, 5), (7, 8)]);
        assert_eq!(indexes.len(), 6);
        assert_eq!(indexes.iter().collect::<Vec<_>>(), [0, 1, 2, 5, 7, 8]);
        let inside: Vec<u64> = (0..12).filter(|n| indexes.contains(*n)).collect();
        assert_eq!(inside, [0, 1, 2, 5, 7, 8]);
        let with = indexes.with(&[3, 6, 12].into());
        assert_eq!(with.runs(), [(0, 3), (5, 8), (12, 12)]);
        assert_eq!(Indexes::from_runs(indexes.runs.clone()), Some(indexes));
        for runs in [vec![(2, 1)], vec![(0, 1), (2, 3)], vec![(4, 5), (1, 2)]] {
            assert_eq!(Indexes::from_runs(runs), None);
        }
    }
}
