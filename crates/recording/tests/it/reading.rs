//! What readers get, while the book is written and from a copy.

use std::fs;

use serde_json::json;
use tollbook_exchange::{Outcome, SessionId, Verdict};
use tollbook_recording::{ErrorKind, Filter, Reader};

use crate::support::{Book, open, whole};

#[tokio::test]
async fn an_exchange_has_the_keys_of_the_contract_in_their_order() {
    let book = Book::new();
    let id = whole(&book).await;
    let shown = book.close().show(&id);
    let keys: Vec<&str> = shown
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        [
            "id",
            "session",
            "connection",
            "protocol",
            "started",
            "ended",
            "level",
            "principal",
            "action",
            "decision",
            "outcome",
            "status",
            "request",
            "response",
            "findings",
            "usage",
            "ledger",
            "causes",
            "caused_by"
        ]
    );
    assert_eq!(shown["id"], id);
    assert_eq!(shown["session"], SessionId::derived([5; 16]).to_string());
    assert_eq!(shown["principal"]["subject"], "repo:a/b");
    assert_eq!(
        shown["action"],
        json!({ "name": "messages.create", "model": "m-1" })
    );
    assert_eq!(shown["decision"]["verdict"], "allow");
    assert_eq!(
        (&shown["outcome"], &shown["status"]),
        (&json!("complete"), &json!(200))
    );
    assert_eq!(
        shown["request"],
        json!({
            "method": "POST", "target": "/v1/messages", "headers": { "a": ["1", "2"] },
            "body": "{\"prompt\":1}", "bytes": 12,
            "coverage": { "inspected": 12, "uninspected": 0 },
        })
    );
    assert_eq!(shown["response"]["events"][0]["frame"], "event: a\n\n");
    assert_eq!(
        shown["response"]["events"][1]["frame"],
        json!({ "base64": "ZXZlbnQ6IP8KCg==" })
    );
    assert!(shown["response"]["body"]["base64"].is_string());
    assert_eq!(shown["findings"].as_array().unwrap().len(), 2);
    assert_eq!(
        shown["ledger"],
        json!({ "log": "audit.example/gw1", "index": 2, "intent_index": 1 })
    );
}

#[tokio::test]
async fn lists_are_newest_first_and_filtered() {
    let book = Book::new();
    let first = whole(&book).await;
    let second = book.exchange(b"x", &[]).await.to_string();
    let third = book.exchange(b"y", &[]).await.to_string();
    let book = book.close();
    let reader = book.reader();
    let ids = |change: &dyn Fn(&mut Filter)| -> Vec<String> {
        let mut filter = Filter::default();
        change(&mut filter);
        let listed = reader.exchanges(&filter).unwrap();
        listed.iter().map(|listed| listed.id.to_string()).collect()
    };
    assert_eq!(ids(&|_| {}), [&*third, &second, &first]);
    assert_eq!(ids(&|filter| filter.limit = 1), [&*third]);
    let one = [&*first];
    assert_eq!(ids(&|filter| filter.verdict = Some(Verdict::Allow)), one);
    assert_eq!(ids(&|filter| filter.subject = Some("repo:a/b".into())), one);
    assert_eq!(
        ids(&|filter| filter.session = Some(SessionId::derived([5; 16]))),
        one
    );
    assert_eq!(
        ids(&|filter| filter.outcome = Some(Outcome::Denied)),
        [""; 0]
    );
    assert_eq!(
        ids(&|filter| filter.connection = Some("orders".into())),
        [""; 0]
    );

    let all = reader.exchanges(&Filter::default()).unwrap();
    assert_eq!(
        ids(&|filter| filter.after = Some(all[0].index)),
        [&*second, &*first]
    );
    assert_eq!(
        ids(&|filter| filter.since = Some(all[0].started)),
        [&*third]
    );
    assert_eq!(
        ids(&|filter| filter.until = Some(all[1].started)),
        [&*first]
    );
    assert_eq!(reader.count().unwrap(), 3);
    assert_eq!(
        (all[2].model.as_deref(), all[2].status),
        (Some("m-1"), Some(200))
    );
}

#[tokio::test]
async fn a_tail_sees_every_exchange_open_and_close() {
    let book = Book::new();
    let reader = book.reader();
    book.exchange(b"before", &[]).await;
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    book.recorder.commit(&exchange).await.unwrap();

    let seen = reader.follow(0, 10).unwrap();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].outcome, None);
    let next = seen[1].latest + 1;
    assert_eq!(next, reader.size().unwrap());
    assert_eq!(reader.follow(next, 10).unwrap(), []);

    drop(recording);
    book.recorder.close();
    let seen = reader.follow(next, 10).unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].outcome.as_deref(), Some("client_gone"));
}

#[tokio::test]
async fn windows_of_the_log_have_each_exchange_once() {
    let book = Book::new();
    let reader = book.reader();
    let first = book.exchange(b"x", &[]).await;
    let open = open();
    let recording = book.recorder.begin(&open).await.unwrap();
    book.recorder.commit(&open).await.unwrap();
    let last = book.exchange(b"y", &[]).await;
    let window = |range| -> Vec<_> {
        let found = reader.window(range).unwrap();
        found.iter().map(|found| found.id).collect()
    };
    // Outcomes follow in a moment. The first entry says that the book was opened.
    while window(0..10).len() < 3 || reader.size().unwrap() < 6 {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let all: Vec<_> = (0..6).flat_map(|index| window(index..index + 1)).collect();
    assert_eq!(all.len(), 3);
    for id in [first, open.id(), last] {
        assert!(all.contains(&id));
    }
    let index = |id| {
        let of = |index: &u64| reader.exchange_at(*index).unwrap() == Some(id);
        (0..10).filter(of).collect::<Vec<_>>()
    };
    assert_eq!((index(first).len(), index(open.id()).len()), (2, 1));
    let asked = [index(last)[0], 99, index(first)[0]];
    let told = reader.summaries(&asked).unwrap();
    let told: Vec<_> = told.iter().map(|told| told.id).collect();
    assert_eq!(told, [last, first]);

    // What was open comes again where it is closed.
    drop(recording);
    book.recorder.close();
    assert_eq!(window(6..7), [open.id()]);
    assert_eq!(index(open.id()).len(), 2);
}

#[tokio::test]
async fn an_exchange_is_found_by_the_beginning_of_its_id() {
    let book = Book::new();
    let id = book.exchange(b"x", &[]).await.to_string();
    let book = book.close();
    let reader = book.reader();
    for name in [
        &id,
        &id[..8],
        &id[..20],
        &id.replace('-', "").to_uppercase(),
    ] {
        assert_eq!(reader.exchange(name).unwrap().unwrap()["id"], id, "{name}");
    }
    assert_eq!(reader.exchange("00000000").unwrap(), None);
    assert_eq!(
        reader.exchange(&id[..7]).unwrap_err().kind(),
        &ErrorKind::Id
    );
}

#[tokio::test]
async fn several_exchanges_with_one_beginning_are_ambiguous() {
    let book = Book::new();
    // The first ten digits are those of the hour, more or less.
    let id = book.exchange(b"x", &[]).await.to_string();
    book.exchange(b"y", &[]).await;
    let book = book.close();
    let error = book.reader().exchange(&id[..8]).unwrap_err();
    assert_eq!(error.kind(), &ErrorKind::Ambiguous);
}

#[tokio::test]
async fn a_copy_that_cannot_be_written_is_read() {
    let book = Book::new();
    book.exchange(b"x", &[b"y"]).await;
    let book = book.close();
    let copy = tempfile::tempdir().unwrap();
    for file in ["journal.db", "log.vkey"] {
        fs::copy(book.folder().join(file), copy.path().join(file)).unwrap();
    }
    assert!(
        Reader::open(copy.path())
            .unwrap()
            .verify(None)
            .unwrap()
            .is_verified()
    );
    assert_eq!(
        Reader::open(copy.path().join("none")).unwrap_err().kind(),
        &ErrorKind::NoBook
    );
}
