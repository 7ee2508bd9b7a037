//! Findings, counted.

use std::collections::HashMap;

use tollbook_exchange::Finding;

use crate::{engine::Engine, profile::Profile};

/// More different places than this are counted as one, so that a document cannot make its own
/// report large.
const MAX_PLACES: usize = 256;

/// What was found where, and how often.
#[derive(Debug, Default)]
pub(crate) struct Found {
    counts: HashMap<(usize, String), u32>,
}

impl Found {
    /// Counts matches of a rule at a place within the text.
    pub(crate) fn add(&mut self, rule: usize, path: &str, count: u32) {
        let mut key = (rule, path.to_owned());
        if self.counts.len() >= MAX_PLACES && !self.counts.contains_key(&key) {
            key.1 = "*".to_owned();
        }
        let known = self.counts.entry(key).or_default();
        *known = known.saturating_add(count);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        for ((rule, path), count) in other.counts {
            self.add(rule, &path, count);
        }
    }

    /// What was found, without a certain order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, &str, u32)> {
        self.counts
            .iter()
            .map(|((rule, path), count)| (*rule, &**path, *count))
    }

    /// The findings; `place` names the text as a whole. Their order is that of rules and places.
    pub(crate) fn findings(&self, engine: &Engine, profile: &Profile, place: &str) -> Vec<Finding> {
        let mut counts: Vec<_> = self.counts.iter().collect();
        counts.sort_unstable();
        counts
            .into_iter()
            .map(|((rule, path), count)| {
                let place = if path.is_empty() {
                    place.to_owned()
                } else {
                    format!("{place}:{path}")
                };
                Finding::new(
                    &*engine.rules[*rule].id,
                    place,
                    profile.operator(*rule),
                    *count,
                )
            })
            .collect()
    }
}
