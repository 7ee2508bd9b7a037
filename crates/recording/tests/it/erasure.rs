//! The end of what is recorded: nobody can read it any more, and the log still verifies.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use bytes::Bytes;
use serde_json::Value;
use tollbook_exchange::{
    Action, Exchange, ExchangeId, Outcome, Principal, PrincipalKind, SessionId, Timestamp,
};
use tollbook_recording::{
    Config, Erased, Erasure, Error, ErrorKind, KeySource, Recorder, Recording, Retention, Term,
    Terms, Whom,
};

use crate::support::{Book, ORIGIN, masked};

const ISSUER: &str = "corp";
const ANA: &str = "ana-who-is-to-be-forgotten";
const BO: &str = "bo-who-stays";
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What somebody did, up to where it would be forwarded.
async fn begin(
    recorder: &Recorder,
    connection: &'static str,
    who: &str,
    session: u8,
    asked: &str,
) -> (Recording, Exchange) {
    begin_in(recorder, (connection, "claude"), who, session, asked).await
}

/// The same through a connection of another protocol.
async fn begin_in(
    recorder: &Recorder,
    (connection, protocol): (&'static str, &'static str),
    who: &str,
    session: u8,
    asked: &str,
) -> (Recording, Exchange) {
    let exchange = Exchange::open(
        ExchangeId::generate(),
        connection,
        protocol,
        Timestamp::now(),
    );
    let recording = recorder.begin(&exchange).await.unwrap();
    exchange.identified(&Principal::new(PrincipalKind::Human, ISSUER, who));
    exchange.draft(|draft| {
        draft.session = Some(SessionId::from_bytes([session; 16]));
        let model = format!("model-of-{who}");
        draft.action = Some(masked(
            Action::new("messages.create").with("model", model.as_str()),
        ));
        draft.request.body = masked(Bytes::from(format!("{{\"prompt\":\"{asked}\"}}")));
    });
    recorder.commit(&exchange).await.unwrap();
    (recording, exchange)
}

async fn act(recorder: &Recorder, who: &str, session: u8, asked: &str) -> String {
    let (recording, exchange) = begin(recorder, "claude", who, session, asked).await;
    let answer = format!("answer to {asked} ").repeat(20);
    exchange.answered(masked(Bytes::from(answer)));
    exchange.conclude(Outcome::Complete);
    drop(recording);
    exchange.id().to_string()
}

/// Calls what blocks, as a thread of its own would.
async fn blocking<T: Send + 'static>(
    recorder: &Recorder,
    call: impl FnOnce(Recorder) -> T + Send + 'static,
) -> T {
    let recorder = recorder.clone();
    tokio::task::spawn_blocking(move || call(recorder))
        .await
        .unwrap()
}

fn subject(who: &str) -> Whom {
    Whom::Subject {
        issuer: ISSUER.to_owned(),
        subject: who.to_owned(),
    }
}

async fn erase(recorder: &Recorder, whom: Whom) -> Result<Erased, Error> {
    erase_with(recorder, whom, Retention::default(), None).await
}

async fn erase_with(
    recorder: &Recorder,
    whom: Whom,
    retention: Retention,
    override_minimum: Option<&str>,
) -> Result<Erased, Error> {
    let erasure = Erasure {
        whom,
        by: "corp/officer".to_owned(),
        basis: "request 17".to_owned(),
        override_minimum: override_minimum.map(str::to_owned),
    };
    blocking(recorder, move |recorder| {
        recorder.erase(&erasure, &retention)
    })
    .await
}

/// Whether the bytes stand in a file of the folder.
fn is_in(folder: &Path, bytes: &str) -> bool {
    let files = fs::read_dir(folder).unwrap();
    let found = files.filter(|file| {
        let bytes_of = fs::read(file.as_ref().unwrap().path()).unwrap();
        bytes_of
            .windows(bytes.len())
            .any(|window| window == bytes.as_bytes())
    });
    found.count() > 0
}

/// Waits until all that was handed over is written.
async fn written(book: &Book, exchanges: u64) {
    let reader = book.reader();
    let all = async {
        loop {
            let report = reader.exchanges(&tollbook_recording::Filter::default());
            let open = report.unwrap().iter().any(|one| one.ended.is_none());
            if reader.count().unwrap() >= exchanges && !open {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_erased_subject_nothing_is_left_and_the_log_verifies() {
    let book = Book::new();
    let (mut theirs, mut others) = (Vec::new(), Vec::new());
    for turn in 0..60 {
        theirs.push(act(&book.recorder, ANA, turn % 7, "of ana").await);
        others.push(act(&book.recorder, BO, turn % 7, "of bo").await);
    }
    written(&book, 120).await;
    assert!(is_in(&book.folder(), ANA), "in the table of exchanges");

    let would = book
        .reader()
        .would_erase(&subject(ANA), &Retention::default());
    let would = would.unwrap();
    let erased = erase(&book.recorder, subject(ANA)).await.unwrap();
    assert_eq!((erased.sessions, erased.exchanges), (7, 60));
    assert_eq!((would.sessions, would.exchanges), (7, 60));
    assert_eq!(erased.tombstones.len(), 1);
    // At once, while the book is being written.
    assert!(!is_in(&book.folder(), ANA));
    assert!(is_in(&book.folder(), BO));

    let reader = book.reader();
    for id in &theirs {
        let shown = reader.exchange(id).unwrap().unwrap();
        assert_eq!(
            shown["erased"]["classes"],
            serde_json::json!(["metadata", "request", "answer"])
        );
        let told = &shown["erased"]["tombstones"][0]["told"];
        assert_eq!(
            (&told["by"], &told["basis"]),
            (&Value::from("corp/officer"), &Value::from("request 17"))
        );
        assert!(!shown.to_string().contains(ANA));
    }
    for id in &others {
        let shown = reader.exchange(id).unwrap().unwrap();
        assert_eq!(shown["principal"]["subject"], BO);
        assert_eq!(shown["erased"], Value::Null);
        assert!(shown.to_string().contains("of bo"));
    }
    let report = reader.verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
    assert_eq!(report.erased.entries, 120);
    assert!(report.unopened.is_empty());

    // A second time there is nothing.
    let again = erase(&book.recorder, subject(ANA)).await.unwrap();
    assert_eq!((again.exchanges, again.tombstones.len()), (0, 0));
    // And whoever goes on in the same session is recorded as before.
    let next = act(&book.recorder, ANA, 1, "came back").await;
    written(&book, 121).await;
    let shown = book.reader().exchange(&next).unwrap().unwrap();
    assert!(shown.to_string().contains("came back"));

    let closed = book.close();
    let report = closed.reader().verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
    drop(Recorder::open(Config::new(closed.folder(), ORIGIN)).unwrap());
    assert!(closed.reader().verify(None).unwrap().is_verified());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_is_erased_alone_with_what_is_under_way_in_it() {
    let book = Book::new();
    let before = act(&book.recorder, ANA, 1, "before").await;
    let other = act(&book.recorder, ANA, 2, "in another session").await;
    let (recording, under_way) = begin(&book.recorder, "claude", ANA, 1, "under way").await;

    let session = Whom::Session(SessionId::from_bytes([1; 16]));
    let erased = erase(&book.recorder, session).await.unwrap();
    assert_eq!((erased.sessions, erased.exchanges), (1, 2));
    under_way.answered(masked(Bytes::from_static(b"it goes on")));
    under_way.conclude(Outcome::Complete);
    drop(recording);
    written(&book, 3).await;

    let reader = book.reader();
    for id in [before, under_way.id().to_string()] {
        let shown = reader.exchange(&id).unwrap().unwrap();
        assert_eq!(shown["erased"]["classes"][0], "metadata", "{shown}");
        assert_eq!(shown["outcome"], "complete");
    }
    let shown = reader.exchange(&other).unwrap().unwrap();
    assert!(shown.to_string().contains("in another session"));
    let report = reader.verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hold_beats_an_erasure_which_is_recorded() {
    let book = Book::new();
    let id = act(&book.recorder, ANA, 1, "of ana").await;
    written(&book, 1).await;
    let hold = blocking(&book.recorder, |recorder| {
        recorder.hold(&subject(ANA), "corp/counsel", "case 4")
    });
    let hold = hold.await.unwrap();
    assert_eq!(book.reader().holds().unwrap(), std::slice::from_ref(&hold));
    assert!(!is_in(&book.folder(), "corp/ana"));

    for whom in [subject(ANA), Whom::Session(SessionId::from_bytes([1; 16]))] {
        let before = book.recorder.stats().entries;
        let refused = erase(&book.recorder, whom.clone()).await.unwrap_err();
        assert_eq!(refused.kind(), &ErrorKind::Held(1));
        assert_eq!(book.recorder.stats().entries, before + 1, "it is recorded");
        let would = book.reader().would_erase(&whom, &Retention::default());
        assert_eq!(would.unwrap().holds, [hold.id]);
    }
    // Asked for twice on one ground, it is one that waits.
    let waits = &book.reader().holds().unwrap()[0].refused;
    assert_eq!((waits.len(), &*waits[0].basis), (1, "request 17"));
    let due = Retention {
        terms: terms(None, Some(Duration::ZERO)),
        ..Retention::default()
    };
    let plan = book.reader().would_expire(&due).unwrap();
    assert_eq!((plan.classes[0].exchanges, plan.classes[0].held), (0, 1));
    let shown = book.reader().exchange(&id).unwrap().unwrap();
    assert!(shown.to_string().contains("of ana"));

    let release = |id| {
        blocking(&book.recorder, move |recorder| {
            recorder.release(id, "corp/counsel", "over")
        })
    };
    assert!(release(hold.id + 1).await.unwrap().is_none());
    assert!(release(hold.id).await.unwrap().unwrap().released.is_some());
    assert!(release(hold.id).await.unwrap().is_none());
    assert_eq!(book.reader().holds().unwrap()[0].refused.len(), 1);
    assert!(erase(&book.recorder, subject(ANA)).await.is_ok());
    let none = &book.reader().holds().unwrap()[0].refused;
    assert!(none.is_empty(), "it was done: {none:?}");
    assert!(book.reader().verify(None).unwrap().is_verified());
}

fn terms(min: Option<Duration>, max: Option<Duration>) -> Terms {
    Terms {
        metadata: Term { min, max },
        ..Terms::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minimum_is_kept_unless_somebody_says_why_not() {
    let book = Book::new();
    act(&book.recorder, ANA, 1, "of ana").await;
    written(&book, 1).await;
    let retention = Retention {
        terms: terms(Some(DAY), None),
        ..Retention::default()
    };
    let refused = erase_with(&book.recorder, subject(ANA), retention.clone(), None).await;
    let kind = refused.unwrap_err().kind().clone();
    assert!(matches!(kind, ErrorKind::KeptUntil(until) if until > Timestamp::now()));
    let erased = erase_with(&book.recorder, subject(ANA), retention, Some("court")).await;
    let index = i64::try_from(erased.unwrap().tombstones[0]).unwrap();
    let journal = rusqlite::Connection::open(book.folder().join("journal.db")).unwrap();
    let envelope: Vec<u8> = journal
        .query_row(
            "SELECT envelope FROM entry WHERE seq = ?1",
            [index],
            |row| row.get(0),
        )
        .unwrap();
    let envelope: Value = serde_json::from_slice(&envelope).unwrap();
    assert_eq!(envelope["minimum_overridden"], "court");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_old_goes_class_by_class() {
    let book = Book::new();
    let id = act(&book.recorder, ANA, 1, "of ana").await;
    let (recording, open) = begin(&book.recorder, "claude", BO, 2, "under way").await;
    let (other, kept) = begin(&book.recorder, "elsewhere", BO, 3, "kept longer").await;
    kept.conclude(Outcome::Complete);
    drop(other);
    let size = |book: &Book| {
        let journal = rusqlite::Connection::open(book.folder().join("journal.db")).unwrap();
        let sum = "SELECT sum(length(data)) FROM part";
        journal
            .query_row(sum, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    while book.reader().exchange(&id).unwrap().unwrap()["outcome"].is_null() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let before = size(&book);

    let now = Term {
        min: None,
        max: Some(Duration::ZERO),
    };
    let mut retention = Retention::default();
    retention.terms.answer = now;
    retention
        .connections
        .insert("elsewhere".to_owned(), Terms::default());
    let apply = |retention: Retention| {
        blocking(&book.recorder, move |recorder| {
            recorder.retain(&retention, "(gate)")
        })
    };
    let gone = apply(retention.clone()).await.unwrap();
    let counts: Vec<_> = gone.classes.iter().map(|class| class.exchanges).collect();
    assert_eq!(counts, [0, 0, 1, 0]);
    assert!(size(&book) < before, "there is room again");
    let shown = book.reader().exchange(&id).unwrap().unwrap();
    assert_eq!(shown["erased"]["classes"], serde_json::json!(["answer"]));
    assert_eq!(shown["principal"]["subject"], ANA);
    assert!(shown["request"].to_string().contains("of ana"));
    assert!(
        apply(retention.clone())
            .await
            .unwrap()
            .tombstones
            .is_empty()
    );

    // Somebody who goes on in that session does so under other keys.
    let next = act(&book.recorder, ANA, 1, "of ana").await;
    open.conclude(Outcome::Complete);
    drop(recording);
    written(&book, 4).await;
    let shown = book.reader().exchange(&next).unwrap().unwrap();
    assert!(shown["response"].to_string().contains("answer to of ana"));

    retention.terms.metadata = now;
    let gone = apply(retention).await.unwrap();
    let counts: Vec<_> = gone.classes.iter().map(|class| class.exchanges).collect();
    assert_eq!(counts, [3, 3, 2, 0], "what is not under way any more");
    assert_eq!(gone.tombstones.len(), 1, "one tells of all classes");
    assert!(!is_in(&book.folder(), ANA));
    let shown = book
        .reader()
        .exchange(&kept.id().to_string())
        .unwrap()
        .unwrap();
    assert!(shown.to_string().contains("kept longer"));
    let report = book.reader().verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
}

/// An agent asks a model and a database in one session: each has answers of its own kind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_go_without_the_answers_of_a_model() {
    let book = Book::new();
    let said = act(&book.recorder, ANA, 1, "of ana").await;
    let orders = ("orders", "postgres");
    let (recording, selected) = begin_in(&book.recorder, orders, ANA, 1, "select").await;
    selected.answered(masked(Bytes::from("id,total\n7,12\n".repeat(20))));
    selected.conclude(Outcome::Complete);
    drop(recording);
    let selected = selected.id().to_string();
    written(&book, 2).await;
    let shown = book.reader().exchange(&selected).unwrap().unwrap();
    assert!(shown["response"].to_string().contains("7,12"), "{shown}");

    let apply = |retention: Retention| {
        blocking(&book.recorder, move |recorder| {
            recorder.retain(&retention, "corp/officer").unwrap()
        })
    };
    // Told for a connection that has no rows, it says nothing of those that are there.
    let mut retention = Retention::default();
    let rows = Terms {
        rows: Term {
            min: None,
            max: Some(Duration::ZERO),
        },
        ..Terms::default()
    };
    retention.connections.insert("claude".to_owned(), rows);
    assert!(apply(retention.clone()).await.tombstones.is_empty());

    retention.connections.insert("orders".to_owned(), rows);
    let gone = apply(retention).await;
    let counts: Vec<_> = (gone.classes.iter())
        .map(|class| (class.class, class.exchanges))
        .collect();
    assert_eq!(
        counts,
        [("metadata", 0), ("request", 0), ("answer", 0), ("rows", 1)]
    );
    let shown = book.reader().exchange(&selected).unwrap().unwrap();
    assert_eq!(shown["erased"]["classes"], serde_json::json!(["rows"]));
    assert!(shown["request"].to_string().contains("select"));
    assert!(!shown.to_string().contains("7,12"));
    let shown = book.reader().exchange(&said).unwrap().unwrap();
    assert!(shown["response"].to_string().contains("answer to of ana"));
    let report = book.reader().verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
    assert_eq!(report.erased.answers, 1);

    // What goes on does so under other keys, and with the subject all of it goes.
    act(&book.recorder, ANA, 1, "of ana again").await;
    written(&book, 3).await;
    assert_eq!(
        erase(&book.recorder, subject(ANA)).await.unwrap().exchanges,
        3
    );
    let report = book.reader().verify(None).unwrap();
    assert!(report.is_verified(), "{report:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_gate_did_stays_when_an_operator_is_erased() {
    let book = Book::new();
    act(&book.recorder, ANA, 1, "of ana").await;
    let (recording, admin) = begin(&book.recorder, "(admin)", ANA, 9, "policy").await;
    admin.conclude(Outcome::Complete);
    drop(recording);
    written(&book, 2).await;
    let erased = erase(&book.recorder, subject(ANA)).await.unwrap();
    assert_eq!((erased.exchanges, erased.kept), (1, 1));
    let shown = book
        .reader()
        .exchange(&admin.id().to_string())
        .unwrap()
        .unwrap();
    assert_eq!(shown["principal"]["subject"], ANA);
}

/// Row 20 of the faults: a copy of the keys from before the erasure is put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_come_back_are_destroyed_again() {
    let book = Book::new();
    let id = act(&book.recorder, ANA, 1, "of ana").await;
    written(&book, 1).await;
    let closed = book.close();
    let keys = closed.folder().join("keys.db");
    let backup = fs::read(&keys).unwrap();

    let recorder = Recorder::open(Config::new(closed.folder(), ORIGIN)).unwrap();
    erase(&recorder, subject(ANA)).await.unwrap();
    drop(recorder);
    assert_ne!(fs::read(&keys).unwrap(), backup);
    fs::write(&keys, &backup).unwrap();

    drop(Recorder::open(Config::new(closed.folder(), ORIGIN)).unwrap());
    assert_ne!(fs::read(&keys).unwrap(), backup);
    let shown = closed.show(&id);
    assert_eq!(shown["erased"]["classes"][0], "metadata");
    assert!(closed.reader().verify(None).unwrap().is_verified());
    // What was wrapped then is gone from the files, whoever has the top key.
    let now = fs::read(&keys).unwrap();
    let before = closed.dir.path().join("before.db");
    fs::write(&before, &backup).unwrap();
    let before = rusqlite::Connection::open(before).unwrap();
    let mut wrapped = before
        .prepare("SELECT metadata, request, answer FROM scope WHERE id = ?1")
        .unwrap();
    let journal = rusqlite::Connection::open(closed.folder().join("journal.db")).unwrap();
    let scope: Vec<u8> = journal
        .query_row("SELECT key FROM scope", [], |row| row.get(0))
        .unwrap();
    let wrapped: [Vec<u8>; 3] = wrapped
        .query_row([scope], |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?]))
        .unwrap();
    let holds = |file: &[u8], key: &[u8]| file.windows(key.len()).any(|window| window == key);
    for key in &wrapped {
        assert!(holds(&backup, key) && !holds(&now, key));
    }
}

/// Row 19 of the faults: reads tell what was destroyed from what cannot be opened just now.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_top_key_a_book_says_that_it_cannot_be_opened() {
    let book = Book::new();
    let id = act(&book.recorder, ANA, 1, "of ana").await;
    let gone = act(&book.recorder, BO, 2, "of bo").await;
    written(&book, 2).await;
    erase(&book.recorder, subject(BO)).await.unwrap();
    let closed = book.close();
    fs::rename(
        closed.folder().join("book.key"),
        closed.dir.path().join("away"),
    )
    .unwrap();

    let shown = closed.show(&id);
    assert_eq!(shown["erased"], Value::Null, "{shown}");
    assert!(!shown["unavailable"].is_null(), "{shown}");
    let shown = closed.show(&gone);
    assert_eq!(shown["erased"]["classes"][0], "metadata", "{shown}");
    let report = closed.reader().verify(None).unwrap();
    assert!(
        report.is_verified() && !report.unopened.is_empty(),
        "{report:?}"
    );

    let config = Config::new(closed.folder(), ORIGIN);
    let refused = Recorder::open(config.clone()).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::TopKey);
    assert!(!closed.folder().join("book.key").exists());
    let mut elsewhere = config;
    elsewhere.keys = KeySource::file(closed.dir.path().join("away"));
    drop(Recorder::open(elsewhere.clone()).unwrap());

    fs::remove_file(closed.folder().join("keys.db")).unwrap();
    let refused = Recorder::open(elsewhere).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::KeysMissing);
    assert!(!closed.folder().join("keys.db").exists());
}

/// How long it takes to erase a subject from a book of 100,000 exchanges; by hand, with `--release`.
#[ignore = "takes minutes"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subject_with_a_great_deal_is_erased_soon() {
    let book = Book::with(|config| config.exchanges = 512);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..100_u8 {
        let recorder = book.recorder.clone();
        tasks.spawn(async move {
            for turn in 0..1000 {
                let who = if turn % 2 == 0 { ANA } else { BO };
                act(&recorder, who, worker, "a question of some length").await;
            }
        });
    }
    tasks.join_all().await;
    book.grows_to(200_000).await;
    let began = Instant::now();
    let erased = erase(&book.recorder, subject(ANA)).await.unwrap();
    let took = began.elapsed();
    println!("{} exchanges erased in {took:?}", erased.exchanges);
    assert_eq!(erased.exchanges, 50_000);
    assert!(!is_in(&book.folder(), ANA));
    assert!(took < Duration::from_secs(5), "{took:?}");
}
