//! A sum over the last stretch of time.
//!
//! A window of length `W` is cut into [`SLOTS`] slots of `⌈W / SLOTS⌉`. What happens in a slot counts
//! as long as the slot is among the current one and the [`SLOTS`] before it: for at least `W` and at
//! most `W` and one slot. So no stretch of length `W` ever holds more than the limit, and what was
//! spent is free again one slot late at the most.

use std::{collections::VecDeque, time::Duration};

/// Amounts of the three things that a budget may limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Requests.
    pub requests: u64,
    /// Tokens, weighted as the budget says.
    pub tokens: u64,
    /// Cost in millionths of a US dollar.
    pub cost: u64,
}

impl Amounts {
    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.requests = self.requests.saturating_add(more.requests);
        self.tokens = self.tokens.saturating_add(more.tokens);
        self.cost = self.cost.saturating_add(more.cost);
    }

    pub(crate) fn subtract(&mut self, less: Self) {
        self.requests = self.requests.saturating_sub(less.requests);
        self.tokens = self.tokens.saturating_sub(less.tokens);
        self.cost = self.cost.saturating_sub(less.cost);
    }
}

/// How a window is cut. Times are microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    width: i64,
}

impl Grid {
    /// The grid of a window of this length, which is at least a microsecond for each slot.
    pub(crate) fn of(window: Duration) -> Self {
        let micros = i64::try_from(window.as_micros()).unwrap_or(i64::MAX - SLOTS);
        Self {
            width: ((micros.max(1) + SLOTS - 1) / SLOTS).max(1),
        }
    }

    /// The grid with slots of this width in microseconds.
    pub(crate) const fn with_width(width: i64) -> Option<Self> {
        if width > 0 {
            Some(Self { width })
        } else {
            None
        }
    }

    pub(crate) const fn width(self) -> i64 {
        self.width
    }

    /// The slot that this time is in.
    pub(crate) const fn slot(self, time: i64) -> i64 {
        time.div_euclid(self.width)
    }

    /// The last microsecond of a slot.
    pub(crate) const fn end(self, slot: i64) -> i64 {
        slot.saturating_add(1).saturating_mul(self.width) - 1
    }

    /// From when on a slot does not count any more.
    pub(crate) const fn free(self, slot: i64) -> i64 {
        slot.saturating_add(SLOTS + 1).saturating_mul(self.width)
    }
}

/// What was spent, by slot. Only slots in which something was are kept.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    slots: VecDeque<(i64, Amounts)>,
    total: Amounts,
}

impl Window {
    /// Forgets what does not count any more in the slot `now`.
    pub(crate) fn advance(&mut self, now: i64) {
        while let Some((slot, amounts)) = self.slots.front()
            && now.saturating_sub(*slot) > SLOTS
        {
            self.total.subtract(*amounts);
            self.slots.pop_front();
        }
    }

    /// Counts `amounts` in `slot`, which is not before the last one.
    pub(crate) fn add(&mut self, slot: i64, amounts: Amounts) {
        if amounts.is_zero() {
            return;
        }
        self.total.add(amounts);
        match self.slots.back_mut() {
            Some((last, sum)) if *last >= slot => sum.add(amounts),
            _ => self.slots.push_back((slot, amounts)),
        }
    }

    /// Takes back what was counted in `slot`, if that still counts.
    pub(crate) fn take_back(&mut self, slot: i64, amounts: Amounts) {
        if let Some((_, sum)) = self.slots.iter_mut().find(|(at, _)| *at == slot) {
            sum.subtract(amounts);
            self.total.subtract(amounts);
        }
    }

    pub(crate) const fn total(&self) -> Amounts {
        self.total
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &(i64, Amounts)> {
        self.slots.iter()
    }

    /// From when on at most `rest` is left of what `of` reads: the end of the oldest slots that
    /// have to go. `None` when nothing in the window is in the way.
    pub(crate) fn at_most(&self, rest: u64, of: fn(&Amounts) -> u64, grid: Grid) -> Option<i64> {
        let mut left = of(&self.total);
        for (slot, amounts) in &self.slots {
            if left <= rest {
                return None;
            }
            left = left.saturating_sub(of(amounts));
            if left <= rest {
                return Some(grid.free(*slot));
            }
        }
        None
    }
}

/// Into how many slots a window is cut.
pub(crate) const SLOTS: i64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(requests: u64) -> Amounts {
        Amounts {
            requests,
            ..Amounts::default()
        }
    }

    #[test]
    fn what_was_spent_counts_for_the_window_and_a_slot_at_most() {
        let grid = Grid::of(Duration::from_secs(60));
        let second = 1_000_000;
        assert_eq!(grid.width(), second);
        let mut window = Window::default();
        window.add(grid.slot(7 * second + 900_000), requests(1));
        window.advance(grid.slot(67 * second + 900_000));
        assert_eq!(window.total().requests, 1, "exactly a window later");
        assert_eq!(window.at_most(0, |it| it.requests, grid), Some(68 * second));
        window.advance(grid.slot(68 * second));
        assert_eq!(window.total().requests, 0);
    }

    #[test]
    fn a_window_waits_for_as_many_slots_as_are_in_the_way() {
        let grid = Grid::of(Duration::from_secs(60));
        let mut window = Window::default();
        for slot in [3, 5, 9] {
            window.add(slot, requests(2));
        }
        let free = |rest| window.at_most(rest, |it| it.requests, grid);
        assert_eq!(free(6), None);
        assert_eq!(free(5), Some(64_000_000));
        assert_eq!(free(4), Some(64_000_000));
        assert_eq!(free(3), Some(66_000_000));
        assert_eq!(free(0), Some(70_000_000));
    }

    #[test]
    fn a_grid_covers_its_window_whatever_its_length() {
        for micros in [1, 59, 60, 61, 1_000_001, 86_400_000_000] {
            let grid = Grid::of(Duration::from_micros(micros));
            assert!(grid.width() * SLOTS >= i64::try_from(micros).unwrap());
            assert!(grid.end(grid.slot(-1)) >= -1);
        }
    }
}
