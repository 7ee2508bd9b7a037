//! Each switch, and the end of it all.

use std::time::{Duration, Instant};

use tokio::{net::TcpStream, time::timeout};
use tollbook_testkit::upstream::Garbage;

use crate::client::{ask, gunzip, request, send, start};

#[tokio::test]
async fn a_status_is_answered_until_it_is_cleared() {
    let upstream = start().await;
    upstream.faults().change(|plan| {
        plan.status = Some(529);
        plan.retry_after = Some(7);
    });
    let answer = ask(&upstream, "x", true).await;
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (529, "7")
    );
    assert_eq!(answer.json()["error"]["type"], "overloaded_error");
    upstream.faults().clear();
    assert_eq!(ask(&upstream, "x", true).await.status, 200);
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_share_of_requests_fails() {
    let upstream = start().await;
    upstream.faults().change(|plan| {
        plan.status = Some(500);
        plan.share = 0.5;
    });
    let mut failed = 0;
    for _ in 0..40 {
        failed += u32::from(ask(&upstream, "x", false).await.status == 500);
    }
    assert!((8..=32).contains(&failed), "{failed}");
    upstream.shutdown().await;
}

#[tokio::test]
async fn every_answer_can_be_zipped() {
    let upstream = start().await;
    upstream.faults().change(|plan| plan.gzip = true);
    let mut answer = ask(&upstream, "hello", true).await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    answer.body = gunzip(&answer.body);
    assert_eq!(answer.deltas("text"), "hello");

    // Zipped and cut: what came must still be readable, event by event.
    upstream.faults().change(|plan| plan.cut_after = Some(3));
    let mut answer = ask(&upstream, "hello", true).await;
    assert!(!answer.whole);
    answer.body = gunzip(&answer.body);
    assert_eq!(answer.events().len(), 3);
    upstream.shutdown().await;
}

#[tokio::test]
async fn answers_can_be_late() {
    let upstream = start().await;
    upstream
        .faults()
        .change(|plan| plan.head_delay = Duration::from_millis(150));
    let start = Instant::now();
    ask(&upstream, "x", false).await;
    assert!(start.elapsed() >= Duration::from_millis(150));

    upstream.faults().change(|plan| {
        plan.head_delay = Duration::ZERO;
        plan.event_delay = Duration::from_millis(30);
    });
    let answer = ask(&upstream, "some words to cut", true).await;
    for times in answer.times.windows(2) {
        // Events come one by one and not together at the end.
        assert!(
            times[1] - times[0] >= Duration::from_millis(10),
            "{:?}",
            answer.times
        );
    }
    assert!(answer.times.len() >= 6);
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_stream_is_cut_after_so_many_events() {
    let upstream = start().await;
    for sent in [0, 1, 4] {
        upstream.faults().change(|plan| plan.cut_after = Some(sent));
        let answer = ask(&upstream, "some words to cut", true).await;
        assert!(!answer.whole);
        assert_eq!(answer.events().len(), sent);
    }
    let answer = ask(&upstream, "x", false).await;
    let length: usize = answer.header("content-length").parse().unwrap();
    assert!(!answer.whole);
    assert_eq!(answer.body.len(), length / 2);
    upstream.shutdown().await;
}

#[tokio::test]
async fn answers_can_be_garbage() {
    let upstream = start().await;
    upstream
        .faults()
        .change(|plan| plan.garbage = Some(Garbage::Body));
    for stream in [true, false] {
        let answer = ask(&upstream, "x", stream).await;
        assert_eq!(answer.status, 200);
        assert!(std::str::from_utf8(&answer.body).is_err());
    }
    upstream
        .faults()
        .change(|plan| plan.garbage = Some(Garbage::Http));
    let answer = send(&upstream, request("GET", "/v1/models", "")).await;
    assert!(answer.err().is_some_and(|error| error.is_parse()));
    upstream.shutdown().await;
}

#[tokio::test]
async fn a_request_can_hang_and_shutdown_still_ends() {
    let upstream = start().await;
    upstream.faults().change(|plan| plan.hang = true);
    let asked = timeout(Duration::from_millis(200), ask(&upstream, "x", true)).await;
    assert!(asked.is_err());
    assert_eq!(upstream.count(), 1);

    let address = upstream.address();
    let hanging = TcpStream::connect(address).await.unwrap();
    timeout(Duration::from_secs(5), upstream.shutdown())
        .await
        .unwrap();
    assert!(TcpStream::connect(address).await.is_err());
    drop(hanging);
}

#[tokio::test]
async fn a_dropped_stand_in_closes_its_port() {
    let upstream = start().await;
    let address = upstream.address();
    drop(upstream);
    let closed = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(5), closed).await.unwrap();
}
