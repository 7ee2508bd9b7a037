//! From budgets to an engine that keeps them.

use std::{collections::HashSet, fmt, time::Duration};

use crate::{Budget, Budgets, Clock, Prices, PricesError, RepeatLimit, SystemClock};

/// Gathers budgets for [`Budgets`].
#[must_use]
pub struct BudgetsBuilder {
    pub(crate) budgets: Vec<Budget>,
    pub(crate) repeat: Option<RepeatLimit>,
    pub(crate) prices: Option<Prices>,
    pub(crate) clock: Box<dyn Clock>,
    pub(crate) counters: usize,
}

impl BudgetsBuilder {
    pub(crate) fn new() -> Self {
        Self {
            budgets: Vec::new(),
            repeat: None,
            prices: None,
            clock: Box::new(SystemClock::new()),
            counters: 10_000,
        }
    }

    /// One more budget. A request has to be within all that are for it.
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budgets.push(budget);
        self
    }

    /// Breaks loops of identical tool calls.
    pub const fn repeat(mut self, limit: RepeatLimit) -> Self {
        self.repeat = Some(limit);
        self
    }

    /// Other prices than the [built-in ones](Prices::built_in).
    pub fn prices(mut self, prices: Prices) -> Self {
        self.prices = Some(prices);
        self
    }

    /// Another clock than the system's.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.clock = Box::new(clock);
        self
    }

    /// How many counters each budget keeps at most: 10,000 unless told. Beyond that the ones that
    /// were not used for the longest time are forgotten, except those whose limit is reached.
    pub const fn counters(mut self, most: usize) -> Self {
        self.counters = most;
        self
    }

    /// The engine.
    ///
    /// # Errors
    ///
    /// When anything is wrong with the budgets; the error lists every mistake.
    pub fn build(self) -> Result<Budgets, BuildError> {
        let mut mistakes = Vec::new();
        let mut ids = HashSet::new();
        for budget in &self.budgets {
            let mut mistake = |text: &str| mistakes.push(format!("budget {:?}: {text}", budget.id));
            if !is_id(&budget.id) {
                mistake("an id has 1 to 64 letters, digits, '.', '_' and '-'");
            }
            if !ids.insert(budget.id.as_str()) {
                mistake("the id is taken");
            }
            if !(Duration::from_secs(1)..=LONGEST).contains(&budget.window) {
                mistake("the window must be from one second to 366 days");
            }
            let limits = [
                budget.limits.requests,
                budget.limits.tokens,
                budget.limits.cost,
            ];
            if limits == [None; 3] {
                mistake("there is no limit on requests, tokens or cost");
            }
            if limits.contains(&Some(0)) {
                mistake("a limit of 0 lets nothing pass; forbid it in a policy instead");
            }
            if budget.groups.as_ref().is_some_and(|it| it.is_empty()) {
                mistake("the list of groups is empty, so it is for nobody");
            }
            let reason = budget.reason.as_deref().unwrap_or("-");
            if reason.trim().is_empty() || reason.chars().any(char::is_control) {
                mistake("the reason must be one line of text");
            }
        }
        if let Some(repeat) = &self.repeat {
            if repeat.calls == 0 {
                mistakes.push("repeat: no tool call could be made even once".to_owned());
            }
            if !(Duration::from_secs(1)..=Duration::from_secs(DAY)).contains(&repeat.pause) {
                mistakes.push("repeat: the pause must be from one second to a day".to_owned());
            }
        }
        if self.counters == 0 {
            mistakes.push("at least one counter must be kept".to_owned());
        }
        if !mistakes.is_empty() {
            return Err(BuildError(mistakes));
        }
        let prices = match self.prices.clone() {
            Some(prices) => prices,
            None => Prices::built_in()?,
        };
        Ok(Budgets::new(self, prices))
    }
}

impl fmt::Debug for BudgetsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BudgetsBuilder")
            .field("budgets", &self.budgets)
            .field("repeat", &self.repeat)
            .finish_non_exhaustive()
    }
}

/// Everything that is wrong with the budgets. Its text is one line for each mistake.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct BuildError(Vec<String>);

impl BuildError {
    /// Every mistake.
    pub fn mistakes(&self) -> &[String] {
        &self.0
    }
}

impl From<PricesError> for BuildError {
    fn from(error: PricesError) -> Self {
        Self(vec![error.to_string()])
    }
}

/// Ids stand in messages, logs and snapshots.
fn is_id(id: &str) -> bool {
    let plain = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'_' | b'-');
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

const DAY: u64 = 24 * 60 * 60;
const LONGEST: Duration = Duration::from_secs(366 * DAY);

#[cfg(test)]
mod tests {
    use crate::Per;

    use super::*;

    #[test]
    fn every_mistake_is_told() {
        let hour = Duration::from_secs(3600);
        let error = Budgets::builder()
            .budget(Budget::new("good", Per::Principal, hour).requests(1))
            .budget(Budget::new("good", Per::Principal, hour).requests(1))
            .budget(Budget::new("a b", Per::Principal, hour).tokens(1))
            .budget(Budget::new("none", Per::Group, hour))
            .budget(Budget::new("zero", Per::Group, hour).cost(0))
            .budget(Budget::new("short", Per::Session, Duration::ZERO).cost(1))
            .budget(
                Budget::new("nobody", Per::Group, hour)
                    .cost(1)
                    .groups([""; 0]),
            )
            .budget(
                Budget::new("lines", Per::Group, hour)
                    .cost(1)
                    .reason("a\nb"),
            )
            .repeat(RepeatLimit::new(0).pause(Duration::ZERO))
            .counters(0)
            .build()
            .unwrap_err();
        let expected = [
            "budget \"good\": the id is taken",
            "budget \"a b\": an id has 1 to 64 letters, digits, '.', '_' and '-'",
            "budget \"none\": there is no limit on requests, tokens or cost",
            "budget \"zero\": a limit of 0 lets nothing pass; forbid it in a policy instead",
            "budget \"short\": the window must be from one second to 366 days",
            "budget \"nobody\": the list of groups is empty, so it is for nobody",
            "budget \"lines\": the reason must be one line of text",
            "repeat: no tool call could be made even once",
            "repeat: the pause must be from one second to a day",
            "at least one counter must be kept",
        ];
        assert_eq!(error.mistakes(), expected);
    }
}
