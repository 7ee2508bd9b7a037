//! Whatever is done in whatever order, these stores answer as the ones in memory do.

use proptest::prelude::*;
use tollbook_approvals::{
    Filter, GrantFilter, MemoryStore, Opened, State as Standing, Store, StoreError,
};
use tollbook_exchange::Timestamp;
use tollbook_identity::{AssertionHash, MemoryTokenStore, Revocation, Selector, TokenStore};
use tollbook_state::State;

use crate::{approval, digests, grant, step, token};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

fn time(seconds: u16) -> Timestamp {
    Timestamp::from_micros((1_800_000_000 + i64::from(seconds)) * 1_000_000)
}

#[derive(Clone, Debug)]
enum Step {
    Open {
        number: u8,
        slot: u8,
        limit: usize,
    },
    Swap {
        number: u8,
        expected: u64,
        state: Standing,
    },
    Matching(u8),
    List {
        state: Option<Standing>,
        since: Option<u16>,
        limit: usize,
        stranger: bool,
    },
    Due {
        now: u16,
        limit: usize,
    },
    Grant(u8),
    SwapGrant {
        number: u8,
        expected: u64,
    },
    Grants {
        who: Option<u8>,
        active: Option<u16>,
        review: bool,
        limit: Option<usize>,
    },
    Forget(u16),
    Reopen,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let state = || prop::sample::select(Standing::ALL.to_vec());
    let few = || 0..12_u8;
    let step = prop_oneof![
        6 => (few(), 0..4_u8, 0..5_usize).prop_map(|(number, slot, limit)| Step::Open { number, slot, limit }),
        6 => (few(), 1..4_u64, state()).prop_map(|(number, expected, state)| Step::Swap { number, expected, state }),
        2 => few().prop_map(Step::Matching),
        2 => (prop::option::of(state()), prop::option::of(0..8_u16), 0..6_usize, any::<bool>())
            .prop_map(|(state, since, limit, stranger)| Step::List { state, since, limit, stranger }),
        2 => (0..1000_u16, 0..4_usize).prop_map(|(now, limit)| Step::Due { now, limit }),
        2 => few().prop_map(Step::Grant),
        2 => (few(), 1..3_u64).prop_map(|(number, expected)| Step::SwapGrant { number, expected }),
        2 => (prop::option::of(0..3_u8), prop::option::of(0..16_u16), any::<bool>(), prop::option::of(0..3_usize))
            .prop_map(|(who, active, review, limit)| Step::Grants { who, active, review, limit }),
        1 => (0..20_u16).prop_map(Step::Forget),
        1 => Just(Step::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

/// What a store answers, in a form that can be compared.
async fn answer(store: &impl Store, step: &Step) -> String {
    fn said<T: std::fmt::Debug>(answer: Result<T, StoreError>) -> String {
        match answer {
            Ok(answer) => format!("{answer:?}"),
            Err(_) => "failed".to_owned(),
        }
    }
    match step {
        Step::Open {
            number,
            slot,
            limit,
        } => {
            let approval = approval(*number, &format!("slot {slot}"), Standing::Pending);
            said::<Opened>(store.open(&approval, *limit).await)
        }
        Step::Swap {
            number,
            expected,
            state,
        } => {
            let id = approval(*number, "", *state).id;
            // A slot holds one open approval, so what has ended stays so.
            let next = match store.approval(&id).await.unwrap() {
                Some(old) if old.state.is_final() && !state.is_final() => return String::new(),
                Some(old) => {
                    let mut next = crate::step(&old, *state);
                    next.use_until = approval(*number, "", *state).use_until;
                    next.ended = approval(*number, "", *state).ended;
                    next
                }
                None => step_of_none(*number, *state),
            };
            said(store.swap(*expected, &next).await) + &said(store.approval(&id).await)
        }
        Step::Matching(number) => {
            let owner = approval(*number, "", Standing::Pending).owner;
            let elsewhere = store.matching(&owner, "elsewhere", &digests(*number)).await;
            assert_eq!(said(elsewhere), "[]");
            said(store.matching(&owner, "claude", &digests(*number)).await)
        }
        Step::List {
            state,
            since,
            limit,
            stranger,
        } => {
            let mut filter = Filter::default().limit(*limit);
            filter.state = *state;
            filter.since = since.map(time);
            filter.identity = stranger.then(|| "ci/stranger".to_owned());
            said(store.approvals(&filter).await)
        }
        Step::Due { now, limit } => said(store.due(time(*now), *limit).await),
        Step::Grant(number) => said(store.add_grant(&grant(*number)).await),
        Step::SwapGrant { number, expected } => {
            let mut next = grant(*number);
            next.version = expected + 1;
            next.until = time(u16::from(*number));
            said(store.swap_grant(*expected, &next).await) + &said(store.grant(&next.id).await)
        }
        Step::Grants {
            who,
            active,
            review,
            limit,
        } => {
            let filter = GrantFilter {
                identity: who.map(|who| format!("ci/{who}")),
                connection: who.map(|_| "claude".to_owned()),
                active_at: active.map(time),
                open_review: *review,
                limit: *limit,
            };
            said(store.grants(&filter).await)
        }
        Step::Forget(before) => said(store.forget(time(*before)).await),
        Step::Reopen => String::new(),
    }
}

fn step_of_none(number: u8, state: Standing) -> tollbook_approvals::Approval {
    step(&approval(number, "", state), state)
}

#[derive(Clone, Debug)]
enum TokenStep {
    Insert(u8),
    Revoke {
        selector: u8,
        at: i64,
    },
    Count {
        assertion: u8,
        until: i64,
        limit: u32,
    },
    Look {
        limit: usize,
        now: i64,
    },
    Purge(i64),
    Reopen,
}

fn token_steps() -> impl Strategy<Value = Vec<TokenStep>> {
    let step = prop_oneof![
        6 => (0..20_u8).prop_map(TokenStep::Insert),
        2 => (0..8_u8, 980..1010_i64).prop_map(|(selector, at)| TokenStep::Revoke { selector, at }),
        4 => (0..3_u8, 0..3000_i64, 0..4_u32)
            .prop_map(|(assertion, until, limit)| TokenStep::Count { assertion, until, limit }),
        4 => (0..9_usize, 170_000..190_000_i64).prop_map(|(limit, now)| TokenStep::Look { limit, now }),
        1 => prop_oneof![0..3000_i64, 170_000..190_000_i64].prop_map(TokenStep::Purge),
        1 => Just(TokenStep::Reopen),
    ];
    prop::collection::vec(step, 1..40)
}

async fn token_answer(store: &impl TokenStore, step: &TokenStep) -> String {
    match step {
        TokenStep::Insert(byte) => {
            let record = token(*byte).1;
            let hash = record.hash;
            let inserted = format!(
                "{:?}",
                store.insert(record).await.map_err(|it| it.to_string())
            );
            inserted + &format!("{:?}", store.find(hash).await.unwrap())
        }
        TokenStep::Revoke { selector, at } => {
            let selector = match selector {
                0 => Selector::Token(token(3).1.id()),
                1 => Selector::Rule("rule-1".to_owned()),
                2 => Selector::Issuer("ci".to_owned()),
                3 => Selector::Identity("ci/repo:2".to_owned()),
                4 => Selector::Subject {
                    issuer: "ci".to_owned(),
                    subject: "repo:1".to_owned(),
                },
                _ => Selector::Rule("nobody's".to_owned()),
            };
            // Some reach back to tokens that were made before, some do not.
            let mut revocation = Revocation::new(selector, "lost", *at);
            revocation.through = *at;
            format!("{:?}", store.revoke(revocation).await.unwrap())
        }
        TokenStep::Count {
            assertion,
            until,
            limit,
        } => {
            let assertion = AssertionHash([*assertion; 32]);
            let counted = store.count_exchange(assertion, *until, *limit).await;
            format!("{:?}", counted.unwrap())
        }
        TokenStep::Look { limit, now } => {
            let list = store.list(*limit).await.unwrap();
            format!("{list:?} {:?}", store.revocations(*now).await.unwrap())
        }
        TokenStep::Purge(before) => format!("{:?}", store.purge(*before).await.unwrap()),
        TokenStep::Reopen => String::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn approvals_and_grants(steps in steps()) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let memory = MemoryStore::new();
            let mut state = State::open(dir.path()).unwrap();
            for step in &steps {
                if matches!(step, Step::Reopen) {
                    drop(state);
                    state = State::open(dir.path()).unwrap();
                }
                let expected = answer(&memory, step).await;
                prop_assert_eq!(answer(&state.approvals(), step).await, expected, "{:?}", step);
            }
            Ok(())
        })?;
    }

    #[test]
    fn tokens(steps in token_steps()) {
        let dir = tempfile::tempdir().unwrap();
        runtime().block_on(async {
            let memory = MemoryTokenStore::new();
            let mut state = State::open(dir.path()).unwrap();
            for step in &steps {
                if matches!(step, TokenStep::Reopen) {
                    drop(state);
                    state = State::open(dir.path()).unwrap();
                }
                let expected = token_answer(&memory, step).await;
                prop_assert_eq!(token_answer(&state.tokens(), step).await, expected, "{:?}", step);
            }
            Ok(())
        })?;
    }
}
