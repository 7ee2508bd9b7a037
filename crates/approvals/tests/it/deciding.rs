//! Who may decide, and how many it takes.

use std::time::Duration;

use tollbook_approvals::{
    ApprovalsBuilder, Ballot, Choice, Error, EventKind, Limits, People, Person, Refused, State, Via,
};
use tollbook_exchange::{Groups, Principal, PrincipalKind};

use crate::{World, job};

fn refused(result: Result<impl std::fmt::Debug, Error>) -> Refused {
    result.unwrap_err().refused().unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_table_of_people() {
    let world = World::with(|builder| {
        let people = People::new([
            Person::new("ann", ["okta/ann", "ci/actor/583231", "okta/ann-admin"]),
            Person::new("bob", ["okta/bob", "okta/bob2"]),
        ]);
        builder.people(people.unwrap())
    });
    let leads: &[&str] = &["leads", "admins"];
    let mut unknown = world.human("carol", &[]);
    unknown.groups = Groups::Unknown;
    let mut service = world.human("robot", leads);
    service.kind = PrincipalKind::Service;
    let mut ci = job().with_groups(Groups::from_iter(["leads"]));
    ci.access = world.human("x", &[]).access;
    let mut unsigned = world.human("dave", leads);
    unsigned.access = None;
    let mut yesterday = world.human("erin", leads);
    let signed_in = |principal: &mut Principal, ago: i64| {
        let access = principal.access.as_mut().unwrap();
        access.signed_in = access.signed_in.map(|at| at - ago);
    };
    signed_in(&mut yesterday, 12 * 3600 + 1);
    let mut tomorrow = world.human("frank", leads);
    signed_in(&mut tomorrow, -61);
    let mut login = Principal::new(PrincipalKind::Human, "ci", "Octo-Ann");
    login.groups = Groups::from_iter(["leads"]);
    login.access = world.human("x", &[]).access;
    for (who, voter, expected) in [
        ("a lead", world.human("gus", leads), None),
        (
            "somebody else",
            world.human("hal", &["admins"]),
            Some(Refused::NotInGroup),
        ),
        ("unknown groups", unknown, Some(Refused::NotInGroup)),
        ("a service", service, Some(Refused::NotHuman)),
        ("the job itself", ci, Some(Refused::NotHuman)),
        // hoop lets an administrator approve the administrator's own request.
        (
            "who started it",
            world.human("ann", leads),
            Some(Refused::OwnRequest),
        ),
        (
            "their other account",
            world.human("ann-admin", leads),
            Some(Refused::OwnRequest),
        ),
        (
            "their login at the issuer",
            login,
            Some(Refused::OwnRequest),
        ),
        ("nobody knows when", unsigned, Some(Refused::StaleSignIn)),
        ("too long ago", yesterday, Some(Refused::StaleSignIn)),
        ("from the future", tomorrow, Some(Refused::StaleSignIn)),
    ] {
        let approval = world.open(&world.ask(who, "r:leads:1")).await;
        for deny in [true, false] {
            if deny && expected.is_none() {
                continue;
            }
            let result = match deny {
                true => world.deny(&approval.id, &voter).await,
                false => world.approve(&approval.id, &voter).await,
            };
            match expected {
                None => assert_eq!(result.unwrap().state, State::Approved, "{who}"),
                Some(expected) => assert_eq!(refused(result), expected, "{who}"),
            }
        }
        let state = world.approvals.show(&approval.id).await.unwrap().state;
        assert_eq!(state == State::Approved, expected.is_none(), "{who}");
    }
}

/// The three cases in which hoop's reviews go wrong, and the one behind them.
#[tokio::test(start_paused = true)]
async fn one_person_in_two_groups_is_one_person() {
    let world = World::with(|builder| {
        let bob = Person::new("bob", ["okta/bob", "okta/bob2"]);
        builder.people(People::new([bob, crate::ann()]).unwrap())
    });
    let approval = world.open(&world.ask("x", "r:leads:1 s:security:1")).await;
    let both: &[&str] = &["leads", "security"];
    let voted = world
        .approve(&approval.id, &world.human("bob", both))
        .await
        .unwrap();
    assert_eq!(voted.state, State::Pending);
    let again = world.approve(&approval.id, &world.human("bob", both)).await;
    assert_eq!(refused(again), Refused::AlreadyVoted);
    let second_account = world
        .approve(&approval.id, &world.human("bob2", both))
        .await;
    assert_eq!(refused(second_account), Refused::AlreadyVoted);
    let done = world
        .approve(&approval.id, &world.human("gus", &["leads"]))
        .await
        .unwrap();
    assert_eq!(done.state, State::Approved);

    // Somebody in more groups than are needed does not get it stuck.
    let three: &[&str] = &["leads", "security", "ops"];
    let approval = world.open(&world.ask("y", "r:leads:2")).await;
    world
        .approve(&approval.id, &world.human("bob", three))
        .await
        .unwrap();
    let done = world
        .approve(&approval.id, &world.human("gus", three))
        .await
        .unwrap();
    assert_eq!(done.state, State::Approved);
    // More than enough come too late, and change nothing.
    let late = world
        .approve(&approval.id, &world.human("hal", three))
        .await;
    assert_eq!(refused(late), Refused::Over(State::Approved));
    let late = world.deny(&approval.id, &world.human("hal", three)).await;
    assert_eq!(refused(late), Refused::Over(State::Approved));
}

#[tokio::test(start_paused = true)]
async fn a_no_is_final() {
    let world = World::new();
    let approval = world.open(&world.ask("x", "r:leads:2")).await;
    let gus = world.human("gus", &["leads"]);
    world.approve(&approval.id, &gus).await.unwrap();
    // Also of one who said yes before.
    let denied = world.deny(&approval.id, &gus).await.unwrap();
    assert_eq!(denied.state, State::Denied);
    let reason = denied.denial().unwrap().reason.as_deref();
    assert_eq!(
        reason,
        Some("because [31m of this"),
        "control characters are gone"
    );
    for name in ["hal", "ivy"] {
        let late = world
            .approve(&approval.id, &world.human(name, &["leads"]))
            .await;
        assert_eq!(refused(late), Refused::Over(State::Denied));
    }
    assert_eq!(
        world.log.noted(),
        [EventKind::Asked, EventKind::Voted, EventKind::Denied]
    );
    assert_eq!(world.log.told(), world.log.noted());
}

#[tokio::test(start_paused = true)]
async fn the_hash_of_what_is_shown_is_given_back() {
    let world = World::new();
    let approval = world.open(&world.ask("x", "r:leads:1")).await;
    let other = world.open(&world.ask("y", "r:leads:1")).await;
    assert_ne!(approval.hash(), other.hash());
    let gus = world.human("gus", &["leads"]);
    for hash in [
        None,
        Some(String::new()),
        Some(approval.hash()[..7].to_owned()),
        Some(other.hash().to_owned()),
        Some(format!("{}0", approval.view_digest)),
    ] {
        let ballot = Ballot {
            hash: hash.clone(),
            ..world.ballot(&gus, Choice::Approve)
        };
        let result = world.approvals.decide(&approval.id, ballot).await;
        assert_eq!(refused(result), Refused::WrongHash, "{hash:?}");
    }
    // Even a no says no to something, if it says to what.
    let ballot = Ballot {
        hash: Some(other.hash().to_owned()),
        ..world.ballot(&gus, Choice::Deny)
    };
    let result = world.approvals.decide(&approval.id, ballot).await;
    assert_eq!(refused(result), Refused::WrongHash);
    let ballot = Ballot {
        hash: Some(format!(" {} ", approval.hash().to_uppercase())),
        ..world.ballot(&gus, Choice::Approve)
    };
    let approved = world.approvals.decide(&approval.id, ballot).await.unwrap();
    assert_eq!(approved.state, State::Approved);
}

#[tokio::test(start_paused = true)]
async fn what_is_risky_takes_a_fresh_sign_in() {
    let world = World::new();
    let mut gus = world.human("gus", &["leads"]);
    tokio::time::sleep(Duration::from_secs(15 * 60 + 1)).await;
    let at = tollbook_approvals::Clock::now(&world.clock);
    for (risk, sign_in, message) in [
        (69_i64, true, true),
        (70, false, false),
        (1000, false, false),
    ] {
        for (via, passes) in [(Via::SignIn, sign_in), (Via::Message { at }, message)] {
            let mut ask = world.ask(&format!("{risk} {via:?}"), "r:leads:1");
            let action = tollbook_exchange::Action::new("messages.create").with("risk", risk);
            ask.action = crate::masked(action);
            let approval = world.open(&ask).await;
            let ballot = Ballot {
                via,
                hash: Some(approval.hash().to_owned()),
                ..world.ballot(&gus, Choice::Approve)
            };
            let result = world.approvals.decide(&approval.id, ballot).await;
            assert_eq!(result.is_ok(), passes, "{risk} {via:?}: {result:?}");
        }
    }
    gus = world.human("gus", &["leads"]);
    let mut ask = world.ask("now", "r:leads:1");
    ask.action =
        crate::masked(tollbook_exchange::Action::new("messages.create").with("risk", 99_i64));
    let approval = world.open(&ask).await;
    // A token that is new says nothing of its person: it may have been renewed in silence.
    gus.access.as_mut().unwrap().sign_in_told = false;
    let untold = world.approve(&approval.id, &gus).await;
    assert_eq!(refused(untold), Refused::StaleSignIn);
    let usual = world.open(&world.ask("usual", "r:leads:1")).await;
    assert!(world.approve(&usual.id, &gus).await.is_ok());
    gus.access.as_mut().unwrap().sign_in_told = true;
    assert!(world.approve(&approval.id, &gus).await.is_ok());
}

/// Whoever started the job may have any account that the directory does not know.
#[tokio::test(start_paused = true)]
async fn nobody_decides_about_a_job_whose_starter_nobody_knows() {
    let world = World::with(|builder| builder.people(People::default()));
    let gus = world.human("gus", &["leads"]);
    let approval = world.open(&world.ask("x", "r:leads:1")).await;
    let yes = world.approve(&approval.id, &gus).await;
    assert_eq!(refused(yes), Refused::UnknownActor);
    let no = world.deny(&approval.id, &gus).await;
    assert_eq!(refused(no), Refused::UnknownActor);
    assert_eq!(
        world.approvals.show(&approval.id).await.unwrap(),
        approval,
        "it waits for an operator"
    );

    let mut nobody = job();
    nobody.actor = None;
    let mut person = world.human("hal", &[]);
    person.actor = job().actor;
    for requester in [nobody, person] {
        let ask = world.ask_as(requester, "x", "r:leads:1");
        let approval = world.open(&ask).await;
        assert!(world.approve(&approval.id, &gus).await.is_ok());
    }

    // The same records, once the person is linked, and where it is not asked for.
    let again = |change: fn(ApprovalsBuilder) -> ApprovalsBuilder| {
        World::on(world.store.clone(), world.clock.clone(), change)
    };
    let linked = again(|builder| builder);
    assert!(linked.approve(&approval.id, &gus).await.is_ok());
    let lax = again(|builder| {
        builder.people(People::default()).limits(Limits {
            unlinked_actors: true,
            ..Limits::default()
        })
    });
    let approval = lax.open(&lax.ask("y", "r:leads:1")).await;
    assert!(lax.approve(&approval.id, &gus).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn accounts_that_were_linked_after_a_vote_are_one_person_from_then_on() {
    let world = World::new();
    let approval = world.open(&world.ask("x", "r:leads:2")).await;
    let (one, other) = (
        world.human("bob", &["leads"]),
        world.human("bob2", &["leads"]),
    );
    world.approve(&approval.id, &one).await.unwrap();
    let linked = World::on(world.store.clone(), world.clock.clone(), |builder| {
        let bob = Person::new("bob", ["okta/bob", "okta/bob2"]);
        builder.people(People::new([bob, crate::ann()]).unwrap())
    });
    let again = linked.approve(&approval.id, &other).await;
    assert_eq!(refused(again), Refused::AlreadyVoted);
    let gus = linked.human("gus", &["leads"]);
    let done = linked.approve(&approval.id, &gus).await.unwrap();
    assert_eq!(done.state, State::Approved);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_old_is_no_message() {
    let world = World::new();
    let gus = world.human("gus", &["leads"]);
    let at = tollbook_approvals::Clock::now(&world.clock);
    let approval = world.open(&world.ask("x", "r:leads:1")).await;
    tokio::time::sleep(Duration::from_secs(5 * 60 + 1)).await;
    let ballot = Ballot {
        via: Via::Message { at },
        hash: Some(approval.hash().to_owned()),
        ..world.ballot(&gus, Choice::Approve)
    };
    let result = world.approvals.decide(&approval.id, ballot).await;
    assert_eq!(refused(result), Refused::StaleSignIn);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_cannot_be_noted_is_not_taken() {
    let world = World::new();
    let approval = world.open(&world.ask("x", "r:leads:1")).await;
    world.log.break_down(true);
    let gus = world.human("gus", &["leads"]);
    let result = world.approve(&approval.id, &gus).await;
    assert!(matches!(result, Err(Error::Unwitnessed(_))));
    let ask = std::sync::Arc::new(world.ask("y", "r:leads:1"));
    let refusal = world.approvals.ask(&ask).await.unwrap_err();
    assert_eq!(refusal.code, tollbook_exchange::Code::NotRecordable);
    world.log.break_down(false);
    assert_eq!(world.approvals.show(&approval.id).await.unwrap(), approval);
    assert_eq!(world.log.told(), [EventKind::Asked]);
    assert_eq!(
        world
            .approvals
            .list(&Default::default())
            .await
            .unwrap()
            .len(),
        1
    );
}
