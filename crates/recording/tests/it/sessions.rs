//! Sessions are chains, and the book shows that it lives.

use std::time::Duration;

use bytes::Bytes;
use tollbook_exchange::{Exchange, Outcome, SessionId};
use tollbook_ledger::{Completeness, Integrity, evidence::Selection};
use tollbook_recording::{Config, EvidenceOptions, Recorder, Verification};
use tollbook_verify::{Report, check};

use crate::support::{Book, Closed, ORIGIN, masked, open};

const SESSION: [u8; 16] = [5; 16];

fn session() -> SessionId {
    SessionId::derived(SESSION)
}

/// Opens an exchange of the session.
async fn ask(book: &Book, session: SessionId) -> (Exchange, tollbook_recording::Recording) {
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    exchange.draft(|draft| {
        draft.session = Some(session);
        draft.request.body = masked(Bytes::from_static(b"prompt"));
    });
    book.recorder.commit(&exchange).await.unwrap();
    (exchange, recording)
}

async fn exchange(book: &Book, session: SessionId) {
    let (exchange, recording) = ask(book, session).await;
    exchange.conclude(Outcome::Complete);
    drop(recording);
}

/// A start, three exchanges of a session with one of another between them, and a stop.
async fn book() -> Closed {
    let book = Book::new();
    for n in 0..4 {
        let other = SessionId::derived([6; 16]);
        exchange(&book, if n == 1 { other } else { session() }).await;
    }
    book.close()
}

fn verify(book: &Closed) -> Verification {
    book.reader().verify(None).unwrap()
}

#[tokio::test]
async fn a_missing_record_is_named_with_its_session() {
    let book = book().await;
    assert!(verify(&book).is_verified());
    assert_eq!(verify(&book).sessions, 2);
    book.database()
        .execute_batch("DELETE FROM entry WHERE seq = 5")
        .unwrap();
    let found = verify(&book);
    assert_eq!(
        (found.verdict, found.integrity, found.completeness),
        ("tampered", "unknown", "incomplete")
    );
    let told: Vec<_> = found
        .faults
        .iter()
        .map(|fault| (fault.index, fault.what.as_str()))
        .collect();
    let named = format!(
        "record 2 of session {} is missing before this one",
        session()
    );
    assert!(
        told.contains(&(Some(5), "entries are missing, to index 5")),
        "{told:?}"
    );
    assert!(told.contains(&(Some(6), named.as_str())), "{told:?}");
}

#[tokio::test]
async fn records_in_each_others_place_are_named() {
    let book = book().await;
    let swap = "UPDATE entry SET seq = -1 WHERE seq = 5;
                UPDATE entry SET seq = 5 WHERE seq = 7;
                UPDATE entry SET seq = 7 WHERE seq = -1;";
    book.database().execute_batch(swap).unwrap();
    let found = verify(&book);
    assert_eq!(found.integrity, "broken");
    let stands = format!("record 2 of session {} stands where", session());
    assert!(
        found
            .faults
            .iter()
            .any(|fault| fault.what.starts_with(&stands)),
        "{:?}",
        found.faults
    );
}

#[tokio::test]
async fn chains_go_on_after_a_restart() {
    let book = Book::new();
    exchange(&book, session()).await;
    let (_open, recording) = ask(&book, session()).await;
    let alone = open();
    let other = book.recorder.begin(&alone).await.unwrap();
    book.recorder.commit(&alone).await.unwrap();
    book.recorder.close();
    // What ends afterwards is not in the book: the next start closes it.
    drop((recording, other));
    let folder = book.folder();
    let closed = book.close();
    let again = Book::with(|config| *config = Config::new(&folder, ORIGIN));
    exchange(&again, session()).await;
    drop(again.close());
    let found = verify(&closed);
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(
        (found.exchanges, found.open, found.silence_count),
        (4, 0, 1)
    );
    assert_eq!(found.silences[0].why, "stopped");
    assert!(found.last_sign.unwrap().stopped);
}

#[tokio::test]
async fn silence_is_shown_by_heartbeats_and_sessions_that_rest_are_closed() {
    let book = Book::with(|config| {
        config.heartbeat = Duration::from_millis(100);
        config.idle = Duration::ZERO;
    });
    let (exchange, recording) = ask(&book, session()).await;
    let beaten = book.recorder.stats().entries + 2;
    book.grows_to(beaten).await;
    exchange.conclude(Outcome::Complete);
    drop(recording);
    // The outcome, the close, and a heartbeat more.
    book.grows_to(beaten + 4).await;
    let closes = "SELECT count(*) FROM session WHERE closed = 1";
    let closed = book.close();
    let count: i64 = closed
        .database()
        .query_row(closes, [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 1);
    let found = verify(&closed);
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.silence_count, 0);

    // The copy of a book that crashed says so, and a session that was closed goes on.
    let folder = closed.folder();
    let database = closed.database();
    let kinds: Vec<u8> = database
        .prepare("SELECT leaf FROM entry ORDER BY seq")
        .unwrap()
        .query_map([], |row| Ok(row.get::<_, Vec<u8>>(0)?[1]))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!((kinds.first(), kinds.last()), (Some(&5), Some(&6)));
    assert!(kinds.contains(&3) && kinds.iter().filter(|kind| **kind == 4).count() >= 2);
    drop(database);
    let again = Book::with(|config| *config = Config::new(&folder, ORIGIN));
    self::exchange(&again, session()).await;
    drop(again.close());
    let found = verify(&closed);
    assert!(found.is_verified(), "{:?}", found.faults);
}

#[tokio::test]
async fn a_crash_is_told_from_a_stop() {
    let book = Book::new();
    exchange(&book, session()).await;
    let crashed = tempfile::tempdir().unwrap();
    // A copy of a running book is what a crash leaves.
    tokio::time::sleep(Duration::from_millis(50)).await;
    for file in std::fs::read_dir(book.folder()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), crashed.path().join(file.file_name())).unwrap();
    }
    drop(Recorder::open(Config::new(crashed.path(), ORIGIN)).unwrap());
    let reader = tollbook_recording::Reader::open(crashed.path()).unwrap();
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.silences.len(), 1);
    assert_eq!(found.silences[0].why, "crashed");
}

/// Evidence of the session without the leaves of others.
fn alone(book: &Closed, remove: Option<u64>) -> Report {
    let folder = tempfile::tempdir().unwrap();
    let mut options = EvidenceOptions::default();
    options.leaves = false;
    options.selection = Selection {
        session: Some(*session().as_bytes()),
        ..Selection::default()
    };
    book.reader()
        .evidence(None, &options, folder.path())
        .unwrap();
    if let Some(index) = remove {
        let path = folder.path().join("MANIFEST");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut manifest = tollbook_ledger::evidence::Manifest::from_text(&text).unwrap();
        let kept: Vec<u64> = manifest.records.iter().filter(|i| *i != index).collect();
        manifest.records = Default::default();
        for index in kept {
            manifest.records.push(index);
        }
        std::fs::write(path, manifest.to_string()).unwrap();
        for end in ["json", "tlog-proof", "body", "parts"] {
            // An answer without a body has two files fewer.
            let file = folder.path().join(format!("records/{index}.{end}"));
            let _missing = std::fs::remove_file(file);
        }
    }
    check(folder.path(), None, &[]).unwrap()
}

#[tokio::test]
async fn one_session_shows_its_gaps_without_the_leaves_of_others() {
    let book = book().await;
    let whole = alone(&book, None);
    assert_eq!((whole.integrity, whole.fault_count), (Integrity::Proven, 0));
    assert_eq!(whole.completeness, Completeness::NotShown);
    let chain = whole.session.unwrap();
    assert_eq!((chain.entries, chain.open, chain.closed), (6, 0, false));

    let lacking = alone(&book, Some(5));
    assert_eq!(lacking.integrity, Integrity::Proven, "{:?}", lacking.faults);
    assert_eq!(lacking.completeness, Completeness::Incomplete);
    assert_eq!(lacking.faults[0].index, Some(6));
    // The end of a session is what a chain cannot show.
    assert_eq!(alone(&book, Some(8)).completeness, Completeness::NotShown);
}

/// Several threads look at a book, each in a snapshot of its own, while it grows.
#[tokio::test(flavor = "multi_thread")]
async fn a_book_that_is_being_written_is_whole_at_each_look() {
    let book = Book::new();
    for _ in 0..200 {
        book.exchange(b"one", &[b"two"]).await;
    }
    let reader = book.reader();
    let looks = tokio::task::spawn_blocking(move || {
        for look in 0..5 {
            let report = reader.verify(None).unwrap();
            assert!(report.is_verified(), "look {look}: {:?}", report.faults);
        }
    });
    while !looks.is_finished() {
        book.exchange(b"three", &[b"four"]).await;
    }
    looks.await.unwrap();
}
