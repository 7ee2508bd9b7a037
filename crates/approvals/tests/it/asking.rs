//! Joining, remembering, and how many may wait.

use std::{sync::Arc, time::Duration};

use tokio::time::{sleep, timeout};
use tollbook_approvals::{Asked, Bind, Error, EventKind, Filter, Limits, Opened, State, Store};
use tollbook_exchange::{Code, Retry};

use crate::{World, job};

#[tokio::test(start_paused = true)]
async fn equal_requests_wait_for_one_approval() {
    let world = World::new();
    let asks = (0..50).map(|_| {
        let (approvals, ask) = (
            world.approvals.clone(),
            Arc::new(world.ask("x", "r:leads:1")),
        );
        tokio::spawn(async move {
            match approvals.ask(&ask).await.unwrap() {
                Asked::Waiting(ticket) => ticket.id().clone(),
                other => panic!("{other:?}"),
            }
        })
    });
    let mut ids = Vec::new();
    for ask in asks.collect::<Vec<_>>() {
        ids.push(ask.await.unwrap());
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    assert_eq!(world.log.noted(), [EventKind::Asked], "asked once");
}

#[tokio::test(start_paused = true)]
async fn what_differs_does_not_join() {
    let world = World::new();
    let base = world.ask("x", "r:leads:1");
    let first = world.open(&base).await;
    let mut cases = vec![
        ("body", world.ask("y", "r:leads:1")),
        ("more people", world.ask("x", "r:leads:2")),
        ("another rule", world.ask("x", "s:leads:1")),
        ("another group", world.ask("x", "r:security:1")),
    ];
    let mut other = base.clone();
    other.connection = "claude-2".to_owned();
    cases.push(("connection", other));
    let mut other = base.clone();
    other.protocol = "http".to_owned();
    cases.push(("protocol", other));
    let mut other = base.clone();
    other.action = crate::masked(tollbook_exchange::Action::new("messages.batch"));
    cases.push(("action", other));
    let mut principal = job();
    principal.stable_id = Some("4712".to_owned());
    cases.push(("identity", world.ask_as(principal, "x", "r:leads:1")));
    let mut principal = job();
    principal.access.as_mut().unwrap().rules = vec!["other-rule".to_owned()];
    cases.push(("federation rule", world.ask_as(principal, "x", "r:leads:1")));
    // Whoever approves what another started must not be able to start it themselves and join.
    let mut principal = job();
    principal.actor.as_mut().unwrap().id = Some("1".to_owned());
    cases.push(("actor", world.ask_as(principal, "x", "r:leads:1")));
    for (what, ask) in cases {
        assert_ne!(world.open(&ask).await.id, first.id, "{what}");
    }
    assert_eq!(world.open(&base).await.id, first.id);
    // Less than what was asked for is covered by it.
    let more = world.open(&world.ask("z", "r:leads:1 s:security:1")).await;
    assert_eq!(
        world.open(&world.ask("z", "s:security:1")).await.id,
        more.id
    );
}

#[tokio::test(start_paused = true)]
async fn one_identity_has_so_many_open_ones() {
    let world = World::new();
    for number in 0..20 {
        world
            .open(&world.ask(&format!("body {number}"), "r:leads:1"))
            .await;
    }
    let one_more = Arc::new(world.ask("one more", "r:leads:1"));
    let refusal = world.approvals.ask(&one_more).await.unwrap_err();
    assert_eq!(refusal.code, Code::TooManyApprovals);
    assert_eq!(
        world.log.noted().len(),
        20,
        "what is refused does not fill the book"
    );
    // Joining takes no place, and somebody else has places of their own.
    world.open(&world.ask("body 3", "r:leads:1")).await;
    let mut other = job();
    other.stable_id = Some("4712".to_owned());
    world.open(&world.ask_as(other, "x", "r:leads:1")).await;
    // A place that is left can be taken.
    let filter = Filter::state(State::Pending).limit(100);
    let pending = world.approvals.list(&filter).await.unwrap();
    assert_eq!(pending.len(), 21);
    let mine = pending
        .iter()
        .find(|it| it.identity == job().identity())
        .unwrap();
    world.approvals.cancel(&mine.id, None).await.unwrap();
    world.open(&one_more).await;
}

#[tokio::test(start_paused = true)]
async fn a_denial_is_remembered() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", "r:leads:1"));
    let approval = world.open(&ask).await;
    world
        .deny(&approval.id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    for _ in 0..3 {
        let refusal = world.approvals.ask(&ask).await.unwrap_err();
        assert_eq!(refusal.code, Code::ApprovalDenied);
        assert_eq!(refusal.retry, Retry::Never);
        let text = format!(
            "tollbook_approval_denied: {}: because [31m of this",
            approval.id
        );
        assert_eq!(refusal.message, text);
        sleep(Duration::from_secs(199)).await;
    }
    sleep(Duration::from_secs(4)).await;
    assert_ne!(world.open(&ask).await.id, approval.id);
}

#[tokio::test(start_paused = true)]
async fn an_expiry_is_remembered_too() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", "r:leads:1"));
    let approval = world.open(&ask).await;
    sleep(Duration::from_secs(15 * 60)).await;
    // No sweep is needed for it.
    let refusal = world.approvals.ask(&ask).await.unwrap_err();
    assert_eq!(refusal.code, Code::ApprovalExpired);
    let late = world
        .approve(&approval.id, &world.human("gus", &["leads"]))
        .await;
    assert!(matches!(late, Err(Error::Refused(_))));
    sleep(Duration::from_secs(10 * 60)).await;
    assert_ne!(world.open(&ask).await.id, approval.id);
}

#[tokio::test(start_paused = true)]
async fn after_a_denial_what_means_the_same_cools_down() {
    let world = World::new();
    let twin = |body: &str, max_tokens| {
        let mut ask = world.ask(body, "r:leads:1");
        ask.digests = world.digests(body, Some(("same", max_tokens)));
        Arc::new(ask)
    };
    let approval = world.open(&twin("x", 100)).await;
    world
        .deny(&approval.id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    let refusal = world.approvals.ask(&twin("y", 101)).await.unwrap_err();
    assert_eq!(refusal.code, Code::ApprovalDenied, "more output");
    sleep(Duration::from_secs(61)).await;
    let refusal = world.approvals.ask(&twin("y", 100)).await.unwrap_err();
    assert_eq!(refusal.code, Code::ApprovalDenied, "the same, remembered");
    assert!(world.approvals.ask(&twin("y", 101)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_waiter_wakes_when_somebody_decides_here_or_elsewhere() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", "r:leads:1"));
    let Asked::Waiting(mut ticket) = world.approvals.ask(&ask).await.unwrap() else {
        panic!("not waiting");
    };
    let soon = timeout(Duration::from_secs(60), ticket.decided()).await;
    assert!(soon.is_err(), "nobody decided");
    // Another gateway on the same store, which cannot wake anybody here.
    let other = World::on(world.store.clone(), world.clock.clone(), |builder| builder);
    let gus = other.human("gus", &["leads"]);
    let (id, poll) = (ticket.id().clone(), Limits::default().poll);
    let later = async {
        sleep(Duration::from_millis(1)).await;
        other.approve(&id, &gus).await
    };
    let (decided, _) = tokio::join!(timeout(poll, ticket.decided()), later);
    assert_eq!(decided.unwrap().unwrap().state, State::Approved);

    let ask = Arc::new(world.ask("y", "r:leads:1"));
    let Asked::Waiting(mut ticket) = world.approvals.ask(&ask).await.unwrap() else {
        panic!("not waiting");
    };
    let id = ticket.id().clone();
    let (decided, _) = tokio::join!(
        timeout(Duration::from_millis(1), ticket.decided()),
        world.approve(&id, &gus)
    );
    assert_eq!(decided.unwrap().unwrap().state, State::Approved);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_told_of_the_end() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", "r:leads:1"));
    let Asked::Waiting(mut ticket) = world.approvals.ask(&ask).await.unwrap() else {
        panic!("not waiting");
    };
    let begun = tokio::time::Instant::now();
    assert_eq!(ticket.decided().await.unwrap().state, State::Expired);
    assert_eq!(begun.elapsed().as_secs(), 15 * 60);
}

#[tokio::test(start_paused = true)]
async fn what_nobody_waits_for_is_cancelled_if_that_is_wanted() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", "r:leads:1"));
    let wait = || async {
        match world.approvals.ask(&ask).await.unwrap() {
            Asked::Waiting(ticket) => ticket,
            other => panic!("{other:?}"),
        }
    };
    let first = wait().await.cancel_on_drop(true);
    let (id, second) = (first.id().clone(), wait().await.cancel_on_drop(true));
    drop(first);
    assert_eq!(
        world.approvals.sweep().await.unwrap().cancelled,
        0,
        "one is left"
    );
    drop(second);
    let third = wait().await;
    assert_eq!(
        world.approvals.sweep().await.unwrap().cancelled,
        0,
        "one came back"
    );
    drop(third);
    assert_eq!(
        world.approvals.sweep().await.unwrap().cancelled,
        0,
        "it may stay"
    );
    drop(wait().await.cancel_on_drop(true));
    assert_eq!(world.approvals.sweep().await.unwrap().cancelled, 1);
    assert_eq!(
        world.approvals.show(&id).await.unwrap().state,
        State::Cancelled
    );
    assert_ne!(*wait().await.id(), id, "a cancelled one is not joined");
}

#[tokio::test(start_paused = true)]
async fn an_approval_by_nobody_is_a_mistake() {
    let world = World::new();
    let ask = Arc::new(world.ask("x", ""));
    let refusal = world.approvals.ask(&ask).await.unwrap_err();
    assert_eq!(refusal.code, Code::Misassembled);
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_is_bounded_and_the_digests_are_keyed() {
    let world = World::new();
    let body = "secret ".repeat(100_000);
    let approval = world
        .open(&world.ask(&body, "r:leads:1").bound(Bind::Exact))
        .await;
    let view = approval.view();
    assert_eq!(view.excerpt.head.len() + view.excerpt.tail.len(), 16 << 10);
    assert_eq!(view.excerpt.omitted, 700_000 - (16 << 10));
    assert_eq!(view.hash.len(), 8);
    assert!(
        view.who
            .contains(&("actor".to_owned(), "octo-ann".to_owned()))
    );
    // The digest of the body alone is nowhere.
    let bare = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let bare: String = bare
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert!(!serde_json::to_string(&approval).unwrap().contains(&bare));
}

/// Two gateways that count at the same time cannot both be right; the store is.
#[tokio::test(start_paused = true)]
async fn the_store_counts_for_itself() {
    let world = World::new();
    let first = world.open(&world.ask("x", "r:leads:1")).await;
    let mut next = first.clone();
    next.id = tollbook_approvals::ApprovalId::generate().unwrap();
    let joined = world.store.open(&next, 1).await.unwrap();
    assert_eq!(joined, Opened::Joined(Box::new(first)), "before it counts");
    next.slot = "other".to_owned();
    assert_eq!(world.store.open(&next, 1).await.unwrap(), Opened::Full);
    assert_eq!(world.store.open(&next, 2).await.unwrap(), Opened::New);
    assert!(
        world
            .store
            .open(&next, 9)
            .await
            .is_ok_and(|it| it != Opened::New)
    );
}
