//! What was erased does not go out, whatever was under way then.

use std::{sync::atomic::Ordering, time::Duration};

use tollbook_exchange::{ExchangeId, Outcome};
use tollbook_sinks::{Failure, Options};

use crate::{
    doubles::{Book, Notes, Other, Then, texts, until},
    keeping_on::{is, switch},
};

/// Two of one subject, two of another, by turns.
pub(crate) async fn written(book: &Book) -> [Vec<ExchangeId>; 2] {
    let mut ids = [Vec::new(), Vec::new()];
    for number in 0..4 {
        let subject = ["repo:acme/api", "repo:acme/web"][number % 2];
        let (exchange, _recording) = book.begin_as(subject, "claude", "a prompt").await;
        ids[number % 2].push(exchange.id());
        exchange.conclude(Outcome::Complete);
    }
    for ids in &ids {
        book.wait(ids.last()).await;
    }
    ids
}

async fn erased_while_the_other_side_is_down(each: bool) {
    let (book, notes) = (Book::new(), Notes::default());
    let [gone, left] = written(&book).await;
    let up = switch();
    let well = up.clone();
    let mut other = Other::new(move |_| match is(&well) {
        true => Then::Take,
        false => Then::Fail(Failure::again("down").with_status(503)),
    });
    if each {
        other = other.each();
    }
    let mut options = Options::default();
    options.interval = Duration::from_millis(20);
    let sinks = book.start(other.sink(options), &notes).await;
    until(&sinks, |state| state.failing_since.is_some()).await;
    book.erase("repo:acme/api").await;
    up.store(true, Ordering::SeqCst);
    let state = until(&sinks, |state| state.behind == 0 && state.sent > 0).await;
    assert_eq!(other.ids(), texts(&left), "nothing of {gone:?}");
    let counts = (state.sent, state.skipped, state.set_aside);
    assert_eq!(counts, (2, 2, 0));
}

#[tokio::test]
async fn what_is_erased_while_a_batch_waits_does_not_go_out() {
    erased_while_the_other_side_is_down(false).await;
}

#[tokio::test]
async fn what_is_erased_while_records_wait_does_not_go_out() {
    erased_while_the_other_side_is_down(true).await;
}

/// The other side is up all the time, and slow: what waits behind is erased meanwhile.
#[tokio::test]
async fn what_waits_behind_a_slow_delivery_does_not_go_out() {
    let (book, notes) = (Book::new(), Notes::default());
    let [gone, _left] = written(&book).await;
    let slow = Other::new(|_| Then::After(Duration::from_millis(1_200))).each();
    let sinks = book.start(slow.sink(Options::default()), &notes).await;
    while slow.tries.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    book.erase("repo:acme/api").await;
    let state = until(&sinks, |state| state.behind == 0 && state.sent > 0).await;
    // The first of them was on its way.
    assert_eq!((state.sent, state.skipped), (3, 1));
    assert!(!slow.ids().contains(&gone[1].to_string()));
}
