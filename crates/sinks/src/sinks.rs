//! The owner of what runs.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tollbook_budget::Prices;
use tollbook_recording::{KeySource, Reader};

use crate::{
    Clock, Cursors, Error, ErrorKind, Sink, SinkState, Witness, read::Source, worker::Worker,
};

/// Sinks that run, a task each. Dropped, they are cut off; [`close`](Self::close) lets them finish
/// what they are at.
#[derive(Debug)]
pub struct Sinks {
    stop: CancellationToken,
    tasks: JoinSet<()>,
    states: States,
}

/// How sinks are, for whoever wants to know. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct States(pub(crate) Arc<Mutex<Vec<SinkState>>>);

impl Sinks {
    /// Starts sinks for the book in `folder`, whose top key comes from `keys`, on the current tokio runtime, each where it ended the
    /// last time.
    ///
    /// # Errors
    ///
    /// When the book or the cursors cannot be opened, or two sinks have one name.
    pub async fn start(
        folder: impl AsRef<Path>,
        keys: &KeySource,
        sinks: Vec<Sink>,
        prices: Prices,
        clock: impl Clock,
        witness: impl Witness,
    ) -> Result<Self, Error> {
        let (folder, keys) = (folder.as_ref().to_owned(), keys.clone());
        let mut started = Self {
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
            states: States::default(),
        };
        if sinks.is_empty() {
            return Ok(started);
        }
        let names: std::collections::BTreeSet<&str> = sinks.iter().map(Sink::name).collect();
        if names.len() < sinks.len() {
            return Err(ErrorKind::Options("two sinks have one name").into());
        }
        let opened = tokio::task::spawn_blocking(move || {
            let cursors = Cursors::open(&folder)?;
            let mut opened = Vec::new();
            for sink in sinks {
                // Each with a connection of its own, so that none waits for another's reading.
                let book = Reader::open_with(&folder, &keys)?;
                let origin = book
                    .checkpoint()?
                    .lines()
                    .next()
                    .unwrap_or_default()
                    .to_owned();
                let leaf = book.leaf_at(0)?.unwrap_or_default();
                let first = leaf[..4].iter().map(|byte| format!("{byte:02x}")).collect();
                let place = cursors.begin(sink.name(), sink.kind(), &origin)?;
                let source = Source {
                    book,
                    origin,
                    first,
                    prices: prices.clone(),
                    sink,
                };
                opened.push((source, place));
            }
            Ok::<_, Error>((cursors, opened))
        });
        let (cursors, opened) = opened
            .await
            .map_err(|error| Error::because(ErrorKind::Task, error))??;
        let (clock, witness) = (Arc::new(clock), Arc::new(witness));
        for (at, (source, place)) in opened.into_iter().enumerate() {
            let mut states = started.states.lock();
            states.push(place.state.clone());
            drop(states);
            let worker = Worker::new(
                source,
                place,
                cursors.clone(),
                clock.clone(),
                witness.clone(),
                started.stop.clone(),
                (started.states.clone(), at),
            );
            started.tasks.spawn(worker.run());
        }
        Ok(started)
    }

    /// How they are, in the order in which they were given.
    pub fn states(&self) -> Vec<SinkState> {
        self.states.lock().clone()
    }

    /// Something to ask how they are, for as long as it is wanted.
    pub fn watch(&self) -> impl Fn() -> Vec<SinkState> + Send + Sync + Clone + 'static {
        let states = self.states.clone();
        move || states.lock().clone()
    }

    /// Begins no delivery any more and lets those under way end, for at most `patience`. What is
    /// cut off or waits is sent at the next start. Whether nothing was cut off.
    pub async fn close(mut self, patience: Duration) -> bool {
        self.stop.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        let ended = tokio::time::timeout(patience, all).await.is_ok();
        self.tasks.shutdown().await;
        ended
    }
}

impl States {
    pub(crate) fn lock(&self) -> std::sync::MutexGuard<'_, Vec<SinkState>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
