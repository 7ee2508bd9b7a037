//! What passes, waits or is refused when nothing can be recorded, and what the book says of it.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{Request, Response};
use serde_json::Value;
use tollbook_exchange::{Exchange, SessionId, Timestamp};
use tollbook_recording::{
    Allow, CommitLayer, ErrorKind, FreeSpace, Health, OnFailure, Reads, RecordLayer, Recorder,
    Spool,
};
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::support::{Book, Closed, Stall, masked, open, states};

/// A book on a disk whose free bytes the test says.
fn on_a_disk(change: impl FnOnce(&mut tollbook_recording::Config)) -> (Book, Arc<AtomicU64>) {
    let free = Arc::new(AtomicU64::new(1 << 40));
    let asked = Arc::clone(&free);
    let book = Book::with(|config| {
        config.free_space = FreeSpace::new(move |_| Ok(asked.load(Ordering::Relaxed)));
        change(config);
    });
    (book, free)
}

async fn fill(book: &Book, free: &AtomicU64) {
    free.store(1 << 20, Ordering::Relaxed);
    book.becomes(Health::Reserve { free: 1 << 20 }).await;
}

async fn make_room(book: &Book, free: &AtomicU64) {
    free.store(1 << 40, Ordering::Relaxed);
    book.becomes(Health::Healthy).await;
}

/// Sends a request. Returns its status.
async fn send(recorder: &Recorder, policy: &OnFailure, method: &str) -> u16 {
    let stack = ServiceBuilder::new()
        .layer(RecordLayer::new(recorder.clone(), "claude", "claude").on_failure(policy.clone()))
        .layer(CommitLayer::new(recorder.clone()).on_failure(policy.clone()))
        .service(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(String::from("answer")))
        }));
    let request = Request::builder().method(method).body(()).unwrap();
    let response = stack.oneshot(request).await.unwrap();
    let status = response.status().as_u16();
    let body = http_body_util::BodyExt::collect(response.into_body())
        .await
        .unwrap();
    assert_eq!(status == 200, body.to_bytes() == "answer");
    status
}

/// What the book says of itself under this state.
fn told(book: &Closed, state: &str) -> Vec<Value> {
    let all = states(&book.folder()).into_iter();
    all.filter(|told| told["state"] == state).collect()
}

fn counts(gap: &Value) -> [u64; 4] {
    ["passed", "refused", "unfinished", "lost"].map(|count| gap[count].as_u64().unwrap())
}

fn reads() -> OnFailure {
    OnFailure::BlockWrites(Reads::new(|draft| draft.request.method == "GET"))
}

fn allowed_for(micros: u64) -> OnFailure {
    OnFailure::Allow(Allow {
        until: Timestamp::now().after_micros(micros),
        reason: "migration of the disk".to_owned(),
        approved_by: "ana".to_owned(),
    })
}

#[tokio::test]
async fn what_is_blocked_is_counted_and_told() {
    let (book, free) = on_a_disk(|_| {});
    fill(&book, &free).await;
    assert_eq!(send(&book.recorder, &OnFailure::Block, "GET").await, 503);
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 503);
    make_room(&book, &free).await;
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 200);
    assert_eq!(book.recorder.stats().unrecorded.refused, 2);
    let book = book.close();
    let gaps = told(&book, "gap");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(counts(&gaps[0]), [0, 2, 0, 0]);
    assert_eq!(gaps[0]["connection"], "claude");
    assert_eq!(gaps[0]["why"], "journal_space");
    assert_eq!(gaps[0]["on_record_failure"], "block");
    assert!(gaps[0]["from"].as_str() <= gaps[0]["to"].as_str());
    let found = book.reader().verify(None).unwrap();
    assert!(found.is_verified());
    let [gap] = &found.gaps[..] else {
        panic!("{:?}", found.gaps);
    };
    assert_eq!((gap.connection.as_str(), gap.counts.refused), ("claude", 2));
}

#[tokio::test]
async fn reads_pass_where_only_writes_are_blocked() {
    let (book, free) = on_a_disk(|_| {});
    assert_eq!(send(&book.recorder, &reads(), "POST").await, 200);
    fill(&book, &free).await;
    assert_eq!(send(&book.recorder, &reads(), "GET").await, 200);
    assert_eq!(send(&book.recorder, &reads(), "GET").await, 200);
    assert_eq!(send(&book.recorder, &reads(), "POST").await, 503);
    make_room(&book, &free).await;
    let book = book.close();
    let gaps = told(&book, "gap");
    assert_eq!(counts(&gaps[0]), [2, 1, 0, 0], "{gaps:?}");
    assert_eq!(gaps[0]["on_record_failure"], "block_writes");
    assert_eq!(book.reader().count().unwrap(), 1);
}

#[tokio::test]
async fn all_passes_until_the_time_that_somebody_signed_off() {
    let (book, free) = on_a_disk(|_| {});
    fill(&book, &free).await;
    let policy = allowed_for(60_000_000);
    assert_eq!(send(&book.recorder, &policy, "POST").await, 200);
    let over = allowed_for(0);
    assert_eq!(send(&book.recorder, &over, "POST").await, 503);
    make_room(&book, &free).await;
    let book = book.close();
    let gaps = told(&book, "gap");
    let passed: u64 = gaps.iter().map(|gap| counts(gap)[0]).sum();
    let refused: u64 = gaps.iter().map(|gap| counts(gap)[1]).sum();
    assert_eq!((passed, refused), (1, 1), "{gaps:?}");
    assert_eq!(gaps[0]["allowed"]["approved_by"], "ana");
    assert_eq!(gaps[0]["allowed"]["reason"], "migration of the disk");
    assert!(gaps[0]["allowed"]["until"].is_string());
}

#[tokio::test]
async fn what_waited_for_room_is_recorded_when_there_is_some() {
    let (book, free) = on_a_disk(|_| {});
    let spool = OnFailure::Spool(Spool::default());
    fill(&book, &free).await;
    let before = book.recorder.stats().entries;
    for _ in 0..3 {
        assert_eq!(send(&book.recorder, &spool, "POST").await, 200);
    }
    assert_eq!(book.recorder.stats().entries, before);
    // A caller elsewhere is refused meanwhile.
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 503);
    make_room(&book, &free).await;
    book.grows_to(before + 6).await;
    let book = book.close();
    let listed = book.reader().exchanges(&Default::default()).unwrap();
    assert_eq!(listed.len(), 3);
    for exchange in listed {
        let shown = book.show(&exchange.id.to_string());
        assert_eq!(shown["level"], "spool");
        assert_eq!(shown["outcome"], "complete");
    }
    let found = book.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
}

#[tokio::test]
async fn little_waits_and_not_for_long() {
    let (book, free) = on_a_disk(|_| {});
    fill(&book, &free).await;
    let small = OnFailure::Spool(Spool {
        bytes: 10_000,
        time: Duration::from_secs(60),
    });
    let mut passed = 0;
    while send(&book.recorder, &small, "POST").await == 200 {
        passed += 1;
        assert!(passed < 100);
    }
    assert!(passed > 0);
    let short = OnFailure::Spool(Spool {
        bytes: 1 << 20,
        time: Duration::from_millis(10),
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    assert_eq!(send(&book.recorder, &short, "POST").await, 503);
}

#[tokio::test]
async fn what_still_waits_at_the_end_is_written_into_the_reserve() {
    let (book, free) = on_a_disk(|_| {});
    fill(&book, &free).await;
    let spool = OnFailure::Spool(Spool::default());
    assert_eq!(send(&book.recorder, &spool, "POST").await, 200);
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 503);
    let book = book.close();
    assert_eq!(book.reader().count().unwrap(), 1);
    // Also what was refused in a state that did not end.
    assert_eq!(counts(&told(&book, "gap")[0]), [0, 1, 0, 0]);
    let reserve = told(&book, "reserve");
    assert_eq!(reserve[0]["refused"], 0);
    assert_eq!(reserve[1]["refused"], 1);
    let found = book.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
}

#[tokio::test]
async fn what_waits_for_a_disk_that_hangs_passes_and_is_recorded() {
    let book = Book::with(|config| config.deadline = Duration::from_millis(100));
    let spool = OnFailure::Spool(Spool {
        bytes: 1 << 20,
        time: Duration::from_secs(2),
    });
    let stall = Stall::new(&book.folder());
    for _ in 0..3 {
        assert_eq!(send(&book.recorder, &spool, "POST").await, 200);
    }
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 503);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(send(&book.recorder, &spool, "POST").await, 503);
    drop(stall);
    book.becomes(Health::Healthy).await;
    tokio::time::sleep(Duration::from_millis(2200)).await;
    let book = book.close();
    let listed = book.reader().exchanges(&Default::default()).unwrap();
    let levels = listed
        .iter()
        .map(|exchange| book.show(&exchange.id.to_string()));
    let levels: Vec<Value> = levels.map(|shown| shown["level"].clone()).collect();
    assert_eq!(
        levels.iter().filter(|level| *level == "spool").count(),
        3,
        "{levels:?}"
    );
    // That it hung is told when it does no more.
    let stalled = told(&book, "stalled");
    assert!(
        stalled[0]["longest_ms"].as_u64().unwrap() > 2000,
        "{stalled:?}"
    );
    assert!(book.reader().verify(None).unwrap().is_verified());
}

/// A recorder whose journal is gone, and what comes to it then.
async fn blocked(policy: &OnFailure) -> (Book, u16) {
    let book = Book::new();
    assert_eq!(send(&book.recorder, policy, "POST").await, 200);
    // Its log is not the file any more that is written.
    let log = book.folder().join("journal.db-wal");
    std::fs::rename(&log, book.folder().join("away")).unwrap();
    let blocked = async {
        while !matches!(book.recorder.health(), Health::Blocked { .. }) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), blocked)
        .await
        .unwrap();
    std::fs::rename(book.folder().join("away"), &log).unwrap();
    let status = send(&book.recorder, policy, "POST").await;
    (book, status)
}

#[tokio::test]
async fn what_a_recorder_that_failed_could_not_tell_the_next_one_tells() {
    for (policy, status, expected) in [
        (OnFailure::Block, 503, [0, 1, 0, 0]),
        (reads(), 503, [0, 1, 0, 0]),
        (OnFailure::Spool(Spool::default()), 503, [0, 1, 0, 0]),
        (allowed_for(60_000_000), 200, [1, 0, 0, 0]),
    ] {
        let (book, got) = blocked(&policy).await;
        assert_eq!(got, status, "{policy:?}");
        let book = book.close();
        assert!(told(&book, "gap").is_empty());
        let config = || tollbook_recording::Config::new(book.folder(), crate::support::ORIGIN);
        drop(Recorder::open(config()).unwrap());
        let gaps = told(&book, "gap");
        assert_eq!(counts(&gaps[0]), expected, "{policy:?}: {gaps:?}");
        assert_eq!(gaps[0]["why"], "journal_blocked");
        let blocked = told(&book, "blocked");
        assert!(
            blocked[0]["why"]
                .as_str()
                .unwrap()
                .contains("deleted or replaced")
        );
        assert_eq!(told(&book, "recovered").len(), 1);
        // Once.
        drop(Recorder::open(config()).unwrap());
        assert_eq!(told(&book, "gap").len(), 1);
        let found = book.reader().verify(None).unwrap();
        assert!(found.is_verified(), "{:?}", found.faults);
    }
}

#[tokio::test]
async fn a_disk_that_hangs_does_not_hold_the_end_back() {
    let book = Book::with(|config| {
        config.deadline = Duration::from_millis(50);
        config.farewell = Duration::from_millis(300);
    });
    let stall = Stall::new(&book.folder());
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 503);
    let recorder = book.recorder.clone();
    let began = std::time::Instant::now();
    let closed = tokio::task::spawn_blocking(move || recorder.close())
        .await
        .unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    assert!(matches!(closed, Health::Blocked { .. }), "{closed:?}");
    let book = book.close();
    // Nobody else may write while that write is still under way.
    let config = || tollbook_recording::Config::new(book.folder(), crate::support::ORIGIN);
    assert!(Recorder::open(config()).is_err());
    drop(stall);
    let opened = async {
        loop {
            match Recorder::open(config()) {
                Ok(recorder) => break recorder,
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    };
    drop(
        tokio::time::timeout(Duration::from_secs(5), opened)
            .await
            .unwrap(),
    );
    assert!(book.reader().verify(None).unwrap().is_verified());
}

/// Puts an exchange into one session, with a body that is the same in all of them.
fn in_one_session(exchange: &Exchange) {
    exchange.draft(|draft| {
        draft.session = Some(SessionId::derived([9; 16]));
        draft.request.body = masked(vec![7; 5000].into());
    });
}

#[tokio::test]
async fn what_is_durable_refers_to_nothing_that_waits_in_memory() {
    let (book, free) = on_a_disk(|_| {});
    let recorder = book.recorder.clone();
    // Begun while there was room, and may not wait in memory.
    let durable = open();
    in_one_session(&durable);
    let recording = recorder.begin(&durable).await.unwrap();
    fill(&book, &free).await;
    // The scope of the session begins with what waits.
    let spool = OnFailure::Spool(Spool::default());
    let stack = ServiceBuilder::new()
        .layer(RecordLayer::new(recorder.clone(), "claude", "claude").on_failure(spool.clone()))
        .map_request(|request: Request<()>| {
            in_one_session(request.extensions().get().unwrap());
            request
        })
        .layer(CommitLayer::new(recorder.clone()).on_failure(spool))
        .service(service_fn(async |_: Request<()>| {
            Ok::<_, Infallible>(Response::new(String::from("answer")))
        }));
    let response = stack.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 200);
    drop(response);
    let refused = recorder.commit(&durable).await.unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Space);
    let before = recorder.stats().entries;
    drop(recording);
    make_room(&book, &free).await;
    // That there is room again, and both exchanges.
    book.grows_to(before + 5).await;
    // From here on the scope is in the book, and what follows in it is durable.
    let next = open();
    in_one_session(&next);
    let recording = recorder.begin(&next).await.unwrap();
    recorder.commit(&next).await.unwrap();
    drop((recording, recorder));
    let book = book.close();
    assert_eq!(book.reader().count().unwrap(), 3);
    let found = book.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
}

#[tokio::test]
async fn a_lock_that_is_held_for_long_ends_nothing() {
    let book = Book::with(|config| config.deadline = Duration::from_millis(100));
    let stall = Stall::new(&book.folder());
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 503);
    // Longer than SQLite waits for it.
    tokio::time::sleep(Duration::from_millis(10_500)).await;
    assert_eq!(book.recorder.health(), Health::Stalled);
    drop(stall);
    book.becomes(Health::Healthy).await;
    assert_eq!(send(&book.recorder, &OnFailure::Block, "POST").await, 200);
    let book = book.close();
    assert!(book.reader().verify(None).unwrap().is_verified());
}
