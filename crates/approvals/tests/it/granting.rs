//! Grants: narrow, short, and loud where they are made alone.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::time::sleep;
use tollbook_approvals::{
    Asked, Error, EventKind, Grant, GrantFilter, GrantKind, GrantWish, People, Person, Refused,
    Scope, Via,
};
use tollbook_exchange::{Code, Principal, PrincipalKind};

use crate::{World, job};

fn world() -> World {
    World::with(|builder| {
        let ann = Person::new("ann", ["okta/ann", "ci/actor/583231"]);
        builder
            .people(People::new([ann]).unwrap())
            .break_glass(["oncall"])
    })
}

/// Somebody of whose sign-in the issuer says nothing.
fn untold(mut person: Principal) -> Principal {
    person.access.as_mut().unwrap().sign_in_told = false;
    person
}

fn scope() -> Scope {
    Scope {
        identity: "ci/4711".to_owned(),
        connection: "claude".to_owned(),
        rules: BTreeSet::from(["r".to_owned()]),
        actions: BTreeSet::new(),
    }
}

fn standing(by: Principal) -> GrantWish {
    GrantWish {
        kind: GrantKind::Standing {
            group: "leads".to_owned(),
        },
        by,
        via: Via::SignIn,
        reason: "release night".to_owned(),
        scope: scope(),
        lasting: Duration::from_secs(3600),
    }
}

fn break_glass(by: Principal) -> GrantWish {
    GrantWish {
        kind: GrantKind::BreakGlass,
        lasting: Duration::from_secs(600),
        scope: Scope {
            rules: BTreeSet::new(),
            ..scope()
        },
        ..standing(by)
    }
}

async fn passes(world: &World, body: &str, requires: &str) -> Option<String> {
    match world
        .approvals
        .ask(&Arc::new(world.ask(body, requires)))
        .await
        .unwrap()
    {
        Asked::Granted(passed) => Some(passed.by),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_standing_grant_is_one_persons_word() {
    let world = world();
    let gus: Grant = world
        .approvals
        .grant(standing(world.human("gus", &["leads"])))
        .await
        .unwrap();
    assert_eq!(
        passes(&world, "a", "r:leads:1").await,
        Some(gus.id.to_string())
    );
    for (body, requires) in [
        ("b", "r:leads:2"),
        ("c", "r:security:1"),
        ("d", "s:leads:1"),
        ("e", "r:leads:1 s:leads:1"),
        ("f", "r:leads:1 r:security:1"),
    ] {
        assert_eq!(passes(&world, body, requires).await, None, "{requires}");
    }
    world
        .approvals
        .grant(standing(world.human("hal", &["leads"])))
        .await
        .unwrap();
    assert!(
        passes(&world, "g", "r:leads:2").await.is_some(),
        "two people's words"
    );
    sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        passes(&world, "h", "r:leads:1").await,
        None,
        "its time is up"
    );
}

#[tokio::test(start_paused = true)]
async fn a_grant_speaks_only_of_its_scope() {
    let world = world();
    let mut wish = standing(world.human("gus", &["leads"]));
    wish.scope.actions = BTreeSet::from(["messages.batch".to_owned()]);
    world.approvals.grant(wish.clone()).await.unwrap();
    assert_eq!(
        passes(&world, "a", "r:leads:1").await,
        None,
        "another action"
    );
    wish.scope.actions.clear();
    wish.scope.connection = "other".to_owned();
    world.approvals.grant(wish.clone()).await.unwrap();
    assert_eq!(
        passes(&world, "b", "r:leads:1").await,
        None,
        "another connection"
    );
    wish.scope.connection = "claude".to_owned();
    wish.scope.identity = "ci/4712".to_owned();
    world.approvals.grant(wish).await.unwrap();
    assert_eq!(
        passes(&world, "c", "r:leads:1").await,
        None,
        "another caller"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_grants_themselves() {
    let world = world();
    // Ann started the job, which only the request itself tells.
    world
        .approvals
        .grant(standing(world.human("ann", &["leads"])))
        .await
        .unwrap();
    assert_eq!(passes(&world, "a", "r:leads:1").await, None);
    let mut own = standing(world.human("gus", &["leads"]));
    own.scope.identity = "okta/gus".to_owned();
    let refused = world.approvals.grant(own).await.unwrap_err().refused();
    assert_eq!(refused, Some(Refused::OwnRequest));
}

/// Whoever made it may have started the job.
#[tokio::test(start_paused = true)]
async fn a_standing_grant_does_not_speak_for_a_job_whose_starter_nobody_knows() {
    let world = World::with(|builder| {
        let people = People::default();
        builder.people(people).break_glass(["oncall"])
    });
    let gus = world.human("gus", &["leads"]);
    world.approvals.grant(standing(gus)).await.unwrap();
    assert_eq!(passes(&world, "a", "r:leads:1").await, None);
    let linked = World::on(world.store.clone(), world.clock.clone(), |builder| builder);
    assert!(passes(&linked, "b", "r:leads:1").await.is_some());
    // In an emergency, people may help their own jobs as well.
    let ivy = world.human("ivy", &["oncall"]);
    world.approvals.grant(break_glass(ivy)).await.unwrap();
    assert!(passes(&world, "c", "r:leads:1").await.is_some());
}

#[tokio::test(start_paused = true)]
async fn a_grant_lets_nobody_pass_whose_credential_has_ended() {
    let world = world();
    let gus = world.human("gus", &["leads"]);
    world.approvals.grant(standing(gus)).await.unwrap();
    let mut caller = job();
    let access = caller.access.as_mut().unwrap();
    access.token = Some("t1".to_owned());
    access.expires = Some(crate::START + 60);
    let ask = Arc::new(world.ask_as(caller, "a", "r:leads:1"));
    assert!(matches!(
        world.approvals.ask(&ask).await,
        Ok(Asked::Granted(_))
    ));
    sleep(Duration::from_secs(60)).await;
    let refusal = world.approvals.ask(&ask).await.unwrap_err();
    assert_eq!(refusal.code, Code::AuthenticationFailed);
    assert_eq!(refusal.reason, "expired_while_held");
}

#[tokio::test(start_paused = true)]
async fn the_table_of_wishes() {
    let world = world();
    let lead = || world.human("gus", &["leads"]);
    let oncall = || world.human("ivy", &["oncall"]);
    let mut stale = oncall();
    stale.access.as_mut().unwrap().signed_in = Some(crate::START - 16 * 60);
    let mut robot = lead();
    robot.kind = PrincipalKind::Service;
    let narrow = |change: &dyn Fn(&mut GrantWish)| {
        let mut wish = standing(lead());
        change(&mut wish);
        wish
    };
    for (what, wish, expected) in [
        (
            "not of the group",
            standing(world.human("x", &["ops"])),
            Refused::NotInGroup,
        ),
        ("not human", standing(robot), Refused::NotHuman),
        (
            "no reason",
            narrow(&|it| it.reason = " \n".to_owned()),
            Refused::NoReason,
        ),
        (
            "no rules",
            narrow(&|it| it.scope.rules.clear()),
            Refused::WideScope,
        ),
        (
            "no caller",
            narrow(&|it| it.scope.identity.clear()),
            Refused::WideScope,
        ),
        (
            "no connection",
            narrow(&|it| it.scope.connection.clear()),
            Refused::WideScope,
        ),
        (
            "too long",
            narrow(&|it| it.lasting = Duration::from_secs(4 * 3600 + 1)),
            Refused::TooLong,
        ),
        (
            "no time",
            narrow(&|it| it.lasting = Duration::ZERO),
            Refused::TooLong,
        ),
        ("not on call", break_glass(lead()), Refused::NotInGroup),
        (
            "signed in long ago",
            break_glass(stale),
            Refused::StaleSignIn,
        ),
        (
            "nobody says when they signed in",
            break_glass(untold(oncall())),
            Refused::StaleSignIn,
        ),
    ] {
        let refused = world.approvals.grant(wish).await.unwrap_err().refused();
        assert_eq!(refused, Some(expected), "{what}");
    }
    let mut long = break_glass(oncall());
    long.lasting = Duration::from_secs(15 * 60 + 1);
    assert_eq!(
        world.approvals.grant(long).await.unwrap_err().refused(),
        Some(Refused::TooLong)
    );
    let mut message = break_glass(oncall());
    message.via = Via::Message {
        at: tollbook_approvals::Clock::now(&world.clock),
    };
    let refused = world.approvals.grant(message).await.unwrap_err().refused();
    assert_eq!(refused, Some(Refused::StaleSignIn));
    assert!(world.log.noted().is_empty());
}

#[tokio::test(start_paused = true)]
async fn breaking_glass_is_loud_and_stays_open_for_review() {
    let world = world();
    // Ann may do so for the very job she started.
    let ann = world.human("ann", &["oncall"]);
    let grant = world
        .approvals
        .grant(break_glass(ann.clone()))
        .await
        .unwrap();
    assert!(
        passes(&world, "a", "r:leads:2 s:security:1")
            .await
            .is_some()
    );
    assert_eq!(world.log.told(), [EventKind::Granted, EventKind::GrantUsed]);
    assert!(
        world
            .log
            .told
            .lock()
            .unwrap()
            .iter()
            .all(|event| event.is_loud())
    );
    sleep(Duration::from_secs(600)).await;
    assert_eq!(passes(&world, "b", "r:leads:1").await, None);

    sleep(Duration::from_secs(30 * 24 * 3600)).await;
    world.approvals.sweep().await.unwrap();
    let open = GrantFilter {
        open_review: true,
        ..GrantFilter::default()
    };
    assert_eq!(
        world.approvals.grants(&open).await.unwrap().len(),
        1,
        "it waits"
    );
    let review = |by: Principal| {
        let (approvals, id) = (world.approvals.clone(), grant.id.clone());
        async move { approvals.review(&id, &by, Via::SignIn, Some("fine")).await }
    };
    let refused = |result: Result<Grant, Error>| result.unwrap_err().refused().unwrap();
    assert_eq!(
        refused(review(world.human("ann", &["oncall"])).await),
        Refused::OwnRequest
    );
    assert_eq!(
        refused(review(world.human("gus", &["leads"])).await),
        Refused::NotInGroup
    );
    assert_eq!(
        refused(review(untold(world.human("ivy", &["oncall"]))).await),
        Refused::StaleSignIn
    );
    let reviewed = review(world.human("ivy", &["oncall"])).await.unwrap();
    assert!(!reviewed.review_is_open());
    assert_eq!(
        refused(review(world.human("jim", &["oncall"])).await),
        Refused::NothingToReview
    );
    assert!(world.approvals.grants(&open).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_grant_can_be_taken_back_and_never_undoes_a_denial() {
    let world = world();
    let gus = world.human("gus", &["leads"]);
    let grant = world.approvals.grant(standing(gus.clone())).await.unwrap();
    let refused = world
        .approvals
        .revoke_grant(&grant.id, &job(), None)
        .await
        .unwrap_err();
    assert_eq!(refused.refused(), Some(Refused::NotHuman));
    world
        .approvals
        .revoke_grant(&grant.id, &gus, Some("done"))
        .await
        .unwrap();
    let again = world
        .approvals
        .revoke_grant(&grant.id, &gus, None)
        .await
        .unwrap_err();
    assert_eq!(again.refused(), Some(Refused::GrantOver));
    let ask = world.ask("a", "r:leads:1");
    let approval = world.open(&ask).await;

    world.deny(&approval.id, &gus).await.unwrap();
    world
        .approvals
        .grant(break_glass(world.human("ivy", &["oncall"])))
        .await
        .unwrap();
    let refusal = world.approvals.ask(&Arc::new(ask)).await.unwrap_err();
    assert_eq!(refusal.code, Code::ApprovalDenied);
}

#[tokio::test(start_paused = true)]
async fn a_grant_that_cannot_be_noted_is_neither_made_nor_used() {
    let world = world();
    world.log.break_down(true);
    let wish = standing(world.human("gus", &["leads"]));
    assert!(matches!(
        world.approvals.grant(wish.clone()).await,
        Err(Error::Unwitnessed(_))
    ));
    world.log.break_down(false);
    assert_eq!(passes(&world, "a", "r:leads:1").await, None);
    world.approvals.grant(wish).await.unwrap();
    world.log.break_down(true);
    let ask = Arc::new(world.ask("b", "r:leads:1"));
    assert_eq!(
        world.approvals.ask(&ask).await.unwrap_err().code,
        Code::NotRecordable
    );
}
