//! A record that nobody takes stands in nobody's way.

use std::{sync::atomic::Ordering, time::Duration};

use tollbook_exchange::ExchangeId;
use tollbook_sinks::{Cursors, Delivery, Failure, Options, SinkEvent};

use crate::{
    doubles::{Book, Notes, Other, Then, texts, until},
    erased::written,
    keeping_on::{is, switch},
};

fn holds(delivery: &Delivery, id: &str) -> bool {
    String::from_utf8_lossy(&delivery.bytes).contains(id)
}

#[tokio::test]
async fn what_is_refused_for_good_is_found_and_set_aside_and_the_others_go_on() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(20).await;
    tokio::time::pause();
    let (poison, healed) = (ids[13].to_string(), switch());
    let (bad, well) = (poison.clone(), healed.clone());
    let other = Other::new(move |delivery| match holds(delivery, &bad) && !is(&well) {
        true => Then::Fail(Failure::refused("it has a bad field").with_status(400)),
        false => Then::Take,
    });
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    let state = until(&sinks, |state| state.behind == 0 && state.cursor > 0).await;
    assert_eq!((state.sent, state.set_aside), (19, 1));
    assert_eq!(state.failing_since, None);
    let mut others = texts(&ids);
    others.remove(13);
    assert_eq!(other.ids(), others, "each once, in order");

    let cursors = Cursors::existing(book.dir.path()).unwrap();
    let aside = cursors.set_aside("other", 10).unwrap();
    assert_eq!(aside.len(), 1);
    assert_eq!(aside[0].exchange, ids[13]);
    assert_eq!(
        (aside[0].tries, aside[0].why.as_str()),
        (5, "it has a bad field (400)")
    );
    let told = notes.all();
    let told = told
        .iter()
        .find(|event| matches!(event, SinkEvent::SetAside { .. }));
    assert!(matches!(told, Some(SinkEvent::SetAside { exchange, .. }) if *exchange == ids[13]));

    // Wanted again it is refused again, and set aside again; and taken when it can be.
    assert_eq!(cursors.retry("other", Some(aside[0].index)).unwrap(), 1);
    while cursors.set_aside("other", 10).unwrap()[0].tries == 5 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(!cursors.set_aside("other", 10).unwrap()[0].again);
    healed.store(true, Ordering::SeqCst);
    cursors.retry("other", None).unwrap();
    let state = until(&sinks, |state| state.set_aside == 0).await;
    assert_eq!(state.sent, 20);
    assert_eq!(other.ids().last(), Some(&poison));
    assert!(
        notes
            .all()
            .iter()
            .any(|event| matches!(event, SinkEvent::Resent { .. }))
    );
    assert!(cursors.set_aside("other", 10).unwrap().is_empty());
}

/// A sink that takes each record alone needs no halves.
#[tokio::test]
async fn records_that_go_alone_are_set_aside_alone() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(5).await;
    tokio::time::pause();
    let bad = ids[0].to_string();
    let other = Other::new(move |delivery| match holds(delivery, &bad) {
        true => Then::Fail(Failure::refused("too large")),
        false => Then::Take,
    });
    let sinks = book
        .start(other.clone().each().sink(Options::default()), &notes)
        .await;
    let state = until(&sinks, |state| state.behind == 0 && state.cursor > 0).await;
    assert_eq!((state.sent, state.set_aside), (4, 1));
    assert_eq!(other.ids(), texts(&ids[1..]));
}

/// What is wrong with a record itself says nothing of the other side, however often it comes.
#[tokio::test]
async fn any_number_of_records_too_large_is_set_aside() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(25).await;
    tokio::time::pause();
    let last = ids[24].to_string();
    let other = Other::new(move |delivery| match holds(delivery, &last) {
        true => Then::Take,
        false => Then::Fail(Failure::refused("too large").of_the_record()),
    });
    let other = other.each();
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    let state = until(&sinks, |state| state.behind == 0 && state.cursor > 0).await;
    assert_eq!((state.sent, state.set_aside), (1, 24));
}

/// Then it is not the records that are wrong.
#[tokio::test]
async fn a_sink_that_refuses_everything_is_waited_for() {
    let (book, notes) = (Book::new(), Notes::default());
    let ids = book.write(60).await;
    tokio::time::pause();
    let up = switch();
    let well = up.clone();
    let other = Other::new(move |_| match is(&well) {
        true => Then::Take,
        false => Then::Fail(Failure::refused("wrong address").with_status(400)),
    });
    let sinks = book.start(other.sink(Options::default()), &notes).await;
    let state = until(&sinks, |state| state.told).await;
    assert_eq!(state.set_aside, 20);
    assert!(other.ids().is_empty());
    up.store(true, Ordering::SeqCst);
    let state = until(&sinks, |state| state.behind == 0 && state.cursor > 0).await;
    assert_eq!((state.sent, state.set_aside), (40, 20));
    Cursors::existing(book.dir.path())
        .unwrap()
        .retry("other", None)
        .unwrap();
    until(&sinks, |state| state.set_aside == 0).await;
    assert_eq!(other.counts().len(), ids.len(), "all of them, in the end");
    assert!(other.counts().values().all(|count| *count == 1));
}

/// Puts the key of an exchange's scope out of reach, or back.
fn move_key(book: &Book, exchange: &ExchangeId, away: bool) {
    let open = |name: &str| rusqlite::Connection::open(book.dir.path().join(name)).unwrap();
    let sql = "SELECT scope.key FROM scope, exchange
         WHERE exchange.scope = scope.number AND exchange.id = ?1";
    let key: Vec<u8> = open("journal.db")
        .query_row(sql, [&exchange.as_bytes()[..]], |row| row.get(0))
        .unwrap();
    let elsewhere: Vec<u8> = key.iter().map(|byte| !byte).collect();
    let (from, to) = if away {
        (key, elsewhere)
    } else {
        (elsewhere, key)
    };
    let moved = open("keys.db").execute("UPDATE scope SET id = ?2 WHERE id = ?1", [from, to]);
    assert_eq!(moved.unwrap(), 1);
}

/// What cannot be read is no more gone than it is sent.
#[tokio::test]
async fn a_record_whose_key_is_missing_is_set_aside_until_it_is_there() {
    let (book, notes) = (Book::new(), Notes::default());
    let [closed, open] = written(&book).await;
    move_key(&book, &closed[0], true);
    let other = Other::taking();
    let mut options = Options::default();
    options.interval = Duration::from_millis(20);
    let sinks = book.start(other.sink(options), &notes).await;
    let state = until(&sinks, |state| state.behind == 0 && state.cursor > 0).await;
    // Whatever else is of its scope.
    let aside = state.set_aside;
    assert_eq!((state.sent + aside, aside > 0), (4, true));
    assert!(!other.ids().contains(&closed[0].to_string()));
    assert!(texts(&open).iter().all(|id| other.ids().contains(id)));

    let cursors = Cursors::existing(book.dir.path()).unwrap();
    let all = || cursors.set_aside("other", 10).unwrap();
    assert_eq!(cursors.retry("other", None).unwrap(), aside);
    while all().iter().any(|record| record.again) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(all().len() as u64, aside, "still there");

    move_key(&book, &closed[0], false);
    cursors.retry("other", None).unwrap();
    let state = until(&sinks, |state| state.set_aside == 0).await;
    assert_eq!((state.sent, state.skipped), (4, 0));
    assert_eq!(other.counts().len(), 4);
}
