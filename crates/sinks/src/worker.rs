//! One sink at work.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    Clock, Cursors, Delivery, Error, ErrorKind, Failure, SetAside, SinkEvent, SinkState, Witness,
    backoff::Backoff,
    cursors::{Place, Step},
    read::{Again, Batch, Item, Source},
    sinks::States,
};

/// So many records are set aside one after the other, with none taken between them. Then it is the
/// other side that is wrong, and the sink waits for it.
const STREAK: u32 = 20;
/// What was read longer ago than this is read again before it is sent: it may be erased by now.
const FRESH: Duration = Duration::from_secs(1);
const BROKEN: &str = "it cannot be read from the book";

pub(crate) struct Worker {
    source: Arc<Source>,
    cursors: Cursors,
    clock: Arc<dyn Clock>,
    witness: Arc<dyn Witness>,
    stop: CancellationToken,
    /// Where others look, and at which place.
    shown: (States, usize),
    state: SinkState,
    planned: Option<u64>,
    anchor: Option<[u8; 32]>,
    backoff: Backoff,
    /// Records that were set aside since one was taken.
    streak: u32,
}

/// The gateway ends.
struct Stopped;

/// What ends a round.
enum Ended {
    Stopped,
    Failed(Error),
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Stopped> for Ended {
    fn from(_: Stopped) -> Self {
        Self::Stopped
    }
}

impl Worker {
    pub(crate) fn new(
        source: Source,
        place: Place,
        cursors: Cursors,
        clock: Arc<dyn Clock>,
        witness: Arc<dyn Witness>,
        stop: CancellationToken,
        shown: (States, usize),
    ) -> Self {
        Self {
            source: Arc::new(source),
            cursors,
            clock,
            witness,
            stop,
            shown,
            state: place.state,
            planned: place.planned,
            anchor: place.anchor,
            backoff: Backoff::default(),
            streak: 0,
        }
    }

    /// Sends what is there and what comes, until it is told to stop.
    pub(crate) async fn run(mut self) {
        let sink = &self.source.sink;
        let started = SinkEvent::Started {
            sink: self.state.name.clone(),
            kind: sink.kind(),
            format: sink.options.format.as_str(),
            query: sink.options.query_text.clone(),
        };
        let interval = sink.options.interval;
        self.witness.note(&started).await;
        let mut fits = false;
        while !self.stop.is_cancelled() {
            let round = async {
                if !fits {
                    self.fit().await?;
                    fits = true;
                }
                self.round().await
            };
            let pause = match round.await {
                Ok(more) => {
                    // A round ends when all of it is taken or set aside.
                    self.well().await;
                    if more {
                        continue;
                    }
                    interval
                }
                Err(Ended::Stopped) => return,
                Err(Ended::Failed(error)) => {
                    let name = &self.state.name;
                    tracing::warn!(sink = name, %error, "a sink cannot go on for now");
                    self.failed(&error.to_string()).await;
                    self.backoff.next(None, &*self.clock)
                }
            };
            if self.pause(pause).await.is_err() {
                return;
            }
        }
    }

    /// Sees to it that the cursor is about this very book.
    async fn fit(&mut self) -> Result<(), Error> {
        let (source, cursor) = (self.source.clone(), self.state.cursor);
        let there = blocking(move || match cursor.checked_sub(1) {
            Some(last) => Ok(source.book.leaf_at(last)?),
            None => Ok(None),
        });
        let fits = self.state.log == self.source.origin && there.await? == self.anchor;
        if fits {
            return Ok(());
        }
        let event = SinkEvent::OtherBook {
            sink: self.state.name.clone(),
            before: self.state.log.clone(),
            cursor,
        };
        tracing::warn!(
            sink = self.state.name,
            "the book is another than before; the sink sends it from its start"
        );
        let (name, origin) = (self.state.name.clone(), self.source.origin.clone());
        self.keep(move |cursors| cursors.rebase(&name, &origin))
            .await?;
        self.witness.note(&event).await;
        self.state.log.clone_from(&self.source.origin);
        self.state.cursor = 0;
        (self.anchor, self.planned) = (None, None);
        Ok(())
    }

    /// Sends a batch. Whether there may be another one right behind it.
    async fn round(&mut self) -> Result<bool, Ended> {
        self.resend().await?;
        let (source, from, planned) = (self.source.clone(), self.state.cursor, self.planned);
        let batch = blocking(move || source.next(from, planned)).await?;
        self.state.behind = batch.size.saturating_sub(from);
        self.show();
        if batch.to == from && planned.is_none() {
            return Ok(false);
        }
        if !batch.parts.is_empty() && planned.is_none() {
            // Written down first, so that after a crash the same goes out under the same key.
            let (name, to) = (self.state.name.clone(), batch.to);
            self.keep(move |cursors| cursors.plan(&name, to)).await?;
            self.planned = Some(batch.to);
        }
        self.send(batch).await
    }

    async fn send(&mut self, batch: Batch) -> Result<bool, Ended> {
        let (mut sent, mut skipped) = (0_u64, batch.skipped);
        self.put_broken_aside(&batch.broken).await?;
        let mut parts = VecDeque::from(batch.parts);
        let mut paused: Option<Instant> = None;
        while let Some(mut part) = parts.pop_front() {
            let waited = paused.is_some_and(|paused| part.read < paused);
            if waited || part.read.elapsed() > FRESH {
                // What is erased must not go out from memory, however long the other side was down
                // or busy with what came before.
                let (source, refusals) = (self.source.clone(), part.refusals);
                let again = blocking(move || source.again(&part.items)).await?;
                skipped += again.gone;
                self.put_broken_aside(&again.broken).await?;
                // Its age is not looked at again: a book that is slow to read is sent all the same.
                let mut fresh = VecDeque::from(again.parts);
                let Some(first) = fresh.pop_front() else {
                    continue;
                };
                for later in fresh.into_iter().rev() {
                    parts.push_front(later);
                }
                part = first;
                part.refusals = refusals;
            }
            let Err(failure) = self.try_once(&part.delivery).await else {
                self.streak = 0;
                self.well().await;
                sent += count(&part.items);
                continue;
            };
            if failure.refused {
                part.refusals = part.refusals.saturating_add(1);
                if part.items.len() > 1 {
                    let source = self.source.clone();
                    let halves = blocking(move || source.halves(&part.items)).await?;
                    skipped += halves.gone;
                    self.put_broken_aside(&halves.broken).await?;
                    for half in halves.parts.into_iter().rev() {
                        parts.push_front(half);
                    }
                    continue;
                }
                let tries = self.source.sink.options.tries;
                if part.refusals >= tries && (failure.itself || self.streak < STREAK) {
                    for item in &part.items {
                        self.put_aside(item, tries, &failure.to_string()).await?;
                    }
                    self.streak += u32::from(!failure.itself);
                    self.well().await;
                    continue;
                }
            }
            tracing::debug!(sink = self.state.name, why = %failure, "a delivery failed");
            self.failed(&failure.to_string()).await;
            let wait = self.backoff.next(failure.after, &*self.clock);
            self.pause(wait).await?;
            paused = Some(Instant::now());
            parts.push_front(part);
        }
        let step = Step {
            to: batch.to,
            anchor: batch.anchor,
            sent,
            skipped,
            at: self.clock.now(),
        };
        let (name, taken) = (self.state.name.clone(), step.clone());
        self.keep(move |cursors| cursors.advance(&name, &taken))
            .await?;
        (self.anchor, self.planned) = (step.anchor, None);
        self.state.cursor = step.to;
        self.state.sent += sent;
        self.state.skipped += skipped;
        self.state.behind = batch.size.saturating_sub(step.to);
        if sent > 0 {
            self.state.last_sent = Some(step.at);
        }
        self.show();
        Ok(self.state.behind > 0)
    }

    async fn try_once(&self, delivery: &Delivery) -> Result<(), Failure> {
        let sink = &self.source.sink;
        let delivered = sink.target.deliver(delivery);
        match tokio::time::timeout(sink.options.timeout, delivered).await {
            Ok(delivered) => delivered,
            Err(_) => Err(Failure::again("no answer in time")),
        }
    }

    /// Sends again what was set aside and is wanted again: each once, unless the other side is down.
    async fn resend(&mut self) -> Result<(), Error> {
        let (cursors, name, log) = (
            self.cursors.clone(),
            self.state.name.clone(),
            self.state.log.clone(),
        );
        let wanted = blocking(move || cursors.wanted(&name, &log)).await?;
        for record in wanted {
            let (source, index, exchange) = (self.source.clone(), record.index, record.exchange);
            let Again { parts, broken, .. } = blocking(move || source.one(index, exchange)).await?;
            if !broken.is_empty() {
                // It stays where it is until it can be read.
                self.put_broken_aside(&broken).await?;
                continue;
            }
            let sent = match parts.first() {
                None => false,
                Some(part) => match self.try_once(&part.delivery).await {
                    Ok(()) => true,
                    Err(failure) if failure.refused => {
                        let item = part.items.first().copied();
                        if let Some(item) = item {
                            self.put_aside(&item, 1, &failure.to_string()).await?;
                        }
                        continue;
                    }
                    // What is new comes first, and finds out when it is up again.
                    Err(_) => return Ok(()),
                },
            };
            let name = self.state.name.clone();
            let taken = record.clone();
            self.keep(move |cursors| cursors.taken_back(&name, &taken, sent))
                .await?;
            self.state.set_aside = self.state.set_aside.saturating_sub(1);
            if sent {
                self.state.sent += 1;
                let event = SinkEvent::Resent {
                    sink: self.state.name.clone(),
                    exchange,
                    index,
                };
                self.witness.note(&event).await;
            } else {
                self.state.skipped += 1;
            }
            self.show();
        }
        Ok(())
    }

    async fn put_broken_aside(&mut self, items: &[Item]) -> Result<(), Error> {
        for item in items {
            self.put_aside(item, 0, BROKEN).await?;
        }
        Ok(())
    }

    async fn put_aside(&mut self, item: &Item, tries: u32, why: &str) -> Result<(), Error> {
        let record = SetAside {
            log: self.state.log.clone(),
            index: item.index,
            exchange: item.exchange,
            why: why.to_owned(),
            tries,
            at: self.clock.now(),
            again: false,
        };
        let (cursors, name) = (self.cursors.clone(), self.state.name.clone());
        let kept = blocking(move || {
            cursors.put_aside(&name, &record)?;
            cursors.state(&name)
        });
        if let Some(state) = kept.await? {
            self.state.set_aside = state.set_aside;
        }
        self.show();
        tracing::warn!(
            sink = self.state.name,
            exchange = %item.exchange,
            why,
            "a record is set aside"
        );
        let event = SinkEvent::SetAside {
            sink: self.state.name.clone(),
            exchange: item.exchange,
            index: item.index,
            why: why.to_owned(),
        };
        self.witness.note(&event).await;
        Ok(())
    }

    /// The other side answers as it should.
    async fn well(&mut self) {
        self.backoff.reset();
        let Some(since) = self.state.failing_since.take() else {
            return;
        };
        let told = std::mem::take(&mut self.state.told);
        self.state.why = None;
        self.keep_state().await;
        if told {
            let sink = self.state.name.clone();
            tracing::info!(sink, "a sink goes on");
            let event = SinkEvent::Recovered { sink, since };
            self.witness.note(&event).await;
        }
    }

    async fn failed(&mut self, why: &str) {
        let now = self.clock.now();
        let since = *self.state.failing_since.get_or_insert(now);
        self.state.why = Some(why.to_owned());
        let long = self.source.sink.options.alarm_after.as_micros();
        let lasts = now.as_micros().saturating_sub(since.as_micros());
        let tell = !self.state.told && u128::try_from(lasts).is_ok_and(|lasts| lasts >= long);
        self.state.told |= tell;
        self.keep_state().await;
        if tell {
            let (sink, why) = (self.state.name.clone(), why.to_owned());
            tracing::error!(sink, why, "a sink has failed for long");
            let event = SinkEvent::Failing { sink, since, why };
            self.witness.note(&event).await;
        }
    }

    async fn keep_state(&self) {
        self.show();
        let state = self.state.clone();
        if let Err(error) = self.keep(move |cursors| cursors.keep(&state)).await {
            tracing::warn!(sink = self.state.name, %error, "the state of a sink cannot be kept");
        }
    }

    fn show(&self) {
        let (states, at) = &self.shown;
        if let Some(shown) = states.lock().get_mut(*at) {
            shown.clone_from(&self.state);
        }
    }

    async fn keep(
        &self,
        change: impl FnOnce(&Cursors) -> Result<(), Error> + Send + 'static,
    ) -> Result<(), Error> {
        let cursors = self.cursors.clone();
        blocking(move || change(&cursors)).await
    }

    async fn pause(&self, time: Duration) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => Err(Stopped),
            () = tokio::time::sleep(time) => Ok(()),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| Error::because(ErrorKind::Task, error))?
}

fn count(items: &[Item]) -> u64 {
    u64::try_from(items.len()).unwrap_or(u64::MAX)
}
