//! An issuer's keys, kept fresh without being a burden to anybody.
//!
//! - Loads happen one at a time, each in a task that this cache owns. A caller that leaves does not
//!   end the load it waited for: otherwise whoever sends unknown key ids and hangs up could keep a
//!   new key from ever being seen.
//! - Keys that are due are loaded again while the old ones serve. Loads begin with a request, so
//!   gates that started together do not stay in step, and an idle gate asks for nothing.
//! - A key id that nobody knows asks for one load, and the next such load waits half a minute.
//! - When loads fail, the last good keys serve for a day; then nobody passes.

use std::{
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use super::{
    Key, KeySet,
    load::{LoadError, Loader},
};
use crate::{Algorithm, Clock, Reason};

/// The keys of one issuer.
pub(crate) struct KeyCache {
    shared: Arc<Shared>,
}

struct Shared {
    issuer: String,
    loader: Loader,
    rhythm: Rhythm,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    loaded: Option<Loaded>,
    /// When the last load began.
    attempted: Option<Duration>,
    /// When the last load that an unknown key id asked for began.
    asked: Option<Duration>,
    /// Loads that failed since the last that did not.
    failures: u32,
    flight: Option<Flight>,
}

#[derive(Clone)]
struct Loaded {
    keys: Arc<KeySet>,
    document: Bytes,
    fresh_until: Duration,
    usable_until: Duration,
}

/// A load under way. The channel carries nothing: it closes when the load has ended, whatever
/// ended it.
struct Flight {
    task: AbortHandle,
    ended: watch::Receiver<()>,
}

/// How often an issuer is asked.
struct Rhythm {
    /// How long a set is fresh if its source does not say.
    fresh: Duration,
    /// The least time between two loads for unknown ids, and between two tries after a failure.
    pause: Duration,
    /// Whether requests wait for a set that is due, instead of using the one at hand.
    patient: bool,
}

impl Rhythm {
    const NETWORK: Self = Self {
        fresh: Duration::from_secs(10 * 60),
        pause: Duration::from_secs(30),
        patient: false,
    };
    /// Reading a file costs next to nothing, and whoever takes a key out of one expects it gone.
    const FILE: Self = Self {
        fresh: Duration::from_secs(2),
        pause: Duration::from_secs(2),
        patient: true,
    };
}

const LEAST_FRESH: Duration = Duration::from_secs(60);
const MOST_FRESH: Duration = Duration::from_secs(24 * 60 * 60);
/// How long keys serve after the last load that brought or confirmed them.
const USABLE: Duration = Duration::from_secs(24 * 60 * 60);
/// The age of keys at which a failing issuer is an alarm and no longer a nuisance.
const ALARMING: Duration = Duration::from_secs(60 * 60);

/// What a look at the keys came to.
enum Look {
    Settled(Result<Arc<Key>, Reason>),
    /// A load may change the answer.
    Wait(watch::Receiver<()>),
}

impl KeyCache {
    pub(crate) fn new(issuer: &str, loader: Loader, clock: Arc<dyn Clock>) -> Self {
        let rhythm = match loader {
            Loader::Discovery { .. } | Loader::Address { .. } => Rhythm::NETWORK,
            Loader::File(_) => Rhythm::FILE,
        };
        Self {
            shared: Arc::new(Shared {
                issuer: issuer.to_owned(),
                loader,
                rhythm,
                clock,
                state: Mutex::default(),
            }),
        }
    }

    /// The key of this id, or without an id the only one for this algorithm.
    pub(crate) async fn find(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, Reason> {
        match self.shared.look(kid, algorithm) {
            Look::Settled(answer) => answer,
            Look::Wait(mut ended) => {
                // Only ever an error, because nothing is sent: the load has ended.
                ended.changed().await.ok();
                self.shared.answer(kid, algorithm)
            }
        }
    }

    /// Begins a load if there is no set yet.
    pub(crate) fn begin(&self) {
        self.shared.first_load();
    }

    /// The number of usable keys, after a load if there is no set yet.
    pub(crate) async fn warm(&self) -> usize {
        if let Some(mut ended) = self.shared.first_load() {
            ended.changed().await.ok();
        }
        self.shared.current().map_or(0, |loaded| loaded.keys.len())
    }
}

impl Drop for KeyCache {
    fn drop(&mut self) {
        if let Some(flight) = self.shared.state().flight.take() {
            flight.task.abort();
        }
    }
}

impl Shared {
    /// Looks for a key, and begins a load if one is due or could help.
    fn look(self: &Arc<Self>, kid: Option<&str>, algorithm: Algorithm) -> Look {
        let now = self.clock.monotonic();
        let mut state = self.state();
        let Some(loaded) = state.usable(now) else {
            return match self.join(&mut state, now, Duration::ZERO) {
                Some(ended) => Look::Wait(ended),
                None => Look::Settled(Err(Reason::KeysUnavailable)),
            };
        };
        if now >= loaded.fresh_until
            && let Some(ended) = self.join(&mut state, now, self.rhythm.pause)
            && self.rhythm.patient
        {
            return Look::Wait(ended);
        }
        let answer = loaded.keys.find(kid, algorithm);
        if !matches!(answer, Err(Reason::UnknownKid)) {
            return Look::Settled(answer);
        }
        let asked_lately = state
            .asked
            .is_some_and(|asked| now.saturating_sub(asked) < self.rhythm.pause);
        if let Some(flight) = state.under_way() {
            return Look::Wait(flight.ended.clone());
        }
        if asked_lately {
            return Look::Settled(answer);
        }
        state.asked = Some(now);
        match self.begin(&mut state, now) {
            Some(ended) => Look::Wait(ended),
            None => Look::Settled(answer),
        }
    }

    /// The answer of the keys at hand, whatever they are.
    fn answer(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<Key>, Reason> {
        self.current()
            .ok_or(Reason::KeysUnavailable)?
            .keys
            .find(kid, algorithm)
    }

    fn current(&self) -> Option<Loaded> {
        let now = self.clock.monotonic();
        self.state().usable(now)
    }

    fn first_load(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.usable(now).is_some() {
            return None;
        }
        self.join(&mut state, now, Duration::ZERO)
    }

    /// The load under way, or a new one if the last began long enough ago: at least `pause`, and
    /// longer with every failure in a row up to the rhythm's own pause.
    fn join(
        self: &Arc<Self>,
        state: &mut State,
        now: Duration,
        pause: Duration,
    ) -> Option<watch::Receiver<()>> {
        if let Some(flight) = state.under_way() {
            return Some(flight.ended.clone());
        }
        let patience = match state.failures {
            0 => Duration::ZERO,
            failures => Duration::from_secs(1 << (failures - 1).min(5)).min(self.rhythm.pause),
        };
        let due = state
            .attempted
            .is_none_or(|attempted| now.saturating_sub(attempted) >= pause.max(patience));
        if due { self.begin(state, now) } else { None }
    }

    fn begin(self: &Arc<Self>, state: &mut State, now: Duration) -> Option<watch::Receiver<()>> {
        // Without a runtime there is nobody to do it, and that is no reason to panic.
        let runtime = Handle::try_current().ok()?;
        let (ending, ended) = watch::channel(());
        let shared = Arc::clone(self);
        let task = runtime.spawn(async move {
            shared.load().await;
            drop(ending);
        });
        state.attempted = Some(now);
        state.flight = Some(Flight {
            task: task.abort_handle(),
            ended: ended.clone(),
        });
        Some(ended)
    }

    async fn load(&self) {
        let result = self.loader.load().await.and_then(|fetched| {
            // Out of the lock first: reading a set takes its time.
            let held = self.state().loaded.clone();
            let keys = match held {
                Some(loaded) if loaded.document == fetched.body => loaded.keys,
                _ => self.read(&fetched.body)?,
            };
            Ok((keys, fetched))
        });
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.flight = None;
        match result {
            Ok((keys, fetched)) => {
                let fresh = fetched
                    .max_age
                    .map_or(self.rhythm.fresh, |age| age.clamp(LEAST_FRESH, MOST_FRESH));
                state.failures = 0;
                state.loaded = Some(Loaded {
                    keys,
                    document: fetched.body,
                    fresh_until: now.saturating_add(fresh),
                    usable_until: now.saturating_add(USABLE),
                });
            }
            Err(error) => {
                state.failures = state.failures.saturating_add(1);
                let age = state
                    .loaded
                    .as_ref()
                    .map(|loaded| (now + USABLE).saturating_sub(loaded.usable_until));
                let failures = state.failures;
                drop(state);
                self.report(&error, failures, age);
            }
        }
    }

    fn read(&self, document: &[u8]) -> Result<Arc<KeySet>, LoadError> {
        let keys = KeySet::parse(&self.issuer, document).map_err(LoadError::Set)?;
        let issuer = self.issuer.as_str();
        tracing::info!(issuer, keys = keys.len(), "key set loaded");
        Ok(Arc::new(keys))
    }

    /// Tells the operator, less often the longer it lasts.
    fn report(&self, error: &LoadError, failures: u32, age: Option<Duration>) {
        if !failures.is_power_of_two() {
            return;
        }
        let issuer = self.issuer.as_str();
        let cause = error.source().map(ToString::to_string);
        let age = age.map(|age| age.as_secs());
        if age.is_none_or(|age| age >= ALARMING.as_secs()) {
            tracing::error!(issuer, %error, cause, failures, age, "keys cannot be loaded");
        } else {
            tracing::warn!(issuer, %error, cause, failures, age, "keys cannot be loaded");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change to the state is one assignment, so a panic elsewhere leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn usable(&self, now: Duration) -> Option<Loaded> {
        self.loaded
            .as_ref()
            .filter(|loaded| now < loaded.usable_until)
            .cloned()
    }

    fn under_way(&self) -> Option<&Flight> {
        // A task that panicked or was cut off never took itself out.
        self.flight
            .as_ref()
            .filter(|flight| !flight.task.is_finished())
    }
}
