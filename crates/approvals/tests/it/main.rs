//! What the public surface of the crate promises.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod asking;
mod deciding;
mod granting;
#[cfg(feature = "tower")]
mod layer;
mod restarting;
mod states;
mod using;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};

use bytes::Bytes;
use tokio::time::Instant;
use tollbook_approvals::{
    Approval, ApprovalId, Approvals, ApprovalsBuilder, Ask, Ballot, BoxFuture, Choice, Clock,
    Digests, Error, Event, EventKind, Key, MemoryStore, Notify, Payload, People, Person, Semantic,
    Unwitnessed, Via, Witness,
};
use tollbook_exchange::{
    Access, Action, Actor, Decision, Groups, Masked, Principal, PrincipalKind, Requirement,
    Timestamp, Verdict,
};

/// 2025-11-21T20:00:00Z in seconds.
const START: i64 = 1_763_755_200;

/// Calendar time that goes as tokio's does, so that a paused runtime turns both.
#[derive(Clone)]
struct TestClock(Instant);

impl TestClock {
    fn start() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        let passed = u64::try_from(self.0.elapsed().as_micros()).unwrap();
        Timestamp::from_micros(START * 1_000_000).after_micros(passed)
    }
}

/// Notes what it is told, in order, as a witness and as a channel.
#[derive(Default)]
struct Log {
    noted: Mutex<Vec<Event>>,
    told: Mutex<Vec<Arc<Event>>>,
    broken: AtomicBool,
}

impl Log {
    fn noted(&self) -> Vec<EventKind> {
        (self.noted.lock().unwrap().iter())
            .map(|event| event.kind)
            .collect()
    }

    fn told(&self) -> Vec<EventKind> {
        (self.told.lock().unwrap().iter())
            .map(|event| event.kind)
            .collect()
    }

    fn break_down(&self, broken: bool) {
        self.broken.store(broken, Ordering::SeqCst);
    }
}

impl Witness for Log {
    fn note<'a>(&'a self, event: &'a Event) -> BoxFuture<'a, Result<(), Unwitnessed>> {
        Box::pin(async move {
            // The book takes its time, in which others may come.
            tokio::task::yield_now().await;
            if self.broken.load(Ordering::SeqCst) {
                return Err(Unwitnessed::default());
            }
            self.noted.lock().unwrap().push(event.clone());
            Ok(())
        })
    }
}

impl Notify for Log {
    fn notify(&self, event: Arc<Event>) {
        self.told.lock().unwrap().push(event);
    }
}

/// An engine with everything it stands on in reach.
struct World {
    approvals: Approvals,
    store: Arc<MemoryStore>,
    log: Arc<Log>,
    clock: TestClock,
}

impl World {
    fn new() -> Self {
        Self::with(|builder| builder)
    }

    fn with(change: impl FnOnce(ApprovalsBuilder) -> ApprovalsBuilder) -> Self {
        Self::on(Arc::new(MemoryStore::new()), TestClock::start(), change)
    }

    fn on(
        store: Arc<MemoryStore>,
        clock: TestClock,
        change: impl FnOnce(ApprovalsBuilder) -> ApprovalsBuilder,
    ) -> Self {
        let log = Arc::new(Log::default());
        let builder = Approvals::builder(store.clone(), Key::new([7; 32]), log.clone())
            .people(People::new([ann()]).unwrap())
            .clock(clock.clone())
            .notify(log.clone());
        Self {
            approvals: change(builder).build(),
            store,
            log,
            clock,
        }
    }

    /// A request with this body, for which `requires` is asked: `rule:group:people …`.
    fn ask(&self, body: &str, requires: &str) -> Ask {
        self.ask_as(job(), body, requires)
    }

    fn ask_as(&self, principal: Principal, body: &str, requires: &str) -> Ask {
        let digests = self.digests(body, None);
        let action = Action::new("messages.create").with("model", "claude-haiku-4-5");
        Ask::new(
            principal,
            "claude",
            "claude",
            masked(action),
            digests,
            decision(requires),
        )
        .showing(masked(Bytes::from(body.to_owned())))
    }

    fn digests(&self, body: &str, semantic: Option<(&str, i64)>) -> Digests {
        let semantic = semantic.map(|(canonical, max_tokens)| Semantic {
            canonical: canonical.as_bytes().to_vec(),
            max_tokens: Some(max_tokens),
        });
        self.approvals.digests(Payload {
            head: &[b"POST", b"/v1/messages"],
            body: body.as_bytes(),
            semantic: semantic.as_ref(),
        })
    }

    /// Opens an approval.
    async fn open(&self, ask: &Ask) -> Approval {
        match self.approvals.ask(&Arc::new(ask.clone())).await.unwrap() {
            tollbook_approvals::Asked::Waiting(ticket) => ticket.approval().clone(),
            other => panic!("{other:?}"),
        }
    }

    async fn approve(&self, id: &ApprovalId, voter: &Principal) -> Result<Approval, Error> {
        let hash = self.approvals.show(id).await?.hash().to_owned();
        let ballot = Ballot {
            hash: Some(hash),
            ..self.ballot(voter, Choice::Approve)
        };
        self.approvals.decide(id, ballot).await
    }

    async fn deny(&self, id: &ApprovalId, voter: &Principal) -> Result<Approval, Error> {
        let ballot = self.ballot(voter, Choice::Deny);
        self.approvals.decide(id, ballot).await
    }

    fn ballot(&self, voter: &Principal, choice: Choice) -> Ballot {
        Ballot {
            voter: voter.clone(),
            via: Via::SignIn,
            choice,
            hash: None,
            reason: Some("because\u{1b}[31m of\nthis".to_owned()),
        }
    }

    /// Somebody of these groups who has just signed in.
    fn human(&self, name: &str, groups: &[&str]) -> Principal {
        let mut human = Principal::new(PrincipalKind::Human, "okta", name)
            .with_groups(Groups::from_iter(groups.iter().copied()));
        human.access = Some(Access {
            signed_in: Some(self.clock.now().as_micros() / 1_000_000),
            sign_in_told: true,
            ..Access::default()
        });
        human
    }
}

/// Who started the job.
fn ann() -> Person {
    Person::new("ann", ["okta/ann", "ci/actor/583231"])
}

/// A job that octo-ann started.
fn job() -> Principal {
    let mut job = Principal::new(PrincipalKind::Ci, "ci", "repo:acme/pay");
    job.stable_id = Some("4711".to_owned());
    job.actor = Some(Actor {
        id: Some("583231".to_owned()),
        login: Some("octo-ann".to_owned()),
    });
    job.access = Some(Access {
        rules: vec!["payments-ci".to_owned()],
        ..Access::default()
    });
    job
}

fn decision(requires: &str) -> Decision {
    let requires: Vec<Requirement> = requires.split_whitespace().map(requirement).collect();
    let mut rules: Vec<String> = requires.iter().map(|it| it.rule.clone()).collect();
    rules.dedup();
    Decision::new(Verdict::Approve, rules, "sha256:one").requiring(requires)
}

fn requirement(text: &str) -> Requirement {
    let parts: Vec<&str> = text.split(':').collect();
    Requirement {
        rule: parts[0].to_owned(),
        group: parts[1].to_owned(),
        people: parts[2].parse().unwrap(),
    }
}

#[expect(clippy::disallowed_methods, reason = "a test's own value")]
fn masked<T>(value: T) -> Masked<T> {
    Masked::assume_masked(value)
}
