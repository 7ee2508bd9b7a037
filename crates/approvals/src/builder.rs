//! How the engine is put together, and its limits.

use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use crate::{Approvals, Clock, Key, Notify, People, Store, SystemClock, Witness, engine::Inner};

const MINUTE: Duration = Duration::from_secs(60);

/// How long things last and how many there may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long people have to decide: 15 minutes.
    pub decide_within: Duration,
    /// How long an approval may be used once it is given: 5 minutes.
    pub use_within: Duration,
    /// How many pending approvals one identity may have: 20.
    pub open: usize,
    /// How many requests of one identity are held at once: 100. Equal ones wait for one approval, so
    /// [`open`](Self::open) alone would not bound what is kept in memory for one caller.
    pub held: usize,
    /// For how long a request that was denied or expired is answered with that: 10 minutes.
    pub remember: Duration,
    /// For how long a denial also stands for what means the same but asks for more output, or is
    /// bound more closely: 1 minute.
    pub cool_down: Duration,
    /// How long ago a person may have signed in to decide: 12 hours.
    pub login_age: Duration,
    /// How long ago for what is risky, and for breaking glass: 15 minutes.
    pub fresh_login_age: Duration,
    /// From which risk on a request is risky: 70.
    pub high_risk: u8,
    /// Whether people may decide about a job that names who started it, when that person is in no
    /// [`Person`](crate::Person)'s accounts: no. If they may, whoever started it may decide with an
    /// account that the directory does not know to be theirs.
    pub unlinked_actors: bool,
    /// The longest standing grant: 4 hours.
    pub standing: Duration,
    /// The longest break-glass grant: 15 minutes.
    pub break_glass: Duration,
    /// How much of a request people are shown: 16 KiB.
    pub excerpt: usize,
    /// How often those who wait look into the store, for what another gateway decided: 2 seconds.
    pub poll: Duration,
    /// How long the store keeps what is over: 7 days.
    pub keep: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            decide_within: 15 * MINUTE,
            use_within: 5 * MINUTE,
            open: 20,
            held: 100,
            remember: 10 * MINUTE,
            cool_down: MINUTE,
            login_age: 12 * 60 * MINUTE,
            fresh_login_age: 15 * MINUTE,
            high_risk: 70,
            unlinked_actors: false,
            standing: 4 * 60 * MINUTE,
            break_glass: 15 * MINUTE,
            excerpt: 16 << 10,
            poll: Duration::from_secs(2),
            keep: 7 * 24 * 60 * MINUTE,
        }
    }
}

/// Builds [`Approvals`].
#[must_use]
pub struct ApprovalsBuilder {
    inner: Inner,
}

impl ApprovalsBuilder {
    pub(crate) fn new(store: Arc<dyn Store>, key: Key, witness: Arc<dyn Witness>) -> Self {
        Self {
            inner: Inner::new(store, key, witness, Arc::new(SystemClock)),
        }
    }

    /// Who is the same person as whom. Without it every account is a person of its own.
    pub fn people(mut self, people: People) -> Self {
        self.inner.people = people;
        self
    }

    /// The time.
    pub fn clock(mut self, clock: impl Clock) -> Self {
        self.inner.clock = Arc::new(clock);
        self
    }

    /// Other limits, each at most as wide as the engine can justify: grants are never longer than
    /// [`Limits::default`] has them.
    pub fn limits(mut self, mut limits: Limits) -> Self {
        let widest = Limits::default();
        limits.standing = limits.standing.min(widest.standing);
        limits.break_glass = limits.break_glass.min(widest.break_glass);
        self.inner.limits = limits;
        self
    }

    /// One more channel by which people learn of events.
    pub fn notify(mut self, channel: Arc<dyn Notify>) -> Self {
        self.inner.channels.push(channel);
        self
    }

    /// The groups whose people may break glass. Without them nobody may.
    pub fn break_glass<G: Into<String>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.inner.break_glass = groups.into_iter().map(Into::into).collect::<BTreeSet<_>>();
        self
    }

    /// The groups whose people may close the review of a break-glass grant. Without them, those who
    /// may break glass.
    pub fn reviewers<G: Into<String>>(mut self, groups: impl IntoIterator<Item = G>) -> Self {
        self.inner.reviewers = groups.into_iter().map(Into::into).collect::<BTreeSet<_>>();
        self
    }

    /// What callers are told to go to: an address to which the approval's id is added, such as
    /// `https://tollbook.acme.test/approvals/`. Without it they are told the command.
    pub fn page(mut self, prefix: impl Into<String>) -> Self {
        self.inner.page = Some(prefix.into());
        self
    }

    /// The engine.
    pub fn build(self) -> Approvals {
        Approvals::of(self.inner)
    }
}

impl fmt::Debug for ApprovalsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApprovalsBuilder").finish_non_exhaustive()
    }
}
