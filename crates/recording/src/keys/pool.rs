//! Keys made ahead, so that nobody who opens a session waits for a sync of theirs.

use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::key::{KeyId, ScopeKeys};
use crate::{Error, ErrorKind};

/// Fresh keys that are durable already, and the thread that makes more of them.
///
/// It makes as many at once as were asked for lately: a pool that is emptied soon after it was
/// filled is filled with twice as many. If they cannot be made, nobody gets any, for good: what a
/// failed sync left on the disk is unknown.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// Somebody took a key, or the pool is closed.
    taken: Condvar,
    /// There are keys, or there will be none any more.
    filled: Condvar,
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<ScopeKeys>,
    target: usize,
    /// Why no more can be made.
    broken: Option<Arc<str>>,
    closed: bool,
}

impl Pool {
    /// A pool that is filled with what `make` makes: as many as it is asked for, durable.
    pub(super) fn new(
        make: impl Fn(usize) -> Result<Vec<ScopeKeys>, Error> + Send + 'static,
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        shared.state().target = FIRST;
        let thread = thread::Builder::new()
            .name("tollbook-keys".into())
            .spawn({
                let shared = Arc::clone(&shared);
                move || shared.fill(make)
            })
            .map_err(|error| Error::because(ErrorKind::Keys, error))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Takes keys. Waits only where more were asked for at once than there were.
    pub(super) fn take(&self) -> Result<ScopeKeys, Error> {
        let (mut state, _) = self
            .shared
            .filled
            .wait_timeout_while(self.shared.state(), PATIENCE, |state| state.must_wait())
            .unwrap_or_else(PoisonError::into_inner);
        let taken = state.ready.pop_front();
        drop(state);
        self.shared.taken.notify_one();
        taken.ok_or_else(none)
    }

    /// As [`take`](Self::take), for those who must not block.
    pub(super) async fn take_async(&self) -> Result<ScopeKeys, Error> {
        let until = Instant::now() + PATIENCE;
        loop {
            let filled = self.shared.notify.notified();
            let mut filled = std::pin::pin!(filled);
            // From here on no call is missed.
            filled.as_mut().enable();
            let (taken, waits) = {
                let mut state = self.shared.state();
                (state.ready.pop_front(), state.must_wait())
            };
            self.shared.taken.notify_one();
            if let Some(taken) = taken {
                return Ok(taken);
            }
            let left = until.saturating_duration_since(Instant::now());
            if !waits || tokio::time::timeout(left, filled).await.is_err() {
                return Err(none());
            }
        }
    }

    /// Why no more keys can be made, if that is so.
    pub(super) fn broken(&self) -> Option<Arc<str>> {
        self.shared.state().broken.clone()
    }

    /// Ends the thread, and tells which keys nobody took.
    pub(super) fn close(&mut self) -> Vec<KeyId> {
        self.shared.state().closed = true;
        self.shared.taken.notify_all();
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has nothing more to say.
            let _panicked = thread.join();
        }
        let left = std::mem::take(&mut self.shared.state().ready);
        left.iter().map(ScopeKeys::id).collect()
    }
}

impl Shared {
    fn fill(&self, make: impl Fn(usize) -> Result<Vec<ScopeKeys>, Error>) {
        let mut last: Option<Instant> = None;
        loop {
            let wanted = {
                let enough =
                    |state: &mut State| !state.closed && state.ready.len() * 2 > state.target;
                let mut state = self
                    .taken
                    .wait_while(self.state(), enough)
                    .unwrap_or_else(PoisonError::into_inner);
                if state.closed {
                    return;
                }
                if last.is_some_and(|last| last.elapsed() < BUSY) {
                    state.target = (state.target * 2).min(MOST);
                }
                state.target.saturating_sub(state.ready.len())
            };
            let made = make(wanted);
            let mut state = self.state();
            match made {
                Ok(made) => state.ready.extend(made),
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, source, "no keys can be made: no session can begin");
                    let why = source.unwrap_or_else(|| error.to_string());
                    state.broken = Some(why.into());
                }
            }
            let over = state.broken.is_some();
            drop(state);
            last = Some(Instant::now());
            self.filled.notify_all();
            self.notify.notify_waiters();
            if over {
                return;
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn must_wait(&self) -> bool {
        self.ready.is_empty() && self.broken.is_none() && !self.closed
    }
}

fn none() -> Error {
    Error::because(ErrorKind::Keys, "no fresh key was to be had")
}

/// As many as are there at the start.
const FIRST: usize = 64;
/// As many as there ever are.
const MOST: usize = 8192;
/// A pool that is to be filled again within this time is too small.
const BUSY: Duration = Duration::from_secs(1);
/// How long somebody waits for a key: as long as for any other write.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn keys(count: usize) -> Vec<ScopeKeys> {
        (0..count).map(|_| ScopeKeys::random().unwrap()).collect()
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_gets_what_another_has_and_the_pool_grows() {
        let (most, calls) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let mut pool = Pool::new({
            let (most, calls) = (Arc::clone(&most), Arc::clone(&calls));
            move |count| {
                most.fetch_max(count, Ordering::Relaxed);
                calls.fetch_add(1, Ordering::Relaxed);
                Ok(keys(count))
            }
        })
        .unwrap();
        let mut seen = std::collections::HashSet::new();
        for turn in 0..4000 {
            let taken = match turn % 2 {
                0 => pool.take().unwrap(),
                _ => pool.take_async().await.unwrap(),
            };
            assert!(seen.insert(taken.id()));
        }
        assert!(most.load(Ordering::Relaxed) > FIRST);
        assert!(calls.load(Ordering::Relaxed) < 40);
        for left in pool.close() {
            assert!(seen.insert(left));
        }
        assert!(pool.take().is_err());
    }

    #[tokio::test]
    async fn what_cannot_be_made_is_not_given() {
        let made = AtomicUsize::new(0);
        let pool = Pool::new(move |count| match made.fetch_add(1, Ordering::Relaxed) {
            0 => Ok(keys(count)),
            _ => Err(ErrorKind::Keys.into()),
        })
        .unwrap();
        for _ in 0..FIRST {
            pool.take().unwrap();
        }
        let began = Instant::now();
        assert_eq!(pool.take().unwrap_err().kind(), &ErrorKind::Keys);
        assert!(pool.take_async().await.is_err());
        assert!(pool.broken().is_some());
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "nobody waits for what will not come"
        );
    }
}
