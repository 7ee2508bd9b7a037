//! Many at once.

use tollbook_approvals::{Opened, State as Standing, Store};
use tollbook_identity::{AssertionHash, StoreError, TokenStore};
use tollbook_state::State;

use crate::{approval, grant, step, token};

/// Runs a hundred of these at the same moment, on several threads.
async fn hundred<T, F>(run: impl Fn(u32) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = (0..100).map(|number| tokio::spawn(run(number))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_that_use_an_approval_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let pending = approval(1, "slot", Standing::Pending);
    state.approvals().open(&pending, 20).await.unwrap();
    let approved = step(&pending, Standing::Approved);
    assert!(state.approvals().swap(1, &approved).await.unwrap());

    let won = hundred(|number| {
        let store = state.approvals();
        let mut used = step(&approved, Standing::Consumed);
        used.rules = vec![number.to_string()];
        async move { store.swap(2, &used).await.unwrap().then_some(used) }
    });
    let won: Vec<_> = won.await.into_iter().flatten().collect();
    assert_eq!(won.len(), 1);
    let kept = state.approvals().approval(&pending.id).await.unwrap();
    assert_eq!(kept.as_ref(), Some(&won[0]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_that_ask_for_the_same_one_opens_it_and_the_others_join() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let opened = hundred(|number| {
        let store = state.approvals();
        let approval = approval(u8::try_from(number).unwrap(), "slot", Standing::Pending);
        async move { store.open(&approval, 20).await.unwrap() }
    });
    let opened = opened.await;
    let new = opened.iter().filter(|it| **it == Opened::New);
    assert_eq!(new.count(), 1);
    let joined = |it: &&Opened| matches!(it, Opened::Joined(_));
    assert_eq!(opened.iter().filter(joined).count(), 99);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_approvals_of_one_caller_as_many_open_as_may() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let opened = hundred(|number| {
        let store = state.approvals();
        let slot = format!("slot {number}");
        let approval = approval(u8::try_from(number).unwrap(), &slot, Standing::Pending);
        async move { store.open(&approval, 20).await.unwrap() }
    });
    let new = opened.await.into_iter().filter(|it| *it == Opened::New);
    assert_eq!(new.count(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_that_change_a_grant_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    state.approvals().add_grant(&grant(1)).await.unwrap();
    let changed = hundred(|number| {
        let store = state.approvals();
        let mut next = grant(1);
        next.version = 2;
        next.reason = number.to_string();
        async move { store.swap_grant(1, &next).await.unwrap() }
    });
    let changed = changed.await.into_iter().filter(|changed| *changed);
    assert_eq!(changed.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_exchanges_of_one_assertion_exactly_the_limit_count() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let counts = hundred(|_| {
        let store = state.tokens();
        async move {
            store
                .count_exchange(AssertionHash([1; 32]), 9, 20)
                .await
                .unwrap()
        }
    });
    let mut counts = counts.await;
    counts.sort_unstable();
    let expected: Vec<u32> = (1..=20).chain([21; 80]).collect();
    assert_eq!(counts, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_that_insert_a_token_one_does() {
    let dir = tempfile::tempdir().unwrap();
    let state = State::open(dir.path()).unwrap();
    let inserted = hundred(|number| {
        let store = state.tokens();
        let mut record = token(1).1;
        record.issued = i64::from(number);
        async move { store.insert(record).await }
    });
    let (kept, refused): (Vec<_>, Vec<_>) = inserted.await.into_iter().partition(Result::is_ok);
    assert_eq!(kept.len(), 1);
    let exists = |it: &Result<(), StoreError>| matches!(it, Err(StoreError::Exists));
    assert!(refused.iter().all(exists));
}
