//! Disks without room, or without the right to write.

use tollbook_recording::{Reader, Recorder};

use super::{ENOSPC, wrong_with};
use crate::disk::{Child, Fault, body_of, config};

const EROFS: i32 = 30;

fn from(call: &'static str, name: &'static str, at: u32, errno: i32) -> Fault {
    Fault {
        call,
        name,
        calls: [at, u32::MAX],
        errno: Some(errno),
        seconds: 0,
    }
}

#[test]
fn a_disk_without_room_ends_recording_at_each_place_that_the_book_is_written_to() {
    for (call, name, at) in [
        ("write", "journal.db-wal", 30),
        ("sync", "journal.db-wal", 30),
        ("write", "journal.db", 1),
        ("sync", "journal.db", 1),
    ] {
        let child = Child::new(200).with(from(call, name, at, ENOSPC));
        let (child, said) = wrong_with(child.once_open());
        assert!(said.starts_with("blocked: "), "{call} {name}: {said}");
        assert!(child.acknowledged().len() <= 200, "{said}");
    }
}

#[test]
fn a_disk_without_room_beside_the_book_keeps_nobody_waiting() {
    // The anchor, and the note of what is not recorded, which lies beside it.
    for (name, at) in [("anchor.new", 2), ("anchor.gaps", 2)] {
        let child = Child::new(200).with(from("write", name, at, ENOSPC));
        let (child, said) = wrong_with(child.once_open());
        assert!(said.starts_with("Healthy"), "{name}: {said}");
        assert_eq!(child.acknowledged().len(), 200);
    }
}

#[test]
fn a_disk_that_becomes_read_only_ends_recording_and_can_be_read() {
    let child = Child::new(200).with(from("write", "journal.db-wal", 40, EROFS));
    let mut child = child.once_open();
    child.run();
    let said = child.said();
    assert!(said.starts_with("blocked: "), "{said}");
    let reader = Reader::open(child.disk().join("book")).unwrap();
    assert!(reader.verify(None).unwrap().is_verified());
    for id in &child.acknowledged() {
        let shown = reader.exchange(id).unwrap().unwrap();
        assert_eq!(shown["request"]["body"], body_of(id));
    }
    // The next start tells it: the note lies beside the anchor, which could be written.
    drop(Recorder::open(config(&child.disk())).unwrap());
    let told = crate::support::states(&child.disk().join("book"));
    let blocked = told.iter().find(|told| told["state"] == "blocked");
    assert!(blocked.is_some(), "{told:?}");
    let gap = told.iter().find(|told| told["state"] == "gap");
    assert!(gap.unwrap()["unfinished"].as_u64().unwrap() > 0, "{told:?}");
}
