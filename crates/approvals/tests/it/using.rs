//! Using an approval: once, for what it was given for, and in time.

use std::{sync::Arc, time::Duration};

use tokio::time::sleep;
use tollbook_approvals::{Ask, Asked, Bind, Error, EventKind, Refused, State};
use tollbook_exchange::{Access, Code, Principal};

use crate::{START, World, job};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_that_try_at_once_one_passes() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", "r:leads:1"));
    let approval = world.open(&ask).await;
    world
        .approve(&approval.id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    // Half of them come through another gateway on the same store.
    let other = World::on(world.store.clone(), world.clock.clone(), |builder| builder);
    let tries: Vec<_> = (0..100)
        .map(|number| {
            let engine = if number % 2 == 0 { &world } else { &other };
            let (approvals, ask) = (engine.approvals.clone(), Arc::clone(&ask));
            let id = approval.id.clone();
            tokio::spawn(async move { approvals.consume(&id, &ask).await })
        })
        .collect();
    let mut passed = 0;
    for one in tries {
        match one.await.unwrap() {
            Ok(_) => passed += 1,
            Err(Error::Refused(refused)) => assert_eq!(refused, Refused::Over(State::Consumed)),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(passed, 1);
    // In the books of both together it was used once, counting what was taken back.
    let noted: Vec<EventKind> = [world.log.noted(), other.log.noted()].concat();
    let count = |kind| noted.iter().filter(|it| **it == kind).count();
    assert_eq!(count(EventKind::Consumed) - count(EventKind::Superseded), 1);
}

#[tokio::test(start_paused = true)]
async fn every_held_request_needs_a_yes_of_its_own() {
    let world = World::new();
    let held: Vec<_> = (0..3)
        .map(|_| {
            let (approvals, ask) = (world.approvals.clone(), world.ask("x", "r:leads:1"));
            tokio::spawn(async move { approvals.hold(ask, Duration::from_secs(3600)).await })
        })
        .collect();
    let gus = world.human("gus", &["leads"]);
    let mut used = Vec::new();
    for _ in 0..3 {
        sleep(Duration::from_secs(1)).await;
        let pending = tollbook_approvals::Filter::state(State::Pending);
        let pending = world.approvals.list(&pending).await.unwrap();
        assert_eq!(pending.len(), 1, "those that are left wait for one");
        world.approve(&pending[0].id, &gus).await.unwrap();
        used.push(pending[0].id.to_string());
    }
    let mut passed = Vec::new();
    for one in held {
        passed.push(one.await.unwrap().unwrap().by);
    }
    passed.sort();
    used.sort();
    assert_eq!(passed, used);
}

#[tokio::test(start_paused = true)]
async fn an_approval_is_for_what_it_was_given_for() {
    let world = World::new();
    let base = world.ask("x", "r:leads:1");
    let mut cases: Vec<(&str, Ask)> = vec![("body", world.ask("y", "r:leads:1"))];
    let mut change = |what, change: &dyn Fn(&mut Ask)| {
        let mut ask = base.clone();
        change(&mut ask);
        cases.push((what, ask));
    };
    change("connection", &|ask| ask.connection = "other".to_owned());
    change("identity", &|ask| {
        ask.principal.stable_id = Some("1".to_owned());
    });
    change("subject without id", &|ask| ask.principal.stable_id = None);
    change("issuer", &|ask| ask.principal.issuer = "other".to_owned());
    change("federation rules", &|ask| ask.principal.access = None);
    change("actor", &|ask| ask.principal.actor = None);
    change("on behalf of", &|ask| {
        ask.principal.on_behalf_of = Some("okta/ann".to_owned());
    });
    let approval = world.open(&base).await;
    world
        .approve(&approval.id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    for (what, ask) in cases {
        let result = world.approvals.consume(&approval.id, &ask).await;
        let refused = result.unwrap_err().refused();
        assert_eq!(refused, Some(Refused::OtherRequest), "{what}");
    }
    assert!(world.approvals.consume(&approval.id, &base).await.is_ok());
}

/// Claude Code sends a stream that failed again without `"stream":true`.
#[tokio::test(start_paused = true)]
async fn the_twin_without_stream_finds_the_approval() {
    let world = World::new();
    let twin = |body: &str, max_tokens, bind| {
        let mut ask = world.ask(body, "r:leads:1").bound(bind);
        ask.digests = world.digests(body, Some(("same", max_tokens)));
        Arc::new(ask)
    };
    for (bind, max_tokens, finds) in [
        (Bind::Semantic, 100, true),
        (Bind::Semantic, 99, true),
        (Bind::Semantic, 101, false),
        (Bind::Exact, 100, false),
    ] {
        let label = format!("{bind:?} {max_tokens}");
        let stream = twin(&format!("stream {label}"), 100, bind);
        let approval = world.open(&stream).await;
        world
            .approve(&approval.id, &world.human("gus", &["leads"]))
            .await
            .unwrap();
        let other = twin(&format!("plain {label}"), max_tokens, bind);
        match world.approvals.ask(&other).await.unwrap() {
            Asked::Ready(ticket) => {
                assert!(finds, "{label}");
                assert_eq!(ticket.id(), &approval.id);
                assert!(world.approvals.consume(ticket.id(), &other).await.is_ok());
            }
            Asked::Waiting(ticket) => {
                assert!(!finds, "{label}");
                assert_ne!(ticket.id(), &approval.id);
                world.approvals.cancel(ticket.id(), None).await.unwrap();
                // It cannot be used by naming it either.
                assert!(world.approvals.consume(&approval.id, &other).await.is_err());
                assert!(world.approvals.consume(&approval.id, &stream).await.is_ok());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_approval_that_is_not_used_lapses() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", "r:leads:1"));
    let approval = world.open(&ask).await;
    world
        .approve(&approval.id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    sleep(Duration::from_secs(299)).await;
    assert!(matches!(
        world.approvals.ask(&ask).await.unwrap(),
        Asked::Ready(_)
    ));
    sleep(Duration::from_secs(1)).await;
    let late = world.approvals.consume(&approval.id, &ask).await;
    assert_eq!(late.unwrap_err().refused(), Some(Refused::TooLate));
    assert_eq!(world.approvals.sweep().await.unwrap().lapsed, 1);
    assert_ne!(world.open(&ask).await.id, approval.id);
}

#[tokio::test(start_paused = true)]
async fn a_hold_ends_with_what_the_caller_can_do() {
    let world = World::with(|builder| builder.page("https://gate.test/approvals/"));
    let begun = tokio::time::Instant::now();
    let ask = world.ask("x", "r:leads:1");
    let refusal = world
        .approvals
        .hold(ask.clone(), Duration::from_secs(50))
        .await;
    let refusal = refusal.unwrap_err();
    assert_eq!(begun.elapsed(), Duration::from_secs(50));
    assert_eq!(refusal.code, Code::ApprovalPending);
    let id = world.open(&ask).await.id;
    assert!(
        refusal
            .message
            .ends_with(&format!("https://gate.test/approvals/{id}"))
    );
    world
        .approve(&id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    let passed = world
        .approvals
        .hold(ask.clone(), Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(passed.by, id.to_string());
    let mut other = job();
    other.stable_id = Some("1".to_owned());
    let ask = world.ask_as(other, "x", "r:leads:1");
    assert!(world.approvals.hold(ask, Duration::ZERO).await.is_err());
}

/// The job, let in with a gateway token or an issuer's, which ends so long after the beginning.
fn until(token: Option<&str>, seconds: u32) -> Principal {
    let mut job = job();
    let access: &mut Access = job.access.as_mut().unwrap();
    access.token = token.map(str::to_owned);
    access.expires = Some(START + i64::from(seconds));
    job
}

#[tokio::test(start_paused = true)]
async fn what_ends_while_a_request_is_held_does_not_let_it_pass() {
    // An issuer's clock may be two minutes late.
    for (token, end) in [(Some("t1"), 60), (None, 180)] {
        let world = World::new();
        let body = "x";
        let ask = world.ask_as(until(token, 60), body, "r:leads:1");
        let approvals = world.approvals.clone();
        let hold = ask.clone();
        let held =
            tokio::spawn(async move { approvals.hold(hold, Duration::from_secs(600)).await });
        sleep(Duration::from_secs(end.into())).await;
        let pending = tollbook_approvals::Filter::state(State::Pending);
        let id = world.approvals.list(&pending).await.unwrap()[0].id.clone();
        let gus = world.human("gus", &["leads"]);
        world.approve(&id, &gus).await.unwrap();

        let refusal = held.await.unwrap().unwrap_err();
        assert_eq!(refusal.code, Code::AuthenticationFailed);
        assert_eq!(refusal.reason, "expired_while_held");
        assert!(refusal.message.contains(&id.to_string()), "{refusal:?}");
        let consumed = world.approvals.consume(&id, &ask).await;
        let refused = consumed.unwrap_err().refused();
        assert_eq!(refused, Some(Refused::CredentialEnded));
        let state = world.approvals.show(&id).await.unwrap().state;
        assert_eq!(state, State::Approved, "it was not used");

        // The same caller with a new one, of which the last second counts.
        let renewed = until(token.map(|_| "t2"), end + 1);
        let ask = world.ask_as(renewed, body, "r:leads:1");
        let passed = world.approvals.hold(ask, Duration::ZERO).await.unwrap();
        assert_eq!(passed.by, id.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_nothing_any_more_asks_for_nothing() {
    let world = World::new();
    let ask = Arc::new(world.ask_as(until(Some("t1"), 0), "x", "r:leads:1"));
    let refusal = world.approvals.ask(&ask).await.unwrap_err();
    assert_eq!(refusal.reason, "expired_while_held");
    assert!(world.log.noted().is_empty());
}
