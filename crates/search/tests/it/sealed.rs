//! What cannot be read is not passed over without a word.

use rusqlite::Connection;
use serde_json::json;
use tollbook_recording::{KeySource, Reader};
use tollbook_search::ErrorKind;

use crate::support::{Book, Turn, find, says, user};

fn turn(word: &str) -> Turn {
    Turn {
        session: Some(1),
        messages: json!([user(&format!("tell me of {word}"))]),
        answer: json!([says(&format!("{word} is a bird"))]),
        ..Turn::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_book_whose_keys_are_not_given_is_taken_in_when_they_are() {
    let elsewhere = tempfile::tempdir().unwrap();
    let key = elsewhere.path().join("top.key");
    let book = Book::with_key(&key);
    let id = book.turn(turn("quetzalcoatl")).await.to_string();

    let index = book.index();
    let refused = index.catch_up(&book.reader()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Locked);
    assert!(index.behind(&book.reader()).unwrap() > 0);

    let keys = KeySource::file(&key);
    let reader = Reader::open_with(book.dir.path(), &keys).unwrap();
    let caught = index.catch_up(&reader).unwrap();
    assert_eq!((caught.exchanges, caught.damaged), (1, 0));
    assert_eq!(find(&index, &reader, "quetzalcoatl"), [id]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_record_does_not_keep_others_from_being_found() {
    let book = Book::new();
    let damaged = book.turn(turn("quetzalcoatl")).await;
    let whole = book.turn(turn("huitzilopochtli")).await;
    let (damaged, whole) = (damaged.to_string(), whole.to_string());
    book.recorder.clone().close();
    let journal = Connection::open(book.dir.path().join("journal.db")).unwrap();
    let sql = "UPDATE entry SET envelope = zeroblob(length(envelope)) WHERE seq =
        (SELECT min(intent) FROM exchange)";
    assert_eq!(journal.execute(sql, []).unwrap(), 1);
    drop(journal);

    let (reader, index) = (book.reader(), book.index());
    assert!(reader.exchange(&damaged).is_err());
    let caught = index.catch_up(&reader).unwrap();
    assert_eq!((caught.exchanges, caught.damaged), (2, 1));
    assert_eq!(find(&index, &reader, "huitzilopochtli"), [&*whole]);
    assert_eq!(
        find(&index, &reader, "subject:\"repo:acme/api\" secret:more"),
        [&*damaged]
    );
}
