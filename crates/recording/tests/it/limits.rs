//! Whatever may wait is bounded, and what is over the bound waits instead of being dropped.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use tollbook_exchange::Outcome;
use tollbook_recording::ErrorKind;

use crate::support::{Book, Stall, Step, answer, masked, open};

#[tokio::test]
async fn a_full_queue_makes_callers_wait_and_loses_nothing() {
    let book = Book::with(|config| config.queue = 100_000);
    let stall = Stall::new(&book.folder());
    let done = Arc::new(AtomicUsize::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let (recorder, done) = (book.recorder.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            let exchange = open();
            let _recording = recorder.begin(&exchange).await.unwrap();
            exchange.draft(|draft| draft.request.body = masked(vec![b'x'; 30_000].into()));
            recorder.commit(&exchange).await.unwrap();
            exchange.conclude(Outcome::Complete);
            done.fetch_add(1, Ordering::Relaxed);
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let queued = book.recorder.stats().queued;
    assert!((60_000..=100_000).contains(&queued), "{queued}");
    assert_eq!(done.load(Ordering::Relaxed), 0);
    drop(stall);
    tasks.join_all().await;

    let found = book.close().reader().verify(None).unwrap();
    assert!(found.is_verified(), "{found:?}");
    assert_eq!((found.exchanges, found.open), (20, 0));
}

#[tokio::test]
async fn outcomes_never_wait_for_room_in_the_queue() {
    let book = Book::with(|config| {
        config.queue = 10_000;
        config.deadline = Duration::from_millis(100);
    });
    let mut recordings = Vec::new();
    for _ in 0..50 {
        let exchange = open();
        let recording = book.recorder.begin(&exchange).await.unwrap();
        book.recorder.commit(&exchange).await.unwrap();
        exchange.answered(masked(vec![b'x'; 5_000].into()));
        exchange.conclude(Outcome::Complete);
        recordings.push(recording);
    }
    let stall = Stall::new(&book.folder());
    drop(recordings);
    drop(stall);
    let found = book.close().reader().verify(None).unwrap();
    assert!(found.is_verified(), "{found:?}");
    assert_eq!((found.exchanges, found.open), (50, 0));
}

#[tokio::test]
async fn exchanges_under_way_are_bounded_until_their_outcome_is_written() {
    let book = Book::with(|config| {
        config.exchanges = 2;
        config.deadline = Duration::from_millis(100);
    });
    let exchanges = [open(), open(), open()];
    let first = book.recorder.begin(&exchanges[0]).await.unwrap();
    let _second = book.recorder.begin(&exchanges[1]).await.unwrap();
    let third = book.recorder.begin(&exchanges[2]).await.unwrap_err();
    assert_eq!(third.kind(), &ErrorKind::Deadline);

    let stall = Stall::new(&book.folder());
    drop(first);
    let third = book.recorder.begin(&exchanges[2]).await.unwrap_err();
    assert_eq!(third.kind(), &ErrorKind::Deadline);
    drop(stall);
    assert!(book.recorder.begin(&exchanges[2]).await.is_ok());
}

#[tokio::test]
async fn a_body_larger_than_the_queue_goes_through_it() {
    let book = Book::with(|config| config.queue = 1000);
    let id = book
        .exchange(&vec![b'a'; 1 << 20], &[&vec![b'b'; 1 << 20]])
        .await;
    let shown = book.close().show(&id.to_string());
    assert_eq!(
        shown["request"]["body"].as_str().map(str::len),
        Some(1 << 20)
    );
    assert_eq!(
        shown["response"]["body"].as_str().map(str::len),
        Some(1 << 20)
    );
}

const MANY: &[Step] = &[Step::Data("0123456789"); 40];

#[tokio::test]
async fn a_long_response_is_written_while_it_streams() {
    let book = Book::with(|config| config.step = 100);
    let (id, failed) = book.send(answer(200, MANY), 25).await;
    assert!(!failed);
    // All but the last step is out of memory before the exchange ends.
    let book = book.close();
    let shown = book.show(&id);
    assert_eq!(shown["outcome"], "client_gone");
    assert_eq!(shown["response"]["bytes"], 250);
    assert_eq!(shown["response"]["body"].as_str().map(str::len), Some(250));
    assert!(book.reader().verify(None).unwrap().is_verified());
}

#[tokio::test]
async fn parts_are_handed_over_in_steps() {
    let book = Book::with(|config| config.step = 100);
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    exchange.answered(masked(Bytes::from(vec![b'x'; 99])));
    assert!(!recording.is_full());
    exchange.answered(masked(Bytes::from_static(b"y")));
    assert!(recording.is_full());
    recording.keep().await.unwrap();
    assert!(!recording.is_full());
    assert!(exchange.draft(|draft| draft.response.parts.is_empty()));
}

#[tokio::test]
async fn a_response_that_cannot_be_recorded_further_is_cut_off() {
    let book = Book::with(|config| {
        config.step = 100;
        config.queue = 5_000;
        config.deadline = Duration::from_millis(100);
    });
    let committed = open();
    let recording = book.recorder.begin(&committed).await.unwrap();
    book.recorder.commit(&committed).await.unwrap();
    committed.conclude(Outcome::Complete);

    // The request is committed before the journal hangs, the response comes after.
    let folder = book.folder();
    let inner = tower::service_fn(move |request: http::Request<()>| {
        let stall = Stall::new(&folder);
        let answer = answer(200, MANY);
        async move {
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_secs(1));
                drop(stall);
            });
            tower::ServiceExt::oneshot(answer, request).await
        }
    });
    let (id, failed) = book.send(inner, 100).await;
    assert!(failed);
    drop(recording);
    let shown = book.close().show(&id);
    assert_eq!(shown["outcome"], "policy_cut");
    assert!(shown["response"]["bytes"].as_u64().unwrap() < 400);
}
