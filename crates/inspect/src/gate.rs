//! A stream whose tool calls are judged before they pass.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::time::Sleep;
use tollbook_exchange::Refusal;
use tollbook_sse::Splitter;

use crate::{
    protocol::{Call, CallsError, Step},
    tee::Tee,
    tools::{Asker, Judging, unreadable},
};

/// The longest event, in bytes.
const MAX_EVENT: usize = 16 << 20;

/// Where an event stream waits while somebody judges a call in it.
///
/// The record gets every event as it comes; the caller gets it when it may. Both get whole events,
/// so neither depends on where the upstream's bytes were cut.
pub(crate) struct Gate {
    asker: Asker,
    splitter: Splitter,
    judging: Option<(Call, Judging)>,
    /// When the caller needs a sign of life. Set while something waits.
    ping: Option<Pin<Box<Sleep>>>,
    upstream: Upstream,
    failed: Option<Refusal>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Upstream {
    /// More may come.
    Open,
    /// It has said all.
    Ended,
    /// And all of that has been looked at.
    Read,
}

/// What is to be done with the answer.
pub(crate) enum Next {
    /// These bytes go to the caller.
    Pass(Bytes),
    /// The upstream is to be read.
    Read,
    /// The answer ends here.
    Cut(Refusal),
    /// The answer is over.
    Done,
}

impl Gate {
    pub(crate) fn new(asker: Asker) -> Self {
        Self {
            asker,
            splitter: Splitter::new(MAX_EVENT),
            judging: None,
            ping: None,
            upstream: Upstream::Open,
            failed: None,
        }
    }

    /// Takes the next bytes as they came.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.splitter.push(bytes);
    }

    /// The upstream has said all.
    pub(crate) fn end(&mut self) {
        if self.upstream == Upstream::Open {
            self.upstream = Upstream::Ended;
        }
    }

    /// What is to be done next.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>, tee: &mut Tee) -> Poll<Next> {
        let mut passed = Vec::new();
        loop {
            if let Some((_, judging)) = &mut self.judging {
                if !passed.is_empty() {
                    return self.pass(&passed);
                }
                let Poll::Ready(judged) = judging.as_mut().poll(cx) else {
                    return self.poll_ping(cx).map(Next::Pass);
                };
                if let Some((call, _)) = self.judging.take() {
                    match self.asker.decided(&call, judged) {
                        Ok(()) => self.asker.hold.release(),
                        Err(refusal) => return Poll::Ready(Next::Cut(refusal)),
                    }
                }
            } else if let Some(refusal) = &self.failed {
                if !passed.is_empty() {
                    return self.pass(&passed);
                }
                return Poll::Ready(Next::Cut(refusal.clone()));
            }
            let step = self.asker.hold.step();
            let ran = self.asker.hold.take_ran();
            self.asker.ran(ran);
            match step {
                Ok(Step::Pass(bytes)) => passed.push(bytes),
                Ok(Step::Judge(call)) => {
                    let judging = self.asker.ask(&call);
                    self.judging = Some((call, judging));
                }
                Ok(Step::More) => {
                    if !self.read(tee) {
                        if !passed.is_empty() {
                            return self.pass(&passed);
                        }
                        return Poll::Ready(match self.upstream {
                            Upstream::Read => Next::Done,
                            _ => Next::Read,
                        });
                    }
                }
                Err(error) => self.failed = Some(unreadable(error)),
            }
        }
    }

    /// While the upstream is silent: a sign of life, when the caller has waited long for what is
    /// held back from it.
    pub(crate) fn poll_quiet(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        if self.asker.hold.is_holding() {
            self.poll_ping(cx)
        } else {
            Poll::Pending
        }
    }

    /// Looks at the next event. Whether there was one.
    fn read(&mut self, tee: &mut Tee) -> bool {
        match self.splitter.next_frame() {
            Ok(Some(frame)) => {
                self.event(frame.as_bytes(), tee);
                true
            }
            Ok(None) if self.upstream == Upstream::Ended => {
                let rest = self.splitter.finish();
                self.event(&rest, tee);
                self.asker.hold.finish();
                self.upstream = Upstream::Read;
                true
            }
            Ok(None) => false,
            Err(_) => {
                self.failed = Some(unreadable(CallsError::Unreadable));
                true
            }
        }
    }

    fn event(&mut self, bytes: &[u8], tee: &mut Tee) {
        // What cannot be recorded does not pass; nor what is coded although nobody said so, since a
        // call in it could not be seen.
        if tee.push(bytes).is_ok() && !tee.is_coded() {
            self.asker.hold.push(bytes);
        } else {
            self.failed = Some(unreadable(CallsError::Unreadable));
        }
    }

    fn pass(&mut self, passed: &[Bytes]) -> Poll<Next> {
        self.ping = None;
        Poll::Ready(Next::Pass(match passed {
            [one] => one.clone(),
            many => {
                let mut all = BytesMut::with_capacity(many.iter().map(Bytes::len).sum());
                many.iter().for_each(|bytes| all.extend_from_slice(bytes));
                all.freeze()
            }
        }))
    }

    fn poll_ping(&mut self, cx: &mut Context<'_>) -> Poll<Bytes> {
        let quiet = self.asker.quiet;
        let sleep = || Box::pin(tokio::time::sleep(quiet));
        ready!(self.ping.get_or_insert_with(sleep).as_mut().poll(cx));
        self.ping = None;
        Poll::Ready(Bytes::from_static(self.asker.hold.ping()))
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let withheld = self.asker.hold.withheld();
        if !withheld.is_empty() {
            self.asker.withheld(withheld);
        }
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("judging", &self.judging.is_some())
            .finish_non_exhaustive()
    }
}
