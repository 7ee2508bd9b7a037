//! Gateway tokens.

use tollbook_identity::{AssertionHash, Revocation, Selector, TokenStore};
use tollbook_state::State;

use crate::token;

#[tokio::test]
async fn tokens_revocations_and_counts_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (kept, revoked) = (token(1).1, token(2).1);
    let revocation = Revocation::new(Selector::Token(revoked.id()), "lost laptop", 1100);
    {
        let tokens = State::open(dir.path()).unwrap().tokens();
        tokens.insert(kept.clone()).await.unwrap();
        tokens.insert(revoked.clone()).await.unwrap();
        let ended = tokens.revoke(revocation.clone()).await.unwrap();
        assert_eq!(ended, [revoked.id()]);
        for expected in 1..=3 {
            let counted = tokens.count_exchange(kept.assertion, 5000, 20).await;
            assert_eq!(counted.unwrap(), expected);
        }
    }
    let tokens = State::open(dir.path()).unwrap().tokens();
    assert_eq!(tokens.find(kept.hash).await.unwrap(), Some(kept.clone()));
    let found = tokens.find(revoked.hash).await.unwrap().unwrap();
    assert_eq!(found.revoked.unwrap().why, "lost laptop");
    assert_eq!(tokens.revocations(1100).await.unwrap(), [revocation]);
    let counted = tokens.count_exchange(kept.assertion, 5000, 20).await;
    assert_eq!(counted.unwrap(), 4);
    assert_eq!(tokens.find(token(3).1.hash).await.unwrap(), None);
}

#[tokio::test]
async fn who_hangs_up_on_a_write_has_it_done_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let tokens = State::open(dir.path()).unwrap().tokens();
    let assertion = AssertionHash([1; 32]);
    for _ in 0..5 {
        let mut counting = tokens.count_exchange(assertion, 9, 20);
        // Handed over, and then dropped before there is an answer.
        let once = std::future::poll_fn(|cx| std::task::Poll::Ready(counting.as_mut().poll(cx)));
        let _pending = once.await;
    }
    let counted = tokens.count_exchange(assertion, 9, 20).await;
    assert_eq!(counted.unwrap(), 6);
}
