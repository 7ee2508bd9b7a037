//! Nothing is lost, whatever the other side does and whenever the gateway ends.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use tollbook_search::Format;
use tollbook_sinks::{Cursors, Failure, Options, Sink, SinkEvent};

use crate::doubles::{Book, Notes, Other, Then, lines, texts, until};

const DAY: Duration = Duration::from_secs(86_400);

#[tokio::test]
async fn a_day_without_the_other_side_loses_nothing_and_repeats_nothing() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(30).await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let other = Other::new(move |_| match begun.elapsed() < DAY {
        true => Then::Fail(Failure::again("down").with_status(503)),
        false => Then::Take,
    });
    let mut options = Options::default();
    options.batch_records = 7;
    let sinks = book.start(other.sink(options), &notes).await;

    let state = until(&sinks, |state| state.told).await;
    assert!(begun.elapsed() >= Duration::from_secs(15 * 60));
    assert!(other.ids().is_empty());
    assert!(state.behind >= 60, "{state:?}");
    assert_eq!(state.why.as_deref(), Some("down (503)"));

    until(&sinks, |state| state.behind == 0).await;
    assert!(begun.elapsed() >= DAY);
    assert_eq!(other.ids(), texts(&ids), "each once, in order");
    // It came again and again, at longer and longer intervals, and not in a loop.
    let tries = other.tries.lock().unwrap().len();
    assert!((280..900).contains(&tries), "{tries}");
    let events = notes.all();
    let told: Vec<_> = events.iter().filter(|event| !started(event)).collect();
    assert!(matches!(told[0], SinkEvent::Failing { why, .. } if why == "down (503)"));
    assert!(matches!(told[1], SinkEvent::Recovered { .. }), "{told:?}");
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(sinks.close(Duration::from_secs(1)).await);
}

fn started(event: &SinkEvent) -> bool {
    matches!(event, SinkEvent::Started { .. })
}

/// The other side took a batch, and the gateway died before it knew.
#[tokio::test]
async fn after_a_crash_the_same_batch_comes_under_the_same_key() {
    let (book, notes) = (Book::new(), Notes::default());
    let before = book.write(3).await;
    let hanging = Other::new(|_| Then::TakeAndHang);
    let sinks = book.start(hanging.sink(Options::default()), &notes).await;
    while hanging.keys().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // Dropped, as a process is that is killed.
    drop(sinks);
    // What comes in meanwhile would make another batch of it.
    let after = book.write(2).await;

    let other = Other::taking();
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    until(&sinks, |state| state.sent == 5).await;
    assert_eq!(other.keys()[0], hanging.keys()[0]);
    let bytes = |other: &Other| other.got.lock().unwrap()[0].bytes.clone();
    assert_eq!(bytes(&other), bytes(&hanging));
    assert_eq!(other.ids(), texts(&[before, after].concat()));
    assert!(
        other.keys()[0].starts_with("sinks.example/log/"),
        "{:?}",
        other.keys()
    );
}

/// What was planned was planned with other limits.
#[tokio::test]
async fn a_batch_that_was_planned_has_its_limits() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(9).await;
    let hanging = Other::new(|_| Then::TakeAndHang);
    let sinks = book.start(hanging.sink(Options::default()), &notes).await;
    while hanging.keys().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(sinks);
    let other = Other::taking();
    let mut options = Options::default();
    options.batch_records = 4;
    let sinks = book.start(other.sink(options), &notes).await;
    until(&sinks, |state| state.sent == 9).await;
    assert_eq!(other.ids(), texts(&ids));
    let got = other.got.lock().unwrap();
    assert!(got.iter().all(|delivery| delivery.records <= 4));
}

#[tokio::test]
async fn a_sink_goes_on_where_it_ended() {
    let (book, notes) = (Book::new(), Notes::default());
    let first = book.write(2).await;
    let other = Other::taking();
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    until(&sinks, |state| state.sent == 2).await;
    assert!(sinks.close(Duration::from_secs(1)).await);
    let second = book.write(2).await;
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    until(&sinks, |state| state.sent == 4).await;
    assert_eq!(other.ids(), texts(&[first, second].concat()));
    // Another name is another sink.
    drop(sinks);
    let new = Sink::new("new", other.clone(), Options::default()).unwrap();
    let sinks = book.start(new, &notes).await;
    until(&sinks, |state| state.sent == 4).await;
    assert_eq!(other.ids().len(), 8);
    let states = Cursors::existing(book.dir.path())
        .unwrap()
        .states()
        .unwrap();
    assert_eq!(states.len(), 2);
}

/// What is under way is sent when it has ended, behind what ended before it.
#[tokio::test]
async fn an_exchange_is_sent_once_when_it_has_ended() {
    let (book, notes) = (Book::new(), Notes::default());
    let (open, recording) = book.begin("claude", "a long one").await;
    let ended = book.write(2).await;
    let other = Other::taking();
    let mut options = Options::default();
    options.interval = Duration::from_millis(20);
    let sinks = book.start(other.sink(options), &notes).await;
    until(&sinks, |state| state.behind == 0 && state.sent == 2).await;
    assert_eq!(other.ids(), texts(&ended));
    open.conclude(tollbook_exchange::Outcome::Complete);
    let id = open.id();
    drop((open, recording));
    until(&sinks, |state| state.sent == 3).await;
    assert_eq!(other.ids().last(), Some(&id.to_string()));
}

#[tokio::test]
async fn a_slow_sink_keeps_no_other_waiting_and_has_its_limit() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(4).await;
    tokio::time::pause();
    let slow = Other::new(|_| Then::After(Duration::from_secs(600)));
    let quick = Other::taking();
    let sink =
        |name: &str, other: &Other| Sink::new(name, other.clone(), Options::default()).unwrap();
    let sinks = vec![sink("quick", &quick), sink("slow", &slow)];
    let sinks = book.start_all(sinks, &notes).await;
    until(&sinks, |state| state.sent == 4).await;
    assert_eq!(quick.ids(), texts(&ids));
    while sinks.states()[1].why.is_none() {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert_eq!(sinks.states()[1].why.as_deref(), Some("no answer in time"));
    assert!(slow.ids().is_empty());
}

#[tokio::test]
async fn what_is_under_way_may_end_and_what_hangs_is_cut_off() {
    let (book, notes) = (Book::new(), Notes::default());
    book.write(1).await;
    tokio::time::pause();
    let other = Other::new(|_| Then::After(Duration::from_secs(2)));
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    while other.tries.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(sinks.close(Duration::from_secs(3)).await);
    assert_eq!(other.ids().len(), 1);
    let state = Cursors::existing(book.dir.path()).unwrap();
    assert_eq!(state.state("other").unwrap().unwrap().sent, 1);

    let hanging = Other::new(|_| Then::TakeAndHang);
    let sink = Sink::new("hanging", hanging.clone(), Options::default()).unwrap();
    let sinks = book.start(sink, &notes).await;
    while hanging.keys().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let begun = tokio::time::Instant::now();
    assert!(!sinks.close(Duration::from_secs(3)).await);
    assert!(begun.elapsed() < Duration::from_secs(4));
}

#[tokio::test]
async fn a_book_of_another_log_is_sent_from_its_start() {
    let (book, notes) = (Book::new(), Notes::default());
    book.write(3).await;
    let other = Other::taking();
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    until(&sinks, |state| state.sent == 3).await;
    assert!(sinks.close(Duration::from_secs(1)).await);

    let fresh = Book::new();
    let ids = fresh.write(2).await;
    for file in ["sinks.db", "sinks.db-wal", "sinks.db-shm"] {
        let from = book.dir.path().join(file);
        if from.exists() {
            std::fs::copy(from, fresh.dir.path().join(file)).unwrap();
        }
    }
    let other = Other::taking();
    let sinks = fresh.start(other.sink(Options::default()), &notes).await;
    until(&sinks, |state| state.sent == 5).await;
    assert_eq!(other.ids(), texts(&ids));
    let told = |event: &SinkEvent| matches!(event, SinkEvent::OtherBook { cursor: 1.., .. });
    assert!(notes.all().iter().any(told));
}

#[tokio::test]
async fn a_sink_has_what_its_query_and_its_connections_take() {
    let (book, notes) = (Book::new(), Notes::default());
    book.write_on("claude", 2).await;
    let wanted = book.write_on("batches", 3).await;
    let other = Other::taking();
    let mut options = Options::default();
    options.connections = vec!["batches".to_owned()];
    options.query = "prompt:\"prompt 1\"".parse().unwrap();
    options.contents = false;
    let sinks = book.start(other.sink(options), &notes).await;
    let state = until(&sinks, |state| state.behind == 0 && state.cursor > 0).await;
    assert_eq!((state.sent, state.skipped), (1, 0));
    assert_eq!(other.ids(), texts(&wanted[1..2]));
    let got = other.got.lock().unwrap();
    assert!(lines(&got[0].bytes)[0]["request"].get("body").is_none());
}

#[tokio::test]
async fn batches_have_their_limits() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(10).await;
    let other = Other::taking();
    let mut options = Options::default();
    options.batch_records = 4;
    let sinks = book.start(other.sink(options.clone()), &notes).await;
    until(&sinks, |state| state.sent == 10).await;
    assert_eq!(other.ids(), texts(&ids));
    let sizes = |other: &Other| {
        let got = other.got.lock().unwrap();
        got.iter()
            .map(|delivery| delivery.records)
            .collect::<Vec<_>>()
    };
    assert_eq!(sizes(&other), [4, 4, 2]);
    // One larger than the limit goes alone.
    let other = Other::taking();
    options.batch_bytes = 1;
    let sink = Sink::new("small", other.clone(), options).unwrap();
    let sinks = book.start(sink, &notes).await;
    until(&sinks, |state| state.sent == 10).await;
    assert_eq!(sizes(&other), [1; 10]);
}

#[test]
fn a_sink_that_cannot_be_is_refused() {
    let other = Other::taking();
    let mut options = Options::default();
    for name in ["", "A", "a b", "1a", &"a".repeat(65)] {
        assert!(
            Sink::new(name, other.clone(), options.clone()).is_err(),
            "{name}"
        );
    }
    options.format = Format::Har;
    assert!(Sink::new("a", other.clone(), options.clone()).is_err());
    options.format = Format::Parquet;
    assert!(Sink::new("a", other.clone(), options.clone()).is_err());
    options.format = Format::Ocsf;
    assert!(Sink::new("a", other.clone(), options.clone()).is_ok());
    options.tries = 0;
    assert!(Sink::new("a", other, options).is_err());
}

/// The switch by which tests have another side come up.
pub(crate) fn switch() -> std::sync::Arc<AtomicBool> {
    std::sync::Arc::new(AtomicBool::new(false))
}

pub(crate) fn is(switch: &AtomicBool) -> bool {
    switch.load(Ordering::SeqCst)
}
