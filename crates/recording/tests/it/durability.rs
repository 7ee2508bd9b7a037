//! What is on the disk at the moment something is let through.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use tollbook_exchange::{Exchange, Outcome};
use tollbook_recording::{ErrorKind, FreeSpace, Health};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{Book, Stall, masked, noise, open};

#[tokio::test]
async fn the_request_can_be_read_by_others_before_it_is_forwarded() {
    let book = Book::new();
    let folder = book.folder();
    let noting = tower::layer::layer_fn(|inner| {
        tower::ServiceBuilder::new()
            .map_request(|request: Request<()>| {
                let exchange = request.extensions().get::<Exchange>().unwrap();
                exchange.draft(|draft| draft.request.body = masked(Bytes::from_static(b"prompt")));
                request
            })
            .service(inner)
    });
    let forward = service_fn(move |request: Request<()>| {
        let exchange = request.extensions().get::<Exchange>().unwrap().clone();
        let reader = tollbook_recording::Reader::open(&folder).unwrap();
        async move {
            assert!(exchange.draft(|draft| draft.committed));
            let shown = reader
                .exchange(&exchange.id().to_string())
                .unwrap()
                .unwrap();
            assert_eq!(shown["request"]["body"], "prompt");
            assert_eq!(shown["outcome"], serde_json::Value::Null);
            assert_eq!(reader.verify(None).unwrap().open, 1);
            Ok::<_, Infallible>(Response::new(String::new()))
        }
    });
    let stack = book
        .record()
        .layer(noting.layer(book.commit().layer(forward)));
    let response = stack.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 200);
}

#[tokio::test]
async fn nothing_is_forwarded_while_the_journal_hangs() {
    let book = Book::with(|config| config.deadline = Duration::from_millis(100));
    let stall = Stall::new(&book.folder());
    let forward = service_fn(
        async |_: Request<()>| -> Result<Response<String>, Infallible> {
            panic!("must not be called")
        },
    );
    let stack = book.record().layer(book.commit().layer(forward));
    let response = stack.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 503);
    drop(response);
    book.becomes(Health::Stalled).await;
    drop(stall);

    // A journal that was slow is not one that failed.
    book.becomes(Health::Healthy).await;
    let book = book.close();
    let listed = book.reader().exchanges(&Default::default()).unwrap();
    assert_eq!(listed[0].outcome.as_deref(), Some("denied"));
    let shown = book.show(&listed[0].id.to_string());
    assert_eq!(shown["refusal"]["reason"], "journal_deadline");
    assert!(book.reader().verify(None).unwrap().is_verified());
}

#[tokio::test]
async fn what_waits_together_shares_one_transaction() {
    let book = Book::new();
    let stall = Stall::new(&book.folder());
    let before = book.recorder.stats();
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let recorder = book.recorder.clone();
        waiting.spawn(async move {
            let exchange = open();
            let recording = recorder.begin(&exchange).await.unwrap();
            recorder.commit(&exchange).await.unwrap();
            recording
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    drop(stall);
    let open = waiting.join_all().await;
    let after = book.recorder.stats();
    assert_eq!(after.entries - before.entries, 50);
    // The first alone, while the others came, and the rest in a group or two.
    assert!(after.commits - before.commits <= 5, "{after:?}");
    assert_eq!(after.open, 50);
    drop(open);
}

#[tokio::test]
async fn a_failed_write_blocks_the_recorder_for_good() {
    let book = Book::with(|config| config.limit = Some(40 * 16384));
    let mut failed = None;
    let mut written = 0;
    for _ in 0..20 {
        let exchange = open();
        let _recording = match book.recorder.begin(&exchange).await {
            Ok(recording) => recording,
            Err(error) => {
                failed = Some(error);
                break;
            }
        };
        exchange.draft(|draft| draft.request.body = masked(noise(100_000)));
        match book.recorder.commit(&exchange).await {
            Ok(()) => written += 1,
            Err(error) => {
                failed = Some(error);
                break;
            }
        }
        exchange.conclude(Outcome::Complete);
    }
    assert!(written > 0);
    assert!(matches!(failed.unwrap().kind(), ErrorKind::Blocked(_)));
    let Health::Blocked { reason } = book.recorder.health() else {
        panic!("a recorder whose write failed is not healthy");
    };
    assert!(reason.contains("full"), "{reason}");

    let stack = book.record().layer(service_fn(
        async |_: Request<()>| -> Result<Response<String>, Infallible> {
            panic!("must not be called")
        },
    ));
    let response = stack.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 503);

    // What was acknowledged is there, and the next start can write again if it has room.
    let book = book.close();
    assert_eq!(book.reader().count().unwrap(), written);
    assert!(book.reader().verify(None).unwrap().is_verified());
}

#[tokio::test]
async fn a_second_commit_waits_for_the_first() {
    let book = Book::new();
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    book.recorder.commit(&exchange).await.unwrap();
    book.recorder.commit(&exchange).await.unwrap();
    // The start, and the intent once.
    assert_eq!(book.recorder.stats().entries, 2);
    drop(recording);
    let late = book.recorder.commit(&exchange).await.unwrap_err();
    assert_eq!(late.kind(), &ErrorKind::NotOpen);
}

#[tokio::test]
async fn a_disk_that_is_almost_full_takes_what_is_open_and_nothing_new() {
    let free = Arc::new(AtomicU64::new(1 << 40));
    let asked = Arc::clone(&free);
    let book = Book::with(|config| {
        config.free_space = FreeSpace::new(move |_| Ok(asked.load(Ordering::Relaxed)));
    });
    let reserve = book.folder().join("journal.reserve");
    assert_eq!(std::fs::metadata(&reserve).unwrap().len(), 32 << 20);
    let exchange = open();
    let recording = book.recorder.begin(&exchange).await.unwrap();
    free.store(500 << 20, Ordering::Relaxed);
    book.becomes(Health::LowSpace { free: 500 << 20 }).await;
    book.exchange(b"prompt", &[]).await;

    free.store(20 << 20, Ordering::Relaxed);
    book.becomes(Health::Reserve { free: 20 << 20 }).await;
    let refused = book.recorder.begin(&open()).await.unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::Space);
    book.recorder.commit(&exchange).await.unwrap();
    exchange.conclude(Outcome::Complete);
    drop(recording);
    assert!(!reserve.exists());

    free.store(1 << 40, Ordering::Relaxed);
    book.becomes(Health::Healthy).await;
    book.exchange(b"prompt", &[]).await;
    let book = book.close();
    assert!(reserve.exists());
    let states: Vec<(String, u64)> = book
        .database()
        .prepare("SELECT envelope FROM entry WHERE salt IS NOT NULL ORDER BY seq")
        .unwrap()
        .query_map([], |row| row.get::<_, Vec<u8>>(0))
        .unwrap()
        .map(|envelope| serde_json::from_slice::<serde_json::Value>(&envelope.unwrap()).unwrap())
        .filter(|envelope| envelope["kind"] == "state")
        .map(|envelope| {
            let state = envelope["state"].as_str().unwrap().to_owned();
            (state, envelope["refused"].as_u64().unwrap())
        })
        .collect();
    let expected = [("low_space", 0), ("reserve", 0), ("recovered", 1)];
    assert_eq!(
        states,
        expected.map(|(state, refused)| (state.to_owned(), refused))
    );
    let found = book.reader().verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.silence_count, 0);
}

#[tokio::test]
async fn a_journal_that_is_deleted_or_replaced_stops_recording() {
    for replaced in [false, true] {
        let book = Book::new();
        book.exchange(b"prompt", &[]).await;
        let journal = book.folder().join("journal.db");
        std::fs::rename(&journal, book.folder().join("away")).unwrap();
        if replaced {
            std::fs::copy(book.folder().join("away"), &journal).unwrap();
        }
        let blocked = async {
            while !matches!(book.recorder.health(), Health::Blocked { .. }) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), blocked)
            .await
            .unwrap();
        assert!(book.recorder.begin(&open()).await.is_err());
    }
}
