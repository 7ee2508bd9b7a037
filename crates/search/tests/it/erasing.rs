//! What is erased from the book is gone from the index too.

use std::fs;

use serde_json::json;
use tollbook_recording::{Erasure, Retention, Term, Whom};

use crate::support::{Book, Turn, find, says, user};

fn turn(subject: &'static str, session: u8, word: &str) -> Turn {
    Turn {
        subject,
        session: Some(session),
        messages: json!([user(&format!("tell me of {word}"))]),
        answer: json!([says(&format!("{word} is a bird, says the oracle"))]),
        ..Turn::default()
    }
}

/// Whether the word stands in a file of the index.
fn is_in(book: &Book, word: &str) -> bool {
    let files = fs::read_dir(book.dir.path()).unwrap();
    let of_index = files
        .map(Result::unwrap)
        .filter(|file| file.file_name().to_string_lossy().starts_with("search.db"));
    let mut found = of_index.filter(|file| {
        let bytes = fs::read(file.path()).unwrap();
        bytes
            .windows(word.len())
            .any(|window| window == word.as_bytes())
    });
    found.next().is_some()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_of_an_erased_subject_is_left_in_the_index() {
    let book = Book::new();
    let gone = book.turn(turn("repo:acme/gone", 1, "quetzalcoatl")).await;
    let stays = book
        .turn(turn("repo:acme/stays", 2, "huitzilopochtli"))
        .await;
    let (gone, stays) = (gone.to_string(), stays.to_string());
    assert_eq!(book.find("quetzalcoatl"), [&*gone]);
    assert!(is_in(&book, "quetzalcoatl") && is_in(&book, "repo:acme/gone"));

    let erasure = Erasure {
        whom: Whom::Subject {
            issuer: "ci".to_owned(),
            subject: "repo:acme/gone".to_owned(),
        },
        by: "corp/officer".to_owned(),
        basis: "request 17".to_owned(),
        override_minimum: None,
    };
    let recorder = book.recorder.clone();
    let erased =
        tokio::task::spawn_blocking(move || recorder.erase(&erasure, &Retention::default()));
    assert_eq!(erased.await.unwrap().unwrap().exchanges, 1);

    let (reader, index) = (book.reader(), book.index());
    // It takes no more than that to forget it,
    assert!(index.forget_erased(&reader).unwrap());
    assert!(index.behind(&reader).unwrap() > 0);
    assert!(!is_in(&book, "quetzalcoatl") && !is_in(&book, "repo:acme/gone"));
    assert!(is_in(&book, "huitzilopochtli"));
    // and to find again what is left.
    index.catch_up(&reader).unwrap();
    assert_eq!(find(&index, &reader, "quetzalcoatl"), [""; 0]);
    assert_eq!(find(&index, &reader, "subject:\"repo:acme/gone\""), [""; 0]);
    assert_eq!(find(&index, &reader, "huitzilopochtli"), [&*stays]);
    assert_eq!(find(&index, &reader, ""), [&*stays, &*gone]);
    assert!(!is_in(&book, "quetzalcoatl"), "of the text");
    assert!(!is_in(&book, "repo:acme/gone"), "of the fields");
    assert!(is_in(&book, "huitzilopochtli"));
    // Made anew it is the same.
    drop(index);
    let index = tollbook_search::Index::anew(book.dir.path(), crate::support::prices()).unwrap();
    index.catch_up(&reader).unwrap();
    assert_eq!(find(&index, &reader, "quetzalcoatl"), [""; 0]);
    assert_eq!(find(&index, &reader, ""), [&*stays, &*gone]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_answer_that_expired_the_request_is_still_found() {
    let book = Book::new();
    let id = book.turn(turn("repo:acme/api", 1, "quetzalcoatl")).await;
    assert_eq!(book.find("oracle"), [id.to_string()]);
    let mut retention = Retention::default();
    retention.terms.answer = Term {
        min: None,
        max: Some(std::time::Duration::ZERO),
    };
    let recorder = book.recorder.clone();
    let expired = tokio::task::spawn_blocking(move || recorder.retain(&retention, "(gate)"));
    assert_eq!(expired.await.unwrap().unwrap().classes[2].exchanges, 1);
    assert_eq!(book.find("oracle"), [""; 0]);
    assert_eq!(book.find("quetzalcoatl"), [id.to_string()]);
    assert!(!is_in(&book, "oracle"));
}

/// What is over is not found by its words any more, and in no file of the index; by what lists have, and
/// in the book, it is as before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_go_when_their_time_in_the_index_is_over() {
    let book = Book::new();
    let id = book.turn(turn("repo:acme/api", 1, "quetzalcoatl")).await;
    assert_eq!(book.find("quetzalcoatl"), [id.to_string()]);
    let mut retention = Retention::default();
    let reader = book.reader();
    let index = |retention: &Retention| book.index().retaining(retention.clone());
    let hour = std::time::Duration::from_secs(60 * 60);
    retention.terms.index = Term {
        min: None,
        max: Some(hour),
    };
    let told = index(&retention).forget_words().unwrap();
    assert_eq!((told.0.exchanges, told.1), (0, true));
    assert!(told.0.next.is_some());
    assert_eq!(book.find("quetzalcoatl"), [id.to_string()]);
    assert_eq!(index(&retention).forgotten_until().unwrap(), None);

    // Another term for another connection is none for this one.
    let now = Term {
        min: None,
        max: Some(std::time::Duration::ZERO),
    };
    let terms = tollbook_recording::Terms {
        index: now,
        ..Default::default()
    };
    retention.connections.insert("elsewhere".to_owned(), terms);
    assert_eq!(index(&retention).would_forget().unwrap().exchanges, 0);
    retention.terms.index = now;
    assert_eq!(index(&retention).would_forget().unwrap().exchanges, 1);
    assert!(is_in(&book, "quetzalcoatl"));
    let (told, is_gone) = index(&retention).forget_words().unwrap();
    assert!(is_gone);
    assert_eq!((told.exchanges, told.next), (1, None));
    assert!(told.from.is_some() && told.from == told.to);
    assert_eq!(index(&retention).forgotten_until().unwrap(), told.to);
    assert!(!is_in(&book, "quetzalcoatl") && !is_in(&book, "oracle"));
    assert_eq!(book.find("quetzalcoatl"), [""; 0]);
    assert_eq!(book.find("subject:\"repo:acme/api\""), [id.to_string()]);
    let shown = reader.exchange(&id.to_string()).unwrap().unwrap();
    assert!(shown["request"].to_string().contains("quetzalcoatl"));

    // Nor are they taken in again: not when the index is made anew, and not by who sends them again.
    let anew = tollbook_search::Index::anew(book.dir.path(), crate::support::prices()).unwrap();
    let anew = anew.retaining(retention.clone());
    anew.catch_up(&reader).unwrap();
    assert_eq!(find(&anew, &reader, "quetzalcoatl"), [""; 0]);
    assert!(anew.forgotten_until().unwrap().is_some());
    assert!(!is_in(&book, "quetzalcoatl"));

    // An index that nobody told how long is looked through by the next one who is told.
    let anew = tollbook_search::Index::anew(book.dir.path(), crate::support::prices()).unwrap();
    anew.catch_up(&reader).unwrap();
    assert_eq!(find(&anew, &reader, "quetzalcoatl"), [id.to_string()]);
    drop(anew);
    assert!(!index(&retention).catch_up(&reader).unwrap().left);
    assert!(!is_in(&book, "quetzalcoatl"));
}
