//! What the server owes: one entry for each message that it was sent and that it answers.
//!
//! The rules are those of the chapter "Message Flow" of PostgreSQL's documentation. What does not keep
//! them is an error, and ends the session: a gate that is out of step would judge one thing and let through
//! another.

use std::collections::VecDeque;

use tollbook_wire_postgres::Error;

/// What the server owes, oldest first, each with what the session wants to know of it.
#[derive(Debug)]
pub(super) struct Queue<X> {
    waiting: VecDeque<Expected<X>>,
    /// The server throws away what comes until the next Sync.
    skipping: bool,
    /// The server takes what is copied.
    copying: bool,
    /// How many ends of series are not answered on their own, since somebody asked.
    merged: u64,
}

/// The answer to one message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expected<X> {
    /// What was sent.
    pub(super) kind: Kind,
    phase: Phase,
    /// What is known of it.
    pub(super) of: X,
}

/// A message that is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Query,
    Parse,
    Bind,
    Close,
    DescribeStatement,
    DescribePortal,
    Execute,
    Call,
    Sync,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Begun,
    /// The types of the parameters came, the columns did not.
    Types,
    CopyIn,
    CopyOut,
    /// What was asked failed; only the end of the series is to come.
    Failed,
    /// A Sync that came while something was copied: the server overlooks it if the copying goes well.
    Overlooked,
}

/// What a server's message means for what it owes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard<X> {
    /// It is about the first, and more of it comes.
    More,
    /// The first has ended.
    Ended(Expected<X>),
    /// The first failed, and those behind it are not run.
    Failed(Expected<X>, Vec<Expected<X>>),
}

impl<X> Queue<X> {
    /// Notes a message that is sent now.
    ///
    /// # Errors
    ///
    /// Gives it back when the server would throw it away: it must not be sent.
    pub(super) fn push(&mut self, kind: Kind, of: X) -> Result<(), X> {
        let mut phase = Phase::Begun;
        if kind == Kind::Sync {
            self.skipping = false;
            if self.copying {
                phase = Phase::Overlooked;
            }
        } else if self.skipping {
            self.merged += u64::from(kind.ends_series());
            return Err(of);
        }
        self.waiting.push_back(Expected { kind, phase, of });
        Ok(())
    }

    /// Takes in a server's message that is neither a notice, nor a setting, nor a notification.
    ///
    /// # Errors
    ///
    /// When it is not what is owed.
    pub(super) fn heard(&mut self, tag: u8) -> Result<Heard<X>, Error> {
        let unexpected = Err(Error::Unexpected(tag));
        let Some(first) = self.waiting.front_mut() else {
            return unexpected;
        };
        let phase = first.phase;
        match (first.kind, tag, phase) {
            (Kind::Parse, b'1', _) | (Kind::Bind, b'2', _) | (Kind::Close, b'3', _) => {}
            (Kind::DescribeStatement, b't', Phase::Begun) => {
                first.phase = Phase::Types;
                return Ok(Heard::More);
            }
            (Kind::DescribeStatement, b'T' | b'n', Phase::Types)
            | (Kind::DescribePortal, b'T' | b'n', _) => {}
            (Kind::Execute, b'I' | b's', Phase::Begun) => {}
            (Kind::Execute, b'D', Phase::Begun) => return Ok(Heard::More),
            (Kind::Execute, b'C', Phase::Begun | Phase::CopyIn) => {
                if phase == Phase::CopyIn {
                    self.copied();
                }
            }
            (Kind::Query, b'T' | b'D' | b'I', Phase::Begun) => return Ok(Heard::More),
            (Kind::Query, b'C', Phase::Begun | Phase::CopyIn) => {
                first.phase = Phase::Begun;
                if phase == Phase::CopyIn {
                    self.copied();
                }
                return Ok(Heard::More);
            }
            (Kind::Execute | Kind::Query, b'G', Phase::Begun) => {
                first.phase = Phase::CopyIn;
                self.copy();
                return Ok(Heard::More);
            }
            (Kind::Execute | Kind::Query, b'H', Phase::Begun) => {
                first.phase = Phase::CopyOut;
                return Ok(Heard::More);
            }
            (Kind::Execute | Kind::Query, b'd', Phase::CopyOut) => return Ok(Heard::More),
            (Kind::Execute | Kind::Query, b'c', Phase::CopyOut) => {
                first.phase = Phase::Begun;
                return Ok(Heard::More);
            }
            (Kind::Call, b'V', Phase::Begun) => return Ok(Heard::More),
            (Kind::Query | Kind::Call | Kind::Sync, b'E', _) if phase != Phase::Failed => {
                first.phase = Phase::Failed;
                self.copying = false;
                return Ok(Heard::More);
            }
            (Kind::Query, b'Z', Phase::Begun | Phase::Failed)
            | (Kind::Call | Kind::Sync, b'Z', _) => {}
            (
                Kind::Parse
                | Kind::Bind
                | Kind::Close
                | Kind::DescribeStatement
                | Kind::DescribePortal
                | Kind::Execute,
                b'E',
                _,
            ) => return Ok(self.failed()),
            _ => return unexpected,
        }
        match self.waiting.pop_front() {
            Some(first) => Ok(Heard::Ended(first)),
            None => unexpected,
        }
    }

    /// What is answered now.
    pub(super) fn first(&mut self) -> Option<&mut Expected<X>> {
        self.waiting.front_mut()
    }

    /// Whether the server takes what is copied.
    pub(super) const fn copying(&self) -> bool {
        self.copying
    }

    /// The client has copied all, or gives up.
    pub(super) const fn copy_ends(&mut self) {
        self.copying = false;
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// How many ends of series will not be answered on their own, since this was asked last.
    pub(super) const fn merged(&mut self) -> u64 {
        std::mem::replace(&mut self.merged, 0)
    }

    /// Takes all that is owed still.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Expected<X>> {
        self.waiting.drain(..)
    }

    /// The server reads what is copied: it overlooks the Syncs that it finds before that.
    fn copy(&mut self) {
        self.copying = true;
        while self
            .waiting
            .get(1)
            .is_some_and(|next| next.kind == Kind::Sync)
        {
            self.waiting.remove(1);
            self.merged += 1;
        }
    }

    /// All was copied.
    fn copied(&mut self) {
        self.copying = false;
        let before = self.waiting.len();
        self.waiting
            .retain(|expected| expected.phase != Phase::Overlooked);
        self.merged += (before - self.waiting.len()) as u64;
    }

    fn failed(&mut self) -> Heard<X> {
        self.copying = false;
        let end = self.waiting.iter().position(|next| next.kind == Kind::Sync);
        self.skipping = end.is_none();
        let end = end.unwrap_or(self.waiting.len());
        let mut over = self.waiting.drain(..end);
        let Some(first) = over.next() else {
            return Heard::More;
        };
        let skipped: Vec<_> = over.collect();
        let ends = skipped.iter().filter(|skipped| skipped.kind.ends_series());
        self.merged += ends.count() as u64;
        Heard::Failed(first, skipped)
    }
}

impl<X> Default for Queue<X> {
    fn default() -> Self {
        Self {
            waiting: VecDeque::new(),
            skipping: false,
            copying: false,
            merged: 0,
        }
    }
}

impl Kind {
    /// Whether the server says that it is ready when it has answered.
    pub(super) const fn ends_series(self) -> bool {
        matches!(self, Self::Query | Self::Call | Self::Sync)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A server that answers as the documentation says, and skips as it does.
    #[derive(Default)]
    struct Server {
        skips: bool,
    }

    impl Server {
        /// The tags of its answer to a message; `fails` says whether it fails.
        fn answer(&mut self, kind: Kind, fails: bool) -> Vec<u8> {
            if kind == Kind::Sync {
                self.skips = false;
                return if fails { b"EZ".to_vec() } else { b"Z".to_vec() };
            }
            if self.skips {
                return Vec::new();
            }
            self.skips = fails && !kind.ends_series();
            match (kind, fails) {
                (Kind::Query, true) => b"TDCTDEZ".to_vec(),
                (Kind::Query, false) => b"TDDCIHddcCZ".to_vec(),
                (Kind::Call, true) => b"EZ".to_vec(),
                (Kind::Call, false) => b"VZ".to_vec(),
                (Kind::DescribeStatement, true) => b"tE".to_vec(),
                (Kind::Execute, true) => b"DE".to_vec(),
                (_, true) => b"E".to_vec(),
                (Kind::Parse, _) => b"1".to_vec(),
                (Kind::Bind, _) => b"2".to_vec(),
                (Kind::Close, _) => b"3".to_vec(),
                (Kind::DescribeStatement, _) => b"tT".to_vec(),
                (Kind::DescribePortal, _) => b"n".to_vec(),
                (Kind::Execute, _) => b"DDs".to_vec(),
                (Kind::Sync, _) => Vec::new(),
            }
        }
    }

    fn kind() -> impl Strategy<Value = Kind> {
        prop_oneof![
            Just(Kind::Query),
            Just(Kind::Parse),
            Just(Kind::Bind),
            Just(Kind::Close),
            Just(Kind::DescribeStatement),
            Just(Kind::DescribePortal),
            Just(Kind::Execute),
            Just(Kind::Call),
            Just(Kind::Sync),
        ]
    }

    proptest! {
        /// However the sending and the answering take turns, each message gets its own answer, once.
        #[test]
        fn every_message_is_answered_or_skipped_once(
            sent in proptest::collection::vec((kind(), any::<bool>(), 0usize..4), 0..60),
        ) {
            let mut queue = Queue::default();
            let mut server = Server::default();
            let mut wire = VecDeque::new();
            let mut over = Vec::new();
            let mut skips = Vec::new();
            let hear = |queue: &mut Queue<usize>, tag: u8, over: &mut Vec<usize>, skips: &mut Vec<usize>| {
                match queue.heard(tag) {
                    Ok(Heard::More) => {}
                    Ok(Heard::Ended(expected)) => over.push(expected.of),
                    Ok(Heard::Failed(first, rest)) => {
                        over.push(first.of);
                        skips.extend(rest.into_iter().map(|expected| expected.of));
                    }
                    Err(error) => panic!("{error}"),
                }
            };
            let mut answered = Vec::new();
            for (index, (kind, fails, listen)) in sent.iter().enumerate() {
                let pushed = queue.push(*kind, index);
                let answer = match pushed {
                    // It was not sent.
                    Err(index) => {
                        skips.push(index);
                        Vec::new()
                    }
                    Ok(()) => server.answer(*kind, *fails),
                };
                if !answer.is_empty() {
                    answered.push(index);
                }
                wire.extend(answer);
                for _ in 0..*listen {
                    if let Some(tag) = wire.pop_front() {
                        hear(&mut queue, tag, &mut over, &mut skips);
                    }
                }
            }
            for tag in wire {
                hear(&mut queue, tag, &mut over, &mut skips);
            }
            prop_assert_eq!(&over, &answered);
            prop_assert!(queue.is_empty());
            let mut all: Vec<_> = over.into_iter().chain(skips).collect();
            all.sort_unstable();
            prop_assert_eq!(all, (0..sent.len()).collect::<Vec<_>>());
        }

        /// Whatever comes, nothing is answered that was not asked.
        #[test]
        fn garbage_answers_nothing_more_than_once(
            sent in proptest::collection::vec(kind(), 0..10),
            heard in proptest::collection::vec(any::<u8>(), 0..100),
        ) {
            let mut queue = Queue::default();
            let mut left = sent.iter().filter(|kind| queue.push(**kind, ()).is_ok()).count();
            for tag in heard {
                match queue.heard(tag) {
                    Ok(Heard::More) => {}
                    Ok(Heard::Ended(_)) => left -= 1,
                    Ok(Heard::Failed(_, rest)) => left -= 1 + rest.len(),
                    Err(_) => break,
                }
            }
            prop_assert!(queue.len() <= left);
        }
    }

    #[test]
    fn what_nobody_asked_for_is_an_error() {
        let mut queue: Queue<()> = Queue::default();
        assert_eq!(queue.heard(b'Z'), Err(Error::Unexpected(b'Z')));
        queue.push(Kind::Parse, ()).unwrap();
        assert_eq!(queue.heard(b'2'), Err(Error::Unexpected(b'2')));
        // Copying in both directions is replication.
        queue.push(Kind::Query, ()).unwrap();
        assert_eq!(queue.heard(b'W'), Err(Error::Unexpected(b'W')));
    }

    #[test]
    fn a_sync_that_the_server_overlooks_is_not_owed() {
        let mut queue: Queue<u8> = Queue::default();
        queue.push(Kind::Execute, 0).unwrap();
        queue.push(Kind::Sync, 1).unwrap();
        assert_eq!(queue.heard(b'G'), Ok(Heard::More));
        assert!(queue.copying());
        queue.copy_ends();
        queue.push(Kind::Sync, 2).unwrap();
        let Ok(Heard::Ended(first)) = queue.heard(b'C') else {
            panic!("it goes on");
        };
        assert_eq!(first.of, 0);
        let Ok(Heard::Ended(last)) = queue.heard(b'Z') else {
            panic!("it goes on");
        };
        assert_eq!((last.of, queue.merged(), queue.len()), (2, 1, 0));
    }
}
