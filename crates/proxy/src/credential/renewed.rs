//! Credentials that do not last, renewed in time without being a burden to anybody.
//!
//! - One load at a time, in a task that this owns. A caller that leaves does not end the load it
//!   waited for.
//! - A credential that is due is renewed while the old one serves. Loads begin with a request, so
//!   an idle gate asks for nothing, and gates that started together do not stay in step.
//! - When loads fail, the pauses between them double, and within a pause nobody waits.
//! - What the upstream refuses is given up at once, but not again and again: a source that brings
//!   what is refused is not asked for each request.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{runtime::Handle, sync::watch, task::AbortHandle, time::Instant};

use super::{Credential, CredentialError};

/// Where credentials come from, one after the other.
pub(super) trait Source: fmt::Debug + Send + Sync + 'static {
    /// Another one. Ends by itself, in bounded time.
    fn fetch(&self) -> impl Future<Output = Result<Fresh, CredentialError>> + Send;
}

/// A credential and its times, which count from when it was asked for.
#[derive(Debug)]
pub(super) struct Fresh {
    pub(super) credential: Credential,
    /// From when on another is asked for.
    pub(super) renew_after: Duration,
    /// How long it may be sent.
    pub(super) use_for: Duration,
}

/// The credential of a source, as long as it may be used.
pub(super) struct Renewed<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    source: S,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    flight: Option<Flight>,
    /// Loads that failed since the last that did not, and what the last one said.
    failures: u32,
    error: Option<CredentialError>,
    /// No load begins before.
    pause_until: Option<Instant>,
    /// When a credential was last given up because it was refused.
    given_up: Option<Instant>,
}

struct Held {
    credential: Credential,
    renew_at: Instant,
    usable_until: Instant,
}

/// A load under way. The channel carries nothing: it closes when the load has ended, whatever
/// ended it.
struct Flight {
    task: AbortHandle,
    ended: watch::Receiver<()>,
}

/// What a look came to.
enum Look {
    Settled(Result<Credential, CredentialError>),
    /// A load may change the answer.
    Wait(watch::Receiver<()>),
}

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The least time between two credentials that are given up because they were refused.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);
/// The longest that a credential is used, whatever its source says. Times beyond may have no end.
const LONGEST_USE: Duration = Duration::from_secs(24 * 60 * 60);

impl<S: Source> Renewed<S> {
    pub(super) fn new(source: S) -> Self {
        Self {
            shared: Arc::new(Shared {
                source,
                state: Mutex::default(),
            }),
        }
    }

    /// The credential at hand, or the next one.
    pub(super) async fn current(&self) -> Result<Credential, CredentialError> {
        match self.shared.look() {
            Look::Settled(answer) => answer,
            Look::Wait(mut ended) => {
                // Only ever an error, because nothing is sent: the load has ended.
                ended.changed().await.ok();
                self.shared.answer()
            }
        }
    }

    /// Gives `credential` up. Whether another may be had.
    pub(super) fn refused(&self, credential: &Credential) -> bool {
        let now = Instant::now();
        let mut state = self.shared.state();
        // Others may have been faster.
        if !state
            .held
            .as_ref()
            .is_some_and(|held| held.credential.is_copy_of(credential))
        {
            return true;
        }
        let lately = |at| now.saturating_duration_since(at) < REFUSAL_PAUSE;
        if state.given_up.is_some_and(lately) {
            return false;
        }
        tracing::warn!("the upstream refused its credential; another is asked for");
        state.given_up = Some(now);
        state.held = None;
        true
    }
}

impl<S: Source> Shared<S> {
    /// Looks at what is at hand, and begins a load if one is due.
    fn look(self: &Arc<Self>) -> Look {
        let now = Instant::now();
        let mut state = self.state();
        let Some((credential, is_due)) = state.usable(now) else {
            return match self.join(&mut state, now) {
                Some(ended) => Look::Wait(ended),
                None => Look::Settled(Err(state.why())),
            };
        };
        if is_due {
            // Not waited for.
            drop(self.join(&mut state, now));
        }
        Look::Settled(Ok(credential))
    }

    /// What is at hand, whatever it is.
    fn answer(&self) -> Result<Credential, CredentialError> {
        let state = self.state();
        match state.usable(Instant::now()) {
            Some((credential, _)) => Ok(credential),
            None => Err(state.why()),
        }
    }

    /// The load under way, or one that begins now; none within a pause.
    fn join(self: &Arc<Self>, state: &mut State, now: Instant) -> Option<watch::Receiver<()>> {
        if let Some(flight) = state.flight.as_ref().filter(|flight| flight.is_under_way()) {
            return Some(flight.ended.clone());
        }
        if state.pause_until.is_some_and(|until| now < until) {
            return None;
        }
        let runtime = Handle::try_current().ok()?;
        let (ending, ended) = watch::channel(());
        let shared = Arc::clone(self);
        let task = runtime.spawn(async move {
            // Dropped at the end, also when this panics or is aborted.
            let _ending = ending;
            let fetched = shared.source.fetch().await;
            shared.keep(now, fetched);
        });
        state.flight = Some(Flight {
            task: task.abort_handle(),
            ended: ended.clone(),
        });
        Some(ended)
    }

    fn keep(&self, begun: Instant, fetched: Result<Fresh, CredentialError>) {
        let mut state = self.state();
        state.flight = None;
        match fetched {
            Ok(fresh) => {
                state.failures = 0;
                state.error = None;
                state.pause_until = None;
                state.held = Some(Held {
                    credential: fresh.credential,
                    renew_at: begun + fresh.renew_after.min(LONGEST_USE),
                    usable_until: begun + fresh.use_for.min(LONGEST_USE),
                });
            }
            Err(error) => {
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << state.failures.min(16))
                    .min(LONGEST_PAUSE);
                state.failures = state.failures.saturating_add(1);
                state.pause_until = Some(Instant::now() + pause);
                tracing::warn!(
                    error = &error as &(dyn std::error::Error + 'static),
                    failures = state.failures,
                    pause_ms = pause.as_millis(),
                    "no credential for the upstream"
                );
                state.error = Some(error);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held, and every state is whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The credential at hand, and whether it is due for renewal.
    fn usable(&self, now: Instant) -> Option<(Credential, bool)> {
        let held = self.held.as_ref()?;
        (now < held.usable_until).then(|| (held.credential.clone(), now >= held.renew_at))
    }

    fn why(&self) -> CredentialError {
        self.error
            .clone()
            .unwrap_or(CredentialError::new("the credential ended as it came"))
    }
}

impl Flight {
    fn is_under_way(&self) -> bool {
        self.ended.has_changed().is_ok()
    }
}

impl<S> Drop for Renewed<S> {
    fn drop(&mut self) {
        let mut state = self
            .shared
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = state.flight.take() {
            flight.task.abort();
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for Renewed<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renewed")
            .field("source", &self.shared.source)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

    use tokio::time::sleep;

    use super::*;

    /// Brings `1`, `2`, … after a second each, due after 60 seconds and good for 90.
    #[derive(Debug, Default)]
    struct Counter {
        asked: AtomicU32,
        fails: AtomicBool,
    }

    impl Source for Arc<Counter> {
        async fn fetch(&self) -> Result<Fresh, CredentialError> {
            let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
            sleep(Duration::from_secs(1)).await;
            if self.fails.load(Ordering::SeqCst) {
                return Err(CredentialError::new("told to fail"));
            }
            Ok(Fresh {
                credential: Credential::new("x-api-key", "", &number.to_string()).unwrap(),
                renew_after: Duration::from_secs(60),
                use_for: Duration::from_secs(90),
            })
        }
    }

    fn counting() -> (Arc<Counter>, Renewed<Arc<Counter>>) {
        let counter = Arc::new(Counter::default());
        (Arc::clone(&counter), Renewed::new(counter))
    }

    async fn value<S: Source>(renewed: &Renewed<S>) -> Result<String, String> {
        let credential = renewed.current().await.map_err(|error| error.to_string())?;
        Ok(credential.value().to_str().unwrap().to_owned())
    }

    #[tokio::test(start_paused = true)]
    async fn many_wait_for_one_load_and_a_due_one_is_renewed_behind_their_back() {
        let (counter, renewed) = counting();
        let renewed = Arc::new(renewed);
        let asking: Vec<_> = (0..100)
            .map(|_| {
                let renewed = Arc::clone(&renewed);
                tokio::spawn(async move { value(&renewed).await })
            })
            .collect();
        for asking in asking {
            assert_eq!(asking.await.unwrap().unwrap(), "1");
        }
        sleep(Duration::from_secs(58)).await;
        assert_eq!(value(&renewed).await.unwrap(), "1");
        assert_eq!(counter.asked.load(Ordering::SeqCst), 1);
        sleep(Duration::from_secs(2)).await;
        // Due: nobody waits, and the next comes in a second.
        let begun = Instant::now();
        for _ in 0..10 {
            assert_eq!(value(&renewed).await.unwrap(), "1");
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(value(&renewed).await.unwrap(), "2");
        assert_eq!(counter.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_good_one_serves_to_its_end_and_no_longer() {
        let (counter, renewed) = counting();
        assert_eq!(value(&renewed).await.unwrap(), "1");
        counter.fails.store(true, Ordering::SeqCst);
        // Asked for at 0; 89 seconds later it still serves.
        sleep(Duration::from_secs(60)).await;
        assert_eq!(value(&renewed).await.unwrap(), "1");
        sleep(Duration::from_secs(28)).await;
        assert_eq!(value(&renewed).await.unwrap(), "1");
        sleep(Duration::from_secs(2)).await;
        assert_eq!(value(&renewed).await.unwrap_err(), "told to fail");
        counter.fails.store(false, Ordering::SeqCst);
        sleep(LONGEST_PAUSE).await;
        assert!(value(&renewed).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn pauses_between_failures_grow_and_nobody_waits_in_them() {
        let (counter, renewed) = counting();
        counter.fails.store(true, Ordering::SeqCst);
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let asked = counter.asked.load(Ordering::SeqCst);
            let begun = Instant::now();
            while counter.asked.load(Ordering::SeqCst) == asked {
                let before = Instant::now();
                value(&renewed).await.unwrap_err();
                assert!(before.elapsed() <= Duration::from_millis(1_001));
                sleep(Duration::from_millis(500)).await;
            }
            pauses.push(begun.elapsed().as_secs());
        }
        assert_eq!(pauses, [1, 2, 3, 5, 9, 17, 33, 61, 61]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_one_is_given_up_but_not_again_and_again() {
        let (counter, renewed) = counting();
        let first = renewed.current().await.unwrap();
        assert!(renewed.refused(&first));
        assert!(renewed.refused(&first), "somebody else was faster");
        let second = renewed.current().await.unwrap();
        assert!(renewed.refused(&first), "there is another by now");
        assert_eq!(counter.asked.load(Ordering::SeqCst), 2);
        assert!(
            !renewed.refused(&second),
            "its source brings what is refused"
        );
        assert_eq!(value(&renewed).await.unwrap(), "2");
        sleep(REFUSAL_PAUSE).await;
        assert!(renewed.refused(&second));
        assert_eq!(value(&renewed).await.unwrap(), "3");
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_that_leaves_does_not_end_the_load_and_the_owner_does() {
        let (counter, renewed) = counting();
        let left = tokio::time::timeout(Duration::from_millis(1), renewed.current()).await;
        assert!(left.is_err());
        assert_eq!(value(&renewed).await.unwrap(), "1");
        assert_eq!(counter.asked.load(Ordering::SeqCst), 1);
        sleep(Duration::from_secs(70)).await;
        assert_eq!(value(&renewed).await.unwrap(), "1");
        drop(renewed);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(Arc::strong_count(&counter), 1, "the load goes on");
    }
}
