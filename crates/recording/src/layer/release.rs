//! What of an answer waits until its record is durable.

use std::{collections::VecDeque, fmt, pin::Pin, time::Duration};

use bytes::Bytes;
use http_body::Frame;
use tokio::time::Sleep;

use super::body::{BoxError, Keeping};
use crate::Recording;

/// How an answer passes of which each byte must be durable before the caller gets it.
///
/// It waits until so much of it has come, or for so long, and is then made durable and let go in one
/// step, while the next one gathers: at most about twice `step` waits in memory, and what comes
/// beyond it waits with the upstream. An event whose end masking has not seen is not in the record
/// yet, and waits for that end. Where 64 MiB wait for one, the answer is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Release {
    /// Bytes that make a step. 64 KiB unless told.
    pub step: usize,
    /// How long what has come may wait for more. 100 milliseconds unless told.
    pub within: Duration,
}

impl Release {
    /// With steps of this size, which are made at latest after this time.
    pub const fn new(step: usize, within: Duration) -> Self {
        Self { step, within }
    }

    /// With a step for each piece that comes.
    pub const fn strict() -> Self {
        Self::new(1, Duration::ZERO)
    }
}

impl Default for Release {
    fn default() -> Self {
        Self::new(64 << 10, Duration::from_millis(100))
    }
}

/// The frames of an answer that wait.
pub(super) struct Held {
    how: Release,
    /// Each with how much had been seen for the record when it came.
    frames: VecDeque<(u64, Frame<Bytes>)>,
    /// How many of the first are durable.
    ready: usize,
    /// Bytes of those that nothing is done for yet.
    bytes: usize,
    /// What all of them take in memory, roughly.
    memory: usize,
    writing: Option<Writing>,
    /// So much of what was seen is durable.
    durable: u64,
    due: Option<Pin<Box<Sleep>>>,
    /// How the inner body ended.
    pub(super) end: Option<Result<(), BoxError>>,
}

/// A step that is being made durable.
pub(super) struct Writing {
    pub(super) done: Keeping,
    /// How many frames were there when it began.
    frames: usize,
    /// How much of what was seen it makes durable.
    settled: u64,
}

impl Held {
    pub(super) fn new(how: Release) -> Self {
        Self {
            how,
            frames: VecDeque::new(),
            ready: 0,
            bytes: 0,
            memory: 0,
            writing: None,
            durable: 0,
            due: None,
            end: None,
        }
    }

    /// The next frame that may go.
    pub(super) fn next(&mut self) -> Option<Frame<Bytes>> {
        self.ready = self.ready.checked_sub(1)?;
        let (_, frame) = self.frames.pop_front()?;
        self.memory = self.memory.saturating_sub(memory(&frame));
        Some(frame)
    }

    /// Takes a frame.
    pub(super) fn came(&mut self, frame: Frame<Bytes>, recording: &Recording) {
        let (seen, pending) =
            (recording.exchange()).draft(|draft| (draft.response.seen, draft.response.pending));
        // Of what the gate says itself there is nothing to be recorded.
        let is_durable = pending == 0 && seen <= self.durable;
        if is_durable && self.frames.len() == self.ready && self.writing.is_none() {
            self.ready += 1;
        } else {
            self.bytes += length(&frame);
            self.wait();
        }
        self.memory = self.memory.saturating_add(memory(&frame));
        self.frames.push_back((seen, frame));
    }

    /// Whether more may come.
    pub(super) fn has_room(&self, recording: &Recording) -> bool {
        self.bytes < self.how.step.saturating_mul(2) || !self.is_settled(recording)
    }

    /// Whether more waits than ever should: what came last has no end that masking could see.
    pub(super) const fn is_full(&self) -> bool {
        self.memory > MOST
    }

    /// Whether it is time for a step.
    pub(super) fn is_due(&self, recording: &Recording) -> bool {
        let is_time = self.bytes >= self.how.step || self.due.is_none() || self.end.is_some();
        self.writing.is_none() && is_time && self.is_settled(recording)
    }

    /// Begins a step.
    pub(super) fn write(&mut self, recording: &Recording) {
        self.writing = Some(Writing {
            // Read before what is in the draft is taken: it can only be more by then.
            settled: recording.exchange().draft(|draft| draft.response.settled),
            done: Box::pin(recording.release()),
            frames: self.frames.len(),
        });
        self.bytes = 0;
        self.due = None;
    }

    pub(super) const fn writing(&mut self) -> Option<&mut Writing> {
        self.writing.as_mut()
    }

    /// The step is durable: what it was about may go.
    pub(super) fn written(&mut self) {
        let Some(step) = self.writing.take() else {
            return;
        };
        self.durable = self.durable.max(step.settled);
        let of_step = self.frames.iter().take(step.frames);
        self.ready = of_step
            .take_while(|(seen, _)| *seen <= step.settled)
            .count();
        let rest = self.frames.iter().skip(self.ready);
        self.bytes = rest.map(|(_, frame)| length(frame)).sum();
        if self.frames.len() > self.ready {
            self.wait();
        }
    }

    /// The time after which what waits makes a step, if it is running.
    pub(super) const fn due(&mut self) -> Option<&mut Pin<Box<Sleep>>> {
        self.due.as_mut()
    }

    /// The time is over.
    pub(super) fn elapsed(&mut self) {
        self.due = None;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether nothing is under way, and nothing can be: of what waits the record has not all.
    pub(super) fn is_stuck(&self, recording: &Recording) -> bool {
        self.writing.is_none() && !self.frames.is_empty() && !self.is_settled(recording)
    }

    /// Bytes that wait.
    pub(super) fn size(&self) -> u64 {
        self.frames
            .iter()
            .map(|(_, frame)| length(frame) as u64)
            .sum()
    }

    /// Whether the first frame is in the record as a whole.
    fn is_settled(&self, recording: &Recording) -> bool {
        let settled = || recording.exchange().draft(|draft| draft.response.settled);
        self.frames
            .front()
            .is_some_and(|(seen, _)| *seen <= settled())
    }

    fn wait(&mut self) {
        if self.due.is_none() {
            self.due = Some(Box::pin(tokio::time::sleep(self.how.within)));
        }
    }
}

/// What a frame takes in memory, roughly: many small ones take more than their bytes.
fn memory(frame: &Frame<Bytes>) -> usize {
    length(frame).saturating_add(128)
}

fn length(frame: &Frame<Bytes>) -> usize {
    frame.data_ref().map_or(0, Bytes::len)
}

/// Twice what an event may have, or a document that is held: more than the record ever is behind.
const MOST: usize = 64 << 20;

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("frames", &self.frames.len())
            .finish_non_exhaustive()
    }
}
