//! An issuer's keys, kept fresh without being a burden to anybody.
//!
//! - Loads happen one at a time, each in a task that this cache owns. A caller that leaves does not
//!   end the load it waited for: otherwise whoever sends unknown key ids and hangs up could keep a
//!   new key from ever being seen.
//! - Keys that are due are loaded again while the old ones serve. Loads begin with a request, so
//!   gates that started together do not stay in step, and an idle gate asks for nothing.
//! - A key id that nobody knows asks for one load, and the next such load waits half a minute.
//! - When loads fail, the last good keys serve for a day; then nobody passes. A day counts from the
//!   load that brought them, across restarts: a set that was saved is as old as it is.

use std::{
    error::Error,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use tokio::{runtime::Handle, sync::watch, task::AbortHandle};

use super::{
    Key, KeyFault, KeySet, KeyStatus,
    load::{LoadError, Loader},
    saved::{Saved, SavedFault},
};
use crate::{Algorithm, Clock, Reason};

/// The keys of one issuer.
pub(crate) struct KeyCache {
    shared: Arc<Shared>,
}

/// What a cache of keys is made of.
pub(crate) struct Feed<'a> {
    /// The configured name of the issuer.
    pub(crate) name: &'a str,
    /// The issuer's own name for itself.
    pub(crate) identifier: &'a str,
    /// The purposes (`use`) that a key for tokens may be published for.
    pub(crate) uses: &'static [&'static str],
    pub(crate) loader: Loader,
    /// Where sets from the network are saved.
    pub(crate) folder: Option<&'a Path>,
}

struct Shared {
    issuer: String,
    uses: &'static [&'static str],
    loader: Loader,
    saved: Option<Saved>,
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
    /// Why the last load failed, if it did.
    fault: Option<KeyFault>,
    /// Whether the operator was told that the keys are old.
    alarmed: bool,
    /// Whether the saved set was looked at.
    restored: bool,
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
/// How long the disk may take. Nobody waits longer for a set to be saved.
const DISK_TIME: Duration = Duration::from_secs(2);

/// What a look at the keys came to.
enum Look {
    Settled(Result<Arc<Key>, Reason>),
    /// A load may change the answer.
    Wait(watch::Receiver<()>),
}

impl KeyCache {
    pub(crate) fn new(feed: Feed<'_>, clock: Arc<dyn Clock>) -> Self {
        let address = feed.loader.address();
        let rhythm = match address {
            Some(_) => Rhythm::NETWORK,
            None => Rhythm::FILE,
        };
        let saved = feed.folder.zip(address);
        Self {
            shared: Arc::new(Shared {
                issuer: feed.name.to_owned(),
                uses: feed.uses,
                saved: saved.map(|(folder, url)| Saved::new(folder, feed.identifier, url.as_str())),
                loader: feed.loader,
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

    /// How the keys are. Loads nothing.
    pub(crate) fn status(&self) -> KeyStatus {
        let now = self.shared.clock.monotonic();
        let state = self.shared.state();
        let fetched_ago = state.loaded.as_ref().map(|loaded| loaded.age(now));
        KeyStatus {
            name: self.shared.issuer.clone(),
            keys: state.usable(now).map_or(0, |loaded| loaded.keys.len()),
            fetched_ago,
            stale: state.failures > 0 && fetched_ago.is_some_and(|age| age >= ALARMING),
            last_error: state.fault,
        }
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
        match result {
            Ok((keys, fetched)) => {
                let fresh = fetched
                    .max_age
                    .map_or(self.rhythm.fresh, |age| age.clamp(LEAST_FRESH, MOST_FRESH));
                let now = self.clock.monotonic();
                {
                    let mut state = self.state();
                    state.failures = 0;
                    state.fault = None;
                    state.alarmed = false;
                    state.loaded = Some(Loaded {
                        keys,
                        document: fetched.body.clone(),
                        fresh_until: now.saturating_add(fresh),
                        usable_until: now.saturating_add(USABLE),
                    });
                }
                self.save(fetched.body).await;
            }
            Err(error) => {
                let restore = {
                    let mut state = self.state();
                    state.failures = state.failures.saturating_add(1);
                    state.fault = Some(KeyFault::from(&error));
                    let first = state.loaded.is_none() && !state.restored;
                    state.restored = true;
                    first
                };
                if restore {
                    self.restore().await;
                }
                self.report(&error);
            }
        }
        self.state().flight = None;
    }

    /// Keeps a set for the next start. An issuer that takes a key back takes it back there too.
    async fn save(&self, document: Bytes) {
        let Some(saved) = self.saved.clone() else {
            return;
        };
        let fetched = self.clock.wall();
        let work = move || saved.write(&document, fetched).map_err(SavedFault::Io);
        if let Err(fault) = off_thread(work).await {
            let issuer = self.issuer.as_str();
            let cause = fault.source().map(ToString::to_string);
            tracing::warn!(issuer, cause, "key set cannot be saved");
        }
    }

    /// Takes the set that an earlier process saved, as old as it is.
    async fn restore(&self) {
        let Some(saved) = self.saved.clone() else {
            return;
        };
        let issuer = self.issuer.as_str();
        let wall = self.clock.wall();
        let set = match off_thread(move || saved.read(wall)).await {
            Ok(Some(set)) if set.age < USABLE => set,
            Ok(Some(_)) => {
                tracing::warn!(issuer, "saved key set not used: it is over a day old");
                return;
            }
            Ok(None) => return,
            Err(fault) => {
                let cause = fault.source().map(ToString::to_string);
                tracing::warn!(issuer, %fault, cause, "saved key set not used");
                return;
            }
        };
        let Ok(keys) = self.read(&set.document) else {
            tracing::warn!(issuer, "saved key set not used: it is no key set");
            return;
        };
        let age = set.age.as_secs();
        tracing::warn!(issuer, age, "issuer is down; its saved key set is used");
        let now = self.clock.monotonic();
        self.state().loaded = Some(Loaded {
            keys,
            document: set.document,
            fresh_until: now,
            usable_until: now.saturating_add(USABLE.saturating_sub(set.age)),
        });
    }

    fn read(&self, document: &[u8]) -> Result<Arc<KeySet>, LoadError> {
        let keys = KeySet::parse(&self.issuer, document, self.uses).map_err(LoadError::Set)?;
        let issuer = self.issuer.as_str();
        tracing::info!(issuer, keys = keys.len(), "key set loaded");
        Ok(Arc::new(keys))
    }

    /// Tells the operator: less often the longer it lasts, and once more when the keys get old.
    fn report(&self, error: &LoadError) {
        let now = self.clock.monotonic();
        let (failures, age, alarming) = {
            let mut state = self.state();
            let age = state.loaded.as_ref().map(|loaded| loaded.age(now));
            let alarming = age.is_none_or(|age| age >= ALARMING);
            let first = alarming && !state.alarmed;
            state.alarmed = alarming;
            if !first && !state.failures.is_power_of_two() {
                return;
            }
            (state.failures, age.map(|age| age.as_secs()), alarming)
        };
        let issuer = self.issuer.as_str();
        let cause = error.source().map(ToString::to_string);
        if alarming {
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

impl Loaded {
    /// The time since the load that brought or confirmed the keys.
    fn age(&self, now: Duration) -> Duration {
        (now + USABLE).saturating_sub(self.usable_until)
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

/// Work with the disk, away from the threads that serve callers, and within its time.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SavedFault> + Send + 'static,
) -> Result<T, SavedFault> {
    let work = tokio::task::spawn_blocking(work);
    match tokio::time::timeout(DISK_TIME, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(std::io::Error::other("the work broke off").into()),
        Err(_) => Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
    }
}
