//! Messages on their way, and the task that sees to them.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc},
    task::{JoinHandle, JoinSet},
    time::{sleep, timeout},
};

use super::error::Fault;
use crate::Event;

/// How a channel delivers one event.
pub(super) trait Deliver: fmt::Debug + Send + Sync + 'static {
    /// The name of the channel in the log.
    const NAME: &'static str;

    /// Tries once, in bounded time.
    fn deliver(&self, event: &Event) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// One try that failed.
#[derive(Debug)]
pub(super) struct Failure {
    what: &'static str,
    status: Option<u16>,
    source: Option<Box<dyn Error + Send + Sync>>,
    /// Whether another try may go better, and not before when.
    again: bool,
    after: Option<Duration>,
}

impl Failure {
    pub(super) const fn again(what: &'static str) -> Self {
        Self {
            what,
            status: None,
            source: None,
            again: true,
            after: None,
        }
    }

    pub(super) const fn last(what: &'static str) -> Self {
        let mut failure = Self::again(what);
        failure.again = false;
        failure
    }

    pub(super) fn with_source(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    pub(super) const fn with_status(mut self, status: u16) -> Self {
        self.status = Some(status);
        self
    }

    pub(super) const fn after(mut self, time: Option<Duration>) -> Self {
        self.after = time;
        self
    }
}

/// Takes events at once and delivers each as often as it needs, at most eight times in about half an
/// hour. What one event waits for holds up no other, so events may arrive in another order.
pub(super) struct Outbox {
    name: &'static str,
    /// Gone when it is closed.
    sender: Mutex<Option<mpsc::Sender<Arc<Event>>>>,
    worker: Mutex<Option<JoinHandle<()>>>,
}

/// The pauses between tries, before a share of up to a quarter is added by chance.
const PAUSES: [Duration; 7] = [
    Duration::from_secs(4),
    Duration::from_secs(10),
    Duration::from_secs(25),
    Duration::from_secs(60),
    Duration::from_secs(150),
    Duration::from_secs(360),
    Duration::from_secs(900),
];
/// The longest that the other side may ask to be left alone.
const LONGEST_PAUSE: Duration = Duration::from_secs(900);
/// How many tries may be under way at once.
const AT_ONCE: usize = 4;

impl Outbox {
    /// Starts to deliver on the current runtime. `capacity` events may be on their way.
    pub(super) fn start<D: Deliver>(deliver: D, capacity: usize) -> Result<Self, Fault> {
        let runtime = Handle::try_current().map_err(|_| Fault::NoRuntime)?;
        let (sender, events) = mpsc::channel(capacity.max(1));
        let worker = runtime.spawn(work(Arc::new(deliver), events, capacity.max(1)));
        Ok(Self {
            name: D::NAME,
            sender: Mutex::new(Some(sender)),
            worker: Mutex::new(Some(worker)),
        })
    }

    /// Takes an event, or drops it with a word in the log when there is no room.
    pub(super) fn push(&self, event: Arc<Event>) {
        let sender = lock(&self.sender);
        let taken = sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(Arc::clone(&event)).is_ok());
        if !taken {
            tracing::warn!(
                channel = self.name,
                event = event.id.as_str(),
                "no room for a message; it is dropped"
            );
        }
    }

    /// Takes no more and waits until everything is delivered or given up, but not longer than
    /// `patience`. Whether all is done.
    pub(super) async fn close(&self, patience: Duration) -> bool {
        drop(lock(&self.sender).take());
        let worker = lock(&self.worker).take();
        let Some(mut worker) = worker else {
            return true;
        };
        let done = timeout(patience, &mut worker).await.is_ok();
        worker.abort();
        done
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        if let Some(worker) = lock(&self.worker).take() {
            worker.abort();
        }
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Owns the deliveries: they end with it.
async fn work<D: Deliver>(deliver: Arc<D>, mut events: mpsc::Receiver<Arc<Event>>, most: usize) {
    let gate = Arc::new(Semaphore::new(AT_ONCE));
    let mut deliveries = JoinSet::new();
    let mut open = true;
    while open || !deliveries.is_empty() {
        tokio::select! {
            event = events.recv(), if open && deliveries.len() < most => match event {
                Some(event) => {
                    let (deliver, gate) = (Arc::clone(&deliver), Arc::clone(&gate));
                    deliveries.spawn(async move { see_to(&*deliver, &event, &gate).await });
                }
                None => open = false,
            },
            Some(_) = deliveries.join_next() => {}
        }
    }
}

/// Tries until it is delivered or not worth another try.
async fn see_to<D: Deliver>(deliver: &D, event: &Event, gate: &Semaphore) {
    let mut pauses = PAUSES.into_iter();
    loop {
        let tried = {
            // Never closed; and if it were, a try more at once does no harm.
            let _permit = gate.acquire().await.ok();
            deliver.deliver(event).await
        };
        let Err(failure) = tried else {
            return;
        };
        let pause = pauses.next().filter(|_| failure.again);
        tracing::warn!(
            channel = D::NAME,
            event = event.id.as_str(),
            what = failure.what,
            status = failure.status,
            error = failure
                .source
                .as_deref()
                .map(|error| error as &(dyn Error + 'static)),
            given_up = pause.is_none(),
            "a message was not delivered"
        );
        let Some(pause) = pause else {
            return;
        };
        let asked = failure.after.unwrap_or_default().min(LONGEST_PAUSE);
        sleep(spread(pause, chance()).max(asked)).await;
    }
}

/// The pause and up to a quarter more, so that gateways that failed together do not try together.
fn spread(pause: Duration, chance: u8) -> Duration {
    pause + pause * u32::from(chance) / 1024
}

fn chance() -> u8 {
    let mut byte = [0];
    // Without randomness there is no spread, and nothing worse.
    getrandom::fill(&mut byte).ok();
    byte[0]
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it is held, and every state is whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;
    use crate::channel::sample;

    /// Writes down when it was asked for which event, and fails as told.
    #[derive(Debug)]
    struct Diary {
        tries: Arc<Mutex<Vec<(u64, String)>>>,
        begun: Instant,
        fails: fn(&Event) -> Option<Failure>,
    }

    impl Deliver for Diary {
        const NAME: &'static str = "diary";

        async fn deliver(&self, event: &Event) -> Result<(), Failure> {
            let second = self.begun.elapsed().as_secs();
            lock(&self.tries).push((second, event.id.to_string()));
            (self.fails)(event).map_or(Ok(()), Err)
        }
    }

    type Tries = Arc<Mutex<Vec<(u64, String)>>>;

    fn outbox(capacity: usize, fails: fn(&Event) -> Option<Failure>) -> (Outbox, Tries) {
        let tries = Tries::default();
        let diary = Diary {
            tries: Arc::clone(&tries),
            begun: Instant::now(),
            fails,
        };
        (Outbox::start(diary, capacity).unwrap(), tries)
    }

    const HOUR: Duration = Duration::from_secs(3600);

    #[tokio::test(start_paused = true)]
    async fn what_fails_is_tried_eight_times_in_half_an_hour() {
        let (outbox, tries) = outbox(4, |_| Some(Failure::again("told to")));
        outbox.push(Arc::new(sample::asked()));
        assert!(outbox.close(HOUR).await);
        let tries = lock(&tries).clone();
        assert_eq!(tries.len(), 8);
        assert!(
            tries.iter().all(|(_, id)| *id == tries[0].1),
            "the same name each time"
        );
        for (pause, two) in PAUSES.iter().zip(tries.windows(2)) {
            let waited = two[1].0 - two[0].0;
            let most = pause.as_secs() * 5 / 4 + 1;
            assert!(
                (pause.as_secs()..=most).contains(&waited),
                "{waited} for {pause:?}"
            );
        }
        assert!((1_500..2_000).contains(&tries[7].0), "{tries:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_refused_for_good_is_not_tried_again() {
        let (outbox, tries) = outbox(4, |_| Some(Failure::last("told to")));
        outbox.push(Arc::new(sample::asked()));
        assert!(outbox.close(HOUR).await);
        assert_eq!(lock(&tries).len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_other_side_may_ask_for_a_longer_pause() {
        let asks = |_: &Event| Some(Failure::again("busy").after(Some(HOUR)));
        let (outbox, tries) = outbox(4, asks);
        outbox.push(Arc::new(sample::asked()));
        sleep(Duration::from_secs(899)).await;
        assert_eq!(lock(&tries).len(), 1);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(lock(&tries).len(), 2);
        assert!(!outbox.close(Duration::from_secs(1)).await, "it is waiting");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_fails_holds_up_no_other_and_the_queue_is_bounded() {
        let fails = |event: &Event| {
            (event.kind == crate::EventKind::Asked).then(|| Failure::again("told to"))
        };
        let (outbox, tries) = outbox(2, fails);
        let failing = Arc::new(sample::asked());
        outbox.push(Arc::clone(&failing));
        sleep(Duration::from_secs(1)).await;
        outbox.push(Arc::new(sample::denied()));
        sleep(Duration::from_secs(1)).await;
        assert_eq!(lock(&tries).len(), 2);
        // Two on their way and two in the queue; the rest is dropped.
        for _ in 0..20 {
            outbox.push(Arc::clone(&failing));
        }
        sleep(Duration::from_secs(1)).await;
        for _ in 0..20 {
            outbox.push(Arc::clone(&failing));
        }
        assert!(outbox.close(4 * HOUR).await);
        let asked = lock(&tries)
            .iter()
            .filter(|(_, id)| *id == failing.id.to_string())
            .count();
        assert_eq!(asked, 4 * 8);
        outbox.push(failing);
        assert!(outbox.close(HOUR).await, "closed already");
    }

    #[test]
    fn chance_adds_at_most_a_quarter() {
        assert_eq!(spread(Duration::from_secs(4), 0), Duration::from_secs(4));
        assert!(spread(Duration::from_secs(4), 255) < Duration::from_secs(5));
    }
}
