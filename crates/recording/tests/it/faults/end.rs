//! The end of a recorder, and a second one.

use std::time::{Duration, Instant};

use tollbook_recording::{ErrorKind, Reader, Recorder};

use super::EIO;
use crate::disk::{Child, Fault, config};

#[test]
fn a_write_that_fails_at_the_very_end_is_told() {
    let fault = Fault {
        call: "write",
        name: "journal.db-wal",
        calls: [1, u32::MAX],
        errno: Some(EIO),
        seconds: 0,
    };
    let mut child = Child::new(40).with(fault).at_the_end();
    child.run();
    let said = child.said();
    assert!(said.starts_with("Healthy\nclosed blocked: "), "{said}");
    assert_eq!(child.acknowledged().len(), 40);
    // The next start finds all that was acknowledged, and that nobody said goodbye.
    drop(Recorder::open(config(&child.disk())).unwrap());
    let reader = Reader::open(child.disk().join("book")).unwrap();
    let found = reader.verify(None).unwrap();
    assert!(found.is_verified(), "{:?}", found.faults);
    assert_eq!(found.silences[0].why, "crashed");
    for id in child.acknowledged() {
        assert!(reader.exchange(&id).unwrap().is_some(), "{id}");
    }
}

#[test]
fn a_book_that_another_process_writes_is_refused() {
    let mut child = Child::new(4000);
    let mut other = child.start();
    let began = Instant::now();
    while child.acknowledged().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(10));
    }
    let refused = Recorder::open(config(&child.disk())).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::InUse);
    // Nor by another folder under the same anchor.
    let mut elsewhere = config(&child.disk());
    elsewhere.folder = child.disk().join("elsewhere");
    let refused = Recorder::open(elsewhere).unwrap_err();
    assert_eq!(refused.kind(), &ErrorKind::InUse);
    other.kill().unwrap();
    other.wait().unwrap();
    drop(Recorder::open(config(&child.disk())).unwrap());
}
