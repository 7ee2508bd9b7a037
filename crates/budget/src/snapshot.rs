//! Counters that outlive a restart.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::{
    Amounts, Budgets, Per,
    counters::{Counter, Counters, Key},
    window::{Grid, Window},
};

impl Budgets {
    /// All counters and pauses, as bytes for [`restore`](Self::restore). They name callers, groups
    /// and sessions, and hold no secret.
    ///
    /// What requests under way hold back is in it as spent: should the process end now, nobody will
    /// ever know what they took.
    pub fn snapshot(&self) -> Vec<u8> {
        let (state, now) = self.state();
        let budgets = self.0.rules.iter().zip(&state.counters);
        let budgets = budgets
            .map(|(rule, counters)| {
                let slot = rule.grid.slot(now);
                let counters = counters
                    .iter()
                    .map(|(key, counter)| {
                        let mut window = counter.window.clone();
                        window.advance(slot);
                        window.add(slot, counter.held);
                        SavedCounter {
                            key: key.clone(),
                            last: counter.last,
                            slots: window.slots().map(SavedSlot::from).collect(),
                        }
                    })
                    .filter(|counter| !counter.slots.is_empty())
                    .collect();
                SavedBudget {
                    id: rule.budget.id.clone(),
                    per: rule.budget.per.as_str().to_owned(),
                    width: rule.grid.width(),
                    counters,
                }
            })
            .collect();
        let pauses = state.pauses.iter();
        let saved = Saved {
            version: VERSION,
            at: now,
            budgets,
            pauses: pauses.map(|(key, until)| (key.clone(), *until)).collect(),
        };
        drop(state);
        // Numbers and texts under known names: there is nothing that JSON cannot hold.
        serde_json::to_vec(&saved).unwrap_or_default()
    }

    /// Puts counters back as they were, in place of those that there are. To be called before the
    /// first [`check`](Self::check).
    ///
    /// Budgets go by their ids: those that are new begin with nothing spent, and the counters of
    /// those that are gone, or are per something else now, are forgotten. A window that has become
    /// longer or shorter keeps what still is in it. If the clock is behind the time of the snapshot,
    /// the snapshot counts as made now.
    ///
    /// # Errors
    ///
    /// When `bytes` are no snapshot, in which case nothing is changed.
    pub fn restore(&self, bytes: &[u8]) -> Result<(), RestoreError> {
        let saved: Saved = serde_json::from_slice(bytes).map_err(|_| RestoreError(()))?;
        if saved.version != VERSION {
            return Err(RestoreError(()));
        }
        let (mut state, now) = self.state();
        let ahead = saved.at.saturating_sub(now).max(0);
        let mut by_id: HashMap<String, SavedBudget> = (saved.budgets.into_iter())
            .map(|budget| (budget.id.clone(), budget))
            .collect();
        state.counters = (self.0.rules.iter())
            .map(|rule| {
                let saved = by_id.remove(&rule.budget.id);
                saved.map_or_else(Counters::default, |saved| {
                    saved.counters(rule.budget.per, rule.grid, now, ahead, self.0.most)
                })
            })
            .collect();
        state.pauses = (saved.pauses.into_iter())
            .map(|(key, until)| (key, until.saturating_sub(ahead)))
            .take(self.0.most)
            .collect();
        state.revision += 1;
        Ok(())
    }
}

/// The bytes are not a snapshot that this build can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a snapshot of budgets that this build can read")]
pub struct RestoreError(());

#[derive(Serialize, Deserialize)]
struct Saved {
    version: u32,
    /// When it was made, in microseconds since 1970.
    at: i64,
    budgets: Vec<SavedBudget>,
    pauses: Vec<(Key, i64)>,
}

#[derive(Serialize, Deserialize)]
struct SavedBudget {
    id: String,
    per: String,
    /// Microseconds.
    width: i64,
    counters: Vec<SavedCounter>,
}

#[derive(Serialize, Deserialize)]
struct SavedCounter {
    key: Key,
    last: i64,
    slots: Vec<SavedSlot>,
}

/// A slot with its requests, tokens and cost. There are many of them, so they have no names.
#[derive(Serialize, Deserialize)]
struct SavedSlot(i64, u64, u64, u64);

impl From<&(i64, Amounts)> for SavedSlot {
    fn from((slot, amounts): &(i64, Amounts)) -> Self {
        Self(*slot, amounts.requests, amounts.tokens, amounts.cost)
    }
}

impl SavedBudget {
    /// The counters in the grid of today, with their times moved back by `ahead`.
    fn counters(self, per: Per, grid: Grid, now: i64, ahead: i64, most: usize) -> Counters {
        let mut counters = Counters::default();
        let Some(old) = Grid::with_width(self.width).filter(|_| self.per == per.as_str()) else {
            return counters;
        };
        let current = grid.slot(now);
        let mut saved = self.counters;
        // Fewer may be kept than were: the ones used last.
        saved.sort_unstable_by_key(|counter| std::cmp::Reverse(counter.last));
        for counter in saved.into_iter().take(most) {
            let mut window = Window::default();
            for SavedSlot(slot, requests, tokens, cost) in counter.slots {
                let amounts = Amounts {
                    requests,
                    tokens,
                    cost,
                };
                // Whatever was spent in a slot may have been at its end.
                let latest = old.end(slot).saturating_sub(ahead).min(now);
                window.add(grid.slot(latest), amounts);
            }
            window.advance(current);
            let restored = Counter {
                window,
                last: counter.last.saturating_sub(ahead).min(now),
                ..Counter::default()
            };
            counters.insert(counter.key, restored);
        }
        counters
    }
}

const VERSION: u32 = 1;
