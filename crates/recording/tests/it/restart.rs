//! What the next start finds.

use std::{fs, mem};

use bytes::Bytes;
use tollbook_exchange::{Outcome, ResponseShape};
use tollbook_recording::{Config, Error, ErrorKind, Reader, Recorder};

use crate::support::{Book, ORIGIN, masked, open};

fn reopen(book: &Book, origin: &str) -> Result<Recorder, Error> {
    Recorder::open(Config::new(book.folder(), origin))
}

#[tokio::test]
async fn exchanges_that_a_crash_left_open_are_closed_as_indeterminate() {
    let book = Book::new();
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    book.recorder.commit(&exchange).await.unwrap();
    exchange.draft(|draft| draft.response.shape = ResponseShape::Events);
    exchange.answered(masked(Bytes::from_static(b"event: a\n\n")));
    recording.keep().await.unwrap();
    // The process ends here: neither is there an outcome, nor does the folder stay locked.
    book.recorder.close();
    let crashed = tempfile::tempdir().unwrap();
    for file in fs::read_dir(book.folder()).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), crashed.path().join(file.file_name())).unwrap();
    }
    mem::forget(recording);

    let reader = Reader::open(crashed.path()).unwrap();
    let before = reader.verify(None).unwrap();
    assert!(before.is_verified(), "{before:?}");
    assert_eq!(before.open, 1);
    let id = exchange.id().to_string();
    let shown = reader.exchange(&id).unwrap().unwrap();
    assert_eq!(shown["outcome"], serde_json::Value::Null);
    assert_eq!(shown["response"]["events"][0]["frame"], "event: a\n\n");

    drop(Recorder::open(Config::new(crashed.path(), ORIGIN)).unwrap());
    let after = reader.verify(None).unwrap();
    assert!(after.is_verified(), "{after:?}");
    assert_eq!((after.open, after.size), (0, 6));
    let shown = reader.exchange(&id).unwrap().unwrap();
    assert_eq!(shown["outcome"], "indeterminate");
    assert_eq!(shown["response"]["events"][0]["frame"], "event: a\n\n");
}

#[tokio::test]
async fn the_log_goes_on_where_it_ended() {
    let mut book = Book::new();
    book.exchange(b"one", &[b"1"]).await;
    book.recorder.close();
    let first = book.reader().verify(None).unwrap();

    let folder = book.folder();
    let refused = Recorder::open(Config::new(&folder, ORIGIN)).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::InUse);
    let closed = book.close();
    book = Book::new();
    let recorder = Recorder::open(Config::new(&folder, ORIGIN)).unwrap();
    let other = mem::replace(&mut book.recorder, recorder);
    book.exchange(b"two", &[b"2"]).await;
    book.recorder.close();
    let second = closed.reader().verify(None).unwrap();
    assert!(second.is_verified(), "{second:?}");
    assert_eq!((first.size, second.size), (4, 8));
    assert_eq!(first.key, second.key);
    drop(other);
}

#[tokio::test]
async fn another_origin_or_key_is_refused() {
    let book = Book::new();
    book.exchange(b"one", &[]).await;
    let folder = book.folder();
    let closed = book.close();
    let open = |origin: &str| Recorder::open(Config::new(&folder, origin)).map(drop);
    assert_eq!(
        open("audit.example/gw2").unwrap_err().kind(),
        &ErrorKind::Origin
    );
    assert!(open(ORIGIN).is_ok());

    // A book that has lost its key never gets another one.
    fs::rename(folder.join("log.key"), folder.join("kept")).unwrap();
    assert_eq!(open(ORIGIN).unwrap_err().kind(), &ErrorKind::Key);
    let other = Book::new();
    fs::copy(other.folder().join("log.key"), folder.join("log.key")).unwrap();
    assert_eq!(open(ORIGIN).unwrap_err().kind(), &ErrorKind::Key);
    fs::copy(other.folder().join("log.vkey"), folder.join("log.vkey")).unwrap();
    assert_eq!(open(ORIGIN).unwrap_err().kind(), &ErrorKind::Key);
    drop(closed);
}

#[tokio::test]
async fn a_journal_whose_head_was_changed_is_not_continued() {
    for change in [
        "DELETE FROM head",
        "UPDATE head SET size = size + 1",
        "UPDATE head SET frontier = zeroblob(length(frontier))",
        "UPDATE head SET note = 'x' || note",
        "DELETE FROM entry WHERE seq = 3",
    ] {
        let book = Book::new();
        book.exchange(b"one", &[]).await;
        let closed = book.close();
        closed.database().execute_batch(change).unwrap();
        let opened = Recorder::open(Config::new(closed.folder(), ORIGIN)).map(drop);
        let error = opened.unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Key),
            "{change}: {error}"
        );
    }
}

#[test]
fn two_recorders_on_one_folder_are_refused() {
    let book = Book::new();
    assert_eq!(reopen(&book, ORIGIN).unwrap_err().kind(), &ErrorKind::InUse);
}

#[tokio::test]
async fn a_recorder_that_was_closed_takes_nothing() {
    let book = Book::new();
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    book.recorder.close();
    exchange.conclude(Outcome::Complete);
    let refused = book.recorder.commit(&exchange).await.unwrap_err();
    assert!(matches!(refused.kind(), ErrorKind::Blocked(_)));
    drop(recording);
    assert_eq!(book.reader().count().unwrap(), 0);
}
