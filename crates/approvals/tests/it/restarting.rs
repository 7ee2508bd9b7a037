//! What a restart leaves as it was: everything.

use std::{sync::Arc, time::Duration};

use tollbook_approvals::{
    Approval, Asked, EventKind, Filter, GrantFilter, GrantKind, GrantWish, MemoryStore, Refused,
    Scope, State, Via,
};
use tollbook_exchange::Code;

use crate::World;

/// An approval in each state, by the body that asked.
async fn in_every_state(world: &World) -> Vec<Approval> {
    let gus = world.human("gus", &["leads"]);
    let open = |state: State| world.ask(state.as_str(), "r:leads:1");
    let lapsing = world.open(&open(State::Lapsed)).await;
    world.approve(&lapsing.id, &gus).await.unwrap();
    let expiring = world.open(&open(State::Expired)).await;
    tokio::time::sleep(Duration::from_secs(15 * 60)).await;
    let swept = world.approvals.sweep().await.unwrap();
    assert_eq!((swept.lapsed, swept.expired), (1, 1));
    let gus = world.human("gus", &["leads"]);
    let pending = world.open(&open(State::Pending)).await;
    let approved = world.open(&open(State::Approved)).await;
    world.approve(&approved.id, &gus).await.unwrap();
    let denied = world.open(&open(State::Denied)).await;
    world.deny(&denied.id, &gus).await.unwrap();
    let cancelled = world.open(&open(State::Cancelled)).await;
    world.approvals.cancel(&cancelled.id, None).await.unwrap();
    let consumed = world.open(&open(State::Consumed)).await;
    world.approve(&consumed.id, &gus).await.unwrap();
    let ask = open(State::Consumed);
    let used = world.approvals.consume(&consumed.id, &ask).await.unwrap();
    assert_eq!(used.by, consumed.id.to_string());
    let mut all = Vec::new();
    for it in [
        pending, approved, denied, expiring, cancelled, consumed, lapsing,
    ] {
        all.push(world.approvals.show(&it.id).await.unwrap());
    }
    assert_eq!(
        all.iter().map(|it| it.state).collect::<Vec<_>>(),
        State::ALL
    );
    all
}

#[tokio::test(start_paused = true)]
async fn every_state_survives() {
    let before = World::new();
    let all = Box::pin(in_every_state(&before)).await;
    let wish = GrantWish {
        kind: GrantKind::Standing {
            group: "leads".to_owned(),
        },
        by: before.human("gus", &["leads"]),
        via: Via::SignIn,
        reason: "release".to_owned(),
        scope: Scope {
            identity: "ci/4711".to_owned(),
            connection: "claude".to_owned(),
            rules: ["granted".to_owned()].into(),
            actions: [].into(),
        },
        lasting: Duration::from_secs(60),
    };
    let grant = before.approvals.grant(wish).await.unwrap();
    let json = before.store.to_json().unwrap();
    let clock = before.clock.clone();
    drop(before);

    let store = Arc::new(MemoryStore::from_json(&json).unwrap());
    let after = World::on(store, clock, |builder| builder);
    for old in &all {
        assert_eq!(after.approvals.show(&old.id).await.unwrap(), *old);
    }
    assert_eq!(
        after
            .approvals
            .grants(&GrantFilter::default())
            .await
            .unwrap(),
        [grant]
    );
    assert_eq!(after.approvals.resume().await.unwrap(), 1);
    assert_eq!(after.log.told(), [EventKind::StillPending]);
    assert!(after.log.noted().is_empty(), "nothing happened");

    for old in all {
        let ask = Arc::new(after.ask(old.state.as_str(), "r:leads:1"));
        let asked = after.approvals.ask(&ask).await;
        match old.state {
            State::Pending => {
                assert!(matches!(asked, Ok(Asked::Waiting(it)) if *it.id() == old.id));
            }
            State::Approved => {
                assert!(matches!(asked, Ok(Asked::Ready(it)) if *it.id() == old.id));
                assert!(after.approvals.consume(&old.id, &ask).await.is_ok());
            }
            State::Denied => assert_eq!(asked.unwrap_err().code, Code::ApprovalDenied),
            State::Expired => assert_eq!(asked.unwrap_err().code, Code::ApprovalExpired),
            _ => assert!(matches!(asked, Ok(Asked::Waiting(it)) if *it.id() != old.id)),
        }
        let again = after
            .approvals
            .consume(&old.id, &ask)
            .await
            .unwrap_err()
            .refused();
        let expected = match old.state {
            State::Pending => Refused::NotApproved,
            State::Approved => Refused::Over(State::Consumed),
            over => Refused::Over(over),
        };
        assert_eq!(again, Some(expected));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_long_over_is_forgotten() {
    let world = World::new();
    Box::pin(in_every_state(&world)).await;
    tokio::time::sleep(Duration::from_secs(6 * 24 * 3600)).await;
    assert_eq!(world.approvals.sweep().await.unwrap().forgotten, 0);
    tokio::time::sleep(Duration::from_secs(2 * 24 * 3600)).await;
    assert_eq!(world.approvals.sweep().await.unwrap().forgotten, 5);
    let left = world.approvals.list(&Filter::default()).await.unwrap();
    assert_eq!(left.len(), 2, "those that the first sweep ended");
}

/// A caller that leaves in the middle of a step leaves no half step behind.
#[tokio::test(start_paused = true)]
async fn a_step_runs_to_its_end_without_its_caller() {
    let world = World::new();
    let ask = world.ask("x", "r:leads:1");
    let approval = world.open(&ask).await;
    world
        .approve(&approval.id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    {
        let consume = world.approvals.consume(&approval.id, &ask);
        let mut consume = std::pin::pin!(consume);
        // Begun, and then dropped.
        std::future::poll_fn(|cx| {
            assert!(consume.as_mut().poll(cx).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    world.approvals.settle().await;
    assert_eq!(
        world.approvals.show(&approval.id).await.unwrap().state,
        State::Consumed
    );
    let noted = world.log.noted();
    assert_eq!(noted.last(), Some(&EventKind::Consumed));
}
