//! The engine: may it be spent, and what was.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tollbook_exchange::Code;

use crate::{
    Admission, Amounts, Ask, Budget, BudgetsBuilder, Clock, Prices, Refused, RepeatLimit,
    admission::Taken,
    batch::Batch,
    budget::Kind,
    counters::{At, Counter, Counters, Key},
    window::Grid,
};

/// Keeps callers within their budgets, and breaks loops.
///
/// A handle: clones share their counters. It does no I/O and never waits for anything but itself.
#[derive(Clone)]
pub struct Budgets(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) rules: Vec<Rule>,
    repeat: Option<RepeatLimit>,
    pub(crate) prices: Prices,
    clock: Box<dyn Clock>,
    pub(crate) most: usize,
    state: Mutex<State>,
}

/// A budget and how its window is cut.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) budget: Budget,
    pub(crate) grid: Grid,
}

#[derive(Debug, Default)]
pub(crate) struct State {
    /// The latest time that was seen, in microseconds since 1970.
    pub(crate) now: i64,
    /// Goes up with every change.
    pub(crate) revision: u64,
    /// For each rule.
    pub(crate) counters: Vec<Counters>,
    /// Until when sessions in a loop have to pause.
    pub(crate) pauses: HashMap<Key, i64>,
}

impl Budgets {
    /// No budgets yet, which is no limit.
    pub fn builder() -> BudgetsBuilder {
        BudgetsBuilder::new()
    }

    pub(crate) fn new(builder: BudgetsBuilder, prices: Prices) -> Self {
        let rules: Vec<Rule> = (builder.budgets.into_iter())
            .map(|budget| Rule {
                grid: Grid::of(budget.window),
                budget,
            })
            .collect();
        let state = State {
            counters: rules.iter().map(|_| Counters::default()).collect(),
            ..State::default()
        };
        Self(Arc::new(Inner {
            rules,
            repeat: builder.repeat,
            prices,
            clock: builder.clock,
            most: builder.counters,
            state: Mutex::new(state),
        }))
    }

    /// Counts one request in every budget that is for it, if it is within all of them. A batch
    /// counts as [`Budget`] says.
    ///
    /// Counting and looking are one step: of any number of requests at once, exactly as many pass
    /// as a limit on requests says. One that is refused is counted nowhere.
    ///
    /// # Errors
    ///
    /// [`Refused`] when the agent runs in a loop, when a budget is spent (of several, the one that
    /// takes longest), or when there are more counters than may be kept and none can be forgotten.
    pub fn check(&self, ask: &Ask<'_>) -> Result<Admission, Refused> {
        let inner = &*self.0;
        let now = inner.clock.now().as_micros();
        let batch = ask.batch(&inner.prices);
        let mut wanted = inner.wanted(ask, batch.as_ref());
        let mut state = inner.lock();
        let now = state.tick(now);
        let paused = inner.paused(&mut state, ask, now)?;

        let refusals = wanted
            .iter()
            .filter_map(|it| inner.refusal(&mut state, it, batch.is_some(), now));
        if let Some((_, refused)) = refusals.max_by_key(|(free, _)| *free) {
            return Err(refused);
        }
        for index in 0..wanted.len() {
            if let Err(refused) = inner.take(&mut state, &mut wanted[index], now) {
                for taken in &wanted[..index] {
                    inner.put_back(&mut state, taken, now);
                }
                return Err(refused);
            }
        }
        if let Some((key, until)) = paused {
            state.pauses.insert(key, until);
        }
        state.revision += 1;
        drop(state);
        Ok(Admission::new(self.clone(), wanted, batch))
    }

    /// What has been spent, by budget and then by whom: at most `limit` counters.
    pub fn standing(&self, limit: usize) -> Vec<Standing> {
        let inner = &*self.0;
        let now = inner.clock.now().as_micros();
        let mut state = inner.lock();
        let now = state.tick(now);
        let mut all = Vec::new();
        for (rule, counters) in inner.rules.iter().zip(&state.counters) {
            let slot = rule.grid.slot(now);
            let mut some: Vec<Standing> = (counters.iter())
                .map(|(key, counter)| {
                    let mut window = counter.window.clone();
                    window.advance(slot);
                    Standing::new(&rule.budget, key, window.total(), counter.held)
                })
                .filter(|standing| standing.spent != Amounts::default())
                .collect();
            some.sort_unstable_by(|a, b| a.who.cmp(&b.who));
            some.truncate(limit - all.len());
            all.append(&mut some);
        }
        all
    }

    /// Goes up with every change, so that who keeps [snapshots](Self::snapshot) can tell whether
    /// there is anything to keep.
    pub fn revision(&self) -> u64 {
        self.0.lock().revision
    }

    pub(crate) fn state(&self) -> (MutexGuard<'_, State>, i64) {
        let now = self.0.clock.now().as_micros();
        let mut state = self.0.lock();
        let now = state.tick(now);
        (state, now)
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Sums are changed in steps that cannot panic half-way.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where the request will be counted, and what it holds back.
    fn wanted(&self, ask: &Ask<'_>, batch: Option<&Batch>) -> Vec<Taken> {
        let mut most = None;
        let mut wanted = Vec::new();
        for (index, Rule { budget, .. }) in self.rules.iter().enumerate() {
            let mut held = Amounts::default();
            let keys = ask.keys(budget);
            if (batch.is_some() || budget.reserving) && !keys.is_empty() {
                let most = most.get_or_insert_with(|| {
                    let bill = batch.map_or_else(|| Some(ask.most()), |it| it.most.clone());
                    bill.map(|bill| (bill.usage, self.prices.cost(&bill)))
                });
                // What sets no bound fits into no limit.
                let (tokens, cost) = most.map_or((u64::MAX, u64::MAX), |(usage, cost)| {
                    (budget.weights.tokens(&usage), cost)
                });
                // One request that may take more than everything waits to be alone. A batch that may
                // is refused: its bound is what it will be counted.
                let hold = |limit: Option<u64>, most: u64| match limit {
                    Some(limit) if batch.is_none() => most.min(limit),
                    Some(_) => most,
                    None => 0,
                };
                held.tokens = hold(budget.limits.tokens, tokens);
                held.cost = hold(budget.limits.cost, cost);
            }
            wanted.extend(keys.into_iter().map(|key| Taken {
                rule: index,
                key,
                slot: 0,
                requests: batch.map_or(1, |batch| batch.requests),
                held,
            }));
        }
        wanted
    }

    /// Refuses while a session in a loop has to pause. Otherwise tells which pause begins if the
    /// request passes.
    fn paused(
        &self,
        state: &mut State,
        ask: &Ask<'_>,
        now: i64,
    ) -> Result<Option<(Key, i64)>, Refused> {
        let Some(repeat) = self.repeat else {
            return Ok(None);
        };
        let repeated = ask.repeated();
        if repeated <= repeat.calls {
            return Ok(None);
        }
        let pause = i64::try_from(repeat.pause.as_micros()).unwrap_or(i64::MAX);
        let key = ask.session_key();
        let next = now.saturating_add(pause);
        // A pause that was over for as long as it lasted is forgotten.
        let (until, begun) = match state.pauses.get(&key) {
            Some(until) if until.saturating_add(pause) > now => (*until, true),
            _ => (next, false),
        };
        if begun && until <= now {
            return Ok(Some((key, next)));
        }
        if !begun {
            if state.pauses.len() >= self.most {
                (state.pauses).retain(|_, until| until.saturating_add(pause) > now);
            }
            // With no room left the loop is refused all the same, only for longer.
            if state.pauses.len() < self.most {
                state.pauses.insert(key, until);
                state.revision += 1;
            }
        }
        Err(Refused {
            code: Code::LoopDetected,
            id: "repeat".to_owned(),
            message: format!("the same tool call was made {repeated} times in a row"),
            reason: "loop_detected",
            retry_after: seconds(until, now),
        })
    }

    /// Why the request is not within this counter, and until when.
    fn refusal(
        &self,
        state: &mut State,
        wanted: &Taken,
        batch: bool,
        now: i64,
    ) -> Option<(i64, Refused)> {
        let Rule { budget, grid } = &self.rules[wanted.rule];
        let at = At { now, grid: *grid };
        let counters = &mut state.counters[wanted.rule];
        // Even where nothing was spent yet, not every batch fits.
        let nothing = Counter::default();
        let counter = counters.at(&wanted.key, at).map_or(&nothing, |it| it);
        let refused = Kind::ALL.into_iter().filter_map(|kind| {
            let limit = kind.limit(&budget.limits)?;
            let need = kind.amount()(&wanted.needs()).max(1);
            let free = counter.fits(kind, need, limit, at).err()?;
            Some((free, kind, limit, need))
        });
        let (free, kind, limit, need) = refused.max_by_key(|(free, ..)| *free)?;
        let reason = match kind {
            Kind::Requests => "budget_requests",
            Kind::Tokens => "budget_tokens",
            Kind::Cost => "budget_cost",
        };
        let mut message = match &budget.reason {
            Some(reason) => reason.clone(),
            None => told(budget, kind, limit),
        };
        if batch {
            message.push_str("; a batch counts with all its requests and the most they may use");
            if need > limit {
                message.push_str(", and this one is too large ever to pass");
            }
        }
        Some((
            free,
            Refused {
                code: Code::BudgetExceeded,
                id: budget.id.clone(),
                message,
                reason,
                retry_after: seconds(free, now),
            },
        ))
    }

    /// Counts the request.
    fn take(&self, state: &mut State, wanted: &mut Taken, now: i64) -> Result<(), Refused> {
        let Rule { budget, grid } = &self.rules[wanted.rule];
        let at = At { now, grid: *grid };
        let counters = &mut state.counters[wanted.rule];
        let Some(counter) = counters.make(&wanted.key, at, &budget.limits, self.most) else {
            tracing::warn!(budget = budget.id, "no counter is left");
            return Err(Refused {
                code: Code::BudgetExceeded,
                id: budget.id.clone(),
                message: "too many others have spent this budget".to_owned(),
                reason: "budget_counters",
                retry_after: 60,
            });
        };
        wanted.slot = at.slot();
        counter.window.add(wanted.slot, wanted.counted());
        counter.held.add(wanted.held);
        counter.open += 1;
        Ok(())
    }

    /// Undoes [`take`](Self::take).
    pub(crate) fn put_back(&self, state: &mut State, taken: &Taken, now: i64) {
        self.end(state, taken, now);
        let at = self.at(taken, now);
        if let Some(counter) = state.counters[taken.rule].at(&taken.key, at) {
            counter.window.take_back(taken.slot, taken.counted());
        }
    }

    /// Lets go of what the request held back.
    pub(crate) fn end(&self, state: &mut State, taken: &Taken, now: i64) {
        let at = self.at(taken, now);
        if let Some(counter) = state.counters[taken.rule].at(&taken.key, at) {
            counter.held.subtract(taken.held);
            counter.open = counter.open.saturating_sub(1);
        }
    }

    pub(crate) fn at(&self, taken: &Taken, now: i64) -> At {
        At {
            now,
            grid: self.rules[taken.rule].grid,
        }
    }
}

impl State {
    /// The time, which stands still where the clock goes back.
    fn tick(&mut self, now: i64) -> i64 {
        self.now = self.now.max(now);
        self.now
    }
}

impl fmt::Debug for Budgets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budgets")
            .field("rules", &self.0.rules)
            .field("repeat", &self.0.repeat)
            .finish_non_exhaustive()
    }
}

/// How a counter of a budget stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Standing {
    /// The id of the budget.
    pub budget: String,
    /// What the counter is for: `principal`, `group` or `session`.
    pub per: &'static str,
    /// Whose it is: an identity, the name of a group, or the id of a session; empty for callers
    /// whose groups are unknown.
    pub who: String,
    /// What has been spent in the window.
    pub spent: Amounts,
    /// What requests under way hold back.
    pub held: Amounts,
    /// The limit on requests.
    pub requests: Option<u64>,
    /// The limit on tokens.
    pub tokens: Option<u64>,
    /// The limit on cost in millionths of a US dollar.
    pub cost: Option<u64>,
}

impl Standing {
    fn new(budget: &Budget, key: &Key, spent: Amounts, held: Amounts) -> Self {
        Self {
            budget: budget.id.clone(),
            per: budget.per.as_str(),
            who: match key {
                Key::Principal(name) | Key::Group(name) | Key::NoSession(name) => name.clone(),
                Key::UnknownGroups => String::new(),
                Key::Session(session) => session.to_string(),
            },
            spent,
            held,
            requests: budget.limits.requests,
            tokens: budget.limits.tokens,
            cost: budget.limits.cost,
        }
    }
}

/// Which limit it is, for callers whose operator gives no reason.
fn told(budget: &Budget, kind: Kind, limit: u64) -> String {
    let seconds = budget.window.as_secs();
    let window = [(86_400, "d"), (3_600, "h"), (60, "min")]
        .into_iter()
        .find(|(unit, _)| seconds.is_multiple_of(*unit))
        .map_or_else(
            || format!("{seconds} s"),
            |(unit, name)| format!("{} {name}", seconds / unit),
        );
    let what = match kind {
        Kind::Requests => format!("{limit} requests"),
        Kind::Tokens => format!("{limit} tokens"),
        Kind::Cost => format!(
            "{}.{:02} US dollars",
            limit / 1_000_000,
            limit % 1_000_000 / 10_000
        ),
    };
    format!(
        "no more than {what} in {window} for each {}",
        budget.per.as_str()
    )
}

/// Whole seconds from `now`, at least one.
fn seconds(free: i64, now: i64) -> u32 {
    let micros = u64::try_from(free.saturating_sub(now)).unwrap_or(0);
    u32::try_from(micros.div_ceil(1_000_000).max(1)).unwrap_or(u32::MAX)
}
