//! A body that is sent in steps.

use std::{
    collections::VecDeque,
    fmt,
    io::Write as _,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http_body::{Body, Frame};
use tokio::time::{Sleep, sleep};

/// One step of sending a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Sends bytes.
    Send(Bytes),
    /// Waits.
    Wait(Duration),
    /// Breaks off, so that the connection closes.
    Cut,
}

/// A body that takes its steps as it is polled. There is no task behind it that could be left over.
pub(super) struct Steps {
    steps: VecDeque<Step>,
    waiting: Option<Pin<Box<Sleep>>>,
}

impl Steps {
    pub(super) fn new(steps: impl Into<VecDeque<Step>>) -> Self {
        Self {
            steps: steps.into(),
            waiting: None,
        }
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        loop {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match self.steps.pop_front() {
                None => return Poll::Ready(None),
                Some(Step::Send(bytes)) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Some(Step::Wait(time)) => self.waiting = Some(Box::pin(sleep(time))),
                Some(Step::Cut) => return Poll::Ready(Some(Err(BrokenOff))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty() && self.waiting.is_none()
    }
}

/// The body was broken off on purpose.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken off on purpose")
    }
}

impl std::error::Error for BrokenOff {}

/// Lets a body end after at most `sent` of its pieces by breaking off.
///
/// The pause before is what makes the server write out what it holds; a body that failed at once
/// would take earlier pieces down with it.
pub(super) fn cut_after(steps: Vec<Step>, sent: usize) -> Vec<Step> {
    let mut kept = 0;
    let mut steps: Vec<Step> = steps
        .into_iter()
        .take_while(|step| {
            kept += usize::from(matches!(step, Step::Send(_)));
            kept <= sent
        })
        .collect();
    steps.extend([Step::Wait(Duration::from_millis(2)), Step::Cut]);
    steps
}

/// Puts a pause before everything that is sent.
pub(super) fn delayed(steps: Vec<Step>, pause: Duration) -> Vec<Step> {
    if pause.is_zero() {
        return steps;
    }
    let mut delayed = Vec::with_capacity(steps.len() * 2);
    for step in steps {
        if let Step::Send(_) = step {
            delayed.push(Step::Wait(pause));
        }
        delayed.push(step);
    }
    delayed
}

/// Compresses a body.
pub(super) fn gzip_whole(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    // Writing to memory does not fail.
    encoder.write_all(bytes).ok();
    encoder.finish().unwrap_or_default().into()
}

/// Compresses what the steps send, so that each piece can be decompressed when it comes.
pub(super) fn gzip(steps: Vec<Step>) -> Vec<Step> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let mut whole = true;
    let mut zipped: Vec<Step> = Vec::with_capacity(steps.len() + 1);
    for step in steps {
        zipped.push(match step {
            Step::Send(bytes) => {
                encoder
                    .write_all(&bytes)
                    .and_then(|()| encoder.flush())
                    .ok();
                Step::Send(std::mem::take(encoder.get_mut()).into())
            }
            other => {
                whole &= other != Step::Cut;
                other
            }
        });
    }
    if whole {
        zipped.extend(encoder.finish().ok().map(|end| Step::Send(end.into())));
    }
    zipped
}
