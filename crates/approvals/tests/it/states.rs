//! The laws of the state machine, over any sequence of steps.

use std::collections::BTreeSet;

use proptest::prelude::*;
use tollbook_approvals::{Approval, Choice, PersonId, State, Use, Vote};
use tollbook_exchange::Timestamp;

use crate::World;

/// One thing that somebody tries.
#[derive(Clone, Debug)]
enum Try {
    Vote {
        person: u8,
        groups: u8,
        choice: bool,
    },
    Consume {
        right: bool,
    },
    Expire,
    Cancel,
    /// Time passes, or is turned back.
    Wait(i64),
}

fn tries() -> impl Strategy<Value = Vec<Try>> {
    let one = prop_oneof![
        4 => (0..4_u8, 0..4_u8, prop::bool::weighted(0.9))
            .prop_map(|(person, groups, choice)| Try::Vote { person, groups, choice }),
        3 => any::<bool>().prop_map(|right| Try::Consume { right }),
        1 => Just(Try::Expire),
        1 => Just(Try::Cancel),
        2 => (-60_i64..700).prop_map(Try::Wait),
    ];
    prop::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn nothing_comes_back_from_its_end(tries in tries(), need in 1..4_u32) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let world = World::new();
        let first = runtime.block_on(async {
            let requires = format!("r:g0:{need} r:g1:1");
            world.open(&world.ask("body", &requires)).await
        });
        let other = world.digests("another body", None);
        let mut now = first.created.as_micros();
        let mut approval = first.clone();
        let mut path = vec![approval.state];
        let mut approvers: BTreeSet<PersonId> = BTreeSet::new();
        for one in tries {
            let at = Timestamp::from_micros(now);
            let next = match one {
                Try::Wait(seconds) => {
                    now += seconds * 1_000_000;
                    continue;
                }
                Try::Vote { person, groups, choice } => {
                    let vote = vote(&first, person, groups, choice);
                    let next = approval.vote(at, vote);
                    if next.is_ok() && choice {
                        approvers.insert(PersonId::account(&person.to_string()));
                    }
                    next
                }
                Try::Consume { right } => approval.consume(at, Use {
                    owner: &first.owner,
                    connection: &first.connection,
                    digests: if right { &first.digests } else { &other },
                    exchange: None,
                }).inspect(|_| assert!(right, "another payload")),
                Try::Expire => approval.expire(at),
                Try::Cancel => approval.cancel(at),
            };
            let Ok(next) = next else { continue };
            prop_assert!(!approval.state.is_final(), "a step from {:?}", approval.state);
            prop_assert_eq!(next.version, approval.version + 1);
            prop_assert_eq!(&next.digests, &first.digests);
            prop_assert_eq!(&next.view_digest, &first.view_digest);
            prop_assert!(next.votes.starts_with(&approval.votes), "nothing said is unsaid");
            match (approval.state, next.state) {
                (State::Pending, State::Pending | State::Denied | State::Expired | State::Cancelled) => {}
                (State::Pending, State::Approved) => {
                    prop_assert!(approvers.len() > need as usize, "too few: {:?}", approvers);
                    prop_assert!(at < approval.expires);
                }
                (State::Approved, State::Consumed) => {
                    prop_assert!(at < approval.use_until.unwrap());
                }
                (State::Approved, State::Lapsed) => {}
                (from, to) => prop_assert!(false, "{:?} to {:?}", from, to),
            }
            prop_assert_eq!(next.ended.is_some(), next.state.is_final());
            approval = next;
            path.push(approval.state);
        }
        let used = path.iter().filter(|state| **state == State::Consumed).count();
        prop_assert!(used <= 1);
        if used == 1 {
            prop_assert!(path.contains(&State::Approved));
        }
    }
}

fn vote(of: &Approval, person: u8, groups: u8, choice: bool) -> Vote {
    // Built as the engine does, through the form in which it is kept.
    let names: Vec<&str> = ["g0", "g1"]
        .into_iter()
        .enumerate()
        .filter_map(|(bit, name)| (groups & (1 << bit) != 0).then_some(name))
        .collect();
    serde_json::from_value(serde_json::json!({
        "person": PersonId::account(&person.to_string()),
        "identity": person.to_string(),
        "groups": names,
        "choice": if choice { Choice::Approve } else { Choice::Deny },
        "at": of.created,
    }))
    .unwrap()
}
