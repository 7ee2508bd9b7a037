//! Approvals and grants.

use tollbook_approvals::{Filter, GrantFilter, State as Standing, Store};
use tollbook_exchange::Timestamp;
use tollbook_state::State;

use crate::{approval, grant, step};

#[tokio::test]
async fn approvals_survive_a_restart_in_every_state() {
    let dir = tempfile::tempdir().unwrap();
    let mut kept = Vec::new();
    for (number, state) in (0_u8..).zip(Standing::ALL) {
        let store = State::open(dir.path()).unwrap().approvals();
        let pending = approval(number, &format!("slot {number}"), Standing::Pending);
        store.open(&pending, 20).await.unwrap();
        let mut there = pending.clone();
        if state != Standing::Pending {
            let full = approval(number, &pending.slot, state);
            there = step(&full, state);
            assert!(store.swap(1, &there).await.unwrap());
        }
        kept.push(there);
    }
    let store = State::open(dir.path()).unwrap().approvals();
    for expected in &kept {
        let found = store.approval(&expected.id).await.unwrap();
        assert_eq!(
            found.as_ref(),
            Some(expected),
            "{}",
            expected.state.as_str()
        );
        let listed = store.approvals(&Filter::state(expected.state)).await;
        assert_eq!(listed.unwrap(), std::slice::from_ref(expected));
    }
}

#[tokio::test]
async fn grants_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let all: Vec<_> = (0..4).map(grant).collect();
    {
        let store = State::open(dir.path()).unwrap().approvals();
        for grant in &all {
            store.add_grant(grant).await.unwrap();
        }
    }
    let store = State::open(dir.path()).unwrap().approvals();
    let mut found = store.grants(&GrantFilter::default()).await.unwrap();
    found.reverse();
    assert_eq!(found, all);
}

#[tokio::test]
async fn an_id_that_exists_is_never_written_over() {
    let dir = tempfile::tempdir().unwrap();
    let store = State::open(dir.path()).unwrap().approvals();
    let first = approval(1, "slot 1", Standing::Pending);
    store.open(&first, 20).await.unwrap();
    let second = approval(1, "slot 2", Standing::Pending);
    assert!(store.open(&second, 20).await.is_err());
    assert_eq!(store.approval(&first.id).await.unwrap(), Some(first));
    store.add_grant(&grant(1)).await.unwrap();
    assert!(store.add_grant(&grant(1)).await.is_err());
    // Neither was a failure that leaves doubt.
    assert!(store.add_grant(&grant(2)).await.is_ok());
}

#[tokio::test]
async fn what_is_due_first_comes_first() {
    let dir = tempfile::tempdir().unwrap();
    let store = State::open(dir.path()).unwrap().approvals();
    // The seventh is as old as the one before the first.
    for number in [1, 7, 2] {
        let pending = approval(number, &format!("slot {number}"), Standing::Pending);
        store.open(&pending, 20).await.unwrap();
    }
    let mut approved = step(
        &approval(2, "slot 2", Standing::Approved),
        Standing::Approved,
    );
    approved.use_until = approved.approved_at;
    assert!(store.swap(1, &approved).await.unwrap());
    let due = async |seconds: i64, most| {
        let now = Timestamp::from_micros((1_800_000_000 + seconds) * 1_000_000);
        let due = store.due(now, most).await.unwrap();
        due.iter().map(|it| it.id.to_string()).collect::<Vec<_>>()
    };
    let ids = |numbers: &[u8]| -> Vec<String> {
        numbers.iter().map(|it| format!("apr_{it:032x}")).collect()
    };
    assert_eq!(due(7, 9).await, ids(&[]));
    assert_eq!(due(8, 9).await, ids(&[2]));
    assert_eq!(due(900, 9).await, ids(&[2, 7]));
    assert_eq!(due(901, 9).await, ids(&[2, 7, 1]));
    assert_eq!(due(901, 2).await, ids(&[2, 7]));
}
